//! The archive: a durable record of every execution, written before anything is done to it.
//!
//! A [`Delete`] can only be had from a [`Receipt`], and a receipt only from a write that the
//! bucket acknowledged: code that deletes without an archive record does not compile.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutMode, PutOptions, PutPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::DecidingPolicy;
use crate::execution::{Execution, ExecutionRow, Identity, JobFacts};
use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};
use crate::meter;

/// What is known of an execution when it is archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "archive")]
pub enum Content {
    /// Everything that AWS tells of it.
    Full {
        /// The execution as described.
        execution: Execution,
    },
    /// What a listing tells of it.
    Summary {
        /// The execution as listed.
        execution: ExecutionRow,
    },
}

/// One line of the archive: what was there, what is about to happen to it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The form of this record.
    pub format: u8,
    /// What is about to happen, in AWS's words.
    pub action: String,
    /// Whether it takes force, because the execution runs.
    #[serde(default)]
    pub force: bool,
    /// Who asked.
    pub principal: String,
    /// The request or the sweep that asked.
    pub origin: String,
    /// The time of that request or sweep.
    pub decided_at: Timestamp,
    /// The retention rule, where one proposed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Since when the rule has it due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_since: Option<Timestamp>,
    /// The policies that permitted it.
    pub policies: Vec<DecidingPolicy>,
    /// Where the policy set is from, and which edition it is; empty in records of before there was one.
    #[serde(default)]
    pub policy_source: String,
    /// What tells the policy set.
    pub policy_digest: String,
    /// The job and its tags.
    pub job: JobFacts,
    /// The execution.
    #[serde(flatten)]
    pub content: Content,
}

impl Record {
    /// The form that this version writes; grows when a reader would have to change.
    pub const FORMAT: u8 = 1;

    /// The execution's thing.
    pub fn thing_name(&self) -> &ThingName {
        &self.row().thing_name
    }

    /// The execution's identity.
    pub fn identity(&self) -> Identity {
        self.row().identity()
    }

    /// The version that it had when it was described, where it was.
    pub fn version(&self) -> Option<Version> {
        match &self.content {
            Content::Full { execution } => Some(execution.version_number),
            Content::Summary { .. } => None,
        }
    }

    /// The execution as a listing would show it.
    pub fn row(&self) -> &ExecutionRow {
        match &self.content {
            Content::Full { execution } => &execution.row,
            Content::Summary { execution } => execution,
        }
    }
}

/// The bucket has these records.
#[derive(Debug)]
pub struct Receipt {
    key: String,
    name: String,
    records: Vec<Record>,
}

impl Receipt {
    /// Where they are.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The name that the object was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The records, each with the deletion that it allows.
    pub fn deletions(&self) -> impl Iterator<Item = (&Record, Delete)> {
        self.records.iter().map(|record| {
            let delete = Delete {
                job_id: record.job.job.job_id.clone(),
                thing_name: record.thing_name().clone(),
                execution_number: record.identity().execution_number,
                namespace_id: None,
            };
            (record, delete)
        })
    }

    /// The records.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// What DeleteJobExecution is sent. There is no force: no code of this product can send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    job_id: JobId,
    thing_name: ThingName,
    execution_number: ExecutionNumber,
    namespace_id: Option<NamespaceId>,
}

impl Delete {
    /// With the namespace that the caller named.
    #[must_use]
    pub fn in_namespace(self, namespace_id: Option<NamespaceId>) -> Self {
        Self { namespace_id, ..self }
    }

    /// The job.
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }

    /// The thing.
    pub fn thing_name(&self) -> &ThingName {
        &self.thing_name
    }

    /// Which execution.
    pub fn execution_number(&self) -> ExecutionNumber {
        self.execution_number
    }

    /// The namespace that the caller named.
    pub fn namespace_id(&self) -> Option<&NamespaceId> {
        self.namespace_id.as_ref()
    }
}

/// What is kept of a job that is deleted with all its executions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// The form of this record.
    pub format: u8,
    /// What is about to happen, in AWS's words.
    pub action: String,
    /// Who asked.
    pub principal: String,
    /// The sweep that asked.
    pub origin: String,
    /// The time of that sweep.
    pub decided_at: Timestamp,
    /// The retention rule that says so.
    pub rule: String,
    /// Where the policy set is from, and which edition it is.
    pub policy_source: String,
    /// What tells the policy set.
    pub policy_digest: String,
    /// The job and its tags.
    pub job: JobFacts,
    /// How many executions go with it; each has a record in the archive of the same sweep.
    pub executions: u64,
    /// The whole answer of DescribeJob, as AWS gave it.
    pub description: serde_json::Value,
    /// The job document.
    pub document: String,
}

impl JobRecord {
    /// The form that this version writes; grows when a reader would have to change.
    pub const FORMAT: u8 = 1;
}

