//! One watch: the objects of one kind, from discovery to the last change.

use std::time::{Duration, Instant};

use futures::AsyncBufRead;
use kollect_dataflows::data::Gvk;

use super::backoff::Backoff;
use super::discovery::{Lookup, Resource};
use super::lines::Lines;
use super::object::{Bookmark, Page, RawObject, WatchLine};
use super::request::{self, Failure, Status};
use super::{InitialList, KubernetesSource, Reach};
use crate::sources::{Closed, Event, EventSink, Mode, SourceProblem};

/// Failures in a row after which an API server that can't be reached is reported; a restart of it goes unnoticed.
const FAILURES_TO_REPORT: u32 = 4;
/// Bytes that a page of a list should have.
const PAGE_BYTES: u64 = 4 << 20;
/// Objects in the first page of a list, when their size is not known yet.
const FIRST_PAGE: u32 = 50;
/// How long nothing may come of a streamed list before it is asked for in pages.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);
/// What a watch may take beyond the time it was asked for, before it counts as dead.
const GRACE: Duration = Duration::from_secs(30);

/// Where a watch looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Wherever there are objects.
    Anywhere,
    /// In one namespace.
    Namespace(&'a str),
    /// Among the objects that belong to no namespace.
    NoNamespace,
}

/// Why a watch came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody takes events any more.
    Closed,
    /// The one list is given, or can't be.
    Over,
    /// The kind belongs to namespaces and the watch looks outside of them, or the other way round.
    Elsewhere,
}

/// Why a step came to an end.
enum Halt {
    /// Nobody takes events any more.
    Closed,
    /// The one list that was asked for is complete.
    Done,
    /// The kind is not there.
    Missing(Lookup),
    /// The objects of the kind are not where the watch looks.
    Elsewhere,
    /// Objects that can't be taken were among those listed.
    Undecodable,
    /// A request failed.
    Failed(Failure),
}

