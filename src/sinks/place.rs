//! Where the content of a binding is: what tells destinations apart, however they are reached.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::BindingName;

/// Where a binding's content is. Two places that are equal are the same; whether two others are, nobody can always say: a
/// server may have several names. [`Place::is_apart_from`] says when it is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    binding: BindingName,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "postgres", feature = "sqlite")), allow(dead_code))]
pub(super) enum At {
    /// Rows of a table of a server.
    Server {
        /// Names or addresses with ports; of one server, or of a server and its standbys.
        hosts: BTreeSet<String>,
        database: String,
        schema: String,
        table: String,
    },
    /// Rows of a table in a file. Names of such tables are the same in capital letters.
    Database { file: PathBuf, table: String },
    /// Files whose list is at this path.
    Files { list: PathBuf },
}

impl Place {
    pub(super) fn new(binding: &BindingName, at: At) -> Self {
        Self { binding: binding.clone(), at }
    }

    /// Whether nothing that is written here could be what is written there. Where that can't be told, it is not so: a server
    /// of another name may be the same one, and a file may be reached through a link, which is looked up.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.binding != other.binding || self.at.is_apart_from(&other.at)
    }
}

impl At {
    fn is_apart_from(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Server { hosts, database, schema, table },
                Self::Server {
                    hosts: others,
                    database: other_database,
                    schema: other_schema,
                    table: other_table,
                },
            ) => {
                (schema, table) != (other_schema, other_table)
                    // A pooler in front of the server may have names of its own for its databases too.
                    || database != other_database && !hosts.is_disjoint(others)
            }
            (Self::Database { file, table }, Self::Database { file: other_file, table: other_table }) => {
                !table.eq_ignore_ascii_case(other_table) || resolved(file) != resolved(other_file)
            }
            (Self::Files { list }, Self::Files { list: other }) => resolved(list) != resolved(other),
            _ => true,
        }
    }
}

/// The path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            // An empty rest would leave a slash at the end.
            return if rest.as_os_str().is_empty() { found } else { found.join(rest) };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn binding(cluster: &str) -> BindingName {
        BindingName {
            cluster: cluster.to_owned(),
            inventory_namespace: "team".to_owned(),
            inventory_name: "apps".to_owned(),
        }
    }

    /// Whether they are certainly apart; it is the same from both sides.
    fn apart(a: &At, b: &At) -> bool {
        let [a, b] = [a, b].map(|at| Place::new(&binding("east"), at.clone()));
        assert_eq!(a.is_apart_from(&b), b.is_apart_from(&a));
        assert!(!a.is_apart_from(&a));
        a.is_apart_from(&b)
    }

    #[test]
    fn tables_are_apart_when_no_name_of_the_server_could_make_them_one() {
        let at = |hosts: &[&str], database: &str, schema: &str, table: &str| At::Server {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            database: database.to_owned(),
            schema: schema.to_owned(),
            table: table.to_owned(),
        };
        let one = at(&["db:5432"], "inventory", "public", "rows");
        for (other, expected) in [
            (at(&["alias:5432"], "inventory", "public", "rows"), false),
            (at(&["db:5432", "standby:5432"], "inventory", "public", "rows"), false),
            (at(&["pooler:6432"], "other", "public", "rows"), false),
            (at(&["db:5432"], "other", "public", "rows"), true),
            (at(&["db:5432", "standby:5432"], "other", "public", "rows"), true),
            (at(&["alias:5432"], "inventory", "public", "others"), true),
            (at(&["alias:5432"], "inventory", "team", "rows"), true),
            (At::Database { file: "/rows".into(), table: "rows".to_owned() }, true),
        ] {
            assert_eq!(apart(&one, &other), expected, "{other:?}");
        }
        let [east, west] = ["east", "west"].map(|cluster| Place::new(&binding(cluster), one.clone()));
        assert!(east.is_apart_from(&west));
    }

    #[test]
    fn tables_in_files_are_apart_when_file_or_table_is_another() {
        let at = |file: &str, table: &str| At::Database { file: file.into(), table: table.to_owned() };
        let one = at("/nowhere/a.db", "rows");
        assert!(apart(&one, &at("/nowhere/b.db", "rows")));
        assert!(apart(&one, &at("/nowhere/a.db", "others")));
        assert!(!apart(&one, &at("/nowhere/a.db", "ROWS")));
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_leads_to_the_same_place() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let at = |directory: &Path| At::Files { list: directory.join("not/made/yet") };
        assert!(!apart(&at(&real), &at(&link)));
        assert!(apart(&at(&real), &at(directory.path())));
        let at = |directory: &Path| At::Database { file: directory.join("a.db"), table: "rows".to_owned() };
        std::fs::write(real.join("a.db"), "").unwrap();
        assert!(!apart(&at(&real), &at(&link)));
    }
}
