//! The points at which a leader is lost.

use serde_json::json;

use crate::kollect_binary::eventually;
use crate::table::Gate;
use crate::world::World;

/// What a process that has lost the lease says of itself.
const LOST: i32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_leader_is_lost_the_standby_goes_on_and_every_change_is_written_once() {
    let mut world = World::new().await;
    for n in 0..10 {
        world.set(&format!("s{n}"), "1").await;
    }
    killed_before_its_first_list_is_complete(&mut world).await;
    killed_in_the_middle_of_its_first_batch(&mut world).await;
    killed_after_a_commit_before_the_receipt(&mut world).await;
    killed_between_two_batches(&mut world).await;
    killed_while_idle(&mut world).await;
    killed_while_it_resumes(&mut world).await;
    killed_while_a_target_is_added(&mut world).await;
    killed_while_it_writes_status(&mut world).await;
    cut_off_from_its_lease_in_the_middle_of_a_renewal(&mut world).await;
    stopped_while_idle_and_back_after_the_takeover(&mut world).await;
    stopped_in_the_middle_of_a_batch_and_back_after_the_takeover(&mut world).await;
    stopped_while_it_exports_a_deletion_and_back_after_the_takeover(&mut world).await;
    told_to_end(&mut world).await;
    a_destination_that_holds_a_later_term_and_a_lease_that_is_deleted_stop_nobody(&mut world).await;
}

async fn killed_before_its_first_list_is_complete(world: &mut World) {
    let leader = world.start(&["GET /api/v1/configmaps"]).await;
    world.leads(&leader).await;
    eventually(true, async || leader.proxy.waiting() > 0).await;
    let standby = world.operator().await;
    standby.is_warm().await;
    // Warm, it knows every row, and writes none, nor status: that is the leader's, which has read nothing.
    assert_eq!(world.table.log().await, [""; 0]);
    assert_ne!(world.status("KollectTarget", "maps").await["hydrated"], json!(true));
    leader.process.kill();
    world.goes_on(standby).await;
}

async fn killed_in_the_middle_of_its_first_batch(world: &mut World) {
    world.table.close(Gate::Batch).await;
    world.set("b1", "1").await;
    world.set("b2", "1").await;
    let leader = world.operator().await;
    world.table.until_kept(Gate::Batch).await;
    let standby = world.operator().await;
    standby.is_warm().await;
    leader.process.kill();
    world.table.open(Gate::Batch).await;
    world.goes_on(standby).await;
}

async fn killed_after_a_commit_before_the_receipt(world: &mut World) {
    let (leader, standby) = world.pair().await;
    world.table.close(Gate::Commit).await;
    world.set("s1", "2").await;
    world.table.until_kept(Gate::Commit).await;
    leader.process.signal("-STOP");
    world.table.open(Gate::Commit).await;
    world.is_exact().await;
    leader.process.kill();
    world.goes_on(standby).await;
}

async fn killed_between_two_batches(world: &mut World) {
    let (leader, standby) = world.pair().await;
    world.set("s2", "2").await;
    world.is_exact().await;
    world.table.run("BEGIN; SELECT FROM ROWS_exports FOR UPDATE").await;
    world.set("s3", "2").await;
    world.table.until_blocked().await;
    leader.process.kill();
    world.table.run("ROLLBACK").await;
    world.goes_on(standby).await;
}

async fn killed_while_idle(world: &mut World) {
    let (leader, standby) = world.pair().await;
    leader.process.kill();
    // Between two leaders.
    world.set("s4", "2").await;
    world.delete("b1").await;
    world.goes_on(standby).await;
}

async fn killed_while_it_resumes(world: &mut World) {
    world.set("s5", "2").await;
    world.table.run("BEGIN; LOCK TABLE ROWS IN ACCESS EXCLUSIVE MODE").await;
    let leader = world.operator().await;
    world.table.until_blocked().await;
    let standby = world.operator().await;
    standby.is_warm().await;
    leader.process.kill();
    world.table.run("ROLLBACK").await;
    world.goes_on(standby).await;
}

async fn killed_while_a_target_is_added(world: &mut World) {
    let (leader, standby) = world.pair().await;
    leader.proxy.stall(&["GET /api/v1/configmaps"]);
    world.set_of("more", "m1", "1").await;
    world.set_of("more", "m2", "1").await;
    world.target("more", "more").await;
    eventually(true, async || leader.proxy.waiting() > 0).await;
    leader.process.kill();
    world.goes_on(standby).await;
}

