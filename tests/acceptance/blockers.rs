//! Head-of-line blockers: what a sweep that cancels tells of the things on which something is stale.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use shared::execution::Status;
use shared::operation::Operation;
use shared::sweep::Trigger;
use tests::{FakeIot, Fault, JobSetup};

use crate::stage::{Stage, days_ago};
use crate::sweep_stage::{Sweeps, trigger};

const CALL: &str = "ListJobExecutionsForThing";

/// Five jobs. On `pump` something hangs with three behind it; on `valve` something waits with two behind it; on
/// `meter` something waits alone; on `relay` something hangs with what nobody may touch behind it; what waits on
/// `fan` is not stale.
fn blocked(iot: &FakeIot) {
    let held =
        JobSetup { tags: [("jobwarden:hold".to_owned(), "legal".to_owned())].into(), ..JobSetup::default() };
    for job in ["fw-1", "fw-2", "fw-3", "fw-4"] {
        iot.job(job, days_ago(100), JobSetup::default());
    }
    iot.job("held", days_ago(100), held);
    let execution = |job, thing, status, queued, updated| {
        iot.execution(job, thing, status, days_ago(queued), days_ago(updated));
    };
    execution("fw-1", "pump", Status::InProgress, 80, 79);
    execution("fw-2", "pump", Status::Queued, 75, 75);
    execution("fw-3", "pump", Status::Queued, 61, 61);
    execution("fw-4", "pump", Status::Queued, 3, 3);
    execution("fw-1", "valve", Status::Succeeded, 90, 80);
    execution("fw-2", "valve", Status::Queued, 70, 70);
    execution("fw-3", "valve", Status::Queued, 2, 2);
    execution("fw-4", "valve", Status::Queued, 1, 1);
    execution("fw-2", "meter", Status::Queued, 65, 65);
    execution("fw-1", "relay", Status::InProgress, 92, 91);
    execution("held", "relay", Status::Queued, 90, 90);
    execution("fw-2", "fan", Status::InProgress, 10, 9);
    execution("fw-3", "fan", Status::Queued, 9, 9);
}

fn stage() -> Stage {
    let stage = Stage::new();
    blocked(&stage.iot);
    stage
}

async fn swept(sweeps: &Sweeps<'_>, dry_run: bool) -> Value {
    let trigger = Trigger { dry_run: Some(dry_run), ..trigger(Operation::CancelStale, "a") };
    let id = sweeps.start(&trigger).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    sweeps.report(&id).await
}

fn blocker(thing: &str, job: &str, status: &str, (since, updated): (i64, i64), behind: u64) -> Value {
    json!({
        "thingName": thing, "jobId": job, "executionNumber": 1, "status": status, "since": days_ago(since),
        "lastUpdatedAt": days_ago(updated), "behind": behind, "behindIsAtLeast": false,
    })
}

