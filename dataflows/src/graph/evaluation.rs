//! What a target gets from one object.

use serde::Deserialize;
use smallvec::SmallVec;

use super::differences::Problem;
use super::facts::TargetPlan;
use super::views::ViewOf;
use crate::data::{Row, RowParts};
use crate::extract::{AttributeProblem, Document, Gates};

/// What a target gets from an object.
pub(super) struct Evaluated {
    /// The row, if the target selects the object, and the gates through which it comes in.
    pub(super) row: Option<(Gates, Row)>,
    /// Problems, and the gates where they show.
    pub(super) problems: Vec<(Gates, Problem)>,
}

/// What can be told of an object that can't be read as a whole.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Identity {
    /// Takes namespace and name out of the text, and skips everything else, however deep it is.
    pub(super) fn of(json: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Outline {
            metadata: Identity,
        }
        serde_json::from_slice::<Outline>(json).unwrap_or_default().metadata
    }
}

impl TargetPlan {
    pub(super) fn view<'a>(&self, namespace: &'a str, gates: Gates) -> ViewOf<'a> {
        ViewOf { target: self.id, setting: self.setting, namespace, gates }
    }
}

/// What a target gets from an object.
pub(super) fn evaluate(plan: &TargetPlan, document: &Document<'_>) -> Evaluated {
    let problem = |AttributeProblem { attribute, message }| {
        let (namespace, name) = (document.namespace().to_owned(), document.name().to_owned());
        Problem { namespace, name, attribute, message }
    };
    let mut of_rules = Vec::new();
    let gates = plan.selection.gates(document, &mut of_rules);
    let mut problems: Vec<_> = of_rules.into_iter().map(|(gate, what)| (gate, problem(what))).collect();
    if gates == Gates::NONE {
        return Evaluated { row: None, problems };
    }
    let extraction = plan.profile.evaluate(document);
    let row = {
        let incomplete: SmallVec<[&str; 4]> =
            extraction.problems.iter().map(|problem| problem.attribute.as_str()).collect();
        Row::new(RowParts {
            target: &plan.name,
            gvk: plan.profile.gvk(),
            namespace: document.namespace(),
            name: document.name(),
            uid: document.uid(),
            attributes: &extraction.attributes,
            incomplete: &incomplete,
        })
    };
    problems.extend(extraction.problems.into_iter().map(|what| (gates, problem(what))));
    Evaluated { row: Some((gates, row)), problems }
}
