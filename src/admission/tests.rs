//! Judging, certificates and the configuration, without a cluster.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::certificate::{Issued, issue, key, lasts};
use super::configuration::Configuration;
use super::surroundings::surroundings;
use super::verdict::{Verdict, verdict};
use super::{Certificates, FailurePolicy, Limits, Location, Options, Rotation, review};
use crate::catalog::{Input, Problem, ResourceName, ResourceRef, SecretData};

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "kollect.dev/v1alpha1",
        "kind": kind,
        "metadata": { "namespace": "a", "name": name, "labels": { "tier": "base" } },
        "spec": spec,
    })
}

fn reference(kind: &str, name: &str) -> ResourceRef {
    ResourceRef::new(kind, &ResourceName::new("a", name))
}

fn put(input: &mut Input, kind: &str, name: &str, spec: &Value) {
    input.put(kind, ResourceName::new("a", name), resource(kind, name, spec)).unwrap();
}

fn profile(path: &str) -> Value {
    json!({ "targetGVK": { "version": "v1", "kind": "Pod" }, "attributes": [{ "name": "phase", "path": path }] })
}

/// 500 targets of 50 profiles, 50 inventories, 20 sinks, all in one namespace.
fn large() -> Input {
    let mut input = Input::default();
    for n in 0..50 {
        put(&mut input, "KollectProfile", &format!("p{n}"), &profile(".status.phase"));
    }
    for n in 0..500 {
        let policy =
            json!([{ "gvk": { "version": "v1", "kind": "Pod" }, "matchPolicy": format!("object.a > {n}") }]);
        let spec = json!({ "profileRef": format!("p{}", n % 50), "resourceRules": policy });
        put(&mut input, "KollectTarget", &format!("t{n}"), &spec);
    }
    for n in 0..50 {
        put(&mut input, "KollectInventory", &format!("i{n}"), &json!({ "databaseSinkRefs": ["s0"] }));
    }
    for n in 0..20 {
        let postgres = json!({ "databaseRef": { "name": format!("dsn{n}") }, "table": "rows" });
        let spec = json!({ "type": "postgres", "postgres": postgres });
        put(&mut input, "KollectDatabaseSink", &format!("s{n}"), &spec);
        let data = SecretData([("dsn".to_owned(), b"postgres://u@db.example/x".to_vec())].into());
        input.secrets.insert(ResourceName::new("a", format!("dsn{n}")), data);
    }
    input
}

/// What is planned for a resource: profiles, targets, selections of targets, inventories, sinks, Secrets.
fn planned(input: &Input, kind: &str, name: &str, spec: &Value) -> [usize; 6] {
    let around = surroundings(input, &reference(kind, name), resource(kind, name, spec)).unwrap().unwrap();
    let selections = around.targets.values().map(|target| target.spec.filter.resource_rules.len()).sum();
    [
        around.profiles.len(),
        around.targets.len(),
        selections,
        around.inventories.len(),
        around.database_sinks.len() + around.snapshot_sinks.len(),
        around.secrets.len(),
    ]
}

#[test]
fn a_verdict_costs_what_concerns_the_resource_however_many_others_there_are() {
    let input = large();
    let rollups =
        json!([{ "name": "r", "groupBy": ["phase"], "aggregates": [{ "name": "n", "op": "count" }] }]);
    for (kind, name, spec, expected) in [
        ("KollectProfile", "p0", profile(".a"), [1, 0, 0, 0, 0, 0]),
        ("KollectProfile", "new", profile(".a"), [1, 0, 0, 0, 0, 0]),
        ("KollectTarget", "t0", json!({ "profileRef": "p7" }), [1, 1, 0, 0, 0, 0]),
        ("KollectTarget", "new", json!({ "profileRef": "gone" }), [0, 1, 0, 0, 0, 0]),
        ("KollectInventory", "i0", json!({ "databaseSinkRefs": ["s1", "s2"] }), [0, 500, 0, 1, 2, 2]),
        (
            "KollectInventory",
            "i0",
            json!({ "databaseSinkRefs": ["s1"], "rollups": rollups }),
            [50, 500, 0, 1, 1, 1],
        ),
        ("KollectDatabaseSink", "s3", json!({ "type": "sqlite", "endpoint": "/a.db" }), [0, 0, 0, 0, 1, 0]),
        ("KollectSnapshotSink", "s3", json!({ "type": "local", "endpoint": "/a" }), [0, 0, 0, 0, 1, 0]),
    ] {
        assert_eq!(planned(&input, kind, name, &spec), expected, "{kind} {name}");
    }
}

