//! Several calls under way at once: as many as the rate takes, and as true as one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shared::execution::Status;
use shared::operation::Operation;
use shared::sweep::Outcome;
use tests::{Call, Director, FakeIot, Fate, Fault, JobSetup};
use tokio::time::Instant;

use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{Sweeps, count, outcomes, reissued};

/// The most calls that a sweep has under way.
const MOST: usize = 64;

/// Milliseconds that a call takes: between these.
type Latency = (u64, u64);

/// AWS at some distance: calls take their time, and an operation has a quota, whose bucket holds a second's calls.
#[derive(Clone)]
pub(crate) struct Distant {
    latency: Latency,
    quota: Option<f64>,
    /// Whether what a dead process has sent arrives all the same.
    arrives_when_dead: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    chance: u64,
    buckets: BTreeMap<&'static str, (f64, Option<Instant>)>,
    under_way: usize,
    most: usize,
    sent: BTreeMap<&'static str, Vec<Instant>>,
}

impl Distant {
    pub(crate) fn by(latency: Latency) -> Self {
        Self { latency, quota: None, arrives_when_dead: false, seen: Arc::default() }
    }

    pub(crate) fn most(&self) -> usize {
        self.seen.lock().unwrap().most
    }

    fn under_way(&self) -> usize {
        self.seen.lock().unwrap().under_way
    }

    fn sent(&self, operation: &str) -> Vec<Instant> {
        self.seen.lock().unwrap().sent.get(operation).cloned().unwrap_or_default()
    }
}

fn is_iot(call: &Call) -> bool {
    !["put", "get", "list", "send", "give back"].contains(&call.operation)
}

impl Director for Distant {
    fn sent(&mut self, call: &Call) -> Duration {
        if !is_iot(call) {
            return Duration::from_millis(20);
        }
        let mut seen = self.seen.lock().unwrap();
        seen.under_way += 1;
        seen.most = seen.most.max(seen.under_way);
        seen.sent.entry(call.operation).or_default().push(Instant::now());
        seen.chance =
            seen.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (least, most) = self.latency;
        Duration::from_millis(least + (seen.chance >> 33) % (most - least + 1))
    }

    fn arrives(&mut self, call: &Call) -> Fate {
        let mut seen = self.seen.lock().unwrap();
        if !is_iot(call) {
            return Fate::default();
        }
        seen.under_way -= 1;
        let Some(quota) = self.quota else { return Fate::default() };
        let (tokens, filled_at) = seen.buckets.entry(call.operation).or_insert((quota, None));
        let since = filled_at.replace(Instant::now()).map_or(0.0, |at| at.elapsed().as_secs_f64());
        *tokens = (*tokens + since * quota).min(quota);
        if *tokens < 1.0 {
            return Fate { fault: Some(Fault::Throttled), death: None };
        }
        *tokens -= 1.0;
        Fate::default()
    }

    fn abandoned(&mut self, _: &Call) -> bool {
        self.arrives_when_dead
    }
}

/// A job of so many that are due.
fn due(stage: &Stage, operation: Operation, count: usize, page: usize) {
    let status = match operation {
        Operation::DeleteExpired => Status::Succeeded,
        Operation::CancelStale => Status::Queued,
    };
    stage.iot.page_size(page);
    stage.iot.job("big", days_ago(200), JobSetup::default());
    for nth in 0..count {
        stage.iot.execution("big", &format!("t{nth:04}"), status, days_ago(99), days_ago(98));
    }
}

/// Sweeps a stage, and tells its report.
async fn swept(stage: &Stage, rate: &str, operation: Operation) -> Value {
    let sweeps = Sweeps { rate, ..Sweeps::of_everything(stage) };
    let id = sweeps.started(operation, "a").await;
    sweeps.deliver_all().await;
    sweeps.report(&id).await
}

/// How many of its calls a second a sweep makes, from its first to its last of an operation.
fn goodput(calls: &[Instant]) -> f64 {
    let (first, last) = (calls[0], calls[calls.len() - 1]);
    (calls.len() - 1) as f64 / (last - first).as_secs_f64()
}

/// At a distance that would allow one call after the other twenty a second, and a bucket of 20 ms: from the first
/// delete to the last, with all the pages between.
#[tokio::test(start_paused = true)]
async fn the_rate_is_used_up_whatever_the_latency_and_nothing_is_throttled() {
    for (rate, rows, latency) in [
        (10, 100, (50, 50)),
        (10, 100, (20, 200)),
        (100, 1000, (50, 50)),
        (100, 1000, (20, 200)),
        (500, 3000, (50, 50)),
    ] {
        let stage = Stage::new();
        due(&stage, Operation::DeleteExpired, rows, 250);
        let aws = Distant { quota: Some(f64::from(rate)), ..Distant::by(latency) };
        stage.script.direct(aws.clone());
        let report = swept(&stage, &rate.to_string(), Operation::DeleteExpired).await;
        let calls = goodput(&aws.sent("DeleteJobExecution"));
        println!("{rate:>4} calls/s, {latency:?} ms: {calls:.1}, at most {} under way", aws.most());
        assert!(calls >= 0.98 * f64::from(rate), "{rate} {latency:?}: {calls}");
        assert_eq!((count(&report, "deleted"), &report["throttled"]), (rows as u64, &json!({})), "{report}");
        assert!(aws.most() <= MOST, "{}", aws.most());
    }
}

