//! What is measured: something that keeps an inventory's rows up to date, be it the graph or the plain way.

use std::sync::Arc;

use kollect_dataflows::data::{Gvk, Row, RowParts, TargetName};
use kollect_dataflows::extract::{AttributeSpec, Document, Profile, ProfileSpec, Projection};

use crate::support::objects::{ATTRIBUTES, Deployment, deployment_in, mix, namespace};

/// The namespace that closes and opens.
pub(crate) const MOVING: &str = "moving";
/// How many objects lie in it, if there are enough.
const MOVED: u64 = 5_000;

/// A set of objects: those with the numbers below `rows`.
#[derive(Clone, Copy)]
pub(crate) struct Objects {
    pub(crate) rows: u64,
}

impl Objects {
    /// One of them with this content.
    pub(crate) fn object(self, number: u64, content: u64) -> Deployment {
        let namespace = if number < self.moved() { MOVING.to_owned() } else { namespace(mix(number)) };
        deployment_in(namespace, number, content)
    }

    /// How many lie in the namespace that closes and opens.
    pub(crate) fn moved(self) -> u64 {
        MOVED.min(self.rows / 2)
    }
}

/// A complete list of objects.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub(crate) objects: Objects,
    /// The version of each of them.
    pub(crate) version: u64,
    pub(crate) content: u64,
}

/// Feeds one change from a thread of its own.
pub(crate) type Feed = Box<dyn Fn(Deployment) + Send>;

/// Keeps an inventory's rows up to date. Each call returns when everything that follows from it is out, and gives the number of
/// rows that changed.
pub(crate) trait Subject {
    /// Takes a complete list in, from another thread, as sources feed it.
    fn list(&mut self, list: List) -> u64;

    /// Takes changes in, each of another object.
    fn change(&mut self, objects: Vec<Deployment>) -> u64;

    /// Lets the namespace [`MOVING`] be seen, or not any more.
    fn see(&mut self, open: bool) -> u64;

    /// Adds a target that reads the same objects and feeds the same inventory; its rows come from a list.
    fn add_target(&mut self, list: List) -> u64;

    /// Removes that target and its rows.
    fn remove_target(&mut self) -> u64;

    /// What another thread may feed changes through; [`Subject::next`] works them off.
    fn feed(&mut self) -> Feed;

    /// Waits until something is fed, works off what there is, and gives the numbers of the objects whose changes are out.
    fn next(&mut self) -> Vec<u64>;
}

/// The profile of eight attributes.
pub(crate) fn profile() -> Arc<Profile> {
    let attributes = ATTRIBUTES
        .map(|(name, path)| AttributeSpec {
            name: name.into(),
            path: path.into(),
            ..AttributeSpec::default()
        })
        .into();
    let gvk = Gvk::new("apps", "v1", "Deployment");
    Arc::new(Profile::compile(&ProfileSpec { gvk, attributes, ..ProfileSpec::default() }).unwrap())
}

/// Makes rows of objects, as the graph does.
pub(crate) struct Extractor {
    profile: Arc<Profile>,
    projection: Projection,
}

impl Extractor {
    pub(crate) fn new() -> Self {
        let profile = profile();
        Self { projection: Projection::new([profile.as_ref()], []), profile }
    }

    pub(crate) fn row(&self, target: &Arc<TargetName>, json: &[u8]) -> Row {
        let document = Document::parse_projected(json, &self.projection).unwrap();
        Row::new(RowParts {
            target,
            gvk: self.profile.gvk(),
            namespace: document.namespace(),
            name: document.name(),
            uid: document.uid(),
            attributes: &self.profile.evaluate(&document).attributes,
            incomplete: &[],
        })
    }
}
