//! What a sweep may do to an execution, and what may come of it.

use std::future::Future;

use serde::{Deserialize, Serialize};

use super::pace::IotOperation;
use crate::archive::{Delete, DeleteJob, Record};
use crate::execution::Status;
use crate::ids::Version;
use crate::operation::Operation;
use crate::ports::{Cancel, CancelExecutions, DeleteExecutions, DeleteJobs, Force, MutationError, ReadJobs};

/// What came of an execution that a sweep acted on, or meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Deleted, and AWS said so or it was looked for and gone.
    Deleted,
    /// Archived by a slice that died, and gone when its successor looked.
    DeletedByInterruptedSlice,
    /// Deleted with its whole job.
    DeletedWithJob,
    /// Cancelled, and seen as CANCELED.
    Canceled,
    /// Cancelled by a slice that died, and CANCELED when its successor looked.
    CanceledByInterruptedSlice,
    /// Accepted by AWS, and not seen as CANCELED yet.
    CanceledNotSeenYet,
    /// Accepted by AWS, and not to be looked at afterwards, on a job that may have queued another
    /// execution that was hit instead.
    CanceledNotCompared,
    /// It was gone already.
    AlreadyGone,
    /// Its status or version had changed.
    NoLongerEligible,
    /// Its number belongs to another execution by now.
    Replaced,
    /// There were no longer enough newer successes on its thing.
    AmongLast,
    /// The access policy refused when it looked at the fresh facts.
    Refused,
    /// Its job could not be read any more, so it was left alone.
    JobUnreadable,
    /// What the policies ask for, or its record keeps, could not be read of it, so it was left alone.
    FactUnreadable,
    /// It was in the plan and was not met with again as something due: somebody else was faster,
    /// or its status has changed.
    NotSeenAgain,
    /// AWS found the request malformed.
    RefusedByAws,
    /// Its description could not be read.
    Unreadable,
    /// The answer was lost and the execution is unchanged; the next sweep will see to it.
    NotConfirmed,
    /// A cancel hit another execution than the one it was meant for.
    Mismatch,
}

/// What is counted together: executions of one status under one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The rule that has them due.
    pub rule: String,
    /// Their status when they were judged.
    pub status: Status,
}

impl Share {
    /// What a record counts with.
    pub(super) fn of(record: &Record) -> Self {
        Self { rule: record.rule.clone().unwrap_or_default(), status: record.row().status }
    }
}

/// What came of executions of one status under one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeKind {
    /// The rule and the status.
    #[serde(flatten)]
    pub share: Share,
    /// What came of them.
    pub outcome: Outcome,
}

impl Outcome {
    /// Whether the execution may have left its place in a listing.
    pub(super) const fn moved(self) -> bool {
        match self {
            Self::Deleted
            | Self::DeletedByInterruptedSlice
            | Self::DeletedWithJob
            | Self::Canceled
            | Self::CanceledByInterruptedSlice
            | Self::CanceledNotSeenYet
            | Self::CanceledNotCompared
            | Self::AlreadyGone
            | Self::Mismatch => true,
            Self::NoLongerEligible
            | Self::Replaced
            | Self::AmongLast
            | Self::Refused
            | Self::JobUnreadable
            | Self::FactUnreadable
            | Self::NotSeenAgain
            | Self::RefusedByAws
            | Self::Unreadable
            | Self::NotConfirmed => false,
        }
    }
}

impl Outcome {
    /// Whether something was, or may have been, sent to AWS for it.
    pub(super) const fn attempted(self) -> bool {
        match self {
            Self::AmongLast
            | Self::Refused
            | Self::JobUnreadable
            | Self::FactUnreadable
            | Self::NotSeenAgain => false,
            Self::Deleted
            | Self::DeletedByInterruptedSlice
            | Self::DeletedWithJob
            | Self::Canceled
            | Self::CanceledByInterruptedSlice
            | Self::CanceledNotSeenYet
            | Self::CanceledNotCompared
            | Self::AlreadyGone
            | Self::NoLongerEligible
            | Self::Replaced
            | Self::RefusedByAws
            | Self::Unreadable
            | Self::NotConfirmed
            | Self::Mismatch => true,
        }
    }

