//! CEL: any expression on any object.

use kollect_dataflows::extract::{
    Document, Gates, PruneSpec, ResourceSpec, RuleSpec, Selection, SelectionSpec,
};
use serde_json::Value;

use crate::extraction::{Case, check_attributes, check_secrets, extract, profile_of, value_of};

/// Checks an input: an expression, an empty line, and an object.
pub fn check(input: &[u8]) {
    let case = Case::read(input);
    let gvk = case.gvk();
    let path = format!("cel:{}", case.text);
    let selection = compile(&case.text);
    let Ok(plain) = extract(&profile_of(&gvk, &path), &case.object) else {
        assert!(selection.is_none(), "it selects by an expression that does not compile");
        return;
    };
    let selection = selection.expect("it selects by every expression that compiles");
    check_attributes(&gvk, &path, &case.object, &plain);
    // The line break ends a comment.
    if let Ok(bracketed) = extract(&profile_of(&gvk, &format!("cel:({}\n)", case.text)), &case.object) {
        assert_eq!(bracketed, plain, "brackets around it make a difference");
    }
    let value = value_of(&plain, "value").unwrap();
    check_selection(&selection, &case.object, &value);
    let prune = PruneSpec { cel: vec![case.text.clone()], ..PruneSpec::default() };
    let export = ResourceSpec { prune, ..ResourceSpec::default() };
    let mut spec = profile_of(&gvk, &path);
    spec.export = Some(ResourceSpec { allow_secret: true, ..export.clone() });
    extract(&spec, &case.object).expect("it prunes by every expression that compiles");
    check_secrets(&path, &case.object, Some(export));
}

fn compile(condition: &str) -> Option<Selection> {
    let rule = RuleSpec { condition: Some(condition.to_owned()), ..RuleSpec::default() };
    Selection::compile(&SelectionSpec { rules: vec![rule], ..SelectionSpec::default() }).ok()
}

/// An object is selected by an expression that is true of it, and by no other.
fn check_selection(selection: &Selection, object: &[u8], value: &Value) {
    let document = Document::parse(object).unwrap();
    // The expression has seen the values of a Secret, which no selection does; and an object may ask not to be selected.
    if ["Secret", ""].contains(&document.kind()) || document.label("kollect.dev/watch") == Some("disabled") {
        return;
    }
    let mut problems = Vec::new();
    let gates = selection.gates(&document, &mut problems);
    assert_eq!(gates != Gates::NONE, *value == Value::Bool(true), "{value}: {problems:?}");
    assert_eq!(problems.is_empty(), value.is_boolean(), "{value}: {problems:?}");
}
