//! `keep_last`: the newest successes of each thing under a rule stay, however old they are.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::execution::{JobStatus, Status};
use shared::operation::Operation;
use shared::sweep::Trigger;
use tests::{FakeIot, Fault, JobSetup};

use crate::stage::{Stage, days_ago};
use crate::sweep_concurrency::Distant;
use crate::sweep_stage::{Sweeps, count, outcomes, rule, trigger};

const CALL: &str = "ListJobExecutionsForThing";

/// The shipped rules behind one for `fw-*` that keeps a number of successes.
fn keeping(stage: &Stage, last: u32) -> Sweeps<'_> {
    keeping_where(stage, "job_ids = [\"fw-*\"]", last)
}

fn keeping_where<'a>(stage: &'a Stage, scope: &str, last: u32) -> Sweeps<'a> {
    let kept = rule("firmware", scope, "30d") + &format!("keep_last = {last}\n");
    Sweeps::with_rule(stage, &kept)
}

/// Four rollouts. `pump` has taken all of them, `valve` the first two, `meter` the first; `relay` has failed the last
/// two. Another job, of another rule, has succeeded on everything.
fn rollouts(iot: &FakeIot) {
    for (nth, age) in [(1, 200), (2, 150), (3, 100), (4, 5)] {
        iot.job(&format!("fw-{nth}"), days_ago(age + 1), JobSetup::default());
    }
    iot.job("app", days_ago(300), JobSetup::default());
    let took = |job, thing, age| iot.execution(job, thing, Status::Succeeded, days_ago(age), days_ago(age));
    for (job, age) in [("fw-1", 200), ("fw-2", 150), ("fw-3", 100), ("fw-4", 5)] {
        took(job, "pump", age);
    }
    took("fw-1", "valve", 199);
    took("fw-2", "valve", 149);
    took("fw-1", "meter", 198);
    took("fw-1", "relay", 197);
    took("fw-2", "relay", 147);
    for (job, age) in [("fw-3", 95), ("fw-4", 4)] {
        iot.execution(job, "relay", Status::Failed, days_ago(age), days_ago(age));
    }
    for thing in ["pump", "valve", "meter", "relay"] {
        took("app", thing, 1);
    }
}

fn stage() -> Stage {
    let stage = Stage::new();
    rollouts(&stage.iot);
    stage
}

