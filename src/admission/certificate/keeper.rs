//! Keeps the certificate fresh, and the cluster's configuration of the webhook in line with it.
//!
//! All replicas keep one Secret: who finds none, or one that ends soon, writes another; who loses the race takes the winner's.
//! A new authority stands in the configuration before its certificate is served, so no request meets a certificate
//! that it can't trust.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::sign::CertifiedKey;
use tokio::time::{sleep, timeout};

use super::{Serving, directory, issue};
use crate::admission::configuration::{Configuration, MANAGED_BY, MANAGER};
use crate::admission::{Certificates, Location, Options, Rotation};

/// How long the API server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// So often files are read.
const FILES_PAUSE: Duration = Duration::from_secs(10);

/// So long until the next attempt when something failed.
const RETRY: Duration = Duration::from_secs(5);

/// So often a race for the Secret is run again at once.
const RACES: usize = 3;

/// Keeps the certificate.
pub(in crate::admission) struct Keeper {
    client: Client,
    options: Options,
    configuration: Configuration,
    serving: Arc<Serving>,
    /// Where the Secret is.
    namespace: String,
    /// The authorities that the configuration was last given: one of them made the certificate that is served.
    trusted: Vec<u8>,
    /// What went wrong last: it is told once.
    told: Option<String>,
}

impl Keeper {
    pub(in crate::admission) fn new(
        client: Client,
        options: Options,
        configuration: Configuration,
        serving: Arc<Serving>,
    ) -> Self {
        let namespace = match &options.location {
            Location::Service { namespace, .. } => namespace.clone(),
            Location::Url { .. } => client.default_namespace().to_owned(),
        };
        Self { client, options, configuration, serving, namespace, trusted: Vec::new(), told: None }
    }

    /// Keeps it, on and on.
    pub(in crate::admission) async fn run(mut self) {
        loop {
            let (kept, pause) = match self.options.certificates.clone() {
                Certificates::Own(rotation) => (self.keep(&rotation).await, rotation.check),
                Certificates::Directory(path) => (self.read(&path).await, FILES_PAUSE),
            };
            let pause = match kept {
                Ok(()) => {
                    self.told = None;
                    pause
                }
                Err(why) => {
                    if self.told.as_ref() != Some(&why) {
                        tracing::warn!(why, "the webhook is not in order; trying again");
                        self.told = Some(why);
                    }
                    pause.min(RETRY)
                }
            };
            sleep(pause).await;
        }
    }

    fn serve(&self, key: CertifiedKey) {
        if !self.serving.is(&key) {
            tracing::info!(location = %self.options.location, "the webhook serves a new certificate");
            self.serving.set(key);
        }
    }

    /// With somebody else's certificate, whose authority is none of our business.
    async fn read(&mut self, path: &Path) -> Result<(), String> {
        self.serve(directory::read(path).await?);
        self.configure(None).await.map(|_| ())
    }

    async fn keep(&mut self, rotation: &Rotation) -> Result<(), String> {
        let (key, authorities) = self.agreed(rotation).await?;
        if !self.serving.has_certificate() {
            self.serve(key.clone());
        }
        let changed = self.configure(Some(&authorities)).await?;
        self.trusted = authorities;
        if !self.serving.is(&key) {
            if changed {
                sleep(rotation.settle).await;
            }
            self.serve(key);
        }
        Ok(())
    }

    async fn configure(&mut self, authorities: Option<&[u8]>) -> Result<bool, String> {
        answered(self.configuration.apply(&self.client, authorities)).await.map_err(|why| {
            format!("ValidatingWebhookConfiguration {} can't be applied: {why}", self.options.name)
        })
    }

    /// The certificate that all replicas serve, and the authorities to trust.
    async fn agreed(&self, rotation: &Rotation) -> Result<(CertifiedKey, Vec<u8>), String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let full_name = format!("Secret {}/{}", self.namespace, self.options.name);
        let unreachable = |why| format!("{full_name} can't be kept: {why}");
        for _ in 0..RACES {
            let stored = answered(api.get_opt(&self.options.name)).await.map_err(unreachable)?;
            if let Some(stored) = &stored {
                if stored
                    .metadata
                    .labels
                    .as_ref()
                    .and_then(|labels| labels.get(MANAGED_BY))
                    .map(String::as_str)
                    != Some(MANAGER)
                {
                    return Err(format!(
                        "{full_name} is not one of Kollect's, so it is left alone; remove it, or give another --webhook-name"
                    ));
                }
                if let Some(good) = self.good(stored, rotation) {
                    return Ok(good);
                }
            }
            let fresh = self.fresh(stored.as_ref(), rotation)?;
            let written = match &stored {
                None => answered(api.create(&PostParams::default(), &fresh)).await,
                Some(_) => answered(api.replace(&self.options.name, &PostParams::default(), &fresh)).await,
            };
            match written {
                Ok(_) => tracing::info!(secret = %full_name, "the webhook's certificate was renewed"),
                // Another replica was first.
                Err(Unanswered::Conflict) => {}
                Err(why) => return Err(unreachable(why)),
            }
        }
        Err(format!("{full_name} changes all the time; see that nobody else writes it"))
    }

    /// What a Secret holds, if it can be used for some time to come.
    fn good(&self, secret: &Secret, rotation: &Rotation) -> Option<(CertifiedKey, Vec<u8>)> {
        let data = secret.data.as_ref()?;
        let part = |name: &str| data.get(name).map(|bytes| bytes.0.as_slice());
        let key = issue::key(part("tls.crt")?, part("tls.key")?).ok()?;
        let authorities = part("ca.crt")?;
        let (host, now) = (self.options.location.host(), SystemTime::now());
        issue::lasts(&key, authorities, &host, now, rotation.renew_before)
            .then(|| (key, authorities.to_owned()))
    }

    /// A Secret with a new certificate, in place of one that is there.
    fn fresh(&self, stored: Option<&Secret>, rotation: &Rotation) -> Result<Secret, String> {
        // Where somebody has removed the Secret, the authority that is trusted must be trusted on, until another certificate is served.
        let before = stored.and_then(|secret| secret.data.as_ref()?.get("ca.crt"));
        let before = before.map_or(self.trusted.as_slice(), |bytes| bytes.0.as_slice());
        let before = String::from_utf8_lossy(before);
        let host = self.options.location.host();
        let issued = issue::issue(&host, rotation.valid, &before, SystemTime::now())
            .map_err(|error| format!("no certificate can be made for {host}: {error}"))?;
        let data = [("ca.crt", issued.authorities), ("tls.crt", issued.certificate), ("tls.key", issued.key)];
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(self.options.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), MANAGER.to_owned())])),
                // With it, a race has one winner.
                resource_version: stored.and_then(|secret| secret.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into()),
            ..Secret::default()
        })
    }
}

/// Why the API server has not done what was asked.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("somebody else has written it meanwhile")]
    Conflict,
    #[error("{0}")]
    Refused(String),
    #[error("the API server does not answer")]
    Late,
}

async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Unanswered> {
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Unanswered::Conflict),
        Ok(Err(kube::Error::Api(status))) => Err(Unanswered::Refused(status.message.clone())),
        Ok(Err(error)) => Err(Unanswered::Refused(error.to_string())),
        Err(_) => Err(Unanswered::Late),
    }
}
