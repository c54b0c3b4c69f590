//! The state object of a sweep.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::act::{Outcome, OutcomeKind, Share};
use super::blockers::Blockers;
use super::counts::Counts;
use super::cursor::Phase;
use super::estimate::{Estimate, Work};
use super::history::History;
use super::id::SweepId;
use super::pace::IotOperation;
use super::plan::Plan;
use super::retire::WholeJobs;
use super::samples::Samples;
use super::successes::{RulesOfJobs, Written};
use super::tally::Tally;
use crate::archive::Record;
use crate::lane::{Lane, LaneName};
use crate::listing::PagesSeen;
use crate::operation::Operation;

/// How far a sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SweepStatus {
    /// Its first slice has not begun.
    Queued,
    /// It looks at every execution.
    Scanning,
    /// It acts on what is due.
    Applying,
    /// It has done everything.
    Succeeded,
    /// The breaker stopped it before its first mutation.
    StoppedByBreaker,
    /// It cannot go on.
    Failed,
}

impl SweepStatus {
    /// Its name in states and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Scanning => "SCANNING",
            Self::Applying => "APPLYING",
            Self::Succeeded => "SUCCEEDED",
            Self::StoppedByBreaker => "STOPPED_BY_BREAKER",
            Self::Failed => "FAILED",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Scanning | Self::Applying => false,
            Self::Succeeded | Self::StoppedByBreaker | Self::Failed => true,
        }
    }
}

/// What is known of the jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCounts {
    /// Listed.
    pub seen: u64,
    /// Too young for the shortest limit of their own rule, so that nothing of them can be due; cost
    /// no call.
    pub too_young: u64,
    /// Their own rule keeps everything for ever; cost no call.
    #[serde(default)]
    pub never: u64,
    /// Not readable by this version, and therefore left alone.
    pub unreadable: u64,
    /// Judged.
    pub scanned: u64,
    /// Gone between listing and judging.
    pub gone: u64,
    /// Whose listing repeated itself: what it showed counts once, and what it did not show is not judged. The listing
    /// of jobs counts among them.
    #[serde(default, skip_serializing_if = "super::retire::is_zero")]
    pub repeated: u64,
    /// Segments written so far.
    pub(super) segments: u64,
}

/// An archive page that is being acted on. If the slice dies, its successor looks what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pending {
    /// The archive object.
    pub(super) key: String,
    /// Which of its records are in doubt, in their order; all count as attempted.
    pub(super) in_doubt: Vec<Range<usize>>,
}

impl Pending {
    /// Of an archive object, the records at these places, which are in their order. `None` if there are none.
    pub(super) fn of(key: &str, places: impl IntoIterator<Item = usize>) -> Option<Self> {
        let mut in_doubt: Vec<Range<usize>> = Vec::new();
        for place in places {
            match in_doubt.last_mut() {
                Some(last) if last.end == place => last.end += 1,
                Some(_) | None => in_doubt.push(place..place + 1),
            }
        }
        (!in_doubt.is_empty()).then(|| Self { key: key.to_owned(), in_doubt })
    }

    /// The places of the records in doubt.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        self.in_doubt.clone().into_iter().flatten()
    }
}

/// Who works on the sweep, and until when nobody else may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lease {
    /// The invocation.
    pub(super) holder: String,
    /// Its deadline: after it, the invocation cannot be alive.
    pub(super) until: Timestamp,
}

/// What has been archived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveTotals {
    /// Objects written.
    pub objects: u64,
    /// Records in them.
    pub records: u64,
}

/// The release of a plan that the breaker stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The stopped plan's digest.
    pub plan_digest: String,
    /// The sweep whose plan it is.
    pub planned_by: SweepId,
}