/// Problems as `spec.profileRef ProfileNotFound`.
fn briefly(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{} {}", problem.field, problem.reason)).collect()
}

fn judged(input: &Input, kind: &str, name: &str, spec: &Value) -> (Vec<String>, Vec<String>) {
    let Verdict { refusals, warnings } = verdict(input, &reference(kind, name), resource(kind, name, spec));
    (briefly(&refusals), briefly(&warnings))
}

#[test]
fn what_another_resource_may_cure_is_a_warning_and_what_only_the_author_can_is_refused() {
    let mut input = large();
    put(&mut input, "KollectProfile", "broken", &profile("$["));
    let rollup = |attribute: &str| json!([{ "name": "r", "groupBy": [attribute], "aggregates": [{ "name": "n", "op": "count" }] }]);
    let postgres = |secret: &str| json!({ "type": "postgres", "postgres": { "databaseRef": { "name": secret }, "table": "rows" } });
    type Told = &'static [&'static str];
    let cases: Vec<(&str, Value, Told, Told)> = vec![
        ("KollectProfile", profile("$["), &["spec.attributes[0].path ProfileInvalid"], &[]),
        ("KollectTarget", json!({ "profileRef": "p1" }), &[], &[]),
        ("KollectTarget", json!({ "profileRef": "none" }), &[], &["spec.profileRef ProfileNotFound"]),
        // The profile's author can cure that.
        ("KollectTarget", json!({ "profileRef": "broken" }), &[], &["spec.profileRef ProfileInvalid"]),
        ("KollectTarget", json!({ "profileRef": "" }), &["spec.profileRef MissingProfileRef"], &[]),
        ("KollectInventory", json!({ "databaseSinkRefs": ["s1"] }), &[], &[]),
        (
            "KollectInventory",
            json!({ "databaseSinkRefs": ["x"], "targetRefs": ["y"] }),
            &[],
            &["spec.databaseSinkRefs[0] SinkNotFound", "spec.targetRefs[0] TargetNotFound"],
        ),
        (
            "KollectInventory",
            json!({ "databaseSinkRefs": ["s1", "s1"] }),
            &["spec.databaseSinkRefs[1] SpecInvalid"],
            &[],
        ),
        // Two sinks that lead to the same table: one of them may just be about to change.
        (
            "KollectInventory",
            json!({ "databaseSinkRefs": ["s1", "s2"] }),
            &[],
            &["spec.databaseSinkRefs[1] SameDestination"],
        ),
        ("KollectInventory", json!({ "databaseSinkRefs": ["s1"], "rollups": rollup("phase") }), &[], &[]),
        (
            "KollectInventory",
            json!({ "databaseSinkRefs": ["s1"], "rollups": rollup("fase") }),
            &[],
            &["spec.rollups[0].groupBy[0] AttributeNotFound"],
        ),
        ("KollectDatabaseSink", postgres("dsn1"), &[], &[]),
        // Nobody has looked for that one yet.
        ("KollectDatabaseSink", postgres("unheard-of"), &[], &[]),
        (
            "KollectSnapshotSink",
            json!({ "type": "local", "endpoint": "/a" }),
            &["spec.type SinkForbidden"],
            &[],
        ),
        ("KollectSnapshotSink", json!("canary"), &["spec SpecInvalid"], &[]),
        ("KollectUnheardOf", json!({}), &[], &[]),
    ];
    for (kind, spec, refused, warned) in cases {
        let (refusals, warnings) = judged(&input, kind, "new", &spec);
        assert_eq!((refusals, warnings), (to_owned(refused), to_owned(warned)), "{kind} {spec}");
    }
    // A Secret that the operator has looked for is known to be missing.
    put(&mut input, "KollectDatabaseSink", "other", &postgres("missing"));
    let (refusals, warnings) = judged(&input, "KollectDatabaseSink", "new", &postgres("missing"));
    assert_eq!((refusals, warnings), (vec![], to_owned(&["spec.postgres.databaseRef SecretNotFound"])));
}

fn to_owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_resource_that_can_not_be_used_as_it_stands_is_judged_as_it_would_be() {
    let mut input = large();
    input.profiles.remove(&ResourceName::new("a", "p0"));
    input.unusable.insert(reference("KollectProfile", "p0"), Default::default());
    assert_eq!(judged(&input, "KollectProfile", "p0", &profile(".a")), (vec![], vec![]));
    // What refers to it is told.
    let target = json!({ "profileRef": "p0" });
    assert_eq!(
        judged(&input, "KollectTarget", "t", &target),
        (vec![], to_owned(&["spec.profileRef ProfileInvalid"]))
    );
}

