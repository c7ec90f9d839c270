//! Which objects a target selects.
//!
//! An object is selected by what it is (name, labels, content) and by where it lies. The two are known at different times: what
//! it is, when it is read; where a target looks, as long as the target lives, and it changes. So a selection is split in two:
//!
//! - Reading an object gives the *gates* through which it would come in: one for each rule that it fulfils, and of two kinds,
//!   for objects that ask to be collected (label `kollect.dev/watch: enabled`) and for those that don't say.
//! - For each namespace it is a fact which of these gates are open: those of the rules that hold in that namespace, and only
//!   the first kind in a namespace that asks not to be collected, or does not ask to be where that is needed.
//!
//! The object is selected if one of its gates is open. When a namespace changes, no object has to be read again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cel::Condition;
use super::document::Document;
use super::problem::{AttributeProblem, Refusal};
use super::projection::Reads;
use super::selector::LabelSelector;

/// The label with which an object or a namespace asks to be collected (`enabled`), or not to be (`disabled`).
pub const WATCH_LABEL: &str = "kollect.dev/watch";

/// How many groups of rules there can be: rules of one group hold in the same namespaces.
pub const MAX_GROUPS: u8 = 32;

/// What an object or a namespace says about being collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// Nothing.
    #[default]
    Unsaid,
    /// That it wants to be.
    Enabled,
    /// That it does not want to be.
    Disabled,
}

impl Wish {
    /// What the value of [`WATCH_LABEL`] means; other values than the two mean nothing.
    pub fn of(value: Option<&str>) -> Self {
        match value {
            Some("enabled") => Self::Enabled,
            Some("disabled") => Self::Disabled,
            _ => Self::Unsaid,
        }
    }
}

/// A set of gates; see the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gates(u64);

impl Gates {
    /// No gate.
    pub const NONE: Self = Self(0);
    /// Every gate.
    pub const ALL: Self = Self(u64::MAX);

    /// The gate through which objects with this wish come in by the rules of a group (below [`MAX_GROUPS`]).
    pub fn of(group: u8, wish: Wish) -> Self {
        let bit = u32::from(group.min(MAX_GROUPS - 1)) * 2;
        match wish {
            Wish::Unsaid => Self(1 << bit),
            Wish::Enabled => Self(2 << bit),
            Wish::Disabled => Self::NONE,
        }
    }

    /// The gates of both sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The gates of this set that are not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the sets share a gate.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a target selects, before it is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectionSpec {
    /// Names that an object may have; empty for any.
    pub names: BTreeSet<String>,
    /// An object is selected by any of these rules.
    pub rules: Vec<RuleSpec>,
}

/// One rule of a selection, before it is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSpec {
    /// Its position in `spec.resourceRules`, for messages.
    pub index: usize,
    /// Labels that an object must have.
    pub labels: LabelSelector,
    /// A CEL expression over `object` that must be true.
    pub condition: Option<String>,
    /// The number of the group: rules with the same number hold in the same namespaces.
    pub group: u8,
}

/// A rule that can't be compiled. The author of the target must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// [`RuleSpec::index`].
    pub index: usize,
    /// What is wrong: a lowercase sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// A compiled selection.
#[derive(Debug, Default)]
pub struct Selection {
    names: BTreeSet<String>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    index: usize,
    labels: LabelSelector,
    condition: Option<Condition>,
    group: u8,
}

impl Selection {
    /// Selects every object.
    pub fn everything() -> Self {
        let rule = Rule { index: 0, labels: LabelSelector::default(), condition: None, group: 0 };
        Self { names: BTreeSet::new(), rules: vec![rule] }
    }

    /// Compiles a selection.
    ///
    /// # Errors
    /// Every rule that can't be compiled.
    pub fn compile(spec: &SelectionSpec) -> Result<Self, Vec<RuleProblem>> {
        let mut rules = Vec::with_capacity(spec.rules.len());
        let mut problems = Vec::new();
        for rule in &spec.rules {
            let index = rule.index;
            match rule.condition.as_deref().map(Condition::compile).transpose() {
                Ok(condition) => {
                    rules.push(Rule { index, labels: rule.labels.clone(), condition, group: rule.group });
                }
                Err(Refusal { message, remedy }) => problems.push(RuleProblem { index, message, remedy }),
            }
        }
        if problems.is_empty() { Ok(Self { names: spec.names.clone(), rules }) } else { Err(problems) }
    }

