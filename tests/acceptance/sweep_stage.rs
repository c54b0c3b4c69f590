//! The sweeps' functions as they are deployed, over a fleet whose ground truth is in its names.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::execution::Status;
use shared::operation::Operation;
use shared::ports::FurtherLanes;
use shared::retention::Retention;
use shared::sweep::{
    self, CallRate, CancelStale, DeleteExpired, SliceEnd, SliceError, SliceMessage, SliceTime, StartError,
    Starter, Sweep, SweepId, Trigger, Worker,
};
use tests::{FakeIot, JobSetup};
use tokio::time::timeout;

use crate::stage::{Stage, days_ago, now};

/// A fleet with something of everything. What is due for deletion starts with `due-`, what is due
/// for cancelling with `stale-`: the ground truth needs none of the code under test.
pub(crate) fn fleet(iot: &FakeIot) {
    iot.page_size(4);
    let plain = JobSetup::default;
    let held = JobSetup { tags: [("jobwarden:hold".to_owned(), "legal".to_owned())].into(), ..plain() };
    let namespaced = JobSetup { namespace: Some("aws-gg-x"), ..plain() };
    let continuous = JobSetup { continuous: true, ..plain() };
    iot.job("fw-1", days_ago(200), plain());
    iot.job("fw-2", days_ago(95), continuous);
    iot.job("held", days_ago(200), held);
    iot.job("keep-logs", days_ago(200), plain());
    iot.job("namespaced", days_ago(200), namespaced);
    iot.job("young", days_ago(20), plain());
    for nth in 0..9 {
        iot.execution("fw-1", &format!("due-{nth}"), Status::Succeeded, days_ago(120), days_ago(31 + nth));
    }
    for (nth, status) in [Status::Failed, Status::TimedOut, Status::Rejected].into_iter().enumerate() {
        iot.execution("fw-1", &format!("due-90-{nth}"), status, days_ago(150), days_ago(91));
        iot.execution("fw-1", &format!("kept-90-{nth}"), status, days_ago(150), days_ago(89));
    }
    for (nth, status) in [Status::Removed, Status::Canceled].into_iter().enumerate() {
        iot.execution("fw-2", &format!("due-30-{nth}"), status, days_ago(90), days_ago(30));
        iot.execution("fw-2", &format!("kept-30-{nth}"), status, days_ago(90), days_ago(29));
    }
    iot.execution("fw-2", "running", Status::InProgress, days_ago(90), days_ago(90));
    iot.execution("fw-2", "stale-0", Status::Queued, days_ago(60), days_ago(60));
    iot.execution("fw-1", "stale-1", Status::Queued, days_ago(150), days_ago(150));
    iot.execution("fw-1", "fresh", Status::Queued, days_ago(59), days_ago(59));
    for job in ["held", "keep-logs", "namespaced"] {
        iot.execution(job, "old", Status::Succeeded, days_ago(190), days_ago(180));
        iot.execution(job, "waiting", Status::Queued, days_ago(190), days_ago(190));
    }
    iot.execution("young", "done", Status::Succeeded, days_ago(19), days_ago(19));
}

pub(crate) const DUE: u64 = 14;

pub(crate) fn things(iot: &FakeIot, prefix: &str) -> BTreeSet<String> {
    let executions = iot.executions().into_iter();
    executions
        .map(|execution| execution.row.thing_name.to_string())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

pub(crate) fn staged() -> Stage {
    let stage = Stage::new();
    fleet(&stage.iot);
    stage
}

pub(crate) fn trigger(operation: Operation, id: &str) -> Trigger {
    Trigger {
        operation,
        lane: None,
        dry_run: Some(false),
        release_plan: None,
        requested_by: "test".into(),
        now: now(),
        id: id.into(),
    }
}

/// A deployment of the sweeps' functions.
pub(crate) struct Sweeps<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) lanes: &'a dyn FurtherLanes<FakeIot>,
    pub(crate) rules: Retention,
    pub(crate) access: AccessPolicy,
    pub(crate) rate: &'a str,
    pub(crate) seconds: i64,
    pub(crate) dry_run_only: bool,
    pub(crate) retire_jobs: bool,
}

