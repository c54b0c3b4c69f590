//! What a rule's terms say besides durations: how much is archived, and force for what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::archive::Content;
use shared::execution::Status;
use shared::operation::Operation;
use shared::sweep::Outcome;
use tests::{Device, Fault, JobSetup};
use tokio::time::timeout;

use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{Sweeps, arn, count, outcomes, reissued, rule, staged};

const STUCK: &str = include_str!("../../policies/examples/stuck-devices.cedar");

/// A rule that deletes nothing and cancels, by force, what has run for a week without a word.
fn stuck_rule() -> String {
    rule("stuck", "job_ids = [\"config-*\"]", "never")
        + "cancel_after = { QUEUED = \"30d\", IN_PROGRESS = { after = \"7d\", force = true } }\n"
}

/// A job with one execution that is stuck, one that runs, one that waits too long and one that has
/// ended; and another job, whose rule says nothing of force, with one that is stuck.
fn stuck(jobs: JobSetup) -> Stage {
    let stage = Stage::new();
    stage.iot.job("config-1", days_ago(40), jobs.clone());
    stage.iot.job("fw", days_ago(90), jobs);
    let execution = |job, thing, status, queued, updated| {
        stage.iot.execution(job, thing, status, days_ago(queued), days_ago(updated));
    };
    execution("config-1", "stuck", Status::InProgress, 39, 7);
    execution("config-1", "running", Status::InProgress, 39, 6);
    execution("config-1", "stale", Status::Queued, 30, 30);
    execution("config-1", "waiting", Status::Queued, 29, 29);
    execution("config-1", "done", Status::Succeeded, 39, 38);
    execution("fw", "stuck", Status::InProgress, 89, 88);
    stage
}

/// The deployment whose rules and policies agree on force.
fn forcing(stage: &Stage) -> Sweeps<'_> {
    let text = format!("{}\n{STUCK}", include_str!("../../policies/access.cedar"));
    let access = AccessPolicy::parse("access.cedar", &text).unwrap();
    Sweeps { access, ..Sweeps::with_rule(stage, &stuck_rule()) }
}

async fn swept(sweeps: &Sweeps<'_>, operation: Operation) -> Value {
    let id = sweeps.started(operation, "a").await;
    sweeps.deliver_all().await;
    sweeps.report(&id).await
}