    /// The gates through which an object would come in. A condition that can't be evaluated is not fulfilled, and is a problem
    /// wherever the gate of its rule is open.
    pub fn gates(&self, document: &Document<'_>, problems: &mut Vec<(Gates, AttributeProblem)>) -> Gates {
        let wish = Wish::of(document.label(WATCH_LABEL));
        if wish == Wish::Disabled || (!self.names.is_empty() && !self.names.contains(document.name())) {
            return Gates::NONE;
        }
        let mut gates = Gates::NONE;
        for rule in &self.rules {
            let gate = Gates::of(rule.group, wish);
            // One rule of a group is enough.
            if gates.meets(gate) || !rule.labels.matches(|key| document.label(key)) {
                continue;
            }
            let holds =
                rule.condition.as_ref().map_or(Ok(true), |condition| condition.holds(document.root()));
            match holds {
                Ok(true) => gates = gates.with(gate),
                Ok(false) => {}
                Err(message) => {
                    problems.push((gate, AttributeProblem { attribute: rule_name(rule.index), message }));
                }
            }
        }
        gates
    }

    /// The same as [`Selection::gates`], step by step: for people who ask why an object is selected or not.
    pub fn explain(&self, document: &Document<'_>) -> Explanation {
        let explain = |rule: &Rule| {
            let holds = if !rule.labels.matches(|key| document.label(key)) {
                Ok(false)
            } else {
                rule.condition.as_ref().map_or(Ok(true), |condition| condition.holds(document.root()))
            };
            ExplainedRule { index: rule.index, group: rule.group, holds }
        };
        Explanation {
            wish: Wish::of(document.label(WATCH_LABEL)),
            has_name: self.names.is_empty() || self.names.contains(document.name()),
            rules: self.rules.iter().map(explain).collect(),
        }
    }

    /// Adds what the selection reads of an object besides identity and labels.
    pub(super) fn add_reads(&self, reads: &mut Reads) {
        for condition in self.rules.iter().filter_map(|rule| rule.condition.as_ref()) {
            reads.merge(condition.reads());
        }
    }
}

/// What a selection makes of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the object says about being collected.
    pub wish: Wish,
    /// Whether its name is one of those asked for.
    pub has_name: bool,
    /// What each of the rules makes of it.
    pub rules: Vec<ExplainedRule>,
}

/// What a rule makes of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedRule {
    /// [`RuleSpec::index`].
    pub index: usize,
    /// [`RuleSpec::group`].
    pub group: u8,
    /// Whether the object fulfils it, or why that can't be told.
    pub holds: Result<bool, String>,
}

impl Explanation {
    /// The gates through which the object would come in if this were its wish.
    pub fn gates(&self, wish: Wish) -> Gates {
        let fulfilled = self.rules.iter().filter(|rule| self.has_name && rule.holds == Ok(true));
        fulfilled.fold(Gates::NONE, |gates, rule| gates.with(Gates::of(rule.group, wish)))
    }
}