impl<'a> Sweeps<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            lanes: &(),
            rules: Retention::shipped().unwrap(),
            access: AccessPolicy::shipped().unwrap(),
            rate: "10",
            seconds: 900,
            dry_run_only: false,
            retire_jobs: true,
        }
    }

    /// Rules as shipped, with another number in the breaker.
    pub(crate) fn with_breaker(stage: &'a Stage, max_actions: u64) -> Self {
        Self::with_limits(stage, &max_actions.to_string(), "90", "10")
    }

    /// Rules as shipped, with another breaker.
    pub(crate) fn with_limits(
        stage: &'a Stage,
        max_actions: &str,
        max_percent: &str,
        max_growth: &str,
    ) -> Self {
        Self::with_rules(stage, |shipped| {
            let mut text = shipped.to_owned();
            for (shipped, limit) in [
                ("max_actions = 10000", format!("max_actions = {max_actions}")),
                ("max_percent = 90", format!("max_percent = {max_percent}")),
                ("max_growth = 10", format!("max_growth = {max_growth}")),
            ] {
                assert!(text.contains(shipped), "{shipped}");
                text = text.replace(shipped, &limit);
            }
            text
        })
    }

    /// Rules as shipped, where a whole fleet may go.
    pub(crate) fn of_everything(stage: &'a Stage) -> Self {
        Self::with_limits(stage, "10000", "100", "10")
    }

    /// Rules as shipped, changed.
    pub(crate) fn with_rules(stage: &'a Stage, change: impl FnOnce(&str) -> String) -> Self {
        let text = change(include_str!("../../policies/retention.toml"));
        Self { rules: Retention::parse("r.toml", &text).unwrap(), ..Self::new(stage) }
    }

    /// Rules as shipped, behind others.
    pub(crate) fn with_rule(stage: &'a Stage, rules: &str) -> Self {
        Self::with_rules(stage, |shipped| shipped.replacen("[[rule]]", &format!("{rules}[[rule]]"), 1))
    }

    pub(crate) async fn start(&self, trigger: &Trigger) -> Result<Sweep, StartError> {
        let starter =
            Starter { bucket: &self.stage.bucket, queue: &self.stage.queue, dry_run_only: self.dry_run_only };
        starter.start(trigger, now()).await
    }

    pub(crate) async fn started(&self, operation: Operation, id: &str) -> SweepId {
        self.start(&trigger(operation, id)).await.unwrap().sweep_id
    }

    pub(crate) fn worker<A>(&self) -> Worker<'_, FakeIot, tests::FakeQueue, A> {
        Worker {
            iot: &self.stage.iot,
            lanes: self.lanes,
            bucket: &self.stage.bucket,
            queue: &self.stage.queue,
            rules: &self.rules,
            access: &self.access,
            rate: CallRate::parse(self.rate).unwrap(),
            dry_run_only: self.dry_run_only,
            retire_jobs: self.retire_jobs,
            act: PhantomData,
        }
    }

    pub(crate) async fn slice(&self, message: &SliceMessage, at: Timestamp) -> Result<SliceEnd, SliceError> {
        self.stage.script.revive();
        let time = SliceTime { now: at, deadline: at + SignedDuration::from_secs(self.seconds) };
        match message.sweep_id.operation() {
            Operation::DeleteExpired => self.worker::<DeleteExpired>().run(message, "one", time).await,
            Operation::CancelStale => self.worker::<CancelStale>().run(message, "one", time).await,
        }
    }

    /// Delivers messages until all have gone through, as the queue does: what fails, or dies and
    /// never answers, comes again when nobody can be at it any more.
    pub(crate) async fn deliver_all(&self) {
        let mut at = now();
        let mut next = 0;
        for _ in 0..200 {
            let Some(message) = self.stage.queue.sent().get(next).cloned() else {
                return;
            };
            // A process that died hangs here for ever; its invocation ends at the deadline.
            let ended = timeout(Duration::from_secs(2000), self.slice(&message, at)).await;
            at += SignedDuration::from_secs(self.seconds + 100);
            if matches!(ended, Ok(Ok(_))) {
                next += 1;
            }
        }
        panic!("the sweep does not end");
    }

    pub(crate) async fn sweep(&self, id: &SweepId) -> Sweep {
        sweep::read(&self.stage.bucket, id).await.unwrap()
    }

    pub(crate) async fn report(&self, id: &SweepId) -> Value {
        sweep::report(&self.stage.bucket, id).await.unwrap()
    }

    /// What must hold after a sweep has deleted what is due, however it got there.
    pub(crate) async fn assert_deleted(&self, context: &str) {
        let iot = &self.stage.iot;
        assert_eq!(things(iot, "due-"), BTreeSet::new(), "{context}");
        let untouched = staged();
        let left: Vec<_> = untouched
            .iot
            .executions()
            .into_iter()
            .filter(|e| !e.row.thing_name.as_str().starts_with("due-"))
            .collect();
        assert_eq!(iot.executions(), left, "{context}");
        // Each was archived, with the identity that it had.
        let archived: BTreeSet<_> = self
            .stage
            .bucket
            .archive()
            .await
            .iter()
            .map(|record| (record.thing_name().to_string(), record.identity().queued_at))
            .collect();
        let due =
            untouched.iot.executions().into_iter().filter(|e| e.row.thing_name.as_str().starts_with("due-"));
        let due: BTreeSet<_> =
            due.map(|e| (e.row.thing_name.to_string(), e.row.identity().queued_at)).collect();
        assert_eq!(archived, due, "{context}");
        self.assert_archived_first(context).await;
    }

    /// No deletion was sent before an archive object with its record was written.
    pub(crate) async fn assert_archived_first(&self, context: &str) {
        let objects = self.stage.bucket.archive_objects().await;
        let mut archived = BTreeSet::new();
        for call in self.stage.script.calls() {
            match call.operation {
                "put" => archived.extend(objects.get(&call.subject).into_iter().flatten().map(|record| {
                    let (job, number) = (&record.job.job.job_id, record.identity().execution_number);
                    format!("{job}/{}/{number}", record.thing_name())
                })),
                "DeleteJobExecution" => {
                    assert!(archived.contains(&call.subject), "{context}: {} is not archived", call.subject);
                }
                _ => {}
            }
        }
    }
}

