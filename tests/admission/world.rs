//! An API server with our CRDs, and operators beside it.

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kollect::admission::{Certificates, FailurePolicy, Location, Options, Rotation};
use kollect::api;
use kollect::operator::{self, Readiness};
use kollect::sources::kubernetes::client;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The name of the webhook's configuration and Secret.
pub(crate) const NAME: &str = "kollect-webhook";

/// What the API server answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    pub(crate) fn is_taken(&self) -> bool {
        (200..300).contains(&self.code)
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Whether it is the webhook that refuses.
    pub(crate) fn is_refused_by_webhook(&self) -> bool {
        self.code == 422
            && self.message().starts_with("admission webhook \"validate.kollect.dev\" denied the request")
    }
}

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) cluster: Cluster,
}

/// An operator that runs in this process.
pub(crate) struct Operator {
    stop: CancellationToken,
    task: JoinHandle<()>,
    pub(crate) readiness: watch::Receiver<Readiness>,
}

impl Operator {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
        let name = format!("admission-{name}");
        let cluster = tokio::task::spawn_blocking(move || Cluster::start(&name)).await.unwrap();
        let client = client(Some(&cluster.kubeconfig), None).await.unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let apply = PatchParams::apply("kollect-tests").force();
        for crd in api::crds() {
            let name = crd.metadata.name.clone().unwrap();
            definitions.patch(&name, &apply, &Patch::Apply(&crd)).await.unwrap();
            let established = await_condition(definitions.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(PATIENCE, established).await.expect(&name).unwrap();
        }
        let world = Self { client, cluster };
        // A definition that has just been created is served a moment later.
        for crd in api::crds() {
            let path = format!("/apis/kollect.dev/v1alpha1/{}", crd.spec.names.plural);
            eventually(&path, async || world.send(Method::GET, &path, &Value::Null).await.is_taken()).await;
        }
        world
    }

    /// Starts an operator, with a webhook or without.
    pub(crate) fn operator(&self, webhook: Option<Options>) -> Operator {
        self.operator_as(self.client.clone(), webhook)
    }

    /// The same, as somebody else.
    pub(crate) fn operator_as(&self, client: Client, webhook: Option<Options>) -> Operator {
        let stop = CancellationToken::new();
        let (sender, readiness) = watch::channel(Readiness::default());
        let options = operator::Options {
            tenancy: Default::default(),
            allow_local_sinks: true,
            endpoints: kollect::sinks::EndpointPolicy::unrestricted(),
            scrub_keys: Vec::new(),
            workers: 1,
            cleanup_timeout: std::time::Duration::from_secs(120),
            lease: None,
            readiness: sender,
            webhook,
        };
        let running = operator::run(client, options, stop.clone());
        Operator { stop, task: tokio::spawn(async move { drop(running.await.unwrap()) }), readiness }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        send(&self.client, method, path, body.to_string().into_bytes()).await
    }

    /// Creates an object of ours, as strict as `kubectl apply`.
    pub(crate) async fn create(&self, object: &Value, dry_run: bool) -> Answer {
        let query = if dry_run { "?fieldValidation=Strict&dryRun=All" } else { "?fieldValidation=Strict" };
        self.send(Method::POST, &format!("{}{query}", collection(object)), object).await
    }

    /// Applies an object of ours as it is, in place of what is there.
    pub(crate) async fn patch(&self, object: &Value) -> Answer {
        let path = format!(
            "{}/{}?fieldManager=test&force=true",
            collection(object),
            object["metadata"]["name"].as_str().unwrap()
        );
        let request = Request::patch(path).header("content-type", "application/apply-patch+yaml");
        let request = request.body(Body::from(object.to_string().into_bytes())).unwrap();
        answer(&self.client, request).await.expect("there is an answer")
    }

    pub(crate) async fn get(&self, object: &Value) -> Answer {
        let path = format!("{}/{}", collection(object), object["metadata"]["name"].as_str().unwrap());
        self.send(Method::GET, &path, &Value::Null).await
    }

    /// Reason of the condition Ready of an object of ours.
    pub(crate) async fn reason(&self, object: &Value) -> String {
        let conditions = self.get(object).await.body["status"]["conditions"].clone();
        let ready =
            conditions.as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
        ready.and_then(|ready| ready["reason"].as_str()).unwrap_or_default().to_owned()
    }
}

pub(crate) async fn send(client: &Client, method: Method, path: &str, body: Vec<u8>) -> Answer {
    try_send(client, method, path, body).await.expect("there is an answer")
}

/// `None` when the connection ends before there is an answer.
pub(crate) async fn try_send(client: &Client, method: Method, path: &str, body: Vec<u8>) -> Option<Answer> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    answer(client, request.body(Body::from(body)).unwrap()).await
}

async fn answer(client: &Client, request: Request<Body>) -> Option<Answer> {
    let response = client.send(request).await.ok()?;
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    Some(Answer { code, warnings, body: serde_json::from_slice(&body).unwrap_or_else(|_| text()) })
}

/// Where objects of a kind are.
fn collection(object: &Value) -> String {
    static CRDS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(api::crds);
    let kind = object["kind"].as_str().unwrap();
    let crd = CRDS.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let plural = &crd.spec.names.plural;
    match object["metadata"]["namespace"].as_str().filter(|_| crd.spec.scope == "Namespaced") {
        Some(namespace) => format!("/apis/kollect.dev/v1alpha1/namespaces/{namespace}/{plural}"),
        None => format!("/apis/kollect.dev/v1alpha1/{plural}"),
    }
}

/// A resource of ours in namespace `default`.
pub(crate) fn resource(kind: &str, name: &str, spec: Value) -> Value {
    let metadata = match kind.starts_with("KollectCluster") {
        true => json!({ "name": name }),
        false => json!({ "name": name, "namespace": "default" }),
    };
    json!({ "apiVersion": api::API_VERSION, "kind": kind, "metadata": metadata, "spec": spec })
}

/// A profile with one attribute.
pub(crate) fn profile(name: &str, path: &str) -> Value {
    let gvk = json!({ "version": "v1", "kind": "ConfigMap" });
    let attributes = json!([{ "name": "a", "path": path }]);
    resource("KollectProfile", name, json!({ "targetGVK": gvk, "attributes": attributes }))
}

/// A webhook at a free address of this machine.
pub(crate) fn webhook(failure_policy: FailurePolicy, rotation: Rotation) -> Options {
    // Not one of those that the system gives to connections: another test's could take it before it is listened on.
    let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..30_000));
    let port = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Options {
        address,
        location: Location::url(&format!("https://{address}")).unwrap(),
        name: NAME.to_owned(),
        certificates: Certificates::Own(rotation),
        failure_policy,
        limits: Default::default(),
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