/// A sweep, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// Its name.
    pub sweep_id: SweepId,
    /// What it does.
    pub operation: Operation,
    /// The lane that it is in, if not the home lane.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lane: Option<LaneName>,
    /// The Region and account of that lane when the sweep was started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Whether it only plans.
    pub dry_run: bool,
    /// Who started it.
    pub requested_by: String,
    /// The time that ages are counted to.
    pub now: Timestamp,
    /// How far it has come.
    pub status: SweepStatus,
    /// Why it failed or stopped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// The released plan, if it carries one out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub release: Option<Release>,
    /// The next slice's number.
    pub step: u64,
    /// How many slices have begun.
    pub attempt: u64,
    pub(super) lease: Option<Lease>,
    pub(super) phase: Phase,
    /// Where the retention rules that it goes by are from.
    #[serde(default)]
    pub rules_source: Option<String>,
    /// The retention rules it goes by.
    pub rules_digest: Option<String>,
    /// Where the access policy that it goes by is from.
    #[serde(default)]
    pub policy_source: Option<String>,
    /// The access policy it goes by.
    pub policy_digest: Option<String>,
    /// The jobs.
    pub jobs: JobCounts,
    /// The verdicts on all executions.
    pub tally: Tally,
    /// Who is blocked on the things on which something is stale.
    #[serde(default)]
    pub blockers: Blockers,
    /// What has been written of successes for a ranking.
    #[serde(default)]
    pub(super) successes: Written,
    /// What is known of other jobs' rules.
    #[serde(skip_serializing_if = "RulesOfJobs::is_empty", default)]
    pub(super) rules_of_jobs: RulesOfJobs,
    /// A digest of the candidates so far.
    pub(super) candidates_digest: String,
    /// What the candidates cost to go through.
    #[serde(default)]
    pub(super) work: Work,
    /// The jobs that are deleted whole.
    #[serde(skip_serializing_if = "WholeJobs::is_empty", default)]
    pub whole_jobs: WholeJobs,
    /// The plan, once the scan is over.
    pub plan: Option<Plan>,
    /// How many executions have been, or may have been, acted on.
    pub attempts: u64,
    /// What came of them.
    pub results: Counts<OutcomeKind>,
    /// When something was deleted or cancelled.
    #[serde(skip_serializing_if = "History::is_empty", default)]
    pub history: History,
    /// How many calls of each operation the deployment allows in an hour.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calls_per_hour: Option<u64>,
    /// A few executions of each rule and outcome.
    #[serde(skip_serializing_if = "Samples::is_empty", default)]
    pub samples: Samples,
    pub(super) pending: Option<Pending>,
    /// Calls made, by operation.
    pub calls: BTreeMap<IotOperation, u64>,
    /// Calls throttled, by operation.
    pub throttled: BTreeMap<IotOperation, u64>,
    /// What has been archived.
    pub archive: ArchiveTotals,
    /// When its first slice began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
    /// When the state was last written.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished_at: Option<Timestamp>,
}

/// What `GET /sweeps` shows of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepView<'a> {
    sweep_id: &'a SweepId,
    operation: Operation,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a LaneName>,
    dry_run: bool,
    requested_by: &'a str,
    status: SweepStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    now: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    step: u64,
    attempt: u64,
    jobs: JobCounts,
    rows_seen: u64,
    due: u64,
    attempts: u64,
    outcomes: BTreeMap<Outcome, u64>,
    calls: &'a BTreeMap<IotOperation, u64>,
    throttled: &'a BTreeMap<IotOperation, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<&'a Estimate>,
}

