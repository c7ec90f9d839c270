//! Profiles as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::node::tests::any_json;
use super::*;
use crate::data::Gvk;

fn attribute(name: &str, path: &str) -> AttributeSpec {
    AttributeSpec { name: name.into(), path: path.into(), ..AttributeSpec::default() }
}

fn optional(name: &str, path: &str) -> AttributeSpec {
    AttributeSpec { optional: true, ..attribute(name, path) }
}

fn default(name: &str, path: &str, default: Value) -> AttributeSpec {
    AttributeSpec { default: Some(default), ..attribute(name, path) }
}

fn compile(attributes: &[AttributeSpec]) -> Result<Profile, Vec<CompileProblem>> {
    Profile::compile(&ProfileSpec {
        gvk: Gvk::new("apps", "v1", "Deployment"),
        attributes: attributes.to_vec(),
        ..ProfileSpec::default()
    })
}

fn object() -> String {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "none": null, "containers": [{"image": "a"}, {"image": "b"}]},
    })
    .to_string()
}

fn evaluate(attributes: &[AttributeSpec]) -> Extraction {
    let object = object();
    compile(attributes).unwrap().evaluate(&Document::parse(object.as_bytes()).unwrap())
}

#[test]
fn attributes_come_as_canonical_json_in_the_order_of_their_names() {
    let extraction = evaluate(&[
        attribute("replicas", "$.spec.replicas"),
        attribute("images", "$.spec.containers[*].image"),
        attribute("name", "cel:object.metadata.namespace + '/' + object.metadata.name"),
        attribute("a \"quoted\" name", "$.metadata"),
        attribute("first", " cel:object.spec.containers[0]"),
    ]);
    assert_eq!(
        extraction.attributes,
        r#"{"a \"quoted\" name":{"name":"web","namespace":"shop"},"first":{"image":"a"},"images":["a","b"],"name":"shop/web","replicas":3}"#
    );
    assert_eq!(extraction.problems, []);
}

#[test]
fn a_profile_without_attributes_gives_an_empty_object() {
    assert_eq!(evaluate(&[]), Extraction { attributes: "{}".into(), problems: Vec::new() });
}