fn review_of(kind: &str, operation: &str, sub_resource: Option<&str>, object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": { "group": "kollect.dev", "version": "v1alpha1", "kind": kind },
            "resource": { "group": "kollect.dev", "version": "v1alpha1", "resource": "any" },
            "subResource": sub_resource,
            "name": "x",
            "namespace": "a",
            "operation": operation,
            "userInfo": {},
            "object": object,
            "oldObject": old,
        },
    })
}

fn request(operation: &str, sub_resource: Option<&str>, object: &Value, old: &Value) -> review::Request {
    let review = review_of("KollectProfile", operation, sub_resource, object, old);
    review::read(review.to_string().as_bytes()).unwrap()
}

#[test]
fn only_new_objects_and_changed_specs_are_judged() {
    let (good, bad) = (profile(".a"), profile("$["));
    let (good, bad) = (resource("KollectProfile", "x", &good), resource("KollectProfile", "x", &bad));
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({ "other": "yes" });
    labelled["metadata"]["finalizers"] = json!([]);
    let mut ending = bad.clone();
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for (operation, sub_resource, object, old, is_judged) in [
        ("CREATE", None, &bad, &Value::Null, true),
        ("UPDATE", None, &bad, &good, true),
        ("UPDATE", Some(""), &bad, &good, true),
        ("UPDATE", None, &labelled, &bad, false),
        ("UPDATE", None, &ending, &good, false),
        ("UPDATE", Some("status"), &bad, &good, false),
        ("DELETE", None, &Value::Null, &bad, false),
        ("CONNECT", None, &bad, &Value::Null, false),
    ] {
        let request = request(operation, sub_resource, object, old);
        assert_eq!(review::to_judge(&request).is_some(), is_judged, "{operation} {sub_resource:?} {object}");
    }
}

#[test]
fn texts_are_fit_for_headers_and_there_is_an_end_to_them() {
    let attributes = (0..40).map(|n| json!({ "name": format!("a{n}\u{7}\n"), "path": "$[" }));
    let spec = json!({ "targetGVK": { "version": "v1", "kind": "Pod" }, "attributes": attributes.collect::<Vec<_>>() });
    let object = resource("KollectProfile", "x", &spec);
    let request = request("CREATE", None, &object, &Value::Null);
    let object = review::to_judge(&request).unwrap();
    let resource = review::resource(&request, object);
    let verdict = verdict(&Input::default(), &resource, review::value(object));
    let answer = review::answer(&request, &resource, &verdict);
    assert!(!answer.allowed);
    assert!(!answer.result.message.contains(|c: char| c.is_control()), "{:?}", answer.result.message);
    assert!(answer.result.message.contains("and 24 more"), "{}", answer.result.message);
    assert_eq!(answer.result.details.unwrap().causes.len(), 16);
}

/// A body as an API server sends it, with some of it changed at random.
fn spoilt(random: &mut fastrand::Rng, body: &str) -> Vec<u8> {
    const PIECES: [&str; 12] =
        ["{", "}", "[", "]", "\"", "null", "true", "-1e400", "\\ud800", ",\"spec\":", "\u{0}", "cel:("];
    let mut body = body.as_bytes().to_owned();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..body.len());
        match random.u8(0..3) {
            0 => body[at] = random.u8(..),
            1 => drop(body.drain(at..(at + random.usize(1..20)).min(body.len()))),
            _ => drop(body.splice(at..at, PIECES[random.usize(0..PIECES.len())].bytes())),
        }
    }
    body
}

