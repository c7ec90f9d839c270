//! Names of tables, checked so that they and the names derived from them are safe to quote.

use std::fmt;

use crate::sinks::ConfigError;

/// Postgres cuts identifiers off at 63 bytes; the longest suffix that is put behind a table's name has 8.
pub(super) const LONGEST: usize = 63 - "_changes".len();

/// The name of the row table; those of its companions derive from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName(String);

impl TableName {
    /// Checks a name: letters, digits, `_`, `-` and `$`, beginning with a letter or `_`, at most 55 bytes.
    ///
    /// # Errors
    /// With `field` when the name is anything else.
    pub fn new(field: &str, name: &str) -> Result<Self, ConfigError> {
        check_identifier(field, name)?;
        if name.len() > LONGEST {
            return Err(ConfigError {
                field: field.to_owned(),
                message: format!("the table name has {} bytes", name.len()),
                remedy: format!("use at most {LONGEST}, so that the names derived from it fit"),
            });
        }
        Ok(Self(name.to_owned()))
    }

    /// The row table's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The change log's name.
    pub fn changes(&self) -> String {
        format!("{}_changes", self.0)
    }

    /// The name of the table of positions.
    pub fn exports(&self) -> String {
        format!("{}_exports", self.0)
    }

    /// The name of the view with the columns of the public contract.
    pub fn view(&self) -> String {
        format!("{}_v1", self.0)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the name of a table or schema.
///
/// # Errors
/// With `field` when the name has other characters than letters, digits, `_`, `-`, `$`, or begins with another than
/// a letter or `_`.
pub(crate) fn check_identifier(field: &str, name: &str) -> Result<(), ConfigError> {
    let error = |message: String, remedy: &str| {
        Err(ConfigError { field: field.to_owned(), message, remedy: remedy.to_owned() })
    };
    if name.is_empty() {
        return error("the name is empty".to_owned(), "give a name");
    }
    if name.contains('.') {
        return error(
            format!("`{name}` has a dot"),
            "give the table's name alone; a schema has its own field (spec.postgres.schema)",
        );
    }
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$')) {
        return error(
            format!("`{}` is not a name that can be used", name.escape_debug()),
            "use letters, digits, `_`, `-` and `$`, and begin with a letter or `_`",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn accepts_plain_names_and_derives_the_others() {
        let table = TableName::new("spec.postgres.table", "inventory_rows").unwrap();
        assert_eq!(table.changes(), "inventory_rows_changes");
        assert_eq!(table.exports(), "inventory_rows_exports");
        assert_eq!(table.view(), "inventory_rows_v1");
    }

    #[test]
    fn rejects_names_that_could_not_be_quoted_or_would_be_cut_off() {
        for name in ["", "1st", "a b", "a\"b", "public.rows", "rows;", "größe", &"x".repeat(56)] {
            let error = TableName::new("spec.postgres.table", name).unwrap_err();
            assert_eq!(error.field, "spec.postgres.table", "{name}");
        }
        assert!(TableName::new("spec.postgres.table", &"x".repeat(55)).is_ok());
    }
}