impl Sweep {
    /// A sweep that is about to begin.
    pub(super) fn new(
        sweep_id: SweepId,
        operation: Operation,
        lane: Option<&Lane>,
        dry_run: bool,
        requested_by: String,
        now: Timestamp,
    ) -> Self {
        Self {
            sweep_id,
            operation,
            lane: lane.map(|lane| lane.name.clone()),
            place: lane.map(Lane::place),
            dry_run,
            requested_by,
            now,
            status: SweepStatus::Queued,
            failure: None,
            release: None,
            step: 0,
            attempt: 0,
            lease: None,
            phase: Phase::Listing { token: None, restarts: 0, listing: PagesSeen::default() },
            rules_source: None,
            rules_digest: None,
            policy_source: None,
            policy_digest: None,
            jobs: JobCounts::default(),
            tally: Tally::default(),
            blockers: Blockers::default(),
            successes: Written::default(),
            rules_of_jobs: RulesOfJobs::default(),
            candidates_digest: String::new(),
            work: Work::default(),
            whole_jobs: WholeJobs::default(),
            plan: None,
            attempts: 0,
            results: Counts::default(),
            history: History::default(),
            calls_per_hour: None,
            samples: Samples::default(),
            pending: None,
            calls: BTreeMap::new(),
            throttled: BTreeMap::new(),
            archive: ArchiveTotals::default(),
            started_at: None,
            updated_at: now,
            finished_at: None,
        }
    }

    /// How many executions were seen.
    pub fn rows_seen(&self) -> u64 {
        self.tally.total()
    }

    pub(super) fn count(&mut self, share: &Share, outcome: Outcome, times: u64) {
        self.results.add(OutcomeKind { share: share.clone(), outcome }, times);
    }

    /// Counts what came of the execution of a record, and notes when.
    pub(super) fn came_of(&mut self, record: &Record, outcome: Outcome, now: Timestamp) {
        self.count(&Share::of(record), outcome, 1);
        if outcome.done() {
            self.history.note(self.started_at.unwrap_or(now), now);
        }
        self.sample(record, outcome);
    }

    /// Notes what came of the execution of a record, for whoever looks it up.
    pub(super) fn sample(&mut self, record: &Record, outcome: Outcome) {
        let rule = record.rule.as_deref().unwrap_or_default();
        self.samples.tell((rule, outcome.as_str()), &record.job.job.job_id, record.row());
    }

    /// What came of them, whatever their rule and status.
    pub fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        let mut outcomes = BTreeMap::new();
        for (kind, count) in self.results.iter() {
            *outcomes.entry(kind.outcome).or_default() += count;
        }
        outcomes
    }

    /// The sweep whose scan found what this one acts on: itself, or the one that was released.
    pub(super) fn planned_by(&self) -> &SweepId {
        self.release.as_ref().map_or(&self.sweep_id, |release| &release.planned_by)
    }

    /// What to show of it.
    pub fn view(&self) -> SweepView<'_> {
        SweepView {
            sweep_id: &self.sweep_id,
            operation: self.operation,
            lane: self.lane.as_ref(),
            dry_run: self.dry_run,
            requested_by: &self.requested_by,
            status: self.status,
            failure: self.failure.as_deref(),
            now: self.now,
            started_at: self.started_at,
            updated_at: self.updated_at,
            finished_at: self.finished_at,
            step: self.step,
            attempt: self.attempt,
            jobs: self.jobs,
            rows_seen: self.rows_seen(),
            due: self.tally.total_due(),
            attempts: self.attempts,
            outcomes: self.outcomes(),
            calls: &self.calls,
            throttled: &self.throttled,
            plan_digest: self.plan.as_ref().map(|plan| plan.digest.as_str()),
            estimate: self.plan.as_ref().and_then(|plan| plan.estimate.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_in_doubt_are_told_in_runs_and_read_back() {
        let places = [0, 1, 2, 7, 9, 10];
        let pending = Pending::of("key", places).unwrap();
        let text = serde_json::to_string(&pending).unwrap();
        let runs = r#"[{"start":0,"end":3},{"start":7,"end":8},{"start":9,"end":11}]"#;
        assert_eq!(text, format!(r#"{{"key":"key","inDoubt":{runs}}}"#));
        let read: Pending = serde_json::from_str(&text).unwrap();
        assert_eq!(read.places().collect::<Vec<_>>(), places);
        assert_eq!(Pending::of("key", []), None);
    }
}
