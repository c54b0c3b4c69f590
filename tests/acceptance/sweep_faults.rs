//! Faults at the worst moment: each was found by the simulation, and is told here by itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::execution::Status;
use shared::operation::Operation;
use shared::sweep::Trigger;
use tests::{Call, Director, Fate, Fault, JobSetup};
use tokio::time::Instant;

use crate::stage::{Stage, days_ago};
use crate::sweep_stage::{DUE, Sweeps, count, outcomes, staged, trigger};

/// A sweep that the breaker has stopped is told, and can be released, although the bucket did not take its plan
/// at first.
#[tokio::test(start_paused = true)]
async fn a_stopped_plan_that_the_bucket_does_not_take_at_once_is_told_and_released() {
    let told = async |fault: Option<usize>| {
        let stage = staged();
        let sweeps = Sweeps::with_breaker(&stage, DUE - 1);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        if let Some(nth) = fault {
            stage.script.fault("put", nth, Fault::LostBefore);
        }
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!(report["status"], "STOPPED_BY_BREAKER", "{fault:?}: {report}");
        let release_plan = report["planDigest"].as_str().map(ToOwned::to_owned);
        let release = Trigger { release_plan, ..trigger(Operation::DeleteExpired, "b") };
        sweeps.start(&release).await.unwrap();
        sweeps.deliver_all().await;
        sweeps.assert_deleted(&format!("{fault:?}")).await;
        let calls = stage.script.calls();
        let until_told = calls.iter().position(|call| call.subject.ends_with("/report.json")).unwrap();
        calls[..until_told].iter().filter(|call| call.operation == "put").count()
    };
    // The first write is the start's.
    for nth in 1..told(None).await {
        told(Some(nth)).await;
    }
}

/// Nothing is sent on what was read more than a minute ago, however long a throttled call waits for its turn.
#[tokio::test(start_paused = true)]
async fn a_hold_works_within_a_minute_while_a_call_is_throttled() {
    let stage = Stage::new();
    stage.iot.job("big", days_ago(200), JobSetup::default());
    for nth in 0..3 {
        stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
    }
    for nth in 2..20 {
        stage.script.fault("DeleteJobExecution", nth, Fault::Throttled);
    }
    let iot = stage.iot.clone();
    stage.script.before("DeleteJobExecution", 3, move || iot.tag("big", "jobwarden:hold", ""));
    let sweeps = Sweeps { rate: "1", ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), count(&report, "refused")), (1, 2), "{report}");
    assert_eq!((report["attempts"].as_u64(), outcomes(&report)), (Some(1), 3), "{report}");
}

/// When calls of AWS IoT began, in a world whose bucket takes its time.
#[derive(Clone)]
struct SlowBucket {
    began: Arc<Mutex<Vec<Instant>>>,
}

impl Director for SlowBucket {
    fn sent(&mut self, call: &Call) -> Duration {
        match call.operation {
            "get" => return Duration::from_secs(15),
            "put" | "send" => {}
            _ => self.began.lock().unwrap().push(Instant::now()),
        }
        Duration::ZERO
    }

    fn arrives(&mut self, _: &Call) -> Fate {
        Fate::default()
    }
}

/// What reading the state takes is taken from the slice's time, and not from what is kept free at its end.
#[tokio::test(start_paused = true)]
async fn a_slow_bucket_makes_no_call_start_late() {
    let stage = staged();
    let sweeps = Sweeps { seconds: 30, rate: "1", ..Sweeps::new(&stage) };
    sweeps.started(Operation::DeleteExpired, "a").await;
    let slow = SlowBucket { began: Arc::default() };
    stage.script.direct(slow.clone());
    let start = Instant::now();
    let message = stage.queue.sent().remove(0);
    sweeps.slice(&message, crate::stage::now()).await.unwrap();
    let began = slow.began.lock().unwrap();
    // A third is kept free.
    let late: Vec<_> = began.iter().map(|at| *at - start).filter(|at| at.as_secs() >= 20).collect();
    assert!(!began.is_empty() && late.is_empty(), "{late:?}");
}

/// Descriptions for the records and for the versions share a quota: what is described for the records of a page leaves
/// time for acting on them, however little there is.
#[tokio::test(start_paused = true)]
async fn records_in_full_leave_time_to_act_on_them() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for thing in ["one", "two", "three"] {
        stage.iot.execution("fw", thing, Status::Queued, days_ago(99), days_ago(99));
    }
    let sweeps = Sweeps::with_rules(&stage, |shipped| shipped.replace("\"summary\"", "\"full\""));
    let sweeps = Sweeps { seconds: 6, rate: "0.5", ..sweeps };
    let id = sweeps.started(Operation::CancelStale, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((outcomes(&report), &report["status"]), (3, &"SUCCEEDED".into()), "{report}");
    assert!(stage.iot.executions().iter().all(|execution| execution.row.status == Status::Canceled));
}

