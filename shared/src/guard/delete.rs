//! The guarded DeleteJobExecution: archived first, never with force on the wire.

use object_store::ObjectStore;

use super::settle::{DeleteEffect, after_unknown_delete};
use super::{Answer, Caller, Guard, GuardError, Purpose, TRIES, terms};
use crate::access::{ExecutionAction, Explanation, Terms, WholeFacts};
use crate::archive::{self, Content, Record};
use crate::digest;
use crate::execution::{Execution, Job, JobFacts, Status};
use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName};
use crate::meter;
use crate::ports::{CancelExecutions, DeleteExecutions, Force, MutationError, ReadJobs};

/// What a caller asks of DeleteJobExecution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// The job.
    pub job_id: JobId,
    /// The thing.
    pub thing_name: ThingName,
    /// Which execution.
    pub execution_number: ExecutionNumber,
    /// Whether an active execution may be cancelled first.
    pub force: Force,
    /// The namespace that the caller names.
    pub namespace_id: Option<NamespaceId>,
    /// Whether to decide and report only.
    pub dry_run: bool,
}

impl<I: ReadJobs> Guard<'_, I> {
    /// A cancel hits the thing's current execution, whatever number was asked for: they must be
    /// the same one.
    pub(super) async fn check_current(&self, execution: &Execution) -> Result<(), GuardError> {
        let row = &execution.row;
        let current = self.iot.describe_execution(&execution.job_id, &row.thing_name, None).await?;
        if current.row.identity() == row.identity() {
            return Ok(());
        }
        let message = format!(
            "execution {} is {} and is not the thing's current one ({}), so it cannot be cancelled first",
            row.execution_number, row.status, current.row.execution_number
        );
        Err(GuardError::InvalidState(message))
    }
}

impl<I: ReadJobs + CancelExecutions + DeleteExecutions> Guard<'_, I> {
    /// Deletes an execution, if the access policy allows it. Its record is in the bucket before.
    ///
    /// An active execution is deleted only with force, and then it is cancelled first, pinned to
    /// its version, and deleted as CANCELED: DeleteJobExecution checks no version, so with force
    /// it could destroy a result that arrived a moment before.
    ///
    /// # Errors
    /// As [`GuardError`] tells. Only [`GuardError::UnknownOutcome`] leaves open what happened, and
    /// [`GuardError::Unavailable`] tells if the execution was cancelled and not deleted.
    pub async fn delete(
        &self,
        bucket: &dyn ObjectStore,
        caller: &Caller<'_>,
        request: &DeleteRequest,
    ) -> Result<Answer, GuardError> {
        let DeleteRequest { job_id, thing_name, execution_number, force, dry_run, .. } = request;
        let terms = terms(ExecutionAction::Delete, *force, None, caller.now);
        let terms = Terms { dry_run: *dry_run, ..terms };
        let needs = self.access.needs(caller.principal, ExecutionAction::Delete);
        for _ in 0..TRIES {
            let facts = self.read(needs, (job_id, thing_name), Some(*execution_number), caller.now).await?;
            let decision = self.decide(caller, Purpose::Act, ExecutionAction::Delete, &facts, terms)?;
            let WholeFacts { execution, job, .. } = facts;
            check_deletable(*force, &execution)?;
            let active = !execution.row.status.is_terminal();
            if active {
                self.check_current(&execution).await?;
            }
            if *dry_run {
                return Ok(answer(request, decision, "wouldDelete", execution, None));
            }
            let key = if active {
                let ended = match self.cancel_first((&execution, &job.job), *force).await {
                    Ok(ended) => ended,
                    Err(GuardError::VersionConflict(_)) => continue,
                    Err(error) => return Err(error),
                };
                let deleted = self.archive_and_delete(bucket, caller, request, &decision, job, ended).await;
                deleted.map_err(GuardError::after_cancel)?
            } else {
                let ended = execution.clone();
                self.archive_and_delete(bucket, caller, request, &decision, job, ended).await?
            };
            return Ok(answer(request, decision, "deleted", execution, Some(key)));
        }
        // DeleteJobExecution knows no VersionConflictException.
        let message = format!("the execution changed {TRIES} times while it was being cancelled; try again");
        Err(GuardError::InvalidState(message))
    }

    /// Cancels an active execution and waits until it shows as CANCELED.
    async fn cancel_first(
        &self,
        (execution, job): (&Execution, &Job),
        force: Force,
    ) -> Result<Execution, GuardError> {
        self.cancel_pinned((execution, job), force, None).await?.ok_or_else(|| {
            let message = "the execution was cancelled but does not show as CANCELED yet, so it was not \
                           deleted; delete it again";
            GuardError::Unavailable { message: message.to_owned(), source: "not CANCELED yet".into() }
        })
    }

    async fn archive_and_delete(
        &self,
        bucket: &dyn ObjectStore,
        caller: &Caller<'_>,
        request: &DeleteRequest,
        decision: &Explanation,
        job: JobFacts,
        ended: Execution,
    ) -> Result<String, GuardError> {
        let identity = ended.row.identity();
        let record = Record {
            format: Record::FORMAT,
            action: ExecutionAction::Delete.as_str().to_owned(),
            // What was forced, if anything, was the cancel before it.
            force: false,
            principal: caller.principal.to_string(),
            origin: caller.request_id.to_owned(),
            decided_at: caller.now,
            rule: None,
            due_since: None,
            policies: decision.policies.clone(),
            policy_source: decision.policy_source.clone(),
            policy_digest: decision.policy_digest.clone(),
            job,
            content: Content::Full { execution: ended },
        };
        let name = digest::of([
            caller.request_id,
            request.job_id.as_str(),
            request.thing_name.as_str(),
            &request.execution_number.to_string(),
        ]);
        let receipt = archive::write(bucket, "api", &name, caller.now, vec![record]).await?;
        for (_, delete) in receipt.deletions() {
            match self.iot.delete(&delete.in_namespace(request.namespace_id.clone())).await {
                Ok(()) => {}
                Err(MutationError::Unknown(source)) => {
                    match after_unknown_delete(self.iot, &request.job_id, &request.thing_name, identity).await
                    {
                        Ok(DeleteEffect::Gone) => {}
                        Ok(DeleteEffect::StillThere) => {
                            return Err(GuardError::unknown_outcome(
                                "AWS IoT did not confirm the delete",
                                source,
                            ));
                        }
                        Err(error) => {
                            return Err(GuardError::unknown_outcome("AWS IoT's answer was lost", error));
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        meter::deleted_by_request();
        Ok(receipt.key().to_owned())
    }
}

fn answer(
    request: &DeleteRequest,
    decision: Explanation,
    result: &'static str,
    execution: Execution,
    archive: Option<String>,
) -> Answer {
    Answer { dry_run: request.dry_run, decision, result, confirmed: archive.is_some(), execution, archive }
}

/// AWS's reference refuses to delete what waits without force, and has been seen doing it. We
/// refuse: a delete without force never ends anything that is under way.
pub(super) fn check_deletable(force: Force, execution: &Execution) -> Result<(), GuardError> {
    let status = execution.row.status;
    match (status, force) {
        (Status::Queued | Status::InProgress, Force::Never) => {
            Err(GuardError::InvalidState(format!("the execution is {status}; cancel it first, or use force")))
        }
        (Status::Queued | Status::InProgress, Force::EvenInProgress)
        | (
            Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Rejected
            | Status::Removed
            | Status::Canceled,
            _,
        ) => Ok(()),
    }
}
