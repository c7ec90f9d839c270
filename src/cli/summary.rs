//! The summary at the end of `kollect collect`: what every inventory holds and what every destination got.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::{Serialize, Serializer};

use super::failure::Outcome;
use super::output::Report;
use super::problems::{self, Problem};
use super::rollups::{self, RollupSummary};
use super::table::{Cell, Table, printable};

/// Problems that the table shows; `-o json` has all of them.
const SHOWN_PROBLEMS: usize = 20;

const BOLD: Style = Style::new().bold();

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Every inventory, in the order of its name.
    pub inventories: Vec<InventorySummary>,
    /// The rollups of inventories and the metrics of profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollups: Vec<RollupSummary>,
    /// Everything that went wrong, except at destinations.
    pub problems: Vec<Problem>,
    /// Whether there are targets that read objects, and whether the objects of any could be read.
    #[serde(skip)]
    pub read: Read,
}

/// Whether objects could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// There were none to be read.
    #[default]
    Unasked,
    /// Those of no target.
    Nothing,
    /// Those of some targets.
    Some,
}

/// What became of one inventory.
#[derive(Clone, Debug, Default)]
pub struct InventorySummary {
    /// Namespace and name (`shop/fleet`), or the name of a cluster inventory.
    pub inventory: String,
    /// Rows that it holds.
    pub rows: u64,
    /// Problems of its targets and their objects.
    pub problems: u64,
    /// Where its rows went.
    pub destinations: Vec<DestinationSummary>,
}

/// What one destination of an inventory got.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationSummary {
    /// Backend and name (`sqlite/shop/reports`), or a directory.
    pub destination: String,
    /// Rows that are new there.
    pub inserted: u64,
    /// Rows whose content was replaced there.
    pub updated: u64,
    /// Rows that were removed there.
    pub deleted: u64,
    /// Files written there.
    pub files_written: u64,
    /// Files removed there.
    pub files_removed: u64,
    /// How it ended.
    pub state: State,
    /// Why, when it is not done: what went wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How the export to a destination ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The destination holds exactly the rows of the inventory.
    Done,
    /// The destination holds the rows of the targets that could be read; the rows of the others are as they were.
    Partial,
    /// The destination does not hold the rows of the inventory.
    Failed,
}

impl InventorySummary {
    fn total(&self, count: impl Fn(&DestinationSummary) -> u64) -> u64 {
        self.destinations.iter().map(count).sum()
    }
}

impl Serialize for InventorySummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WithTotals<'a> {
            inventory: &'a str,
            rows: u64,
            /// Over all destinations, as the next two.
            inserted: u64,
            updated: u64,
            deleted: u64,
            problems: u64,
            destinations: &'a [DestinationSummary],
        }
        WithTotals {
            inventory: &self.inventory,
            rows: self.rows,
            inserted: self.total(|d| d.inserted),
            updated: self.total(|d| d.updated),
            deleted: self.total(|d| d.deleted),
            problems: self.problems,
            destinations: &self.destinations,
        }
        .serialize(serializer)
    }
}

impl Summary {
    /// Takes in what another place gave.
    pub fn add(&mut self, other: Self) {
        self.inventories.extend(other.inventories);
        self.rollups.extend(other.rollups);
        self.problems.extend(other.problems);
        self.read = self.read.max(other.read);
    }

    /// The outcome of the run: failed when nothing could be read, part failed as soon as there is any problem or a
    /// destination that is not done.
    pub fn outcome(&self) -> Outcome {
        if self.read == Read::Nothing {
            return Outcome::Failed;
        }
        let mut destinations = self.inventories.iter().flat_map(|inventory| &inventory.destinations);
        if self.problems.is_empty() && destinations.all(|destination| destination.state == State::Done) {
            Outcome::Done
        } else {
            Outcome::PartFailed
        }
    }
}