/// What a slice has met with when its time is over in the middle of a page need not be met with by the next one.
#[tokio::test(start_paused = true)]
async fn refused_rows_whose_facts_cost_calls_come_to_an_end_in_short_slices() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for nth in 0..5 {
        stage.iot.execution("fw", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
    }
    let iot = stage.iot.clone();
    stage.script.before("ListJobExecutionsForJob", 2, move || iot.tag("fw", "jobwarden:hold", ""));
    let sweeps = Sweeps::with_rules(&stage, |shipped| shipped.replace("\"summary\"", "\"full\""));
    let sweeps = Sweeps { seconds: 6, rate: "0.5", ..sweeps };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "refused"), outcomes(&report)), (5, 5), "{report}");
    assert_eq!(stage.mutations(), 0);
}

/// Descriptions take longer than what was read of a page is believed.
struct SlowToDescribe;

impl Director for SlowToDescribe {
    fn sent(&mut self, call: &Call) -> Duration {
        Duration::from_secs(if call.operation == "DescribeJobExecution" { 61 } else { 0 })
    }

    fn arrives(&mut self, _: &Call) -> Fate {
        Fate::default()
    }
}

/// What has been sent once counts as attempted, although it is too late to send it again.
#[tokio::test(start_paused = true)]
async fn a_lost_deletion_whose_page_has_grown_old_is_not_forgotten() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for nth in 0..2 {
        stage.iot.execution("fw", &format!("due-{nth}"), Status::Succeeded, days_ago(120), days_ago(40));
    }
    stage.script.direct(SlowToDescribe);
    stage.script.fault("DeleteJobExecution", 1, Fault::LostBefore);
    let sweeps = Sweeps::of_everything(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), count(&report, "notConfirmed")), (1, 1), "{report}");
    assert_eq!((&report["attempts"], stage.script.count("DeleteJobExecution")), (&2.into(), 2), "{report}");
}

/// The answer to a deletion is lost, and the job gives its thing another execution of the same number.
#[tokio::test(start_paused = true)]
async fn a_lost_deletion_is_not_sent_again_at_what_has_taken_its_place() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    stage.iot.execution("fw", "due", Status::Succeeded, days_ago(120), days_ago(40));
    let iot = stage.iot.clone();
    let again = move || iot.execution("fw", "due", Status::Failed, days_ago(1), days_ago(0));
    stage.script.fault("DeleteJobExecution", 1, Fault::LostAfter);
    stage.script.before("DescribeJobExecution", 1, again);
    let sweeps = Sweeps::of_everything(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), stage.script.count("DeleteJobExecution")), (1, 1), "{report}");
    assert_eq!(stage.iot.executions_of("fw", "due").len(), 1, "{report}");
}

/// What stays in its place is met with by each pass over its job, and is attempted in each, but counts once.
#[tokio::test(start_paused = true)]
async fn what_stays_in_place_counts_once_however_often_its_job_is_passed_over() {
    let stage = Stage::new();
    stage.iot.page_size(3);
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for thing in ["a", "b", "c", "d"] {
        stage.iot.execution("fw", thing, Status::Succeeded, days_ago(150), days_ago(100));
    }
    for stubborn in ["fw/a", "fw/b"] {
        stage.script.always("DeleteJobExecution", stubborn, Fault::LostBefore);
    }
    let sweeps = Sweeps::of_everything(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), count(&report, "notConfirmed")), (2, 2), "{report}");
    assert_eq!((&report["attempts"], outcomes(&report)), (&4.into(), 4), "{report}");
    // Two sendings in each of two passes.
    assert_eq!(stage.script.count("DeleteJobExecution"), 2 + 2 * 2 * 2, "{report}");
}

/// Credentials that AWS does not accept have no effect: nothing is looked at, and no sweep ends by them.
#[tokio::test(start_paused = true)]
async fn what_was_sent_with_credentials_that_aws_did_not_accept_is_sent_again_without_a_look() {
    for times in [1, 9] {
        let stage = Stage::new();
        stage.iot.job("fw", days_ago(200), JobSetup::default());
        stage.iot.execution("fw", "due", Status::Succeeded, days_ago(120), days_ago(40));
        (1..=times).for_each(|nth| stage.script.fault("DeleteJobExecution", nth, Fault::Unauthenticated));
        let sweeps = Sweeps::of_everything(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((&report["status"], count(&report, "deleted")), (&"SUCCEEDED".into(), 1), "{report}");
        assert_eq!(stage.script.count("DeleteJobExecution"), times + 1, "{report}");
        assert_eq!(stage.script.count("DescribeJobExecution"), 0, "{report}");
    }
}
