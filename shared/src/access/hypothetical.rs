//! Executions that are made up, to ask what the access policy says of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::{AskedFacts, WholeFacts};
use crate::execution::{Execution, ExecutionRow, Job, JobFacts, RetryLimits, Status};
use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version, quoted};
use crate::json::Object;
use crate::time::{self, DurationError, Units};

/// The account of what is made up.
pub(super) const ACCOUNT: &str = "123456789012";

/// The Region of what is made up.
const REGION: &str = "eu-west-1";

/// An execution and its job; whatever is left out, or `null`, is ordinary. The names are those of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HypotheticalExecution {
    job_id: Option<String>,
    thing_name: Option<String>,
    execution_number: Option<i64>,
    account: Option<String>,
    region: Option<String>,
    queued_age: Option<String>,
    started_age: Option<String>,
    last_updated_age: Option<String>,
    job_tags: Option<BTreeMap<String, String>>,
    job_namespace_id: Option<String>,
    job_retries: Option<bool>,
    job_retry_limits: Option<Object<HypotheticalRetryLimits>>,
    job_continuous: Option<bool>,
    version_number: Option<i64>,
    status_details: Option<BTreeMap<String, String>>,
    approximate_seconds_before_timed_out: Option<i64>,
    retry_attempt: Option<i64>,
    thing_groups: Option<BTreeSet<String>>,
    thing_attributes: Option<BTreeMap<String, String>>,
}

/// How often its job retries. An archive record's may get members that are newer than its reader; here one that is not known
/// is a mistake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HypotheticalRetryLimits {
    failed: Option<u32>,
    timed_out: Option<u32>,
}

impl HypotheticalExecution {
    /// Everything there is to know of it.
    ///
    /// # Errors
    /// When a name breaks AWS's limits, or an age is none.
    pub fn facts(&self, status: Status, now: Timestamp) -> Result<WholeFacts, String> {
        let name = |given: &Option<String>, ordinary: &str| given.clone().unwrap_or(ordinary.to_owned());
        let job_id = JobId::parse(&name(&self.job_id, "a-job")).map_err(|error| error.to_string())?;
        let thing_name =
            ThingName::parse(&name(&self.thing_name, "a-thing")).map_err(|error| error.to_string())?;
        let namespace_id = self.job_namespace_id.as_deref().map(NamespaceId::parse).transpose();
        let ago = |name: &str, given: &Option<String>, ordinary| {
            before(now, given.as_deref().unwrap_or(ordinary)).map_err(|problem| format!("{name}: {problem}"))
        };
        let HypotheticalRetryLimits { failed, timed_out } = self.job_retry_limits.unwrap_or_default().0;
        let retry_limits =
            RetryLimits { failed: failed.unwrap_or_default(), timed_out: timed_out.unwrap_or_default() };
        let retry_attempt = Some(self.retry_attempt.unwrap_or_default());
        let waits = status == Status::Queued;
        let row = ExecutionRow {
            thing_name,
            execution_number: ExecutionNumber::new(self.execution_number.unwrap_or(1)),
            status,
            queued_at: ago("queuedAge", &self.queued_age, "3h")?,
            started_at: if waits { None } else { Some(ago("startedAge", &self.started_age, "2h")?) },
            last_updated_at: ago("lastUpdatedAge", &self.last_updated_age, "1h")?,
            retry_attempt,
        };
        let execution = Execution {
            job_id: job_id.clone(),
            row,
            version_number: Version::new(self.version_number.unwrap_or(1)),
            force_canceled: false,
            status_details: self.status_details.clone().unwrap_or_default(),
            approximate_seconds_before_timed_out: self.approximate_seconds_before_timed_out,
        };
        let job = Job {
            arn: format!(
                "arn:aws:iot:{}:{}:job/{job_id}",
                place(&self.region, REGION)?,
                place(&self.account, ACCOUNT)?
            ),
            job_id,
            namespace_id: namespace_id.map_err(|error| error.to_string())?,
            retries: self.job_retries.unwrap_or_default() || retry_limits != RetryLimits::default(),
            retry_limits,
            status: None,
            continuous: self.job_continuous.unwrap_or_default(),
        };
        let asked = AskedFacts {
            description: Some(execution.clone()),
            retry_attempt,
            thing_groups: Some(self.thing_groups.clone().unwrap_or_default()),
            thing_attributes: Some(self.thing_attributes.clone().unwrap_or_default()),
        };
        Ok(WholeFacts {
            execution,
            job: JobFacts { job, tags: self.job_tags.clone().unwrap_or_default() },
            asked,
        })
    }
}

/// An account or a Region.
fn place<'a>(given: &'a Option<String>, ordinary: &'a str) -> Result<&'a str, String> {
    let place = given.as_deref().unwrap_or(ordinary);
    let legal = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if legal { Ok(place) } else { Err(format!("{} must be an account or a Region", quoted(place))) }
}

/// The first time that has a year of four digits. The policy language knows none before.
const FIRST: Timestamp = Timestamp::constant(-62_167_219_200, 0);

/// The time that lies so long before `now`.
fn before(now: Timestamp, age: &str) -> Result<Timestamp, String> {
    let length = match time::duration(age, Units::ToSeconds) {
        Ok(length) => Some(length),
        Err(DurationError::TooLong) => None,
        Err(
            problem @ (DurationError::Form(_)
            | DurationError::MinutesOrMonths(_)
            | DurationError::NotFixed(_)),
        ) => return Err(format!("{} is no age: {problem}", quoted(age))),
    };
    let at = length.and_then(|length| now.checked_sub(length).ok()).filter(|at| *at >= FIRST);
    at.ok_or_else(|| {
        format!("{} before {now} is before the year 0, the first that policies know", quoted(age))
    })
}
