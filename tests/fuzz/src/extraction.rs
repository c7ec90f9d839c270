//! What holds for every profile and every object.

use kollect_dataflows::data::{Gvk, PlainValue};
use kollect_dataflows::extract::{
    AttributeSpec, CompileProblem, Document, Extraction, Profile, ProfileSpec, Projection, ResourceSpec,
    ValueType,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::rows::check_documents;

/// Every type of an attribute.
const TYPES: [ValueType; 8] = [
    ValueType::String,
    ValueType::Int,
    ValueType::Float,
    ValueType::Bool,
    ValueType::List,
    ValueType::Map,
    ValueType::Timestamp,
    ValueType::Quantity,
];

/// The object of inputs that have none of their own.
const OBJECT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u-1",
"labels":{"app.kubernetes.io/name":"web","tier":"1"},"annotations":{"it's":"a\"b","ü\n":""},"creationTimestamp":"2026-01-02T03:04:05Z"},
"spec":{"replicas":3,"paused":false,"none":null,"big":18446744073709551615,"low":-9223372036854775808,"half":0.5,"tiny":1e-300,
"containers":[{"name":"app","image":"shop:1.2.3","ports":[{"port":80},{"port":443}],"resources":{"limits":{"cpu":"500m","memory":"1Gi"}}},
{"name":"proxy","image":"envoy:2","ports":[],"url":"https://a.example:8080/p?q=1","ip":"10.0.0.1","cidr":"10.0.0.0/8"}]},
"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Progressing","status":"False"}]}}"#;

/// A path or an expression, and an object to evaluate it on.
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) object: Vec<u8>,
}

impl Case {
    /// The text is what stands before the first empty line, and what follows is the object: as JSON, or as any JSON value, which then becomes
    /// the spec of one.
    pub(crate) fn read(input: &[u8]) -> Self {
        let at = input.windows(2).position(|pair| pair == b"\n\n");
        let (text, object) = at.map_or((input, &b""[..]), |at| (&input[..at], &input[at + 2..]));
        Self { text: String::from_utf8_lossy(text).into_owned(), object: Self::object(object) }
    }

    fn object(json: &[u8]) -> Vec<u8> {
        if Document::parse(json).is_ok() {
            return json.to_owned();
        }
        let Ok(spec) = serde_json::from_slice::<&RawValue>(json) else { return OBJECT.into() };
        let object = format!(
            r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"thing","labels":{{"a":"b"}}}},"spec":{spec}}}"#
        );
        // Nested too deep now, or with escapes that stand for no character.
        if Document::parse(object.as_bytes()).is_ok() { object.into_bytes() } else { OBJECT.into() }
    }

    /// The kind of the object.
    pub(crate) fn gvk(&self) -> Gvk {
        gvk_of(&Document::parse(&self.object).unwrap())
    }
}

pub(crate) fn gvk_of(document: &Document<'_>) -> Gvk {
    Gvk::new(document.group(), document.version(), document.kind())
}

/// A profile of one attribute, `value`, that may read the values of Secrets.
pub(crate) fn profile_of(gvk: &Gvk, path: &str) -> ProfileSpec {
    ProfileSpec {
        gvk: gvk.clone(),
        attributes: vec![attribute("value", path)],
        allow_secrets: true,
        export: None,
    }
}

pub(crate) fn attribute(name: &str, path: &str) -> AttributeSpec {
    AttributeSpec { name: name.into(), path: path.into(), ..AttributeSpec::default() }
}

/// A profile, compiled twice.
pub(crate) struct Compiled([Profile; 2]);

impl Compiled {
    /// Compiles a profile, or says why it can't be: the same each time.
    pub(crate) fn new(spec: &ProfileSpec) -> Result<Self, Vec<CompileProblem>> {
        match (Profile::compile(spec), Profile::compile(spec)) {
            (Ok(first), Ok(second)) => Ok(Self([first, second])),
            (Err(first), Err(second)) => {
                assert_eq!(first, second, "the problems are others the second time");
                for problem in &first {
                    assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
                }
                Err(first)
            }
            _ => panic!("it compiles once, and once not"),
        }
    }

    /// What it gives for an object: the same each time, whether all of the object is read or only what the profile needs, and as
    /// canonical JSON.
    pub(crate) fn extract(&self, object: &[u8]) -> Extraction {
        let Self([first, second]) = self;
        let document = Document::parse(object).unwrap();
        let whole = first.evaluate(&document);
        assert_eq!(first.evaluate(&document), whole, "the second evaluation gives something else");
        let projection = Projection::new([second], []);
        let projected = second.evaluate(&Document::parse_projected(object, &projection).unwrap());
        assert_eq!(projected, whole, "a part of the object gives something else than all of it");
        assert_canonical(&whole.attributes);
        assert!(whole.problems.is_sorted());
        for problem in &whole.problems {
            assert!(!problem.message.is_empty(), "{problem:?}");
            let null = format!("{}:null", json!(problem.attribute));
            assert!(whole.attributes.contains(&null), "{problem:?}: {}", whole.attributes);
        }
        whole
    }
}

/// What a profile gives for an object, or why it does not compile.
pub(crate) fn extract(spec: &ProfileSpec, object: &[u8]) -> Result<Extraction, Vec<CompileProblem>> {
    Compiled::new(spec).map(|profile| profile.extract(object))
}

