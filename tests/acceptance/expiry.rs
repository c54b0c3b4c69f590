//! Exact expiry: what ends is looked at again when it can be due, and deleted then as a sweep would.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use aws::slices::SliceFunction;
use jiff::{SignedDuration, Timestamp};
use schedule_expiry::ScheduleExpiry;
use serde_json::{Value, json};
use shared::document::Current;
use shared::execution::{JobStatus, RetryLimits, Status};
use shared::expiry::ExpiryCheck;
use shared::retention::Retention;
use shared::sweep::{self, CallRate, CheckEnd, CheckError, Outcome, OutcomeRow, SliceTime};
use tests::{Call, Director, FakeBucket, FakeIot, FakeQueue, FakeSchedules, Fate, Fault, JobSetup};
use tokio::time::{Instant, timeout};

use crate::log::Log;
use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{Sweeps, rule};

/// An event of AWS IoT, as its rule hands it on.
fn event(status: Status, at: Timestamp) -> Value {
    json!({
        "eventType": "JOB_EXECUTION",
        "eventId": "b3f6a2d0-1c9b-4a53-9d0e-4a7c41e2c001",
        "timestamp": at.as_second(),
        "operation": status.as_str().to_lowercase(),
        "jobId": "fw",
        "thingArn": "arn:aws:iot:eu-west-1:123456789012:thing/pump",
        "status": status,
    })
}

struct Scheduling {
    function: ScheduleExpiry<FakeSchedules>,
}

impl Scheduling {
    fn new(stage: &Stage, rules: Retention) -> Self {
        let schedules = FakeSchedules::new(stage.script.clone());
        Self { function: ScheduleExpiry { schedules, rules: Current::fixed(rules) } }
    }

    async fn told(&self, event: Value, now: Timestamp) -> Result<Value, String> {
        self.function.handle(event, now).await.map_err(|error| error.to_string())
    }

    fn made(&self) -> Vec<(Timestamp, ExpiryCheck)> {
        self.function.schedules.made()
    }
}

/// The message of what ended on `pump` so many days ago, due by the shipped rules for a success.
fn message(ended: Timestamp) -> ExpiryCheck {
    let due_at = ended + SignedDuration::from_hours(24 * 30);
    let text = json!({
        "jobId": "fw", "thingName": "pump", "status": "SUCCEEDED", "endedAt": ended, "dueAt": due_at,
    });
    serde_json::from_value(text).unwrap()
}

/// A stage with a job and a success on `pump` that is due now.
fn due() -> Stage {
    due_of(JobSetup::default())
}

fn due_of(setup: JobSetup) -> Stage {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(100), setup);
    stage.iot.execution("fw", "pump", Status::Succeeded, days_ago(40), days_ago(30));
    stage
}

async fn check_at(sweeps: &Sweeps<'_>, received: u32, at: Timestamp) -> Result<CheckEnd, CheckError> {
    // A message comes again later, not at once.
    let at = at + SignedDuration::from_secs(i64::from(received) - 1);
    let time = SliceTime { now: at, deadline: at + SignedDuration::from_secs(sweeps.seconds) };
    let worker = sweeps.worker::<sweep::DeleteExpired>();
    worker.check_expiry(&message(days_ago(30)), time).await
}

async fn check(sweeps: &Sweeps<'_>) -> CheckEnd {
    check_at(sweeps, 1, now()).await.unwrap()
}

/// How often AWS IoT was called, by the first letters that tell the operations apart.
fn calls(stage: &Stage) -> [usize; 5] {
    let operations = [
        "ListJobExecutionsForThing",
        "DescribeJob",
        "ListTagsForResource",
        "DescribeJobExecution",
        "DeleteJobExecution",
    ];
    operations.map(|operation| stage.script.count(operation))
}

async fn outcomes(stage: &Stage) -> Vec<OutcomeRow> {
    stage.bucket.outcomes("outcomes").await
}

async fn told_outcomes(stage: &Stage) -> Vec<Outcome> {
    outcomes(stage).await.into_iter().map(|row| row.kind.outcome).collect()
}

