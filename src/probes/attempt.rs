//! One attempt.

use async_trait::async_trait;
use kollect_dataflows::extract::{Document, Profile};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, Subject};
use crate::sinks::SinkConfig;
use crate::sources::{Closed, Event, EventSink, Mode, Source, SourceProblem};

type Why = (String, String);

/// Tries everything of a subject: what was found, or the first that does not work.
pub(super) async fn attempt(subject: &Subject, source: &dyn Source) -> Result<String, Why> {
    if let Some(impediment) = &subject.impediment {
        return Err(impediment.clone());
    }
    let mut found = Vec::new();
    if let Some(sink) = &subject.sink {
        let reached = in_time("SinkUnreachable", "the destination", reach(sink));
        found.push(reached.await?);
    }
    if let Some(profile) = &subject.profile {
        let evaluated = in_time("SourceUnavailable", "the API server", evaluate(profile, source));
        found.push(evaluated.await?);
    }
    Ok(found.join("; "))
}

async fn in_time(
    reason: &str,
    whose: &str,
    attempt: impl Future<Output = Result<String, Why>>,
) -> Result<String, Why> {
    let late = || (reason.to_owned(), format!("{whose} did not answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|_| Err(late()))
}

async fn reach(sink: &SinkConfig) -> Result<String, Why> {
    match sink.probe().await {
        Ok(()) => Ok(format!("{} can be reached and used", sink.describe())),
        Err(error) => Err((error.reason().to_owned(), error.to_string())),
    }
}

/// Evaluates a profile on the first object that the source gives. Neither its name nor its content is told.
async fn evaluate(profile: &Profile, source: &dyn Source) -> Result<String, Why> {
    let gvk = profile.gvk();
    let mut first = First { profile, evaluated: None, problem: None };
    source.watch(gvk, Mode::Once, &mut first, &CancellationToken::new()).await;
    match (first.evaluated, first.problem) {
        (Some(Ok(())), _) => Ok(format!("one object of kind {gvk} was evaluated")),
        (Some(Err(message)), _) => Err((
            "ExtractionFailed".to_owned(),
            format!("an object of kind {gvk} could not be evaluated: {message}; correct the profile"),
        )),
        (None, Some(problem)) => Err((problem.reason.to_owned(), problem.to_string())),
        (None, None) => Ok(format!("there is no object of kind {gvk} to evaluate")),
    }
}

/// Takes one object, and then no more.
struct First<'a> {
    profile: &'a Profile,
    evaluated: Option<Result<(), String>>,
    problem: Option<SourceProblem>,
}

#[async_trait]
impl EventSink for First<'_> {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        match event {
            Event::Object { json, .. } => {
                self.evaluated = Some(self.evaluate(&json));
                Err(Closed)
            }
            Event::ListEnd => Err(Closed),
            Event::Problem(problem) => {
                self.problem = Some(problem);
                Ok(())
            }
            Event::Recovered => {
                self.problem = None;
                Ok(())
            }
            Event::ListBegin | Event::Deleted { .. } => Ok(()),
        }
    }
}

impl First<'_> {
    fn evaluate(&self, json: &[u8]) -> Result<(), String> {
        let document = Document::parse(json).map_err(|error| error.to_string())?;
        match self.profile.evaluate(&document).problems.first() {
            None => Ok(()),
            Some(problem) => Err(format!("attribute {}: {}", problem.attribute, problem.message)),
        }
    }
}