    /// Whether a thing has lost work to it.
    pub(crate) const fn canceled(self) -> bool {
        match self {
            Self::Canceled
            | Self::CanceledByInterruptedSlice
            | Self::CanceledNotSeenYet
            | Self::CanceledNotCompared
            | Self::Mismatch => true,
            Self::Deleted
            | Self::DeletedByInterruptedSlice
            | Self::DeletedWithJob
            | Self::AlreadyGone
            | Self::NoLongerEligible
            | Self::Replaced
            | Self::AmongLast
            | Self::Refused
            | Self::JobUnreadable
            | Self::FactUnreadable
            | Self::NotSeenAgain
            | Self::RefusedByAws
            | Self::Unreadable
            | Self::NotConfirmed => false,
        }
    }

    /// Whether the sweep has deleted or cancelled what it meant to.
    pub const fn done(self) -> bool {
        self.moved() && !matches!(self, Self::AlreadyGone | Self::Mismatch)
    }

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::DeletedByInterruptedSlice => "deletedByInterruptedSlice",
            Self::DeletedWithJob => "deletedWithJob",
            Self::Canceled => "canceled",
            Self::CanceledByInterruptedSlice => "canceledByInterruptedSlice",
            Self::CanceledNotSeenYet => "canceledNotSeenYet",
            Self::CanceledNotCompared => "canceledNotCompared",
            Self::AlreadyGone => "alreadyGone",
            Self::NoLongerEligible => "noLongerEligible",
            Self::Replaced => "replaced",
            Self::AmongLast => "amongLast",
            Self::Refused => "refused",
            Self::JobUnreadable => "jobUnreadable",
            Self::FactUnreadable => "factUnreadable",
            Self::NotSeenAgain => "notSeenAgain",
            Self::RefusedByAws => "refusedByAws",
            Self::Unreadable => "unreadable",
            Self::NotConfirmed => "notConfirmed",
            Self::Mismatch => "mismatch",
        }
    }

    /// Whether a whole job was deleted.
    pub(super) const fn with_job(self) -> bool {
        matches!(self, Self::DeletedWithJob | Self::DeletedByInterruptedSlice)
    }

    /// As [`Outcome::confirmed`], of a whole job.
    pub(super) fn confirmed_with_job(self) -> Self {
        if self == Self::DeletedByInterruptedSlice { Self::DeletedWithJob } else { self }
    }

    /// What was found by looking after a lost answer is as good as an answer.
    pub(super) const fn confirmed(self) -> Self {
        match self {
            Self::DeletedByInterruptedSlice => Self::Deleted,
            Self::CanceledByInterruptedSlice => Self::Canceled,
            Self::Deleted
            | Self::DeletedWithJob
            | Self::Canceled
            | Self::CanceledNotSeenYet
            | Self::CanceledNotCompared
            | Self::AlreadyGone
            | Self::NoLongerEligible
            | Self::Replaced
            | Self::AmongLast
            | Self::Refused
            | Self::JobUnreadable
            | Self::FactUnreadable
            | Self::NotSeenAgain
            | Self::RefusedByAws
            | Self::Unreadable
            | Self::NotConfirmed
            | Self::Mismatch => self,
        }
    }
}

/// How many calls of one operation acting on a row takes: a cancel is described before it and looked at
/// after it.
pub(super) const fn calls_of_a_row(operation: Operation) -> u32 {
    match operation {
        Operation::DeleteExpired => 1,
        Operation::CancelStale => 2,
    }
}

/// The one mutation that a sweep's function has the right to.
pub trait Act<I>: Send + Sync {
    /// What sweeps with this right do.
    const OPERATION: Operation;

    /// The call that does it.
    const CALL: IotOperation;

