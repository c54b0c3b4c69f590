//! AWS IoT's forms: bodies in JSON with times in epoch seconds, and errors by the name in a header.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shared::execution::{Execution, ExecutionRow, Job, JobSummary, ToldJob};
use shared::ids::{JobId, ThingName};
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
            MutationError::RoleRefused(_) | MutationError::Unknown(_) => Self::unavailable(error.to_string()),
        }
    }
}

/// A success.
pub fn ok(body: &Value) -> Answer {
    serve::json(StatusCode::OK, body)
}

/// DescribeJob.
pub fn job(told: &ToldJob) -> Value {
    let Job { job_id, arn, namespace_id, retry_limits, status, .. } = &told.job;
    let created_at = time(told.created_at);
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
    let mut told = summary(&execution.row);
    told.insert("jobId".to_owned(), json!(execution.job_id));
    told.insert("thingArn".to_owned(), json!(thing_arn(&execution.row.thing_name)));
    told.insert("versionNumber".to_owned(), json!(execution.version_number));
    told.insert("forceCanceled".to_owned(), json!(execution.force_canceled));
    told.insert("statusDetails".to_owned(), json!({ "detailsMap": execution.status_details }));
    if let Some(seconds) = execution.approximate_seconds_before_timed_out {
        told.insert("approximateSecondsBeforeTimedOut".to_owned(), json!(seconds));
    }
    json!({ "execution": told })
}

/// A page of a listing, each of its rows in a form.
pub fn page<T, E>(member: &str, page: Page<Result<T, E>>, form: impl Fn(&T) -> Value) -> Value {
    let rows: Vec<_> = page.items.iter().flatten().map(form).collect();
    let mut told = Map::from_iter([(member.to_owned(), Value::Array(rows))]);
    if let Some(token) = page.next_token {
        told.insert("nextToken".to_owned(), Value::String(token));
    }
    Value::Object(told)
}

/// A job of ListJobs.
pub fn job_summary(job: &JobSummary) -> Value {
    json!({
        "jobArn": format!("arn:aws:iot:{PLACE}:job/{}", job.job_id),
        "jobId": job.job_id,
        "targetSelection": job.target_selection,
        "status": job.status,
        "createdAt": time(job.created_at),
        "lastUpdatedAt": time(job.created_at),
    })
}

/// A row of ListJobExecutionsForJob.
pub fn row_of_job(row: &ExecutionRow) -> Value {
    json!({ "thingArn": thing_arn(&row.thing_name), "jobExecutionSummary": summary(row) })
}

/// A row of ListJobExecutionsForThing.
pub fn row_of_thing(job: &JobId, row: &ExecutionRow) -> Value {
    json!({ "jobId": job, "jobExecutionSummary": summary(row) })
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

fn summary(row: &ExecutionRow) -> Map<String, Value> {
    let mut told = Map::from_iter([
        ("status".to_owned(), json!(row.status)),
        ("queuedAt".to_owned(), time(row.queued_at)),
        ("lastUpdatedAt".to_owned(), time(row.last_updated_at)),
        ("executionNumber".to_owned(), json!(row.execution_number)),
    ]);
    if let Some(at) = row.started_at {
        told.insert("startedAt".to_owned(), time(at));
    }
    if let Some(attempt) = row.retry_attempt {
        told.insert("retryAttempt".to_owned(), json!(attempt));
    }
    told
}

fn thing_arn(thing: &ThingName) -> String {
    format!("arn:aws:iot:{PLACE}:thing/{thing}")
}

fn time(at: Timestamp) -> Value {
    match at.as_millisecond() {
        whole if whole % 1_000 == 0 => json!(whole / 1_000),
        millis => json!(millis as f64 / 1_000.0),
    }
}