/// Nothing was deleted, and nothing archived to be.
async fn assert_untouched(stage: &Stage, context: &str) {
    assert_eq!(stage.mutations(), 0, "{context}");
    assert!(!stage.iot.executions_of("fw", "pump").is_empty(), "{context}");
    assert!(stage.bucket.archive().await.is_empty(), "{context}");
}

#[tokio::test(start_paused = true)]
async fn what_ends_is_looked_at_the_moment_it_is_due_and_deleted() {
    let stage = due();
    let scheduling = Scheduling::new(&stage, Retention::shipped().unwrap());
    scheduling.told(event(Status::Succeeded, days_ago(30)), days_ago(30)).await.unwrap();
    let made = scheduling.made();
    assert_eq!(made.len(), 1);
    let (at, check) = &made[0];
    assert_eq!(*check, message(days_ago(30)));
    assert!((0..60).contains(&at.duration_since(now()).as_secs()), "{at}");
    // Nothing of AWS IoT's quota is spent on an event.
    assert_eq!(calls(&stage), [0; 5]);

    let sweeps = Sweeps::new(&stage);
    assert_eq!(check_at(&sweeps, 1, *at).await.unwrap(), CheckEnd::Checked);
    assert_eq!(stage.iot.executions_of("fw", "pump"), []);
    assert_eq!(calls(&stage), [1, 1, 1, 0, 1]);
    sweeps.assert_archived_first("").await;
    let objects = stage.bucket.archive_objects().await;
    let name = check.name();
    let key = format!("date=2026-11-21/sweep=expiry/{name}/{}-0.jsonl.gz", at.as_millisecond());
    assert_eq!(objects.keys().collect::<Vec<_>>(), [&format!("archive/{key}")]);
    let record = &stage.bucket.archive().await[0];
    assert_eq!((record.origin.clone(), record.decided_at), (format!("expiry {name}"), *at));
    assert_eq!(
        (record.principal.as_str(), record.rule.as_deref()),
        ("sweeper delete-expired", Some("default"))
    );
    assert_eq!((record.due_since, record.policies[0].id.as_str()), (Some(now()), "sweeper-deletes-expired"));
    assert_eq!(stage.bucket.keys("outcomes").await, [format!("outcomes/{key}")]);
    assert_eq!(told_outcomes(&stage).await, [Outcome::Deleted]);
}