/// What has succeeded of firmware and is there, by thing.
fn left(iot: &FakeIot) -> BTreeSet<(String, String)> {
    let executions = iot.executions().into_iter();
    let firmware = executions
        .filter(|found| found.row.status == Status::Succeeded && found.job.as_str().starts_with("fw-"));
    firmware.map(|found| (found.row.thing_name.to_string(), found.job.to_string())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    pairs.iter().map(|(thing, job)| ((*thing).to_owned(), (*job).to_owned())).collect()
}

async fn swept(sweeps: &Sweeps<'_>, id: &str) -> Value {
    let id = sweeps.started(Operation::DeleteExpired, id).await;
    sweeps.deliver_all().await;
    sweeps.report(&id).await
}

const LAST: [(&str, &str); 4] = [("pump", "fw-4"), ("valve", "fw-2"), ("meter", "fw-1"), ("relay", "fw-2")];

#[tokio::test(start_paused = true)]
async fn a_thing_keeps_its_newest_successes_however_old_they_are() {
    for last in [1, 2] {
        let stage = stage();
        let report = swept(&keeping(&stage, last), "a").await;
        let mut expected = pairs(&LAST);
        if last == 2 {
            expected.extend(pairs(&[("pump", "fw-3"), ("valve", "fw-1"), ("relay", "fw-1")]));
        }
        assert_eq!(left(&stage.iot), expected, "{report}");
        // A failure of long ago goes, too.
        let gone = 9 - expected.len() as u64;
        assert_eq!((count(&report, "deleted"), outcomes(&report)), (gone + 1, gone + 1), "{report}");
        let kept = report["kept"].as_array().unwrap();
        let among: u64 = kept
            .iter()
            .filter(|line| line["verdict"] == "amongLast")
            .map(|l| l["count"].as_u64().unwrap())
            .sum();
        // The newest of `pump` is not old enough anyway.
        assert_eq!(among, expected.len() as u64 - 1, "{report}");
        let sum =
            |side: &Value| side.as_array().unwrap().iter().map(|l| l["count"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(report["rowsSeen"], sum(&report["plan"]) + sum(&report["kept"]), "{report}");
        // One look for each that goes, and none for those that stay.
        assert_eq!(stage.script.count(CALL) as u64, gone, "{report}");
        let told = report["estimate"]["calls"][CALL].as_u64().unwrap();
        assert_eq!(told, gone, "{report}");
        // Three jobs of firmware have something due, with one success kept as with two; what is young, or another's,
        // is not listed again.
        let listings = &report["estimate"]["calls"]["ListJobExecutionsForJob"];
        assert_eq!(listings, &json!(3), "{report}");
        // A second sweep has nothing left to do, and asks nothing.
        let calls = stage.script.count(CALL);
        let again = swept(&keeping(&stage, last), "b").await;
        assert_eq!((&again["due"], stage.script.count(CALL)), (&json!(0), calls), "{again}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_what_would_go_and_looks_at_no_thing() {
    let stage = stage();
    let sweeps = keeping(&stage, 1);
    let trigger = Trigger { dry_run: Some(true), ..trigger(Operation::DeleteExpired, "a") };
    let id = sweeps.start(&trigger).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((&report["due"], stage.script.count(CALL)), (&json!(6), 0), "{report}");
}

/// A plan is released by its digest: it has to tell which jobs the successes are of.
#[tokio::test(start_paused = true)]
async fn the_digest_of_a_plan_tells_of_which_job_how_many_successes_fall_due() {
    let mut digests = BTreeSet::new();
    for first_has in [1, 2] {
        let stage = Stage::new();
        for (job, age) in [("fw-1", 200), ("fw-2", 150), ("fw-3", 100)] {
            stage.iot.job(job, days_ago(300), JobSetup::default());
            for thing in 0..3 {
                let takes = match job {
                    "fw-1" => thing < first_has,
                    "fw-2" => thing >= first_has,
                    _ => true,
                };
                let thing = format!("t{thing}");
                if takes {
                    stage.iot.execution(job, &thing, Status::Succeeded, days_ago(age), days_ago(age));
                }
            }
        }
        let kept = rule("firmware", "job_ids = [\"fw-*\"]", "30d") + "keep_last = 1\n";
        let sweeps = Sweeps::with_rules(&stage, |shipped| {
            let text = shipped.replacen("[[rule]]", &format!("{kept}[[rule]]"), 1);
            text.replace("max_actions = 10000", "max_actions = 1")
        });
        let report = swept(&sweeps, "a").await;
        assert_eq!(
            (&report["status"], &report["due"]),
            (&json!("STOPPED_BY_BREAKER"), &json!(3)),
            "{report}"
        );
        digests.insert(report["planDigest"].to_string());
    }
    assert_eq!(digests.len(), 2, "{digests:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_lost_its_successor_since_the_plan_stays() {
    let stage = stage();
    let iot = stage.iot.clone();
    // The first on `valve` was behind this one when the plan was made.
    stage.script.before(CALL, 1, move || iot.device("fw-2", "valve").forget());
    let report = swept(&keeping(&stage, 1), "a").await;
    assert!(left(&stage.iot).contains(&("valve".to_owned(), "fw-1".to_owned())), "{report}");
    assert_eq!(count(&report, "amongLast"), 1, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_at_is_not_taken_for_enough() {
    let stage = stage();
    stage.iot.unknown_status("fw-2", "valve");
    let report = swept(&keeping(&stage, 1), "a").await;
    assert!(left(&stage.iot).contains(&("valve".to_owned(), "fw-1".to_owned())), "{report}");
    let stage = self::stage();
    stage.script.always(CALL, "relay", Fault::InvalidToken);
    let report = swept(&keeping(&stage, 1), "a").await;
    assert!(left(&stage.iot).contains(&("relay".to_owned(), "fw-1".to_owned())), "{report}");
    assert_eq!(count(&report, "factUnreadable"), 1, "{report}");
}

#[tokio::test(start_paused = true)]
async fn only_successes_of_the_same_rule_count_where_tags_tell_it_too() {
    let stage = stage();
    for job in ["fw-1", "fw-2", "fw-4"] {
        stage.iot.tag(job, "kind", "firmware");
    }
    // The third rollout has no tag, so it is the default's and goes by itself.
    let report = swept(&keeping_where(&stage, "job_tags = { kind = \"firmware\" }", 1), "a").await;
    assert_eq!(left(&stage.iot), pairs(&LAST), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_ranking_that_ends_in_the_middle_goes_on() {
    let stage = stage();
    let sweeps = keeping(&stage, 1);
    sweeps.started(Operation::DeleteExpired, "a").await;
    let before = stage.script.calls().len();
    sweeps.deliver_all().await;
    let calls = stage.script.calls().len() - before;
    for nth in 1..=calls {
        for after in [false, true] {
            let stage = self::stage();
            let sweeps = keeping(&stage, 1);
            let id = sweeps.started(Operation::DeleteExpired, "a").await;
            if after {
                stage.script.die_after(nth)
            } else {
                stage.script.die_before(nth)
            }
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            assert_eq!(report["status"], "SUCCEEDED", "{nth} {after}: {report}");
            assert_eq!(left(&stage.iot), pairs(&LAST), "{nth} {after}: {report}");
            assert_eq!((report["due"].as_u64(), outcomes(&report)), (Some(6), 6), "{nth} {after}: {report}");
        }
    }
}

/// AWS takes away by itself what it is deleting: it is no success that a thing will have.
#[tokio::test(start_paused = true)]
async fn a_success_of_a_job_that_is_being_deleted_does_not_count() {
    let stage = stage();
    let deleting = JobSetup { status: Some(JobStatus::DeletionInProgress), ..JobSetup::default() };
    stage.iot.job("fw-4", days_ago(6), deleting);
    let report = swept(&keeping(&stage, 1), "a").await;
    assert!(left(&stage.iot).is_superset(&pairs(&[("pump", "fw-3"), ("pump", "fw-4")])), "{report}");
    assert_eq!((count(&report, "deleted"), &report["jobs"]["gone"]), (5, &json!(1)), "{report}");
}

/// Jobs of another rule, which tags tell, took their turns on `pump` after two of ours.
fn behind_others(others: usize) -> Stage {
    let stage = Stage::new();
    let took = |job: &str, age| {
        stage.iot.job(job, days_ago(age + 1), JobSetup::default());
        stage.iot.execution(job, "pump", Status::Succeeded, days_ago(age), days_ago(age));
    };
    took("fw-1", 400);
    took("fw-2", 390);
    stage.iot.tag("fw-1", "kind", "firmware");
    stage.iot.tag("fw-2", "kind", "firmware");
    for nth in 0..others {
        took(&format!("app-{nth:03}"), 1);
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn slices_that_are_too_short_for_the_jobs_of_a_thing_have_read_them_at_last() {
    let stage = behind_others(25);
    let sweeps =
        Sweeps { rate: "1", seconds: 15, ..keeping_where(&stage, "job_tags = { kind = \"firmware\" }", 1) };
    let report = swept(&sweeps, "a").await;
    assert_eq!(left(&stage.iot), pairs(&[("pump", "fw-2")]), "{report}");
}

#[tokio::test(start_paused = true)]
async fn slices_that_will_never_have_read_them_come_to_an_end() {
    let stage = behind_others(200);
    let sweeps =
        Sweeps { rate: "1", seconds: 15, ..keeping_where(&stage, "job_tags = { kind = \"firmware\" }", 1) };
    let report = swept(&sweeps, "a").await;
    assert_eq!(left(&stage.iot), pairs(&[("pump", "fw-1"), ("pump", "fw-2")]), "{report}");
    assert_eq!((count(&report, "factUnreadable"), outcomes(&report)), (1, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_read_once_for_all_the_things_that_it_is_newer_on() {
    let stage = Stage::new();
    for (job, age) in [("fw-1", 200), ("fw-2", 150)] {
        stage.iot.job(job, days_ago(age + 1), JobSetup::default());
        stage.iot.tag(job, "kind", "firmware");
        for nth in 0..40 {
            stage.iot.execution(
                job,
                &format!("thing-{nth}"),
                Status::Succeeded,
                days_ago(age),
                days_ago(age),
            );
        }
    }
    // Several looks are under way at once, and all but the first find that somebody reads the job already.
    let aws = Distant::by((300, 300));
    stage.script.direct(aws.clone());
    let sweeps = keeping_where(&stage, "job_tags = { kind = \"firmware\" }", 1);
    let report = swept(&Sweeps { rate: "20", ..sweeps }, "a").await;
    assert!(aws.most() > 1);
    assert_eq!((count(&report, "deleted"), stage.script.count(CALL)), (40, 40), "{report}");
    // Both for the scan, the first to act on it, and the second to know its rule.
    assert_eq!(stage.script.count("DescribeJob"), 4, "{report}");
}

/// It is going to be gone with its job, whichever way the job's rule is told.
#[tokio::test(start_paused = true)]
async fn a_success_of_a_job_that_somebody_begins_to_delete_does_not_count_from_then_on() {
    let deleting = || JobSetup { status: Some(JobStatus::DeletionInProgress), ..JobSetup::default() };
    let stage = stage();
    let iot = stage.iot.clone();
    stage.script.before(CALL, 1, move || iot.job("fw-2", days_ago(151), deleting()));
    let report = swept(&keeping(&stage, 1), "a").await;
    assert!(left(&stage.iot).is_superset(&pairs(&[("valve", "fw-1"), ("relay", "fw-1")])), "{report}");
    assert_eq!(count(&report, "amongLast"), 2, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_have_the_rule_is_not_read_though_tags_may_give_it_another() {
    let stage = stage();
    let canary = rule("canary", "job_tags = { ring = \"canary\" }", "90d");
    let kept = rule("firmware", "job_ids = [\"fw-*\"]", "30d") + "keep_last = 1\n";
    let report = swept(&Sweeps::with_rule(&stage, &(canary + &kept)), "a").await;
    assert_eq!(left(&stage.iot), pairs(&LAST), "{report}");
    // To judge its rows, and not for any other look.
    let reads = stage
        .script
        .calls()
        .into_iter()
        .filter(|call| call.operation == "DescribeJob" && call.subject == "app");
    assert_eq!(reads.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn successes_are_looked_for_on_further_pages() {
    let stage = behind_others(7);
    stage.iot.page_size(2);
    stage.iot.blank_pages();
    let report = swept(&keeping_where(&stage, "job_tags = { kind = \"firmware\" }", 1), "a").await;
    assert_eq!(left(&stage.iot), pairs(&[("pump", "fw-2")]), "{report}");
    assert_eq!(stage.script.count(CALL), 2 * 4, "{report}");
}

#[tokio::test(start_paused = true)]
async fn reading_more_jobs_than_a_minute_or_the_memory_takes_comes_to_an_end() {
    let stage = behind_others(300);
    let firmware = keeping_where(&stage, "job_tags = { kind = \"firmware\" }", 1);
    let report = swept(&Sweeps { rate: "4", ..firmware }, "a").await;
    assert_eq!(left(&stage.iot), pairs(&[("pump", "fw-2")]), "{report}");
    assert_eq!(report["slices"], 1, "{report}");
}

/// More than are held in memory at once: they are written in between, and ranked together all the same.
#[tokio::test(start_paused = true)]
async fn many_successes_are_written_before_the_scan_is_through() {
    let stage = Stage::new();
    let things = 4_200;
    for (job, age) in [("fw-1", 200), ("fw-2", 150)] {
        stage.iot.job(job, days_ago(age + 1), JobSetup::default());
        for thing in 0..things {
            stage.iot.execution(job, &format!("t{thing}"), Status::Succeeded, days_ago(age), days_ago(age));
        }
    }
    let sweeps = keeping(&stage, 1);
    let id = sweeps.start(&Trigger { dry_run: Some(true), ..trigger(Operation::DeleteExpired, "a") }).await;
    let id = id.unwrap().sweep_id;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((&report["status"], &report["due"]), (&json!("SUCCEEDED"), &json!(things)), "{report}");
    let keys = stage.bucket.unscripted().keys(&format!("sweeps/{id}/successes")).await;
    let written: BTreeSet<_> = keys.iter().filter_map(|key| key.rsplit('/').next()).collect();
    assert_eq!(written.len(), 2, "{written:?}");
}