/// How problems call a rule.
fn rule_name(index: usize) -> String {
    format!("resourceRules[{index}].matchPolicy")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::{Value, json};

    use super::super::projection::Projection;
    use super::super::selector::{Operator, Requirement};
    use super::*;

    fn object(labels: Value, spec: Value) -> String {
        json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "n", "labels": labels}, "spec": spec})
            .to_string()
    }

    fn gates(selection: &Selection, object: &str) -> (Gates, Vec<(Gates, AttributeProblem)>) {
        let projection = Projection::new([], [selection]);
        let document = Document::parse_projected(object.as_bytes(), &projection).unwrap();
        let mut problems = Vec::new();
        (selection.gates(&document, &mut problems), problems)
    }

    fn labels(key: &str, value: &str) -> LabelSelector {
        LabelSelector::new([(key.to_owned(), value.to_owned())].into(), Vec::new()).unwrap()
    }

    #[test]
    fn without_names_and_conditions_everything_comes_in_by_its_wish() {
        let everything = Selection::everything();
        for (watch, expected) in [
            (None, Gates::of(0, Wish::Unsaid)),
            (Some("maybe"), Gates::of(0, Wish::Unsaid)),
            (Some("enabled"), Gates::of(0, Wish::Enabled)),
            (Some("disabled"), Gates::NONE),
        ] {
            let labels = watch.map_or(json!({}), |watch| json!({ WATCH_LABEL: watch }));
            assert_eq!(gates(&everything, &object(labels, json!({}))), (expected, vec![]), "{watch:?}");
        }
    }

    #[test]
    fn names_are_asked_for_whatever_the_rules_say() {
        let rules = vec![RuleSpec::default()];
        for (names, selected) in [(&["n", "m"][..], true), (&["m"], false), (&[], true)] {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let selection = Selection::compile(&SelectionSpec { names, rules: rules.clone() }).unwrap();
            assert_eq!(gates(&selection, &object(json!({}), json!({}))).0 != Gates::NONE, selected);
        }
    }

    #[test]
    fn an_object_comes_in_by_every_group_of_which_it_fulfils_a_rule() {
        let rule = |labels, condition: Option<&str>, group| RuleSpec {
            index: 0,
            labels,
            condition: condition.map(str::to_owned),
            group,
        };
        let not_test = LabelSelector::new(
            Default::default(),
            vec![Requirement {
                key: "stage".to_owned(),
                operator: Operator::NotIn,
                values: vec!["test".to_owned()],
            }],
        );
        let spec = SelectionSpec {
            names: BTreeSet::new(),
            rules: vec![
                rule(labels("app", "web"), None, 0),
                rule(labels("app", "db"), Some("object.spec.size > 3"), 0),
                rule(not_test.unwrap(), Some("object.spec.size > 5"), 1),
            ],
        };
        let selection = Selection::compile(&spec).unwrap();
        let (first, second) = (Gates::of(0, Wish::Unsaid), Gates::of(1, Wish::Unsaid));
        for (labels, size, expected) in [
            (json!({"app": "web"}), 1, first),
            (json!({"app": "web"}), 6, first.with(second)),
            (json!({"app": "db"}), 3, Gates::NONE),
            (json!({"app": "db"}), 4, first),
            (json!({"app": "web", "stage": "test"}), 6, first),
            (json!({"app": "other"}), 6, second),
            (json!({"app": "other"}), 4, Gates::NONE),
        ] {
            let object = object(labels.clone(), json!({ "size": size }));
            assert_eq!(gates(&selection, &object), (expected, vec![]), "{labels} {size}");
            let explanation = selection.explain(&Document::parse(object.as_bytes()).unwrap());
            assert_eq!(explanation.gates(explanation.wish), expected);
        }
    }

    #[test]
    fn a_condition_that_fails_or_is_no_truth_value_selects_nothing_and_is_a_problem() {
        for (condition, part) in [("object.spec.none > 3", "none"), ("object.spec.size", "true or false")] {
            let rules =
                vec![RuleSpec { index: 3, condition: Some(condition.to_owned()), ..RuleSpec::default() }];
            let selection = Selection::compile(&SelectionSpec { rules, ..Default::default() }).unwrap();
            let (gates, problems) = gates(&selection, &object(json!({}), json!({"size": 7})));
            assert_eq!(gates, Gates::NONE);
            let (gate, problem) = &problems[0];
            assert_eq!(*gate, Gates::of(0, Wish::Unsaid));
            assert_eq!(problem.attribute, "resourceRules[3].matchPolicy");
            assert!(problem.message.contains(part), "{}", problem.message);
        }
    }

    #[test]
    fn rules_that_do_not_compile_are_named() {
        let rule = |index, condition: &str| RuleSpec {
            index,
            condition: Some(condition.to_owned()),
            ..Default::default()
        };
        let spec = SelectionSpec {
            rules: vec![rule(0, "true"), rule(1, "object.("), rule(2, "obj")],
            ..Default::default()
        };
        let problems = Selection::compile(&spec).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.index).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn gates_are_sets() {
        let all = (0..MAX_GROUPS)
            .flat_map(|group| [Wish::Unsaid, Wish::Enabled].map(|wish| Gates::of(group, wish)));
        let all: BTreeSet<Gates> = all.collect();
        assert_eq!(all.len(), 64);
        assert_eq!(all.iter().fold(Gates::NONE, |sum, gate| sum.with(*gate)), Gates::ALL);
        let (a, b) = (Gates::of(0, Wish::Unsaid), Gates::of(0, Wish::Enabled));
        assert!(
            a.with(b).meets(a)
                && !a.meets(b)
                && !a.with(b).without(a).meets(a)
                && !Gates::NONE.meets(Gates::ALL)
        );
    }
}
