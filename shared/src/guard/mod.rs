//! The two guarded operations: read the facts, ask the access policy, act pinned to what was
//! decided on, and look at what came of it.

mod ask;
mod cancel;
mod delete;
mod error;
mod jobs;
mod settle;

pub use ask::{AskedExecution, DecisionRequest, Prospect};
pub use cancel::CancelRequest;
pub use delete::DeleteRequest;
pub use error::GuardError;
pub use jobs::JobCache;
pub(crate) use settle::{Look, look};

use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use crate::access::{
    AccessPolicy, AskedFacts, Decision, ExecutionAction, Explanation, Needs, Principal, Terms, WholeFacts,
};
use crate::execution::Execution;
use crate::ids::{ExecutionNumber, JobId, ThingName, Version};
use crate::meter;
use crate::ports::{Force, ReadError, ReadJobs};

/// How often a decision is made anew when the execution changes between reading and acting.
const TRIES: usize = 3;

/// The form of the audit trail's lines; grows when a reader would have to change.
pub const AUDIT_VERSION: u64 = 1;

/// Who asks, when, and under which request.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// When.
    pub now: Timestamp,
    /// The request's id, for the audit trail.
    pub request_id: &'a str,
}

/// What a decision is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To act on it.
    Act,
    /// Because somebody asked.
    Ask,
    /// Because somebody asked about an execution that is made up.
    Suppose,
}

impl Purpose {
    /// The event that the audit trail has for it.
    const fn event(self) -> &'static str {
        match self {
            Self::Act => "decision",
            Self::Ask => "decision_asked",
            Self::Suppose => "decision_supposed",
        }
    }
}

/// The terms of a caller's request that is not a dry run. What a caller deletes is archived first.
const fn terms(
    action: ExecutionAction,
    force: Force,
    expected_version: Option<Version>,
    now: Timestamp,
) -> Terms {
    Terms {
        force,
        pinned: expected_version.is_some(),
        dry_run: false,
        archived: matches!(action, ExecutionAction::Delete),
        past_retention: false,
        now,
    }
}

/// A guarded operation's parts: the facts' source, the policy, and the jobs read lately.
#[derive(Debug)]
pub struct Guard<'a, I> {
    /// AWS IoT Jobs.
    pub iot: &'a I,
    /// The access policy.
    pub access: &'a AccessPolicy,
    /// Jobs and tags read a moment ago.
    pub jobs: &'a JobCache,
}

/// What was decided, done and seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether nothing was done because the caller asked only for the decision.
    pub dry_run: bool,
    /// The decision.
    pub decision: Explanation,
    /// What came of it.
    pub result: &'static str,
    /// Whether the effect was seen. AWS may take a moment to show a cancellation that it accepted.
    pub confirmed: bool,
    /// The execution as it was when the decision was made.
    pub execution: Execution,
    /// Where its record lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
}

/// Reads what is wanted, and nothing otherwise.
async fn wanted<T>(
    wanted: bool,
    read: impl Future<Output = Result<T, ReadError>>,
) -> Result<Option<T>, ReadError> {
    if wanted { read.await.map(Some) } else { Ok(None) }
}

impl<I: ReadJobs> Guard<'_, I> {
    /// Reads the execution and its job at once, and what else the policies ask for. An execution
    /// that is not there is reported before anything that went wrong with the rest.
    async fn read(
        &self,
        needs: Needs,
        (job, thing): (&JobId, &ThingName),
        number: Option<ExecutionNumber>,
        now: Timestamp,
    ) -> Result<WholeFacts, GuardError> {
        let execution = self.iot.describe_execution(job, thing, number);
        let groups = wanted(needs.thing_groups, self.iot.thing_groups(thing));
        let attributes = wanted(needs.thing_attributes, self.iot.thing_attributes(thing));
        let (execution, facts, groups, attributes) =
            futures_util::join!(execution, self.jobs.get(self.iot, job, now), groups, attributes);
        let execution = execution?;
        let number = execution.row.execution_number;
        let listed = wanted(needs.retry_attempt, self.iot.listed_execution(job, thing, number)).await?;
        if listed.as_ref().is_some_and(|listed| listed.identity() != execution.row.identity()) {
            let message = "the execution was replaced while it was read; try again".to_owned();
            return Err(GuardError::InvalidState(message));
        }
        let asked = AskedFacts {
            description: Some(execution.clone()),
            retry_attempt: listed.map(|listed| listed.retry_attempt.unwrap_or(0)),
            thing_groups: groups?,
            thing_attributes: attributes?,
        };
        Ok(WholeFacts { execution, job: facts?, asked })
    }

    fn decide(
        &self,
        caller: &Caller<'_>,
        purpose: Purpose,
        action: ExecutionAction,
        facts: &WholeFacts,
        terms: Terms,
    ) -> Result<Explanation, GuardError> {
        let known = facts.facts();
        let decision = self.access.decide(caller.principal, action, &known, &terms);
        let mut explanation = self.access.explain(&decision, Some((&known, &terms)));
        explanation.unmet = self.access.unmet(&decision, caller.principal, action, &known, &terms);
        audit(caller, purpose, action, facts, &terms, &explanation);
        match decision {
            Decision::Allow(_) => Ok(explanation),
            Decision::Deny(refusal) => {
                Err(GuardError::Refused { action, refusal, explanation: Box::new(explanation) })
            }
        }
    }
}

/// One line for every decision: what was asked, what was seen, what was decided and why. Its members are those of
/// docs/audit.schema.json.
fn audit(
    caller: &Caller<'_>,
    purpose: Purpose,
    action: ExecutionAction,
    WholeFacts { execution, job, .. }: &WholeFacts,
    terms: &Terms,
    explanation: &Explanation,
) {
    if purpose == Purpose::Act {
        meter::decided(action.as_str(), explanation);
    }
    info!(
        event = purpose.event(),
        audit_version = AUDIT_VERSION,
        outcome = explanation.outcome,
        policies = explanation.policy_ids(),
        policy_source = explanation.policy_source,
        policy_digest = explanation.policy_digest,
        principal = %caller.principal,
        request_id = caller.request_id,
        action = action.as_str(),
        job_id = %execution.job_id,
        thing_name = %execution.row.thing_name,
        execution_number = execution.row.execution_number.get(),
        version_number = execution.version_number.get(),
        status = execution.row.status.as_str(),
        queued_at = %execution.row.queued_at,
        job_namespaced = job.job.namespace_id.is_some(),
        job_retries = job.job.retries,
        job_continuous = job.job.continuous,
        force = terms.force == Force::EvenInProgress,
        pinned = terms.pinned,
        dry_run = terms.dry_run,
    );
}
