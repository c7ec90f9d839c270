//! JSONPaths: any text against any object.

use kollect_dataflows::extract::{PruneSpec, ResourceSpec};

use crate::extraction::{Case, check_attributes, check_secrets, extract, profile_of};

/// Checks an input: a path, an empty line, and an object.
pub fn check(input: &[u8]) {
    let case = Case::read(input);
    let gvk = case.gvk();
    let path = case.text.trim();
    if path.starts_with("cel:") || path.starts_with("helm:") {
        return;
    }
    let export = export_without(path);
    let Ok(plain) = extract(&profile_of(&gvk, path), &case.object) else {
        let mut spec = profile_of(&gvk, "$");
        spec.export = Some(export);
        assert!(extract(&spec, &case.object).is_err(), "it prunes by a path that does not compile");
        return;
    };
    check_attributes(&gvk, path, &case.object, &plain);
    for spelling in spellings(path) {
        let other = extract(&profile_of(&gvk, &spelling), &case.object);
        // The longest paths may grow too long.
        assert!(
            spelling.len() > 4096 || other.as_ref() == Ok(&plain),
            "{spelling:?}: {other:?}, not {plain:?}"
        );
    }
    let mut spec = profile_of(&gvk, path);
    spec.export = Some(ResourceSpec { allow_secret: true, ..export.clone() });
    // The whole object can't be pruned.
    let _ = extract(&spec, &case.object);
    check_secrets(path, &case.object, Some(export));
}

fn export_without(path: &str) -> ResourceSpec {
    let prune = PruneSpec { json_paths: vec![path.to_owned()], ..PruneSpec::default() };
    ResourceSpec { prune, ..ResourceSpec::default() }
}

/// Other ways to write a path.
fn spellings(path: &str) -> Vec<String> {
    let inner = path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path).trim();
    let mut spellings = vec![format!(" \n{path}\t"), format!("{{ {inner} }}"), inner.to_owned()];
    if inner.starts_with(['.', '[']) && inner != "." {
        spellings.push(format!("${inner}"));
    }
    spellings
}
