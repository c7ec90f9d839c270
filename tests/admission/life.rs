//! The webhook beside the life of objects: what it never refuses, what happens without it, certificates, bad bodies.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kollect::admission::{self, Certificates, FailurePolicy, Limits, Location, Options, Rotation};
use kollect::catalog::Input;
use kollect::operator::Readiness;
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::world::{NAME, World, eventually, profile, resource, send, try_send, webhook};

/// A profile of Secrets that may read their values.
fn allowed(name: &str) -> Value {
    let mut profile = profile(name, ".data.password");
    profile["spec"]["targetGVK"]["kind"] = "Secret".into();
    profile["metadata"]["annotations"] = json!({ "kollect.dev/allow-secret-extraction": "true" });
    profile
}

async fn is_asked(world: &World) {
    eventually("the webhook is asked", async || {
        world.create(&profile("probe", "cel:("), true).await.is_refused_by_webhook()
    })
    .await;
}

async fn delete(world: &World, object: &Value) {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("/apis/kollect.dev/v1alpha1/namespaces/default/{plural}/{name}");
    let answer = world.send(Method::DELETE, &path, &json!({})).await;
    assert!(answer.is_taken(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_the_controllers_refuse_the_same_and_with_it_only_changes_of_specs_are_refused() {
    let world = World::new("life").await;

    // Without a webhook the API server takes everything that the schema lets through, and the operator says what is wrong.
    let operator = world.operator(None);
    let pem = "aGVsbG8=";
    let cases = [
        (profile("bad-path", "cel:object."), "ProfileInvalid"),
        (
            resource(
                "KollectTarget",
                "bad-policy",
                json!({ "profileRef": "good", "resourceRules": [
            { "gvk": { "version": "v1", "kind": "ConfigMap" }, "matchPolicy": "(" },
        ] }),
            ),
            "SpecInvalid",
        ),
        (
            resource(
                "KollectDatabaseSink",
                "bad-ca",
                json!({ "type": "postgres", "tls": { "caBundle": pem },
            "postgres": { "databaseRef": { "name": "dsn" }, "table": "rows" } }),
            ),
            "SecretNotFound",
        ),
        (
            resource(
                "KollectDatabaseSink",
                "other-secret",
                json!({ "type": "postgres",
            "postgres": { "databaseRef": { "name": "dsn", "namespace": "other" }, "table": "rows" } }),
            ),
            "SecretForbidden",
        ),
        (resource("KollectInventory", "twice", json!({ "snapshotSinkRefs": ["a", "a"] })), "SinkNotFound"),
    ];
    assert!(world.create(&profile("good", "$.data.v"), false).await.is_taken());
    for (object, _) in &cases {
        let answer = world.create(object, false).await;
        assert!(answer.is_taken(), "{answer:?}");
    }
    for (object, reason) in &cases {
        eventually(&format!("{} is held", object["metadata"]["name"]), async || {
            world.reason(object).await == *reason
        })
        .await;
    }
    let secret = allowed("secrets");
    assert!(world.create(&secret, false).await.is_taken());
    eventually("the profile compiles", async || world.reason(&secret).await == "Compiled").await;
    operator.stop().await;

    // With it, all of them are refused.
    let options = webhook(FailurePolicy::Fail, Rotation::default());
    let operator = world.operator(Some(options.clone()));
    is_asked(&world).await;
    for (object, _) in &cases {
        let mut again = object.clone();
        again["metadata"]["name"] = "again".into();
        let answer = world.create(&again, true).await;
        assert!(answer.is_refused_by_webhook(), "{answer:?}");
    }

    // What has become invalid, here because an annotation was taken away, can be labelled and annotated on.
    let mut taken_away = secret.clone();
    taken_away["metadata"]["annotations"] = json!({});
    let answer = world.patch(&taken_away).await;
    assert!(answer.is_taken(), "{answer:?}");
    taken_away["metadata"]["annotations"] = json!({ "kollect.dev/allow-secret-extraction": "false" });
    let merge = async |object: &Value, patch: Value| {
        let mut object = object.clone();
        for (key, value) in patch.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        world.patch(&object).await
    };
    let answer = merge(&taken_away, json!({ "labels": { "team": "x" } })).await;
    assert!(answer.is_taken(), "{answer:?}");
    eventually("the operator says so", async || world.reason(&secret).await == "ProfileInvalid").await;
    // Its spec can be changed to a good one only.
    let mut changed = taken_away.clone();
    changed["spec"]["attributes"][0]["path"] = ".data.token".into();
    let answer = world.patch(&changed).await;
    assert!(
        answer.is_refused_by_webhook() && answer.message().contains("spec.attributes[0].path: "),
        "{answer:?}"
    );
    changed["spec"]["attributes"][0]["path"] = ".type".into();
    assert!(world.patch(&changed).await.is_taken());

    // It is deleted while something still has to be cleaned up: not even a bad spec is refused any more.
    let finalizers = |list: Value| json!({ "finalizers": list });
    let answer = merge(&cases[0].0, finalizers(json!(["example.com/a", "example.com/b"]))).await;
    assert!(answer.is_taken(), "{answer:?}");
    delete(&world, &cases[0].0).await;
    let answer = merge(&cases[0].0, finalizers(json!(["example.com/a"]))).await;
    assert!(answer.is_taken(), "{answer:?}");

    // The operator is down, and the failure policy is Fail: new objects have to wait, finalizers and metadata don't.
    operator.stop().await;
    let answer = world.create(&profile("new", "$.data.v"), true).await;
    assert!(!answer.is_taken() && answer.message().contains("failed calling webhook"), "{answer:?}");
    let answer = merge(&taken_away, json!({ "labels": { "team": "y" } })).await;
    assert!(!answer.is_taken(), "the spec is the old one, so it changes: {answer:?}");
    let answer = merge(&changed, json!({ "labels": { "team": "y" } })).await;
    assert!(answer.is_taken(), "{answer:?}");
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "map" } });
    let answer = world.send(Method::POST, "/api/v1/namespaces/default/configmaps", &map).await;
    assert!(answer.is_taken(), "{answer:?}");
    delete(&world, &cases[2].0).await;
    assert_eq!(world.get(&cases[2].0).await.code, 404);
    // A target waits for an operator, so that its rows are removed.
    delete(&world, &cases[1].0).await;
    assert_eq!(world.get(&cases[1].0).await.code, 200);
    assert_eq!(world.get(&cases[0].0).await.code, 200, "a finalizer is left");
    let answer = merge(&cases[0].0, finalizers(json!([]))).await;
    assert!(answer.is_taken(), "{answer:?}");
    assert_eq!(world.get(&cases[0].0).await.code, 404);

    // With policy Ignore an operator that is down stops nothing.
    let operator = world.operator(Some(Options { failure_policy: FailurePolicy::Ignore, ..options }));
    is_asked(&world).await;
    eventually("the target is let go of", async || world.get(&cases[1].0).await.code == 404).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    eventually("the policy is applied", async || {
        let webhooks = configurations.get(NAME).await.unwrap().webhooks.unwrap();
        webhooks[0].failure_policy.as_deref() == Some("Ignore")
    })
    .await;
    operator.stop().await;
    eventually("the API server knows", async || {
        world.create(&profile("new", "$.data.v"), true).await.is_taken()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_webhook_is_sent_what_is_the_tenants() {
    let world = World::new("tenant").await;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "other" } });
    assert!(world.send(Method::POST, "/api/v1/namespaces", &namespace).await.is_taken());
    let limits = Limits { namespaces: ["default".to_owned()].into(), namespaced_only: true };
    let options = Options { limits, ..webhook(FailurePolicy::Fail, Rotation::default()) };
    let operator = world.operator(Some(options));
    is_asked(&world).await;
    let mut elsewhere = profile("bad", "cel:(");
    elsewhere["metadata"]["namespace"] = "other".into();
    let answer = world.create(&elsewhere, true).await;
    assert!(answer.is_taken(), "{answer:?}");
    let of_cluster = resource(
        "KollectClusterTarget",
        "bad",
        json!({
            "profileRef": { "name": "p", "namespace": "default" },
            "resourceRules": [{ "gvk": { "version": "v1", "kind": "Pod" }, "matchPolicy": "object." }],
        }),
    );
    let answer = world.create(&of_cluster, true).await;
    assert!(answer.is_taken(), "{answer:?}");
    operator.stop().await;
}

