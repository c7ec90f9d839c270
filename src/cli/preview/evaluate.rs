//! Evaluates one profile on all objects of its kind: what the graph would do, for one list and without a graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use indicatif::ProgressBar;
use kollect_dataflows::data::{Row, RowParts, TargetName};
use kollect_dataflows::extract::{Document, Extraction, Profile};
use tokio_util::sync::CancellationToken;

use super::ProfilePreview;
use crate::cli::problems::Problem;
use crate::cli::rows::RowView;
use crate::sources::{Closed, Event, EventSink, Mode, ObjectName, Source};

/// The rows and problems that a profile gives for the objects of a source. Rows stand in the order of an export.
pub(super) async fn evaluate(
    name: &TargetName,
    profile: Arc<Profile>,
    source: &dyn Source,
    progress: &ProgressBar,
) -> ProfilePreview {
    let gvk = Arc::clone(profile.gvk());
    let mut taken = Taken {
        resource: format!("KollectProfile {name}"),
        target: Arc::new(name.clone()),
        profile,
        progress: progress.clone(),
        objects: BTreeMap::new(),
        problems: Vec::new(),
        complete: false,
    };
    source.watch(&gvk, Mode::Once, &mut taken, &CancellationToken::new()).await;
    let mut rows = Vec::new();
    let (complete, mut problems) = (taken.complete, taken.problems);
    for (row, of_row) in taken.objects.into_values() {
        rows.extend(row);
        problems.extend(of_row);
    }
    rows.sort_unstable();
    let rows = rows.iter().map(RowView::from).collect();
    ProfilePreview { profile: name.to_string(), gvk: gvk.to_string(), rows, problems, complete }
}

/// Takes the events of one list.
struct Taken {
    resource: String,
    target: Arc<TargetName>,
    profile: Arc<Profile>,
    progress: ProgressBar,
    /// Each object's row, and its problems.
    objects: BTreeMap<ObjectName, (Option<Row>, Vec<Problem>)>,
    /// Problems of the source.
    problems: Vec<Problem>,
    complete: bool,
}

#[async_trait]
impl EventSink for Taken {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        match event {
            Event::ListBegin => self.objects.clear(),
            Event::Object { name, json, .. } => {
                let result = self.object(&name, &json);
                self.objects.insert(name, result);
                self.progress.inc(1);
            }
            Event::Deleted { name, .. } => {
                self.objects.remove(&name);
            }
            Event::ListEnd => self.complete = true,
            Event::Problem(problem) => self.problems.push(Problem {
                resource: Some(self.resource.clone()),
                reason: problem.reason.to_owned(),
                message: problem.message,
                remedy: Some(problem.remedy),
                ..Problem::default()
            }),
            Event::Recovered => self.problems.clear(),
        }
        Ok(())
    }
}

impl Taken {
    fn object(&self, name: &ObjectName, json: &[u8]) -> (Option<Row>, Vec<Problem>) {
        let document = match Document::parse(json) {
            Ok(document) => document,
            Err(error) => {
                let remedy = "correct the object";
                return (None, vec![self.problem(name, "Unreadable", error.to_string(), remedy)]);
            }
        };
        let Extraction { attributes, problems } = self.profile.evaluate(&document);
        let incomplete: Vec<&str> = problems.iter().map(|problem| problem.attribute.as_str()).collect();
        let row = Row::new(RowParts {
            target: &self.target,
            gvk: self.profile.gvk(),
            namespace: document.namespace(),
            name: document.name(),
            uid: document.uid(),
            attributes: &attributes,
            incomplete: &incomplete,
        });
        let problems = problems.iter().map(|problem| {
            let message = format!("attribute {}: {}", problem.attribute, problem.message);
            self.problem(
                name,
                "ExtractionFailed",
                message,
                "make the attribute optional, give it a default, or correct its path; for an exported object, correct what it prunes",
            )
        });
        (Some(row), problems.collect())
    }

    fn problem(&self, object: &ObjectName, reason: &str, message: String, remedy: &str) -> Problem {
        let kind = &self.profile.gvk().kind;
        let ObjectName { namespace, name } = object;
        let object = if namespace.is_empty() {
            format!("{kind}/{name}")
        } else {
            format!("{namespace}/{kind}/{name}")
        };
        Problem {
            resource: Some(self.resource.clone()),
            object: Some(object),
            reason: reason.to_owned(),
            message,
            remedy: Some(remedy.to_owned()),
            ..Problem::default()
        }
    }
}