fn statuses(stage: &Stage, job: &str) -> Vec<(String, Status)> {
    let executions = stage.iot.executions().into_iter().filter(|execution| execution.job.as_str() == job);
    executions.map(|execution| (execution.row.thing_name.to_string(), execution.row.status)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_cancelled_where_the_rule_says_force_and_the_policies_agree() {
    let stage = stuck(JobSetup::default());
    stage.iot.change("config-1", "stuck", |execution| {
        execution.details.insert("step".to_owned(), "downloading".to_owned());
    });
    let before = stage.iot.executions();
    let report = swept(&forcing(&stage), Operation::CancelStale).await;
    assert_eq!((count(&report, "canceled"), outcomes(&report)), (2, 2), "{report}");
    let after = stage.iot.executions();
    let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    let told: Vec<_> = changed
        .iter()
        .map(|(_, after)| (after.row.thing_name.as_str(), after.row.status, after.force_canceled))
        .collect();
    assert_eq!(told, [("stuck", Status::Canceled, true), ("stale", Status::Canceled, false)]);
    assert!(changed.iter().all(|(_, after)| after.job.as_str() == "config-1"));
    // What is taken from its device is archived whole, whatever the rule says of the rest.
    for record in stage.bucket.archive().await {
        let runs = record.row().status == Status::InProgress;
        assert_eq!(record.force, runs);
        match record.content {
            Content::Full { execution } => {
                assert!(runs);
                assert_eq!(execution.status_details["step"], "downloading");
            }
            Content::Summary { .. } => assert!(!runs),
        }
    }
    let results = [
        json!({"rule": "stuck", "status": "QUEUED", "outcome": "canceled", "count": 1}),
        json!({"rule": "stuck", "status": "IN_PROGRESS", "outcome": "canceled", "count": 1}),
    ];
    assert_eq!(report["results"], json!(results), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_runs_stays_where_the_rule_or_the_policies_do_not_agree() {
    // The rule says force and the policies as shipped do not.
    let stage = stuck(JobSetup::default());
    let report = swept(&Sweeps::with_rule(&stage, &stuck_rule()), Operation::CancelStale).await;
    assert_eq!((count(&report, "canceled"), outcomes(&report)), (1, 1), "{report}");
    let refused =
        json!({"rule": "stuck", "status": "IN_PROGRESS", "verdict": "refused: noPermit", "count": 1});
    assert!(report["kept"].as_array().unwrap().contains(&refused), "{report}");
    // The policies would, and the rules say nothing of force.
    let stage = stuck(JobSetup::default());
    let sweeps = forcing(&stage);
    let sweeps = Sweeps { rules: Sweeps::new(&stage).rules, ..sweeps };
    let report = swept(&sweeps, Operation::CancelStale).await;
    assert_eq!(outcomes(&report), 0, "{report}");
    // What runs is not even listed then.
    assert_eq!(report["rowsSeen"], 0, "{report}");
    // A job that would queue another execution is left alone.
    let stage = stuck(JobSetup { continuous: true, ..JobSetup::default() });
    let report = swept(&forcing(&stage), Operation::CancelStale).await;
    assert_eq!((count(&report, "canceled"), outcomes(&report)), (1, 1), "{report}");
    assert!(report["kept"].to_string().contains("refused: forced-needs-a-snapshot-job"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_speaks_up_keeps_what_it_runs() {
    // The first description is for the record, the second pins the cancel. A new version says that the
    // device has spoken even where the time of it is too coarse to.
    let report = |device: &Device| device.report();
    let update = |device: &Device| device.update(Status::InProgress);
    for (nth, change) in [(1, update as fn(&Device)), (2, update), (2, report)] {
        let stage = stuck(JobSetup::default());
        let device = stage.iot.device("config-1", "stuck");
        stage.script.before("DescribeJobExecution", nth, move || change(&device));
        let report = swept(&forcing(&stage), Operation::CancelStale).await;
        let ended: Vec<_> = statuses(&stage, "config-1");
        assert!(ended.contains(&("stuck".to_owned(), Status::InProgress)), "{nth} {report}");
        assert_eq!((count(&report, "canceled"), outcomes(&report)), (1, 2), "{nth} {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_may_archive_in_full_at_a_call_for_each() {
    let stage = Stage::new();
    stage.iot.job("big", days_ago(200), JobSetup::default());
    stage.iot.job("other", days_ago(200), JobSetup::default());
    let finished = |job: &str, thing: &str| {
        stage.iot.execution(job, thing, Status::Failed, days_ago(99), days_ago(98));
        stage.iot.change(job, thing, |execution| {
            execution.row.retry_attempt = Some(3);
            execution.details.insert("error".to_owned(), "disk full".to_owned());
        });
    };
    (0..1000).for_each(|nth| finished("big", &format!("t{nth}")));
    finished("other", "t0");
    let full = rule("full", "job_ids = [\"big\"]", "30d").replace("summary", "full");
    let sweeps = Sweeps::with_rules(&stage, |shipped| {
        let shipped = shipped.replace("max_percent = 90", "max_percent = 100");
        shipped.replacen("[[rule]]", &format!("{full}[[rule]]"), 1)
    });
    let report = swept(&Sweeps { rate: "1000", ..sweeps }, Operation::DeleteExpired).await;
    assert_eq!((count(&report, "deleted"), outcomes(&report)), (1001, 1001), "{report}");
    let archive = stage.bucket.archive().await;
    assert_eq!(archive.len(), 1001);
    for record in archive {
        match (record.rule.as_deref(), &record.content) {
            (Some("full"), Content::Full { execution }) => {
                assert_eq!(execution.status_details["error"], "disk full");
                // A description leaves it out; the listing had it.
                assert_eq!(execution.row.retry_attempt, Some(3));
            }
            (Some("default"), Content::Summary { execution }) => assert_eq!(execution.retry_attempt, Some(3)),
            other => panic!("{other:?}"),
        }
    }
    // Two calls for each of the thousand and three for each of their pages; the other job's seven; and
    // the listing of the jobs.
    let calls = serde_json::json!({
        "ListJobs": 1,
        "ListJobExecutionsForJob": 2 * 4 + 2,
        "DescribeJob": 2 + 2,
        "ListTagsForResource": 2 + 2,
        "DescribeJobExecution": 1000,
        "DeleteJobExecution": 1001,
    });
    assert_eq!((&report["calls"], stage.sent()), (&calls, calls.clone()));
    let estimated = &report["estimate"]["calls"];
    assert_eq!(estimated["DescribeJobExecution"], 1000, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_described_is_not_deleted_by_a_rule_that_archives_in_full() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    let finish = |thing: &str, updated: Timestamp| {
        stage.iot.execution("fw", thing, Status::Succeeded, days_ago(99), updated);
    };
    finish("t0", days_ago(98));
    finish("t1", days_ago(98));
    let iot = stage.iot.clone();
    // Somebody else is faster, and the number comes again.
    stage.script.before("DescribeJobExecution", 1, move || iot.device("fw", "t0").replace(Status::Succeeded));
    let full = rule("full", "job_ids = [\"fw\"]", "30d").replace("summary", "full");
    let report = swept(&Sweeps::with_rule(&stage, &full), Operation::DeleteExpired).await;
    assert_eq!((count(&report, "deleted"), count(&report, "factUnreadable")), (1, 1), "{report}");
    assert_eq!(stage.bucket.archive().await.len(), 1);
    let left = [
        json!({"rule": "full", "status": "SUCCEEDED", "outcome": "deleted", "count": 1}),
        json!({"rule": "full", "status": "SUCCEEDED", "outcome": "factUnreadable", "count": 1}),
    ];
    assert_eq!(report["results"], json!(left), "{report}");
}

/// Outcomes by rule and status add up to the plan, whatever the rule was when they were met with.
#[tokio::test(start_paused = true)]
async fn results_tell_rule_and_status_and_add_up_to_the_plan() {
    let stage = Stage::new();
    stage.iot.page_size(2);
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for nth in 0..3 {
        stage.iot.execution("fw", &format!("s{nth}"), Status::Succeeded, days_ago(120), days_ago(119));
        stage.iot.execution("fw", &format!("f{nth}"), Status::Failed, days_ago(120), days_ago(119));
    }
    let iot = stage.iot.clone();
    // After three of six: the rest has another rule by then, which keeps what has failed.
    stage.script.before("DeleteJobExecution", 3, move || iot.tag("fw", "ring", "canary"));
    let canary = rule("canary", "job_tags = { ring = \"canary\" }", "100d")
        .replace("FAILED = \"100d\"", "FAILED = \"never\"");
    let sweeps = Sweeps { rate: "0.1", ..Sweeps::with_rule(&stage, &canary) };
    let report = swept(&sweeps, Operation::DeleteExpired).await;
    let sum = |rows: &Value, matches: &dyn Fn(&Value) -> bool| -> u64 {
        let rows = rows.as_array().unwrap().iter().filter(|row| matches(row));
        rows.map(|row| row["count"].as_u64().unwrap()).sum()
    };
    assert_eq!((outcomes(&report), sum(&report["results"], &|_| true)), (6, 6), "{report}");
    for (outcome, expected) in report["outcomes"].as_object().unwrap() {
        assert_eq!(
            sum(&report["results"], &|row| row["outcome"] == outcome.as_str()),
            expected.as_u64().unwrap()
        );
    }
    let of = |rule: &str, status: &str, outcome: &str| {
        sum(&report["results"], &|row| {
            row["rule"] == rule && row["status"] == status && row["outcome"] == outcome
        })
    };
    assert!(of("canary", "SUCCEEDED", "deleted") > 0, "{report}");
    assert!(of("default", "FAILED", "notSeenAgain") > 0, "{report}");
    assert_eq!(of("canary", "FAILED", "deleted"), 0, "{report}");
}

/// Every archived record has a row that says what came of it, and whoever was cancelled by mistake
/// can be sent the job again.
#[tokio::test(start_paused = true)]
async fn what_came_of_each_is_told_row_by_row_and_can_be_sent_again() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for nth in 0..230 {
        stage.iot.execution("fw", &format!("t{nth:03}"), Status::Queued, days_ago(99), days_ago(98));
    }
    let device = stage.iot.device("fw", "t007");
    stage.script.before("CancelJobExecution", 5, move || device.update(Status::InProgress));
    let sweeps = Sweeps::of_everything(&stage);
    let id = sweeps.started(Operation::CancelStale, "a").await;
    // An answer that is lost: it is looked at, and told as what it is.
    stage.script.fault("CancelJobExecution", 100, Fault::LostAfter);
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "canceled"), count(&report, "noLongerEligible")), (229, 1), "{report}");

    let rows = stage.bucket.outcomes(report["outcomesPrefix"].as_str().unwrap()).await;
    let told: BTreeMap<_, _> =
        rows.iter().map(|row| (row.thing_name.to_string(), row.kind.outcome)).collect();
    assert_eq!((rows.len(), told.len()), (230, 230));
    for (thing, outcome) in &told {
        let expected = if thing == "t007" { Outcome::NoLongerEligible } else { Outcome::Canceled };
        assert_eq!(*outcome, expected, "{thing}");
    }
    let canceled = told.keys().filter(|thing| *thing != "t007");
    let canceled: BTreeSet<_> = canceled.map(|thing| ("fw".to_owned(), arn(thing))).collect();
    assert_eq!(reissued(&stage, &id).await, canceled);
    assert_eq!(stage.bucket.keys(&format!("sweeps/{id}/reissue/fw/")).await.len(), 3);
}

/// Which of a worker's writes is the first to such a place.
async fn first_write(operation: Operation, place: &str) -> usize {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    sweeps.started(operation, "a").await;
    let started = stage.script.calls().len();
    sweeps.deliver_all().await;
    let calls = stage.script.calls();
    let mut writes = calls[started..].iter().filter(|call| call.operation == "put");
    writes.position(|call| call.subject.contains(place)).unwrap() + 1
}

/// What cannot be told does not count: it is looked at again, and told then.
#[tokio::test(start_paused = true)]
async fn outcomes_that_the_bucket_does_not_take_are_told_by_the_next_slice() {
    for (operation, place) in [
        (Operation::DeleteExpired, "outcomes/"),
        (Operation::CancelStale, "outcomes/"),
        (Operation::CancelStale, "/reissue/"),
    ] {
        for fault in [Fault::LostBefore, Fault::LostAfter] {
            let stage = staged();
            let sweeps = Sweeps::new(&stage);
            let id = sweeps.started(operation, "a").await;
            stage.script.fault("put", first_write(operation, place).await, fault);
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            let due = report["due"].as_u64().unwrap();
            assert_eq!(
                (outcomes(&report), report["attempts"].as_u64().unwrap()),
                (due, due),
                "{fault:?} {report}"
            );
            let interrupted =
                count(&report, "deletedByInterruptedSlice") + count(&report, "canceledByInterruptedSlice");
            assert!(interrupted > 0, "{fault:?} {report}");
            let rows = stage.bucket.outcomes(report["outcomesPrefix"].as_str().unwrap()).await;
            let told: BTreeSet<_> =
                rows.iter().map(|row| (row.job_id.clone(), row.thing_name.clone())).collect();
            assert_eq!(told.len() as u64, due, "{fault:?}");
            // Where the bucket has taken it and something was lost after it, it is told twice.
            let twice = place == "/reissue/" || fault == Fault::LostAfter;
            assert_eq!(rows.len() as u64 > due, twice, "{place} {fault:?}");
            let again = reissued(&stage, &id).await;
            let canceled: BTreeSet<_> =
                told.iter().map(|(job, thing)| (job.to_string(), arn(thing))).collect();
            let expected = if operation == Operation::CancelStale { canceled } else { BTreeSet::new() };
            assert_eq!(again, expected, "{place} {fault:?}");
        }
    }
}

/// Nothing of a plan is carried out by other rules; what was done of it before is told all the same.
#[tokio::test(start_paused = true)]
async fn what_a_dead_slice_did_is_told_where_the_rules_have_changed_since() {
    let calls = |stage: &Stage| stage.script.calls().into_iter().map(|call| call.operation);
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    sweeps.started(Operation::CancelStale, "a").await;
    let started = calls(&stage).count();
    sweeps.deliver_all().await;
    let last = calls(&stage).skip(started).collect::<Vec<_>>();
    let last = last.iter().rposition(|operation| *operation == "CancelJobExecution").unwrap() + 1;

    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::CancelStale, "a").await;
    stage.script.die_after(last);
    let first = stage.queue.sent().remove(0);
    assert!(timeout(Duration::from_secs(2000), sweeps.slice(&first, now())).await.is_err());
    assert_eq!(stage.script.count("CancelJobExecution"), 2);
    Sweeps::with_breaker(&stage, 9_999).deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "FAILED", "{report}");
    let told = (count(&report, "canceled"), count(&report, "canceledByInterruptedSlice"));
    assert_eq!((told, &report["attempts"]), ((1, 1), &2.into()), "{report}");
    let stale = [("fw-1", "stale-1"), ("fw-2", "stale-0")];
    let stale: BTreeSet<_> = stale.into_iter().map(|(job, thing)| (job.to_owned(), arn(thing))).collect();
    // They are of two jobs, and the first has been told by the slice that died.
    assert_eq!(reissued(&stage, &id).await, stale);
}

/// A listing may show for a while what has gone.
#[tokio::test(start_paused = true)]
async fn what_a_listing_still_shows_is_not_counted_twice() {
    for operation in [Operation::DeleteExpired, Operation::CancelStale] {
        let stage = Stage::new();
        stage.iot.page_size(4);
        stage.iot.lag(2);
        stage.iot.job("fw", days_ago(200), JobSetup::default());
        for nth in 0..12 {
            stage.iot.execution("fw", &format!("d{nth}"), Status::Succeeded, days_ago(120), days_ago(119));
            stage.iot.execution("fw", &format!("w{nth}"), Status::Queued, days_ago(120), days_ago(119));
        }
        let report = swept(&Sweeps::new(&stage), operation).await;
        let done = count(&report, "deleted") + count(&report, "canceled");
        assert_eq!((done, outcomes(&report), &report["attempts"]), (12, 12, &12.into()), "{report}");
    }
}
