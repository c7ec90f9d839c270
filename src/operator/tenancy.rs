//! Which namespaces an operator is for.

use std::collections::BTreeSet;

use crate::sources::kubernetes::Reach;

/// Which namespaces an operator is for, and whether it is for anything beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenancy {
    /// All, when there are none here.
    namespaces: BTreeSet<String>,
    tenant_mode: bool,
}

/// Why there is no such operator. Whoever starts the process must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenancyError {
    /// Something that is no name of a namespace.
    #[error(
        "`{0}` is not the name of a namespace; give lowercase letters, digits and hyphens, 63 at most, with a letter or digit first and last"
    )]
    Name(String),
    /// Tenant mode, and no namespace.
    #[error("--tenant-mode needs to know the tenant's namespaces; give them with --watch-namespaces")]
    NoNamespaces,
}

impl Tenancy {
    /// An operator for these namespaces; for all where there are none, which tenant mode does not allow. Empty names are passed over,
    /// since a variable may be set to nothing.
    ///
    /// # Errors
    /// [`TenancyError`].
    pub fn new<'a>(
        namespaces: impl IntoIterator<Item = &'a str>,
        tenant_mode: bool,
    ) -> Result<Self, TenancyError> {
        let names = namespaces.into_iter().map(str::trim).filter(|name| !name.is_empty());
        let named = |name: &str| match is_label(name) {
            true => Ok(name.to_owned()),
            false => Err(TenancyError::Name(name.to_owned())),
        };
        let namespaces = names.map(named).collect::<Result<BTreeSet<_>, _>>()?;
        if tenant_mode && namespaces.is_empty() {
            return Err(TenancyError::NoNamespaces);
        }
        Ok(Self { namespaces, tenant_mode })
    }

    /// The only namespaces that anything is read of; all when there are none here.
    pub fn namespaces(&self) -> &BTreeSet<String> {
        &self.namespaces
    }

    /// Whether nothing is asked for outside of the namespaces, so that Roles in them are all the permission it takes.
    pub fn is_tenant(&self) -> bool {
        self.tenant_mode
    }

    /// How far objects are read.
    pub(super) fn reach(&self) -> Reach {
        if self.namespaces.is_empty() {
            return Reach::Cluster;
        }
        Reach::Namespaces { names: self.namespaces.clone(), cluster_scoped: !self.tenant_mode }
    }
}

/// Whether it is a label as RFC 1123 has it.
fn is_label(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name.chars().all(|c| alphanumeric(c) || c == '-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tenant_has_namespaces_and_these_have_names() {
        let names = |names: &[&str], tenant| {
            let tenancy = Tenancy::new(names.iter().copied(), tenant)?;
            Ok(tenancy.namespaces().iter().cloned().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names(&["b", " a ", "b", ""], true), Ok("a b".to_owned()));
        assert_eq!(names(&[""], false), Ok(String::new()));
        assert_eq!(names(&["", " "], true), Err(TenancyError::NoNamespaces));
        for bad in ["A", "a.b", "-a", "a-", "a/b", "ä", "*", &"a".repeat(64)] {
            assert_eq!(names(&["a", bad], false), Err(TenancyError::Name(bad.to_owned())));
        }
        assert_eq!(Tenancy::default().reach(), Reach::Cluster);
    }
}
