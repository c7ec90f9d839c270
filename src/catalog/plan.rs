//! What a plan says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kollect_dataflows::data::{Gvk, TargetName};
use kollect_dataflows::extract::{Profile, Selection};
use kollect_dataflows::rollup::RollupSpec;

use super::{Problem, ResourceName, ResourceRef, Sight};
use crate::api::Dedupe;
use crate::sinks::{BindingName, SinkConfig};

/// What is to be collected, merged and exported, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Every profile.
    pub profiles: BTreeMap<ResourceName, ProfilePlan>,
    /// Every target.
    pub targets: BTreeMap<TargetName, TargetPlan>,
    /// Every inventory.
    pub inventories: BTreeMap<ResourceName, InventoryPlan>,
    /// The metrics of every profile that has any.
    pub metrics: BTreeMap<ResourceName, MetricsPlan>,
    /// What inventories exported to sinks that they no longer refer to, as far as their status tells; everything that they
    /// exported, where they are being deleted.
    pub leftovers: BTreeMap<BindingKey, Leftover>,
    /// Every sink resource; none when [`super::Options::output`] stands in for them.
    pub sinks: BTreeMap<SinkName, SinkPlan>,
    /// Every connection test that has not come to its end.
    pub connection_tests: BTreeMap<ResourceName, ConnectionTestPlan>,
    /// All problems, by resource and field.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// The problems of one resource.
    pub fn problems_of(&self, resource: &ResourceRef) -> impl Iterator<Item = &Problem> {
        // They are sorted by resource, and somebody asks for each resource.
        let first = self.problems.partition_point(|problem| problem.resource < *resource);
        self.problems.iter().skip(first).take_while(move |problem| problem.resource == *resource)
    }
}

/// A profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfilePlan {
    /// Whether it compiles; if not, [`Plan::problems`] says why.
    pub usable: bool,
    /// How many targets refer to it.
    pub targets: usize,
}

/// The metrics of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsPlan {
    /// The targets that use the profile: their objects are measured.
    pub targets: BTreeSet<TargetName>,
    /// The metrics, by name.
    pub metrics: BTreeMap<String, RollupPlan>,
}

/// A rollup, or a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupPlan {
    /// What rows are grouped by, as it is written in the resource.
    pub group_by: Vec<String>,
    /// The names of the values of a group.
    pub aggregates: Vec<String>,
    /// The definition.
    pub spec: Arc<RollupSpec>,
}

/// A target.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetPlan {
    /// It reads objects.
    Active(ActiveTarget),
    /// It reads nothing for now; its rows stay as they are.
    Held {
        /// Why: one of [`super::reason`].
        reason: &'static str,
        /// Why, in a lowercase sentence.
        message: String,
    },
}

/// Why something is on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// One of [`super::reason`].
    pub reason: &'static str,
    /// A lowercase sentence.
    pub message: String,
}

/// A target that reads objects.
#[derive(Clone, Debug)]
pub struct ActiveTarget {
    /// The compiled profile.
    pub profile: Arc<Profile>,
    /// Changes exactly when rows may have to be extracted anew: it covers the profile's spec and the selection.
    pub fingerprint: u64,
    /// The kind that is read.
    pub gvk: Arc<Gvk>,
    /// Which objects are selected, and through which gates.
    pub selection: Arc<Selection>,
    /// Changes exactly when the gates mean something else.
    pub gate_setting: u64,
    /// Where it looks.
    pub sight: Sight,
    /// The namespaces that it selects, whatever scopes allow; `None` when it selects none in particular. For its status.
    pub matched: Option<Arc<[String]>>,
    /// How many of its rules are for the profile's kind; `None` when it has no rules.
    pub active_rules: Option<usize>,
}

/// Profiles and selections can't be compared, but the fingerprint covers them.
impl PartialEq for ActiveTarget {
    fn eq(&self, other: &Self) -> bool {
        let Self { profile: _, fingerprint, gvk, selection: _, gate_setting, sight, matched, active_rules } =
            self;
        (fingerprint, gvk, gate_setting, sight, matched, active_rules)
            == (
                &other.fingerprint,
                &other.gvk,
                &other.gate_setting,
                &other.sight,
                &other.matched,
                &other.active_rules,
            )
    }
}

