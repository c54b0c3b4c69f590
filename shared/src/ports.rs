//! What the decisions need from the outside, in our words: AWS IoT Jobs and the queue.
//!
//! Reading, cancelling and deleting are separate traits because they are separate rights: a
//! function whose role cannot cancel is not given the code that could.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use object_store::path::Path;
use serde::Serialize;

use crate::archive::{Delete, DeleteJob};
use crate::execution::{
    Execution, ExecutionOnThing, ExecutionRow, Job, JobSummary, Status, ToldJob, UnreadableRow,
};
use crate::ids::{ExecutionNumber, JobId, StatusDetails, ThingName, Version};
use crate::lane::LaneName;
use crate::operation::Operation;
use crate::sweep::SliceMessage;

/// Why something went wrong underneath; goes to the log, not to a client.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// An error and all its causes, in one line for the log.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        told.push_str(": ");
        told.push_str(&cause.to_string());
        next = cause.source();
    }
    told
}

/// Whether a running execution may be hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Force {
    /// Only a waiting execution is cancelled.
    Never,
    /// A running one too; its device loses access to it.
    EvenInProgress,
}

/// Why a read gave nothing. A fact that could not be read is never taken for absent.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such job or execution.
    #[error("{0}")]
    NotFound(String),
    /// AWS finds the request malformed.
    #[error("{0}")]
    Invalid(String),
    /// The quota of the operation is used up for now.
    #[error("AWS IoT throttled {operation}")]
    Throttled {
        /// The operation, in AWS's words.
        operation: &'static str,
        /// What AWS answered.
        source: Cause,
    },
    /// A page's token is not good any more.
    #[error("AWS IoT refused the token of a page")]
    InvalidToken(#[source] Cause),
    /// AWS answered what this version cannot read.
    #[error("AWS IoT answered {operation} with something this version cannot read: {problem}")]
    Unreadable {
        /// The operation, in AWS's words.
        operation: &'static str,
        /// What it could not read.
        problem: String,
    },
    /// AWS refused this function's own role.
    #[error("AWS refused this function's role {operation}")]
    RoleRefused {
        /// The operation, in AWS's words.
        operation: &'static str,
        /// What AWS answered.
        source: Cause,
    },
    /// AWS did not answer, or with an error of its own.
    #[error("AWS IoT could not answer {operation}")]
    Unavailable {
        /// The operation, in AWS's words.
        operation: &'static str,
        /// What went wrong.
        source: Cause,
    },
}

