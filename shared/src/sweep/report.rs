//! What a sweep leaves behind for people: sums that account for everything it saw.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::act::{Outcome, OutcomeKind};
use super::ages::{Ages, AgesOfRules, ForecastDay};
use super::blockers::{Blocker, NotLookedAt};
use super::counts::Counts;
use super::estimate::Estimate;
use super::history::History;
use super::id::SweepId;
use super::pace::IotOperation;
use super::plan::Checked;
use super::results;
use super::retire::WholeJobs;
use super::samples::Samples;
use super::state::{ArchiveTotals, JobCounts, Sweep, SweepStatus};
use super::tally::Verdicts;
use crate::archive;
use crate::lane::LaneName;
use crate::operation::Operation;

/// The report of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The sweep.
    pub sweep_id: SweepId,
    /// What it does.
    pub operation: Operation,
    /// The lane that it is in, if not the home lane.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lane: Option<LaneName>,
    /// The Region and account of that lane, `REGION` or `REGION@ACCOUNT`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Whether it only planned.
    pub dry_run: bool,
    /// Who started it.
    pub requested_by: String,
    /// How it ended.
    pub status: SweepStatus,
    /// Why it failed or stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The time that ages are counted to.
    pub now: Timestamp,
    /// When its first slice began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How long it took, waiting between slices included.
    pub duration_seconds: Option<i64>,
    /// How many slices it took.
    pub slices: u64,
    /// Where the retention rules that it went by are from, and which edition they were.
    #[serde(default)]
    pub rules_source: Option<String>,
    /// What tells the retention rules it went by.
    pub rules_digest: Option<String>,
    /// Where the access policy that it went by is from, and which edition it was.
    #[serde(default)]
    pub policy_source: Option<String>,
    /// What tells the access policy it went by.
    pub policy_digest: Option<String>,
    /// The jobs.
    pub jobs: JobCounts,
    /// How many executions were seen: those due, those kept and those that cannot be judged.
    pub rows_seen: u64,
    /// How many are due.
    pub due: u64,
    /// What is due, by rule and status.
    pub plan: Verdicts,
    /// What is kept, by rule, status and reason.
    pub kept: Verdicts,
    /// What could not be judged, by reason.
    pub unreadable: BTreeMap<String, u64>,
    /// What was judged (the plan and what is kept), by status and by age as the rules count it.
    #[serde(default)]
    pub ages: Ages,
    /// The same by rule.
    #[serde(skip_serializing_if = "AgesOfRules::is_empty", default)]
    pub ages_of_rules: AgesOfRules,
    /// The oldest few executions of each rule and verdict.
    #[serde(skip_serializing_if = "Samples::is_empty", default)]
    pub samples: Samples,
    /// How many of those kept as `notYet` come due on each of the next 30 days, by these rules and
    /// if nothing else changes. Access policies are not asked, and jobs too young to have been
    /// looked at are not in it.
    #[serde(default)]
    pub forecast: Vec<ForecastDay>,
    /// What holds others up on its thing, what holds up most first: of the 25 things on which something
    /// has been stale for longest when the scan had ended. Only `cancel-stale` looks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blockers: Option<Vec<Blocker>>,
    /// Which of these things could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub things_not_looked_at: Vec<NotLookedAt>,
    /// The finished jobs whose rule has them deleted whole.
    #[serde(skip_serializing_if = "WholeJobs::is_empty", default)]
    pub whole_jobs: WholeJobs,
    /// How many executions were, or may have been, acted on.
    pub attempts: u64,
    /// What came of them.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// What came of them, by rule and by the status that they were judged with.
    #[serde(default)]
    pub results: Counts<OutcomeKind>,
    /// When something was deleted or cancelled. A sweep that an earlier version began tells of what came after.
    #[serde(skip_serializing_if = "History::is_empty", default)]
    pub history: History,
    /// How many calls of each operation the deployment allows in an hour.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calls_per_hour: Option<u64>,
    /// The oldest few executions of each rule and outcome.
    #[serde(skip_serializing_if = "Samples::is_empty", default)]
    pub outcome_samples: Samples,
    /// Calls made, by operation. Calls of a slice that died are missing.
    pub calls: BTreeMap<IotOperation, u64>,
    /// Calls throttled, by operation.
    pub throttled: BTreeMap<IotOperation, u64>,
    /// What tells this plan from another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// What carrying the plan out would cost, or would have cost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimate: Option<Estimate>,
    /// What the breaker said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Checked>,
    /// The archive.
    pub archive: ArchiveReport,
    /// The folder in the bucket with what came of each archived execution.
    #[serde(default)]
    pub outcomes_prefix: String,
}

/// Where the records are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveReport {
    /// How many objects and records.
    #[serde(flatten)]
    pub totals: ArchiveTotals,
    /// The folder in the bucket.
    pub prefix: String,
}

impl Report {
    /// The report of a sweep as it stands.
    pub(super) fn of(sweep: &Sweep) -> Self {
        let (plan, kept) = sweep.tally.verdicts();
        Self {
            sweep_id: sweep.sweep_id.clone(),
            operation: sweep.operation,
            lane: sweep.lane.clone(),
            place: sweep.place.clone(),
            dry_run: sweep.dry_run,
            requested_by: sweep.requested_by.clone(),
            status: sweep.status,
            failure: sweep.failure.clone(),
            now: sweep.now,
            started_at: sweep.started_at,
            finished_at: sweep.finished_at,
            duration_seconds: sweep
                .started_at
                .zip(sweep.finished_at)
                .map(|(started, finished)| finished.duration_since(started).as_secs()),
            slices: sweep.attempt,
            rules_source: sweep.rules_source.clone(),
            rules_digest: sweep.rules_digest.clone(),
            policy_source: sweep.policy_source.clone(),
            policy_digest: sweep.policy_digest.clone(),
            jobs: sweep.jobs,
            rows_seen: sweep.rows_seen(),
            due: sweep.tally.total_due(),
            plan,
            kept,
            unreadable: sweep.tally.unreadable_rows().clone(),
            ages: sweep.tally.ages().clone(),
            ages_of_rules: sweep.tally.ages_of_rules().clone(),
            samples: sweep.tally.samples().clone(),
            forecast: sweep.tally.forecast().days(sweep.now),
            blockers: (sweep.operation == Operation::CancelStale).then(|| sweep.blockers.found()),
            things_not_looked_at: sweep.blockers.not_looked_at().to_vec(),
            whole_jobs: sweep.whole_jobs.clone(),
            attempts: sweep.attempts,
            outcomes: sweep.outcomes(),
            results: sweep.results.clone(),
            history: sweep.history.clone(),
            calls_per_hour: sweep.calls_per_hour,
            outcome_samples: sweep.samples.clone(),
            calls: sweep.calls.clone(),
            throttled: sweep.throttled.clone(),
            plan_digest: sweep.plan.as_ref().map(|plan| plan.digest.clone()),
            estimate: sweep.plan.as_ref().and_then(|plan| plan.estimate.clone()),
            breaker: sweep.plan.as_ref().map(|plan| plan.breaker.clone()),
            archive: ArchiveReport {
                totals: sweep.archive,
                prefix: archive::prefix(sweep.sweep_id.as_str(), sweep.now),
            },
            outcomes_prefix: results::prefix(sweep),
        }
    }
}