/// A rule with one limit for every status that an execution can end with.
pub(crate) fn rule(name: &str, scope: &str, after: &str) -> String {
    let statuses = Status::ALL.into_iter().filter(|status| status.is_terminal());
    let limits: Vec<_> = statuses.map(|status| format!("{status} = \"{after}\"")).collect();
    let limits = limits.join(", ");
    format!("[[rule]]\nname = \"{name}\"\n{scope}\ndelete_after = {{ {limits} }}\narchive = \"summary\"\n")
}

pub(crate) fn outcomes(report: &Value) -> u64 {
    report["outcomes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

pub(crate) fn count(report: &Value, outcome: &str) -> u64 {
    report["outcomes"][outcome].as_u64().unwrap_or_default()
}

/// The ARN of a thing of the fake account.
pub(crate) fn arn(thing: impl std::fmt::Display) -> String {
    format!("arn:aws:iot:eu-west-1:123456789012:thing/{thing}")
}

/// To whom a sweep's lists send which job again.
pub(crate) async fn reissued(stage: &Stage, id: &SweepId) -> BTreeSet<(String, String)> {
    let mut again = BTreeSet::new();
    let root = format!("sweeps/{id}/reissue/");
    for key in stage.bucket.keys(&root).await {
        let job = key[root.len()..].split('/').next().unwrap();
        let targets: Vec<String> = serde_json::from_slice(&stage.bucket.bytes(&key).await).unwrap();
        assert!(targets.len() <= 100);
        again.extend(targets.into_iter().map(|target| (job.to_owned(), target)));
    }
    again
}
