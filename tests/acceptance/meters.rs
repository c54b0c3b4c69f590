//! What is counted: everything that `shared::meter` lists under its dimensions, and nothing besides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard, Metadata, Recorder,
    SharedString, Unit,
};
use shared::document::{Current, Edition, Editions};
use shared::execution::Status;
use shared::meter;
use shared::operation::Operation;
use shared::ports::Cause;
use shared::retention::Retention;
use tests::Fault;

use crate::api::{FORCE, NOBODY, OPERATOR};
use crate::stage::{Stage, now};
use crate::sweep_stage::{DUE, Sweeps, staged};

/// What was counted, in the order of name and labels.
#[derive(Debug, Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, f64>>>);

/// One metric under one set of labels.
#[derive(Debug)]
struct One(Counted, String);

impl One {
    fn of(counted: &Counted, key: &Key) -> Arc<Self> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        Arc::new(Self(counted.clone(), format!("{}{}", key.name(), labels.collect::<String>())))
    }

    fn add(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(u32::try_from(value).unwrap().into());
    }

    fn absolute(&self, value: u64) {
        panic!("nothing is counted like this: {value}");
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(One::of(self, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("a gauge is told again and again, long after its time: {key}");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(One::of(self, key))
    }
}

impl Counted {
    /// Counts what this thread does, until what is given is dropped.
    fn begin(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// What was counted of a metric.
    fn told(&self, name: &str) -> Vec<String> {
        let counted = self.0.lock().unwrap();
        let of = |key: &str| key.split(' ').next() == Some(name);
        counted.iter().filter(|(key, _)| of(key)).map(|(key, value)| format!("{key}: {value}")).collect()
    }

    /// Each metric with the names of its dimensions.
    fn kinds(&self) -> BTreeSet<(String, Vec<String>)> {
        let counted = self.0.lock().unwrap();
        let kind = |key: &String| {
            let mut parts = key.split(' ');
            let name = parts.next().unwrap_or_default().to_owned();
            // A value may have blanks.
            let names = parts.filter_map(|part| part.split_once('=')).map(|(name, _)| name.to_owned());
            (name, names.collect())
        };
        counted.keys().map(kind).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_counts_by_its_outcome_and_by_each_policy() {
    let counted = Counted::default();
    let _guard = counted.begin();
    let stage = Stage::with(Status::Queued);
    stage.cancel(NOBODY, &[], "").await.is(403, "AccessDeniedException");
    stage.delete(OPERATOR, &[("force", "true")]).await.is(403, "AccessDeniedException");
    stage.cancel(OPERATOR, &[("dryRun", "true")], "").await.is_ok();
    assert_eq!((counted.told("Cancellations"), counted.told("Deletions")), (vec![], vec![]));
    stage.cancel(OPERATOR, &[], "").await.is_ok();
    stage.delete(OPERATOR, &[]).await.is_ok();
    assert_eq!(
        counted.told("Decisions"),
        [
            "Decisions Action=CancelJobExecution Outcome=allow: 2",
            "Decisions Action=CancelJobExecution Outcome=noPermit: 1",
            "Decisions Action=DeleteJobExecution Outcome=allow: 1",
            "Decisions Action=DeleteJobExecution Outcome=forbidden: 1",
            "Decisions Policy=force-needs-the-force-group: 1",
            "Decisions Policy=operators-cancel-waiting: 2",
            "Decisions Policy=operators-delete-finished: 1",
        ]
    );
    assert_eq!(counted.told("Cancellations"), ["Cancellations Source=api: 1"]);
    assert_eq!(counted.told("Deletions"), ["Deletions Source=api: 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_delete_counts_as_the_cancel_and_the_delete_that_it_is() {
    let counted = Counted::default();
    let _guard = counted.begin();
    Stage::with(Status::InProgress).delete(FORCE, &[("force", "true")]).await.is_ok();
    assert_eq!(counted.told("Cancellations"), ["Cancellations Source=api: 1"]);
    assert_eq!(counted.told("Deletions"), ["Deletions Source=api: 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_counts_what_its_report_says_however_many_slices_it_takes() {
    for seconds in [900, 4] {
        let counted = Counted::default();
        let _guard = counted.begin();
        let stage = staged();
        let sweeps = Sweeps { seconds, rate: "2", ..Sweeps::new(&stage) };
        let id = sweeps.started(Operation::DeleteExpired, "counted").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!(report["status"], "SUCCEEDED");
        let slices = report["slices"].as_u64().unwrap();
        assert!(if seconds == 900 { slices == 1 } else { slices > 3 }, "{slices}");

        let home = "Sweep=delete-expired Lane=home";
        assert_eq!(
            counted.told("Outcomes"),
            [format!("Outcomes Sweep=delete-expired Outcome=deleted: {DUE}")]
        );
        assert_eq!(
            counted.told("Deletions"),
            [format!("Deletions Rule=default: {DUE}"), format!("Deletions Source=sweep: {DUE}")]
        );
        assert_eq!(counted.told("SweepsEnded"), [format!("SweepsEnded {home} Status=SUCCEEDED: 1")]);
        assert_eq!(counted.told("Due"), [format!("Due {home}: {DUE}")]);
        assert_eq!(counted.told("RowsSeen"), [format!("RowsSeen {home}: {}", report["rowsSeen"])]);
        // Of the shipped rules, `due-8`: succeeded 39 days ago, due after 30.
        assert_eq!(counted.told("OldestDue"), [format!("OldestDue {home}: {}", 9 * 24 * 3600)]);
        let kept: Vec<_> = report["kept"].as_array().unwrap().iter().collect();
        let of = |verdict: &str| {
            let of = kept.iter().filter(|kind| kind["verdict"].as_str().unwrap().starts_with(verdict));
            of.map(|kind| kind["count"].as_u64().unwrap()).sum::<u64>()
        };
        for reason in ["active", "notYet", "refused"] {
            let told = format!("Kept Sweep=delete-expired Reason={reason}: {}", of(reason));
            assert!(
                of(reason) > 0 && counted.told("Kept").contains(&told),
                "{told}: {:?}",
                counted.told("Kept")
            );
        }
        assert_eq!(counted.told("ArchiveFailures"), Vec::<String>::new());
        assert_eq!(counted.told("ArchiveBytes").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_stops_or_fails_and_what_is_not_archived_is_counted() {
    let counted = Counted::default();
    let _guard = counted.begin();
    let stage = staged();
    let sweeps = Sweeps::with_breaker(&stage, 3);
    sweeps.started(Operation::DeleteExpired, "stopped").await;
    sweeps.deliver_all().await;
    let home = "Sweep=delete-expired Lane=home";
    assert_eq!(counted.told("SweepsEnded"), [format!("SweepsEnded {home} Status=STOPPED_BY_BREAKER: 1")]);
    assert_eq!(counted.told("Remaining"), [format!("Remaining {home}: {DUE}")]);
    assert_eq!(counted.told("Deletions"), Vec::<String>::new());

    let stage = Stage::with(Status::Succeeded);
    stage.script.fault("put", 1, Fault::LostBefore);
    stage.delete(OPERATOR, &[]).await.is(503, "ServiceUnavailableException");
    assert_eq!(counted.told("ArchiveFailures"), ["ArchiveFailures: 1"]);
    assert_eq!((counted.told("ArchiveBytes"), counted.told("Deletions")), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_cancelling_sweep_counts_its_own() {
    let counted = Counted::default();
    let _guard = counted.begin();
    let stage = staged();
    let sweeps = Sweeps::of_everything(&stage);
    sweeps.started(Operation::CancelStale, "stale").await;
    sweeps.deliver_all().await;
    assert_eq!(counted.told("Outcomes"), ["Outcomes Sweep=cancel-stale Outcome=canceled: 2"]);
    let by = ["Cancellations Rule=default: 2", "Cancellations Source=sweep: 2"];
    assert_eq!(counted.told("Cancellations"), by);
}

/// Where the rules of this test are from: there once, and nobody can be asked for newer ones.
#[derive(Debug, Default)]
struct Once(Mutex<bool>);

impl Editions for Once {
    fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>> {
        let asked = std::mem::replace(&mut *self.0.lock().unwrap(), true);
        let text = include_str!("../../policies/retention.toml").to_owned();
        let edition = Edition { source: "once".to_owned(), text };
        Box::pin(async move { if asked { Err("no network".into()) } else { Ok(Some(edition)) } })
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_tells_its_age_when_it_is_used_and_none_where_it_cannot_change() {
    let counted = Counted::default();
    let _guard = counted.begin();
    Current::fixed(Retention::shipped().unwrap()).get(now()).await;
    assert_eq!(counted.told("PolicyAge"), Vec::<String>::new());
    let rules = Current::<Retention>::open(Once::default(), now()).await.unwrap();
    tokio::time::advance(Duration::from_secs(100)).await;
    rules.get(now()).await;
    assert_eq!(counted.told("PolicyAge"), ["PolicyAge Document=retention rules: 100"]);
    // A pause in which the monotonic clock stood still counts, too. What is told is the sum of both uses.
    rules.get(now() + SignedDuration::from_mins(15)).await;
    assert_eq!(counted.told("PolicyAge"), ["PolicyAge Document=retention rules: 1000"]);
}

/// What only the adapters count, of which tests/e2e/test_logs.py sees the lines, and what has a test above.
const ELSEWHERE: [&str; 3] = ["Calls", "Throttles", "PolicyAge"];

#[tokio::test(start_paused = true)]
async fn every_metric_that_is_listed_is_counted_under_its_dimensions_and_no_other_is() {
    let counted = Counted::default();
    let _guard = counted.begin();
    for caller in [OPERATOR, NOBODY] {
        Stage::with(Status::Queued).cancel(caller, &[], "").await;
    }
    for operation in [Operation::DeleteExpired, Operation::CancelStale] {
        let stage = staged();
        let sweeps = Sweeps::of_everything(&stage);
        sweeps.started(operation, "all").await;
        sweeps.deliver_all().await;
    }
    let stage = Stage::with(Status::Succeeded);
    stage.script.fault("put", 1, Fault::LostBefore);
    stage.delete(OPERATOR, &[]).await;

    let mut listed = BTreeSet::new();
    for metric in meter::ALL.iter().filter(|metric| !ELSEWHERE.contains(&metric.name)) {
        for dimensions in metric.dimensions {
            let names = dimensions.iter().map(|name| (*name).to_owned()).collect();
            listed.insert((metric.name.to_owned(), names));
        }
    }
    assert_eq!(counted.kinds(), listed);
}

/// The rows of a table, cell by cell.
fn rows(document: &str) -> impl Iterator<Item = Vec<String>> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect())
}

#[test]
fn docs_metrics_md_has_each_metric_with_its_unit_and_dimensions() {
    let document = include_str!("../../docs/metrics.md");
    let told: Vec<_> = rows(document).map(|row| (row[1].clone(), row[2].clone(), row[3].clone())).collect();
    let listed = meter::ALL.iter().map(|metric| {
        let sets = metric
            .dimensions
            .iter()
            .map(|set| if set.is_empty() { "none".to_owned() } else { set.join(" + ") });
        let sets: Vec<_> = sets.collect();
        (metric.name.to_owned(), metric.unit.as_str().to_owned(), sets.join(", "))
    });
    assert_eq!(told, listed.collect::<Vec<_>>());
}
