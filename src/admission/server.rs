//! HTTPS: connections in, answers out. Bounded in size, number and time, since whoever reaches the port may connect.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificate::Serving;
use super::kinds::Kinds;
use super::verdict::verdict;
use super::{PATH, review};
use crate::catalog::Input;

/// The greatest body: an object and the one that it replaces, each as large as an API server takes one.
const LARGEST_BODY: usize = 8 << 20;

/// So many connections are served at a time. API servers are few, and keep a few each.
const CONNECTIONS: usize = 256;

/// So many bodies are held at a time; one takes many times its size when it is taken apart.
const AT_A_TIME: usize = 8;

/// So long a handshake, a head or a body may take: as long as the API server waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// So long a request waits for the resources of the cluster to be known. Less than the API server's patience.
const WAIT_FOR_INPUT: Duration = Duration::from_secs(3);

/// So long the listener rests when the system has no more connections to give.
const REST: Duration = Duration::from_millis(100);

/// What answers requests.
#[derive(Clone)]
struct Answerer {
    inputs: watch::Receiver<Option<Arc<Input>>>,
    kinds: Arc<Kinds>,
    places: Arc<Semaphore>,
}

/// TLS with whatever certificate is served at the moment.
pub(super) fn acceptor(serving: Arc<Serving>) -> Result<TlsAcceptor, rustls::Error> {
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` fires; requests under way are answered.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    inputs: watch::Receiver<Option<Arc<Input>>>,
    kinds: Kinds,
    stop: CancellationToken,
) {
    let answerer = Answerer { inputs, kinds: Arc::new(kinds), places: Arc::new(Semaphore::new(AT_A_TIME)) };
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = async {
        // Neither semaphore is ever closed.
        while let Ok(place) = Arc::clone(&connections).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection =
                        serve_connection(stream, acceptor.clone(), answerer.clone(), stop.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection to the webhook could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn serve_connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answerer: Answerer,
    stop: CancellationToken,
) {
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a handshake with the webhook failed"),
        Err(_) => return,
    };
    let service = service_fn(move |request| {
        let answerer = answerer.clone();
        async move { Ok::<_, std::convert::Infallible>(answerer.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // How a connection ends is its client's affair.
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(PATIENCE, connection).await;
        }
    }
}

impl Answerer {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, "reviews are posted to /validate");
        }
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "reviews are posted");
        }
        let Ok(_place) = self.places.acquire().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the webhook ends");
        };
        let body = match timeout(PATIENCE, Limited::new(request.into_body(), LARGEST_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 8 MiB");
            }
            Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body has no end"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body takes too long"),
        };
        let request = match blocking(move || review::read(&body)).await {
            Some(Ok(request)) => request,
            Some(Err(why)) => return text(StatusCode::BAD_REQUEST, &why),
            None => return text(StatusCode::INTERNAL_SERVER_ERROR, "the review could not be read"),
        };
        let Some(object) = review::to_judge(&request) else { return json(review::granted(&request)) };
        let resource = review::resource(&request, object);
        let Some(input) = self.input().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the resources of the cluster are not known yet");
        };
        let (judged, value) = (resource.clone(), review::value(object));
        let Some(mut verdict) = blocking(move || verdict(&input, &judged, value)).await else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the object could not be judged");
        };
        if verdict.refusals.is_empty() {
            verdict.warnings.extend(self.kinds.unserved(&resource, object).await);
        }
        tracing::debug!(
            %resource,
            refusals = verdict.refusals.len(),
            warnings = verdict.warnings.len(),
            "reviewed"
        );
        json(review::answer(&request, &resource, &verdict))
    }

    /// The latest input, once there is one.
    async fn input(&self) -> Option<Arc<Input>> {
        let mut inputs = self.inputs.clone();
        let known = timeout(WAIT_FOR_INPUT, inputs.wait_for(Option::is_some)).await;
        known.ok()?.ok()?.clone()
    }
}

/// Runs what keeps a processor busy beside the tasks that wait; `None` when it ends without a result.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = Option<T>> {
    let task = tokio::task::spawn_blocking(work);
    async move { task.await.ok() }
}

fn json(response: kube::core::admission::AdmissionResponse) -> Response<Full<Bytes>> {
    match serde_json::to_vec(&response.into_review()) {
        Ok(body) => {
            let mut response = Response::new(Full::new(Bytes::from(body)));
            let json = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the verdict can't be written"),
    }
}

fn text(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{why}\n"))));
    *response.status_mut() = status;
    response
}
