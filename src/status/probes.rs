//! The status of what is probed: sinks and connection tests.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{Conditions, Why, sink_conditions};
use super::resources::All;
use crate::api::{ConnectionTestStatus, KollectConnectionTest, SinkStatus};
use crate::catalog::{ResourceName, ResourceRef, SinkName};
use crate::probes::{Outcome, ProbeKey};

/// The condition that says what came of the last probe.
const VERIFIED: &str = "ConnectionVerified";

/// Its reason while there is nothing to say yet.
const PROBING: &str = "Probing";

const PROBING_MESSAGE: &str = "the first attempt is under way; nobody has to act";

impl All<'_> {
    /// `stored` is the status that the sink has.
    pub(super) fn sink(
        &self,
        name: &SinkName,
        generation: Option<i64>,
        stored: Option<&SinkStatus>,
    ) -> SinkStatus {
        let mut conditions = Conditions::new(generation, self.now);
        let sink = self.plan.sinks.get(name);
        let destination = sink.and_then(|sink| sink.destination.clone()).unwrap_or_default();
        let mut problem = self.problem(&name.resource());
        let unverified = self.verified(name, generation, stored, &mut conditions);
        if problem.is_none() && sink.is_some_and(|sink| sink.connection_test) {
            problem = unverified;
        }
        sink_conditions(&mut conditions, problem, ("Configured", destination));
        if sink.is_some_and(|sink| sink.tls_insecure) {
            let message = "spec.tls.insecureSkipVerify is true: the server's certificate is not checked";
            conditions.set("TLSInsecure", true, "InsecureSkipVerify", message);
        }
        SinkStatus {
            observed_generation: generation,
            preview: self.previews.get(name).cloned(),
            conditions: conditions.finish(),
        }
    }

    /// Says what came of the last probe of a sink, and gives back why it does not count as working.
    fn verified(
        &self,
        name: &SinkName,
        generation: Option<i64>,
        stored: Option<&SinkStatus>,
        conditions: &mut Conditions,
    ) -> Option<Why> {
        if let Some(outcome) = self.probes.outcomes.get(&ProbeKey::Sink(name.clone())) {
            return say(VERIFIED, outcome, conditions);
        }
        let sink = self.plan.sinks.get(name)?;
        sink.config.as_ref()?;
        // What was found out before this process began is worth something until it is found out anew.
        let stored = stored.into_iter().flat_map(|status| &status.conditions);
        let mut known =
            stored.filter(|condition| condition.type_ == VERIFIED && condition.status != "Unknown");
        if let Some(known) = known.find(|condition| condition.observed_generation == generation) {
            conditions.keep(known.clone());
            return (known.status != "True").then(|| (known.reason.clone(), known.message.clone()));
        }
        sink.connection_test.then(|| {
            conditions.unknown(VERIFIED, PROBING, PROBING_MESSAGE);
            (PROBING.to_owned(), PROBING_MESSAGE.to_owned())
        })
    }

    pub(super) fn connection_test(
        &self,
        name: &ResourceName,
        test: &KollectConnectionTest,
    ) -> ConnectionTestStatus {
        let generation = test.metadata.generation;
        let mut conditions = Conditions::new(generation, self.now);
        let key = ProbeKey::Test(name.clone(), test.metadata.uid.clone().unwrap_or_default());
        let Some(outcome) = self.probes.outcomes.get(&key) else {
            let problem = self.problem(&ResourceRef::new("KollectConnectionTest", name));
            let (reason, message) = problem.unwrap_or((PROBING.to_owned(), PROBING_MESSAGE.to_owned()));
            conditions.unknown(VERIFIED, &reason, message.clone());
            conditions.unknown("Ready", &reason, message);
            return ConnectionTestStatus {
                observed_generation: generation,
                completed: Some(false),
                conditions: conditions.finish(),
                ..ConnectionTestStatus::default()
            };
        };
        say(VERIFIED, outcome, &mut conditions);
        say("Ready", outcome, &mut conditions);
        let (Ok(message) | Err((_, message))) = &outcome.result;
        ConnectionTestStatus {
            observed_generation: generation,
            completed: Some(outcome.last),
            completed_at: outcome.last.then_some(Time(outcome.at)),
            latency_ms: i64::try_from(outcome.latency.as_millis()).ok(),
            message: Some(message.clone()),
            conditions: conditions.finish(),
        }
    }
}

