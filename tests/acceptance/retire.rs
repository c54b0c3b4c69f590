//! Whole jobs: one DeleteJob in place of the deletions of everything that a finished job has.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::archive::{self, JobRecord};
use shared::execution::{JobStatus, Status};
use shared::operation::Operation;
use shared::sweep::SweepId;
use tests::{Death, FakeIot, Fault, JobSetup, Script};

use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{Sweeps, count, outcomes, rule, trigger};

fn completed() -> JobSetup {
    JobSetup { status: Some(JobStatus::Completed), ..JobSetup::default() }
}

const LIST: &str = "ListJobExecutionsForJob";

/// A finished job of nine executions, all due, in pages of four; and one that is not finished.
fn staged() -> Stage {
    let stage = Stage::new();
    stage.iot.page_size(4);
    stage.iot.job("fw-1", days_ago(200), completed());
    stage.iot.job("fw-2", days_ago(200), JobSetup::default());
    for nth in 0..9 {
        let status = [Status::Succeeded, Status::Failed, Status::Canceled][nth as usize % 3];
        stage.iot.execution("fw-1", &format!("t{nth}"), status, days_ago(150), days_ago(100 + nth));
    }
    for nth in 0..3 {
        stage.iot.execution("fw-2", &format!("t{nth}"), Status::Succeeded, days_ago(150), days_ago(100));
    }
    stage
}

/// Rules by which finished firmware jobs are deleted whole.
fn retiring(stage: &Stage) -> Sweeps<'_> {
    changed(stage, "max_percent = 90", "max_percent = 100")
}

/// The same, with another change to the rules.
fn changed<'a>(stage: &'a Stage, from: &str, to: &str) -> Sweeps<'a> {
    let firmware = rule("firmware", "job_ids = [\"fw-*\"]", "30d") + "retire_jobs = true\n";
    Sweeps::with_rules(stage, |shipped| {
        shipped.replacen("[[rule]]", &format!("{firmware}[[rule]]"), 1).replace(from, to)
    })
}

async fn swept(sweeps: &Sweeps<'_>) -> (SweepId, Value) {
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    (id, report)
}

fn left(stage: &Stage) -> BTreeSet<String> {
    let left = stage.iot.executions().into_iter();
    left.map(|execution| format!("{}/{}", execution.job, execution.row.thing_name)).collect()
}

/// Everything due is gone and archived once at least, each before its deletion, and told row by row.
async fn assert_all_gone(stage: &Stage, report: &Value, context: &str) {
    assert_eq!(left(stage), BTreeSet::new(), "{context} {report}");
    assert_eq!((report["status"].as_str(), outcomes(report)), (Some("SUCCEEDED"), 12), "{context} {report}");
    assert_eq!(report["attempts"], 12, "{context} {report}");
    let of = |(job, thing): (String, String)| format!("{job}/{thing}");
    let archived: BTreeSet<_> = stage
        .bucket
        .archive()
        .await
        .iter()
        .map(|record| of((record.job.job.job_id.to_string(), record.thing_name().to_string())))
        .collect();
    let told: BTreeSet<_> = stage
        .bucket
        .outcomes("outcomes")
        .await
        .iter()
        .map(|row| of((row.job_id.to_string(), row.thing_name.to_string())))
        .collect();
    assert_eq!((archived.len(), &archived), (12, &told), "{context} {report}");
}