/// Why a cancel or delete did not go through.
#[derive(Debug, thiserror::Error)]
pub enum MutationError {
    /// There is no such execution.
    #[error("{0}")]
    NotFound(String),
    /// The execution's status does not allow it.
    #[error("{0}")]
    InvalidState(String),
    /// The execution has another version than the one decided on.
    #[error("{0}")]
    VersionConflict(String),
    /// AWS finds the request malformed.
    #[error("{0}")]
    Invalid(String),
    /// The quota of the operation is used up for now; nothing happened.
    #[error("AWS IoT throttled the request")]
    Throttled(#[source] Cause),
    /// AWS refused this function's own role; nothing happened.
    #[error("AWS refused this function's role")]
    RoleRefused(#[source] Cause),
    /// AWS did not accept this function's credentials or clock; nothing happened, and the trouble passes.
    #[error("AWS did not accept this function's credentials or clock")]
    Unauthenticated(#[source] Cause),
    /// The answer was lost or was an error on AWS's side: the effect may have happened.
    #[error("the outcome is unknown")]
    Unknown(#[source] Cause),
}

/// One page of a listing.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there is one.
    pub next_token: Option<String>,
}

/// A row of a listing of executions.
pub type ListedExecution = Result<ExecutionRow, UnreadableRow>;

/// A row of a listing of a thing's executions.
pub type ListedOnThing = Result<ExecutionOnThing, UnreadableRow>;

/// A row of the listing of jobs.
pub type ListedJob = Result<JobSummary, UnreadableRow>;

/// Reading jobs and executions.
pub trait ReadJobs: Send + Sync {
    /// DescribeJobExecution: the numbered execution, or the thing's current one of the job.
    fn describe_execution(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: Option<ExecutionNumber>,
    ) -> impl Future<Output = Result<Execution, ReadError>> + Send;

    /// DescribeJob.
    fn describe_job(&self, job: &JobId) -> impl Future<Output = Result<Job, ReadError>> + Send;

    /// DescribeJob, with everything that AWS tells.
    fn told_job(&self, job: &JobId) -> impl Future<Output = Result<ToldJob, ReadError>> + Send;

    /// GetJobDocument.
    fn job_document(&self, job: &JobId) -> impl Future<Output = Result<String, ReadError>> + Send;

    /// ListTagsForResource of a job, every page.
    fn job_tags(&self, job: &Job)
    -> impl Future<Output = Result<BTreeMap<String, String>, ReadError>> + Send;

    /// ListJobExecutionsForThing, of one job, until the numbered execution is met with: a
    /// description does not tell how many retries came before it.
    fn listed_execution(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: ExecutionNumber,
    ) -> impl Future<Output = Result<ExecutionRow, ReadError>> + Send;

    /// ListJobExecutionsForThing, of one job, one page of at most 250.
    fn list_executions_of_thing(
        &self,
        job: &JobId,
        thing: &ThingName,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Page<ListedExecution>, ReadError>> + Send;

    /// ListJobExecutionsForThing, of every job: a page of at most 250 of what has a status.
    fn list_on_thing(
        &self,
        thing: &ThingName,
        status: Status,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Page<ListedOnThing>, ReadError>> + Send;

    /// ListThingGroupsForThing, every page: the groups that the thing is in itself.
    fn thing_groups(
        &self,
        thing: &ThingName,
    ) -> impl Future<Output = Result<BTreeSet<String>, ReadError>> + Send;

    /// DescribeThing: the thing's attributes.
    fn thing_attributes(
        &self,
        thing: &ThingName,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, ReadError>> + Send;

    /// ListJobs, one page of at most 250.
    fn list_jobs(
        &self,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Page<ListedJob>, ReadError>> + Send;

    /// ListJobExecutionsForJob, one page of at most 250.
    fn list_executions(
        &self,
        job: &JobId,
        status: Option<Status>,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Page<ListedExecution>, ReadError>> + Send;
}

/// What CancelJobExecution is sent. The version is not optional: every cancel is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// The job.
    pub job_id: JobId,
    /// The thing, whose current execution of the job is meant.
    pub thing_name: ThingName,
    /// The version that was decided on.
    pub expected_version: Version,
    /// Whether a running execution may be hit.
    pub force: Force,
    /// What to leave on the execution; `None` leaves it as it is.
    pub status_details: Option<StatusDetails>,
}

/// The right to cancel.
pub trait CancelExecutions: Send + Sync {
    /// CancelJobExecution, sent once: a retry would be a blind resend.
    fn cancel(&self, cancel: &Cancel) -> impl Future<Output = Result<(), MutationError>> + Send;
}

/// The right to delete.
pub trait DeleteExecutions: Send + Sync {
    /// DeleteJobExecution, sent once and never with force.
    fn delete(&self, delete: &Delete) -> impl Future<Output = Result<(), MutationError>> + Send;
}

/// The right to delete whole jobs.
pub trait DeleteJobs: Send + Sync {
    /// DeleteJob, sent once and never with force: AWS takes finished jobs only, with all their executions.
    fn delete_job(&self, delete: &DeleteJob) -> impl Future<Output = Result<(), MutationError>> + Send;
}

/// What reaches AWS IoT Jobs in the further lanes.
pub trait FurtherLanes<I>: fmt::Debug + Send + Sync {
    /// In the lane of this name and place. `None` if the deployment has none of that name, or has it in another
    /// place.
    fn iot(&self, lane: &LaneName, place: &str) -> Option<&I>;

    /// Whether the lane's sweeps may act; otherwise they are dry runs.
    fn is_live(&self, lane: &LaneName) -> bool;
}

/// No lane but the home lane.
impl<I> FurtherLanes<I> for () {
    fn iot(&self, _: &LaneName, _: &str) -> Option<&I> {
        None
    }

    fn is_live(&self, _: &LaneName) -> bool {
        false
    }
}

/// A link by which whoever has it reads an object of the bucket, for a while. No log may hold one.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedLink(String);

impl SignedLink {
    /// A link as it was signed.
    pub const fn new(link: String) -> Self {
        Self(link)
    }

    /// The link, for whom it was asked.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SignedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedLink(..)")
    }
}

/// Signing links to objects of the bucket.
pub trait SignLinks: Send + Sync {
    /// A link by which whoever has it reads the object, and which works for so long.
    fn sign(
        &self,
        object: &Path,
        works_for: Duration,
    ) -> impl Future<Output = Result<SignedLink, Cause>> + Send;
}

/// The queues of slices, one for each operation.
pub trait SliceQueue: Send + Sync {
    /// Queues a slice of its operation in a lane. Sending the same step twice queues it once.
    fn send(
        &self,
        slice: &SliceMessage,
        lane: Option<&LaneName>,
    ) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Lets a message that did not go through come again after `wait`. Without this it holds up
    /// its lane for the queue's visibility timeout, which fits the longest slice.
    fn give_back(
        &self,
        operation: Operation,
        receipt: &str,
        wait: Duration,
    ) -> impl Future<Output = Result<(), Cause>> + Send;
}