/// An inventory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InventoryPlan {
    /// The targets that feed it, those that are held included.
    pub targets: BTreeSet<TargetName>,
    /// The namespaces whose objects' rows it takes; `None`: all, and those of objects without a namespace.
    pub namespaces: Option<BTreeSet<String>>,
    /// What becomes of rows that several targets have from one object.
    pub dedupe: Dedupe,
    /// Its rollups, by name.
    pub rollups: BTreeMap<String, RollupPlan>,
    /// It is paused: nothing is written, and what is exported stays as it is. The rest of the plan says what would be.
    pub suspended: bool,
    /// It is there, but it can't be told what it wants: it stays as it was, and nothing is written or removed, whatever
    /// the rest of the plan says.
    pub held: Option<Hold>,
    /// Where it is exported to: sinks that can be used.
    pub bindings: Vec<BindingPlan>,
    /// Every sink that it refers to, usable or not. What is exported to a sink that is no longer here is subject to the sink's
    /// deletion policy.
    pub references: BTreeSet<SinkName>,
    /// Whether it is not known of each of them where it leads.
    pub unresolved: bool,
}

/// Which binding: an inventory and one of the sinks that it refers to, or did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingKey {
    /// The inventory.
    pub inventory: ResourceName,
    /// The sink.
    pub sink: SinkName,
}

/// How to get at what an inventory left at a sink.
#[derive(Clone, Debug, PartialEq)]
pub enum Leftover {
    /// Like this.
    Reachable(Box<BindingPlan>),
    /// Not at present: the sink can't be used.
    Unreachable(Hold),
    /// There is no such sink any more.
    Lost,
}

/// One inventory at one sink.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingPlan {
    /// Whose rows are written.
    pub name: BindingName,
    /// The sink.
    pub sink: SinkName,
    /// Where to, and how; knows the deletion policy too.
    pub config: SinkConfig,
    /// After so much time without a change, the destination is compared with the inventory; zero: never.
    pub min_interval: Duration,
    /// So long changes are held, at most, so that several become one batch; zero: not at all.
    pub coalesce_window: Duration,
}

/// A sink resource.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkPlan {
    /// How the sink is reached; `None` when it can't be used, as `destination`.
    pub config: Option<SinkConfig>,
    /// Whether it is probed without being asked to.
    pub connection_test: bool,
    /// The destination for humans, without credentials; `None` when the sink can't be used (then [`Plan::problems`] says
    /// why, unless its Secret is elsewhere).
    pub destination: Option<String>,
    /// Whether certificates are not checked.
    pub tls_insecure: bool,
}

/// A connection test: what of it can be tried. [`Plan::problems`] says why the rest can't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTestPlan {
    /// The sink to connect to.
    pub sink: Option<SinkName>,
    /// The profile to evaluate.
    pub profile: Option<ResourceName>,
}

/// A family of sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SinkFamily {
    /// KollectDatabaseSink.
    Database,
    /// KollectSnapshotSink.
    Snapshot,
    /// KollectEventSink.
    Event,
}

impl SinkFamily {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Database, Self::Snapshot, Self::Event];

    /// The kind of the family's resources.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Database => "KollectDatabaseSink",
            Self::Snapshot => "KollectSnapshotSink",
            Self::Event => "KollectEventSink",
        }
    }

    /// The word that stands in status and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Snapshot => "snapshot",
            Self::Event => "event",
        }
    }
}

/// Which sink: `database/shop/reports`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkName {
    /// Its family.
    pub family: SinkFamily,
    /// Its namespace and name.
    pub name: ResourceName,
}

impl SinkName {
    /// The sink as a resource.
    pub fn resource(&self) -> ResourceRef {
        ResourceRef::new(self.family.kind(), &self.name)
    }
}

impl FromStr for SinkName {
    type Err = ();

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/');
        let (Some(family), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(());
        };
        let family = SinkFamily::ALL.into_iter().find(|known| known.as_str() == family).ok_or(())?;
        Ok(Self { family, name: ResourceName::new(namespace, name) })
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family.as_str(), self.name)
    }
}
