//! The two guarded operations: read the facts, ask the access policy, act pinned to what was
//! decided on, and look at what came of it.

mod cancel;
mod delete;
mod error;
mod jobs;
mod settle;

pub use cancel::CancelRequest;
pub use delete::DeleteRequest;
pub use error::GuardError;
pub use jobs::JobCache;
pub(crate) use settle::{Look, look};

use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use crate::access::{
    AccessPolicy, AskedFacts, Decision, ExecutionAction, ExecutionFacts, Explanation, Needs, Principal, Terms,
};
use crate::execution::{Execution, JobFacts};
use crate::ids::{ExecutionNumber, JobId, ThingName};
use crate::ports::{Force, ReadError, ReadJobs};

/// How often a decision is made anew when the execution changes between reading and acting.
const TRIES: usize = 3;

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

/// What a decision is made on.
#[derive(Debug)]
struct Facts {
    execution: Execution,
    job: JobFacts,
    asked: AskedFacts,
}

impl<I: ReadJobs> Guard<'_, I> {
    /// Reads the execution and its job at once, and what else the policies ask for. An execution
    /// that is not there is reported before anything that went wrong with the rest.
    async fn read(
        &self,
        needs: Needs,
        (job, thing): (&JobId, &ThingName),
        number: Option<ExecutionNumber>,
    ) -> Result<Facts, GuardError> {
        let execution = self.iot.describe_execution(job, thing, number);
        let groups = wanted(needs.thing_groups, self.iot.thing_groups(thing));
        let attributes = wanted(needs.thing_attributes, self.iot.thing_attributes(thing));
        let (execution, facts, groups, attributes) =
            futures_util::join!(execution, self.jobs.get(self.iot, job), groups, attributes);
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
        Ok(Facts { execution, job: facts?, asked })
    }

    fn decide(
        &self,
        caller: &Caller<'_>,
        action: ExecutionAction,
        Facts { execution, job, asked }: &Facts,
        terms: Terms,
    ) -> Result<Explanation, GuardError> {
        let facts = ExecutionFacts { job_id: &execution.job_id, row: &execution.row, job, asked };
        let decision = self.access.decide(caller.principal, action, &facts, &terms);
        let mut explanation = self.access.explain(&decision, Some((&facts, &terms)));
        explanation.unmet = self.access.unmet(&decision, caller.principal, action, &facts, &terms);
        audit(caller, action, (execution, job), &terms, &explanation);
        match decision {
            Decision::Allow(_) => Ok(explanation),
            Decision::Deny(refusal) => {
                Err(GuardError::Refused { action, refusal, explanation: Box::new(explanation) })
            }
        }
    }
}

/// One line for every decision: what was asked, what was seen, what was decided and why.
fn audit(
    caller: &Caller<'_>,
    action: ExecutionAction,
    (execution, job): (&Execution, &JobFacts),
    terms: &Terms,
    explanation: &Explanation,
) {
    info!(
        event = "decision",
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