/// A cancel is two descriptions and a call, and its descriptions are the bottleneck.
#[tokio::test(start_paused = true)]
async fn cancels_use_up_the_rate_of_descriptions() {
    let stage = Stage::new();
    due(&stage, Operation::CancelStale, 500, 250);
    let aws = Distant { quota: Some(100.0), ..Distant::by((20, 200)) };
    stage.script.direct(aws.clone());
    let report = swept(&stage, "100", Operation::CancelStale).await;
    let calls = goodput(&aws.sent("DescribeJobExecution"));
    println!("{calls:.1} descriptions a second, at most {} calls under way", aws.most());
    assert!(calls >= 95.0, "{calls}");
    assert_eq!((count(&report, "canceled"), &report["throttled"]), (500, &json!({})), "{report}");
}

/// Facts that cost a call are read at the rate, too: in the scan, and for records in full.
#[tokio::test(start_paused = true)]
async fn facts_of_several_rows_are_read_at_once() {
    let stage = Stage::new();
    due(&stage, Operation::DeleteExpired, 200, 250);
    let aws = Distant { quota: Some(100.0), ..Distant::by((200, 200)) };
    stage.script.direct(aws.clone());
    let access = crate::sweeps::asking_for_details();
    let sweeps = Sweeps { rate: "100", access, ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    let start = Instant::now();
    sweeps.deliver_all().await;
    // 200 in the scan and 200 for the archive, each 2 s, and 2 s for the deletes.
    let taken = start.elapsed().as_secs_f64();
    assert!(taken < 9.0, "{taken}");
    let report = sweeps.report(&id).await;
    assert_eq!(
        (count(&report, "deleted"), stage.script.count("DescribeJobExecution")),
        (200, 400),
        "{report}"
    );
    assert_eq!(report["throttled"], json!({}), "{report}");
}

#[tokio::test(start_paused = true)]
async fn never_more_calls_are_under_way_than_the_cap_has_it() {
    let stage = Stage::new();
    due(&stage, Operation::DeleteExpired, 300, 250);
    let aws = Distant::by((500, 500));
    stage.script.direct(aws.clone());
    let report = swept(&stage, "1000", Operation::DeleteExpired).await;
    assert_eq!((count(&report, "deleted"), aws.most()), (300, MOST), "{report}");
    // At ten calls a second that take half a second, there are five.
    let stage = Stage::new();
    due(&stage, Operation::DeleteExpired, 50, 250);
    let aws = Distant::by((500, 500));
    stage.script.direct(aws.clone());
    swept(&stage, "10", Operation::DeleteExpired).await;
    assert!((5..=6).contains(&aws.most()), "{}", aws.most());
}

const ROWS: usize = 30;

/// What must hold of a sweep of [`ROWS`] in the end, however it got there.
async fn assert_all_done(stage: &Stage, sweeps: &Sweeps<'_>, id: &shared::sweep::SweepId, context: &str) {
    let report = sweeps.report(id).await;
    assert_eq!(report["status"], "SUCCEEDED", "{context}: {report}");
    let rows = ROWS as u64;
    assert_eq!((outcomes(&report), &report["attempts"]), (rows, &rows.into()), "{context}: {report}");
    let left = stage.iot.executions();
    let known: &[_] = match id.operation() {
        Operation::DeleteExpired => {
            assert!(left.is_empty(), "{context}: {left:?}");
            sweeps.assert_archived_first(context).await;
            &["deleted", "deletedByInterruptedSlice"]
        }
        Operation::CancelStale => {
            assert!(left.iter().all(|e| e.row.status == Status::Canceled), "{context}: {left:?}");
            assert_eq!(reissued(stage, id).await.len(), ROWS, "{context}");
            &["canceled", "canceledByInterruptedSlice", "canceledNotSeenYet"]
        }
    };
    let done: u64 = known.iter().map(|outcome| count(&report, outcome)).sum();
    assert_eq!(done, rows, "{context}: {report}");
    let told = stage.bucket.outcomes("outcomes").await.into_iter();
    let told: BTreeSet<_> = told.filter(|row| row.kind.outcome != Outcome::NotConfirmed).collect_things();
    assert_eq!(told.len(), ROWS, "{context}");
}

trait Things {
    fn collect_things(self) -> BTreeSet<String>;
}

impl<I: Iterator<Item = shared::sweep::OutcomeRow>> Things for I {
    fn collect_things(self) -> BTreeSet<String> {
        self.map(|row| row.thing_name.to_string()).collect()
    }
}

/// The process dies at any call while others are under way; those arrive all the same, or they do not.
#[tokio::test(start_paused = true)]
async fn a_slice_that_dies_with_several_calls_under_way_ends_with_true_counts() {
    for operation in Operation::ALL {
        let run = async |die: Option<(usize, bool)>, arrives_when_dead, seconds| {
            let stage = Stage::new();
            due(&stage, operation, ROWS, 12);
            let aws = Distant { arrives_when_dead, ..Distant::by((20, 200)) };
            stage.script.direct(aws.clone());
            let sweeps = Sweeps { rate: "50", seconds, ..Sweeps::of_everything(&stage) };
            let id = sweeps.started(operation, "a").await;
            let started = stage.script.calls().len();
            match die {
                None => {}
                Some((nth, true)) => stage.script.die_after(nth),
                Some((nth, false)) => stage.script.die_before(nth),
            }
            sweeps.deliver_all().await;
            let context = format!("{operation}: {die:?} {arrives_when_dead} {seconds} s");
            assert_all_done(&stage, &sweeps, &id, &context).await;
            assert!(aws.most() > 3, "{context}: {}", aws.most());
            stage.script.calls().len() - started
        };
        let calls = run(None, false, 900).await;
        for nth in (1..=calls).step_by(5) {
            for (after, arrives, seconds) in [(true, true, 900), (false, true, 2), (true, false, 2)] {
                run(Some((nth, after)), arrives, seconds).await;
            }
        }
    }
}

/// A slice whose time is over waits for what it has under way, and begins nothing more.
#[tokio::test(start_paused = true)]
async fn a_slice_without_time_left_waits_for_what_is_under_way() {
    for operation in Operation::ALL {
        let stage = Stage::new();
        due(&stage, operation, ROWS, 250);
        let aws = Distant::by((300, 600));
        stage.script.direct(aws.clone());
        // A third is kept free.
        let sweeps = Sweeps { seconds: 3, rate: "10", ..Sweeps::of_everything(&stage) };
        let id = sweeps.started(operation, "a").await;
        let mut slices = 0;
        while let Some(message) = stage.queue.sent().get(slices).cloned() {
            let start = Instant::now();
            sweeps.slice(&message, now() + jiff::SignedDuration::from_mins(slices as i64)).await.unwrap();
            assert_eq!(aws.under_way(), 0);
            let calls = stage.script.calls();
            assert!(calls.len() > 1);
            let late = |at: &Instant| *at - start >= Duration::from_millis(2002);
            for sent in aws.seen.lock().unwrap().sent.values_mut() {
                assert!(!sent.iter().any(late), "{operation}: {slices}");
                sent.clear();
            }
            slices += 1;
        }
        assert!(slices > 2, "{slices}");
        assert_all_done(&stage, &sweeps, &id, "").await;
    }
}

/// Among many under way, what was lost is looked at, and sent again only if nothing has come of it; what was throttled
/// is sent again.
#[tokio::test(start_paused = true)]
async fn what_is_lost_or_throttled_among_many_is_sent_again_only_if_nothing_has_come_of_it() {
    for operation in Operation::ALL {
        for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Throttled] {
            let stage = Stage::new();
            due(&stage, operation, ROWS, 250);
            stage.script.direct(Distant::by((20, 200)));
            let call = operation.action().as_str();
            let hit = [3, 4, 5];
            hit.iter().for_each(|nth| stage.script.fault(call, *nth, fault));
            let sweeps = Sweeps { rate: "50", ..Sweeps::of_everything(&stage) };
            let id = sweeps.started(operation, "a").await;
            sweeps.deliver_all().await;
            let context = format!("{operation} {fault:?}");
            assert_all_done(&stage, &sweeps, &id, &context).await;
            let again = if fault == Fault::LostAfter { 0 } else { hit.len() };
            assert_eq!(stage.script.count(call), ROWS + again, "{context}");
            let report = sweeps.report(&id).await;
            let throttled = report["throttled"][call].as_u64().unwrap_or_default();
            assert_eq!(throttled, if fault == Fault::Throttled { hit.len() as u64 } else { 0 }, "{context}");
            let rows = stage.bucket.outcomes("outcomes").await;
            let told: Vec<_> = rows.iter().map(|row| row.thing_name.to_string()).collect();
            let archived = stage.bucket.archive().await;
            let archived: Vec<_> = archived.iter().map(|record| record.thing_name().to_string()).collect();
            assert_eq!(told, archived, "{context}: outcomes are in the page's order");
        }
    }
}

