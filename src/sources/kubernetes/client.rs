//! Connects to a cluster as kubeconfig files tell, or as a pod does.

use std::path::{Path, PathBuf};

use http::{HeaderValue, header};
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Why there is no client. Who runs the command must act. Holds no part of a kubeconfig but names.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig file is not there, or can't be read.
    #[error("kubeconfig {path}: the file can't be read: {error}; give the path of a kubeconfig file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why it can't be read.
        error: std::io::Error,
    },
    /// The kubeconfig is not YAML, or not a kubeconfig.
    #[error("kubeconfig {origin}{place}: not a kubeconfig; correct the file or give another")]
    Malformed {
        /// The file, or where it was looked for.
        origin: String,
        /// Line and column, where known.
        place: String,
    },
    /// The context is not in the kubeconfig.
    #[error("kubeconfig {origin}: there is no context {context}; choose one of: {known}")]
    UnknownContext {
        /// The file, or where it was looked for.
        origin: String,
        /// The context that was asked for.
        context: String,
        /// The contexts that are there.
        known: String,
    },
    /// No context was asked for, and the kubeconfig names no current one.
    #[error("kubeconfig {origin}: it has no current context; choose one of: {known}")]
    NoContext {
        /// The file, or where it was looked for.
        origin: String,
        /// The contexts that are there.
        known: String,
    },
    /// There is neither a kubeconfig nor a pod's service account.
    #[error(
        "no cluster is configured: there is no kubeconfig in KUBECONFIG or ~/.kube/config, and this is no pod; give a kubeconfig file"
    )]
    NotConfigured,
    /// The context can't be used: its cluster, user, certificates or keys are missing or damaged.
    #[error("kubeconfig {origin}: {message}; correct the context's cluster and user")]
    Unusable {
        /// The file, or where it was looked for.
        origin: String,
        /// What is wrong.
        message: String,
    },
}

/// Makes a client. It does not connect yet, and sends each request only once.
///
/// With neither file nor context it takes what `kubectl` would take, or else the service account of the pod that it
/// runs in.
///
/// # Errors
/// There is nothing to connect with; see [`ClientError`].
pub async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, ClientError> {
    let (origin, file) = match kubeconfig {
        Some(path) => {
            let origin = path.display().to_string();
            let file = Kubeconfig::read_from(path).map_err(|error| read_error(&origin, error))?;
            (origin, file)
        }
        None => {
            let origin = "from KUBECONFIG or ~/.kube/config".to_owned();
            match Kubeconfig::read() {
                Ok(file) => (origin, file),
                Err(error) if context.is_some() || !is_missing(&error) => {
                    return Err(read_error(&origin, error));
                }
                Err(_) => {
                    let config = Config::incluster().map_err(|_| ClientError::NotConfigured)?;
                    return connect("of the pod", config);
                }
            }
        }
    };
    let known: Vec<&str> = file.contexts.iter().map(|context| context.name.as_str()).collect();
    let list = if known.is_empty() { "(it has none)".to_owned() } else { known.join(", ") };
    match context {
        Some(context) if !known.contains(&context) => {
            return Err(ClientError::UnknownContext { origin, context: context.to_owned(), known: list });
        }
        None if file.current_context.as_deref().unwrap_or_default().is_empty() => {
            return Err(ClientError::NoContext { origin, known: list });
        }
        _ => {}
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| ClientError::Unusable { origin: origin.clone(), message: message(&error) })?;
    connect(&origin, config)
}

fn connect(origin: &str, mut config: Config) -> Result<Client, ClientError> {
    let agent = HeaderValue::from_static(concat!("kollect/", env!("CARGO_PKG_VERSION")));
    config.headers.push((header::USER_AGENT, agent));
    // Whoever sends requests tries again, knows for how long, and tells what the server answered.
    config.default_retry = false;
    Client::try_from(config)
        .map_err(|error| ClientError::Unusable { origin: origin.to_owned(), message: unusable(&error) })
}

fn unusable(error: &kube::Error) -> String {
    no_credentials(error).unwrap_or_else(|| error.to_string())
}

/// What to say of an error that is about credentials, when a client is made or when they are renewed.
pub(super) fn no_credentials(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Auth(error) => Some(credentials(error)),
        kube::Error::Service(error) => error.downcast_ref().map(credentials),
        _ => None,
    }
}

/// Why there are no credentials. The errors' own texts may hold a plugin's command line, what it wrote, or a token.
fn credentials(error: &AuthError) -> String {
    let why = match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the credential plugin ended with {}", out.status)
        }
        AuthError::AuthExecStart(error) => {
            format!("the credential plugin can't be started: {}", error.kind())
        }
        AuthError::MissingCommand => "the credential plugin has no command".to_owned(),
        AuthError::ExecPluginFailed | AuthError::AuthExecParse(_) | AuthError::AuthExec(_) => {
            "the credential plugin gives no credentials".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} can't be read: {}", path.display(), error.kind())
        }
        _ => "they are damaged".to_owned(),
    };
    format!("the user's credentials can't be obtained: {why}")
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn read_error(origin: &str, error: KubeconfigError) -> ClientError {
    let origin = origin.to_owned();
    match error {
        KubeconfigError::ReadConfig(error, path) => ClientError::Unreadable { path, error },
        KubeconfigError::FindPath => ClientError::NotConfigured,
        // The message would show the lines around the error, and they may hold credentials.
        KubeconfigError::Parse(error) => {
            let place = error.location().map(|place| format!(":{}:{}", place.line(), place.column()));
            ClientError::Malformed { origin, place: place.unwrap_or_default() }
        }
        error => ClientError::Unusable { origin, message: message(&error) },
    }
}

fn message(error: &KubeconfigError) -> String {
    error.to_string()
}
