//! Sweeps: the right set, archived first, counted truly, whatever happens in the middle.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::execution::{JobStatus, RetryLimits, Status};
use shared::operation::Operation;
use shared::sweep::{self, SliceEnd, SliceError, StartError, Starter, SweepStatus, Trigger};
use tests::{FakeIot, Fault, JobSetup};
use tokio::time::timeout;

use crate::log::Log;
use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{DUE, Sweeps, count, outcomes, reissued, rule, staged, things, trigger};

#[tokio::test(start_paused = true)]
async fn a_sweep_deletes_what_is_due_and_nothing_else() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "SUCCEEDED");
    assert_eq!((count(&report, "deleted"), outcomes(&report)), (DUE, DUE));
    assert_eq!(report["archive"]["records"], DUE);
}

/// AWS may answer with a page of nothing and the token of the next one.
#[tokio::test(start_paused = true)]
async fn empty_pages_are_turned_over() {
    for operation in Operation::ALL {
        let stage = staged();
        stage.iot.page_size(3);
        stage.iot.blank_pages();
        let sweeps = Sweeps::new(&stage);
        let id = sweeps.started(operation, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!(report["status"], "SUCCEEDED", "{report}");
        match operation {
            Operation::DeleteExpired => {
                sweeps.assert_deleted("").await;
                assert_eq!((count(&report, "deleted"), outcomes(&report)), (DUE, DUE), "{report}");
            }
            Operation::CancelStale => {
                assert_canceled(&stage, "");
                assert_eq!((count(&report, "canceled"), outcomes(&report)), (2, 2), "{report}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_accounts_for_every_row_with_a_reason() {
    let stage = staged();
    stage.iot.execution("fw-1", "odd", Status::Succeeded, days_ago(150), days_ago(150));
    stage.iot.unknown_status("fw-1", "odd");
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    let sum =
        |rows: &Value| rows.as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(report["due"], DUE);
    assert_eq!(sum(&report["plan"]), DUE);
    assert_eq!(report["unreadable"]["unknown status `PAUSED`"], 1);
    assert_eq!(report["rowsSeen"], sum(&report["plan"]) + sum(&report["kept"]) + 1);
    // Everything and the odd one, but for the executions of jobs that cost no call.
    assert_eq!(report["rowsSeen"].as_u64().unwrap() as usize, staged().iot.executions().len() + 1 - 1 - 2);
    let jobs = &report["jobs"];
    assert_eq!((&jobs["tooYoung"], &jobs["never"], &jobs["scanned"]), (&1.into(), &1.into(), &4.into()));
    assert_eq!(jobs["seen"], 6);
    let reasons: BTreeSet<_> =
        report["kept"].as_array().unwrap().iter().map(|row| row["verdict"].as_str().unwrap()).collect();
    let expected = [
        "active",
        "notYet",
        "refused: held-jobs-are-untouchable",
        "refused: namespaced-jobs-belong-to-another-service",
    ];
    assert_eq!(reasons, expected.into());
    assert_eq!(things(&stage.iot, "odd").len(), 1);
    let calls = stage.script.calls();
    for free in ["young", "keep-logs"] {
        assert!(!calls.iter().any(|call| call.subject == free), "{free} costs no call");
    }
    let ages =
        report["ages"].as_object().unwrap().values().flat_map(|ages| ages.as_object().unwrap().values());
    let aged: u64 = ages.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(aged, sum(&report["plan"]) + sum(&report["kept"]), "{report}");
}

/// What is due on a later day is found by a dry run of that day: the forecast says so beforehand. A
/// page's token goes bad and slices end, and nothing is counted twice.
#[tokio::test(start_paused = true)]
async fn a_plan_tells_ages_and_what_comes_due_on_each_of_the_next_days() {
    let planned = async |operation, day: i64, seconds| {
        let stage = staged();
        for nth in 0..12 {
            let (ended, queued) = (days_ago(2 * nth), days_ago(30 + 2 * nth));
            stage.iot.execution("fw-1", &format!("later-{nth}"), Status::Succeeded, days_ago(40), ended);
            stage.iot.execution("fw-1", &format!("waits-{nth}"), Status::Queued, queued, queued);
        }
        stage.script.fault("ListJobExecutionsForJob", 3, Fault::InvalidToken);
        let sweeps = Sweeps { seconds, rate: "2", ..Sweeps::new(&stage) };
        let then = now() + SignedDuration::from_hours(24 * day);
        let id = format!("{day}-{seconds}");
        let trigger = Trigger { dry_run: Some(true), now: then, ..trigger(operation, &id) };
        let starter = Starter { bucket: &stage.bucket, queue: &stage.queue, dry_run_only: false };
        let id = starter.start(&trigger, then).await.unwrap().sweep_id;
        sweeps.deliver_all().await;
        sweeps.report(&id).await
    };
    for operation in Operation::ALL {
        let today = planned(operation, 0, 900).await;
        let sliced = planned(operation, 0, 6).await;
        assert!(sliced["slices"].as_u64() > today["slices"].as_u64());
        assert_eq!((&today["ages"], &today["forecast"]), (&sliced["ages"], &sliced["forecast"]));
        let forecast = today["forecast"].as_array().unwrap();
        assert_eq!((forecast.len(), &forecast[0]["date"]), (30, &"2026-11-22".into()));
        let mut due = today["due"].as_u64().unwrap();
        for (day, told) in (1..).zip(forecast) {
            due += told["due"].as_u64().unwrap();
            if day % 6 == 1 {
                // The rows that were held or kept for ever are in no forecast; young jobs come into sight.
                let then = planned(operation, day, 900).await;
                let of_young = u64::from(operation == Operation::DeleteExpired && day >= 11);
                assert_eq!(then["due"], due + of_young, "{operation} day {day}: {then}");
            }
        }
    }
    let ages = &planned(Operation::DeleteExpired, 0, 900).await["ages"];
    assert_eq!(ages["FAILED"], serde_json::json!({"30-90d": 1, "90-180d": 1}), "{ages}");
    assert_eq!(ages["SUCCEEDED"]["180-365d"], 2, "{ages}");
}

/// What a rule keeps for ever is told row by row where its job holds something else that can be due.
#[tokio::test(start_paused = true)]
async fn a_job_is_skipped_only_if_nothing_of_it_can_be_due_by_its_own_rule() {
    let stage = Stage::new();
    for (job, created, continuous) in [
        ("failures", 200, false),
        ("logs", 200, false),
        ("rolling", 200, true),
        ("fresh", 9, false),
        ("old", 11, false),
    ] {
        stage.iot.job(job, days_ago(created), JobSetup { continuous, ..JobSetup::default() });
        stage.iot.execution(job, "failed", Status::Failed, days_ago(created), days_ago(created));
        stage.iot.execution(job, "done", Status::Succeeded, days_ago(created), days_ago(created));
    }
    let rules = [
        rule("failures", "job_ids = [\"failures\"]", "never").replacen(
            "SUCCEEDED = \"never\"",
            "SUCCEEDED = \"1h\"",
            1,
        ),
        rule("logs", "job_ids = [\"logs\"]", "never"),
        rule("rolling", "target_selection = \"CONTINUOUS\"", "never"),
        rule("ten-days", "job_ids = [\"fresh\", \"old\"]", "10d"),
    ];
    let sweeps = Sweeps::with_rule(&stage, &rules.concat());
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    let jobs = &report["jobs"];
    assert_eq!(
        (&jobs["never"], &jobs["tooYoung"], &jobs["scanned"]),
        (&2.into(), &1.into(), &2.into()),
        "{jobs}"
    );
    assert_eq!(count(&report, "deleted"), 3, "{report}");
    assert_eq!(
        (&report["rowsSeen"], &report["kept"][0]["verdict"]),
        (&4.into(), &"never".into()),
        "{report}"
    );
    let listed: BTreeSet<_> = stage.calls_of("ListJobExecutionsForJob");
    assert_eq!(listed, ["failures".to_owned(), "old".to_owned()].into());
}

/// Tags decide for jobs named `fw-*`, and only for those.
fn canaries() -> String {
    rule("canary", "job_ids = [\"fw-*\"]\njob_tags = { ring = \"canary*\", owner = \"*\" }", "7d")
}

fn canary() -> JobSetup {
    let tags = [("ring", "canary-2"), ("owner", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    JobSetup { tags: tags.into(), ..JobSetup::default() }
}

#[tokio::test(start_paused = true)]
async fn tags_are_read_where_a_rule_that_may_be_the_jobs_asks_for_them_and_nowhere_else() {
    let stage = Stage::new();
    let jobs = [("fw-canary", canary()), ("fw-stable", JobSetup::default()), ("app", canary())];
    for (job, setup) in jobs {
        stage.iot.job(job, days_ago(100), setup);
        stage.iot.execution(job, "done", Status::Succeeded, days_ago(20), days_ago(8));
    }
    let sweeps = Sweeps::with_rule(&stage, &canaries());
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), outcomes(&report)), (1, 1), "{report}");
    assert_eq!(report["plan"][0]["rule"], "canary", "{report}");
    assert!(stage.iot.executions_of("fw-canary", "done").is_empty());
    // Once to plan and once to act on the one, once to plan on the other; the third never.
    let read: BTreeSet<_> = stage.calls_of("ListTagsForResource");
    assert_eq!(read, ["fw-canary".to_owned(), "fw-stable".to_owned()].into());
    assert_eq!(report["calls"]["ListTagsForResource"], 3, "{report}");
}

#[tokio::test(start_paused = true)]
async fn tags_that_cannot_be_read_are_not_taken_for_absent_by_the_rules() {
    let check = async |operation: &'static str, from: &'static str, outcome: Option<&str>| {
        let stage = Stage::new();
        // Without its tags the job would fall to the default, by which everything is due.
        let keeps = rule("canary", "job_tags = { ring = \"canary*\" }", "never");
        stage.iot.job("fw", days_ago(200), JobSetup::default());
        stage.iot.execution("fw", "t0", Status::Succeeded, days_ago(120), days_ago(119));
        stage.iot.execution("fw", "t1", Status::Queued, days_ago(20), days_ago(20));
        let script = stage.script.clone();
        let hide = move || script.always(operation, "fw", Fault::InvalidToken);
        stage.script.before(from, if from == "ListJobExecutionsForJob" { 2 } else { 1 }, hide);
        let sweeps = Sweeps::with_rule(&stage, &keeps);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!(stage.mutations(), 0, "{report}");
        let unreadable = &report["unreadable"].as_object().unwrap();
        match outcome {
            Some(outcome) => assert_eq!((count(&report, outcome), unreadable.len()), (1, 0), "{report}"),
            // Both rows: by which rule they stay cannot be told either.
            None => {
                assert_eq!(unreadable.values().next().unwrap(), 2, "{report}");
                assert_eq!((&report["rowsSeen"], &report["due"]), (&2.into(), &0.into()), "{report}");
            }
        }
    };
    for operation in ["DescribeJob", "ListTagsForResource"] {
        check(operation, "ListJobs", None).await;
        check(operation, "ListJobExecutionsForJob", Some("jobUnreadable")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_tagged_after_the_plan_is_judged_by_its_new_rule() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    stage.iot.execution("fw", "t0", Status::Succeeded, days_ago(120), days_ago(119));
    let iot = stage.iot.clone();
    stage.script.before("ListJobExecutionsForJob", 2, move || iot.tag("fw", "ring", "canary"));
    let keeps = rule("canary", "job_tags = { ring = \"canary\" }", "never");
    let sweeps = Sweeps::with_rule(&stage, &keeps);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((&report["due"], count(&report, "notSeenAgain")), (&1.into(), 1), "{report}");
    assert_eq!(stage.mutations(), 0, "{report}");
}

/// The listing of jobs tells it; where it does not, the job is read.
#[tokio::test(start_paused = true)]
async fn a_target_selection_that_is_not_listed_is_read() {
    for (target_not_listed, described) in [(false, 0), (true, 2)] {
        let stage = Stage::new();
        let setup = JobSetup { target_not_listed, ..JobSetup::default() };
        stage.iot.job("rolling", days_ago(20), JobSetup { continuous: true, ..setup.clone() });
        stage.iot.job("once", days_ago(20), setup);
        for job in ["rolling", "once"] {
            stage.iot.execution(job, "done", Status::Succeeded, days_ago(9), days_ago(8));
        }
        let week = rule("rolling", "target_selection = \"CONTINUOUS\"", "7d");
        let sweeps = Sweeps::with_rule(&stage, &week);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, "deleted"), outcomes(&report)), (1, 1), "{report}");
        assert!(stage.iot.executions_of("rolling", "done").is_empty());
        assert_eq!(stage.calls_of("DescribeJob").len(), 1.max(described), "{report}");
    }
}

/// What is read of a job is read before anything of its page is counted.
#[tokio::test(start_paused = true)]
async fn executions_of_a_job_that_cannot_be_read_for_a_while_are_counted_once() {
    for asks in ["", &canaries()] {
        for first in 1..=4 {
            let stage = staged();
            // As often as it is tried before the slice is given up.
            (first..first + 4).for_each(|nth| stage.script.fault("DescribeJob", nth, Fault::LostBefore));
            let sweeps = Sweeps::with_rule(&stage, asks);
            let id = sweeps.started(Operation::DeleteExpired, "a").await;
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            assert_eq!(report["slices"], 2, "{report}");
            let all = staged().iot.executions().len() as u64 - 1 - 2;
            assert_eq!((&report["rowsSeen"], &report["due"]), (&all.into(), &DUE.into()), "{report}");
        }
    }
}

/// An old failure is no last word while its job may queue another.
#[tokio::test(start_paused = true)]
async fn what_a_job_may_still_retry_stays_and_says_so() {
    let swept = async |status: JobStatus| {
        let stage = Stage::new();
        let retry_limits = RetryLimits { failed: 2, timed_out: 0 };
        let setup = JobSetup { retry_limits, status: Some(status), ..JobSetup::default() };
        stage.iot.job("fw", days_ago(200), setup);
        let executions = [
            ("f0", Status::Failed),
            ("f2", Status::Failed),
            ("t0", Status::TimedOut),
            ("s", Status::Succeeded),
        ];
        for (thing, status) in executions {
            stage.iot.execution("fw", thing, status, days_ago(120), days_ago(119));
        }
        stage.iot.execution("fw", "young", Status::Failed, days_ago(120), days_ago(9));
        stage.iot.change("fw", "f0", |execution| execution.row.retry_attempt = None);
        stage.iot.change("fw", "f2", |execution| execution.row.retry_attempt = Some(2));
        let sweeps = Sweeps::new(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        (things(&stage.iot, ""), sweeps.report(&id).await)
    };
    let (left, report) = swept(JobStatus::InProgress).await;
    assert_eq!(left, ["f0".to_owned(), "young".to_owned()].into());
    let kept = report["kept"].as_array().unwrap().iter();
    let kept: Vec<_> =
        kept.map(|row| (row["verdict"].as_str().unwrap(), row["count"].as_u64().unwrap())).collect();
    assert_eq!((kept, &report["rowsSeen"]), (vec![("notYet", 1), ("retriesLeft", 1)], &5.into()), "{report}");
    // The job is read for what is due, and for nothing besides.
    assert_eq!(report["calls"]["DescribeJob"], 2, "{report}");

    for ended in [JobStatus::Completed, JobStatus::Canceled] {
        let (left, report) = swept(ended).await;
        assert_eq!((left, count(&report, "deleted")), (["young".to_owned()].into(), 4), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_its_report_and_nothing_else() {
    for (dry_run, dry_run_only) in [(Some(true), false), (None, true)] {
        let stage = staged();
        let sweeps = Sweeps { dry_run_only, ..Sweeps::new(&stage) };
        let trigger = Trigger { dry_run, ..trigger(Operation::DeleteExpired, "a") };
        let id = sweeps.start(&trigger).await.unwrap().sweep_id;
        sweeps.deliver_all().await;
        assert_eq!(stage.iot.executions(), staged().iot.executions());
        assert_eq!(stage.mutations(), 0);
        assert!(stage.bucket.keys("archive").await.is_empty());
        let report = sweeps.report(&id).await;
        assert_eq!((&report["due"], &report["dryRun"]), (&DUE.into(), &true.into()));
        assert_eq!(report["status"], "SUCCEEDED");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_dry_runs_refuses_a_real_sweep_and_its_worker_does_too() {
    let stage = staged();
    let real = Sweeps::new(&stage);
    let dry = Sweeps { dry_run_only: true, ..Sweeps::new(&stage) };
    let error = dry.start(&trigger(Operation::DeleteExpired, "a")).await.unwrap_err();
    assert!(error.to_string().contains("set its parameter DryRun to false"), "{error}");
    assert!(stage.queue.sent().is_empty());
    // A state that says otherwise, from before the parameter was changed.
    let id = real.started(Operation::DeleteExpired, "b").await;
    dry.deliver_all().await;
    assert_eq!(stage.mutations(), 0);
    assert!(dry.sweep(&id).await.dry_run);
}

#[tokio::test(start_paused = true)]
async fn a_running_sweep_stops_when_the_deployment_is_set_to_dry_runs() {
    let stage = staged();
    let real = Sweeps { seconds: 6, rate: "2", ..Sweeps::new(&stage) };
    let dry = Sweeps { dry_run_only: true, ..Sweeps::new(&stage) };
    let id = real.started(Operation::DeleteExpired, "a").await;
    let mut next = 0;
    while stage.mutations() == 0 {
        real.slice(&stage.queue.sent()[next], now()).await.unwrap();
        next += 1;
    }
    let done = stage.mutations();
    dry.slice(&stage.queue.sent()[next], now()).await.unwrap();
    let report = dry.report(&id).await;
    assert_eq!((&report["status"], &report["dryRun"]), (&"FAILED".into(), &false.into()));
    assert!(report["failure"].as_str().unwrap().contains("dry runs only"), "{report}");
    assert_eq!((stage.mutations(), count(&report, "deleted")), (done, done as u64));
    assert!(things(&stage.iot, "due-").len() as u64 == DUE - done as u64);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_slice_by_slice_and_starts_no_call_after_its_deadline() {
    let stage = staged();
    // A third is kept free: each slice has four seconds for itself.
    let sweeps = Sweeps { seconds: 6, rate: "1.5", ..Sweeps::new(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
    let report = sweeps.report(&id).await;
    assert!(report["slices"].as_u64().unwrap() > 3, "{report}");
    assert!(report["durationSeconds"].as_i64().unwrap() > 3 * 100, "{report}");
    assert_eq!((count(&report, "deleted"), outcomes(&report)), (DUE, DUE));
    assert_eq!(report["due"], DUE);
}

#[tokio::test(start_paused = true)]
async fn a_slice_without_time_makes_no_call() {
    let stage = staged();
    let sweeps = Sweeps { seconds: 0, ..Sweeps::new(&stage) };
    sweeps.started(Operation::DeleteExpired, "a").await;
    let ended = sweeps.slice(&stage.queue.sent()[0], now()).await.unwrap();
    assert_eq!(ended, SliceEnd::Continued);
    assert_eq!(stage.script.count("ListJobs"), 0);
}

/// What the dry run says that the real sweep will cost: never fewer calls than it makes,
/// in all not twice as many, and its time to within a tenth and six seconds.
#[tokio::test(start_paused = true)]
async fn a_plan_tells_what_carrying_it_out_would_cost() {
    let swept = async |stage: &Stage, operation, rate, asking: bool| {
        let shipped = AccessPolicy::shipped().unwrap();
        let access = if asking { asking_for_details() } else { shipped };
        let sweeps = Sweeps { rate, access, ..Sweeps::of_everything(stage) };
        let mut reports = Vec::new();
        for dry_run in [true, false] {
            let id = format!("{dry_run}");
            let trigger = Trigger { dry_run: Some(dry_run), ..trigger(operation, &id) };
            let id = sweeps.start(&trigger).await.unwrap().sweep_id;
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            // Who watches a sweep is told the same on the way.
            let shown = sweep::read(&stage.bucket, &id).await.unwrap();
            let shown = serde_json::to_value(shown.view()).unwrap();
            for member in ["startedAt", "calls", "throttled", "estimate"] {
                assert_eq!(shown[member], report[member], "{member}");
            }
            reports.push(report);
        }
        let [planned, done] = [&reports[0], &reports[1]];
        assert_eq!(planned["estimate"], done["estimate"]);
        let (Value::Object(estimated), Value::Object(made)) = (&planned["estimate"]["calls"], &done["calls"])
        else {
            panic!("{planned} {done}")
        };
        let mut total = (0, 0);
        for (call, made) in made {
            let made = made.as_u64().unwrap() - planned["calls"][call].as_u64().unwrap_or(0);
            let estimated = estimated.get(call).and_then(Value::as_u64).unwrap_or(0);
            assert!(made <= estimated, "{call}: {made} of {estimated}: {done}");
            total = (total.0 + made, total.1 + estimated);
        }
        assert!(total.1 <= 2 * total.0, "{total:?}: {done}");
        let time = |report: &Value, at: &str| report[at].as_str().unwrap().parse::<Timestamp>().unwrap();
        let took =
            |report| time(report, "finishedAt").duration_since(time(report, "startedAt")).as_secs_f64();
        let (estimated, took) =
            (planned["estimate"]["seconds"].as_u64().unwrap() as f64, took(done) - took(planned));
        assert!((estimated - took).abs() <= took / 10.0 + 6.0, "{estimated} s, took {took} s: {done}");
    };
    for operation in Operation::ALL {
        for asking in [false, true] {
            swept(&staged(), operation, "2", asking).await;
        }
    }
    for rate in ["10", "1"] {
        for asking in [false, true] {
            let stage = one_job("big", 300, 40);
            stage.iot.page_size(100);
            swept(&stage, Operation::DeleteExpired, rate, asking).await;
        }
    }
    let waiting = || {
        let stage = Stage::new();
        stage.iot.job("waiting", days_ago(200), JobSetup::default());
        for nth in 0..300 {
            stage.iot.execution("waiting", &format!("t{nth}"), Status::Queued, days_ago(99), days_ago(98));
        }
        stage
    };
    // Described before they are cancelled, too.
    swept(&waiting(), Operation::CancelStale, "8", true).await;
    let stage = waiting();
    swept(&stage, Operation::CancelStale, "10", false).await;
    // Nothing is due any more, and nothing costs nothing.
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::CancelStale, "z").await;
    sweeps.deliver_all().await;
    assert_eq!(sweeps.report(&id).await["estimate"], serde_json::json!({"calls": {}, "seconds": 0}));
}

/// The process dies before, and after, every single call there is: to AWS IoT, to the bucket, to
/// the queue. The message comes again, and in the end everything is as it must be.
#[tokio::test(start_paused = true)]
async fn a_sweep_that_dies_anywhere_ends_with_the_right_set_archived_first_and_true_counts() {
    for operation in Operation::ALL {
        let calls = undisturbed(operation).await;
        assert!(calls > 30, "{operation}: only {calls}");
        for nth in 1..=calls {
            dies(operation, nth, false, 900).await;
            dies(operation, nth, true, 900).await;
            // Death and deadlines together.
            dies(operation, nth, true, 6).await;
        }
    }
}

/// How many calls the slices of a sweep make when nothing goes wrong.
async fn undisturbed(operation: Operation) -> usize {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    sweeps.started(operation, "a").await;
    let before = stage.script.calls().len();
    sweeps.deliver_all().await;
    stage.script.calls().len() - before
}

async fn dies(operation: Operation, nth: usize, after: bool, seconds: i64) {
    let context =
        format!("{operation}: died at call {nth}, after its effect: {after}, slices of {seconds} s");
    let stage = staged();
    let sweeps = Sweeps { seconds, rate: "2", ..Sweeps::new(&stage) };
    let id = sweeps.started(operation, "a").await;
    if after {
        stage.script.die_after(nth)
    } else {
        stage.script.die_before(nth)
    }
    sweeps.deliver_all().await;

    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "SUCCEEDED", "{context}");
    let due = match operation {
        Operation::DeleteExpired => {
            sweeps.assert_deleted(&context).await;
            let deleted = count(&report, "deleted") + count(&report, "deletedByInterruptedSlice");
            assert_eq!(deleted, DUE, "{context}: {report}");
            DUE
        }
        Operation::CancelStale => {
            assert_canceled(&stage, &context);
            let known =
                ["canceled", "canceledByInterruptedSlice", "canceledNotSeenYet", "canceledNotCompared"];
            let canceled: u64 = known.into_iter().map(|outcome| count(&report, outcome)).sum();
            assert_eq!(canceled, 2, "{context}: {report}");
            assert_eq!(reissued(&stage, &id).await.len(), 2, "{context}");
            2
        }
    };
    assert_eq!(outcomes(&report), due, "{context}: {report}");
    assert_eq!(report["attempts"], due, "{context}: {report}");
}

fn assert_canceled(stage: &Stage, context: &str) {
    let untouched = staged();
    for (is, was) in stage.iot.executions().into_iter().zip(untouched.iot.executions()) {
        if was.row.thing_name.as_str().starts_with("stale-") {
            assert_eq!(is.row.status, Status::Canceled, "{context}");
            assert!(!is.force_canceled, "{context}");
        } else {
            assert_eq!(is, was, "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_too_long_is_cancelled_and_looked_at() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::CancelStale, "a").await;
    sweeps.deliver_all().await;
    assert_canceled(&stage, "");
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "canceled"), outcomes(&report)), (2, 2));
    assert_eq!(stage.script.count("DeleteJobExecution"), 0);
    assert_eq!(stage.bucket.archive().await.len(), 2);
}

/// Somebody deletes both before the looks. Only on the continuous job may another have been hit.
#[tokio::test(start_paused = true)]
async fn a_cancel_that_cannot_be_looked_at_is_told_apart_where_another_may_have_been_hit() {
    let (log, _guard) = Log::begin();
    let stage = staged();
    for (look, job, thing) in [(2, "fw-1", "stale-1"), (4, "fw-2", "stale-0")] {
        let device = stage.iot.device(job, thing);
        stage.script.before("DescribeJobExecution", look, move || device.forget());
    }
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::CancelStale, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    let told = ["canceledNotSeenYet", "canceledNotCompared"].map(|outcome| count(&report, outcome));
    assert_eq!((told, outcomes(&report)), ([1, 1], 2), "{report}");
    assert!(things(&stage.iot, "stale-").is_empty());
    let lines = log.of("cancel_not_compared");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0]["record"].as_str().unwrap().contains(&days_ago(60).to_string()), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_takes_up_stale_work_meanwhile_keeps_it() {
    let stage = staged();
    let device = stage.iot.device("fw-1", "stale-1");
    stage.script.before("CancelJobExecution", 1, move || device.update(Status::InProgress));
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::CancelStale, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "noLongerEligible"), count(&report, "canceled")), (1, 1), "{report}");
    assert_eq!(stage.iot.executions_of("fw-1", "stale-1")[0].row.status, Status::InProgress);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_is_worked_on_once() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let calls = stage.script.calls().len();
    let again = sweeps.slice(&stage.queue.sent()[0], now()).await.unwrap();
    assert_eq!(again, SliceEnd::AlreadyTaken);
    // It looked at the state and at nothing else.
    assert_eq!(stage.script.calls().len(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_at_once_is_held_off() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    sweeps.started(Operation::DeleteExpired, "a").await;
    let message = stage.queue.sent()[0].clone();
    // The first invocation dies after ten calls; the second comes while it could be alive.
    stage.script.die_before(10);
    assert!(timeout(Duration::from_secs(2000), sweeps.slice(&message, now())).await.is_err());
    let mutations = stage.mutations();
    let held = sweeps.slice(&message, now() + SignedDuration::from_secs(899)).await;
    assert!(matches!(held, Err(SliceError::Held { .. })), "{held:?}");
    assert_eq!(stage.mutations(), mutations);
    let taken = sweeps.slice(&message, now() + SignedDuration::from_secs(900)).await;
    assert_eq!(taken.unwrap(), SliceEnd::Finished);
    sweeps.assert_deleted("").await;
}

/// The first invocation is thought dead, and wakes up after its successor has taken over.
#[tokio::test(start_paused = true)]
async fn an_invocation_that_was_taken_over_stops_at_its_next_write() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    sweeps.started(Operation::DeleteExpired, "a").await;
    let message = stage.queue.sent()[0].clone();
    let later = now() + SignedDuration::from_secs(1000);
    let (first, second) = futures_util::join!(sweeps.slice(&message, now()), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sweeps.slice(&message, later).await
    });
    assert!(matches!(first, Err(SliceError::Superseded)), "{first:?}");
    assert_eq!(second.unwrap(), SliceEnd::Finished);
    sweeps.assert_deleted("").await;
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_overlap_end_with_the_right_set() {
    let stage = staged();
    let sweeps = Sweeps { seconds: 6, rate: "2", ..Sweeps::new(&stage) };
    let first = sweeps.started(Operation::DeleteExpired, "a").await;
    let second = sweeps.started(Operation::DeleteExpired, "b").await;
    sweeps.deliver_all().await;
    let untouched = staged();
    assert_eq!(things(&stage.iot, "due-"), BTreeSet::new());
    assert_eq!(stage.iot.executions().len(), untouched.iot.executions().len() - DUE as usize);
    let (first, second) = (sweeps.report(&first).await, sweeps.report(&second).await);
    assert_eq!(count(&first, "deleted") + count(&second, "deleted"), DUE, "{first} {second}");
    for report in [first, second] {
        assert_eq!(report["status"], "SUCCEEDED");
        assert_eq!(outcomes(&report), report["due"].as_u64().unwrap(), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_stops_a_plan_that_is_too_large_before_anything_is_done() {
    let stage = staged();
    let sweeps = Sweeps::with_breaker(&stage, DUE - 1);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "STOPPED_BY_BREAKER");
    assert_eq!((&report["breaker"]["tripped"], &report["breaker"]["due"]), (&true.into(), &DUE.into()));
    let digest = report["planDigest"].as_str().unwrap();
    assert!(report["failure"].as_str().unwrap().contains(digest), "{report}");
    assert_eq!(stage.mutations(), 0);
    assert!(stage.bucket.keys("archive").await.is_empty());

    // One less would have passed.
    let sweeps = Sweeps::with_breaker(&stage, DUE);
    sweeps.started(Operation::DeleteExpired, "b").await;
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
}

/// A job of which `due` executions are due, and `kept` are not.
fn one_job(job: &str, due: u64, kept: u64) -> Stage {
    let stage = Stage::new();
    more(&stage, job, due, kept);
    stage
}

fn more(stage: &Stage, job: &str, due: u64, kept: u64) {
    stage.iot.job(job, days_ago(200), JobSetup::default());
    for nth in 0..due + kept {
        let (name, days) = if nth < due { ("due", 98) } else { ("kept", 5) };
        let thing = format!("{name}-{job}-{nth}");
        stage.iot.execution(job, &thing, Status::Succeeded, days_ago(199), days_ago(days));
    }
}

fn breaker_check<'a>(report: &'a Value, limit: &str) -> &'a Value {
    let checks = report["breaker"]["checks"].as_array().unwrap();
    checks.iter().find(|check| check["limit"] == limit).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_too_much_of_what_was_seen_is_stopped_before_anything_is_done() {
    for (due, tripped) in [(150, false), (151, true)] {
        let stage = one_job("big", due, 200 - due);
        let sweeps = Sweeps::with_limits(&stage, "10000", "75", "10");
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!(report["breaker"]["tripped"], tripped, "{report}");
        let check = breaker_check(&report, "maxPercent");
        assert_eq!((&check["of"], &check["most"]), (&200.into(), &150.into()), "{report}");
        if !tripped {
            assert_eq!((&check["result"], count(&report, "deleted")), (&"passed".into(), due), "{report}");
            continue;
        }
        assert_eq!((&report["status"], &check["result"]), (&"STOPPED_BY_BREAKER".into(), &"tripped".into()));
        let failure = report["failure"].as_str().unwrap();
        let digest = report["planDigest"].as_str().unwrap();
        let told =
            "holds 151 executions, more than the breaker's max_percent = 75, which is 150 of 200 seen;";
        assert!(failure.contains(told) && failure.contains(digest), "{failure}");
        assert_eq!(stage.mutations(), 0);
        assert!(stage.bucket.keys("archive").await.is_empty());

        let release =
            Trigger { release_plan: Some(digest.to_owned()), ..trigger(Operation::DeleteExpired, "b") };
        let released = sweeps.start(&release).await.unwrap();
        sweeps.deliver_all().await;
        let report = sweeps.report(&released.sweep_id).await;
        assert_eq!((&report["status"], count(&report, "deleted")), (&"SUCCEEDED".into(), 151), "{report}");
        assert_eq!(report["breaker"]["tripped"], false);
        assert_eq!(breaker_check(&report, "maxPercent")["result"], "released", "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_fleet_may_be_cleaned_whole() {
    let stage = one_job("small", 3, 0);
    let sweeps = Sweeps::with_limits(&stage, "10000", "1", "1");
    for (id, due) in [("a", 3), ("b", 100)] {
        let id = sweeps.started(Operation::DeleteExpired, id).await;
        sweeps.deliver_all().await;
        assert_eq!(count(&sweeps.report(&id).await, "deleted"), due);
        more(&stage, "next", 100, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_has_grown_too_much_since_the_last_sweep_is_stopped() {
    let stage = one_job("one", 60, 60);
    let sweeps = Sweeps::with_limits(&stage, "10000", "100", "2.5");
    let swept = async |id: &str, dry_run: bool| {
        let trigger = Trigger { dry_run: Some(dry_run), ..trigger(Operation::DeleteExpired, id) };
        let id = sweeps.start(&trigger).await.unwrap().sweep_id;
        sweeps.deliver_all().await;
        sweeps.report(&id).await
    };
    let growth = |report: &Value| breaker_check(report, "maxGrowth").clone();
    // There is nothing to compare the first with, and a dry run is nothing to compare with.
    for (id, dry_run) in [("a", true), ("b", false)] {
        let report = swept(id, dry_run).await;
        assert_eq!(growth(&report)["result"], "noSweepBefore", "{report}");
    }
    // Nothing is due: what was ordinary is still what it was.
    let report = swept("c", false).await;
    assert_eq!((&report["due"], &growth(&report)["of"]), (&0.into(), &60.into()), "{report}");
    more(&stage, "two", 150, 0);
    let report = swept("d", false).await;
    assert_eq!((count(&report, "deleted"), &growth(&report)["most"]), (150, &150.into()), "{report}");
    more(&stage, "three", 376, 0);
    let mutations = stage.mutations();
    let report = swept("e", false).await;
    assert_eq!(growth(&report)["result"], "tripped", "{report}");
    let told = "holds 376 executions, more than the breaker's max_growth = 2.5, which is 375 after the last sweep's 150;";
    assert!(report["failure"].as_str().unwrap().contains(told), "{report}");
    assert_eq!(stage.mutations(), mutations);
    // Other operations have their own last sweep.
    let id = sweeps.started(Operation::CancelStale, "f").await;
    sweeps.deliver_all().await;
    assert_eq!(growth(&sweeps.report(&id).await)["result"], "noSweepBefore");
    // A plan that was released is what the next one is compared with.
    let digest = report["planDigest"].as_str().unwrap().to_owned();
    let release = Trigger { release_plan: Some(digest), ..trigger(Operation::DeleteExpired, "g") };
    sweeps.start(&release).await.unwrap();
    sweeps.deliver_all().await;
    assert_eq!(things(&stage.iot, "due-three").len(), 0);
    more(&stage, "four", 500, 0);
    assert_eq!(growth(&swept("h", true).await)["most"], 940);
}

#[tokio::test(start_paused = true)]
async fn a_last_sweep_that_cannot_be_read_is_not_taken_for_none() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    stage.bucket.place("sweeps/last/delete-expired.json", b"{".to_vec()).await;
    let failed = sweeps.slice(&stage.queue.sent()[0], now()).await;
    assert!(matches!(failed, Err(SliceError::Store(_))), "{failed:?}");
    assert_eq!((stage.mutations(), sweeps.sweep(&id).await.status), (0, SweepStatus::Scanning));
    // The message comes again, and it can be read by then.
    let last = br#"{"sweepId": "20260101T000000Z-delete-expired-00000001", "finishedAt": null, "due": 10}"#;
    stage.bucket.place("sweeps/last/delete-expired.json", last.to_vec()).await;
    stage.script.always("get", "sweeps/last/", Fault::LostBefore);
    assert!(sweeps.slice(&stage.queue.sent()[0], now()).await.is_err());
    assert_eq!(stage.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_plan_is_released_by_its_digest_and_once() {
    let stage = staged();
    let sweeps = Sweeps::with_breaker(&stage, 1);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let digest = sweeps.report(&id).await["planDigest"].as_str().unwrap().to_owned();
    let release = |operation, id: &str, digest: &str| Trigger {
        release_plan: Some(digest.to_owned()),
        now: now() + SignedDuration::from_mins(3),
        ..trigger(operation, id)
    };

    let unknown = sweeps.start(&release(Operation::DeleteExpired, "b", &"0".repeat(64))).await;
    assert!(matches!(unknown, Err(StartError::Invalid(_))), "{unknown:?}");
    let other = sweeps.start(&release(Operation::CancelStale, "b", &digest)).await;
    assert!(matches!(other, Err(StartError::Invalid(_))), "{other:?}");

    let released = sweeps.start(&release(Operation::DeleteExpired, "c", &digest)).await.unwrap();
    assert_eq!(released.now, now(), "what was not due at the plan's time does not become due");
    // Until it has begun, another request is answered with the same sweep.
    let again = sweeps.start(&release(Operation::DeleteExpired, "d", &digest)).await.unwrap();
    assert_eq!(again.sweep_id, released.sweep_id);
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
    let again = sweeps.start(&release(Operation::DeleteExpired, "d", &digest)).await;
    assert!(again.unwrap_err().to_string().contains("a plan is released once"));
    assert_eq!(sweeps.report(&released.sweep_id).await["status"], "SUCCEEDED");
}

#[tokio::test(start_paused = true)]
async fn a_plan_made_by_other_rules_is_not_carried_out() {
    let stage = staged();
    let before = Sweeps { seconds: 6, rate: "2", ..Sweeps::new(&stage) };
    let id = before.started(Operation::DeleteExpired, "a").await;
    before.slice(&stage.queue.sent()[0], now()).await.unwrap();
    let after = Sweeps::with_breaker(&stage, 9999);
    after.slice(&stage.queue.sent()[1], now()).await.unwrap();
    let sweep = after.sweep(&id).await;
    assert_eq!(sweep.status, SweepStatus::Failed);
    assert!(sweep.failure.unwrap().contains("retention rules changed"));
    assert_eq!(stage.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_comes_after_the_plan_is_honoured() {
    let stage = staged();
    let iot = stage.iot.clone();
    // The scan asks for the job's tags once, the application once more.
    stage.script.before("ListTagsForResource", 5, move || iot.tag("fw-1", "jobwarden:hold", ""));
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "refused"), count(&report, "deleted")), (12, 2), "{report}");
    assert_eq!(things(&stage.iot, "due-").len(), 12);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_while_the_archive_does_not_answer() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    stage.script.always("put", "archive/", Fault::LostBefore);
    let failed = sweeps.slice(&stage.queue.sent()[0], now()).await;
    assert!(failed.is_err());
    assert!(stage.script.calls().iter().any(|call| call.subject.starts_with("archive/")));
    assert_eq!(stage.mutations(), 0);
    assert_eq!(stage.iot.executions(), staged().iot.executions());
    assert!(!sweeps.sweep(&id).await.status.is_final());
}

#[tokio::test(start_paused = true)]
async fn faults_in_the_middle_cost_nothing_but_time() {
    for fault in [Fault::Throttled, Fault::LostBefore, Fault::LostAfter] {
        let stage = staged();
        for operation in ["ListJobs", "ListJobExecutionsForJob", "DescribeJob", "ListTagsForResource"] {
            stage.script.fault(operation, 1, fault);
            stage.script.fault(operation, 3, fault);
        }
        stage.script.fault("DeleteJobExecution", 2, fault);
        stage.script.fault("DeleteJobExecution", 7, fault);
        let sweeps = Sweeps::new(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        sweeps.assert_deleted(&format!("{fault:?}")).await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, "deleted"), outcomes(&report)), (DUE, DUE), "{fault:?} {report}");
        if fault == Fault::Throttled {
            assert_eq!(report["throttled"]["DeleteJobExecution"], 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_token_that_goes_bad_starts_the_listing_over_without_counting_twice() {
    let stage = staged();
    stage.script.fault("ListJobs", 2, Fault::InvalidToken);
    stage.script.fault("ListJobExecutionsForJob", 3, Fault::InvalidToken);
    stage.script.fault("ListJobExecutionsForJob", 17, Fault::InvalidToken);
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["due"], DUE);
    assert_eq!(report["jobs"]["seen"], 6);
    assert_eq!(report["rowsSeen"].as_u64().unwrap() as usize, staged().iot.executions().len() - 1 - 2);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_lacks_a_right_fails_the_sweep_and_says_so() {
    for operation in ["DeleteJobExecution", "DescribeJob", "ListJobExecutionsForJob"] {
        let stage = staged();
        stage.script.fault(operation, 1, Fault::RoleRefused);
        let sweeps = Sweeps::new(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!(report["status"], "FAILED");
        let failure = report["failure"].as_str().unwrap();
        assert!(failure.contains(&format!("refused this function's role {operation}")), "{report}");
        assert_eq!(things(&stage.iot, "due-").len() as u64, DUE);
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_delete_meanwhile_is_already_gone_and_no_error() {
    let stage = staged();
    for nth in [0, 3] {
        let device = stage.iot.device("fw-1", &format!("due-{nth}"));
        stage.script.before("DeleteJobExecution", 1, move || device.forget());
    }
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "SUCCEEDED");
    assert_eq!((count(&report, "alreadyGone"), count(&report, "deleted")), (2, DUE - 2), "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_account_is_swept_in_one_call() {
    let stage = Stage::new();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((&report["status"], &report["rowsSeen"]), (&"SUCCEEDED".into(), &0.into()));
    assert_eq!(report["calls"], serde_json::json!({"ListJobs": 1}));
}

#[tokio::test(start_paused = true)]
async fn deleting_n_costs_n_calls_and_three_for_each_page() {
    let stage = Stage::new();
    stage.iot.job("big", days_ago(200), JobSetup::default());
    for nth in 0..1000 {
        stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
    }
    let sweeps = Sweeps { rate: "1000", ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(count(&report, "deleted"), 1000);
    let calls = serde_json::json!({
        "ListJobs": 1,
        // Each of four pages when it is scanned, and again before it is deleted.
        "ListJobExecutionsForJob": 4 + 4,
        // Of the job, when the first row is due, and again a minute and more later.
        "DescribeJob": 2,
        "ListTagsForResource": 2,
        "DeleteJobExecution": 1000,
    });
    assert_eq!((&report["calls"], stage.sent()), (&calls, calls.clone()));
}

#[tokio::test(start_paused = true)]
async fn a_trigger_in_the_future_starts_nothing() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let future =
        Trigger { now: now() + SignedDuration::from_mins(6), ..trigger(Operation::DeleteExpired, "a") };
    assert!(matches!(sweeps.start(&future).await, Err(StartError::Invalid(_))));
    assert!(stage.queue.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_trigger_starts_one_sweep() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let first = sweeps.started(Operation::DeleteExpired, "event-1").await;
    let second = sweeps.started(Operation::DeleteExpired, "event-1").await;
    assert_eq!(first, second);
    assert_eq!(stage.queue.sent().len(), 1);
    sweeps.deliver_all().await;
    let third = sweeps.started(Operation::DeleteExpired, "event-1").await;
    assert_eq!(sweeps.sweep(&third).await.status, SweepStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_first_message_was_lost_can_be_asked_for_again() {
    for operation in ["send", "put"] {
        let stage = staged();
        let sweeps = Sweeps::with_breaker(&stage, 1);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let digest = sweeps.report(&id).await["planDigest"].as_str().unwrap().to_owned();
        let release = |id: &str| Trigger {
            release_plan: Some(digest.clone()),
            ..trigger(Operation::DeleteExpired, id)
        };
        // The marker is the first put, the state the second.
        stage.script.fault(operation, if operation == "put" { 2 } else { 1 }, Fault::LostBefore);
        assert!(sweeps.start(&release("b")).await.is_err());
        sweeps.start(&release("c")).await.unwrap();
        sweeps.deliver_all().await;
        sweeps.assert_deleted(operation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_released_plan_touches_only_what_it_held() {
    let stage = staged();
    let sweeps = Sweeps::with_breaker(&stage, 1);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let digest = sweeps.report(&id).await["planDigest"].as_str().unwrap().to_owned();
    // The hold is lifted after the plan was made, and one of its rows is deleted by somebody else.
    stage.iot.job("held", days_ago(200), JobSetup::default());
    stage.iot.device("fw-1", "due-0").forget();
    let release = Trigger { release_plan: Some(digest), ..trigger(Operation::DeleteExpired, "b") };
    let released = sweeps.start(&release).await.unwrap();
    sweeps.deliver_all().await;
    assert_eq!(stage.iot.executions_of("held", "old").len(), 1);
    let report = sweeps.report(&released.sweep_id).await;
    assert_eq!((count(&report, "deleted"), count(&report, "notSeenAgain")), (DUE - 1, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_long_page_of_a_dead_slice_is_settled_over_several_slices() {
    let stage = Stage::new();
    stage.iot.job("big", days_ago(200), JobSetup::default());
    for nth in 0..60 {
        stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
    }
    let sweeps = Sweeps { seconds: 15, rate: "1", ..Sweeps::new(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    let calls = 30;
    stage.script.die_after(calls);
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "SUCCEEDED");
    assert_eq!(count(&report, "deleted") + count(&report, "deletedByInterruptedSlice"), 60, "{report}");
    assert!(count(&report, "deletedByInterruptedSlice") > 0, "{}", report["outcomes"]);
    // What the dead slice did not come to was given back, slice after slice, and is attempted once.
    assert_eq!(report["attempts"], 60, "{report}");
    assert!(stage.iot.executions().is_empty());
}

/// One execution that AWS never confirms takes nothing from the others' share of the plan.
#[tokio::test(start_paused = true)]
async fn an_execution_that_is_never_confirmed_costs_no_other_its_turn() {
    let stage = staged();
    stage.script.always("DeleteJobExecution", "fw-1/due-3/", Fault::LostBefore);
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), count(&report, "notConfirmed")), (DUE - 1, 1), "{report}");
    assert_eq!((outcomes(&report), &report["attempts"]), (DUE, &DUE.into()), "{report}");
    assert_eq!(things(&stage.iot, "due-"), ["due-3".to_owned()].into());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_for_ever_ends_in_a_report() {
    let stage = staged();
    stage.script.always("ListJobs", "4", Fault::InvalidToken);
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!(report["status"], "FAILED");
    assert!(report["failure"].as_str().unwrap().contains("token"), "{report}");
    assert_eq!(stage.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_written_twice_is_counted_once() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    // The claim is the first put, the first segment the second.
    stage.script.fault("put", 2, Fault::LostBefore);
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((&report["jobs"]["seen"], &report["due"]), (&6.into(), &DUE.into()), "{report}");
    sweeps.assert_deleted("").await;
}

/// The bucket's client sends a write again when its answer is lost, and then conflicts with itself.
#[tokio::test(start_paused = true)]
async fn a_state_that_was_written_and_not_acknowledged_is_recognised() {
    for nth in 2..40 {
        let stage = staged();
        let sweeps = Sweeps::new(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        let before = stage.script.count("put");
        stage.script.fault("put", nth, Fault::Conflicts);
        sweeps.deliver_all().await;
        let context = format!("put {nth}");
        let report = sweeps.report(&id).await;
        assert_eq!(report["status"], "SUCCEEDED", "{context}");
        assert_eq!(things(&stage.iot, "due-"), BTreeSet::new(), "{context}");
        assert_eq!(outcomes(&report), DUE, "{context} {report}");
        let calls = stage.script.calls();
        let hit = calls.iter().filter(|call| call.operation == "put").nth(before + nth - 1);
        if hit.is_some() {
            assert_eq!(report["slices"], 1, "{context}: the slice stopped for nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_has_grown_old_is_listed_again_and_a_hold_works_within_a_minute() {
    let stage = Stage::new();
    stage.iot.job("big", days_ago(200), JobSetup::default());
    for nth in 0..200 {
        stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
    }
    let iot = stage.iot.clone();
    stage.script.before("DeleteJobExecution", 20, move || iot.tag("big", "jobwarden:hold", ""));
    let sweeps = Sweeps { rate: "1", ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    let (deleted, refused) = (count(&report, "deleted"), count(&report, "refused"));
    assert!((20..=61).contains(&deleted), "{report}");
    assert_eq!(deleted + refused, 200, "{report}");
}

/// A page of which everything stays takes longer than it is believed, and longer than a slice. Each
/// execution is met with once in a pass all the same.
#[tokio::test(start_paused = true)]
async fn a_page_of_which_everything_stays_comes_to_an_end() {
    for seconds in [900, 30] {
        let stage = Stage::new();
        stage.iot.job("big", days_ago(200), JobSetup::default());
        for nth in 0..100 {
            stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
        }
        stage.script.always("DeleteJobExecution", "big/", Fault::LostBefore);
        let sweeps = Sweeps { rate: "1", seconds, ..Sweeps::new(&stage) };
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, "notConfirmed"), outcomes(&report)), (100, 100), "{report}");
        assert_eq!(report["attempts"], 100, "{report}");
        let sent = stage.script.count("DeleteJobExecution");
        // Twice each; what was under way when a slice ended (one that was looked at, and one that waited to be sent
        // again) is begun anew, and what was when its page had grown old is not sent again.
        let pages = report["archive"]["objects"].as_u64().unwrap();
        let slices = report["slices"].as_u64().unwrap();
        assert!((200 - pages..=200 + 2 * slices).contains(&(sent as u64)), "{sent} {report}");
    }
}

/// Facts that were read for one page are no fresher for the next.
#[tokio::test(start_paused = true)]
async fn a_hold_works_within_a_minute_on_the_second_page_too() {
    let stage = Stage::new();
    stage.iot.page_size(40);
    stage.iot.job("big", days_ago(200), JobSetup::default());
    for nth in 0..200 {
        stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
    }
    let iot = stage.iot.clone();
    stage.script.before("DeleteJobExecution", 5, move || iot.tag("big", "jobwarden:hold", ""));
    let sweeps = Sweeps { rate: "1", ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert!((5..=62).contains(&count(&report, "deleted")), "{report}");
    assert_eq!(outcomes(&report), 200, "{report}");
}

/// The shipped policies and one that no listing tells enough for: what has the detail `keep` stays.
pub(crate) fn asking_for_details() -> AccessPolicy {
    let asks = "@id(\"kept\") @reason(\"r\") forbid (principal is Jobwarden::Sweeper, action, resource) \
                when { resource.statusDetails.contains(\"keep=yes\") };";
    let policies = format!("{}{asks}", include_str!("../../policies/access.cedar"));
    AccessPolicy::parse("p.cedar", &policies).unwrap()
}

/// A listing tells no details, so a policy that asks for them costs a description of each that is due.
#[tokio::test(start_paused = true)]
async fn facts_that_a_listing_does_not_tell_are_read_where_a_policy_asks_for_them() {
    let swept = async |hidden: &'static str, from: &'static str| {
        let stage = staged();
        stage.iot.change("fw-1", "due-3", |execution| {
            execution.details.insert("keep".to_owned(), "yes".to_owned());
        });
        let script = stage.script.clone();
        let hide = move || script.always("DescribeJobExecution", hidden, Fault::InvalidToken);
        stage.script.before(from, 1, hide);
        let access = asking_for_details();
        let sweeps = Sweeps { access, ..Sweeps::new(&stage) };
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        (sweeps.report(&id).await, stage)
    };
    let (report, stage) = swept("none", "ListJobs").await;
    assert_eq!((count(&report, "deleted"), outcomes(&report)), (DUE - 1, DUE - 1), "{report}");
    assert!(report["kept"].to_string().contains("refused: kept"), "{report}");
    assert_eq!(things(&stage.iot, "due-"), ["due-3".to_owned()].into());
    // Once to plan and once to act; what is refused (kept, held, namespaced) in each pass.
    let described = stage.script.count("DescribeJobExecution") as u64;
    assert!((2 * DUE..2 * DUE + 5).contains(&described), "{described}");

    // What cannot be known is left alone: as a row that cannot be judged, or as an outcome.
    let (report, _) = swept("fw-2/due-30-1", "ListJobs").await;
    assert_eq!((count(&report, "deleted"), report["unreadable"].as_object().unwrap().len()), (DUE - 2, 1));
    let (report, _) = swept("fw-2/due-30-1", "DeleteJobExecution").await;
    assert_eq!((count(&report, "deleted"), count(&report, "factUnreadable")), (DUE - 2, 1), "{report}");
    assert_eq!(report["attempts"], DUE - 2, "{report}");
}

/// A page's descriptions take longer than the page is believed, and longer than a slice.
#[tokio::test(start_paused = true)]
async fn costly_facts_of_a_long_page_are_read_over_several_slices() {
    for seconds in [900, 40] {
        let stage = Stage::new();
        stage.iot.job("big", days_ago(200), JobSetup::default());
        for nth in 0..120 {
            stage.iot.execution("big", &format!("t{nth}"), Status::Succeeded, days_ago(99), days_ago(98));
        }
        stage.iot.change("big", "t7", |execution| {
            execution.details.insert("keep".to_owned(), "yes".to_owned());
        });
        let access = asking_for_details();
        let sweeps = Sweeps { access, rate: "1", seconds, ..Sweeps::of_everything(&stage) };
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, "deleted"), outcomes(&report)), (119, 119), "{report}");
        assert_eq!((&report["rowsSeen"], &report["due"]), (&120.into(), &119.into()), "{report}");
        assert_eq!(things(&stage.iot, ""), ["t7".to_owned()].into());
        // Not much more than once to plan and once to act, however often the page is listed.
        assert!(stage.script.count("DescribeJobExecution") < 300, "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_broken_sweep_does_not_hide_the_others() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    stage.bucket.place("sweeps/20260101T000000Z-delete-expired-00000001/report.json", b"{}".to_vec()).await;
    stage.bucket.place("sweeps/20260101T000000Z-delete-expired-00000002/state.json", b"{}".to_vec()).await;
    let wanted = shared::sweep::ListSweeps { operation: None, max_results: 10, after: None };
    let page = sweep::list(&stage.bucket, &wanted).await.unwrap();
    assert_eq!(page.sweeps.iter().map(|sweep| &sweep.sweep_id).collect::<Vec<_>>(), [&id]);
    assert_eq!(page.unreadable[0].as_str(), "20260101T000000Z-delete-expired-00000002");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_does_no_more_than_was_planned() {
    let stage = staged();
    let iot = stage.iot.clone();
    // An execution that the scan has not seen, and that the rules have due.
    stage.script.before("DeleteJobExecution", 1, move || {
        iot.execution("fw-2", "extra", Status::Removed, days_ago(90), days_ago(31));
    });
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), outcomes(&report)), (DUE, DUE), "{report}");
    assert_eq!(stage.script.count("DeleteJobExecution") as u64, DUE);
    let left = things(&stage.iot, "due-").len() + things(&stage.iot, "extra").len();
    assert_eq!(left, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_that_cannot_be_looked_into_stays_in_doubt_and_is_settled_later() {
    let stage = staged();
    stage.script.fault("DeleteJobExecution", 3, Fault::LostAfter);
    for nth in 1..=4 {
        stage.script.fault("DescribeJobExecution", nth, Fault::LostBefore);
    }
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    assert!(sweeps.slice(&stage.queue.sent()[0], now()).await.is_err());
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
    let report = sweeps.report(&id).await;
    assert_eq!(
        (count(&report, "deleted"), count(&report, "deletedByInterruptedSlice")),
        (DUE - 1, 1),
        "{report}"
    );
    assert_eq!(report["attempts"], DUE);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_not_sent_to_what_has_changed_since_it_was_listed() {
    let check = async |change: fn(&tests::Device), outcome: &str| {
        let stage = staged();
        let device = stage.iot.device("fw-1", "stale-1");
        stage.script.before("DescribeJobExecution", 1, move || change(&device));
        let sweeps = Sweeps::new(&stage);
        let id = sweeps.started(Operation::CancelStale, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, outcome), count(&report, "canceled")), (1, 1), "{report}");
        assert_eq!(stage.script.count("CancelJobExecution"), 1, "{outcome}");
    };
    check(|device| device.replace(Status::Queued), "replaced").await;
    check(|device| device.update(Status::InProgress), "noLongerEligible").await;
    check(|device| device.forget(), "alreadyGone").await;
}

/// In the application: a listing whose tokens never come good is given up, and its job is left to the next sweep.
#[tokio::test(start_paused = true)]
async fn a_listing_that_cannot_be_finished_is_given_up_after_three_restarts() {
    let check = async |bad: usize, deleted: u64| {
        let stage = Stage::new();
        stage.iot.page_size(4);
        stage.iot.job("fw", days_ago(200), JobSetup::default());
        for nth in 0..6 {
            stage.iot.execution("fw", &format!("due-{nth}"), Status::Succeeded, days_ago(120), days_ago(40));
        }
        let sweeps = Sweeps::of_everything(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        // The scan lists two pages.
        for nth in 1..=bad {
            stage.script.fault("ListJobExecutionsForJob", 2 + nth, Fault::InvalidToken);
        }
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, "deleted"), outcomes(&report)), (deleted, 6), "{bad} {report}");
        assert_eq!(count(&report, "jobUnreadable"), 6 - deleted, "{bad} {report}");
        let listed = stage.script.count("ListJobExecutionsForJob");
        assert!(bad == 3 || listed == 2 + 4, "{listed} {report}");
    };
    check(3, 6).await;
    check(4, 0).await;
    check(40, 0).await;
}

/// What shows up after the plan is not part of it, and what stays in place makes no room for it.
#[tokio::test(start_paused = true)]
async fn no_more_is_attempted_than_was_planned_where_some_of_it_stays() {
    let stage = Stage::new();
    stage.iot.page_size(4);
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    let old = |iot: &FakeIot, thing: &str| {
        iot.execution("fw", thing, Status::Succeeded, days_ago(120), days_ago(40));
    };
    (0..3).for_each(|nth| old(&stage.iot, &format!("due-{nth}")));
    let iot = stage.iot.clone();
    let more = move || (0..5).for_each(|nth| old(&iot, &format!("late-{nth}")));
    // The scan lists one page.
    stage.script.before("ListJobExecutionsForJob", 2, more);
    stage.script.always("DeleteJobExecution", "fw/due-1/", Fault::LostBefore);
    let sweeps = Sweeps::of_everything(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), count(&report, "notConfirmed")), (2, 1), "{report}");
    assert_eq!((outcomes(&report), &report["attempts"]), (3, &3.into()), "{report}");
    assert_eq!(things(&stage.iot, "").len(), 6, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_since_the_plan_leaves_a_line_in_the_audit_trail() {
    let (log, _guard) = Log::begin();
    let stage = staged();
    let iot = stage.iot.clone();
    stage.script.before("DeleteJobExecution", 1, move || iot.tag("fw-2", "jobwarden:hold", "legal"));
    let sweeps = Sweeps::new(&stage);
    sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let lines = log.of("refused");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (nth, line) in lines.iter().enumerate() {
        assert_eq!(
            (&line["job_id"], &line["policies"]),
            (&"fw-2".into(), &"held-jobs-are-untouchable".into())
        );
        assert!(line["row"].as_str().unwrap().contains(&format!("due-30-{nth}")), "{line}");
        assert_eq!(line["policy_digest"].as_str().unwrap().len(), 64, "{line}");
    }
}
