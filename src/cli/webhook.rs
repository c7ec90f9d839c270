//! The flags of the admission webhook.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure::Failure;
use crate::admission::{Certificates, FailurePolicy, Limits, Location, Options, Rotation};
use crate::operator::Tenancy;

/// The name of the webhook where none is given.
const NAME: &str = "kollect-webhook";

/// The admission webhook of `kollect operator`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Admission webhook")]
pub struct WebhookArgs {
    /// Serve the admission webhook on this address, for example 0.0.0.0:9443 (default: no webhook)
    #[arg(
        long,
        env = "KOLLECT_WEBHOOK_ADDRESS",
        value_name = "IP:PORT",
        hide_env_values = true,
        requires = "webhook_location"
    )]
    pub webhook_address: Option<SocketAddr>,
    /// The Service through which the API server finds the webhook
    #[arg(
        long,
        env = "KOLLECT_WEBHOOK_SERVICE",
        value_name = "NAMESPACE/NAME[:PORT]",
        value_parser = Location::service,
        group = "webhook_location",
        hide_env_values = true,
    )]
    pub webhook_service: Option<Location>,
    /// The address at which the API server finds the webhook, where there is no Service: https://HOST:PORT
    #[arg(
        long,
        env = "KOLLECT_WEBHOOK_URL",
        value_name = "URL",
        value_parser = Location::url,
        group = "webhook_location",
        hide_env_values = true,
    )]
    pub webhook_url: Option<Location>,
    /// Name of the ValidatingWebhookConfiguration, and of the Secret with the certificate (default: kollect-webhook, but none in
    /// tenant mode, since each operator of a cluster needs its own)
    #[arg(long, env = "KOLLECT_WEBHOOK_NAME", value_name = "NAME", hide_env_values = true)]
    pub webhook_name: Option<String>,
    /// Serve tls.crt and tls.key of this directory, and leave the authority to who writes them (default: the operator makes
    /// and renews its own certificate)
    #[arg(long, env = "KOLLECT_WEBHOOK_CERTIFICATES", value_name = "DIR", hide_env_values = true)]
    pub webhook_certificates: Option<PathBuf>,
    /// What the API server does with new objects and changed specs when the webhook does not answer
    #[arg(
        long,
        env = "KOLLECT_WEBHOOK_FAILURE_POLICY",
        value_enum,
        default_value_t,
        value_name = "POLICY",
        hide_possible_values = true,
        hide_env_values = true,
        help = "What the API server does with new objects and changed specs when the webhook does not answer: ignore, fail"
    )]
    pub webhook_failure_policy: Policy,
}

/// What the API server does when the webhook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// It takes them.
    #[default]
    Ignore,
    /// It refuses them.
    Fail,
}

impl WebhookArgs {
    /// The settings of the webhook, if it is wanted, of an operator that is for these namespaces.
    ///
    /// # Errors
    /// It is a tenant's, and has no name of its own.
    pub(super) fn options(self, tenancy: &Tenancy) -> Result<Option<Options>, Failure> {
        let location = self.webhook_service.or(self.webhook_url);
        let Some((address, location)) = self.webhook_address.zip(location) else { return Ok(None) };
        let name = match self.webhook_name {
            Some(name) => name,
            None if tenancy.is_tenant() => {
                return Err(Failure::configuration(
                    "a tenant's webhook needs a name that no other operator of the cluster uses; give --webhook-name",
                ));
            }
            None => NAME.to_owned(),
        };
        Ok(Some(Options {
            address,
            location,
            name,
            certificates: match self.webhook_certificates {
                Some(directory) => Certificates::Directory(directory),
                None => Certificates::Own(Rotation::default()),
            },
            failure_policy: match self.webhook_failure_policy {
                Policy::Ignore => FailurePolicy::Ignore,
                Policy::Fail => FailurePolicy::Fail,
            },
            limits: Limits { namespaces: tenancy.namespaces().clone(), namespaced_only: tenancy.is_tenant() },
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        webhook: WebhookArgs,
    }

    fn options(line: &str) -> Result<Option<Options>, clap::Error> {
        let line = Line::try_parse_from(format!("kollect {line}").split_whitespace())?;
        Ok(line.webhook.options(&Tenancy::default()).unwrap())
    }

    #[test]
    fn the_webhook_is_off_unless_it_has_an_address_and_a_place() {
        assert!(options("").unwrap().is_none());
        assert!(options("--webhook-service a/b").unwrap().is_none());
        let given = options("--webhook-address 0.0.0.0:9443 --webhook-service a/b").unwrap().unwrap();
        assert_eq!(given.location, Location::service("a/b").unwrap());
        assert_eq!((given.name.as_str(), given.failure_policy), ("kollect-webhook", FailurePolicy::Ignore));
        assert_eq!(given.certificates, Certificates::Own(Rotation::default()));
        let line = "--webhook-address [::]:9443 --webhook-url https://a:9443 --webhook-name n \
                    --webhook-certificates /c --webhook-failure-policy fail";
        let given = options(line).unwrap().unwrap();
        assert_eq!(given.location, Location::url("https://a:9443").unwrap());
        assert_eq!((given.name.as_str(), given.failure_policy), ("n", FailurePolicy::Fail));
        assert_eq!(given.certificates, Certificates::Directory("/c".into()));
    }

    #[test]
    fn an_address_without_a_place_and_two_places_are_refused() {
        for line in [
            "--webhook-address 0.0.0.0:9443",
            "--webhook-address 9443 --webhook-service a/b",
            "--webhook-address 0.0.0.0:9443 --webhook-service b",
            "--webhook-address 0.0.0.0:9443 --webhook-url http://a",
            "--webhook-address 0.0.0.0:9443 --webhook-service a/b --webhook-url https://a",
            "--webhook-address 0.0.0.0:9443 --webhook-service a/b --webhook-failure-policy never",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_tenants_webhook_has_a_name_of_its_own_and_is_sent_what_is_the_tenants() {
        let tenancy = Tenancy::new(["team-a"], true).unwrap();
        let options = |more: &str| {
            let line =
                format!("kollect --webhook-address 0.0.0.0:9443 --webhook-service team-a/kollect {more}");
            Line::try_parse_from(line.split_whitespace()).unwrap().webhook.options(&tenancy)
        };
        assert!(options("").unwrap_err().to_string().contains("--webhook-name"));
        let given = options("--webhook-name kollect-team-a").unwrap().unwrap();
        let limits = Limits { namespaces: ["team-a".to_owned()].into(), namespaced_only: true };
        assert_eq!((given.name.as_str(), given.limits), ("kollect-team-a", limits));
    }
}