#[test]
fn no_body_whatever_makes_the_webhook_fail() {
    let input = large();
    let spec = json!({ "profileRef": "p1", "names": ["a"], "databaseSinkRefs": ["s1", { "name": "s2" }],
        "targetGVK": { "version": "v1", "kind": "Pod" }, "attributes": [{ "name": "a", "path": "$.a[?@.b == 'c']" }],
        "type": "sqlite", "endpoint": "/a.db", "labelSelector": { "matchLabels": { "a": "b" } } });
    let mut random = fastrand::Rng::with_seed(5);
    let (mut read, mut judged) = (0, 0);
    for kind in
        ["KollectProfile", "KollectTarget", "KollectInventory", "KollectDatabaseSink", "KollectSnapshotSink"]
    {
        let object = resource(kind, "x", &spec);
        let body = review_of(kind, "CREATE", None, &object, &Value::Null).to_string();
        for _ in 0..300 {
            let Ok(request) = review::read(&spoilt(&mut random, &body)) else { continue };
            read += 1;
            let Some(object) = review::to_judge(&request) else { continue };
            judged += 1;
            let resource = review::resource(&request, object);
            let verdict = verdict(&input, &resource, review::value(object));
            let answer = review::answer(&request, &resource, &verdict);
            assert_eq!(answer.uid, request.uid);
            assert_eq!(answer.allowed, verdict.refusals.is_empty());
        }
    }
    assert!(read > 100 && judged > 100, "{read} read, {judged} judged");
}

const DAY: Duration = Duration::from_hours(24);