impl Report for Summary {
    fn table(&self) -> String {
        let headers = [
            "inventory",
            "rows",
            "inserted",
            "updated",
            "deleted",
            "files",
            "problems",
            "destination",
            "state",
        ];
        let mut table = Table::new(headers).right(1..=6);
        let mut messages = String::new();
        for inventory in &self.inventories {
            let row = |counts: [String; 4], destination: Cell, state: Cell| {
                let [inserted, updated, deleted, files] = counts.map(Cell::from);
                [
                    inventory.inventory.clone().into(),
                    inventory.rows.to_string().into(),
                    inserted,
                    updated,
                    deleted,
                    files,
                    inventory.problems.to_string().into(),
                    destination,
                    state,
                ]
            };
            if inventory.destinations.is_empty() {
                table.row(row(["-"; 4].map(Into::into), "-".into(), "-".into()));
            }
            for destination in &inventory.destinations {
                let DestinationSummary { inserted, updated, deleted, .. } = destination;
                let files = destination.files_written + destination.files_removed;
                table.row(row(
                    [inserted, updated, deleted, &files].map(ToString::to_string),
                    destination.destination.clone().into(),
                    destination.state.cell(),
                ));
                if let Some(message) = &destination.message {
                    let _ = writeln!(
                        messages,
                        "{BOLD}{}  {}{BOLD:#}\n  {}",
                        printable(&inventory.inventory),
                        printable(&destination.destination),
                        printable(message)
                    );
                }
            }
        }
        let mut out =
            if table.is_empty() { "No inventory was collected.\n".to_owned() } else { table.render() };
        for part in
            [messages, rollups::render(&self.rollups), problems::render(&self.problems, SHOWN_PROBLEMS)]
        {
            if !part.is_empty() {
                out.push('\n');
                out.push_str(&part);
            }
        }
        out
    }
}

impl State {
    fn cell(self) -> Cell {
        let (text, color) = match self {
            Self::Done => ("done", AnsiColor::Green),
            Self::Partial => ("partial", AnsiColor::Yellow),
            Self::Failed => ("failed", AnsiColor::Red),
        };
        Cell::styled(text, color.on_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::cli::output::Format;

    fn destination(name: &str, state: State, message: Option<&str>) -> DestinationSummary {
        DestinationSummary {
            destination: name.into(),
            inserted: 60,
            updated: 1,
            deleted: 2,
            files_written: 3,
            files_removed: 1,
            state,
            message: message.map(Into::into),
        }
    }

    fn summary(destinations: Vec<DestinationSummary>) -> Summary {
        Summary {
            inventories: vec![InventorySummary {
                inventory: "shop/fleet".into(),
                rows: 63,
                problems: 0,
                destinations,
            }],
            ..Summary::default()
        }
    }

    #[test]
    fn the_table_has_a_line_a_destination_and_says_why_one_failed() {
        let summary = summary(vec![
            destination("sqlite/shop/reports", State::Done, None),
            destination("postgres/shop/portal", State::Failed, Some("db.example:5432 refuses; start it")),
        ]);
        assert_eq!(
            anstream::adapter::strip_str(&summary.table()).to_string(),
            "\
INVENTORY    ROWS   INSERTED   UPDATED   DELETED   FILES   PROBLEMS   DESTINATION            STATE
shop/fleet     63         60         1         2       4          0   sqlite/shop/reports    done
shop/fleet     63         60         1         2       4          0   postgres/shop/portal   failed

shop/fleet  postgres/shop/portal
  db.example:5432 refuses; start it
"
        );
    }

    #[test]
    fn json_and_yaml_hold_the_same_and_totals_over_destinations() {
        let summary = summary(vec![
            destination("sqlite/shop/reports", State::Done, None),
            destination("local/shop/files", State::Partial, None),
        ]);
        let json: Value = serde_json::from_str(&summary.render(Format::Json).unwrap()).unwrap();
        assert_eq!(json["inventories"][0]["inserted"], json!(120));
        assert_eq!(json["inventories"][0]["destinations"][1]["state"], json!("partial"));
        let yaml: Value = serde_saphyr::from_str(&summary.render(Format::Yaml).unwrap()).unwrap();
        assert_eq!(yaml, json);
    }

    #[test]
    fn any_problem_or_unfinished_destination_makes_it_part_failed() {
        let done = summary(vec![destination("a", State::Done, None)]);
        assert_eq!(done.outcome(), Outcome::Done);
        for state in [State::Partial, State::Failed] {
            assert_eq!(summary(vec![destination("a", state, None)]).outcome(), Outcome::PartFailed);
        }
        let mut troubled = done;
        troubled.problems.push(Problem { reason: "ProfileInvalid".into(), ..Problem::default() });
        assert_eq!(troubled.outcome(), Outcome::PartFailed);
        troubled.add(Summary { read: Read::Nothing, ..Summary::default() });
        assert_eq!(troubled.outcome(), Outcome::Failed);
        // One place of several is enough.
        troubled.add(Summary { read: Read::Some, ..Summary::default() });
        assert_eq!(troubled.outcome(), Outcome::PartFailed);
    }
}