/// A certificate in the files of a directory, and the authority that signed it.
fn write_certificate(folder: &Path, host: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("tls.crt"), leaf.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    authority
}

/// What the Secret of the webhook holds.
async fn stored(world: &World, part: &str) -> Option<Vec<u8>> {
    let secrets: Api<Secret> = Api::default_namespaced(world.client.clone());
    Some(secrets.get_opt(NAME).await.unwrap()?.data?.get(part)?.0.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_while_requests_run_and_all_replicas_serve_one_authority() {
    let world = World::new("certificates").await;
    // Valid for minutes, and renewed after three seconds or so.
    let rotation = Rotation {
        valid: Duration::from_secs(303),
        renew_before: Duration::from_secs(300),
        check: Duration::from_millis(200),
        settle: Duration::from_millis(1500),
    };
    let first = webhook(FailurePolicy::Fail, rotation);
    let mut second = webhook(FailurePolicy::Fail, rotation);
    // A second replica behind the same name: the one that the API server does not reach.
    second.location = first.location.clone();
    let (operator, replica) = (world.operator(Some(first.clone())), world.operator(Some(second.clone())));
    is_asked(&world).await;
    for options in [&first, &second] {
        eventually("each replica serves", async || {
            let client = client_of(options, &configured(&world).await);
            try_send(&client, Method::GET, "/validate", Vec::new()).await.is_some()
        })
        .await;
    }
    let mut seen = BTreeSet::new();
    let mut requests = 0;
    while seen.len() < 4 {
        seen.insert(stored(&world, "tls.crt").await.unwrap());
        let answer = world.create(&profile("probe", "cel:("), true).await;
        assert!(
            answer.is_refused_by_webhook(),
            "after {requests} requests and {} certificates: {answer:?}",
            seen.len()
        );
        requests += 1;
        // Whoever connects anew with what the configuration says at this moment is served, by both.
        let authorities = configured(&world).await;
        for options in [&first, &second] {
            let client = client_of(options, &authorities);
            let answer = send(&client, Method::POST, "/validate", b"{}".to_vec()).await;
            assert_eq!(answer.code, 400, "{answer:?}");
        }
    }
    assert!(requests > 4);

    // A Secret that somebody removes is made again.
    let secrets: Api<Secret> = Api::default_namespaced(world.client.clone());
    secrets.delete(NAME, &DeleteParams::default()).await.unwrap();
    eventually("there is a Secret again", async || stored(&world, "tls.crt").await.is_some()).await;
    is_asked(&world).await;
    operator.stop().await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_is_trusted_before_its_certificate_is_served_also_when_the_secret_was_removed() {
    let world = World::new("settle").await;
    // Longer than the test takes.
    let rotation = Rotation {
        check: Duration::from_millis(200),
        settle: Duration::from_secs(600),
        ..Rotation::default()
    };
    let options = webhook(FailurePolicy::Fail, rotation);
    let operator = world.operator(Some(options.clone()));
    is_asked(&world).await;
    let before = configured(&world).await;
    let secrets: Api<Secret> = Api::default_namespaced(world.client.clone());
    secrets.delete(NAME, &DeleteParams::default()).await.unwrap();
    eventually("there is another authority", async || configured(&world).await != before).await;
    let both = configured(&world).await;
    assert!(both.contains(before.trim()), "the authority of the certificate that is served");
    // An API server that has not heard of the new authority yet is served, and so is one that has.
    for authorities in [&before, &both] {
        let client = client_of(&options, authorities);
        assert_eq!(send(&client, Method::POST, "/validate", b"{}".to_vec()).await.code, 400);
    }
    let answer = world.create(&profile("probe", "cel:("), true).await;
    assert!(answer.is_refused_by_webhook(), "{answer:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_ready_when_its_webhook_can_answer_and_all_kinds_are_served() {
    let world = World::new("ready").await;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        certificates: Certificates::Directory(folder.path().to_owned()),
        ..webhook(FailurePolicy::Ignore, Rotation::default())
    };
    let bad = profile("bad", "cel:(");
    assert!(world.create(&bad, false).await.is_taken());
    let mut operator = world.operator(Some(options));
    // It does its work, but for the webhook.
    eventually("status is written", async || world.reason(&bad).await == "ProfileInvalid").await;
    assert_eq!(*operator.readiness.borrow(), Readiness::Starting);
    write_certificate(folder.path(), "127.0.0.1");
    operator.readiness.wait_for(|readiness| *readiness == Readiness::Leader).await.unwrap();
    // A kind of ours that is missing is missed.
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = "kollecteventsinks.kollect.dev";
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    operator.readiness.wait_for(|readiness| *readiness == Readiness::Starting).await.unwrap();
    let crd =
        kollect::api::crds().into_iter().find(|crd| crd.metadata.name.as_deref() == Some(name)).unwrap();
    eventually("the definition is gone", async || definitions.get_opt(name).await.unwrap().is_none()).await;
    definitions.create(&PostParams::default(), &crd).await.unwrap();
    operator.readiness.wait_for(|readiness| *readiness == Readiness::Leader).await.unwrap();
    operator.stop().await;
}

/// The authorities that the API server trusts.
async fn configured(world: &World) -> String {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    let webhooks = api.get(NAME).await.unwrap().webhooks.unwrap();
    String::from_utf8(webhooks[0].client_config.ca_bundle.clone().unwrap().0).unwrap()
}

/// A client of the webhook itself, which trusts what the Secret says.
async fn trusting(world: &World, options: &Options) -> Client {
    client_of(options, &String::from_utf8(stored(world, "ca.crt").await.unwrap()).unwrap())
}

/// A client of the webhook itself, which trusts these authorities.
fn client_of(options: &Options, authorities: &str) -> Client {
    let mut config = Config::new(format!("https://{}", options.address).parse().unwrap());
    config.default_retry = false;
    let certificates = CertificateDer::pem_slice_iter(authorities.as_bytes());
    config.root_cert = Some(certificates.map(|certificate| certificate.unwrap().to_vec()).collect());
    Client::try_from(config).unwrap()
}

fn review(operation: &str, object: &Value, old: &Value) -> Vec<u8> {
    let kind = object["kind"].as_str().unwrap();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "42",
            "kind": { "group": "kollect.dev", "version": "v1alpha1", "kind": kind },
            "resource": { "group": "kollect.dev", "version": "v1alpha1", "resource": kind.to_lowercase() + "s" },
            "name": object["metadata"]["name"],
            "namespace": "default",
            "operation": operation,
            "userInfo": {},
            "object": object,
            "oldObject": old,
        },
    })
    .to_string()
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_are_judged_and_bodies_that_are_no_reviews_are_answered() {
    let world = World::new("bodies").await;
    let options = webhook(FailurePolicy::Fail, Rotation::default());
    let operator = world.operator(Some(options.clone()));
    is_asked(&world).await;

    // 1.4 MB, near the greatest object that there can be, through the API server.
    let mut large = profile("large", "$.data.v");
    let attributes = (0..250).map(|n| {
        let path = format!("$.{}", "x".repeat(4_000));
        json!({ "name": format!("a{n}"), "path": path, "default": "x".repeat(1_700) })
    });
    large["spec"]["attributes"] = attributes.collect();
    let answer = world.create(&large, true).await;
    assert!(answer.is_taken(), "{answer:?}");
    large["spec"]["attributes"][249]["path"] = "$.x[".into();
    let answer = world.create(&large, true).await;
    assert!(
        answer.is_refused_by_webhook() && answer.message().contains("spec.attributes[249].path: "),
        "{answer:?}"
    );

    // A review is answered with the uid of its request, and a problem with warnings and causes.
    let client = trusting(&world, &options).await;
    let post = async |body: Vec<u8>| send(&client, Method::POST, "/validate", body).await;
    let good = profile("good", "$.data.v");
    let bad = profile("good", "$.data[");
    let answer = post(review("CREATE", &good, &Value::Null)).await.body;
    assert_eq!(
        (&answer["response"]["uid"], &answer["response"]["allowed"]),
        (&json!("42"), &json!(true)),
        "{answer}"
    );
    let answer = post(review("CREATE", &bad, &Value::Null)).await.body;
    assert_eq!(answer["response"]["allowed"], json!(false), "{answer}");
    assert_eq!(answer["response"]["status"]["code"], json!(422), "{answer}");
    assert_eq!(
        answer["response"]["status"]["details"]["causes"][0]["reason"],
        json!("ProfileInvalid"),
        "{answer}"
    );
    // What the API server does not even send, the webhook grants.
    let mut ending = bad.clone();
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for body in
        [review("UPDATE", &bad, &bad), review("UPDATE", &ending, &good), review("DELETE", &bad, &good)]
    {
        let answer = post(body).await.body;
        assert_eq!(answer["response"]["allowed"], json!(true), "{answer}");
    }
    assert_eq!(post(review("UPDATE", &bad, &good)).await.body["response"]["allowed"], json!(false));

    // A kind that the cluster does not serve may come yet.
    let mut unserved = good.clone();
    unserved["spec"]["targetGVK"]["kind"] = "ConfigMapp".into();
    let other_group = json!({ "group": "example.dev", "version": "v1", "kind": "Widget" });
    for (gvk, says) in [
        (unserved["spec"]["targetGVK"].clone(), "ConfigMapp of v1"),
        (other_group, "Widget of example.dev/v1"),
    ] {
        unserved["spec"]["targetGVK"] = gvk;
        let answer = world.create(&unserved, true).await;
        assert!(answer.is_taken(), "{answer:?}");
        assert!(
            answer.warnings[0].contains(says) && answer.warnings[0].contains("spec.targetGVK: "),
            "{answer:?}"
        );
    }

    // What is no review is the client's fault, whatever it is, and the next one is answered as before.
    let nested = "[".repeat(100_000).into_bytes();
    let other_version = String::from_utf8(review("CREATE", &good, &Value::Null)).unwrap();
    let other_version = other_version.replace("admission.k8s.io/v1", "admission.k8s.io/v2").into_bytes();
    let no_request = br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#.to_vec();
    for body in [Vec::new(), b"canary-7c".to_vec(), b"\xff\xfe\0".to_vec(), nested, other_version, no_request]
    {
        let answer = post(body).await;
        assert_eq!(answer.code, 400, "{answer:?}");
        assert!(!answer.body.to_string().contains("canary-7c"), "{answer:?}");
    }
    let mut odd = good.clone();
    odd["spec"] = json!("canary-7c");
    let answer = post(review("CREATE", &odd, &Value::Null)).await.body;
    assert_eq!(answer["response"]["allowed"], json!(false), "{answer}");
    assert!(!answer.to_string().contains("canary-7c"), "{answer}");
    // Whether the client hears of it before its connection is closed is a matter of luck.
    let answer = try_send(&client, Method::POST, "/validate", vec![b' '; 9 << 20]).await;
    assert!(answer.as_ref().is_none_or(|answer| answer.code == 413), "{answer:?}");
    let client = trusting(&world, &options).await;
    assert_eq!(send(&client, Method::GET, "/validate", Vec::new()).await.code, 405);
    assert_eq!(send(&client, Method::POST, "/healthz", Vec::new()).await.code, 404);
    let answer = send(&client, Method::POST, "/validate", review("CREATE", &good, &Value::Null)).await;
    assert!(answer.is_taken(), "{answer:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_somebody_else_is_read_again_and_its_authority_is_left_to_them() {
    let world = World::new("directory").await;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        certificates: Certificates::Directory(folder.path().to_owned()),
        ..webhook(FailurePolicy::Fail, Rotation::default())
    };
    let Location::Url { host, .. } = &options.location else { unreachable!() };
    // As cert-manager's injector does.
    let inject = async |authority: &CertifiedIssuer<'static, KeyPair>| {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
        let mut configuration = api.get(NAME).await.unwrap();
        let webhook = &mut configuration.webhooks.as_mut().unwrap()[0];
        webhook.client_config.ca_bundle = Some(k8s_openapi::ByteString(authority.pem().into_bytes()));
        api.replace(NAME, &PostParams::default(), &configuration).await.unwrap();
    };
    let operator = world.operator(Some(options.clone()));
    // Nothing is there yet, and nothing stops.
    assert!(world.create(&profile("good", "$.data.v"), false).await.is_taken());
    eventually("the operator runs", async || world.reason(&profile("good", "")).await == "Compiled").await;
    let first = write_certificate(folder.path(), host);
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.client.clone());
    eventually("there is a configuration", async || api.get_opt(NAME).await.unwrap().is_some()).await;
    inject(&first).await;
    is_asked(&world).await;
    assert!(stored(&world, "ca.crt").await.is_none(), "no Secret is made");
    let second = write_certificate(folder.path(), host);
    inject(&second).await;
    is_asked(&world).await;
    // The operator applies its part again, and leaves the authority alone.
    let before = api.get(NAME).await.unwrap();
    eventually("the operator has come by", async || {
        let mut spoilt = before.clone();
        spoilt.metadata.resource_version = None;
        spoilt.webhooks.as_mut().unwrap()[0].timeout_seconds = Some(7);
        let _ = api.replace(NAME, &PostParams::default(), &spoilt).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        api.get(NAME).await.unwrap().webhooks.unwrap()[0].timeout_seconds == Some(5)
    })
    .await;
    let after = api.get(NAME).await.unwrap().webhooks.unwrap();
    assert_eq!(after[0].client_config.ca_bundle, Some(k8s_openapi::ByteString(second.pem().into_bytes())));
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_cluster_is_not_known_reviews_wait_and_are_not_granted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = write_certificate(folder.path(), "127.0.0.1");
    let options = Options {
        certificates: Certificates::Directory(folder.path().to_owned()),
        ..webhook(FailurePolicy::Fail, Rotation::default())
    };
    // An API server that nobody reaches; the webhook serves all the same.
    let nowhere = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let (inputs, latest) = watch::channel(None);
    let stop = CancellationToken::new();
    let webhook = admission::start(nowhere, options.clone(), latest, stop.clone()).await.unwrap();
    let client = client_of(&options, &authority.pem());
    let good = profile("good", "$.data.v");
    let post = async |body: Vec<u8>| send(&client, Method::POST, "/validate", body).await;
    eventually("the certificate is read", async || {
        try_send(&client, Method::GET, "/validate", Vec::new()).await.is_some()
    })
    .await;
    let answer = post(review("CREATE", &good, &Value::Null)).await;
    assert_eq!(answer.code, 503, "{answer:?}");
    // What needs no look is granted at once.
    assert_eq!(post(review("UPDATE", &good, &good)).await.body["response"]["allowed"], json!(true));
    assert!(!webhook.is_ready());
    let (answer, ()) = tokio::join!(post(review("CREATE", &good, &Value::Null)), async {
        inputs.send_replace(Some(Arc::new(Input::default())));
    });
    assert_eq!(answer.body["response"]["allowed"], json!(true), "{answer:?}");
    assert!(webhook.is_ready());
    // Connections that never say anything hold up nobody for good.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(tokio::net::TcpStream::connect(options.address).await.unwrap());
    }
    let other = client_of(&options, &authority.pem());
    let answer = send(&other, Method::POST, "/validate", review("CREATE", &good, &Value::Null)).await;
    assert!(answer.is_taken(), "{answer:?}");
    drop(silent);
    // The address is taken, which is told and not waited for.
    let nowhere = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let error = admission::start(nowhere, options, inputs.subscribe(), stop.clone()).await.unwrap_err();
    assert!(error.to_string().contains("--webhook-address"), "{error}");
    stop.cancel();
}