#[tokio::test(start_paused = true)]
async fn empty_pages_do_not_end_a_whole_job() {
    let stage = staged();
    stage.iot.blank_pages();
    let (_, report) = swept(&retiring(&stage)).await;
    assert_all_gone(&stage, &report, "").await;
    assert_eq!((count(&report, "deletedWithJob"), stage.script.count("DeleteJob")), (9, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_of_which_everything_is_due_goes_with_one_call() {
    let stage = staged();
    let (id, report) = swept(&retiring(&stage)).await;
    assert_all_gone(&stage, &report, "").await;
    let (with_job, singly) = (count(&report, "deletedWithJob"), count(&report, "deleted"));
    assert_eq!((with_job, singly), (9, 3), "{report}");
    assert_eq!(report["wholeJobs"], json!({"planned": 1, "executions": 9, "deleted": 1}), "{report}");
    assert_eq!(stage.script.count("DeleteJob"), 1);
    assert_eq!(stage.script.count("DeleteJobExecution"), 3);
    // Three pages to judge, three to archive and three to compare; and one of the other job, twice.
    assert_eq!(report["calls"]["ListJobExecutionsForJob"], 9 + 2, "{report}");
    // Everything was in the archive before the job went, the job among it.
    let calls = stage.script.calls();
    let sent = calls.iter().position(|call| call.operation == "DeleteJob").unwrap();
    let before: BTreeSet<_> = calls[..sent].iter().map(|call| call.subject.as_str()).collect();
    let objects = stage.bucket.archive_objects().await;
    let mine = objects.iter().filter(|(_, records)| records[0].job.job.job_id.as_str() == "fw-1");
    assert!(mine.clone().all(|(key, _)| before.contains(key.as_str())));
    assert!(mine.flat_map(|(_, records)| records).all(|record| record.action == "DeleteJob"));
    let jobs = stage.bucket.keys("jobs").await;
    assert!(jobs.len() == 1 && before.contains(jobs[0].as_str()), "{jobs:?}");
    let record: Vec<JobRecord> = archive::read(&stage.bucket, &jobs[0]).await.unwrap();
    assert_eq!((record[0].executions, record[0].rule.as_str()), (9, "firmware"));
    assert_eq!(record[0].description["job"]["description"], "all about fw-1");
    assert_eq!(
        (record[0].document.as_str(), record[0].origin.as_str()),
        ("{\"job\": \"fw-1\"}", id.as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_of_one_page_costs_one_call_of_each_kind() {
    let stage = staged();
    stage.iot.page_size(250);
    let (_, report) = swept(&retiring(&stage)).await;
    assert_all_gone(&stage, &report, "").await;
    let calls = &report["calls"];
    // Judged and archived, each job once.
    assert_eq!(calls["ListJobExecutionsForJob"], 4, "{report}");
    assert_eq!((&calls["DeleteJob"], &calls["GetJobDocument"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!((&calls["DescribeJob"], &calls["ListTagsForResource"]), (&json!(4), &json!(4)), "{report}");
    let estimate = &report["estimate"]["calls"];
    for (operation, made) in calls.as_object().unwrap() {
        if operation != "ListJobs" {
            let scanned = if operation == "ListJobExecutionsForJob" || operation.starts_with("DescribeJob") {
                2
            } else {
                0
            };
            let scanned = if operation == "ListTagsForResource" { 2 } else { scanned };
            let estimated = estimate[operation].as_u64().unwrap_or_default();
            assert!(estimated + scanned >= made.as_u64().unwrap(), "{operation} {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_meant_to_go_whole_goes_one_by_one() {
    let singly = async |stage: &Stage, sweeps: Sweeps<'_>, why: Value| {
        let (_, report) = swept(&sweeps).await;
        assert_eq!(stage.script.count("DeleteJob"), 0, "{report}");
        assert_eq!(report["wholeJobs"], why, "{report}");
        report
    };
    // The rule does not say so.
    let stage = staged();
    let report = singly(&stage, Sweeps::of_everything(&stage), Value::Null).await;
    assert_all_gone(&stage, &report, "").await;
    // The deployment does not allow it.
    let stage = staged();
    let why = json!({"planned": 0, "executions": 0, "deleted": 0, "singly": {"notAllowed": 1}});
    let report = singly(&stage, Sweeps { retire_jobs: false, ..retiring(&stage) }, why).await;
    assert_all_gone(&stage, &report, "").await;
    // One of its executions is not due.
    let stage = staged();
    stage.iot.execution("fw-1", "young", Status::Succeeded, days_ago(29), days_ago(29));
    singly(&stage, retiring(&stage), Value::Null).await;
    assert_eq!(left(&stage), BTreeSet::from(["fw-1/young".to_owned()]));
    // One is still running: AWS would delete a job that somebody cancelled all the same.
    let stage = staged();
    stage.iot.job("fw-1", days_ago(200), JobSetup { status: Some(JobStatus::Canceled), ..completed() });
    stage.iot.execution("fw-1", "running", Status::InProgress, days_ago(150), days_ago(150));
    singly(&stage, retiring(&stage), Value::Null).await;
    assert_eq!(left(&stage), BTreeSet::from(["fw-1/running".to_owned()]));
    // It is held.
    let stage = staged();
    stage.iot.tag("fw-1", "jobwarden:hold", "legal");
    singly(&stage, retiring(&stage), Value::Null).await;
    assert_eq!(left(&stage).len(), 9);
}

#[tokio::test(start_paused = true)]
async fn what_changes_on_the_way_stops_it() {
    type Change = fn(&FakeIot, &Script);
    let changes: [(&str, usize, &str, Change, usize); 6] = [
        // While it is compared: one that nobody had planned, which stays for the next sweep; and one less.
        (LIST, 8, "executionsChanged", |iot, _| late_execution(iot, 120), 1),
        (LIST, 8, "executionsChanged", |iot, _| iot.device("fw-1", "t0").forget(), 0),
        // While it is archived.
        (LIST, 5, "notAllDue", |iot, _| late_execution(iot, 29), 1),
        (LIST, 6, "executionsChanged", |iot, _| late_execution(iot, 29), 1),
        (
            "GetJobDocument",
            0,
            "unreadable",
            |_, script| script.fault("GetJobDocument", 1, Fault::InvalidToken),
            0,
        ),
        ("DescribeJob", 3, "jobChanged", |iot, _| iot.job("fw-1", days_ago(200), JobSetup::default()), 0),
    ];
    for (operation, nth, why, change, stays) in changes {
        let stage = staged();
        let (iot, script) = (stage.iot.clone(), stage.script.clone());
        match nth {
            0 => change(&iot, &script),
            nth => stage.script.before(operation, nth, move || change(&iot, &script)),
        }
        let (_, report) = swept(&retiring(&stage)).await;
        let context = format!("{why} at {operation} {nth}: {report}");
        assert_eq!(report["wholeJobs"]["singly"], json!({why: 1}), "{context}");
        assert_eq!((stage.script.count("DeleteJob"), left(&stage).len()), (0, stays), "{context}");
        assert_eq!(report["status"], "SUCCEEDED", "{context}");
    }
}

fn late_execution(iot: &FakeIot, updated: i64) {
    iot.execution("fw-1", "late", Status::Succeeded, days_ago(150), days_ago(updated));
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_seen_while_aws_has_no_room() {
    let stage = staged();
    // The lane waits: each throttled call makes the next one later.
    for nth in 1..40 {
        stage.script.fault("DeleteJob", nth, Fault::Throttled);
    }
    let iot = stage.iot.clone();
    stage.script.before("DeleteJob", 8, move || iot.tag("fw-1", "jobwarden:hold", "legal"));
    let (_, report) = swept(&retiring(&stage)).await;
    assert_eq!(report["wholeJobs"]["singly"], json!({"jobChanged": 1}), "{report}");
    assert_eq!((count(&report, "deletedWithJob"), left(&stage).len()), (0, 9), "{report}");
}

#[tokio::test(start_paused = true)]
async fn more_jobs_than_aws_deletes_at_once_wait_for_their_turn() {
    let stage = Stage::new();
    stage.iot.run_clock();
    stage.iot.delete_jobs_in(SignedDuration::from_secs(20));
    for nth in 0..25 {
        let job = format!("fw-{nth:02}");
        stage.iot.job(&job, days_ago(200), completed());
        for thing in 0..4 {
            stage.iot.execution(&job, &format!("t{thing}"), Status::Succeeded, days_ago(150), days_ago(100));
        }
    }
    let (_, report) = swept(&retiring(&stage)).await;
    assert_eq!(left(&stage), BTreeSet::new(), "{report}");
    assert_eq!((count(&report, "deletedWithJob"), outcomes(&report)), (100, 100), "{report}");
    assert!(report["throttled"]["DeleteJob"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_into_and_told_as_what_it_was() {
    for (fault, times, sent, outcome, hindrance) in [
        (Fault::LostAfter, 1, 1, "deletedWithJob", Value::Null),
        (Fault::LostBefore, 1, 2, "deletedWithJob", Value::Null),
        (Fault::LostBefore, 5, 5, "deleted", json!({"notConfirmed": 1})),
    ] {
        for takes in [0, 300] {
            let stage = staged();
            stage.iot.run_clock();
            stage.iot.delete_jobs_in(SignedDuration::from_secs(takes));
            for nth in 1..=times {
                stage.script.fault("DeleteJob", nth, fault);
            }
            let (_, report) = swept(&retiring(&stage)).await;
            assert_all_gone(&stage, &report, "").await;
            assert_eq!(stage.script.count("DeleteJob"), sent, "{fault:?} {report}");
            assert_eq!(report["wholeJobs"]["singly"], hindrance, "{fault:?} {report}");
            let expected = if outcome == "deleted" { 12 } else { 9 };
            assert_eq!(count(&report, outcome), expected, "{fault:?} {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_dies_anywhere_has_the_job_gone_and_told() {
    let calls = {
        let stage = staged();
        let sweeps = retiring(&stage);
        sweeps.started(Operation::DeleteExpired, "a").await;
        let before = stage.script.calls().len();
        sweeps.deliver_all().await;
        stage.script.calls().len() - before
    };
    for death in [Death::Before, Death::After] {
        for at in 1..=calls {
            let stage = staged();
            let sweeps = retiring(&stage);
            let id = sweeps.started(Operation::DeleteExpired, "a").await;
            match death {
                Death::Before => stage.script.die_before(at),
                Death::After => stage.script.die_after(at),
            }
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            assert_all_gone(&stage, &report, &format!("{death:?} {at}")).await;
            sweeps.assert_archived_first(&format!("{death:?} {at}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_in_full_come_to_an_end_in_short_slices() {
    let stage = staged();
    let sweeps = changed(&stage, "archive = \"summary\"", "archive = \"full\"");
    let sweeps = Sweeps { rate: "0.5", seconds: 9, ..sweeps };
    let (_, report) = swept(&sweeps).await;
    assert_all_gone(&stage, &report, "").await;
    assert_eq!(count(&report, "deletedWithJob"), 9, "{report}");
    let with_job = stage.bucket.archive().await.into_iter().filter(|record| record.action == "DeleteJob");
    assert!(with_job.clone().all(|record| record.version().is_some()));
    assert_eq!(with_job.count(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_and_a_stopped_plan_tell_what_would_go_whole() {
    let stage = staged();
    let sweeps = retiring(&stage);
    let mut dry = trigger(Operation::DeleteExpired, "dry");
    dry.dry_run = Some(true);
    let id = sweeps.start(&dry).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["wholeJobs"], json!({"planned": 1, "executions": 9, "deleted": 0}), "{report}");
    assert_eq!(report["estimate"]["calls"]["DeleteJobExecution"], 3, "{report}");
    assert_eq!(report["estimate"]["calls"]["DeleteJob"], 1, "{report}");
    assert_eq!((left(&stage).len(), stage.bucket.keys("jobs").await.len()), (12, 0));
    // The breaker counts every execution of the job.
    let stage = staged();
    let sweeps = changed(&stage, "max_actions = 10000", "max_actions = 11");
    let (_, report) = swept(&sweeps).await;
    assert_eq!((report["status"].as_str(), left(&stage).len()), (Some("STOPPED_BY_BREAKER"), 12), "{report}");
    let mut release = trigger(Operation::DeleteExpired, "release");
    release.release_plan = report["planDigest"].as_str().map(ToOwned::to_owned);
    release.now = now() + SignedDuration::from_secs(1);
    let id = sweeps.start(&release).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_all_gone(&stage, &report, "released").await;
    assert_eq!(report["wholeJobs"]["deleted"], 1, "{report}");
}

#[tokio::test(start_paused = true)]
async fn where_aws_never_has_room_the_executions_go_one_by_one_in_short_slices_too() {
    for seconds in [15, 60, 900] {
        let stage = staged();
        stage.script.always("DeleteJob", "", Fault::Throttled);
        let sweeps = Sweeps { seconds, ..retiring(&stage) };
        let (_, report) = swept(&sweeps).await;
        assert_all_gone(&stage, &report, "").await;
        assert_eq!(report["wholeJobs"]["singly"], json!({"noRoom": 1}), "{seconds} {report}");
        assert_eq!(count(&report, "deleted"), 12, "{seconds} {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_aws_is_deleting_already_is_left_to_it() {
    // A description that lags: the call whose answer was lost has had its effect, and AWS says so the next time only.
    let stage = staged();
    stage.iot.run_clock();
    stage.iot.delete_jobs_in(SignedDuration::from_hours(1));
    stage.iot.describe_late(1);
    stage.script.fault("DeleteJob", 1, Fault::LostAfter);
    let (_, report) = swept(&retiring(&stage)).await;
    assert_all_gone(&stage, &report, "").await;
    assert_eq!((stage.script.count("DeleteJob"), count(&report, "deletedWithJob")), (2, 9), "{report}");
    // One that somebody else deletes: nothing is sent for what it still lists.
    let stage = staged();
    let deleting = JobSetup { status: Some(JobStatus::DeletionInProgress), ..JobSetup::default() };
    stage.iot.job("fw-1", days_ago(200), deleting);
    let (_, report) = swept(&retiring(&stage)).await;
    assert_eq!((outcomes(&report), &report["jobs"]["gone"]), (3, &json!(1)), "{report}");
    assert_eq!(left(&stage).len(), 9, "{report}");
}