fn good_for(issued: &Issued, authorities: &str, host: &str, now: SystemTime, after: Duration) -> bool {
    let key = key(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap();
    lasts(&key, authorities.as_bytes(), host, now, after)
}

#[test]
fn a_certificate_is_good_for_its_host_its_time_and_its_authority_only() {
    let now = SystemTime::now();
    for host in ["kollect.kollect-system.svc", "10.0.0.7", "fd00::7"] {
        let issued = issue(host, 30 * DAY, "", now).unwrap();
        assert!(good_for(&issued, &issued.authorities, host, now, 29 * DAY), "{host}");
        assert!(!good_for(&issued, &issued.authorities, host, now, 31 * DAY), "{host}");
        assert!(!good_for(&issued, &issued.authorities, host, now + 31 * DAY, Duration::ZERO), "{host}");
        assert!(!good_for(&issued, &issued.authorities, "other.kollect-system.svc", now, DAY), "{host}");
        assert!(!good_for(&issued, "", host, now, DAY), "{host}");
    }
    let long = format!("{}.{}.svc", "a".repeat(63), "b".repeat(63));
    let issued = issue(&long, 30 * DAY, "", now).unwrap();
    assert!(good_for(&issued, &issued.authorities, &long, now, DAY));
}

#[test]
fn the_certificate_before_stays_trusted_and_the_one_before_that_does_not() {
    let (now, host) = (SystemTime::now(), "kollect.kollect-system.svc");
    let first = issue(host, 30 * DAY, "", now).unwrap();
    let second = issue(host, 30 * DAY, &first.authorities, now).unwrap();
    let third = issue(host, 30 * DAY, &second.authorities, now).unwrap();
    let trusted = |issued: &Issued, by: &Issued| good_for(issued, &by.authorities, host, now, DAY);
    assert!(trusted(&first, &second) && trusted(&second, &second));
    assert!(trusted(&second, &third) && trusted(&third, &third));
    assert!(!trusted(&first, &third) && !trusted(&third, &second));
    assert_eq!(third.authorities.matches("BEGIN CERTIFICATE").count(), 2);
    // What stood in the Secret before may be anything.
    assert!(issue(host, DAY, "no PEM at all", now).is_ok());
}

#[test]
fn a_key_of_another_certificate_and_what_is_none_are_refused_without_being_told() {
    let now = SystemTime::now();
    let (one, other) = (issue("a", DAY, "", now).unwrap(), issue("a", DAY, "", now).unwrap());
    for (certificate, private) in
        [(one.certificate.as_str(), other.key.as_str()), ("", &one.key), (&one.certificate, "canary")]
    {
        let error = key(certificate.as_bytes(), private.as_bytes()).unwrap_err();
        assert!(!error.contains("canary") && !error.contains("PRIVATE KEY-"), "{error}");
    }
}

#[test]
fn locations_are_read_strictly() {
    let service = |namespace: &str, name: &str, port| {
        Ok(Location::Service { namespace: namespace.to_owned(), name: name.to_owned(), port })
    };
    assert_eq!(Location::service("kollect-system/kollect"), service("kollect-system", "kollect", 443));
    assert_eq!(Location::service("a/b:9443"), service("a", "b", 9443));
    for text in ["", "a", "/b", "a/", "a/b/c", "a/b:", "a/b:0", "a/b:70000", "A/b", "a/-b", "a/b.c"] {
        assert!(Location::service(text).is_err(), "{text}");
    }
    let url = |url: &str, host: &str| Ok(Location::Url { url: url.to_owned(), host: host.to_owned() });
    assert_eq!(
        Location::url("https://hook.example:9443"),
        url("https://hook.example:9443/validate", "hook.example")
    );
    assert_eq!(
        Location::url("https://hook.example/validate"),
        url("https://hook.example/validate", "hook.example")
    );
    assert_eq!(Location::url("https://[fd00::7]:9443/"), url("https://[fd00::7]:9443/validate", "fd00::7"));
    for text in [
        "",
        "hook.example",
        "http://hook.example",
        "https://u@hook.example",
        "https://hook.example/x",
        "https://hook.example?a",
        "https://hook.example#a",
    ] {
        assert!(Location::url(text).is_err(), "{text}");
    }
}

#[test]
fn the_configuration_names_resources_of_our_group_only_and_no_status() {
    let options = Options {
        address: "127.0.0.1:9443".parse().unwrap(),
        location: Location::service("kollect-system/kollect").unwrap(),
        name: "hook".to_owned(),
        certificates: Certificates::Own(Rotation::default()),
        failure_policy: FailurePolicy::default(),
        limits: Limits::default(),
    };
    let configuration = Configuration::new(&options);
    let webhook = configuration.body(Some(b"pem")).pointer("/webhooks/0").unwrap().clone();
    assert_eq!(webhook["failurePolicy"], "Ignore");
    assert_eq!(webhook["clientConfig"]["caBundle"], "cGVt");
    assert_eq!((&webhook["namespaceSelector"], &webhook["rules"][0]["scope"]), (&json!({}), &json!("*")));
    assert_eq!(webhook["rules"].as_array().unwrap().len(), 1);
    assert_eq!(webhook["rules"][0]["apiGroups"], json!(["kollect.dev"]));
    assert_eq!(webhook["rules"][0]["operations"], json!(["CREATE", "UPDATE"]));
    let resources: Vec<&str> = webhook["rules"][0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(resources.len(), crate::api::crds().len());
    assert!(
        resources.iter().all(|name| name.starts_with("kollect") && !name.contains(['/', '*'])),
        "{resources:?}"
    );
    // The authority of somebody else is not even mentioned.
    let body = configuration.body(None);
    assert_eq!(body.pointer("/webhooks/0/clientConfig/caBundle"), None);
    let _: Arc<k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration> =
        Arc::new(serde_json::from_value(body).unwrap());
}

#[test]
fn the_configuration_of_a_tenant_has_the_api_server_send_what_is_the_tenants() {
    let options = Options {
        address: "127.0.0.1:9443".parse().unwrap(),
        location: Location::service("team-a/kollect").unwrap(),
        name: "hook".to_owned(),
        certificates: Certificates::Own(Rotation::default()),
        failure_policy: FailurePolicy::default(),
        limits: Limits { namespaces: ["a", "b"].map(str::to_owned).into(), namespaced_only: true },
    };
    let webhook = Configuration::new(&options).body(None).pointer("/webhooks/0").unwrap().clone();
    let selected = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"] });
    assert_eq!(webhook["namespaceSelector"], json!({ "matchExpressions": [selected] }));
    assert_eq!(webhook["rules"][0]["scope"], "Namespaced");
}

#[test]
fn a_tenants_webhook_refuses_resources_of_the_cluster_and_leaves_those_of_others_alone() {
    let mut input = Input::default();
    input.options.watch_namespaces = ["team-a".to_owned()].into();
    input.options.tenant_mode = true;
    let spec = json!({ "profileRef": "" });
    let target = |namespace: &str| {
        let object = json!({
            "apiVersion": "kollect.dev/v1alpha1", "kind": "KollectTarget",
            "metadata": { "namespace": namespace, "name": "t" }, "spec": spec,
        });
        let resource = ResourceRef::new("KollectTarget", &ResourceName::new(namespace, "t"));
        verdict(&input, &resource, object)
    };
    assert_eq!(target("team-a").refusals.len(), 1);
    assert_eq!(target("team-b"), Verdict::default());
    let object = json!({
        "apiVersion": "kollect.dev/v1alpha1", "kind": "KollectClusterScope", "metadata": { "name": "s" }, "spec": {},
    });
    let scope = ResourceRef::new("KollectClusterScope", &ResourceName::new("", "s"));
    let refusals = verdict(&input, &scope, object.clone()).refusals;
    assert_eq!(refusals.iter().map(|problem| problem.reason).collect::<Vec<_>>(), ["ClusterKindDenied"]);
    input.options.tenant_mode = false;
    assert_eq!(verdict(&input, &scope, object), Verdict::default());
}