fn assert_canonical(attributes: &str) {
    let read = |json: &str| PlainValue::parse(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(read(attributes).to_string(), attributes, "not as it is written again");
    // Nor is it too deep for whoever reads a document with the row in it.
    read(&format!("[[[[{attributes}]]]]"));
}

/// The value of an attribute; none if the attribute has been left out.
pub(crate) fn value_of(extraction: &Extraction, attribute: &str) -> Option<Value> {
    PlainValue::parse(&extraction.attributes).unwrap().get(attribute).cloned()
}

/// What holds for a path or an expression that compiles: of all kinds of attributes that it can be.
pub(crate) fn check_attributes(gvk: &Gvk, path: &str, object: &[u8], plain: &Extraction) {
    let value = value_of(plain, "value").unwrap();
    let optional = AttributeSpec { optional: true, ..attribute("optional", path) };
    let defaulted = AttributeSpec { default: Some(json!(["default"])), ..attribute("defaulted", path) };
    let spec = ProfileSpec { attributes: vec![defaulted, optional], ..profile_of(gvk, "") };
    let other = extract(&spec, object).unwrap();
    // A failure is told only where it leaves nothing behind.
    assert_eq!(other.problems, []);
    match value_of(&other, "optional") {
        Some(optional) => {
            assert_eq!(optional, value, "an optional attribute has another value");
            assert_eq!(value_of(&other, "defaulted").unwrap(), value, "the default hides a value");
        }
        None => {
            assert!(value.is_null() || value == json!([]), "an optional attribute has lost its value");
            assert_eq!(value_of(&other, "defaulted").unwrap(), json!(["default"]));
        }
    }
    check_types(gvk, path, object, &value);
    check_documents(object, plain);
}

fn check_types(gvk: &Gvk, path: &str, object: &[u8], plain: &Value) {
    let typed = |types: &[ValueType]| {
        let attributes = types.iter().map(|value_type| AttributeSpec {
            value_type: Some(*value_type),
            ..attribute(value_type.name(), path)
        });
        ProfileSpec { attributes: attributes.collect(), ..profile_of(gvk, "") }
    };
    let extraction = extract(&typed(&TYPES), object).unwrap_or_else(|problems| {
        assert!(problems.iter().all(|problem| problem.field.ends_with(".type")), "{problems:?}");
        // Null is a problem's.
        assert!(plain.is_array() || plain.is_null(), "a path that always gives a list gave {plain}");
        extract(&typed(&[ValueType::List]), object).unwrap()
    });
    for value_type in TYPES {
        let Some(value) = value_of(&extraction, value_type.name()).filter(|value| !value.is_null()) else {
            continue;
        };
        let fits = match value_type {
            ValueType::String | ValueType::Timestamp | ValueType::Quantity => value.is_string(),
            ValueType::Int => value.is_i64() || value.is_u64(),
            ValueType::Float => value.is_f64(),
            ValueType::Bool => value.is_boolean(),
            ValueType::List => value.is_array(),
            ValueType::Map => value.is_object(),
        };
        assert!(fits, "{value} is no {}", value_type.name());
        // A value of a type stays what it is when it is made one of that type.
        let again = json!({"metadata": {"name": "n"}, "spec": value}).to_string();
        let spec = AttributeSpec { value_type: Some(value_type), ..attribute("value", "$.spec") };
        let spec = ProfileSpec { attributes: vec![spec], ..profile_of(gvk, "") };
        let again = extract(&spec, again.as_bytes()).unwrap();
        assert_eq!(value_of(&again, "value"), Some(value), "as a {}", value_type.name());
    }
}

/// Without permission, what comes out of a Secret does not depend on its values.
pub(crate) fn check_secrets(path: &str, object: &[u8], export: Option<ResourceSpec>) {
    let Some(secrets) = secrets_like(object) else { return };
    let secret = Gvk::new("", "v1", "Secret");
    let other = Gvk::new("apps", "v1", "Deployment");
    for spec in [
        ProfileSpec { allow_secrets: false, ..profile_of(&secret, path) },
        // Secrets are not what it is for; it is given one all the same.
        ProfileSpec { allow_secrets: false, export, ..profile_of(&other, path) },
    ] {
        let Ok(profile) = Compiled::new(&spec) else { continue };
        for [one, another] in &secrets {
            let [one, another] = [one, another].map(|secret| profile.extract(secret.as_bytes()));
            assert_eq!(one, another, "it depends on the values of a Secret");
        }
    }
}

/// Secrets that are an object but for their values; each as two that differ in nothing but these.
fn secrets_like(object: &[u8]) -> Option<[[String; 2]; 2]> {
    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let PlainValue(mut value) = serde_json::from_slice(object).ok()?;
    value["apiVersion"] = "v1".into();
    value["kind"] = "Secret".into();
    let mut with = |data: Value, copy: &str| {
        value["stringData"] = data.clone();
        value["data"] = data;
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert(LAST_APPLIED.to_owned(), copy.into());
            }
        }
        let complete = value.to_string();
        let mut kindless = value.clone();
        kindless.as_object_mut().map(|members| members.remove("kind"));
        [complete, kindless.to_string()]
    };
    let [a, kindless_a] = with(json!({"password": "one"}), "one");
    let [b, kindless_b] = with(json!({"key": {"a": [1, null]}, "password": 2}), "{\"another\":1}");
    Some([[a, b], [kindless_a, kindless_b]])
}
