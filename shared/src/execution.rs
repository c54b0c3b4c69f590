//! Job executions and their jobs, in our words: what AWS reported, made unambiguous.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};

/// The status of a job execution; all eight that AWS documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waiting for its device. Nothing in AWS ever times it out.
    Queued,
    /// The device has taken it up.
    InProgress,
    /// The device reported success.
    Succeeded,
    /// The device reported failure; the job's retry configuration may queue another.
    Failed,
    /// It ran out of time; the job's retry configuration may queue another.
    TimedOut,
    /// The device refused it.
    Rejected,
    /// The thing left the job's target, or was deleted.
    Removed,
    /// Somebody cancelled it.
    Canceled,
}

impl Status {
    /// Every status, active ones first.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::InProgress,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Rejected,
        Self::Removed,
        Self::Canceled,
    ];

    /// AWS's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Rejected => "REJECTED",
            Self::Removed => "REMOVED",
            Self::Canceled => "CANCELED",
        }
    }

    /// The status AWS names, if this version knows it.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing more can happen to the execution. The reference of DeleteJobExecution
    /// leaves TIMED_OUT out of its list; the lifecycle guide has it, and it is terminal.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::InProgress => false,
            Self::Succeeded
            | Self::Failed
            | Self::TimedOut
            | Self::Rejected
            | Self::Removed
            | Self::Canceled => true,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What makes two reports speak of the same execution. The number alone does not: AWS may give
/// a deleted execution's number to a new one, so the time of queueing belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its number within (job, thing).
    pub execution_number: ExecutionNumber,
    /// When it was queued, to the second: the precision every AWS report has.
    pub queued_at: Timestamp,
}

impl Identity {
    /// An identity, its time cut to the second.
    pub fn new(execution_number: ExecutionNumber, queued_at: Timestamp) -> Self {
        let queued_at = Timestamp::from_second(queued_at.as_second()).unwrap_or(queued_at);
        Self { execution_number, queued_at }
    }
}

/// One execution as a listing shows it: no version, no details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionRow {
    /// The thing it runs on.
    pub thing_name: ThingName,
    /// Its number within (job, thing).
    pub execution_number: ExecutionNumber,
    /// Its status.
    pub status: Status,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When the device took it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it last changed; of a terminal execution, when it ended.
    pub last_updated_at: Timestamp,
    /// How many retries came before it. A listing tells; a description does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_attempt: Option<i64>,
}

impl ExecutionRow {
    /// What it is recognised by.
    pub fn identity(&self) -> Identity {
        Identity::new(self.execution_number, self.queued_at)
    }

    /// Since when the rules count its age: since it was last heard of, or since it was queued if it waits.
    pub fn counts_since(&self) -> Timestamp {
        if self.status == Status::Queued { self.queued_at } else { self.last_updated_at }
    }
}

/// One execution as a listing of a thing's shows it, of whichever job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionOnThing {
    /// The job.
    pub job_id: JobId,
    /// What a listing of the job would show of it.
    pub row: ExecutionRow,
}

/// A row that this version cannot judge, and therefore keeps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableRow {
    /// AWS reported a status that this version does not know.
    #[error("unknown status `{0}`")]
    UnknownStatus(String),
    /// AWS left out a member that a judgement needs, or sent one that cannot be right.
    #[error("missing or malformed `{0}`")]
    Malformed(&'static str),
}

/// One execution as DescribeJobExecution shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// The job.
    pub job_id: JobId,
    /// What a listing would show of it.
    #[serde(flatten)]
    pub row: ExecutionRow,
    /// Its version, for optimistic locking.
    pub version_number: Version,
    /// Whether its cancellation was forced.
    pub force_canceled: bool,
    /// What the device or a canceller left on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub status_details: BTreeMap<String, String>,
    /// Seconds until it times out by itself, where a timeout runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate_seconds_before_timed_out: Option<i64>,
}

/// Whether a job takes in new members of its target groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetSelection {
    /// It has the things that were in its targets when it was made.
    Snapshot,
    /// Things that join a target later get it too.
    Continuous,
}

impl TargetSelection {
    /// The selection AWS names, if this version knows it.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "SNAPSHOT" => Some(Self::Snapshot),
            "CONTINUOUS" => Some(Self::Continuous),
            _ => None,
        }
    }
}

/// A job as ListJobs shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its name.
    pub job_id: JobId,
    /// When it was created. No execution of it is older.
    pub created_at: Timestamp,
    /// Whether it takes in new members of its target groups, where the listing tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_selection: Option<TargetSelection>,
    /// Its status, where the listing tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<JobStatus>,
}

/// The status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// It has executions that have not ended, or takes in new things.
    InProgress,
    /// Somebody cancelled it.
    Canceled,
    /// All its executions have ended.
    Completed,
    /// It is being deleted, with all its executions.
    DeletionInProgress,
    /// It waits for its start.
    Scheduled,
}

