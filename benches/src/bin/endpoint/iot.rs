//! AWS IoT's REST API: which operation a request is, its quota, and what the fake makes of it.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shared::execution::Status;
use shared::ids::{ExecutionNumber, JobId, StatusDetails, ThingName, Version, Violation};
use shared::ports::{Force, ReadJobs};
use tests::BareCancel;

use crate::account::{Account, now};
use crate::calls::Came;
use crate::fleet::CANCEL_ME;
use crate::request;
use crate::serve::{self, Answer};
use crate::wire::{self, Refusal};

/// The most that AWS gives on a page, and what it gives where nobody asks for less.
const PAGE: usize = 250;

/// An operation with what its path says.
#[derive(Debug, PartialEq, Eq)]
enum Operation<'a> {
    CancelJobExecution { thing: &'a str, job: &'a str },
    DeleteJobExecution { thing: &'a str, job: &'a str, number: &'a str },
    DeleteJob { job: &'a str },
    DescribeJob { job: &'a str },
    DescribeJobExecution { thing: &'a str, job: &'a str },
    DescribeThing { thing: &'a str },
    GetJobDocument { job: &'a str },
    ListJobs,
    ListJobExecutionsForJob { job: &'a str },
    ListJobExecutionsForThing { thing: &'a str },
    ListTagsForResource,
    ListThingGroupsForThing { thing: &'a str },
}

impl<'a> Operation<'a> {
    fn of(method: &Method, path: &[&'a str]) -> Option<Self> {
        Some(match (method.as_str(), path) {
            ("PUT", ["things", thing, "jobs", job, "cancel"]) => Self::CancelJobExecution { thing, job },
            ("DELETE", ["things", thing, "jobs", job, "executionNumber", number]) => {
                Self::DeleteJobExecution { thing, job, number }
            }
            ("DELETE", ["jobs", job]) => Self::DeleteJob { job },
            ("GET", ["jobs", job]) => Self::DescribeJob { job },
            ("GET", ["things", thing, "jobs", job]) => Self::DescribeJobExecution { thing, job },
            ("GET", ["things", thing]) => Self::DescribeThing { thing },
            ("GET", ["jobs", job, "job-document"]) => Self::GetJobDocument { job },
            ("GET", ["jobs"]) => Self::ListJobs,
            ("GET", ["jobs", job, "things"]) => Self::ListJobExecutionsForJob { job },
            ("GET", ["things", thing, "jobs"]) => Self::ListJobExecutionsForThing { thing },
            ("GET", ["tags"]) => Self::ListTagsForResource,
            ("GET", ["things", thing, "thing-groups"]) => Self::ListThingGroupsForThing { thing },
            _ => return None,
        })
    }

    /// Its name in AWS's words, and the query parameters that are served.
    fn told(&self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::CancelJobExecution { .. } => ("CancelJobExecution", &["force"]),
            Self::DeleteJobExecution { .. } => ("DeleteJobExecution", &["force", "namespaceId"]),
            Self::DeleteJob { .. } => ("DeleteJob", &[]),
            Self::DescribeJob { .. } => ("DescribeJob", &[]),
            Self::DescribeJobExecution { .. } => ("DescribeJobExecution", &["executionNumber"]),
            Self::DescribeThing { .. } => ("DescribeThing", &[]),
            Self::GetJobDocument { .. } => ("GetJobDocument", &[]),
            Self::ListJobs => ("ListJobs", &["maxResults", "nextToken"]),
            Self::ListJobExecutionsForJob { .. } => {
                ("ListJobExecutionsForJob", &["maxResults", "nextToken", "status"])
            }
            Self::ListJobExecutionsForThing { .. } => {
                ("ListJobExecutionsForThing", &["jobId", "maxResults", "nextToken", "status"])
            }
            Self::ListTagsForResource => ("ListTagsForResource", &["nextToken", "resourceArn"]),
            Self::ListThingGroupsForThing { .. } => ("ListThingGroupsForThing", &["maxResults", "nextToken"]),
        }
    }
}

/// Answers a call.
pub async fn answer(account: &Account, request: &Request<Bytes>) -> Answer {
    let path = request::path(request.uri());
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let Some(operation) = Operation::of(request.method(), &path) else {
        let what =
            format!("{} {} is no operation that is served here", request.method(), request.uri().path());
        return Refusal::unknown(what).answer();
    };
    let (name, parameters) = operation.told();
    let admitted = account.admits(name);
    let latency = account.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if !admitted {
        return Refusal::throttled().answer();
    }
    let query = Query(request::query(request.uri()));
    let answered = match query.0.keys().find(|name| !parameters.contains(&name.as_str())) {
        Some(unknown) => Err(Refusal::invalid(format!("`{unknown}` is not served for {name}"))),
        None => carry_out(account, operation, &query, request.body()).await,
    };
    let error = answered.as_ref().err().map(|refusal| refusal.name);
    account.calls.count(name, Came::Answered(error), now());
    answered.map_or_else(|refusal| refusal.answer(), |body| serve::json_text(StatusCode::OK, body))
}

async fn carry_out(
    account: &Account,
    operation: Operation<'_>,
    query: &Query,
    body: &[u8],
) -> Result<String, Refusal> {
    let iot = account.iot.wanting(query.page()?);
    let token = query.token()?;
    let told = match operation {
        Operation::CancelJobExecution { thing, job } => {
            let cancel = cancel(JobId::parse(job)?, ThingName::parse(thing)?, query, body)?;
            if job == CANCEL_ME {
                account.put_back(Some(&cancel.thing_name));
            }
            iot.cancel_bare(&cancel).await?;
            if job == CANCEL_ME {
                account.canceled(&cancel.thing_name);
            }
            json!({})
        }
        Operation::DeleteJobExecution { thing, job, number } => {
            let number = ExecutionNumber::parse(number)?;
            iot.delete_bare(&JobId::parse(job)?, &ThingName::parse(thing)?, number, query.force()?).await?;
            json!({})
        }
        Operation::DeleteJob { job } => {
            iot.delete_job_bare(&JobId::parse(job)?).await?;
            json!({})
        }
        Operation::DescribeJob { job } => wire::job(&iot.told_job(&JobId::parse(job)?).await?),
        Operation::DescribeJobExecution { thing, job } => {
            let number = query.0.get("executionNumber").map(|number| ExecutionNumber::parse(number));
            let (job, thing) = (JobId::parse(job)?, ThingName::parse(thing)?);
            wire::execution(&iot.describe_execution(&job, &thing, number.transpose()?).await?)
        }
        Operation::DescribeThing { thing } => {
            let attributes = iot.thing_attributes(&ThingName::parse(thing)?).await?;
            json!({ "thingName": thing, "attributes": attributes, "version": 1 })
        }
        Operation::GetJobDocument { job } => {
            json!({ "document": iot.job_document(&JobId::parse(job)?).await? })
        }
        Operation::ListJobs => {
            return Ok(wire::page("jobs", &iot.list_jobs(token).await?, wire::job_summary));
        }
        Operation::ListJobExecutionsForJob { job } => {
            let page = iot.list_executions(&JobId::parse(job)?, query.status()?, token).await?;
            return Ok(wire::page("executionSummaries", &page, wire::row_of_job));
        }
        Operation::ListJobExecutionsForThing { thing } => {
            let thing = ThingName::parse(thing)?;
            match (query.0.get("jobId"), query.status()?) {
                (Some(job), None) => {
                    let job = JobId::parse(job)?;
                    let page = iot.list_executions_of_thing(&job, &thing, token).await?;
                    return Ok(wire::page("executionSummaries", &page, |row| wire::row_of_thing(&job, row)));
                }
                (None, Some(status)) => {
                    let page = iot.list_on_thing(&thing, status, token).await?;
                    return Ok(wire::page("executionSummaries", &page, |found| {
                        wire::row_of_thing(&found.job_id, &found.row)
                    }));
                }
                _ => return Err(Refusal::invalid("either `jobId` or `status` is served".to_owned())),
            }
        }
        Operation::ListTagsForResource => {
            let arn = query.0.get("resourceArn").map(String::as_str).unwrap_or_default();
            let job = arn.split_once(":job/").map(|(_, job)| job).unwrap_or_default();
            let job = iot.job_setup(&JobId::parse(job)?).ok_or_else(|| Refusal::not_found("no such job"))?;
            wire::tags(&job.tags)
        }
        Operation::ListThingGroupsForThing { thing } => {
            wire::groups(&iot.thing_groups(&ThingName::parse(thing)?).await?)
        }
    };
    Ok(told.to_string())
}

/// The body of a cancel.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct CancelBody {
    expected_version: Option<i64>,
    status_details: Option<BTreeMap<String, String>>,
}

fn cancel(job_id: JobId, thing_name: ThingName, query: &Query, body: &[u8]) -> Result<BareCancel, Refusal> {
    let body = if body.is_empty() { CancelBody::default() } else { serde_json::from_slice(body)? };
    Ok(BareCancel {
        job_id,
        thing_name,
        expected_version: body.expected_version.map(Version::new),
        force: query.force()?,
        status_details: body.status_details.map(StatusDetails::parse).transpose()?,
    })
}

/// A query, by its parameters.
struct Query(BTreeMap<String, String>);

impl Query {
    fn force(&self) -> Result<Force, Refusal> {
        match self.0.get("force").map(String::as_str) {
            None | Some("false") => Ok(Force::Never),
            Some("true") => Ok(Force::EvenInProgress),
            Some(other) => Err(Refusal::invalid(format!("force: `{other}` must be true or false"))),
        }
    }

    fn status(&self) -> Result<Option<Status>, Refusal> {
        let status = self.0.get("status");
        status
            .map(|word| Status::parse(word).ok_or_else(|| Refusal::invalid(format!("status: `{word}`"))))
            .transpose()
    }

    fn page(&self) -> Result<usize, Refusal> {
        match self.0.get("maxResults").map(|size| size.parse()) {
            None => Ok(PAGE),
            Some(Ok(size @ 1..=PAGE)) => Ok(size),
            Some(_) => Err(Refusal::invalid(format!("maxResults must be 1 to {PAGE}"))),
        }
    }

    /// The fake's own tokens are offsets, and it takes any other for the first.
    fn token(&self) -> Result<Option<&str>, Refusal> {
        let token = self.0.get("nextToken").map(String::as_str);
        match token {
            Some(other) if other.parse::<usize>().is_err() => {
                Err(Refusal::invalid("nextToken is none of this endpoint's".to_owned()))
            }
            token => Ok(token),
        }
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::invalid(violation.to_string())
    }
}

impl From<Vec<Violation>> for Refusal {
    fn from(violations: Vec<Violation>) -> Self {
        let told: Vec<_> = violations.iter().map(ToString::to_string).collect();
        Self::invalid(told.join("; "))
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(error.to_string())
    }
}
