//! The life of one case: its sweeps with everything that goes wrong, and a fresh one when that has ended.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shared::operation::Operation;
use shared::sweep::SweepStatus;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::case::{Case, SweepSpec};
use crate::notes::Shared;
use crate::oracle;
use crate::stage::{Conditions, Stage};

/// Whether to note every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    Off,
    On,
}

/// What came of a case.
#[derive(Debug, Default)]
pub(crate) struct Lived {
    pub(crate) violations: Vec<String>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) trace: Vec<String>,
}

/// Lives a case through. Everything in it follows from the case: the runtime has one thread and its time stands still
/// while there is work.
pub(crate) fn live(case: &Case, trace: Trace) -> Lived {
    let notes = Shared::default();
    if trace == Trace::On {
        notes.lock().trace = Some(Vec::new());
    }
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(stages(case, notes.clone()))));
    if let Err(panic) = lived {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        notes.wrong(format!("a panic: {}", text.unwrap_or("of no text")));
    }
    let mut notes = notes.lock();
    Lived {
        violations: std::mem::take(&mut notes.violations),
        counts: std::mem::take(&mut notes.counts),
        trace: notes.trace.take().unwrap_or_default(),
    }
}

async fn stages(case: &Case, notes: Shared) {
    let stage = Stage::new(case, notes);
    let before = stage.iot.executions().iter().map(oracle::key).collect();
    let conditions = Conditions { rate: case.rate, slice_seconds: case.slice_seconds, skew: case.skew };
    let run = async |spec: &SweepSpec| {
        let (nth, id) = stage.start(*spec, None).await;
        stage.deliver(nth, &id, conditions).await;
        (nth, id)
    };
    let first = run(&case.sweeps[0]);
    let ended = match case.sweeps.get(1) {
        None => vec![first.await],
        Some(second) => {
            stage.notes.count("fault: overlapping sweeps");
            let (first, second) = futures_util::join!(first, run(second));
            vec![first, second]
        }
    };
    stage.notes.lock().calm = true;
    let mut sweeps = Vec::new();
    for (nth, id) in &ended {
        let Some(sweep) = stage.judge(*nth, id).await else { return };
        stage.judge_undisturbed(&before, *nth, &sweep);
        sweeps.push(sweep);
    }
    stage.judge_dry_bucket(&sweeps).await;
    fresh(&stage).await;
}

/// When nothing goes wrong any more, everything due goes: after a fresh sweep at the latest.
async fn fresh(stage: &Stage<'_>) {
    sleep(Duration::from_secs(100)).await;
    let operation = stage.case.sweeps[0].operation;
    let spec = SweepSpec { after: 0, operation, dry_run: false, ahead: 0 };
    let mut release = None;
    let mut planned_at = None;
    loop {
        let before = stage.iot.executions();
        let jobs = before.iter().map(|execution| &execution.job);
        let jobs = jobs.map(|job| (job.clone(), stage.iot.job_setup(job).unwrap_or_default())).collect();
        let (nth, id) = stage.start(spec, release).await;
        if let Some(planned_at) = planned_at {
            // What is released goes by the time of its plan.
            stage.notes.lock().sweeps[nth].now = planned_at;
        }
        let blocked = stage.truly_blocked(nth);
        stage.deliver(nth, &id, Conditions::FINE).await;
        let Some(sweep) = stage.judge(nth, &id).await else { return };
        stage.judge_fresh(nth, &sweep, (&before, &jobs));
        if operation == Operation::CancelStale {
            stage.judge_fresh_blockers(&blocked, &sweep);
        }
        if sweep.release.is_some() {
            stage.notes.count("sweep: released");
        }
        if sweep.status != SweepStatus::StoppedByBreaker {
            return;
        }
        planned_at = Some(sweep.now);
        release = sweep.plan.map(|plan| plan.digest);
        if release.is_none() {
            return stage.notes.wrong("a stopped sweep has no plan".to_owned());
        }
    }
}