impl JobStatus {
    /// The status AWS names, if this version knows it.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "IN_PROGRESS" => Some(Self::InProgress),
            "CANCELED" => Some(Self::Canceled),
            "COMPLETED" => Some(Self::Completed),
            "DELETION_IN_PROGRESS" => Some(Self::DeletionInProgress),
            "SCHEDULED" => Some(Self::Scheduled),
            _ => None,
        }
    }
}

/// How many retries a job gives each thing, by what went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryLimits {
    /// After a failure.
    pub failed: u32,
    /// After a time-out.
    pub timed_out: u32,
}

impl RetryLimits {
    /// How many retries an execution that ended with `status` may have had before it and still be
    /// followed by another.
    pub const fn of(self, status: Status) -> u32 {
        match status {
            Status::Failed => self.failed,
            Status::TimedOut => self.timed_out,
            Status::Queued
            | Status::InProgress
            | Status::Succeeded
            | Status::Rejected
            | Status::Removed
            | Status::Canceled => 0,
        }
    }
}

/// A job as DescribeJob shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub job_id: JobId,
    /// Its ARN, by which its tags are read.
    pub arn: String,
    /// The namespace of the service that manages it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<NamespaceId>,
    /// Whether it queues another execution when one fails or times out.
    pub retries: bool,
    /// How often it does; archive records of before it was read have nothing here.
    #[serde(default)]
    pub retry_limits: RetryLimits,
    /// Its status, where AWS tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<JobStatus>,
    /// Whether it takes in new members of its target groups.
    pub continuous: bool,
}

impl Job {
    /// The Region and the account that its ARN tells.
    pub fn place(&self) -> Option<(&str, &str)> {
        let mut parts = self.arn.split(':').skip(3);
        parts.next().zip(parts.next())
    }

    /// Whether one thing may have several executions of it, one after the other. Versions start
    /// again with each, so the version that a cancel is pinned to does not tell them apart.
    pub const fn may_queue_another(&self) -> bool {
        self.retries || self.continuous
    }

    /// The retries that it still gives: none once it has ended. A job whose status AWS does not
    /// tell may go on.
    pub const fn open_retries(&self) -> RetryLimits {
        match self.status {
            None | Some(JobStatus::InProgress | JobStatus::Scheduled) => self.retry_limits,
            Some(JobStatus::Canceled | JobStatus::Completed | JobStatus::DeletionInProgress) => {
                RetryLimits { failed: 0, timed_out: 0 }
            }
        }
    }

    /// Whether it gives no execution any more: all it had have ended, or somebody cancelled it. A job whose
    /// status AWS does not tell may go on.
    pub const fn is_finished(&self) -> bool {
        match self.status {
            Some(JobStatus::Canceled | JobStatus::Completed) => true,
            None | Some(JobStatus::InProgress | JobStatus::Scheduled | JobStatus::DeletionInProgress) => {
                false
            }
        }
    }

    /// Whether AWS is deleting it, with all its executions.
    pub fn is_being_deleted(&self) -> bool {
        self.status == Some(JobStatus::DeletionInProgress)
    }

    /// In AWS's terms, whether it takes in new members of its target groups.
    pub const fn target_selection(&self) -> TargetSelection {
        if self.continuous { TargetSelection::Continuous } else { TargetSelection::Snapshot }
    }
}

/// A job and its tags: what the access policy may ask of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFacts {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A job with everything that AWS tells of it, for the record that is kept when it is deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldJob {
    /// The job.
    pub job: Job,
    /// When it was created. A job that is deleted leaves its name to another.
    pub created_at: Timestamp,
    /// How many executions AWS itself counts as QUEUED or IN_PROGRESS.
    pub active: u64,
    /// The whole answer of DescribeJob, as AWS gave it.
    pub told: serde_json::Value,
}

/// Executions for tests, by the seconds of their times.
#[cfg(test)]
pub(crate) mod scenes {
    use super::*;

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    pub(crate) fn row(status: Status, queued: i64, updated: i64) -> ExecutionRow {
        ExecutionRow {
            thing_name: ThingName::parse("t").unwrap(),
            execution_number: ExecutionNumber::new(1),
            status,
            queued_at: at(queued),
            started_at: None,
            last_updated_at: at(updated),
            retry_attempt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_statuses_are_terminal_and_timed_out_is_one() {
        let terminal = Status::ALL.into_iter().filter(|status| status.is_terminal()).count();
        assert_eq!(terminal, 6);
        assert!(Status::TimedOut.is_terminal());
    }

    #[test]
    fn every_status_is_found_by_its_word_and_no_other_word_is() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("PAUSED"), None);
    }

    #[test]
    fn a_reused_number_is_another_execution() {
        let number = ExecutionNumber::new(1);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_ne!(Identity::new(number, at(10)), Identity::new(number, at(11)));
        let half = Timestamp::from_millisecond(10_500).unwrap();
        assert_eq!(Identity::new(number, at(10)), Identity::new(number, half));
    }
}
