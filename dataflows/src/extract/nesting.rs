//! How deep the value of an attribute may nest.
//!
//! Whoever reads a row has a limit: 64 levels in YAML, 127 in JSON, with the document around the row. An object may be deeper, and
//! an expression can put it into lists of its own. One such value would make all rows unreadable that are in the same document.

/// Greatest nesting of an attribute's value, which is more than any kind needs. The rest of the readers' limit is for what stands
/// around it: a document, a row, its attributes.
pub(super) const MAX_NESTING: usize = 60;

/// Why a value is refused.
pub(super) const TOO_DEEP: &str = "the value nests deeper than 60 levels";

/// Whether a canonical JSON value nests too deep.
pub(super) fn is_too_deep(json: &[u8]) -> bool {
    // Nearly all values have not even so many lists and maps, and counting them takes far less time.
    if json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= MAX_NESTING {
        return false;
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > MAX_NESTING
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::{Value, json};

    use super::super::{AttributeSpec, Document, Profile, ProfileSpec};
    use super::*;
    use crate::data::Gvk;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn lists_and_maps_count_and_what_stands_in_texts_does_not() {
        assert!(!is_too_deep(nested(MAX_NESTING).as_bytes()));
        assert!(is_too_deep(nested(MAX_NESTING + 1).as_bytes()));
        assert!(is_too_deep(format!(r#"{{"a":[1,{{"b":{}}}]}}"#, nested(MAX_NESTING - 2)).as_bytes()));
        for wide in [
            format!("[{}[]]", "[],".repeat(1_000)),
            json!({ "a\"": "\\", "b": "[".repeat(1_000), "c": "\"".to_owned() + &"{".repeat(1_000) })
                .to_string(),
        ] {
            assert!(!is_too_deep(wide.as_bytes()), "{wide}");
        }
    }

    #[test]
    fn a_value_that_nests_too_deep_is_a_problem_wherever_it_comes_from() {
        let attributes = [("path", "$.spec"), ("cel", "cel:[[object.spec]]"), ("many", "$..[0]")];
        let spec = ProfileSpec {
            gvk: Gvk::new("example.com", "v1", "Thing"),
            attributes: attributes
                .map(|(name, path)| AttributeSpec {
                    name: name.into(),
                    path: path.into(),
                    ..AttributeSpec::default()
                })
                .into(),
            ..ProfileSpec::default()
        };
        let profile = Profile::compile(&spec).unwrap();
        let evaluate = |depth: usize| {
            let object = format!(r#"{{"metadata":{{"name":"n"}},"spec":{}}}"#, nested(depth));
            profile.evaluate(&Document::parse(object.as_bytes()).unwrap())
        };
        let shallow = evaluate(MAX_NESTING - 2);
        assert_eq!(shallow.problems, []);
        for depth in [MAX_NESTING + 2, 126] {
            let deep = evaluate(depth);
            let problems: Vec<_> = deep.problems.iter().map(|p| (&*p.attribute, &*p.message)).collect();
            assert_eq!(problems, [("cel", TOO_DEEP), ("many", TOO_DEEP), ("path", TOO_DEEP)]);
            assert_eq!(
                serde_json::from_str::<Value>(&deep.attributes).unwrap(),
                json!({"cel": null, "many": null, "path": null})
            );
        }
    }

    #[test]
    fn a_default_that_nests_too_deep_does_not_compile() {
        let default = |depth| {
            let attribute = AttributeSpec {
                name: "a".into(),
                path: "$.a".into(),
                default: Some(serde_json::from_str(&nested(depth)).unwrap()),
                ..AttributeSpec::default()
            };
            Profile::compile(&ProfileSpec { attributes: vec![attribute], ..ProfileSpec::default() })
        };
        assert!(default(MAX_NESTING).is_ok());
        let problems = default(MAX_NESTING + 1).expect_err("refused");
        assert_eq!((&*problems[0].field, &*problems[0].message), ("attributes[0].default", TOO_DEEP));
    }
}
