//! What AWS takes from everybody: cancels that are not pinned, deletions with force and without an archive. The
//! ports cannot say any of it; what is measured or compared with does.

use shared::ids::{ExecutionNumber, JobId, StatusDetails, ThingName, Version};
use shared::ports::{Force, MutationError};

use crate::iot::FakeIot;

/// What CancelJobExecution is sent.
#[derive(Debug, Clone)]
pub struct BareCancel {
    /// The job.
    pub job_id: JobId,
    /// The thing, whose current execution of the job is meant.
    pub thing_name: ThingName,
    /// The version that it must have, if the caller cares.
    pub expected_version: Option<Version>,
    /// Whether a running execution may be hit.
    pub force: Force,
    /// What to leave on the execution; `None` leaves it as it is.
    pub status_details: Option<StatusDetails>,
}

impl FakeIot {
    /// CancelJobExecution, of whichever version.
    ///
    /// # Errors
    /// As AWS has it, and what the script says.
    pub async fn cancel_bare(&self, cancel: &BareCancel) -> Result<(), MutationError> {
        let subject = format!("{}/{}", cancel.job_id, cancel.thing_name);
        self.mutate("CancelJobExecution", &subject, |world| Ok(vec![world.cancel(cancel)?])).await
    }

    /// DeleteJobExecution, with or without force.
    ///
    /// # Errors
    /// As AWS has it, and what the script says.
    pub async fn delete_bare(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: ExecutionNumber,
        force: Force,
    ) -> Result<(), MutationError> {
        let subject = format!("{job}/{thing}/{number}");
        self.mutate("DeleteJobExecution", &subject, |world| {
            Ok(vec![world.delete(job, thing, number, force)?])
        })
        .await
    }

    /// DeleteJob, without force.
    ///
    /// # Errors
    /// As AWS has it, and what the script says.
    pub async fn delete_job_bare(&self, job: &JobId) -> Result<(), MutationError> {
        self.mutate("DeleteJob", job.as_str(), |world| world.delete_job(job)).await
    }
}
