//! What of a Secret profiles may not read.
//!
//! The values of a Secret stand in `data` and `stringData`, and `kubectl apply` repeats them in an annotation. A profile of Secrets that
//! can reach any of these, by whatever path or expression, does not compile unless its resource has the annotation
//! [`ALLOW_SECRET_EXTRACTION`]. What counts is where a path can get to, not how it is written: the whole object, a wildcard at the
//! root, `..`, or a key that is computed can all reach them.
//!
//! And whatever compiles: [`Document`](super::Document) shows them to no profile that may not read them.

use super::problem::Refusal;
use super::projection::Reads;
use crate::data::Gvk;

/// The annotation, with the value `true`, of a profile that may read the values of Secrets.
pub const ALLOW_SECRET_EXTRACTION: &str = "kollect.dev/allow-secret-extraction";

/// The members of a Secret that hold its values.
pub(super) const VALUES: [&str; 2] = ["data", "stringData"];

/// The annotation in which `kubectl apply` keeps a copy of the object.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether objects of a kind are guarded.
pub(super) fn covers(gvk: &Gvk) -> bool {
    gvk.group.is_empty() && gvk.kind == "Secret"
}

/// Refuses what reads the values of a Secret. `what` reads: the path or the expression.
pub(super) fn check(what: &str, reads: &Reads) -> Result<(), Refusal> {
    let exception = format!(
        "or, if they shall be exported, annotate the profile with `{ALLOW_SECRET_EXTRACTION}: \"true\"`"
    );
    if let Some(member) = VALUES.into_iter().find(|member| reads.reach(&[member])) {
        return Err(Refusal::new(
            format!("the {what} can read `{member}` of Secrets"),
            format!(
                "name what is meant and holds no secret values, for example `$.type` or `$.metadata.labels`; {exception}"
            ),
        ));
    }
    if reads.reach(&["metadata", "annotations", LAST_APPLIED]) {
        return Err(Refusal::new(
            format!(
                "the {what} can read the annotation `{LAST_APPLIED}` of Secrets, which repeats their values"
            ),
            format!("name the fields of `metadata` and the annotations that are meant; {exception}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{AttributeSpec, Document, Profile, ProfileSpec, Projection};
    use super::*;

    /// Paths and expressions that give a value of a Secret, or the copy of one, if they may.
    const READS: [&str; 78] = [
        "$",
        "{$}",
        ".",
        "{.}",
        "$.data",
        ".data",
        "{.data}",
        "{ $.data.password }",
        " $.data.password ",
        ".data.password",
        "$.data['password']",
        "$['data'].password",
        "$[\"data\"][\"password\"]",
        "$[ 'data' ]",
        r"$['\u0064ata']",
        r"$.d\ata",
        r".\data.\password",
        "$.data.*",
        "$.data[*]",
        "$.data[?@ != '']",
        "$.data..*",
        "$.*",
        "$[*]",
        "{.*}",
        "{.*.password}",
        "$.*.*",
        "$..password",
        "..password",
        "{..password}",
        "$..*",
        "$..['password']",
        "$..[?@ == 'canary']",
        "$['data','type']",
        "$['type','data'].password",
        "$[?@.password]",
        "$[?@.password].password",
        "$[?length(@) > 0]",
        "$.stringData",
        "$['stringData']['password']",
        "$..stringData",
        "$.metadata",
        "$.metadata.*",
        "$.metadata..*",
        "$.metadata.annotations",
        "$.metadata.annotations.*",
        "$.metadata['annotations','labels']",
        "$.metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']",
        r".metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration",
        "$.*.annotations",
        "cel:object",
        "cel: object.data",
        "cel:.object.data.password",
        "cel:object['data']",
        "cel:object[\"da\" + \"ta\"].password",
        "cel:object['\\u0064ata']",
        "cel:object[object.metadata.labels.at]",
        "cel:object[has(object.type) ? 'data' : 'type']",
        "cel:object.?data",
        "cel:object.?data.?password.orValue('')",
        "cel:object[?'stringData'].value()",
        "cel:object.?data.optMap(d, d.password)",
        "cel:object.map(k, object[k])",
        "cel:object.filter(k, k == 'data').map(k, object[k].password)",
        "cel:object.data.map(k, object.data[k])",
        "cel:['data'].map(k, object[k])",
        "cel:[object].map(o, o.data.password)",
        "cel:[1].map(x, object.data.password)",
        "cel:[[object]][0][0].data",
        "cel:{'o': object}.o.data.password",
        "cel:dyn(object).data.password",
        "cel:optional.of(object).value().data",
        "cel:(true ? object : {}).data.password",
        "cel:string(object.data.password)",
        "cel:object.stringData.password + '!'",
        "cel:has(object.data) ? object.data : {}",
        "cel:object.metadata",
        "cel:object.metadata.annotations.map(k, object.metadata.annotations[k])",
        "cel:object.metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']",
    ];

    /// Those that give no value, but something that depends on one.
    const ASKS: [&str; 12] = [
        "$.metadata.labels[?$.data.password == 'canary']",
        "$.metadata.labels[?count($..password) > 1]",
        "$[0:1]",
        "cel:has(object.data)",
        "cel:has(object.data.password)",
        "cel:size(object.data)",
        "cel:'data' in object",
        "cel:object.data.password == 'canary'",
        "cel:object.data.password.startsWith('c')",
        "cel:object == {}",
        "cel:object.exists(k, object[k] == {'password': 'canary'})",
        "cel:object.data.all(k, k != 'password')",
    ];

    /// Those that can get to no value of a Secret.
    const HARMLESS: [&str; 20] = [
        "$.type",
        "{.type}",
        "$.immutable",
        "$.metadata.name",
        "$.metadata.labels",
        "$.metadata.labels.*",
        "$.metadata.labels[?@ == 'data']",
        "$.metadata.data",
        "$.metadata.labels.data",
        "$.metadata.annotations['example.com/owner']",
        r".metadata.annotations.example\.com/owner",
        "$.metadata.ownerReferences[*].name",
        "$.metadata.ownerReferences..name",
        "cel:object.type",
        "cel:object.metadata.labels",
        "cel:object.metadata.labels.map(k, object.metadata.labels[k])",
        "cel:object.metadata.annotations['example.com/owner']",
        "cel:object.metadata.?annotations[?'example.com/owner'].orValue('nobody')",
        "cel:has(object.metadata.annotations) && has(object.metadata.ownerReferences)",
        "cel:[{'data': 1}].map(object, object.data)",
    ];

    fn secret() -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "s", "labels": {"at": "data"}, "ownerReferences": [{"name": "o"}], "annotations": {
                "example.com/owner": "me", LAST_APPLIED: "{\"stringData\":{\"password\":\"canary\"}}"}},
            "data": {"password": "canary"}, "stringData": {"password": "canary"}})
    }

    fn compile(gvk: &Gvk, path: &str, allow_secrets: bool) -> Result<Profile, Refusal> {
        let attributes =
            vec![AttributeSpec { name: "x".into(), path: path.into(), ..AttributeSpec::default() }];
        Profile::compile(&ProfileSpec { gvk: gvk.clone(), attributes, allow_secrets, export: None }).map_err(
            |problems| {
                assert_eq!(
                    problems.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>(),
                    ["attributes[0].path"],
                    "{path}"
                );
                Refusal::new(problems[0].message.clone(), problems[0].remedy.clone())
            },
        )
    }

    fn evaluate(profile: &Profile, object: &Value) -> String {
        let bytes = object.to_string();
        let whole = profile.evaluate(&Document::parse(bytes.as_bytes()).unwrap());
        let projection = Projection::new([profile], []);
        let projected = profile.evaluate(&Document::parse_projected(bytes.as_bytes(), &projection).unwrap());
        assert_eq!(projected, whole);
        format!("{whole:?}")
    }

    #[test]
    fn what_can_reach_the_values_of_a_secret_compiles_only_with_the_annotation() {
        let core = Gvk::new("", "v1", "Secret");
        for path in READS.into_iter().chain(ASKS) {
            let refusal = compile(&core, path, false).expect_err(path);
            assert!(refusal.message.contains(" can read "), "{path}: {refusal:?}");
            assert!(
                refusal
                    .remedy
                    .contains("annotate the profile with `kollect.dev/allow-secret-extraction: \"true\"`"),
                "{path}: {refusal:?}"
            );
            compile(&core, path, true).expect(path);
        }
        for path in READS {
            let found = evaluate(&compile(&core, path, true).unwrap(), &secret());
            assert!(found.contains("canary"), "{path}: {found}");
        }
        let refusal = compile(&core, "$..password", false).expect_err("refused");
        assert_eq!(refusal.message, "the path can read `data` of Secrets");
        let refusal = compile(&core, "cel:object.metadata", false).expect_err("refused");
        assert_eq!(
            refusal.message,
            "the CEL expression can read the annotation `kubectl.kubernetes.io/last-applied-configuration` of Secrets, which repeats their values"
        );
    }

    #[test]
    fn what_can_not_reach_the_values_of_a_secret_compiles() {
        for path in HARMLESS {
            let profile = compile(&Gvk::new("", "v1", "Secret"), path, false).expect(path);
            let found = evaluate(&profile, &secret());
            assert!(!found.contains("canary"), "{path}: {found}");
        }
    }

    #[test]
    fn without_the_annotation_a_secret_shows_no_value_whatever_compiled() {
        // Compiled for another kind, and given a Secret.
        for path in READS.into_iter().chain(ASKS) {
            let profile = compile(&Gvk::new("apps", "v1", "Deployment"), path, false).expect(path);
            let found = evaluate(&profile, &secret());
            assert!(!found.contains("canary"), "{path}: {found}");
        }
    }

    #[test]
    fn profiles_of_one_secret_see_what_each_of_them_may() {
        let secrets = Gvk::new("", "v1", "Secret");
        let allowed = compile(&secrets, "$.data.password", true).unwrap();
        let other = compile(&Gvk::new("", "v1", "Pod"), "cel:object", false).unwrap();
        let bytes = secret().to_string();
        let projection = Projection::new([&allowed, &other], []);
        let document = Document::parse_projected(bytes.as_bytes(), &projection).unwrap();
        for _ in 0..2 {
            assert!(!format!("{:?}", other.evaluate(&document)).contains("canary"));
            assert_eq!(allowed.evaluate(&document).attributes, r#"{"x":"canary"}"#);
        }
        assert!(!format!("{document:?}").contains("canary"));
    }

    #[test]
    fn other_kinds_are_not_guarded() {
        for (gvk, api_version) in [
            (Gvk::new("", "v1", "ConfigMap"), "v1"),
            (Gvk::new("example.com", "v1", "Secret"), "example.com/v1"),
        ] {
            let mut object = secret();
            object["apiVersion"] = api_version.into();
            object["kind"] = gvk.kind.clone().into();
            for path in READS {
                let found = evaluate(&compile(&gvk, path, false).expect(path), &object);
                assert!(found.contains("canary"), "{gvk:?} {path}: {found}");
            }
        }
    }

    /// Paths and expressions at random from what leads to the values of a Secret, and past them.
    fn any_path() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec![
            "data",
            "stringData",
            "metadata",
            "annotations",
            "labels",
            "type",
            "password",
            "at",
            LAST_APPLIED,
        ]);
        let segment = prop_oneof![
            6 => key.clone().prop_map(|key| format!("['{key}']")),
            1 => Just(".*".to_owned()),
            1 => key.clone().prop_map(|key| format!("..['{key}']")),
            1 => (key.clone(), key.clone()).prop_map(|(a, b)| format!("['{a}','{b}']")),
            1 => key.clone().prop_map(|key| format!("[?@['{key}']]")),
            1 => key.clone().prop_map(|key| format!("[?$['{key}'].password]")),
        ];
        let path =
            prop::collection::vec(segment, 0..4).prop_map(|segments| format!("${}", segments.concat()));
        let step = prop_oneof![
            6 => key.clone().prop_map(|key| format!("['{key}']")),
            2 => key.clone().prop_map(|key| format!("[?'{key}']")),
            1 => Just("[object.metadata.labels.at]".to_owned()),
            1 => key.clone().prop_map(|key| format!(".map(k, k + '{key}')")),
            1 => key.clone().prop_map(|key| format!(".exists(k, k == '{key}')")),
        ];
        let place = prop::collection::vec(step, 0..4).prop_map(|steps| format!("object{}", steps.concat()));
        let expression = prop_oneof![
            4 => place.clone(),
            1 => place.clone().prop_map(|place| format!("size({place})")),
            1 => (place.clone(), place.clone()).prop_map(|(a, b)| format!("{a} == {b}")),
            1 => (place.clone(), place.clone()).prop_map(|(a, b)| format!("[{a}].map(x, {b})")),
            1 => (place.clone(), key.clone()).prop_map(|(place, key)| format!("'{key}' in {place}")),
            1 => (place.clone(), key.clone()).prop_map(|(place, key)| format!("{place}.map(k, {place}[k].{key})")),
            1 => (place, key).prop_map(|(place, key)| format!("has({place}.{key})")),
        ];
        prop_oneof![path, expression.prop_map(|expression| format!("cel:{expression}"))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// The analysis alone, without the withholding: what compiles gives the same whatever the values are.
        #[test]
        fn what_compiles_does_not_depend_on_the_values(path in any_path()) {
            let core = Gvk::new("", "v1", "Secret");
            if compile(&core, &path, false).is_err() {
                return Ok(());
            }
            let profile = compile(&core, &path, true).unwrap();
            let first = evaluate(&profile, &secret());
            let mut other = secret();
            other["data"] = json!({"other": "value", "at": {"password": 1}});
            other["stringData"] = json!(["value"]);
            other["metadata"]["annotations"][LAST_APPLIED] = "other".into();
            prop_assert_eq!(&evaluate(&profile, &other), &first);
            for absent in VALUES {
                other.as_object_mut().unwrap().remove(absent);
            }
            other["metadata"]["annotations"].as_object_mut().unwrap().remove(LAST_APPLIED);
            prop_assert_eq!(evaluate(&profile, &other), first);
        }
    }
}