async fn killed_while_it_writes_status(world: &mut World) {
    let (leader, standby) = world.pair().await;
    leader.proxy.stall(&["PATCH /apis/kollect.dev"]);
    world.set("n1", "1").await;
    eventually(true, async || leader.proxy.waiting() > 0).await;
    leader.process.kill();
    let rows = json!(world.rows.len());
    eventually(rows, async || world.status("KollectInventory", "fleet").await["itemCount"].clone()).await;
    world.goes_on(standby).await;
}

async fn cut_off_from_its_lease_in_the_middle_of_a_renewal(world: &mut World) {
    let (mut leader, standby) = world.pair().await;
    leader.proxy.stall(&["/apis/coordination.k8s.io/"]);
    eventually(true, async || leader.proxy.waiting() > 0).await;
    // It goes on until its own clock says that it has to stop, and then it does, whatever there is to write.
    let mut n = 0;
    while leader.process.0.try_wait().unwrap().is_none() {
        n += 1;
        world.set("steady", &n.to_string()).await;
        world.set(&format!("steady-{n}"), "1").await;
        assert!(n < 500, "it never stops");
        tokio::task::yield_now().await;
        // One change of the row is one entry in the log only if it is not overtaken.
        world.table.expect(&world.rows).await;
    }
    assert_eq!(leader.ends().await, LOST);
    leader.says("no longer the leader").await;
    world.goes_on(standby).await;
}

async fn stopped_while_idle_and_back_after_the_takeover(world: &mut World) {
    let (mut leader, standby) = world.pair().await;
    let term = world.table.term().await;
    leader.process.signal("-STOP");
    world.set("s6", "2").await;
    world.leads(&standby).await;
    world.is_exact().await;
    assert_ne!(world.table.term().await, term);
    leader.process.signal("-CONT");
    world.set("s7", "2").await;
    assert_eq!(leader.ends().await, LOST);
    world.goes_on(standby).await;
}

async fn stopped_in_the_middle_of_a_batch_and_back_after_the_takeover(world: &mut World) {
    let (mut leader, standby) = world.pair().await;
    world.table.close(Gate::Batch).await;
    world.set("s8", "2").await;
    world.table.until_kept(Gate::Batch).await;
    leader.process.signal("-STOP");
    world.table.open(Gate::Batch).await;
    world.leads(&standby).await;
    world.is_exact().await;
    leader.process.signal("-CONT");
    assert_eq!(leader.ends().await, LOST);
    world.goes_on(standby).await;
}

async fn stopped_while_it_exports_a_deletion_and_back_after_the_takeover(world: &mut World) {
    let (mut leader, standby) = world.pair().await;
    world.table.close(Gate::Batch).await;
    world.delete("b2").await;
    world.table.until_kept(Gate::Batch).await;
    leader.process.signal("-STOP");
    world.table.open(Gate::Batch).await;
    // Back before the new leader has had its turn: it still may not commit.
    world.leads(&standby).await;
    leader.process.signal("-CONT");
    assert_eq!(leader.ends().await, LOST);
    world.goes_on(standby).await;
}

async fn told_to_end(world: &mut World) {
    let (leader, standby) = world.pair().await;
    world.set("s9", "2").await;
    assert_eq!(leader.process.terminate(), 0);
    // What was pending is exported, and the lease is free at once.
    world.leads(&standby).await;
    world.goes_on(standby).await;
}

async fn a_destination_that_holds_a_later_term_and_a_lease_that_is_deleted_stop_nobody(world: &mut World) {
    let later = 9_000_000_000_000_000_u64;
    world.table.run(&format!("UPDATE ROWS_exports SET writer_term = {later}")).await;
    world.set("s0", "2").await;
    let (leader, standby) = world.pair().await;
    world.is_exact().await;
    assert_eq!(world.table.term().await, (later + 1).to_string());
    // Whoever makes it anew, only one does.
    world.delete_lease().await;
    eventually(true, async || !world.leader().await.is_empty()).await;
    world.set("s1", "3").await;
    world.is_exact().await;
    for operator in [leader, standby] {
        assert!(matches!(operator.process.terminate(), 0 | LOST));
    }
    world.is_exact().await;
}