    /// Sends it once. `version` is the one a description has just shown, where the operation
    /// is pinned to one.
    fn send(
        iot: &I,
        record: &Record,
        delete: &Delete,
        version: Option<Version>,
    ) -> impl Future<Output = Result<(), MutationError>> + Send;

    /// Sends DeleteJob, where sweeps with this right delete whole jobs.
    fn retire(iot: &I, delete: &DeleteJob) -> impl Future<Output = Result<(), MutationError>> + Send;
}

/// The right of the function `delete-expired`.
#[derive(Debug, Clone, Copy)]
pub struct DeleteExpired;

impl<I: ReadJobs + DeleteExecutions + DeleteJobs> Act<I> for DeleteExpired {
    const OPERATION: Operation = Operation::DeleteExpired;
    const CALL: IotOperation = IotOperation::DeleteJobExecution;

    async fn send(iot: &I, _: &Record, delete: &Delete, _: Option<Version>) -> Result<(), MutationError> {
        iot.delete(delete).await
    }

    async fn retire(iot: &I, delete: &DeleteJob) -> Result<(), MutationError> {
        iot.delete_job(delete).await
    }
}

/// The right of the function `cancel-stale`.
#[derive(Debug, Clone, Copy)]
pub struct CancelStale;

impl<I: ReadJobs + CancelExecutions> Act<I> for CancelStale {
    const OPERATION: Operation = Operation::CancelStale;
    const CALL: IotOperation = IotOperation::CancelJobExecution;

    async fn send(
        iot: &I,
        record: &Record,
        _: &Delete,
        version: Option<Version>,
    ) -> Result<(), MutationError> {
        let Some(expected_version) = version else {
            return Err(MutationError::Invalid("a cancel without a version is not sent".to_owned()));
        };
        let cancel = Cancel {
            job_id: record.job.job.job_id.clone(),
            thing_name: record.thing_name().clone(),
            expected_version,
            force: if record.force { Force::EvenInProgress } else { Force::Never },
            status_details: None,
        };
        iot.cancel(&cancel).await
    }

    async fn retire(_: &I, _: &DeleteJob) -> Result<(), MutationError> {
        Err(MutationError::Invalid("a sweep that cancels deletes no job".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_whether_a_row_has_moved_was_attempted_and_lost_its_thing_work() {
        use Outcome::*;
        let told = |outcome: Outcome| (outcome.moved(), outcome.attempted(), outcome.canceled());
        for deleted in [Deleted, DeletedByInterruptedSlice, DeletedWithJob, AlreadyGone] {
            assert_eq!(told(deleted), (true, true, false), "{deleted:?}");
        }
        let canceled =
            [Canceled, CanceledByInterruptedSlice, CanceledNotSeenYet, CanceledNotCompared, Mismatch];
        for canceled in canceled {
            assert_eq!(told(canceled), (true, true, true), "{canceled:?}");
        }
        for in_vain in [NoLongerEligible, Replaced, RefusedByAws, Unreadable, NotConfirmed] {
            assert_eq!(told(in_vain), (false, true, false), "{in_vain:?}");
        }
        // Nothing was sent for these, so they count against no limit.
        for left_alone in [Refused, JobUnreadable, FactUnreadable, NotSeenAgain] {
            assert_eq!(told(left_alone), (false, false, false), "{left_alone:?}");
        }
    }

    #[test]
    fn what_was_found_by_looking_is_told_as_what_it_was() {
        use Outcome::*;
        assert_eq!(DeletedByInterruptedSlice.confirmed(), Deleted);
        assert_eq!(CanceledByInterruptedSlice.confirmed(), Canceled);
        assert_eq!(AlreadyGone.confirmed(), AlreadyGone);
        assert_eq!(DeletedByInterruptedSlice.confirmed_with_job(), DeletedWithJob);
        assert_eq!(NotConfirmed.confirmed_with_job(), NotConfirmed);
        assert!(DeletedWithJob.with_job() && DeletedByInterruptedSlice.with_job() && !Deleted.with_job());
    }
}
