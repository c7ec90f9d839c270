//! Label selectors, with exactly the meaning that Kubernetes gives them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Selects by labels: everything in `match_labels` and every requirement must hold. An empty selector selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelSelector {
    /// Labels and the values they must have.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    pub match_expressions: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// What must hold.
    pub operator: Operator,
    /// The values of [`Operator::In`] and [`Operator::NotIn`]; empty for the others.
    pub values: Vec<String>,
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    /// The label is there and has one of the values.
    In,
    /// The label has none of the values, or is not there.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// Why a selector is refused. The author of the resource that holds it must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// `In` or `NotIn` without a value to compare with.
    #[error(
        "the requirement on label `{key}` has operator {operator:?} but no values; name at least one value"
    )]
    NoValues {
        /// Key of the label.
        key: String,
        /// The operator.
        operator: Operator,
    },
    /// `Exists` or `DoesNotExist` with values.
    #[error(
        "the requirement on label `{key}` has operator {operator:?}, which takes no values; remove them or use In or NotIn"
    )]
    Values {
        /// Key of the label.
        key: String,
        /// The operator.
        operator: Operator,
    },
    /// A requirement or a pair without a key.
    #[error("a label selector has a condition with an empty key; name the label")]
    NoKey,
}

impl LabelSelector {
    /// A selector, checked.
    ///
    /// # Errors
    /// The first condition that Kubernetes would refuse too; the author of the resource must act.
    pub fn new(
        match_labels: BTreeMap<String, String>,
        match_expressions: Vec<Requirement>,
    ) -> Result<Self, SelectorError> {
        if match_labels.contains_key("") {
            return Err(SelectorError::NoKey);
        }
        for Requirement { key, operator, values } in &match_expressions {
            let (key, operator) = (key.clone(), *operator);
            if key.is_empty() {
                return Err(SelectorError::NoKey);
            }
            match operator {
                Operator::In | Operator::NotIn if values.is_empty() => {
                    return Err(SelectorError::NoValues { key, operator });
                }
                Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                    return Err(SelectorError::Values { key, operator });
                }
                _ => {}
            }
        }
        Ok(Self { match_labels, match_expressions })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether it selects something with these labels. `lookup` gives the value of a label.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.match_labels.iter().all(|(key, value)| lookup(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(lookup(&requirement.key)))
    }
}

impl Requirement {
    fn holds(&self, label: Option<&str>) -> bool {
        let listed = |value| self.values.iter().any(|listed| listed == value);
        match self.operator {
            Operator::In => label.is_some_and(listed),
            Operator::NotIn => !label.is_some_and(listed),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
        Requirement { key: key.into(), operator, values: values.iter().map(|v| (*v).to_owned()).collect() }
    }

    fn selector(
        labels: &[(&str, &str)],
        requirements: &[Requirement],
    ) -> Result<LabelSelector, SelectorError> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LabelSelector::new(labels, requirements.to_vec())
    }

    #[test]
    fn conditions_mean_what_they_mean_to_kubernetes() {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        let labels = BTreeMap::from([("app", "web"), ("tier", "")]);
        let lookup = |key: &str| labels.get(key).copied();
        for (pairs, requirements, expected) in [
            (&[][..], &[][..], true),
            (&[("app", "web")], &[], true),
            (&[("app", "db")], &[], false),
            (&[("app", "web"), ("zone", "a")], &[], false),
            (&[("tier", "")], &[], true),
            (&[], &[requirement("app", In, &["db", "web"])], true),
            (&[], &[requirement("app", In, &["db"])], false),
            (&[], &[requirement("zone", In, &["a"])], false),
            (&[], &[requirement("zone", In, &[""])], false),
            (&[], &[requirement("app", NotIn, &["db"])], true),
            (&[], &[requirement("app", NotIn, &["db", "web"])], false),
            (&[], &[requirement("zone", NotIn, &["a"])], true),
            (&[], &[requirement("tier", Exists, &[])], true),
            (&[], &[requirement("zone", Exists, &[])], false),
            (&[], &[requirement("zone", DoesNotExist, &[])], true),
            (&[], &[requirement("tier", DoesNotExist, &[])], false),
            (
                &[("app", "web")],
                &[requirement("zone", DoesNotExist, &[]), requirement("app", Exists, &[])],
                true,
            ),
            (&[("app", "web")], &[requirement("zone", Exists, &[]), requirement("app", Exists, &[])], false),
        ] {
            let selector = selector(pairs, requirements).unwrap();
            assert_eq!(selector.matches(lookup), expected, "{selector:?}");
        }
    }

    #[test]
    fn only_an_empty_selector_selects_everything() {
        assert!(LabelSelector::default().is_empty());
        assert!(LabelSelector::default().matches(|_| None));
        assert!(!selector(&[("a", "b")], &[]).unwrap().is_empty());
        assert!(!selector(&[], &[requirement("a", Operator::Exists, &[])]).unwrap().is_empty());
    }

    #[test]
    fn conditions_that_kubernetes_refuses_are_refused() {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        for operator in [In, NotIn] {
            let error = selector(&[], &[requirement("a", operator, &[])]).expect_err("refused");
            assert_eq!(error, SelectorError::NoValues { key: "a".into(), operator });
        }
        for operator in [Exists, DoesNotExist] {
            let error = selector(&[], &[requirement("a", operator, &["x"])]).expect_err("refused");
            assert_eq!(error, SelectorError::Values { key: "a".into(), operator });
        }
        assert_eq!(selector(&[("", "x")], &[]), Err(SelectorError::NoKey));
        assert_eq!(selector(&[], &[requirement("", Exists, &[])]), Err(SelectorError::NoKey));
        assert_eq!(
            selector(&[], &[requirement("zone", In, &[])]).expect_err("refused").to_string(),
            "the requirement on label `zone` has operator In but no values; name at least one value"
        );
    }
}
