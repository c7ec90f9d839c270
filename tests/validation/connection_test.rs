//! KollectConnectionTest.

use crate::{accepts, manifest, rejects, rejects_offline};

fn test(spec: &str) -> String {
    manifest("KollectConnectionTest", spec)
}

#[test]
fn accepts_a_sink_a_profile_and_both() {
    accepts(&test("{sinkRef: {databaseSinkRef: portal}}"));
    accepts(&test("{sinkRef: {snapshotSinkRef: files}}"));
    accepts(&test("{profileRef: pods}"));
    accepts(&test("{sinkRef: {snapshotSinkRef: files}, profileRef: pods}"));
}

#[test]
fn accepts_every_field() {
    accepts(&test("{sinkRef: {databaseSinkRef: portal}, ownerSink: false, ttlSecondsAfterFinished: 0}"));
}

#[test]
fn rejects_a_test_of_nothing_or_of_several_sinks() {
    rejects(&test("{}"), "spec", "sinkRef or profileRef");
    rejects(&test("{sinkRef: {}}"), "spec.sinkRef", "exactly one");
    rejects(&test("{sinkRef: {}, profileRef: pods}"), "spec.sinkRef", "exactly one");
    rejects(
        &test("{sinkRef: {databaseSinkRef: portal, snapshotSinkRef: files}}"),
        "spec.sinkRef",
        "exactly one",
    );
    rejects(
        &test("{sinkRef: {eventSinkRef: stream, snapshotSinkRef: files}}"),
        "spec.sinkRef",
        "exactly one",
    );
}

#[test]
fn rejects_values_that_cannot_be_used() {
    rejects(&test("{profileRef: pods, ttlSecondsAfterFinished: -1}"), "spec.ttlSecondsAfterFinished", "0");
    rejects(&test("{profileRef: Pods}"), "spec.profileRef", "lower-case");
    rejects(&test("{sinkRef: {databaseSinkRef: ''}}"), "spec.sinkRef.databaseSinkRef", "");
    rejects(&test("{sinkRef: {database: portal}}"), "spec.sinkRef.database", "");
}

#[test]
fn rejects_what_is_not_there() {
    rejects_offline(
        &test("{sinkRef: {databaseSinkRef: absent}}"),
        "spec.sinkRef.databaseSinkRef",
        "there is no KollectDatabaseSink default/absent",
    );
    rejects_offline(
        &test("{profileRef: absent}"),
        "spec.profileRef",
        "there is no KollectProfile default/absent",
    );
    rejects_offline(
        &test("{sinkRef: {eventSinkRef: absent}}"),
        "spec.sinkRef.eventSinkRef",
        "there is no KollectEventSink default/absent",
    );
}
