//! The second opinion: what the rules say of an execution, written down once more and plainly, over the rules
//! as they were made up and the world as it truly is. It shares nothing with the code under test.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::execution::{ExecutionRow, JobStatus, Status};
use shared::operation::Operation;
use tests::{FakeExecution, FakeIot, JobSetup};

use crate::rules::{Rule, Rules, TERMINAL};

const HOLD: &str = "jobwarden:hold";

/// What tells an execution from every other one of a case.
pub(crate) type Key = (String, String, i64, Timestamp);

pub(crate) fn key(execution: &FakeExecution) -> Key {
    let row = &execution.row;
    (execution.job.to_string(), row.thing_name.to_string(), row.execution_number.get(), row.queued_at)
}

/// Which access policy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// As shipped.
    Shipped,
    /// Sweeps may cancel what runs, of the jobs `fw-*`.
    ForcesFirmware,
}

/// What the oracle knows: the rules, and whose status nobody can read.
#[derive(Debug)]
pub(crate) struct Oracle<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) unreadable: &'a BTreeSet<(String, String)>,
    pub(crate) policy: Policy,
}

impl Oracle<'_> {
    /// The rule by which an execution is due at `now`, where one has it due and nobody holds it.
    pub(crate) fn due(
        &self,
        operation: Operation,
        now: Timestamp,
        job: (&str, &JobSetup),
        row: &ExecutionRow,
    ) -> Option<&str> {
        let (job_id, setup) = job;
        if setup.tags.contains_key(HOLD) || setup.namespace.is_some() {
            return None;
        }
        // AWS takes its executions away by itself.
        if setup.status == Some(JobStatus::DeletionInProgress) {
            return None;
        }
        if self.unreadable.contains(&(job_id.to_owned(), row.thing_name.to_string())) {
            return None;
        }
        let rule = self.rule(job);
        let (hours, from) = match operation {
            Operation::DeleteExpired => {
                let nth = TERMINAL.iter().position(|status| *status == row.status)?;
                (rule.delete_after[nth]?, row.last_updated_at)
            }
            Operation::CancelStale if row.status == Status::Queued => (rule.cancel_after?, row.queued_at),
            Operation::CancelStale if row.status == Status::InProgress => {
                let permitted = self.policy == Policy::ForcesFirmware && job_id.starts_with("fw-");
                let queues_another = setup.retries || setup.continuous;
                if !permitted || queues_another {
                    return None;
                }
                (rule.cancel_running_after?, row.last_updated_at)
            }
            Operation::CancelStale => return None,
        };
        let retried = operation == Operation::DeleteExpired && may_be_retried(setup, row);
        (is_old(now, row, hours, from) && !retried).then_some(rule.name.as_str())
    }

    /// How many successes its rule keeps, if it is one.
    pub(crate) fn keeps_last(&self, one: &FakeExecution, iot: &FakeIot) -> Option<usize> {
        let setup = iot.job_setup(&one.job)?;
        let rule = self.rule((one.job.as_str(), &setup));
        rule.keep_last.filter(|_| one.row.status == Status::Succeeded)
    }

    /// Whether a success is one of the newest that its rule keeps, given all there are: by counting those that are
    /// newer.
    pub(crate) fn is_among_last(&self, one: &FakeExecution, all: &[FakeExecution], iot: &FakeIot) -> bool {
        let rule = |found: &FakeExecution| {
            let setup = iot.job_setup(&found.job)?;
            // AWS takes its executions away by itself.
            if setup.status == Some(JobStatus::DeletionInProgress) {
                return None;
            }
            Some(self.rule((found.job.as_str(), &setup)))
        };
        let Some(own) = rule(one) else { return false };
        let Some(last) = self.keeps_last(one, iot) else { return false };
        let age = |found: &FakeExecution| {
            let row = &found.row;
            // AWS tells times to the second.
            let times = (row.last_updated_at.as_second(), row.queued_at.as_second());
            (times, row.execution_number.get(), found.job.to_string())
        };
        let newer = all.iter().filter(|other| {
            other.row.status == Status::Succeeded
                && other.row.thing_name == one.row.thing_name
                && !self.unreadable.contains(&(other.job.to_string(), other.row.thing_name.to_string()))
                && rule(other).is_some_and(|rule| rule.name == own.name)
                && age(other) > age(one)
        });
        newer.count() < last
    }

    fn rule(&self, job: (&str, &JobSetup)) -> &Rule {
        self.rules.rules.iter().find(|rule| is_for(rule, job)).unwrap_or(&self.rules.default)
    }

    /// The things on which something waits or runs for longer than its rule has it, whoever holds it.
    pub(crate) fn stale_things(&self, now: Timestamp, iot: &FakeIot) -> BTreeSet<String> {
        let is_stale = |execution: &FakeExecution| {
            let FakeExecution { job, row, .. } = execution;
            let Some(setup) = iot.job_setup(job) else { return false };
            if setup.status == Some(JobStatus::DeletionInProgress) {
                return false;
            }
            let rule = self.rule((job.as_str(), &setup));
            let old = |limit: Option<i64>, from| limit.is_some_and(|hours| is_old(now, row, hours, from));
            let waits = row.status == Status::Queued && old(rule.cancel_after, row.queued_at);
            let runs =
                row.status == Status::InProgress && old(rule.cancel_running_after, row.last_updated_at);
            let readable = !self.unreadable.contains(&(job.to_string(), row.thing_name.to_string()));
            readable && (waits || runs)
        };
        let stale = iot.executions().into_iter().filter(is_stale);
        stale.map(|execution| execution.row.thing_name.to_string()).collect()
    }

    /// Whether a job is deleted whole once everything of it is due.
    pub(crate) fn retires(&self, job: (&str, &JobSetup)) -> bool {
        let rule = self.rules.rules.iter().find(|rule| is_for(rule, job));
        rule.unwrap_or(&self.rules.default).retires
    }

    /// Everything that is due in a world.
    pub(crate) fn all_due(
        &self,
        operation: Operation,
        now: Timestamp,
        iot: &FakeIot,
    ) -> BTreeMap<Key, (String, Status)> {
        let executions = iot.executions();
        let all = executions.clone();
        executions
            .into_iter()
            .filter(|execution| {
                operation != Operation::DeleteExpired || !self.is_among_last(execution, &all, iot)
            })
            .filter_map(|execution| {
                let setup = iot.job_setup(&execution.job)?;
                let rule = self.due(operation, now, (execution.job.as_str(), &setup), &execution.row)?;
                Some((key(&execution), (rule.to_owned(), execution.row.status)))
            })
            .collect()
    }
}

