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
    AccessPolicy, DecidingPolicy, Decision, ExecutionAction, ExecutionFacts, Principal, Terms,
};
use crate::execution::{Execution, JobFacts};
use crate::ids::{ExecutionNumber, JobId, ThingName};
use crate::ports::{Force, ReadJobs};

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
    pub decision: Permission,
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

/// That the access policy allows it, and which policies say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    outcome: &'static str,
    /// The policies that permit.
    pub policies: Vec<DecidingPolicy>,
    /// What tells the policy set.
    pub policy_digest: String,
}

impl<I: ReadJobs> Guard<'_, I> {
    /// Reads the execution and its job at once. An execution that is not there is reported
    /// before anything that went wrong with the job.
    async fn read(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: Option<ExecutionNumber>,
    ) -> Result<(Execution, JobFacts), GuardError> {
        let execution = self.iot.describe_execution(job, thing, number);
        let (execution, facts) = futures_util::join!(execution, self.jobs.get(self.iot, job));
        Ok((execution?, facts?))
    }

    fn decide(
        &self,
        caller: &Caller<'_>,
        action: ExecutionAction,
        (execution, job): (&Execution, &JobFacts),
        terms: Terms,
    ) -> Result<Permission, GuardError> {
        let facts = ExecutionFacts { job_id: &execution.job_id, row: &execution.row, job };
        let decision = self.access.decide(caller.principal, action, &facts, &terms);
        audit(caller, action, (execution, job), &terms, &decision, self.access.digest());
        match decision {
            Decision::Allow(policies) => {
                let policy_digest = self.access.digest().to_owned();
                Ok(Permission { outcome: "allow", policies, policy_digest })
            }
            Decision::Deny(refusal) => Err(GuardError::Refused { action, refusal }),
        }
    }
}

/// One line for every decision: what was asked, what was seen, what was decided and why.
fn audit(
    caller: &Caller<'_>,
    action: ExecutionAction,
    (execution, job): (&Execution, &JobFacts),
    terms: &Terms,
    decision: &Decision,
    digest: &str,
) {
    info!(
        event = "decision",
        outcome = decision.code(),
        policies = decision.policy_ids(),
        policy_digest = digest,
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