/// Makes a condition of an outcome, and gives back what does not work.
fn say(type_: &str, outcome: &Outcome, conditions: &mut Conditions) -> Option<Why> {
    match &outcome.result {
        Ok(message) => {
            conditions.set(type_, true, "Verified", message.clone());
            None
        }
        Err((reason, message)) => {
            conditions.set(type_, false, reason, message.clone());
            Some((reason.clone(), message.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::time::Duration;

    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use crate::api::KollectSnapshotSink;
    use crate::catalog::{Catalog, Input, Options, ResourceName, SinkFamily, SinkName};
    use crate::probes::{Outcome, ProbeKey, Report};
    use crate::status::statuses;

    /// The conditions of a sink: type, status, reason.
    fn conditions(
        connection_test: bool,
        stored: Value,
        result: Option<Result<&str, &str>>,
    ) -> Vec<(String, String, String)> {
        let name = ResourceName::new("a", "files");
        let sink: KollectSnapshotSink = serde_json::from_value(json!({
            "apiVersion": "kollect.dev/v1alpha1", "kind": "KollectSnapshotSink",
            "metadata": {"namespace": "a", "name": "files", "generation": 2},
            "spec": {"type": "local", "endpoint": "/nowhere", "connectionTest": connection_test},
            "status": stored,
        }))
        .unwrap();
        let mut input =
            Input { options: Options { allow_local_sinks: true, ..Options::default() }, ..Input::default() };
        input.snapshot_sinks.insert(name.clone(), Arc::new(sink));
        let plan = Catalog::default().plan(&input);
        let mut probes = Report::default();
        if let Some(result) = result {
            let result = result.map(str::to_owned).map_err(|reason| (reason.to_owned(), "why".to_owned()));
            let outcome = Outcome { result, latency: Duration::ZERO, at: Timestamp::UNIX_EPOCH, last: true };
            let key = ProbeKey::Sink(SinkName { family: SinkFamily::Snapshot, name });
            probes.outcomes.insert(key, outcome);
        }
        let statuses =
            statuses(&input, &plan, &crate::runtime::Report::default(), &probes, &Default::default());
        let conditions = statuses[0].status["conditions"].as_array().unwrap().clone();
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap().to_owned();
        conditions
            .iter()
            .map(|found| (text(found, "type"), text(found, "status"), text(found, "reason")))
            .collect()
    }

    fn expect(found: &[(String, String, String)], expected: &[&str]) {
        let found: Vec<String> = found.iter().map(|(t, s, r)| format!("{t} {s} {r}")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn readiness_of_a_sink_follows_its_probe_unless_it_is_only_probed_on_demand() {
        expect(
            &conditions(true, Value::Null, None),
            &["ConnectionVerified Unknown Probing", "Ready False Probing"],
        );
        expect(
            &conditions(true, Value::Null, Some(Ok("fine"))),
            &["ConnectionVerified True Verified", "Ready True Configured"],
        );
        expect(
            &conditions(true, Value::Null, Some(Err("SinkUnreachable"))),
            &["ConnectionVerified False SinkUnreachable", "Ready False SinkUnreachable"],
        );
        expect(&conditions(false, Value::Null, None), &["Ready True Configured"]);
        expect(
            &conditions(false, Value::Null, Some(Err("SinkUnreachable"))),
            &["ConnectionVerified False SinkUnreachable", "Ready True Configured"],
        );
    }

    #[test]
    fn what_was_found_out_before_a_restart_counts_until_the_sink_changes() {
        let stored = |generation: i64, status: &str, reason: &str| {
            json!({"conditions": [{
                "type": "ConnectionVerified", "status": status, "reason": reason, "message": "",
                "observedGeneration": generation, "lastTransitionTime": "2024-01-01T00:00:00Z",
            }]})
        };
        expect(
            &conditions(true, stored(2, "True", "Verified"), None),
            &["ConnectionVerified True Verified", "Ready True Configured"],
        );
        expect(
            &conditions(true, stored(2, "False", "SinkUnreachable"), None),
            &["ConnectionVerified False SinkUnreachable", "Ready False SinkUnreachable"],
        );
        expect(
            &conditions(true, stored(1, "True", "Verified"), None),
            &["ConnectionVerified Unknown Probing", "Ready False Probing"],
        );
        expect(
            &conditions(true, stored(2, "True", "Verified"), Some(Err("ExportTerminal"))),
            &["ConnectionVerified False ExportTerminal", "Ready False ExportTerminal"],
        );
    }
}
