//! Why an object is or is not a row: the plan applied to one object, step by step. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kollect_dataflows::data::{Row, RowParts, TargetName};
use kollect_dataflows::extract::{Document, Explanation, Gates, Wish};
use serde::Serialize;

use crate::api::Dedupe;
use crate::catalog::{ActiveTarget, Plan, Sight, TargetPlan};
use crate::cli::rows::RowView;

/// What a target makes of the object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetVerdict {
    /// Namespace and name of the target.
    pub target: String,
    /// Whether it selects the object.
    pub selected: bool,
    /// Why, or why not.
    pub because: String,
    /// The row that the object gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<RowView>,
    /// What could not be evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Fault>,
}

/// Something that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The attribute, or the rule.
    pub attribute: String,
    /// Why.
    pub message: String,
}

/// What an inventory makes of the rows that the object gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryVerdict {
    /// Namespace and name of the inventory.
    pub inventory: String,
    /// The targets whose rows of the object it holds.
    pub rows: Vec<String>,
    /// Why, or why there are no more.
    pub because: String,
}

/// What the targets of a plan make of an object of their kind.
pub(super) fn targets(plan: &Plan, document: &Document<'_>) -> Vec<TargetVerdict> {
    let verdict = |(name, target): (&TargetName, &TargetPlan)| match target {
        TargetPlan::Held { message, .. } => Some(TargetVerdict {
            target: name.to_string(),
            selected: false,
            because: format!("the target is on hold: {message}"),
            row: None,
            problems: Vec::new(),
        }),
        TargetPlan::Active(active) => reads(active, document).then(|| judge(name, active, document)),
    };
    plan.targets.iter().filter_map(verdict).collect()
}

/// Whether a target reads objects of this kind.
fn reads(target: &ActiveTarget, document: &Document<'_>) -> bool {
    let gvk = &target.gvk;
    (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str())
        == (document.group(), document.version(), document.kind())
}

fn judge(name: &TargetName, target: &ActiveTarget, document: &Document<'_>) -> TargetVerdict {
    let explanation = target.selection.explain(document);
    let has_rules = target.active_rules.is_some();
    let (selected, because) = selects(&explanation, &target.sight, document.namespace(), has_rules);
    let broken = explanation.rules.iter().filter_map(|rule| {
        let attribute = format!("resourceRules[{}].matchPolicy", rule.index);
        rule.holds.as_ref().err().map(|message| Fault { attribute, message: message.clone() })
    });
    let mut problems: Vec<Fault> = broken.collect();
    let row =
        selected.then(|| {
            let extraction = target.profile.evaluate(document);
            let incomplete: Vec<&str> =
                extraction.problems.iter().map(|problem| problem.attribute.as_str()).collect();
            let row = Row::new(RowParts {
                target: &Arc::new(name.clone()),
                gvk: &target.gvk,
                namespace: document.namespace(),
                name: document.name(),
                uid: document.uid(),
                attributes: &extraction.attributes,
                incomplete: &incomplete,
            });
            let failed = extraction.problems.iter();
            problems.extend(failed.map(|problem| Fault {
                attribute: problem.attribute.clone(),
                message: problem.message.clone(),
            }));
            RowView::from(&row)
        });
    TargetVerdict { target: name.to_string(), selected, because, row, problems }
}

/// Whether an object is selected, and the first thing that decides it.
fn selects(explanation: &Explanation, sight: &Sight, namespace: &str, has_rules: bool) -> (bool, String) {
    if explanation.wish == Wish::Disabled {
        return (false, "the object's label kollect.dev/watch says disabled".to_owned());
    }
    if !explanation.has_name {
        return (false, "its name is not among spec.names".to_owned());
    }
    let fulfilled: Vec<usize> =
        explanation.rules.iter().filter(|rule| rule.holds == Ok(true)).map(|rule| rule.index).collect();
    if fulfilled.is_empty() {
        let because = match (has_rules, explanation.rules.iter().any(|rule| rule.holds.is_err())) {
            (false, _) => "its labels do not fulfil spec.labelSelector",
            (true, false) => "it fulfils none of spec.resourceRules",
            (true, true) => "it fulfils none of spec.resourceRules; some could not be evaluated",
        };
        return (false, because.to_owned());
    }
    let place = if namespace.is_empty() { "cluster-scoped objects" } else { namespace };
    let Some(open) = sight.namespaces.get(namespace).copied().or(sight.everywhere) else {
        let because = if namespace.is_empty() {
            "the target selects namespaces, and the object is in none".to_owned()
        } else {
            format!("{namespace} is not among the namespaces in effect")
        };
        return (false, because);
    };
    if explanation.gates(explanation.wish).meets(open) {
        let rules: Vec<String> = fulfilled.iter().map(|index| format!("[{index}]")).collect();
        let what = if has_rules {
            format!("it fulfils spec.resourceRules{}", rules.join(", "))
        } else {
            "its labels and name fit".to_owned()
        };
        let place =
            if namespace.is_empty() { "cluster-scoped".to_owned() } else { format!("in {namespace}") };
        return (true, format!("{what}, and the target looks there ({place})"));
    }
    let asks = explanation.gates(Wish::Enabled).meets(open);
    let because = if asks {
        format!(
            "neither the object nor its namespace asks to be collected (kollect.dev/watch), as {place} must here"
        )
    } else if open == Gates::NONE {
        format!("no rule is for {place}")
    } else {
        format!("the rules that it fulfils are not for {place}")
    };
    (false, because)
}

/// What the inventories of a plan make of the rows that targets have of one object.
pub(super) fn inventories(plan: &Plan, targets: &[TargetVerdict]) -> Vec<InventoryVerdict> {
    let selected: BTreeMap<&str, bool> =
        targets.iter().map(|verdict| (verdict.target.as_str(), verdict.selected)).collect();
    let verdict = |(name, inventory): (&_, &crate::catalog::InventoryPlan)| {
        // In the order of their names, in which the first wins.
        let fed: Vec<String> = inventory.targets.iter().map(ToString::to_string).collect();
        let mut rows: Vec<String> =
            fed.iter().filter(|target| selected.get(target.as_str()) == Some(&true)).cloned().collect();
        let mut because = match rows.len() {
            0 if !fed.iter().any(|target| selected.contains_key(target.as_str())) => {
                "none of its targets reads objects of this kind".to_owned()
            }
            0 => "none of its targets selects the object".to_owned(),
            1 => "one of its targets selects the object".to_owned(),
            _ => "each target that selects the object gives a row (dedupe keepAll)".to_owned(),
        };
        if inventory.dedupe == Dedupe::ByResourceUid && rows.len() > 1 {
            rows.truncate(1);
            because = "several of its targets select the object, and the first by name gives the row (dedupe byResourceUID)"
                .to_owned();
        }
        if inventory.suspended {
            because.push_str("; the inventory is suspended, so nothing is exported");
        }
        InventoryVerdict { inventory: ToString::to_string(name), rows, because }
    };
    plan.inventories.iter().map(verdict).collect()
}