/// What holds up others on a thing, since when and how many: the one that runs for longest, or else waits for longest.
pub(crate) fn blocker(thing: &str, iot: &FakeIot) -> Option<(Status, Timestamp, u64)> {
    let of = |status| {
        let executions = iot.executions().into_iter();
        let mine =
            executions.filter(|found| found.row.thing_name.as_str() == thing && found.row.status == status);
        let since = |found: FakeExecution| found.row.started_at.unwrap_or(found.row.queued_at);
        mine.map(since).collect::<Vec<_>>()
    };
    let (running, waiting) = (of(Status::InProgress), of(Status::Queued));
    let waits = waiting.len() as u64;
    match running.into_iter().min() {
        Some(since) => (waits > 0).then_some((Status::InProgress, since, waits)),
        None => {
            waiting.into_iter().min().filter(|_| waits > 1).map(|since| (Status::Queued, since, waits - 1))
        }
    }
}

fn is_old(now: Timestamp, row: &ExecutionRow, hours: i64, from: Timestamp) -> bool {
    let nanoseconds = |time: Timestamp| time.as_nanosecond();
    let late = [row.queued_at, row.last_updated_at].iter().any(|time| nanoseconds(*time) > nanoseconds(now));
    let age = nanoseconds(now) - nanoseconds(from);
    age >= i128::from(hours) * 3600 * 1_000_000_000 && !late
}

fn is_for(rule: &Rule, (job_id, setup): (&str, &JobSetup)) -> bool {
    let by_id = rule.job_ids.is_empty() || rule.job_ids.iter().any(|pattern| fits(pattern, job_id));
    let by_tags = rule
        .job_tags
        .iter()
        .all(|(key, wanted)| setup.tags.get(*key).is_some_and(|value| fits(wanted, value)));
    let by_target = rule.continuous.is_none_or(|continuous| continuous == setup.continuous);
    by_id && by_tags && by_target
}

/// The textbook recursion.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => fits(&pattern[1..], text) || !text.is_empty() && fits(pattern, &text[1..]),
        (Some(wanted), Some(is)) if wanted == is => fits(&pattern[1..], &text[1..]),
        _ => false,
    }
}

/// Whether the job may still queue another execution after this one.
pub(crate) fn may_be_retried(setup: &JobSetup, row: &ExecutionRow) -> bool {
    let limit = match row.status {
        Status::Failed => setup.retry_limits.failed,
        Status::TimedOut => setup.retry_limits.timed_out,
        Status::Queued
        | Status::InProgress
        | Status::Succeeded
        | Status::Rejected
        | Status::Removed
        | Status::Canceled => 0,
    };
    let open = match setup.status {
        None | Some(JobStatus::InProgress | JobStatus::Scheduled) => true,
        Some(JobStatus::Canceled | JobStatus::Completed | JobStatus::DeletionInProgress) => false,
    };
    open && row.retry_attempt.unwrap_or(0) < i64::from(limit)
}
