//! `kollect operator`: runs the pipelines of a cluster until told to stop.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use tokio::sync::watch;

use super::failure::{Failure, Outcome};
use super::leader_election::{LeaderElectionArgs, duration};
use super::{signals, webhook};
use crate::operator::{self, Tenancy};
use crate::sinks::{EndpointPolicy, Network, NetworkError};
use crate::sources::kubernetes;

/// Arguments of `kollect operator`. Each can be given in the environment too.
#[derive(Clone, Debug, Args)]
pub struct OperatorArgs {
    /// Connect as this file says (default: the pod's service account, else $KUBECONFIG, else ~/.kube/config)
    #[arg(long, env = "KOLLECT_KUBECONFIG", value_name = "FILE", hide_env_values = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig (default: its current one)
    #[arg(long, env = "KOLLECT_CONTEXT", value_name = "NAME", hide_env_values = true)]
    pub context: Option<String>,
    /// Let sinks write to the operator's own file system (types local and sqlite)
    #[arg(long, env = "KOLLECT_ALLOW_LOCAL_SINKS", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    pub allow_local_sinks: bool,
    /// Let sinks connect to private addresses, those of the cluster's own services included (10.0.0.0/8, 172.16.0.0/12,
    /// 192.168.0.0/16, 100.64.0.0/10, fc00::/7); else only to public ones
    #[arg(long, env = "KOLLECT_ALLOW_PRIVATE_ENDPOINTS", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    pub allow_private_endpoints: bool,
    /// Let sinks connect to these networks too, private and loopback ones included; metadata services and link-local
    /// addresses only where they are listed one by one
    #[arg(long, env = "KOLLECT_ALLOWED_ENDPOINT_CIDRS", value_name = "CIDRS", hide_env_values = true)]
    pub allowed_endpoint_cidrs: Vec<Networks>,
    /// Never show values under these keys in exports of whole objects, beside those that are known (password, token, …)
    #[arg(
        long,
        env = "KOLLECT_SCRUB_KEYS",
        value_name = "KEYS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub scrub_keys: Vec<String>,
    /// Read nothing but these namespaces: their custom resources, their objects, their Secrets (default: all)
    #[arg(
        long,
        env = "KOLLECT_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub watch_namespaces: Vec<String>,
    /// Ask for nothing outside of the watched namespaces, and take no custom resources of the cluster: Roles in the namespaces
    /// are then all the permission that is needed
    #[arg(long, env = "KOLLECT_TENANT_MODE", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    pub tenant_mode: bool,
    /// Threads that keep the rows up to date; results do not depend on it
    #[arg(long, env = "KOLLECT_WORKERS", value_name = "N", default_value = "1", hide_env_values = true)]
    pub workers: NonZeroUsize,
    /// So long the deletion of an inventory waits for destinations from which its rows are to be removed (deletionPolicy:
    /// Delete), and that do not answer
    #[arg(
        long,
        env = "KOLLECT_CLEANUP_TIMEOUT",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration,
        hide_env_values = true
    )]
    pub cleanup_timeout: Duration,
    /// Several replicas.
    #[command(flatten)]
    pub leader_election: LeaderElectionArgs,
    /// The admission webhook.
    #[command(flatten)]
    pub webhook: webhook::WebhookArgs,
}

/// Networks, separated by commas. None is a list too: an environment variable may be set to nothing.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<Network>);

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let pieces = text.split(',').map(str::trim).filter(|piece| !piece.is_empty());
        pieces.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// Runs `kollect operator`; ends with SIGTERM or SIGINT, after what is pending has been exported.
///
/// # Errors
/// The cluster can't be reached, the graph ended by itself, or another process may be the leader now.
pub async fn run(args: OperatorArgs) -> Result<Outcome, Failure> {
    let tenancy = Tenancy::new(args.watch_namespaces.iter().map(String::as_str), args.tenant_mode)
        .map_err(|error| Failure::configuration(error.to_string()))?;
    let client = kubernetes::client(args.kubeconfig.as_deref(), args.context.as_deref())
        .await
        .map_err(|error| Failure::configuration(error.to_string()))?;
    let webhook = args.webhook.options(&tenancy)?;
    let lease = args.leader_election.settings(client.default_namespace())?;
    let stop = signals::stop_on_signal()
        .map_err(|error| Failure::configuration(format!("signals can't be received: {error}")))?;
    let networks = args.allowed_endpoint_cidrs.into_iter().flat_map(|networks| networks.0).collect();
    let options = operator::Options {
        allow_local_sinks: args.allow_local_sinks,
        endpoints: EndpointPolicy::guarded(args.allow_private_endpoints, networks)
            .with_sockets(args.allow_local_sinks),
        scrub_keys: args.scrub_keys,
        tenancy,
        workers: args.workers.get(),
        cleanup_timeout: args.cleanup_timeout,
        lease,
        readiness: watch::Sender::default(),
        webhook,
    };
    operator::run(client, options, stop).await.map_err(|error| Failure::configuration(error.to_string()))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_of_networks_may_be_empty_but_not_wrong() {
        let count = |text: &str| text.parse::<Networks>().map(|networks| networks.0.len());
        assert_eq!(count(""), Ok(0));
        assert_eq!(count("10.0.0.0/8, 127.0.0.1,::1"), Ok(3));
        assert!(count("10.0.0.0/8,10.0.0.1/8").is_err());
        assert!(count("10.0.0.0/8 127.0.0.1").is_err());
    }
}
