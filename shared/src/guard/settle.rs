//! What came of it: after a cancel, and after an answer that was lost, look and compare.

use std::time::Duration;

use tokio::time::sleep;

use crate::execution::{Execution, Identity, Status};
use crate::ids::{JobId, ThingName};
use crate::ports::{ReadError, ReadJobs};

/// How long to wait for a cancellation to show, look by look. AWS documents it as eventually
/// consistent.
const LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// What was seen after a cancel.
#[derive(Debug)]
pub(super) enum CancelEffect {
    /// The execution that was decided on is CANCELED.
    Canceled(Box<Execution>),
    /// The execution that was decided on is still there, and does not show as CANCELED yet.
    NotYet,
    /// It could not be looked at.
    NotCompared,
    /// The cancel hit something else, or something else happened to the execution.
    Mismatch(String),
}

/// What was seen after a delete whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeleteEffect {
    /// The execution is gone.
    Gone,
    /// It is still there.
    StillThere,
}

/// Looks until the cancelled execution shows as CANCELED, a bounded number of times.
pub(super) async fn after_cancel<I: ReadJobs>(iot: &I, decided: &Execution) -> CancelEffect {
    let Execution { job_id, row, .. } = decided;
    let mut effect = CancelEffect::NotCompared;
    for wait in LOOKS {
        // A timer has milliseconds: to sleep for nothing takes one.
        if !wait.is_zero() {
            sleep(wait).await;
        }
        match iot.describe_execution(job_id, &row.thing_name, Some(row.execution_number)).await {
            Ok(seen) => match look(row.identity(), &seen) {
                Look::Canceled => return CancelEffect::Canceled(Box::new(seen)),
                Look::NotYet => effect = CancelEffect::NotYet,
                Look::Mismatch(what) => return CancelEffect::Mismatch(what),
            },
            // Somebody has deleted it meanwhile.
            Err(ReadError::NotFound(_)) => break,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, job_id = %job_id, thing_name = %row.thing_name, "a look after a cancel failed");
            }
        }
    }
    effect
}

/// What one look at a cancelled execution shows.
#[derive(Debug)]
pub(crate) enum Look {
    Canceled,
    NotYet,
    Mismatch(String),
}

pub(crate) fn look(identity: Identity, seen: &Execution) -> Look {
    if seen.row.identity() != identity {
        return Look::Mismatch("the execution was replaced by another of the same number".to_owned());
    }
    match seen.row.status {
        Status::Canceled => Look::Canceled,
        Status::Queued | Status::InProgress => Look::NotYet,
        Status::Succeeded | Status::Failed | Status::TimedOut | Status::Rejected | Status::Removed => {
            Look::Mismatch(format!("the execution is {} instead of CANCELED", seen.row.status))
        }
    }
}

/// Whether a delete whose answer was lost happened.
///
/// # Errors
/// When the execution cannot be read.
pub(super) async fn after_unknown_delete<I: ReadJobs>(
    iot: &I,
    job: &JobId,
    thing: &ThingName,
    identity: Identity,
) -> Result<DeleteEffect, ReadError> {
    match iot.describe_execution(job, thing, Some(identity.execution_number)).await {
        Ok(seen) if seen.row.identity() == identity => Ok(DeleteEffect::StillThere),
        // Gone, or its number already belongs to another.
        Ok(_) | Err(ReadError::NotFound(_)) => Ok(DeleteEffect::Gone),
        Err(error) => Err(error),
    }
}
