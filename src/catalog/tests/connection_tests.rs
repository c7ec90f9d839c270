//! What connection tests become.

use super::{briefly, input, plan};
use crate::catalog::{Catalog, Plan, ResourceName, SinkFamily};
#[cfg(feature = "postgres")]
use crate::sinks::EndpointPolicy;

fn test(spec: &str) -> Plan {
    plan(&format!("kind: KollectConnectionTest\nmetadata: {{namespace: a, name: t}}\nspec: {spec}\n"))
}

#[test]
fn a_test_finds_its_sink_and_its_profile() {
    let both = test("{sinkRef: {databaseSinkRef: db}, profileRef: pods}");
    assert_eq!(briefly(&both), [""; 0]);
    let planned = &both.connection_tests[&ResourceName::new("a", "t")];
    assert_eq!(planned.sink.as_ref().unwrap().family, SinkFamily::Database);
    assert_eq!(planned.profile, Some(ResourceName::new("a", "pods")));
    let files = test("{sinkRef: {snapshotSinkRef: files}}");
    let planned = &files.connection_tests[&ResourceName::new("a", "t")];
    assert_eq!(planned.sink.as_ref().unwrap().family, SinkFamily::Snapshot);
}

#[test]
fn what_a_test_cannot_try_is_its_problem() {
    for (spec, expected) in [
        ("{sinkRef: {databaseSinkRef: files}}", "spec.sinkRef.databaseSinkRef SinkNotFound"),
        ("{sinkRef: {eventSinkRef: files}}", "spec.sinkRef.eventSinkRef SinkNotFound"),
        ("{sinkRef: {}}", "spec.sinkRef SinkNotFound"),
        ("{profileRef: db}", "spec.profileRef ProfileNotFound"),
    ] {
        assert_eq!(briefly(&test(spec)), [format!("KollectConnectionTest a/t {expected}")], "{spec}");
    }
}

#[test]
fn a_test_is_no_way_around_scopes() {
    for (scope, spec, expected) in [
        ("allowedGVKs: [{version: v1, kind: Node}]", "profileRef: pods", "spec.profileRef ScopeGVKDenied"),
        ("databaseSinkRefs: [other]", "sinkRef: {databaseSinkRef: db}", "spec.sinkRef ScopeSinkDenied"),
    ] {
        let plan = plan(&format!(
            "kind: KollectConnectionTest\nmetadata: {{namespace: a, name: t}}\nspec: {{{spec}}}
---
kind: KollectScope\nmetadata: {{namespace: a, name: s}}\nspec: {{{scope}}}"
        ));
        let problems = briefly(&plan);
        assert!(problems.contains(&format!("KollectConnectionTest a/t {expected}")), "{problems:?}");
        let planned = &plan.connection_tests[&ResourceName::new("a", "t")];
        assert!(planned.sink.is_none() && planned.profile.is_none());
    }
}

#[test]
fn the_problem_of_what_is_tested_is_the_tests_too() {
    let mut input = input(
        "kind: KollectConnectionTest\nmetadata: {namespace: a, name: t}\nspec: {sinkRef: {databaseSinkRef: db}}\n",
    );
    input.options.allow_local_sinks = false;
    let plan = Catalog::default().plan(&input);
    let of_test =
        plan.problems.iter().find(|problem| problem.resource.kind == "KollectConnectionTest").unwrap();
    assert_eq!((of_test.reason, of_test.field.as_str()), ("SinkForbidden", "spec.sinkRef.databaseSinkRef"));
    assert!(of_test.message.starts_with("KollectDatabaseSink a/db spec.type: "), "{}", of_test.message);
    assert!(of_test.remedy.contains("--allow-local-sinks"));
}

#[test]
fn a_test_that_has_come_to_its_end_is_nothing_to_the_plan() {
    let mut input = input(
        "kind: KollectConnectionTest\nmetadata: {namespace: a, name: t}\nspec: {sinkRef: {databaseSinkRef: gone}}\nstatus: {completed: true}\n",
    );
    let plan = Catalog::default().plan(&input);
    assert!(plan.connection_tests.is_empty() && plan.problems.is_empty());
    input.connection_tests.clear();
    assert_eq!(Catalog::default().plan(&input), plan);
}

#[cfg(feature = "postgres")]
#[test]
fn a_sink_that_leads_inside_is_refused_whichever_of_its_hosts_does() {
    let forbidden = |dsn: &str, endpoints: EndpointPolicy| {
        let mut input = input(&format!(
            "kind: KollectDatabaseSink\nmetadata: {{namespace: a, name: pg}}\nspec: {{type: postgres, postgres: {{databaseRef: {{name: dsn}}, table: rows}}}}\n---\nkind: Secret\nmetadata: {{namespace: a, name: dsn}}\nstringData: {{dsn: \"{dsn}\"}}\n"
        ));
        input.options.endpoints = endpoints;
        let plan = Catalog::default().plan(&input);
        assert!(!format!("{:?}", plan.problems).contains("canary"));
        !briefly(&plan).is_empty() && {
            assert_eq!(
                briefly(&plan),
                ["KollectDatabaseSink a/pg spec.postgres.databaseRef EndpointForbidden"]
            );
            true
        }
    };
    for (dsn, expected) in [
        ("postgres://u:canary@db.example/x", false),
        ("postgres://u:canary@localhost/x", true),
        ("postgres://u:canary@127.0.0.1:5432/x", true),
        ("postgres://u:canary@127.1/x", true),
        ("postgres://u:canary@2130706433/x", true),
        ("postgres://u:canary@[::1]/x", true),
        ("postgres://u:canary@[::ffff:10.0.0.1]/x", true),
        ("postgres://u:canary@db.example,10.0.0.1/x", true),
        ("postgres://u:canary@db.example:5432,db2.example:5432,169.254.169.254:80/x", true),
        ("postgres://u:canary@%2Fvar%2Frun/x", true),
        ("host=db.example hostaddr=10.0.0.1 user=u password=canary", true),
        ("host=10.0.0.1 hostaddr=8.8.8.8 user=u password=canary", false),
        ("hostaddr=127.0.0.1 user=u password=canary", true),
        ("host=/var/run/postgresql user=u", true),
        ("host=metadata.google.internal user=u", true),
    ] {
        assert_eq!(forbidden(dsn, EndpointPolicy::default()), expected, "{dsn}");
        assert!(!forbidden(dsn, EndpointPolicy::unrestricted()), "{dsn}");
    }
    let listed = || EndpointPolicy::guarded(false, vec!["10.0.0.0/8".parse().unwrap()]);
    assert!(!forbidden("postgres://u:canary@10.0.0.1/x", listed()));
    assert!(forbidden("postgres://u:canary@10.0.0.1,192.168.0.1/x", listed()));
    assert!(!forbidden("host=/run user=u", EndpointPolicy::default().with_sockets(true)));
}
