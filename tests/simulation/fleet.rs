//! The fleet of a case: jobs of every kind, and executions whose ages lie where the rules turn.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use shared::execution::{ExecutionRow, JobStatus, RetryLimits, Status};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::operation::Operation;
use tests::{FakeExecution, JobSetup};

use crate::rng::Rng;
use crate::rules::TERMINAL;

pub(crate) const JOBS: [&str; 4] = ["fw-1", "fw-2", "cfg-1", "keep-logs"];
pub(crate) const THINGS: [&str; 4] = ["pump", "valve", "meter", "relay"];

/// A job, and how long ago it was made, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct JobSpec {
    pub(crate) id: &'static str,
    pub(crate) created_ago: i64,
    pub(crate) setup: JobSetup,
}

/// An execution, with its times in milliseconds ago.
#[derive(Debug, Clone)]
pub(crate) struct ExecutionSpec {
    pub(crate) job: &'static str,
    pub(crate) thing: &'static str,
    pub(crate) number: i64,
    pub(crate) status: Status,
    pub(crate) queued_ago: i64,
    pub(crate) updated_ago: i64,
    pub(crate) retry_attempt: Option<i64>,
}

impl ExecutionSpec {
    pub(crate) fn build(&self, now: Timestamp) -> FakeExecution {
        let ago = |milliseconds| now - SignedDuration::from_millis(milliseconds);
        let queued_at = ago(self.queued_ago);
        let waits = self.status == Status::Queued;
        FakeExecution {
            job: JobId::parse(self.job).unwrap(),
            row: ExecutionRow {
                thing_name: ThingName::parse(self.thing).unwrap(),
                execution_number: ExecutionNumber::new(self.number),
                status: self.status,
                queued_at,
                started_at: (!waits).then_some(queued_at),
                last_updated_at: ago(self.updated_ago),
                retry_attempt: self.retry_attempt,
            },
            version: if waits { 1 } else { 2 },
            force_canceled: false,
            details: BTreeMap::new(),
            seconds_left: None,
        }
    }
}

pub(crate) fn job(rng: &mut Rng, id: &'static str) -> JobSpec {
    let mut tags = BTreeMap::new();
    let mut tag = |key: &str, value: &str| tags.insert(key.to_owned(), value.to_owned());
    if rng.chance(12) {
        tag("jobwarden:hold", rng.pick(&["", "legal"]));
    }
    if rng.chance(40) {
        tag("ring", rng.pick(&["canary", "canary-2", "stable"]));
    }
    if rng.chance(20) {
        tag("owner", rng.pick(&["", "ops"]));
    }
    let retries = rng.chance(30);
    let limit = |rng: &mut Rng| if retries { rng.below(3) as u32 } else { 0 };
    let statuses = [
        (8, None),
        (5, Some(JobStatus::Completed)),
        (2, Some(JobStatus::Canceled)),
        (1, Some(JobStatus::Scheduled)),
        (1, Some(JobStatus::DeletionInProgress)),
    ];
    let setup = JobSetup {
        tags,
        namespace: rng.chance(8).then_some("aws-gg-x"),
        retries,
        retry_limits: RetryLimits { failed: limit(rng), timed_out: limit(rng) },
        status: rng.weighted(&statuses),
        continuous: rng.chance(20),
        target_not_listed: rng.chance(15),
    };
    JobSpec { id, created_ago: 0, setup }
}

/// The executions of a job: some things have had several, and only the last may be active.
pub(crate) fn executions_of(
    rng: &mut Rng,
    operation: Operation,
    job: &JobSpec,
    limits: &[i64],
) -> Vec<ExecutionSpec> {
    let mut executions = Vec::new();
    // Often enough everything that a finished job has is due: it may go whole.
    let all_old = job.setup.status == Some(JobStatus::Completed) && rng.chance(60);
    for thing in THINGS {
        if rng.chance(15) {
            continue;
        }
        let count = rng.weighted(&[(8, 1), (2, 2), (1, 3)]);
        let mut oldest = i64::MAX;
        for number in 1..=count {
            let last = number == count;
            let active = match operation {
                Operation::DeleteExpired => 20,
                Operation::CancelStale => 75,
            };
            // A job is complete when nothing of it is active; one that was cancelled may still be running.
            let status = if last && rng.chance(active) && job.setup.status != Some(JobStatus::Completed) {
                rng.weighted(&[(2, Status::Queued), (1, Status::InProgress)])
            } else if rng.chance(35) {
                // Several on a thing, so that rules keep the last of them.
                Status::Succeeded
            } else {
                rng.pick(&TERMINAL)
            };
            let age = if all_old { age_of_all(limits) } else { age(rng, limits) };
            let before = rng.pick(&[0, 0, 1000, 60_000, 3_600_000, 86_400_000]);
            // What waits ages from its queueing, and everything else from its last change.
            let (queued, updated) = if status == Status::Queued {
                (age, age.saturating_sub(before))
            } else {
                (age + before, age)
            };
            let queued_ago = queued.min(oldest);
            let updated_ago = updated.min(queued_ago);
            // The next one of the thing was queued at least two seconds later.
            oldest = updated_ago.saturating_sub(2000);
            let open = job.setup.retry_limits.failed.max(job.setup.retry_limits.timed_out);
            let attempt = rng.below(open as usize + 2) as i64;
            let retry_attempt = (attempt > 0 || rng.chance(50)).then_some(attempt);
            executions.push(ExecutionSpec {
                job: job.id,
                thing,
                number,
                status,
                queued_ago,
                updated_ago,
                retry_attempt,
            });
        }
    }
    executions
}

/// An age in milliseconds that is past every limit.
fn age_of_all(limits: &[i64]) -> i64 {
    (limits.iter().max().copied().unwrap_or(24) + 1) * 3_600_000
}

/// An age in milliseconds, mostly close to where a rule turns.
fn age(rng: &mut Rng, limits: &[i64]) -> i64 {
    let limit = if limits.is_empty() { 24 } else { rng.pick(limits) };
    let edge = limit * 3_600_000;
    let off = rng.pick(&[
        0,
        0,
        -1,
        1,
        -1000,
        1000,
        10_000,
        -10_000,
        -60_000,
        -290_000,
        3_600_000,
        -3_600_000,
        86_400_000,
        900_000,
        7 * 86_400_000,
        500_000_000,
    ]);
    let young = rng.chance(4);
    if young { rng.between(-3_600_000, 600_000) } else { (edge + off).max(0) }
}