/// The bucket has this job's record.
#[derive(Debug)]
pub struct JobReceipt {
    job_id: JobId,
}

impl JobReceipt {
    /// The deletion that it allows, once the job's executions are in the archive.
    pub fn deletion(&self) -> DeleteJob {
        DeleteJob { job_id: self.job_id.clone() }
    }
}

/// What DeleteJob is sent. There is no force here either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteJob {
    job_id: JobId,
}

impl DeleteJob {
    /// The job.
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }
}

/// Why a record could not be written or read back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A record could not be put into words.
    #[error("cannot write an archive record")]
    Record(#[from] serde_json::Error),
    /// The bucket did not take it, or does not have it.
    #[error("the bucket did not answer as it should")]
    Bucket(#[from] object_store::Error),
    /// What was read back is no compressed text.
    #[error("the archive object is no compressed text")]
    Compression(#[from] std::io::Error),
}

/// Writes records as compressed JSON Lines in one new object; an object that exists is never
/// replaced.
///
/// # Errors
/// When the bucket did not acknowledge the object. Nothing may be deleted then.
pub async fn write(
    bucket: &dyn ObjectStore,
    origin: &str,
    name: &str,
    now: Timestamp,
    records: Vec<Record>,
) -> Result<Receipt, ArchiveError> {
    let key = key(origin, now, name);
    write_lines(bucket, &key, &records).await?;
    Ok(Receipt { key, name: name.to_owned(), records })
}

/// Writes the record of a job as compressed JSON Lines in one new object of its own.
///
/// # Errors
/// When the bucket did not acknowledge the object. The job may not be deleted then.
pub async fn write_job(
    bucket: &dyn ObjectStore,
    name: &str,
    record: &JobRecord,
) -> Result<JobReceipt, ArchiveError> {
    let key = format!("{}{name}.jsonl.gz", partition("jobs", &record.origin, record.decided_at));
    write_lines(bucket, &key, &[record]).await?;
    Ok(JobReceipt { job_id: record.job.job.job_id.clone() })
}

/// Writes items of the archive, or what came of them, as compressed JSON Lines in one new object; one that exists
/// is never replaced.
///
/// # Errors
/// When the bucket did not acknowledge the object.
pub(crate) async fn write_lines(
    bucket: &dyn ObjectStore,
    key: &str,
    items: &[impl Serialize],
) -> Result<(), ArchiveError> {
    match put_lines(bucket, key, items).await {
        Ok(bytes) => {
            meter::archived(bytes);
            Ok(())
        }
        Err(error) => {
            meter::not_archived();
            Err(error)
        }
    }
}

/// Writes items as compressed JSON Lines in one new object. Tells how many bytes they take there.
///
/// # Errors
/// When the bucket did not acknowledge the object.
pub(crate) async fn put_lines(
    bucket: &dyn ObjectStore,
    key: &str,
    items: &[impl Serialize],
) -> Result<usize, ArchiveError> {
    let mut lines = Vec::new();
    for item in items {
        serde_json::to_writer(&mut lines, item)?;
        lines.push(b'\n');
    }
    let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
    compressed.write_all(&lines)?;
    let compressed = compressed.finish()?;
    let bytes = compressed.len();
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match bucket.put_opts(&Path::from(key), PutPayload::from(compressed), options).await {
        Ok(_) => Ok(bytes),
        // The bucket's client sends a write again when its answer is lost, and conflicts with itself.
        Err(error @ object_store::Error::AlreadyExists { .. }) => {
            if get(bucket, key).await?.as_bytes() == lines { Ok(bytes) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads what an object has on its lines back: records of the archive, or outcomes.
///
/// # Errors
/// When the bucket does not have it, or it is not such an object.
pub async fn read<T: DeserializeOwned>(bucket: &dyn ObjectStore, key: &str) -> Result<Vec<T>, ArchiveError> {
    let text = get(bucket, key).await?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

async fn get(bucket: &dyn ObjectStore, key: &str) -> Result<String, ArchiveError> {
    let bytes = bucket.get_opts(&Path::from(key), GetOptions::default()).await?.bytes().await?;
    let mut text = String::new();
    GzDecoder::new(&*bytes).read_to_string(&mut text)?;
    Ok(text)
}

/// The object of this name.
pub(crate) fn key(origin: &str, now: Timestamp, name: &str) -> String {
    format!("{}{name}.jsonl.gz", prefix(origin, now))
}

/// Where everything of one sweep (or, with the origin `api`, of one day's API calls) lies.
pub fn prefix(origin: &str, now: Timestamp) -> String {
    partition("archive", origin, now)
}

/// A folder that Athena takes for a partition of the day.
pub(crate) fn partition(root: &str, origin: &str, now: Timestamp) -> String {
    let date = now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string();
    format!("{root}/date={date}/sweep={origin}/")
}