#[tokio::test(start_paused = true)]
async fn every_status_is_looked_at_by_its_own_limit_and_what_is_kept_for_ever_is_not() {
    for (status, days) in [(Status::Removed, 30), (Status::TimedOut, 90)] {
        let stage = Stage::new();
        let scheduling = Scheduling::new(&stage, Retention::shipped().unwrap());
        let ended = days_ago(1);
        scheduling.told(event(status, ended), ended).await.unwrap();
        let due: Vec<_> = scheduling.made().into_iter().map(|(_, check)| check.due_at).collect();
        assert_eq!(due, [ended + SignedDuration::from_hours(24 * days)]);
    }
    let stage = Stage::new();
    let scheduling = Scheduling::new(&stage, Retention::shipped().unwrap());
    let mut kept = event(Status::Succeeded, now());
    kept["jobId"] = json!("keep-logs");
    let mut deleted = event(Status::Succeeded, now());
    deleted["operation"] = json!("deleted");
    for event in [kept, deleted, event(Status::InProgress, now())] {
        assert_eq!(scheduling.told(event, now()).await, Ok(json!({ "checks": [] })));
    }
    let bad = scheduling.told(json!({ "eventType": "JOB" }), now()).await.unwrap_err();
    assert!(bad.contains("no job execution's"), "{bad}");
    assert!(scheduling.made().is_empty() && stage.script.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_twice_or_again_after_a_failure_is_scheduled_once() {
    let stage = Stage::new();
    let scheduling = Scheduling::new(&stage, Retention::shipped().unwrap());
    let event = || event(Status::Succeeded, days_ago(1));
    for fault in [Fault::Throttled, Fault::LostAfter] {
        stage.script.fault("CreateSchedule", 1, fault);
        scheduling.told(event(), now()).await.unwrap_err();
    }
    let answer = scheduling.told(event(), now() + SignedDuration::from_secs(9)).await.unwrap();
    assert_eq!(answer["checks"][0]["scheduled"], "before", "{answer}");
    assert_eq!(scheduling.made().len(), 1);
}

/// A rule that asks for tags is open when the event comes; what the job turns out to have is looked at all the same.
#[tokio::test(start_paused = true)]
async fn where_tags_decide_the_job_is_looked_at_when_each_rule_would_have_it_due() {
    for (ring, left_by_first) in [("canary", 0), ("stable", 1)] {
        let tags = [("ring".to_owned(), ring.to_owned())].into();
        let stage = due_of(JobSetup { tags, ..JobSetup::default() });
        let canary = rule("canary", "job_tags = { ring = \"canary\" }", "12h");
        let sweeps = Sweeps::with_rule(&stage, &canary);
        let scheduling = Scheduling::new(&stage, Sweeps::with_rule(&stage, &canary).rules);
        let ended = days_ago(30);
        scheduling.told(event(Status::Succeeded, ended), ended).await.unwrap();
        let mut left = Vec::new();
        for (at, check) in scheduling.made() {
            let time = SliceTime { now: at, deadline: at + SignedDuration::from_secs(900) };
            sweeps.worker::<sweep::DeleteExpired>().check_expiry(&check, time).await.unwrap();
            left.push(stage.iot.executions().len());
        }
        assert_eq!(left, [left_by_first, 0], "{ring}");
        sweeps.assert_archived_first(ring).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_due_yet_stays_and_costs_one_call() {
    let stage = due();
    stage.iot.change("fw", "pump", |execution| execution.row.last_updated_at = days_ago(29));
    assert_eq!(check(&Sweeps::new(&stage)).await, CheckEnd::Checked);
    assert_untouched(&stage, "").await;
    assert_eq!(calls(&stage), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_policies_and_rules_keep_stays() {
    let plain = JobSetup::default;
    let held = JobSetup { tags: [("jobwarden:hold".to_owned(), String::new())].into(), ..plain() };
    for (setup, why) in [(held, "held"), (JobSetup { namespace: Some("aws-gg-x"), ..plain() }, "namespaced")]
    {
        let stage = due_of(setup);
        assert_eq!(check(&Sweeps::new(&stage)).await, CheckEnd::Checked, "{why}");
        assert_untouched(&stage, why).await;
    }
    let stage = due_of(JobSetup { retry_limits: RetryLimits { failed: 1, timed_out: 0 }, ..plain() });
    stage.iot.change("fw", "pump", |execution| {
        execution.row.status = Status::Failed;
        execution.row.last_updated_at = days_ago(90);
    });
    check(&Sweeps::new(&stage)).await;
    assert_untouched(&stage, "retries left").await;
}

#[tokio::test(start_paused = true)]
async fn facts_that_cannot_be_read_delete_nothing() {
    for operation in ["DescribeJob", "ListTagsForResource", "ListJobExecutionsForThing"] {
        let stage = due();
        stage.script.always(operation, "", Fault::LostBefore);
        let ended = check_at(&Sweeps::new(&stage), 1, now()).await;
        assert!(matches!(ended, Err(CheckError::Unavailable(_))), "{operation}: {ended:?}");
        assert_untouched(&stage, operation).await;
    }
    let stage = due();
    stage.iot.unknown_status("fw", "pump");
    check(&Sweeps::new(&stage)).await;
    assert_untouched(&stage, "unknown status").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_finds_nothing_left() {
    let stage = due();
    let sweeps = Sweeps::new(&stage);
    check(&sweeps).await;
    for received in [1, 2] {
        assert_eq!(check_at(&sweeps, received, now()).await.unwrap(), CheckEnd::Checked);
    }
    assert_eq!((stage.mutations(), stage.bucket.archive().await.len()), (1, 1));
    assert_eq!(told_outcomes(&stage).await, [Outcome::Deleted]);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_it_looks_and_what_is_throttled_is_sent_again() {
    for (fault, sent, looks) in
        [(Fault::LostAfter, 1, 1), (Fault::LostBefore, 2, 1), (Fault::Throttled, 2, 0)]
    {
        let stage = due();
        stage.script.fault("DeleteJobExecution", 1, fault);
        let sweeps = Sweeps::new(&stage);
        check(&sweeps).await;
        assert_eq!(calls(&stage), [1, 1, 1, looks, sent], "{fault:?}");
        assert_eq!(told_outcomes(&stage).await, [Outcome::Deleted], "{fault:?}");
        assert_eq!(stage.iot.executions(), [], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_came_again_is_another_execution() {
    // Before the look.
    let stage = due();
    stage.iot.device("fw", "pump").replace(Status::Succeeded);
    check(&Sweeps::new(&stage)).await;
    assert_untouched(&stage, "").await;
    // After an answer that was lost: what is there now is not touched.
    let stage = due();
    stage.script.fault("DeleteJobExecution", 1, Fault::LostAfter);
    let device = stage.iot.device("fw", "pump");
    stage.script.before("DescribeJobExecution", 1, move || device.replace(Status::Queued));
    check(&Sweeps::new(&stage)).await;
    assert_eq!((stage.mutations(), stage.status()), (1, Some(Status::Queued)));
    assert_eq!(told_outcomes(&stage).await, [Outcome::Deleted]);
}

#[tokio::test(start_paused = true)]
async fn every_execution_that_is_due_goes_on_however_many_pages() {
    let stage = due();
    for days in [31, 32, 20] {
        stage.iot.execution("fw", "pump", Status::Canceled, days_ago(50), days_ago(days));
    }
    stage.iot.execution("fw", "valve", Status::Succeeded, days_ago(40), days_ago(30));
    stage.iot.page_size(2);
    let sweeps = Sweeps::new(&stage);
    check(&sweeps).await;
    let left: Vec<_> = stage.iot.executions().into_iter().map(|e| e.row.last_updated_at).collect();
    assert_eq!(left, [days_ago(20), days_ago(30)]);
    assert_eq!((calls(&stage), stage.bucket.archive_objects().await.len()), ([2, 1, 1, 0, 3], 1));
    sweeps.assert_archived_first("").await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_keeps_everything_has_the_execution_described() {
    let stage = due();
    stage.iot.change("fw", "pump", |execution| drop(execution.details.insert("step".into(), "7".into())));
    let sweeps = Sweeps::with_rules(&stage, |shipped| shipped.replace("\"summary\"", "\"full\""));
    check(&sweeps).await;
    assert_eq!(calls(&stage), [1, 1, 1, 1, 1]);
    let record = serde_json::to_value(&stage.bucket.archive().await[0]).unwrap();
    assert_eq!(record["execution"]["statusDetails"]["step"], "7", "{record}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_while_the_bucket_does_not_answer() {
    for (operation, subject) in [("put", "archive/"), ("put", "sweeps/expiry/"), ("get", "sweeps/expiry/")] {
        let stage = due();
        stage.script.always(operation, subject, Fault::LostBefore);
        let ended = check_at(&Sweeps::new(&stage), 1, now()).await;
        assert!(matches!(ended, Err(CheckError::Unavailable(_))), "{operation} {subject}: {ended:?}");
        assert_eq!(stage.mutations(), 0, "{operation} {subject}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_bucket_did_not_take_of_outcomes_is_told_by_the_next_delivery() {
    let stage = due();
    stage.script.fault("put", 3, Fault::LostBefore);
    let sweeps = Sweeps::new(&stage);
    let ended = check_at(&sweeps, 1, now()).await;
    assert!(matches!(ended, Err(CheckError::Unavailable(_))), "{ended:?}");
    assert_eq!((stage.mutations(), outcomes(&stage).await.len()), (1, 0));
    check_at(&sweeps, 2, now()).await.unwrap();
    assert_eq!(told_outcomes(&stage).await, [Outcome::DeletedByInterruptedSlice]);
    check_at(&sweeps, 3, now()).await.unwrap();
    assert_eq!((stage.mutations(), outcomes(&stage).await.len()), (1, 1));
}

/// Whatever its last call was, and whether that had its effect: the right ones are gone, each archived first, and each
/// has a row that tells it.
#[tokio::test(start_paused = true)]
async fn a_check_that_dies_anywhere_ends_with_the_right_set_archived_first_and_told() {
    for nth in 1.. {
        let mut died = false;
        for after in [false, true] {
            let stage = due();
            stage.iot.execution("fw", "pump", Status::Canceled, days_ago(50), days_ago(31));
            stage.iot.execution("fw", "pump", Status::Canceled, days_ago(50), days_ago(29));
            if after {
                stage.script.die_after(nth)
            } else {
                stage.script.die_before(nth)
            }
            let sweeps = Sweeps::new(&stage);
            let context = format!("{nth} {after}");
            for received in 1..=2 {
                stage.script.revive();
                let check = check_at(&sweeps, received, now());
                match timeout(Duration::from_secs(2000), check).await {
                    Ok(ended) => assert_eq!(ended.unwrap(), CheckEnd::Checked, "{context}"),
                    Err(_) => died = true,
                }
            }
            let left: Vec<_> = stage.iot.executions().iter().map(|e| e.row.last_updated_at).collect();
            assert_eq!(left, [days_ago(29)], "{context}");
            sweeps.assert_archived_first(&context).await;
            let told: BTreeSet<_> = outcomes(&stage).await.iter().map(|row| row.identity.queued_at).collect();
            assert_eq!(told, [days_ago(50), days_ago(40)].into(), "{context}");
        }
        if !died {
            assert!(nth > 8, "{nth}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_starts_late_and_the_message_comes_again() {
    let stage = due();
    stage.script.always("DeleteJobExecution", "", Fault::Throttled);
    let start = Instant::now();
    let ended = check_at(&Sweeps { seconds: 90, ..Sweeps::new(&stage) }, 1, now()).await;
    assert!(matches!(ended, Err(CheckError::OutOfTime)), "{ended:?}");
    assert!(start.elapsed().as_secs() <= 70, "{:?}", start.elapsed());
    assert!(calls(&stage)[0] > 1, "what it read is believed for a minute, and read again then");
    assert_eq!(stage.iot.executions().len(), 1);

    let stage = due();
    let ended = check_at(&Sweeps { seconds: 0, ..Sweeps::new(&stage) }, 1, now()).await;
    assert!(matches!(ended, Err(CheckError::OutOfTime)), "{ended:?}");
    assert_eq!(calls(&stage), [0; 5]);
}

/// A hold that comes while a call waits its turn is honoured within a minute.
#[tokio::test(start_paused = true)]
async fn a_hold_works_within_a_minute_while_a_call_is_throttled() {
    let stage = due();
    for nth in 1..20 {
        stage.script.fault("DeleteJobExecution", nth, Fault::Throttled);
    }
    let iot = stage.iot.clone();
    stage.script.before("DeleteJobExecution", 2, move || iot.tag("fw", "jobwarden:hold", ""));
    assert_eq!(check(&Sweeps { rate: "1", ..Sweeps::new(&stage) }).await, CheckEnd::Checked);
    assert_eq!(stage.iot.executions().len(), 1);
}

/// A bucket that takes more than a minute to take records.
struct SlowArchive;

impl Director for SlowArchive {
    fn sent(&mut self, call: &Call) -> Duration {
        let slow = call.operation == "put" && call.subject.starts_with("archive/");
        Duration::from_secs(if slow { 70 } else { 0 })
    }

    fn arrives(&mut self, _: &Call) -> Fate {
        Fate::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_works_within_a_minute_while_the_archive_is_slow() {
    let stage = due();
    stage.script.direct(SlowArchive);
    let iot = stage.iot.clone();
    stage.script.before("put", 1, move || iot.tag("fw", "jobwarden:hold", ""));
    assert_eq!(check(&Sweeps::new(&stage)).await, CheckEnd::Checked);
    assert_eq!((stage.mutations(), stage.iot.executions().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_day_has_a_budget_that_counts_attempts_and_says_when_it_is_used_up() {
    let (log, _guard) = Log::begin();
    let stage = due();
    for days in [31, 32] {
        stage.iot.execution("fw", "pump", Status::Canceled, days_ago(50), days_ago(days));
    }
    // An attempt whose answer is lost counts as one, whatever comes of it.
    stage.script.fault("DeleteJobExecution", 1, Fault::LostAfter);
    let sweeps = Sweeps::with_breaker(&stage, 2);
    assert_eq!(check(&sweeps).await, CheckEnd::OverBudget);
    assert_eq!((stage.iot.executions().len(), stage.mutations()), (1, 2));
    assert_eq!(log.of("expiry_stopped").len(), 1);

    // Later on that day it costs AWS IoT no call, and is told once more.
    let before = calls(&stage);
    let midnight = "2026-11-21T23:59:59Z".parse().unwrap();
    assert_eq!(check_at(&sweeps, 1, midnight).await.unwrap(), CheckEnd::OverBudget);
    assert_eq!((calls(&stage), log.of("expiry_stopped").len()), (before, 2));
    let reason = log.of("expiry_stopped")[1]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("`max_actions` (2)"), "{reason}");

    let tomorrow = "2026-11-22T00:00:00Z".parse().unwrap();
    assert_eq!(check_at(&sweeps, 2, tomorrow).await.unwrap(), CheckEnd::Checked);
    assert_eq!(stage.iot.executions(), []);
    sweeps.assert_archived_first("").await;
}

#[tokio::test(start_paused = true)]
async fn what_deliveries_that_die_one_after_the_other_have_deleted_is_told_once() {
    for first in 5..=14 {
        for second in 2..=14 {
            let stage = due();
            stage.iot.execution("fw", "pump", Status::Canceled, days_ago(50), days_ago(31));
            let sweeps = Sweeps::new(&stage);
            let context = format!("{first} {second}");
            for (received, dies) in [(1, Some(first)), (2, Some(second)), (3, None)] {
                stage.script.revive();
                if let Some(nth) = dies {
                    stage.script.die_after(nth);
                }
                let ended = timeout(Duration::from_secs(2000), check_at(&sweeps, received, now())).await;
                assert!(dies.is_some() || ended.unwrap().unwrap() == CheckEnd::Checked, "{context}");
            }
            assert_eq!(stage.iot.executions(), [], "{context}");
            let mut told: Vec<_> = outcomes(&stage).await.iter().map(|row| row.identity.queued_at).collect();
            told.sort();
            assert_eq!(told, [days_ago(50), days_ago(40)], "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_used_up_ends_a_check_whose_facts_take_their_time() {
    let stage = due();
    for days in 31..35 {
        stage.iot.execution("fw", "pump", Status::Canceled, days_ago(50), days_ago(days));
    }
    let sweeps = Sweeps::with_rules(&stage, |shipped| {
        shipped.replace("max_actions = 10000", "max_actions = 1").replace("\"summary\"", "\"full\"")
    });
    let sweeps = Sweeps { rate: "0.1", ..sweeps };
    assert_eq!(check(&sweeps).await, CheckEnd::OverBudget);
    assert_eq!((stage.mutations(), stage.iot.executions().len()), (1, 4));
    assert!(calls(&stage)[0] <= 2, "{:?}", calls(&stage));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_goes_whole_is_left_to_the_sweep() {
    let setup = JobSetup { status: Some(JobStatus::Completed), ..JobSetup::default() };
    let stage = due_of(setup);
    let rules = rule("firmware", "job_ids = [\"fw*\"]", "30d") + "retire_jobs = true\n";
    assert_eq!(check(&Sweeps::with_rule(&stage, &rules)).await, CheckEnd::Checked);
    assert_untouched(&stage, "").await;
    // Where the deployment does not allow that, it goes at its moment.
    let sweeps = Sweeps { retire_jobs: false, ..Sweeps::with_rule(&stage, &rules) };
    assert_eq!(check(&sweeps).await, CheckEnd::Checked);
    assert_eq!(stage.iot.executions(), []);
}

/// The bucket's client sends a write again when its answer is lost, and conflicts with itself.
#[tokio::test(start_paused = true)]
async fn a_budget_that_conflicts_with_itself_is_taken_once() {
    let stage = due();
    stage.script.fault("put", 1, Fault::Conflicts);
    let sweeps = Sweeps::with_breaker(&stage, 1);
    assert_eq!(check(&sweeps).await, CheckEnd::Checked);
    let taken: Value =
        serde_json::from_slice(&stage.bucket.bytes("sweeps/expiry/2026-11-21.json").await).unwrap();
    assert_eq!((taken["attempts"].as_u64(), stage.iot.executions().len()), (Some(1), 0));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_dry_runs_says_what_it_would_delete_and_changes_nothing() {
    let (log, _guard) = Log::begin();
    let stage = due();
    assert_eq!(check(&Sweeps { dry_run_only: true, ..Sweeps::new(&stage) }).await, CheckEnd::Checked);
    assert_untouched(&stage, "").await;
    assert_eq!(stage.script.count("put"), 0);
    assert_eq!(log.of("expiry_would_delete").len(), 1);
}

/// It would fail the next time, too; its lane has other things to do.
#[tokio::test(start_paused = true)]
async fn a_right_that_the_role_lacks_is_told_and_holds_up_no_lane() {
    let (log, _guard) = Log::begin();
    let stage = due();
    stage.script.always("ListJobExecutionsForThing", "", Fault::RoleRefused);
    assert_eq!(check(&Sweeps::new(&stage)).await, CheckEnd::Failed);
    assert_eq!(log.of("expiry_failed").len(), 1);
    assert_untouched(&stage, "").await;
}

/// Each check is an invocation with a pacer of its own; together they keep to the rate all the same.
#[tokio::test(start_paused = true)]
async fn checks_that_follow_on_one_another_keep_to_the_rate() {
    let stage = due();
    let sweeps = Sweeps { rate: "2", ..Sweeps::new(&stage) };
    let start = Instant::now();
    for _ in 0..10 {
        check(&sweeps).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(calls(&stage)[0], 10);
}

/// In its queue the message stands between the slices of sweeps, and only the function that deletes takes it.
#[tokio::test(start_paused = true)]
async fn a_check_in_the_lane_is_done_by_the_function_that_deletes_and_by_no_other() {
    let body = serde_json::to_string(&message(days_ago(30))).unwrap();
    let record = json!({ "messageId": "m-1", "receiptHandle": "r", "body": body, "attributes": {} });
    let event = || json!({ "Records": [record.clone()] });
    let (stage, deadline) = (due(), now() + SignedDuration::from_secs(900));

    let answer = function::<sweep::CancelStale>(&stage).handle(event(), "one", deadline, now).await.unwrap();
    assert_eq!((answer.batch_item_failures.len(), calls(&stage)), (1, [0; 5]));
    assert_eq!(stage.calls_of("give back"), ["cancel-stale: r after 0 s".to_owned()].into());
    assert_untouched(&stage, "cancel-stale").await;

    // What does not serve is tried again after a while, and what has no time at once.
    let deletes = function::<sweep::DeleteExpired>(&stage);
    stage.script.fault("get", 1, Fault::LostBefore);
    for deadline in [deadline, now()] {
        let answer = deletes.handle(event(), "one", deadline, now).await.unwrap();
        assert_eq!(answer.batch_item_failures.len(), 1);
    }
    let given_back = stage.calls_of("give back");
    let given_back: Vec<_> = given_back.iter().filter(|call| call.starts_with("delete-expired")).collect();
    assert_eq!(given_back, ["delete-expired: r after 0 s", "delete-expired: r after 30 s"]);

    let answer = deletes.handle(event(), "one", deadline, now).await.unwrap();
    assert_eq!((answer.batch_item_failures.len(), stage.iot.executions().len()), (0, 0));
}

fn function<A>(stage: &Stage) -> SliceFunction<FakeIot, FakeBucket, FakeQueue, A> {
    let Sweeps { rules, access, .. } = Sweeps::new(stage);
    SliceFunction {
        iot: stage.iot.clone(),
        lanes: Box::new(()),
        bucket: stage.bucket.clone(),
        queue: stage.queue.clone(),
        rules: Current::fixed(rules),
        access: Current::fixed(access),
        rate: CallRate::parse("10").unwrap(),
        dry_run_only: false,
        retire_jobs: true,
        act: PhantomData,
    }
}
