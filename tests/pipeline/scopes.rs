//! Scopes on a real API server: what they do not allow stops, what is there stays, and what they allow again goes on.

use kube::api::DeleteParams;
use serde_json::json;

use crate::kollect_binary::*;
use crate::operator::World;

async fn target_is(world: &World, state: &str) {
    eventually(state.to_owned(), async || world.ready("KollectTarget", "kollecttargets", "maps").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_take_effect_without_a_restart_and_take_nothing_away_that_is_asked_for() {
    let world = World::new().await;
    for (namespace, name) in [("shop", "a"), ("east", "b")] {
        world.map(namespace, name, "1", "shop").await;
    }
    let operator = world.operator();
    world.pipeline().await;
    let both = [r#"maps east/b {"v": "1"}"#, r#"maps shop/a {"v": "1"}"#];
    world.expect(&both).await;

    // The kind is not allowed any more: the target stops, its rows stay, and changes wait.
    let other = json!({"allowedGVKs": [{"version": "v1", "kind": "Pod"}]});
    world.apply("KollectScope", "limits", other).await;
    target_is(&world, "False ScopeGVKDenied").await;
    world.map("shop", "a", "2", "shop").await;
    world.delete_map("east", "b").await;
    eventually("True TargetDegraded".to_owned(), async || {
        let status = world.status("KollectInventory", "kollectinventories", "fleet").await;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let degraded = conditions.iter().find(|condition| condition["type"] == "Degraded");
        degraded.map(|it| format!("{} {}", it["status"], it["reason"]).replace('"', "")).unwrap_or_default()
    })
    .await;
    world.expect(&both).await;
    let allowed = json!({"allowedGVKs": [{"group": "*", "version": "v1", "kind": "*"}]});
    world.apply("KollectScope", "limits", allowed).await;
    target_is(&world, "True Collecting").await;
    world.expect(&[r#"maps shop/a {"v": "2"}"#]).await;

    // What a target merely sees is narrowed, at once and back again.
    world.map("east", "c", "1", "shop").await;
    let all = [r#"maps east/c {"v": "1"}"#, r#"maps shop/a {"v": "2"}"#];
    world.expect(&all).await;
    world.apply("KollectScope", "limits", json!({"deniedNamespaces": ["east"]})).await;
    world.expect(&[r#"maps shop/a {"v": "2"}"#]).await;
    world.apply("KollectScope", "second", json!({"allowedNamespaces": ["east"]})).await;
    world.expect(&[]).await;
    world.apply("KollectScope", "limits", json!({"deniedNamespaces": ["nowhere"]})).await;
    world.expect(&[r#"maps east/c {"v": "1"}"#]).await;

    // A sink that is not allowed is not written to, and keeps what it has.
    world.apply("KollectScope", "second", json!({"databaseSinkRefs": ["other"]})).await;
    eventually("False ScopeSinkDenied".to_owned(), async || {
        world.ready("KollectInventory", "kollectinventories", "fleet").await
    })
    .await;
    world.map("shop", "d", "1", "shop").await;
    world.expect(&[r#"maps east/c {"v": "1"}"#]).await;
    // Without scopes everything is as it was at first.
    for scope in ["limits", "second"] {
        let api = world.api("KollectScope", "kollectscopes", Some("shop"));
        api.delete(scope, &DeleteParams::default()).await.unwrap();
    }
    world
        .expect(&[r#"maps east/c {"v": "1"}"#, r#"maps shop/a {"v": "2"}"#, r#"maps shop/d {"v": "1"}"#])
        .await;
    assert_eq!(operator.terminate(), 0);
}
