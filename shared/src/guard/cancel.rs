//! The guarded CancelJobExecution.

use super::settle::{CancelEffect, after_cancel};
use super::{Answer, Caller, Guard, GuardError, Purpose, TRIES, terms};
use crate::access::{ExecutionAction, Terms, WholeFacts};
use crate::execution::{Execution, Job, Status};
use crate::ids::{JobId, StatusDetails, ThingName, Version};
use crate::meter;
use crate::ports::{Cancel, CancelExecutions, Force, MutationError, ReadJobs};

/// What a caller asks of CancelJobExecution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// The job.
    pub job_id: JobId,
    /// The thing, whose current execution of the job is meant.
    pub thing_name: ThingName,
    /// Whether a running execution may be hit.
    pub force: Force,
    /// The version that the caller has seen, if it named one.
    pub expected_version: Option<Version>,
    /// What to leave on the execution.
    pub status_details: Option<StatusDetails>,
    /// Whether to decide and report only.
    pub dry_run: bool,
}

impl<I: ReadJobs + CancelExecutions> Guard<'_, I> {
    /// Cancels the thing's current execution of a job, if the access policy allows it, at the
    /// version that was decided on and no other.
    ///
    /// # Errors
    /// As [`GuardError`] tells. Only [`GuardError::UnknownOutcome`] leaves open what happened.
    pub async fn cancel(&self, caller: &Caller<'_>, request: &CancelRequest) -> Result<Answer, GuardError> {
        let terms = terms(ExecutionAction::Cancel, request.force, request.expected_version, caller.now);
        let terms = Terms { dry_run: request.dry_run, ..terms };
        let needs = self.access.needs(caller.principal, ExecutionAction::Cancel);
        for _ in 0..TRIES {
            let facts = self.read(needs, (&request.job_id, &request.thing_name), None, caller.now).await?;
            let decision = self.decide(caller, Purpose::Act, ExecutionAction::Cancel, &facts, terms)?;
            let WholeFacts { execution, job, .. } = facts;
            check_version(request.expected_version, &execution)?;
            check_cancellable(request.force, &execution)?;
            let answer = |result, confirmed, execution| Answer {
                dry_run: request.dry_run,
                decision,
                result,
                confirmed,
                execution,
                archive: None,
            };
            if request.dry_run {
                return Ok(answer("wouldCancel", false, execution));
            }
            let details = request.status_details.clone();
            match self.cancel_pinned((&execution, &job.job), request.force, details).await {
                Ok(seen) => return Ok(answer("canceled", seen.is_some(), execution)),
                // Our own pin: the execution moved on between reading and acting.
                Err(GuardError::VersionConflict(_)) if request.expected_version.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        let message = format!("the execution changed {TRIES} times while it was being cancelled; try again");
        Err(GuardError::VersionConflict(message))
    }

    /// Cancels exactly the execution that was read, and looks at what came of it: the execution
    /// as CANCELED, or `None` when AWS accepted and does not show it. A cancel that may have hit
    /// another execution is not a success.
    pub(super) async fn cancel_pinned(
        &self,
        (execution, job): (&Execution, &Job),
        force: Force,
        status_details: Option<StatusDetails>,
    ) -> Result<Option<Execution>, GuardError> {
        let seen = self.send_cancel((execution, job), force, status_details).await?;
        meter::cancelled_by_request();
        Ok(seen)
    }

    async fn send_cancel(
        &self,
        (execution, job): (&Execution, &Job),
        force: Force,
        status_details: Option<StatusDetails>,
    ) -> Result<Option<Execution>, GuardError> {
        let cancel = Cancel {
            job_id: execution.job_id.clone(),
            thing_name: execution.row.thing_name.clone(),
            expected_version: execution.version_number,
            force,
            status_details,
        };
        match self.iot.cancel(&cancel).await {
            Ok(()) => match after_cancel(self.iot, execution).await {
                CancelEffect::Canceled(seen) => Ok(Some(*seen)),
                CancelEffect::NotYet => Ok(None),
                CancelEffect::NotCompared if !job.may_queue_another() => Ok(None),
                CancelEffect::NotCompared => {
                    let what = "AWS IoT accepted the cancel, but the execution could not be looked at, and \
                                its job may have queued another that was hit instead";
                    Err(GuardError::unknown_outcome(what, "no look after the cancel showed the execution"))
                }
                CancelEffect::Mismatch(what) => {
                    tracing::error!(
                        event = "identity_mismatch",
                        job_id = %execution.job_id,
                        thing_name = %execution.row.thing_name,
                        execution_number = execution.row.execution_number.get(),
                        what,
                        "a cancel did not hit the execution it was meant for"
                    );
                    let message = format!("AWS IoT accepted the cancel, but {what}; describe the execution");
                    Err(GuardError::InvalidState(message))
                }
            },
            // The answer was lost: only an execution that shows as CANCELED, at a later version,
            // says that it happened.
            Err(MutationError::Unknown(source)) => match after_cancel(self.iot, execution).await {
                CancelEffect::Canceled(seen) if seen.version_number > execution.version_number => {
                    Ok(Some(*seen))
                }
                CancelEffect::Canceled(_)
                | CancelEffect::NotYet
                | CancelEffect::NotCompared
                | CancelEffect::Mismatch(_) => {
                    Err(GuardError::unknown_outcome("AWS IoT did not confirm the cancel", source))
                }
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// The caller's version against the one the decision was made on. They must be the same:
/// otherwise the cancel would be pinned to something that nobody judged.
pub(super) fn check_version(expected: Option<Version>, execution: &Execution) -> Result<(), GuardError> {
    match expected {
        Some(expected) if expected != execution.version_number => {
            let actual = execution.version_number;
            Err(GuardError::VersionConflict(format!("expected version {expected}, but it is {actual}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_cancellable(force: Force, execution: &Execution) -> Result<(), GuardError> {
    let status = execution.row.status;
    match (status, force) {
        (Status::Queued, _) | (Status::InProgress, Force::EvenInProgress) => Ok(()),
        (Status::InProgress, Force::Never) => {
            Err(GuardError::InvalidState("the execution is IN_PROGRESS; only force cancels it".to_owned()))
        }
        (
            Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Rejected
            | Status::Removed
            | Status::Canceled,
            _,
        ) => Err(GuardError::InvalidState(format!("the execution is {status}; there is nothing to cancel"))),
    }
}