impl From<Closed> for Halt {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) struct Watch<'a> {
    source: &'a KubernetesSource,
    gvk: &'a Gvk,
    place: Place<'a>,
    mode: Mode,
    events: &'a mut dyn EventSink,
    /// The objects of the kind turned out to be elsewhere.
    elsewhere: bool,
    backoff: Backoff,
    /// When the present watch was begun.
    watching_since: Option<Instant>,
    /// Failures since something went well.
    failures: u32,
    /// The problems reported since something went well.
    reported: Vec<SourceProblem>,
    /// Discovery must not be older than this.
    discovered_since: Option<Instant>,
    /// Where the watch goes on; `None` when everything has to be listed.
    resource_version: Option<String>,
    /// Whether the server has begun to answer with a list, so that there may be objects to lose.
    begun: bool,
    /// Whether lists come in pages.
    pages: bool,
    /// Streamed lists that broke off.
    broken_streams: u32,
    /// The size of the pages, as a multiple of what fits their objects; grows when a list expires before its end.
    stretch: u32,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        source: &'a KubernetesSource,
        gvk: &'a Gvk,
        place: Place<'a>,
        mode: Mode,
        events: &'a mut dyn EventSink,
    ) -> Self {
        let options = &source.options;
        Self {
            source,
            gvk,
            place,
            mode,
            events,
            elsewhere: false,
            backoff: Backoff::new(options.first_pause, options.longest_pause),
            watching_since: None,
            failures: 0,
            reported: Vec::new(),
            discovered_since: None,
            resource_version: None,
            begun: false,
            pages: options.initial_list == InitialList::Pages,
            broken_streams: 0,
            stretch: 1,
        }
    }

    /// Goes on until nobody takes events, the one list is given, or the objects are elsewhere.
    pub(super) async fn run(mut self) -> End {
        loop {
            self.watching_since = None;
            let result = self.step().await;
            // A watch that has held for a while is a success, even if nothing happened in it.
            if self.watching_since.is_some_and(|since| since.elapsed() >= self.source.options.longest_pause) {
                self.failures = 0;
                self.backoff.reset();
            }
            let halt = match result {
                Ok(()) => {
                    // One that ends at once, time and again, must not become a storm.
                    if self
                        .watching_since
                        .is_none_or(|since| since.elapsed() < self.source.options.first_pause)
                    {
                        tokio::time::sleep(self.backoff.pause()).await;
                    }
                    continue;
                }
                Err(halt) => halt,
            };
            let pause = match self.halted(halt).await {
                Ok(Some(pause)) => pause,
                Ok(None) if self.elsewhere => return End::Elsewhere,
                Ok(None) => return End::Over,
                Err(Closed) => return End::Closed,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks the kind up, lists what is to be listed, and watches until the server ends it.
    async fn step(&mut self) -> Result<(), Halt> {
        let source = self.source;
        let mut resource =
            match source.discovery.look_up(&source.client, self.gvk, self.discovered_since).await? {
                Lookup::Served(resource) => resource,
                lookup => return Err(Halt::Missing(lookup)),
            };
        match self.place {
            Place::Anywhere => {}
            Place::Namespace(namespace) if resource.namespaced => {
                resource.path = resource.path_in(namespace);
            }
            Place::NoNamespace if !resource.namespaced => {}
            Place::Namespace(_) | Place::NoNamespace => return Err(Halt::Elsewhere),
        }
        if !resource.can_list || (self.mode == Mode::Follow && !resource.can_watch) {
            let what = if resource.can_list { "watched" } else { "listed" };
            return Err(Failure::Refused(format!("objects of this kind can't be {what}")).into());
        }
        if let Some(version) = self.resource_version.clone() {
            return self.watch(&resource, &version).await;
        }
        if !self.pages && resource.can_watch {
            match self.stream_list(&resource).await {
                // The server can't do it, or only listing is allowed.
                Err(Halt::Failed(Failure::Refused(reason) | Failure::Denied(reason))) => {
                    tracing::debug!(kind = %self.gvk, reason, "no streamed list; listing in pages");
                    self.pages = true;
                }
                result => return result,
            }
        }
        let version = self.page_list(&resource).await?;
        if self.mode == Mode::Once {
            return Err(Halt::Done);
        }
        self.resource_version = Some(version.clone());
        self.watch(&resource, &version).await
    }

    /// Lists and then watches in one request.
    async fn stream_list(&mut self, resource: &Resource) -> Result<(), Halt> {
        let time = self.watch_time();
        let path = format!(
            "{}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds={}",
            resource.path,
            time.as_secs()
        );
        // Before it is asked for: what changes from now on may be missing in it.
        self.events.send(Event::ListBegin).await?;
        let mut lines = Lines::new(request::stream(&self.source.client, &path).await?, time + GRACE);
        self.begun = true;
        let mut undecodable = false;
        loop {
            let line = match tokio::time::timeout(STREAM_PATIENCE, lines.next()).await {
                Ok(line) => line,
                Err(_) => {
                    self.pages = true;
                    Err(Failure::Unavailable("the streamed list stands still".to_owned(), None))
                }
            };
            let Some(line) = line.transpose() else {
                return Err(self.broken_stream("the streamed list broke off".to_owned()));
            };
            match line {
                Ok(line) => match self.take(line).await? {
                    Taken::Change => {}
                    Taken::Undecodable => undecodable = true,
                    Taken::ListEnd(_) if undecodable => return Err(Halt::Undecodable),
                    Taken::ListEnd(version) => {
                        self.broken_streams = 0;
                        self.list_end(version).await?;
                        break;
                    }
                },
                Err(Failure::Unavailable(message, _)) => return Err(self.broken_stream(message)),
                Err(failure) => return Err(failure.into()),
            }
        }
        if self.mode == Mode::Once {
            return Err(Halt::Done);
        }
        self.follow(lines).await
    }

    /// Servers that do not know how to stream a list may begin as if they did: after some attempts it is pages.
    fn broken_stream(&mut self, message: String) -> Halt {
        self.broken_streams += 1;
        self.pages |= self.broken_streams > 1;
        Failure::Unavailable(message, None).into()
    }

    /// Lists in pages. Gives the version from which to watch.
    async fn page_list(&mut self, resource: &Resource) -> Result<String, Halt> {
        let most = self.source.options.page_size.max(1);
        let mut limit = FIRST_PAGE.min(most);
        let mut next = String::new();
        let mut undecodable = false;
        // Before it is asked for: what changes from now on may be missing in it.
        self.events.send(Event::ListBegin).await?;
        loop {
            let path =
                format!("{}?limit={}&continue={next}", resource.path, limit.saturating_mul(self.stretch));
            let body = match request::get(&self.source.client, &path).await {
                Err(Failure::Expired) => {
                    // It took too long to fetch. Fewer and larger pages take less time.
                    self.stretch = self.stretch.saturating_mul(4);
                    return Err(Failure::Expired.into());
                }
                body => body?,
            };
            let page: Page<'_> = serde_json::from_slice(&body).map_err(|error| {
                Failure::Unavailable(format!("a page of the list can't be read: {error}"), None)
            })?;
            self.begun = true;
            let items = page.items.unwrap_or_default();
            let average = (body.len() / items.len().max(1)).max(1) as u64;
            limit = (PAGE_BYTES / average).clamp(1, u64::from(most)) as u32;
            for item in items {
                match RawObject::take(item, self.gvk) {
                    Ok(object) => self.events.send(upsert(object)).await?,
                    Err(_) => {
                        undecodable = true;
                        self.report(undecodable_object(self.gvk)).await?;
                    }
                }
            }
            if page.metadata.next.is_empty() {
                if undecodable {
                    return Err(Halt::Undecodable);
                }
                let version = page.metadata.resource_version;
                self.list_end(version.clone()).await?;
                return Ok(version);
            }
            next = query_value(&page.metadata.next);
        }
    }

    async fn list_end(&mut self, version: String) -> Result<(), Closed> {
        self.well(true).await?;
        self.stretch = 1;
        self.resource_version = Some(version);
        self.events.send(Event::ListEnd).await
    }

    async fn watch(&mut self, resource: &Resource, version: &str) -> Result<(), Halt> {
        let time = self.watch_time();
        let path = format!(
            "{}?watch=true&resourceVersion={}&allowWatchBookmarks=true&timeoutSeconds={}",
            resource.path,
            query_value(version),
            time.as_secs()
        );
        let lines = match request::stream(&self.source.client, &path).await {
            // Whatever it dislikes, it may like a list better.
            Err(Failure::Refused(message)) => {
                self.resource_version = None;
                return Err(Failure::Unavailable(message, None).into());
            }
            lines => lines?,
        };
        if !self.reported.is_empty() {
            self.well(false).await?;
        }
        self.follow(Lines::new(lines, time + GRACE)).await
    }

    /// Takes changes until the server ends the watch.
    async fn follow(&mut self, mut lines: Lines<impl AsyncBufRead + Unpin>) -> Result<(), Halt> {
        self.watching_since = Some(Instant::now());
        while let Some(line) = lines.next().await? {
            match self.take(line).await? {
                Taken::Undecodable => {}
                Taken::Change | Taken::ListEnd(_) => self.well(false).await?,
            }
        }
        Ok(())
    }

    /// Takes one line of a watch.
    async fn take(&mut self, line: &[u8]) -> Result<Taken, Halt> {
        let Ok(WatchLine { change, object }) = serde_json::from_slice(line) else {
            // Anything else than an event is an error of a server in between.
            if let Ok(status) = serde_json::from_slice::<Status>(line)
                && status.code >= 400
            {
                return Err(status.into_failure(None).into());
            }
            self.report(undecodable_object(self.gvk)).await?;
            return Ok(Taken::Undecodable);
        };
        let deleted = match &*change {
            "ADDED" | "MODIFIED" => false,
            "DELETED" => true,
            "BOOKMARK" => {
                let Ok(bookmark) = serde_json::from_str::<Bookmark>(object.get()) else {
                    return Ok(Taken::Change);
                };
                let ends_list = bookmark.ends_list();
                let version = bookmark.resource_version();
                if self.resource_version.is_some() {
                    self.resource_version = Some(version.clone());
                }
                return Ok(if ends_list { Taken::ListEnd(version) } else { Taken::Change });
            }
            "ERROR" => {
                let status: Status = serde_json::from_str(object.get()).unwrap_or_default();
                return Err(match status.into_failure(None) {
                    // A version that is ahead of the server's (after it was restored, say) is as useless as an old one.
                    Failure::Unavailable(message, _) if message.contains("Too large resource version") => {
                        Failure::Expired
                    }
                    Failure::Refused(_) | Failure::NotFound => Failure::Expired,
                    failure => failure,
                }
                .into());
            }
            _ => return Ok(Taken::Change),
        };
        let Ok(object) = RawObject::take(object, self.gvk) else {
            self.report(undecodable_object(self.gvk)).await?;
            return Ok(Taken::Undecodable);
        };
        if self.resource_version.is_some() {
            self.resource_version = Some(object.resource_version.clone());
        }
        let event = if deleted {
            Event::Deleted { version: object.version(), name: object.name }
        } else {
            upsert(object)
        };
        self.events.send(event).await?;
        Ok(Taken::Change)
    }

    /// Something went well: problems are over, but that of an object that can't be read only with the next complete list.
    async fn well(&mut self, listed: bool) -> Result<(), Closed> {
        self.failures = 0;
        self.backoff.reset();
        self.discovered_since = None;
        let before = self.reported.len();
        self.reported.retain(|problem| !listed && problem.reason == "Unreadable");
        if self.reported.len() < before {
            self.events.send(Event::Recovered).await?;
            for problem in self.reported.clone() {
                self.events.send(Event::Problem(problem)).await?;
            }
        }
        Ok(())
    }

    /// Reports a problem once.
    async fn report(&mut self, problem: SourceProblem) -> Result<(), Closed> {
        if self.reported.contains(&problem) {
            return Ok(());
        }
        self.reported.push(problem.clone());
        self.events.send(Event::Problem(problem)).await
    }

    /// Decides how to go on after a step that did not go well: after a pause, or (`None`) not at all.
    async fn halted(&mut self, halt: Halt) -> Result<Option<Duration>, Closed> {
        let once = self.mode == Mode::Once;
        let failure = match halt {
            Halt::Closed => return Err(Closed),
            Halt::Done => return Ok(None),
            Halt::Missing(lookup) => return self.missing(lookup).await,
            Halt::Elsewhere => return self.elsewhere().await,
            Halt::Undecodable => {
                self.resource_version = None;
                return Ok((!once).then_some(self.source.options.longest_pause));
            }
            Halt::Failed(failure) => failure,
        };
        self.failures += 1;
        let mut pause = self.backoff.pause();
        let problem = match failure {
            Failure::Expired if once && self.failures >= FAILURES_TO_REPORT => SourceProblem {
                reason: "SourceUnavailable",
                message: format!("{}: the list expires before it is complete", self.gvk),
                remedy: "let the API server keep versions for longer, or look at what slows the list down"
                    .to_owned(),
            },
            Failure::Expired => {
                tracing::info!(kind = %self.gvk, "listing again: the watch can't be taken up where it was");
                self.resource_version = None;
                return Ok(Some(if self.failures > 1 { pause } else { Duration::ZERO }));
            }
            Failure::NotFound => {
                // Discovery knows whether the kind is gone.
                self.discovered_since = Some(Instant::now());
                if self.failures < FAILURES_TO_REPORT {
                    return Ok(Some(if self.failures > 1 { pause } else { Duration::ZERO }));
                }
                SourceProblem {
                    reason: "SourceUnavailable",
                    message: format!("{}: the API server lists this kind but does not serve it", self.gvk),
                    remedy: "wait until its definition is established, or look at the server's log"
                        .to_owned(),
                }
            }
            Failure::Denied(message) => SourceProblem {
                reason: "AccessDenied",
                message: format!("{}: {message}", self.gvk),
                remedy: match self.place {
                    Place::Namespace(name) => {
                        format!("grant list and watch on this kind in namespace {name}")
                    }
                    _ => "grant list and watch on this kind in all namespaces".to_owned(),
                },
            },
            Failure::Refused(message) => {
                self.discovered_since = Some(Instant::now());
                SourceProblem {
                    reason: "SourceUnavailable",
                    message: format!("{}: {message}", self.gvk),
                    remedy: "choose a kind that the API server can list and watch".to_owned(),
                }
            }
            Failure::Unavailable(message, retry_after) => {
                tracing::debug!(kind = %self.gvk, failures = self.failures, message, "trying again");
                pause = pause.max(retry_after.unwrap_or_default());
                if self.failures < FAILURES_TO_REPORT {
                    return Ok(Some(pause));
                }
                SourceProblem {
                    reason: "SourceUnavailable",
                    message: format!("{}: the API server can't be reached: {message}", self.gvk),
                    remedy: "see that it runs and that its address, certificates and network are right"
                        .to_owned(),
                }
            }
        };
        self.report(problem).await?;
        Ok((!once).then_some(pause))
    }

    /// The objects of the kind are not where the watch looks.
    async fn elsewhere(&mut self) -> Result<Option<Duration>, Closed> {
        if !matches!(self.source.reach, Reach::Namespaces { cluster_scoped: false, .. }) {
            self.elsewhere = true;
            return Ok(None);
        }
        let problem = SourceProblem {
            reason: "AccessDenied",
            message: format!(
                "{}: its objects belong to no namespace, and this operator reads only those of its namespaces",
                self.gvk
            ),
            remedy: "collect them with an operator that is not in tenant mode".to_owned(),
        };
        self.report(problem).await?;
        if self.mode == Mode::Once {
            return Ok(None);
        }
        self.resource_version = None;
        let pause = self.backoff.pause().min(self.source.options.kind_pause);
        self.discovered_since = Some(Instant::now() + pause);
        Ok(Some(pause))
    }

    /// The kind is not there.
    async fn missing(&mut self, lookup: Lookup) -> Result<Option<Duration>, Closed> {
        let remedy = match &lookup {
            Lookup::OtherVersions(versions) => {
                format!("use version {}; objects known so far stay as they are", versions.join(" or "))
            }
            _ => "check group, version and kind, or install its definition".to_owned(),
        };
        let message = format!("{} is not a kind that the API server knows", self.gvk);
        self.report(SourceProblem { reason: "KindNotFound", message, remedy }).await?;
        if self.mode == Mode::Once {
            return Ok(None);
        }
        if lookup == Lookup::Unknown && std::mem::take(&mut self.begun) {
            // With the kind its objects are gone.
            self.events.send(Event::ListBegin).await?;
            self.events.send(Event::ListEnd).await?;
        }
        self.resource_version = None;
        let pause = self.backoff.pause().min(self.source.options.kind_pause);
        self.discovered_since = Some(Instant::now() + pause);
        Ok(Some(pause))
    }

    fn watch_time(&self) -> Duration {
        // Not all at the same time.
        self.source.options.watch_time.mul_f64(1.0 + fastrand::f64())
    }
}

/// What a line of a watch was.
enum Taken {
    /// A change, or nothing of interest.
    Change,
    /// Something that is not an object with a name.
    Undecodable,
    /// The end of the initial list, and its version.
    ListEnd(String),
}

fn upsert(object: RawObject) -> Event {
    Event::Object { version: object.version(), name: object.name, json: object.json }
}

fn undecodable_object(gvk: &Gvk) -> SourceProblem {
    SourceProblem {
        reason: "Unreadable",
        message: format!(
            "{gvk}: an object from the API server can't be read: it is not JSON with metadata.name"
        ),
        remedy: "look at the object with kubectl, and at what lies between here and the API server"
            .to_owned(),
    }
}

/// A value as a query may hold it.
fn query_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_survive_the_query() {
        assert_eq!(query_value("aZ0-_.~"), "aZ0-_.~");
        assert_eq!(query_value("a+b/c=&"), "a%2Bb%2Fc%3D%26");
    }
}
