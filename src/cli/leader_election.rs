//! The arguments of leader election.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::failure::Failure;
use crate::api::Interval;
use crate::lease::Settings;

/// Arguments for several replicas, of which one writes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Several replicas")]
pub struct LeaderElectionArgs {
    /// Write only while holding a lease, and stand by otherwise
    #[arg(long, env = "KOLLECT_LEADER_ELECTION", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    pub leader_election: bool,
    /// Namespace of the lease (default: the pod's, else that of the kubeconfig's context)
    #[arg(long, env = "KOLLECT_LEASE_NAMESPACE", value_name = "NAME", hide_env_values = true)]
    pub lease_namespace: Option<String>,
    /// Name of the lease; replicas with the same one take turns
    #[arg(
        long,
        env = "KOLLECT_LEASE_NAME",
        value_name = "NAME",
        default_value = "kollect-operator",
        hide_env_values = true
    )]
    pub lease_name: String,
    /// Name of this process in the lease, to which something random is added (default: the host's, in a pod the pod's)
    #[arg(long, env = "KOLLECT_LEASE_IDENTITY", value_name = "NAME", hide_env_values = true)]
    pub lease_identity: Option<String>,
    /// After so long without a renewal others take the lease
    #[arg(
        long,
        env = "KOLLECT_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "15s",
        value_parser = duration,
        hide_env_values = true
    )]
    pub lease_duration: Duration,
    /// After so long without a renewal the leader gives up; less than the lease's duration
    #[arg(
        long,
        env = "KOLLECT_LEASE_RENEW_DEADLINE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        hide_env_values = true
    )]
    pub lease_renew_deadline: Duration,
    /// So often the leader renews, and the others look
    #[arg(
        long,
        env = "KOLLECT_LEASE_RETRY_PERIOD",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = duration,
        hide_env_values = true
    )]
    pub lease_retry_period: Duration,
}

impl LeaderElectionArgs {
    /// The settings; nothing when there is no election.
    ///
    /// # Errors
    /// They do not fit together.
    pub(super) fn settings(&self, namespace: &str) -> Result<Option<Settings>, Failure> {
        if !self.leader_election {
            return Ok(None);
        }
        let name = self.lease_identity.clone().unwrap_or_else(host_name);
        let settings = Settings {
            namespace: self.lease_namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            name: self.lease_name.clone(),
            // A process that is started again must not take itself for the one before: that one's term is over.
            identity: format!("{name}_{:016x}", fastrand::u64(..)),
            duration: self.lease_duration,
            renew_deadline: self.lease_renew_deadline,
            retry_period: self.lease_retry_period,
        };
        settings.check().map_err(|error| Failure::configuration(error.to_string()))?;
        Ok(Some(settings))
    }
}

/// The name of the host; in a pod that of the pod.
fn host_name() -> String {
    let file = || std::fs::read_to_string("/etc/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or_else(file).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "kollect".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    Interval::from(text).parse().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        election: LeaderElectionArgs,
    }

    fn settings(line: &str) -> Result<Option<Settings>, Failure> {
        let arguments = ["program"].into_iter().chain(line.split_whitespace());
        Program::try_parse_from(arguments).unwrap().election.settings("of-the-pod")
    }

    #[test]
    fn without_election_there_is_no_lease_and_with_it_each_process_has_its_own_identity() {
        assert_eq!(settings("--lease-name other").unwrap(), None);
        let [one, two] =
            [(); 2].map(|()| settings("--leader-election --lease-identity pod").unwrap().unwrap());
        assert_eq!((one.namespace.as_str(), one.name.as_str()), ("of-the-pod", "kollect-operator"));
        assert!(one.identity.starts_with("pod_") && one.identity != two.identity);
        let other =
            settings("--leader-election --lease-namespace elsewhere --lease-duration 1m").unwrap().unwrap();
        assert_eq!((other.namespace.as_str(), other.duration.as_secs()), ("elsewhere", 60));
        assert!(!other.identity.starts_with('_'));
    }

    #[test]
    fn time_spans_that_would_make_two_leaders_are_refused() {
        let refused = settings("--leader-election --lease-duration 5s").unwrap_err();
        assert!(refused.to_string().contains("renew deadline"), "{refused}");
        let line = ["program", "--lease-duration", "soon"];
        assert!(Program::try_parse_from(line).is_err());
    }
}