/// The first YAML block of a page after a heading.
fn block(page: &str, heading: &str) -> Vec<Value> {
    let rest = page.split_once(heading).unwrap().1.split_once("```yaml\n").unwrap().1;
    let text = rest.split_once("```").unwrap().0;
    text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_permissions_are_enough_and_a_secret_of_others_is_left_alone() {
    let world = World::new("permissions").await;
    let post = async |path: &str, body: &Value| {
        let answer = world.send(Method::POST, path, body).await;
        assert!(answer.is_taken(), "{answer:?}");
    };
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kollect-system" } });
    post("/api/v1/namespaces", &namespace).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let in_namespace = format!("{rbac}/namespaces/kollect-system");
    let subject = json!({ "kind": "ServiceAccount", "name": "kollect", "namespace": "kollect-system" });
    let bind = |kind: &str, role: &str, name: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name }, "subjects": [subject],
        })
    };
    // What the operator needs without a webhook.
    let plain = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "kollect" },
        "rules": [
            { "apiGroups": ["kollect.dev"], "resources": ["*"], "verbs": ["list", "watch", "get", "patch"] },
            { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"] },
        ],
    });
    post(&format!("{rbac}/clusterroles"), &plain).await;
    post(&format!("{rbac}/clusterrolebindings"), &bind("ClusterRoleBinding", "ClusterRole", "kollect")).await;
    let page = include_str!("../../docs/admission.md");
    let [role, cluster_role] = <[Value; 2]>::try_from(block(page, "## Permissions")).unwrap();
    post(&format!("{in_namespace}/roles"), &role).await;
    post(&format!("{in_namespace}/rolebindings"), &bind("RoleBinding", "Role", NAME)).await;
    post(&format!("{rbac}/clusterroles"), &cluster_role).await;
    post(&format!("{rbac}/clusterrolebindings"), &bind("ClusterRoleBinding", "ClusterRole", NAME)).await;

    let kubeconfig = Kubeconfig::read_from(&world.cluster.kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info.impersonate = Some("system:serviceaccount:kollect-system:kollect".to_owned());
    config.auth_info.impersonate_groups =
        Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]);
    config.default_namespace = "kollect-system".to_owned();
    let client = Client::try_from(config).unwrap();
    let check = Duration::from_millis(200);
    let options = webhook(FailurePolicy::Fail, Rotation { check, ..Rotation::default() });

    // A Secret of that name which is somebody else's.
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "kollect-system");
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": NAME }, "stringData": { "theirs": "yes" },
    });
    let theirs: Secret = serde_json::from_value(body).unwrap();
    secrets.create(&PostParams::default(), &theirs).await.unwrap();
    let operator = world.operator_as(client, Some(options));
    let good = profile("good", "$.data.v");
    assert!(world.create(&good, false).await.is_taken());
    eventually("the operator runs", async || world.reason(&good).await == "Compiled").await;
    // There is nothing to wait for: it is what must not happen.
    tokio::time::sleep(5 * check).await;
    let kept = secrets.get(NAME).await.unwrap().data.unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["theirs"]);
    // As soon as it is gone, the webhook comes up: all of it is permitted.
    secrets.delete(NAME, &DeleteParams::default()).await.unwrap();
    is_asked(&world).await;
    let first = secrets.get(NAME).await.unwrap().data.unwrap();
    // Damaged, and put right: updating is permitted too.
    let mut damaged = secrets.get(NAME).await.unwrap();
    damaged.data.as_mut().unwrap().insert("tls.crt".to_owned(), k8s_openapi::ByteString(b"no PEM".to_vec()));
    secrets.replace(NAME, &PostParams::default(), &damaged).await.unwrap();
    eventually("the Secret is put right", async || {
        let now = secrets.get(NAME).await.unwrap().data.unwrap();
        now["tls.crt"].0 != b"no PEM" && now["tls.crt"] != first["tls.crt"]
    })
    .await;
    is_asked(&world).await;
    operator.stop().await;
}
