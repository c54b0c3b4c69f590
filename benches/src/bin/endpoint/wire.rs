//! AWS IoT's forms: bodies in JSON with times in epoch seconds, and errors by the name in a header.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use shared::execution::{Execution, ExecutionRow, Job, JobSummary, Status, ToldJob};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::ports::{MutationError, Page, ReadError};

use crate::fleet::PLACE;
use crate::serve::{self, Answer};

/// An error of AWS.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    /// Its name in AWS's words.
    pub name: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, name: &'static str, message: String) -> Self {
        Self { status, name, message }
    }

    /// The request breaks a rule.
    pub fn invalid(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestException", message)
    }

    /// There is no such thing.
    pub fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message.to_owned())
    }

    /// There is no such operation.
    pub fn unknown(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
    }

    /// The operation's quota is used up for now. AWS IoT's model says 400, not 429.
    pub fn throttled() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded".to_owned())
    }

    fn unavailable(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message)
    }

    /// On the wire.
    pub fn answer(self) -> Answer {
        let mut answer = serve::json(self.status, &json!({ "message": self.message }));
        answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.name));
        answer
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound(message) => Self::not_found(&message),
            ReadError::Invalid(message) => Self::invalid(message),
            ReadError::InvalidToken(_) => Self::invalid(error.to_string()),
            ReadError::Throttled { .. } => Self::throttled(),
            ReadError::Unreadable { .. } | ReadError::RoleRefused { .. } | ReadError::Unavailable { .. } => {
                Self::unavailable(error.to_string())
            }
        }
    }
}

impl From<MutationError> for Refusal {
    fn from(error: MutationError) -> Self {
        match error {
            MutationError::NotFound(message) => Self::not_found(&message),
            MutationError::InvalidState(message) => {
                Self::new(StatusCode::CONFLICT, "InvalidStateTransitionException", message)
            }
            MutationError::VersionConflict(message) => {
                Self::new(StatusCode::CONFLICT, "VersionConflictException", message)
            }
            MutationError::Invalid(message) => Self::invalid(message),
            // The script throttles nothing here: it is that ten jobs are being deleted.
            MutationError::Throttled(cause) => {
                Self::new(StatusCode::GONE, "LimitExceededException", cause.to_string())
            }
            MutationError::RoleRefused(_) | MutationError::Unauthenticated(_) | MutationError::Unknown(_) => {
                Self::unavailable(error.to_string())
            }
        }
    }
}

/// DescribeJob.
pub fn job(told: &ToldJob) -> Value {
    let Job { job_id, arn, namespace_id, retry_limits, status, .. } = &told.job;
    let created_at = json!(Seconds(told.created_at));
    let mut job = json!({
        "jobArn": arn,
        "jobId": job_id,
        "targetSelection": told.job.target_selection(),
        "status": status,
        "targets": [format!("arn:aws:iot:{PLACE}:thinggroup/fleet")],
        "createdAt": created_at,
        "lastUpdatedAt": created_at,
        // The fake counts what waits and what runs as one.
        "jobProcessDetails": { "numberOfQueuedThings": told.active, "numberOfInProgressThings": 0 },
    });
    if let Some(job) = job.as_object_mut() {
        if let Some(namespace) = namespace_id {
            job.insert("namespaceId".to_owned(), json!(namespace));
        }
        let criteria = [("FAILED", retry_limits.failed), ("TIMED_OUT", retry_limits.timed_out)];
        let criteria: Vec<_> = criteria.into_iter().filter(|(_, retries)| *retries > 0).collect();
        if !criteria.is_empty() {
            let told = criteria
                .iter()
                .map(|(kind, retries)| json!({ "failureType": kind, "numberOfRetries": retries }));
            let told = json!({ "criteriaList": told.collect::<Vec<_>>() });
            job.insert("jobExecutionsRetryConfig".to_owned(), told);
        }
    }
    json!({ "job": job })
}