fn all() -> Value {
    json!([
        blocker("pump", "fw-1", "IN_PROGRESS", (80, 79), 3),
        blocker("valve", "fw-2", "QUEUED", (70, 70), 2),
        blocker("relay", "fw-1", "IN_PROGRESS", (92, 91), 1),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_report_tells_what_holds_up_how_many_on_which_thing() {
    for dry_run in [true, false] {
        let stage = stage();
        let report = swept(&Sweeps::of_everything(&stage), dry_run).await;
        assert_eq!(report["status"], "SUCCEEDED", "{report}");
        assert_eq!(report["blockers"], all(), "{report}");
        assert_eq!(report.get("thingsNotLookedAt"), None, "{report}");
        // What waits on four things is stale, and each of them is looked at once.
        assert_eq!((stage.script.count(CALL), &report["calls"][CALL]), (8, &json!(8)), "{report}");
        let things = ["meter", "pump", "relay", "valve"].map(str::to_owned);
        assert_eq!(stage.calls_of(CALL), BTreeSet::from(things));
        assert_eq!(stage.mutations(), if dry_run { 0 } else { 4 }, "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thing_is_looked_at_before_anything_is_done_to_it() {
    let stage = stage();
    swept(&Sweeps::of_everything(&stage), false).await;
    let calls = stage.script.calls();
    let looked = calls.iter().rposition(|call| call.operation == CALL).unwrap();
    let done = calls.iter().position(|call| call.operation == "CancelJobExecution").unwrap();
    assert!(looked < done);
}

#[tokio::test(start_paused = true)]
async fn what_waits_alone_costs_one_call_and_what_is_deleted_none() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(100), JobSetup::default());
    stage.iot.execution("fw", "pump", Status::Queued, days_ago(70), days_ago(70));
    let iot = stage.iot.clone();
    stage.script.before(CALL, 1, move || iot.device("fw", "pump").update(Status::Succeeded));
    let report = swept(&Sweeps::of_everything(&stage), true).await;
    assert_eq!((stage.script.count(CALL), &report["blockers"]), (1, &json!([])), "{report}");
    let sweeps = Sweeps::of_everything(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "b").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((stage.script.count(CALL), report.get("blockers")), (1, None), "{report}");
}

#[tokio::test(start_paused = true)]
async fn only_the_things_on_which_something_is_stale_for_longest_are_looked_at() {
    let stage = Stage::new();
    for job in ["fw-1", "fw-2"] {
        stage.iot.job(job, days_ago(200), JobSetup::default());
    }
    // The second job's are met with last, and are older.
    for nth in 0..40 {
        let thing = format!("thing-{nth:02}");
        stage.iot.execution("fw-1", &thing, Status::Queued, days_ago(61), days_ago(61));
        let queued = days_ago(70 + nth);
        stage.iot.execution("fw-2", &thing, Status::Queued, queued, queued);
    }
    let report = swept(&Sweeps::of_everything(&stage), true).await;
    let told = report["blockers"].as_array().unwrap();
    let things: Vec<_> = told.iter().map(|blocker| blocker["thingName"].as_str().unwrap()).collect();
    let longest: Vec<_> = (15..40).rev().map(|nth| format!("thing-{nth:02}")).collect();
    assert_eq!(things, longest, "{report}");
    assert_eq!(stage.script.count(CALL), 50);
    assert_eq!(report["due"], 80, "{report}");
}

#[tokio::test(start_paused = true)]
async fn where_more_waits_than_a_page_shows_it_is_told_as_at_least_so_many() {
    let stage = stage();
    stage.iot.page_size(2);
    let report = swept(&Sweeps::of_everything(&stage), true).await;
    let told = report["blockers"].as_array().unwrap();
    let of = |thing: &str| told.iter().find(|blocker| blocker["thingName"] == thing).unwrap();
    assert_eq!(
        (&of("pump")["behind"], &of("pump")["behindIsAtLeast"]),
        (&json!(2), &json!(true)),
        "{report}"
    );
    assert_eq!(
        (&of("relay")["behind"], &of("relay")["behindIsAtLeast"]),
        (&json!(1), &json!(false)),
        "{report}"
    );
}

/// Whatever goes wrong with a thing is told of it, and costs neither the others nor the sweep anything.
#[tokio::test(start_paused = true)]
async fn a_thing_that_cannot_be_looked_at_is_told_and_fails_no_sweep() {
    let unanswered: fn(&Stage) = |stage| stage.script.always(CALL, "pump", Fault::LostBefore);
    let refused: fn(&Stage) = |stage| stage.script.always(CALL, "pump", Fault::RoleRefused);
    let unreadable: fn(&Stage) = |stage| stage.iot.unknown_status("fw-4", "pump");
    for (wrong, problem) in [
        (unanswered, "could not answer ListJobExecutionsForThing 4 times"),
        (refused, "AWS refused this function's role ListJobExecutionsForThing"),
        (unreadable, "unknown status `PAUSED`"),
    ] {
        let stage = stage();
        wrong(&stage);
        let report = swept(&Sweeps::of_everything(&stage), false).await;
        assert_eq!(report["status"], "SUCCEEDED", "{report}");
        assert_eq!(report["outcomes"], json!({"canceled": 4}), "{report}");
        let told = report["thingsNotLookedAt"].as_array().unwrap();
        assert_eq!((told.len(), &told[0]["thingName"]), (1, &json!("pump")), "{report}");
        assert!(told[0]["problem"].as_str().unwrap().contains(problem), "{report}");
        let others: Vec<_> = all().as_array().unwrap()[1..].to_vec();
        assert_eq!(report["blockers"], json!(others), "{report}");
    }
    // Throttled is not unreadable.
    let stage = stage();
    for nth in 1..6 {
        stage.script.fault(CALL, nth, Fault::Throttled);
    }
    let report = swept(&Sweeps::of_everything(&stage), true).await;
    assert_eq!(report["blockers"], all(), "{report}");
    assert_eq!(report["throttled"], json!({CALL: 5}), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_ends_in_the_middle_goes_on_and_tells_nothing_twice() {
    // In short slices, of which several end between two things.
    let in_slices = |seconds| async move {
        let stage = stage();
        let report = swept(&Sweeps { rate: "0.5", seconds, ..Sweeps::of_everything(&stage) }, true).await;
        assert_eq!(report["blockers"], all(), "{report}");
        (stage.script.count(CALL), report["slices"].as_u64().unwrap())
    };
    assert_eq!(in_slices(900).await, (8, 1));
    let (calls, slices) = in_slices(9).await;
    assert!(slices > 3 && calls <= 12, "{slices} slices, {calls} calls");
    // A process that dies at any call of it.
    for nth in 1..=8 {
        let stage = stage();
        let script = stage.script.clone();
        stage.script.before(CALL, nth, move || script.die_before(1));
        let report = swept(&Sweeps::of_everything(&stage), false).await;
        assert_eq!(report["blockers"], all(), "died after {nth}: {report}");
        assert_eq!(report["outcomes"], json!({"canceled": 4}), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn slices_that_are_too_short_for_a_thing_come_to_an_end() {
    let stage = stage();
    let report = swept(&Sweeps { rate: "0.1", seconds: 15, ..Sweeps::of_everything(&stage) }, true).await;
    assert_eq!((&report["status"], &report["blockers"]), (&json!("SUCCEEDED"), &json!([])), "{report}");
    let told = report["thingsNotLookedAt"].as_array().unwrap();
    assert!(told.iter().all(|thing| thing["problem"] == "a whole slice was too short for it"), "{report}");
    // Those with a blocker, and one on which nothing waits behind what is stale.
    assert_eq!(told.len(), all().as_array().unwrap().len() + 1, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_released_plan_tells_who_was_blocked_when_it_was_made() {
    let stage = stage();
    let sweeps = Sweeps::with_breaker(&stage, 1);
    let stopped = swept(&sweeps, false).await;
    assert_eq!(
        (&stopped["status"], &stopped["blockers"]),
        (&json!("STOPPED_BY_BREAKER"), &all()),
        "{stopped}"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    let release_plan = stopped["planDigest"].as_str().map(ToOwned::to_owned);
    let release = Trigger { release_plan, ..trigger(Operation::CancelStale, "b") };
    let id = sweeps.start(&release).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["outcomes"], json!({"canceled": 4}), "{report}");
    assert_eq!((&report["blockers"], stage.script.count(CALL)), (&all(), 8), "{report}");
}

/// AWS may answer with a page of nothing and the token of the next one: that is no thing on which nothing waits.
#[tokio::test(start_paused = true)]
async fn an_empty_page_is_no_empty_thing() {
    let stage = stage();
    stage.iot.blank_pages();
    let report = swept(&Sweeps::of_everything(&stage), true).await;
    assert_eq!(report["blockers"], all(), "{report}");
}
