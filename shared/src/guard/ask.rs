//! What would come of a request: decided and checked as if it were made, and not made.

use jiff::Timestamp;

use super::cancel::{check_cancellable, check_version};
use super::delete::check_deletable;
use super::{Caller, Guard, GuardError, Purpose, terms};
use crate::access::{ExecutionAction, Explanation, WholeFacts};
use crate::ids::{ExecutionNumber, JobId, ThingName, Version};
use crate::ports::{Force, ReadJobs};

/// A request that a caller wants to know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRequest {
    /// What would be done.
    pub action: ExecutionAction,
    /// Whether a running execution might be hit.
    pub force: Force,
    /// The version that a cancel would name.
    pub expected_version: Option<Version>,
    /// To what it would be done.
    pub execution: AskedExecution,
}

/// The execution that a caller asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedExecution {
    /// One that is there: its facts are read.
    Described {
        /// The job.
        job_id: JobId,
        /// The thing.
        thing_name: ThingName,
        /// Which execution; `None` is the thing's current one, as a cancel has it.
        execution_number: Option<ExecutionNumber>,
    },
    /// One that is made up: nothing is read.
    Hypothetical {
        /// Its facts.
        facts: Box<WholeFacts>,
        /// The time at which the request would be made.
        now: Timestamp,
    },
}

impl AskedExecution {
    /// Whether it is made up.
    pub const fn is_hypothetical(&self) -> bool {
        matches!(self, Self::Hypothetical { .. })
    }
}

/// What would come of a request.
#[derive(Debug)]
pub struct Prospect {
    /// What the access policy says.
    pub decision: Explanation,
    /// What would be answered instead of doing it, if it would not be done.
    pub objection: Option<GuardError>,
}

impl<I: ReadJobs> Guard<'_, I> {
    /// Reads, decides and checks all that the request itself would, and stops there. What a caller
    /// learns is what the same request with `dryRun=true` tells, and less: the facts that deciding
    /// policies name, not the execution.
    ///
    /// # Errors
    /// When the execution is not there or something cannot be read.
    pub async fn ask(&self, caller: &Caller<'_>, request: &DecisionRequest) -> Result<Prospect, GuardError> {
        let DecisionRequest { action, force, expected_version, execution } = request;
        let (facts, now, purpose) = match execution {
            AskedExecution::Described { job_id, thing_name, execution_number } => {
                let needs = self.access.needs(caller.principal, *action);
                let facts = self.read(needs, (job_id, thing_name), *execution_number, caller.now).await?;
                (facts, caller.now, Purpose::Ask)
            }
            AskedExecution::Hypothetical { facts, now } => ((**facts).clone(), *now, Purpose::Suppose),
        };
        let terms = terms(*action, *force, *expected_version, now);
        let decision = match self.decide(caller, purpose, *action, &facts, terms) {
            Ok(decision) => decision,
            Err(GuardError::Refused { action, refusal, explanation }) => {
                let decision = (*explanation).clone();
                let objection = Some(GuardError::Refused { action, refusal, explanation });
                return Ok(Prospect { decision, objection });
            }
            Err(error) => return Err(error),
        };
        let execution = &facts.execution;
        let checked = match action {
            ExecutionAction::Cancel => check_version(*expected_version, execution)
                .and_then(|()| check_cancellable(*force, execution)),
            ExecutionAction::Delete => match check_deletable(*force, execution) {
                Ok(()) if purpose == Purpose::Ask && !execution.row.status.is_terminal() => {
                    self.check_current(execution).await
                }
                checked => checked,
            },
        };
        let objection = match checked {
            Ok(()) => None,
            Err(error @ (GuardError::InvalidState(_) | GuardError::VersionConflict(_))) => Some(error),
            Err(error) => return Err(error),
        };
        Ok(Prospect { decision, objection })
    }
}