/// DescribeJobExecution.
pub fn execution(execution: &Execution) -> Value {
    let mut told = json!(Summary::from(&execution.row));
    told["jobId"] = json!(execution.job_id);
    told["thingArn"] = json!(thing_arn(&execution.row.thing_name));
    told["versionNumber"] = json!(execution.version_number);
    told["forceCanceled"] = json!(execution.force_canceled);
    told["statusDetails"] = json!({ "detailsMap": execution.status_details });
    if let Some(seconds) = execution.approximate_seconds_before_timed_out {
        told["approximateSecondsBeforeTimedOut"] = json!(seconds);
    }
    json!({ "execution": told })
}

/// A page of a listing, each of its rows in a form. It is written without a tree of values in between: whole fleets
/// are listed, and it must not be the endpoint that bounds it.
pub fn page<'a, T, E, F: Serialize>(
    member: &str,
    page: &'a Page<Result<T, E>>,
    form: impl Fn(&'a T) -> F,
) -> String {
    let rows: Vec<_> = page.items.iter().flatten().map(form).collect();
    let rows = serde_json::to_string(&rows).unwrap_or_default();
    match &page.next_token {
        Some(token) => format!("{{\"{member}\":{rows},\"nextToken\":{}}}", json!(token)),
        None => format!("{{\"{member}\":{rows}}}"),
    }
}

/// A job of ListJobs.
pub fn job_summary(job: &JobSummary) -> Value {
    json!({
        "jobArn": format!("arn:aws:iot:{PLACE}:job/{}", job.job_id),
        "jobId": job.job_id,
        "targetSelection": job.target_selection,
        "status": job.status,
        "createdAt": Seconds(job.created_at),
        "lastUpdatedAt": Seconds(job.created_at),
    })
}

/// A row of ListJobExecutionsForJob.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowOfJob {
    thing_arn: String,
    job_execution_summary: Summary,
}

/// A row of ListJobExecutionsForThing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowOfThing<'a> {
    job_id: &'a JobId,
    job_execution_summary: Summary,
}

/// What every answer tells of an execution.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    status: Status,
    queued_at: Seconds,
    last_updated_at: Seconds,
    execution_number: ExecutionNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_attempt: Option<i64>,
}

impl From<&ExecutionRow> for Summary {
    fn from(row: &ExecutionRow) -> Self {
        Self {
            status: row.status,
            queued_at: Seconds(row.queued_at),
            last_updated_at: Seconds(row.last_updated_at),
            execution_number: row.execution_number,
            started_at: row.started_at.map(Seconds),
            retry_attempt: row.retry_attempt,
        }
    }
}

/// A time in epoch seconds.
#[derive(Debug)]
struct Seconds(Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_millisecond() {
            whole if whole % 1_000 == 0 => to.serialize_i64(whole / 1_000),
            millis => to.serialize_f64(millis as f64 / 1_000.0),
        }
    }
}

/// As a listing of a job's shows it.
pub fn row_of_job(row: &ExecutionRow) -> RowOfJob {
    RowOfJob { thing_arn: thing_arn(&row.thing_name), job_execution_summary: row.into() }
}

/// As a listing of a thing's shows it.
pub fn row_of_thing<'a>(job_id: &'a JobId, row: &ExecutionRow) -> RowOfThing<'a> {
    RowOfThing { job_id, job_execution_summary: row.into() }
}

/// ListTagsForResource.
pub fn tags(tags: &BTreeMap<String, String>) -> Value {
    let tags: Vec<_> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({ "tags": tags })
}

/// ListThingGroupsForThing.
pub fn groups(groups: &BTreeSet<String>) -> Value {
    let arn = |name: &String| format!("arn:aws:iot:{PLACE}:thinggroup/{name}");
    let groups: Vec<_> =
        groups.iter().map(|name| json!({ "groupName": name, "groupArn": arn(name) })).collect();
    json!({ "thingGroups": groups })
}

fn thing_arn(thing: &ThingName) -> String {
    format!("arn:aws:iot:{PLACE}:thing/{thing}")
}
