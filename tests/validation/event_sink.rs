//! KollectEventSink.

use crate::{manifest, rejects, rejects_offline};

fn sink(spec: &str) -> String {
    manifest("KollectEventSink", spec)
}

#[test]
fn says_that_there_is_no_backend_yet() {
    for spec in [
        "{type: kafka, kafka: {brokers: ['kafka.example.com:9092', '[2001:db8::1]:9092'], topic: kollect.changes}}",
        "{type: kafka, kafka: {brokers: ['k:1'], topic: t, secretRef: {name: s}, sasl: SCRAM-SHA-512}, tls: {insecureSkipVerify: true}}",
        "{type: nats, nats: {url: 'nats://nats.example.com:4222', subject: kollect.changes, stream: events}}",
        "{type: nats, endpoint: 'nats://nats.example.com:4222', nats: {subject: kollect}, cluster: east, deletionPolicy: Retain}",
    ] {
        rejects_offline(&sink(spec), "spec.type", "can't write to");
    }
}

#[test]
fn rejects_streams_that_cant_be_meant() {
    for (spec, field, says) in [
        ("{}", "spec.type", "missing"),
        ("{type: rabbit}", "spec.type", "kafka"),
        ("{type: kafka}", "spec", "needs spec.kafka"),
        ("{type: kafka, nats: {url: 'nats://n', subject: s}}", "spec", "needs spec.kafka"),
        (
            "{type: nats, nats: {url: 'nats://n', subject: s}, kafka: {brokers: ['k:1'], topic: t}}",
            "spec",
            "type kafka only",
        ),
        ("{type: nats, nats: {subject: s}}", "spec", "needs the URL"),
        ("{type: kafka, kafka: {topic: t}}", "spec.kafka.brokers", "missing"),
        ("{type: kafka, kafka: {brokers: [], topic: t}}", "spec.kafka.brokers", "at least 1"),
        ("{type: kafka, kafka: {brokers: [kafka], topic: t}}", "spec.kafka.brokers[0]", "host and port"),
        ("{type: kafka, kafka: {brokers: ['k:1'], topic: 'a b'}}", "spec.kafka.topic", "letters, digits"),
        ("{type: kafka, kafka: {brokers: ['k:1'], topic: t, sasl: GSSAPI}}", "spec.kafka.sasl", "PLAIN"),
        ("{type: nats, nats: {url: 'nats://n', subject: 'a.*'}}", "spec.nats.subject", "without spaces"),
        ("{type: nats, nats: {url: 'nats://n', subject: '.a'}}", "spec.nats.subject", "without spaces"),
    ] {
        rejects(&sink(spec), field, says);
    }
}