#[test]
fn what_has_no_value_is_left_out_or_gets_the_default_or_is_null() {
    let failure = |message: &str| vec![AttributeProblem { attribute: "x".into(), message: message.into() }];
    for (spec, attributes, problems) in [
        // A value that is there, null included.
        (attribute("x", "$.spec.none"), r#"{"x":null}"#, vec![]),
        (optional("x", "$.spec.none"), r#"{"x":null}"#, vec![]),
        (default("x", "$.spec.none", json!(1)), r#"{"x":null}"#, vec![]),
        (default("x", "$.spec.replicas", json!(1)), r#"{"x":3}"#, vec![]),
        (attribute("x", "cel:object.spec.none"), r#"{"x":null}"#, vec![]),
        // A JSONPath that finds nothing.
        (attribute("x", "$.nope"), r#"{"x":null}"#, vec![]),
        (optional("x", "$.nope"), "{}", vec![]),
        (default("x", "$.nope", json!({"b": 1, "a": [2]})), r#"{"x":{"a":[2],"b":1}}"#, vec![]),
        (attribute("x", "$.nope[*]"), r#"{"x":[]}"#, vec![]),
        (optional("x", "$.nope[*]"), "{}", vec![]),
        (default("x", "$.nope[*]", json!(["z"])), r#"{"x":["z"]}"#, vec![]),
        // A CEL expression that fails.
        (attribute("x", "cel:object.nope"), r#"{"x":null}"#, failure("there is no key `nope`")),
        (optional("x", "cel:object.nope"), "{}", vec![]),
        (default("x", "cel:object.nope", json!(1)), r#"{"x":1}"#, vec![]),
        (
            attribute("x", "cel:0.0 / 0.0"),
            r#"{"x":null}"#,
            failure("the result has a number that is not finite, which JSON can't hold"),
        ),
        // A CEL expression that gives nothing.
        (attribute("x", "cel:object.?nope"), r#"{"x":null}"#, vec![]),
        (optional("x", "cel:object.?nope"), "{}", vec![]),
        (default("x", "cel:object.?nope", Value::Null), r#"{"x":null}"#, vec![]),
        // Both: the default is the value when there is none, so there is always one.
        (AttributeSpec { optional: true, ..default("x", "$.nope", json!(1)) }, r#"{"x":1}"#, vec![]),
    ] {
        let expected = Extraction { attributes: attributes.into(), problems };
        assert_eq!(evaluate(std::slice::from_ref(&spec)), expected, "{spec:?}");
    }
}

fn typed(path: &str, value_type: ValueType) -> AttributeSpec {
    AttributeSpec { value_type: Some(value_type), ..attribute("x", path) }
}

#[test]
fn values_get_the_type_of_their_attribute() {
    let failure = vec![AttributeProblem {
        attribute: "x".into(),
        message: "the value is a number that can't be converted to bool; expected is true, false, or a string of one of them"
            .into(),
    }];
    let spec = typed("$.spec.replicas", ValueType::Bool);
    for (spec, attributes, problems) in [
        (typed("$.spec.replicas", ValueType::String), r#"{"x":"3"}"#, vec![]),
        (typed("$.spec.replicas", ValueType::Float), r#"{"x":3.0}"#, vec![]),
        (typed("cel:'1' + string(object.spec.replicas)", ValueType::Int), r#"{"x":13}"#, vec![]),
        (typed("$.spec.containers[*].image", ValueType::List), r#"{"x":["a","b"]}"#, vec![]),
        (typed("$.nope[*]", ValueType::List), r#"{"x":[]}"#, vec![]),
        (typed("$.spec.none", ValueType::Int), r#"{"x":null}"#, vec![]),
        (typed("$.nope", ValueType::Int), r#"{"x":null}"#, vec![]),
        // What can't be converted is a failed evaluation like any other.
        (spec.clone(), r#"{"x":null}"#, failure),
        (AttributeSpec { optional: true, ..spec.clone() }, "{}", vec![]),
        (AttributeSpec { default: Some(json!("true")), ..spec.clone() }, r#"{"x":true}"#, vec![]),
        (AttributeSpec { default: Some(Value::Null), ..spec }, r#"{"x":null}"#, vec![]),
    ] {
        let expected = Extraction { attributes: attributes.into(), problems };
        assert_eq!(evaluate(std::slice::from_ref(&spec)), expected, "{spec:?}");
        // The commas and keys around it are left alone.
        let rest = expected.attributes.trim_start_matches('{').trim_end_matches('}').to_owned();
        let around = evaluate(&[attribute("a", "$.kind"), spec.clone(), attribute("z", "$.kind")]);
        let comma = if rest.is_empty() { "" } else { "," };
        assert_eq!(
            around.attributes,
            format!(r#"{{"a":"Deployment"{comma}{rest},"z":"Deployment"}}"#),
            "{spec:?}"
        );
    }
}

#[test]
fn types_that_a_value_or_default_can_not_have_are_refused() {
    for (spec, field, message, remedy) in [
        (
            typed("$.spec.containers[*].image", ValueType::String),
            "type",
            "the path always gives a list, which is no string",
            "make the type `list`, or write a path that names one value, for example with `[0]` in place of `[*]`",
        ),
        (
            AttributeSpec { default: Some(json!("many")), ..typed("$.spec.replicas", ValueType::Int) },
            "default",
            "the default is not of the attribute's type int",
            "give an integer of 64 bits, or a string of one, or null",
        ),
    ] {
        let problems = compile(std::slice::from_ref(&spec)).expect_err("refused");
        let told: Vec<_> =
            problems.iter().map(|p| (p.field.as_str(), p.message.as_str(), p.remedy.as_str())).collect();
        assert_eq!(told, [(format!("attributes[0].{field}").as_str(), message, remedy)]);
    }
    let both = AttributeSpec { default: Some(json!("a")), ..typed("$.a..b", ValueType::Bool) };
    let problems = compile(&[both]).expect_err("refused");
    let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["attributes[0].type", "attributes[0].default"]);
}

#[test]
fn one_attribute_that_fails_leaves_the_others_alone_and_problems_are_sorted() {
    let extraction = evaluate(&[
        attribute("z", "cel:object.nope"),
        optional("m", "$.nope"),
        attribute("b", "cel:object.kind + 1"),
        attribute("a", "$.kind"),
        attribute("y", "$.metadata.name"),
    ]);
    assert_eq!(extraction.attributes, r#"{"a":"Deployment","b":null,"y":"web","z":null}"#);
    let failed: Vec<_> = extraction.problems.iter().map(|problem| problem.attribute.as_str()).collect();
    assert_eq!(failed, ["b", "z"]);
}

#[test]
fn all_problems_of_all_attributes_are_reported_at_once() {
    let problems = compile(&[
        attribute("a", "$.kind"),
        attribute("", "spec"),
        attribute("a", "$.kind"),
        attribute("b", "cel:self.x"),
        attribute("a", "helm:release.name"),
    ])
    .expect_err("refused");
    let told: Vec<_> =
        problems.iter().map(|problem| (problem.field.as_str(), problem.attribute.as_str())).collect();
    let expected = [
        ("attributes[1].name", ""),
        ("attributes[1].path", ""),
        ("attributes[2].name", "a"),
        ("attributes[3].path", "b"),
        ("attributes[4].name", "a"),
        ("attributes[4].path", "a"),
    ];
    assert_eq!(told, expected);
    assert_eq!(problems[2].message, "the name is already used by attribute number 1");
    assert_eq!(
        problems[3].to_string(),
        "attributes[3].path: the CEL expression has the unknown name `self`; the object is called `object`; quote a text: `'…'`"
    );
}

#[test]
fn nothing_shows_the_data_of_a_secret() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations":
        {"kubectl.kubernetes.io/last-applied-configuration": "canary"}}, "data": {"k": "canary"}, "stringData": {"k": "canary"}})
    .to_string();
    let paths = [
        "$",
        "$.data",
        "$..k",
        "$.*",
        "$['data']['k']",
        "$..*",
        "cel:object",
        "cel:object.data.k",
        "cel:object['stringData']",
        "cel:object.map(k, object[k])",
        "$.metadata.annotations",
        "cel:object.metadata.annotations",
    ];
    let attributes: Vec<_> = paths.iter().map(|path| attribute(path, path)).collect();
    let profile = compile(&attributes).unwrap();
    let extraction = profile.evaluate(&Document::parse(secret.as_bytes()).unwrap());
    assert!(!format!("{extraction:?}").contains("canary"));
}

#[test]
fn equal_objects_give_equal_rows_however_they_are_written() {
    let attributes = [
        attribute("labels", "$.metadata.labels.*"),
        attribute("keys", "cel:object.metadata.labels.map(k, k)"),
        attribute("all", "$..*"),
    ];
    let profile = compile(&attributes).unwrap();
    let one = br#"{"metadata":{"name":"n","labels":{"a":"1","b":"2","c":"3"}}}"#;
    let other =
        br#" { "metadata": { "labels": { "c":"3", "b":"old", "a":"1", "b":"\u0032" }, "name":"n" } } "#;
    assert_eq!(
        profile.evaluate(&Document::parse(one).unwrap()),
        profile.evaluate(&Document::parse(other).unwrap())
    );
}

proptest! {
    #[test]
    fn evaluating_gives_canonical_json_for_any_object(object in any_json(), spec in any_json()) {
        let object = json!({"kind": "Deployment", "metadata": {"name": "n", "a": object}, "spec": spec, "a": spec}).to_string();
        let document = Document::parse(object.as_bytes()).unwrap();
        let extraction = ALL.with(|profile| profile.evaluate(&document));
        let value: Value = serde_json::from_str(&extraction.attributes).unwrap();
        prop_assert_eq!(value.as_object().unwrap().len(), SOURCES.len());
        let node: super::node::Node<'_> = serde_json::from_str(&extraction.attributes).unwrap();
        prop_assert_eq!(&serde_json::to_string(&node).unwrap(), &extraction.attributes);
        prop_assert!(extraction.problems.is_sorted());
        for problem in &extraction.problems {
            prop_assert!(value[&problem.attribute].is_null());
        }
    }
}

const SOURCES: [&str; 14] = [
    "$",
    "$.spec.a",
    "$.spec[0].name",
    "$..a",
    "$.spec[?@.a == 1]",
    "$.spec[?@.name > 'a' && !@.b]",
    "$[-1:0:-1]",
    "cel:object",
    "cel:object.spec.a.b",
    "cel:object.spec.map(x, x)",
    "cel:object.spec == object.a",
    "cel:object.spec.filter(x, x != object.metadata.a)",
    "cel:size(object.spec) + size(object.metadata.a)",
    "cel:object.spec + object.spec",
];

thread_local! {
    static ALL: Profile = compile(&SOURCES.map(|source| attribute(source, source))).unwrap();
}
