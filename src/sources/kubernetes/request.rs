//! Requests to the API server, and what can go wrong with them.

use std::time::Duration;

use futures::AsyncBufRead;
use futures::TryStreamExt as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;

use super::client::no_credentials;

/// How long the API server may take to begin an answer, and to give a page of a list.
const PATIENCE: Duration = Duration::from_secs(60);
/// As much of an error's body as is looked at, in bytes.
const LONGEST_ERROR: usize = 64 << 10;
/// The longest pause that a server can impose.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Why a request did not get what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The version asked for is too old, or the answer can't be continued: list again.
    Expired,
    /// There is no such resource (any more).
    NotFound,
    /// Not allowed, or not authenticated.
    Denied(String),
    /// The server refuses the request for what it asks.
    Refused(String),
    /// The server can't be reached, is too busy, or broke off. Holds the pause that it asks for.
    Unavailable(String, Option<Duration>),
}

/// What the API server says of an error.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default)]
    retry_after_seconds: Option<u64>,
}

impl Status {
    /// Sorts an error by what to do about it.
    pub(super) fn into_failure(self, retry_after: Option<u64>) -> Failure {
        let pause = self.details.and_then(|details| details.retry_after_seconds).or(retry_after);
        let pause = pause.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        match self.code {
            410 => Failure::Expired,
            404 => Failure::NotFound,
            401 | 403 => Failure::Denied(self.message),
            408 | 429 | 500.. => Failure::Unavailable(self.message, pause),
            _ => Failure::Refused(self.message),
        }
    }
}

/// Gets a whole answer.
pub(super) async fn get(client: &Client, path: &str) -> Result<Vec<u8>, Failure> {
    let body = async {
        let response = send(client, path, false).await?;
        let body = response.into_body().collect().await.map_err(broken)?;
        Ok(body.to_bytes().to_vec())
    };
    timely(body).await
}

/// Gets an answer that goes on, to be read as it comes.
pub(super) async fn stream(
    client: &Client,
    path: &str,
) -> Result<impl AsyncBufRead + Send + Unpin + use<>, Failure> {
    let response = timely(send(client, path, true)).await?;
    Ok(response.into_body().into_data_stream().map_err(std::io::Error::other).into_async_read())
}

/// The failure of a connection that broke.
pub(super) fn broken(error: impl std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    Failure::Unavailable(text, None)
}

async fn timely<T>(request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()), None)),
    }
}

async fn send(client: &Client, path: &str, plain: bool) -> Result<Response<Body>, Failure> {
    let mut request = Request::get(path).header(header::ACCEPT, "application/json");
    if plain {
        // Packed streams of events come late, and not every reader can unpack those that consist of several parts.
        request = request.header(header::ACCEPT_ENCODING, "identity");
    }
    let request = request.body(Body::empty()).map_err(|error| Failure::Refused(error.to_string()))?;
    let response = match client.send(request).await {
        Ok(response) => response,
        // A retry layer of the client may have made an error of the answer.
        Err(kube::Error::Api(status)) => {
            let status = Status { code: status.code, message: status.message.clone(), details: None };
            return Err(status.into_failure(None));
        }
        Err(error) => {
            return Err(match no_credentials(&error) {
                Some(message) => Failure::Denied(message),
                None => broken(error),
            });
        }
    };
    if response.status().is_success() {
        return Ok(response);
    }
    Err(failure(response).await)
}

async fn failure(response: Response<Body>) -> Failure {
    let code = response.status();
    let retry_after =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), LONGEST_ERROR).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    status(code, &body).into_failure(retry_after)
}

fn status(code: StatusCode, body: &[u8]) -> Status {
    let mut status: Status = serde_json::from_slice(body).unwrap_or_default();
    status.code = code.as_u16();
    if status.message.is_empty() {
        status.message = format!("the server answers {code}");
    }
    status
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_to_do_about_them() {
        let sorted = |code: u16, body: &str, retry_after| {
            status(StatusCode::from_u16(code).unwrap(), body.as_bytes()).into_failure(retry_after)
        };
        assert_eq!(sorted(410, "", None), Failure::Expired);
        assert_eq!(sorted(404, "404 page not found", None), Failure::NotFound);
        assert_eq!(sorted(403, r#"{"message":"no"}"#, None), Failure::Denied("no".into()));
        assert_eq!(sorted(401, "", None), Failure::Denied("the server answers 401 Unauthorized".into()));
        assert_eq!(sorted(422, r#"{"message":"bad"}"#, None), Failure::Refused("bad".into()));
        assert_eq!(
            sorted(429, r#"{"message":"m","details":{"retryAfterSeconds":7}}"#, Some(1)),
            Failure::Unavailable("m".into(), Some(Duration::from_secs(7)))
        );
        assert_eq!(
            sorted(503, r#"{"message":"m"}"#, Some(100_000)),
            Failure::Unavailable("m".into(), Some(LONGEST_RETRY_AFTER))
        );
    }
}
