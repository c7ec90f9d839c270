//! What the observation of objects gives: differences of rows and problems.

use serde::{Deserialize, Serialize};

use super::command::ListId;
use super::epochs::Work;
use super::facts::Definition;
use super::views::{SightChanges, ViewId, ViewOf, Views};
use crate::data::{Row, TargetId};

/// Why a row is incomplete, or why an object gave none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// Namespace of the object, empty for a cluster-scoped one.
    pub namespace: String,
    /// Name of the object; empty when the object could not be read at all.
    pub name: String,
    /// The attribute that could not be evaluated; empty when the whole object could not be read.
    pub attribute: String,
    /// What went wrong: a lowercase sentence. Never a value of the object.
    pub message: String,
}

/// Everything that one batch of commands gave.
#[derive(Default)]
pub(super) struct Differences {
    pub(super) rows: Vec<((ViewId, Row), isize)>,
    pub(super) problems: Vec<((ViewId, Problem), isize)>,
    pub(super) sights: SightChanges,
    pub(super) rollups: Vec<(Definition, isize)>,
    pub(super) work: Work,
    pub(super) lists: Vec<ListId>,
    pub(super) marks: Vec<u64>,
}

/// One row that an object gave to one target.
pub(super) struct Given {
    pub(super) target: TargetId,
    pub(super) view: ViewId,
    pub(super) row: Row,
}

/// One problem that a target has with an object.
pub(super) struct Trouble {
    pub(super) target: TargetId,
    view: ViewId,
    problem: Problem,
}

/// Where a batch puts what it makes: the differences, and the views that rows enter and leave.
pub(super) struct Output<'a> {
    pub(super) differences: &'a mut Differences,
    pub(super) views: &'a mut Views,
}

impl Output<'_> {
    pub(super) fn insert(&mut self, view: ViewOf<'_>, row: Row) -> Given {
        let target = view.target;
        let view = self.views.enter(view);
        self.views.count_row(view, 1);
        self.differences.rows.push(((view, row.clone()), 1));
        Given { target, view, row }
    }

    /// Puts another row in place of one of the same view.
    pub(super) fn replace(&mut self, given: &mut Given, row: Row) {
        let old = std::mem::replace(&mut given.row, row.clone());
        self.differences.rows.extend([((given.view, old), -1), ((given.view, row), 1)]);
    }

    pub(super) fn retract(&mut self, given: &Given) {
        self.views.count_row(given.view, -1);
        self.views.leave(given.view);
        self.differences.rows.push(((given.view, given.row.clone()), -1));
    }

    pub(super) fn insert_problem(&mut self, view: ViewOf<'_>, problem: Problem) -> Trouble {
        let target = view.target;
        let view = self.views.enter(view);
        self.differences.problems.push(((view, problem.clone()), 1));
        Trouble { target, view, problem }
    }

    pub(super) fn retract_problem(&mut self, trouble: &Trouble) {
        self.views.leave(trouble.view);
        self.differences.problems.push(((trouble.view, trouble.problem.clone()), -1));
    }
}
