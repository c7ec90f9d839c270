//! Which table a binding's rows go to: one for all bindings of a sink, or one that a template names for each.

use sha2::{Digest as _, Sha256};

use super::TableName;
use super::table::LONGEST;
use crate::sinks::{BindingName, ConfigError, hex};

/// The field of the template.
const FIELD: &str = "spec.provisioning.naming.template";

/// What stands for a binding without a cluster.
const NO_CLUSTER: &str = "default";

/// What stands for the namespace of a cluster inventory.
const CLUSTER_SCOPED: &str = "_cluster";

const PLACEHOLDERS: &str = "the placeholders are {cluster}, {namespace} and {name}";

/// Hexadecimal digits behind a name that was cut off.
const HASH: usize = 8;

/// How the row table is called, as the sink resource says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableNaming {
    /// `spec.<backend>.table`.
    Named(String),
    /// `spec.provisioning.naming.template`, with `{cluster}`, `{namespace}` and `{name}`.
    Template(String),
}

impl From<&str> for TableNaming {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

/// The row table of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    name: TableName,
    /// What names the table of a binding; `None` when the name is that of one already.
    template: Option<String>,
}

impl Table {
    /// Checks the name, which stands in `field`, or the template.
    ///
    /// # Errors
    /// It can't be used.
    pub fn new(field: &str, naming: &TableNaming) -> Result<Self, ConfigError> {
        match naming {
            TableNaming::Named(name) => Ok(Self { name: TableName::new(field, name)?, template: None }),
            TableNaming::Template(template) => {
                // Nobody is called so, and no table: it stands for those of all bindings.
                let anybody = BindingName {
                    cluster: "{cluster}".to_owned(),
                    inventory_namespace: "{namespace}".to_owned(),
                    inventory_name: "{name}".to_owned(),
                };
                Ok(Self { name: render(template, &anybody)?, template: Some(template.clone()) })
            }
        }
    }

    /// The table of one binding.
    #[must_use]
    pub fn of(&self, binding: &BindingName) -> Self {
        // The template has been checked, and no binding makes another of it.
        let name = self.template.as_deref().and_then(|template| render(template, binding).ok());
        name.map_or_else(|| self.clone(), |name| Self { name, template: None })
    }

    /// Its name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Whether it is one table: without a binding, a template names none.
    pub fn is_one(&self) -> bool {
        self.template.is_none()
    }

    /// The table for humans: its name, or the template.
    pub fn describe(&self) -> &str {
        self.template.as_deref().unwrap_or(self.name.as_str())
    }
}

/// The name that a template gives. What is of the binding keeps letters, digits and `_`, so that nobody has to quote the name in SQL.
fn render(template: &str, binding: &BindingName) -> Result<TableName, ConfigError> {
    let error = |message: String, remedy: &str| ConfigError {
        field: FIELD.to_owned(),
        message,
        remedy: remedy.to_owned(),
    };
    let stray = || error("there is a brace too many".to_owned(), PLACEHOLDERS);
    let mut name = String::new();
    // As it would be without what makes it a name; two that differ here are told apart by the hash.
    let mut whole = String::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((placeholder, after)) = after.split_once('}').filter(|_| !literal.contains('}')) else {
            return Err(stray());
        };
        let value = match placeholder {
            "cluster" if binding.cluster.is_empty() => NO_CLUSTER,
            "cluster" => &binding.cluster,
            "namespace" if binding.inventory_namespace.is_empty() => CLUSTER_SCOPED,
            "namespace" => &binding.inventory_namespace,
            "name" => &binding.inventory_name,
            _ => {
                return Err(error(
                    format!("`{{{}}}` is not a placeholder", placeholder.escape_debug()),
                    PLACEHOLDERS,
                ));
            }
        };
        name.extend(literal.chars().map(plain_or_given));
        name.extend(value.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        whole.push_str(literal);
        whole.push_str(value);
        rest = after;
    }
    name.extend(rest.chars().map(plain_or_given));
    whole.push_str(rest);
    if rest.contains('}') {
        return Err(stray());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    if name.len() > LONGEST {
        let hash = hex(&Sha256::digest(whole.as_bytes()));
        name.truncate(LONGEST - HASH - 1);
        name.push('_');
        name.push_str(&hash[..HASH]);
    }
    TableName::new(FIELD, &name)
}

/// What the template itself says may have all that a name may.
fn plain_or_given(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, '-' | '$') { c } else { '_' }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn named(template: &str, cluster: &str, namespace: &str, name: &str) -> String {
        let table = Table::new("spec.postgres.table", &TableNaming::Template(template.to_owned())).unwrap();
        assert!(!table.is_one());
        assert_eq!(table.describe(), template);
        let binding = BindingName {
            cluster: cluster.to_owned(),
            inventory_namespace: namespace.to_owned(),
            inventory_name: name.to_owned(),
        };
        let table = table.of(&binding);
        assert!(table.is_one());
        assert_eq!(table, table.of(&BindingName { inventory_name: "other".to_owned(), ..binding }));
        table.name().as_str().to_owned()
    }

    #[test]
    fn a_template_names_the_table_of_each_binding() {
        for (template, expected) in [
            ("{namespace}_{name}", "team_a_web_apps"),
            ("{cluster}-{namespace}", "East_1-team_a"),
            ("inventory", "inventory"),
            ("1{name}", "_1web_apps"),
            ("inv.{name}", "inv_web_apps"),
        ] {
            assert_eq!(named(template, "East 1", "team-a", "web.apps"), expected, "{template}");
        }
        assert_eq!(named("{cluster}_{namespace}_{name}", "", "", "all"), "default__cluster_all");
    }

    #[test]
    fn long_names_are_cut_off_and_told_apart() {
        let long = "a".repeat(60);
        let [one, two] =
            ["x", "y"].map(|end| named("{namespace}_{name}", "", "team", &format!("{long}{end}")));
        assert_eq!((one.len(), two.len()), (LONGEST, LONGEST));
        assert_ne!(one, two);
        assert_eq!(named("{name}", "", "team", &"b".repeat(LONGEST)), "b".repeat(LONGEST));
    }

    #[test]
    fn templates_with_unknown_placeholders_or_stray_braces_are_refused() {
        for template in ["{uid}", "{name", "name}", "{}", "{name}}", "{{name}}", "a}{name}"] {
            let naming = TableNaming::Template(template.to_owned());
            let error = Table::new("spec.postgres.table", &naming).unwrap_err();
            assert_eq!(error.field, FIELD, "{template}");
        }
        assert_eq!(Table::new("spec.sqlite.table", &"a b".into()).unwrap_err().field, "spec.sqlite.table");
    }
}