/// What stops a sweep is told with what all the others came to, and nothing is sent after it.
#[tokio::test(start_paused = true)]
async fn a_right_that_is_lost_among_many_stops_the_sweep_with_true_counts() {
    for operation in Operation::ALL {
        let stage = Stage::new();
        due(&stage, operation, ROWS, 250);
        let aws = Distant::by((100, 300));
        stage.script.direct(aws.clone());
        let call = operation.action().as_str();
        stage.script.fault(call, 8, Fault::RoleRefused);
        let report = swept(&stage, "50", operation).await;
        assert_eq!(report["status"], "FAILED", "{report}");
        let gone = ROWS - stage.iot.executions().iter().filter(|e| e.row.status != Status::Canceled).count();
        let done: u64 = ["deleted", "canceled"].iter().map(|outcome| count(&report, outcome)).sum();
        assert!(done >= 7 && gone as u64 == done, "{gone}: {report}");
        assert_eq!((outcomes(&report), &report["attempts"]), (done, &done.into()), "{report}");
        assert!(stage.script.count(call) < ROWS, "{}", stage.script.count(call));
        assert_eq!(stage.bucket.outcomes("outcomes").await.len(), gone);
    }
}

/// Which records are in doubt is told exactly where they do not lie side by side.
#[tokio::test(start_paused = true)]
async fn records_in_doubt_need_not_lie_side_by_side() {
    let stage = Stage::new();
    due(&stage, Operation::DeleteExpired, ROWS, 250);
    stage.script.direct(Distant::by((50, 50)));
    for nth in [3, 5] {
        stage.script.fault("DeleteJobExecution", nth, Fault::LostAfter);
    }
    for nth in 1..=8 {
        stage.script.fault("DescribeJobExecution", nth, Fault::LostBefore);
    }
    let sweeps = Sweeps { rate: "20", ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    assert!(sweeps.slice(&stage.queue.sent()[0], now()).await.is_err());
    let state = stage.bucket.bytes(&format!("sweeps/{id}/state.json")).await;
    let state: Value = serde_json::from_slice(&state).unwrap();
    let in_doubt = json!([{"start": 2, "end": 3}, {"start": 4, "end": 5}]);
    assert_eq!(state["pending"]["inDoubt"], in_doubt, "{state}");
    let done = ROWS - stage.iot.executions().len();
    assert_eq!(state["attempts"], done, "{state}");
    sweeps.deliver_all().await;
    assert_all_done(&stage, &sweeps, &id, "").await;
    assert_eq!(count(&sweeps.report(&id).await, "deletedByInterruptedSlice"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_is_not_forgotten_where_its_page_has_grown_old_meanwhile() {
    let stage = Stage::new();
    due(&stage, Operation::DeleteExpired, ROWS, 250);
    stage.script.direct(Distant::by((50, 50)));
    stage.script.fault("DeleteJobExecution", 23, Fault::LostAfter);
    for nth in 1..=4 {
        stage.script.fault("DescribeJobExecution", nth, Fault::LostBefore);
    }
    let sweeps = Sweeps { rate: "0.4", ..Sweeps::of_everything(&stage) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    assert!(sweeps.slice(&stage.queue.sent()[0], now()).await.is_err());
    let state = stage.bucket.bytes(&format!("sweeps/{id}/state.json")).await;
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["pending"]["inDoubt"], json!([{"start": 22, "end": 23}]), "{state}");
    sweeps.deliver_all().await;
    assert_all_done(&stage, &sweeps, &id, "").await;
    assert_eq!(count(&sweeps.report(&id).await, "deletedByInterruptedSlice"), 1);
}

/// What shows up after the plan is not part of it, however many rows' facts are read at once.
#[tokio::test(start_paused = true)]
async fn no_more_is_attempted_than_was_planned_where_facts_of_several_are_read_at_once() {
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    let old = |iot: &FakeIot, thing: &str| {
        iot.execution("fw", thing, Status::Succeeded, days_ago(120), days_ago(40));
    };
    (0..3).for_each(|nth| old(&stage.iot, &format!("due-{nth}")));
    let iot = stage.iot.clone();
    let more = move || (0..9).for_each(|nth| old(&iot, &format!("late-{nth}")));
    stage.script.before("ListJobExecutionsForJob", 2, more);
    stage.script.direct(Distant::by((200, 200)));
    let full = |shipped: &str| shipped.replace("archive = \"summary\"", "archive = \"full\"");
    let sweeps = Sweeps { rate: "100", ..Sweeps::with_rules(&stage, full) };
    let id = sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let report = sweeps.report(&id).await;
    assert_eq!((count(&report, "deleted"), &report["attempts"]), (3, &3.into()), "{report}");
}
