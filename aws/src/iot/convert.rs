//! The SDK's loose shapes into ours: whatever is missing or unknown is an error, never a guess.
//!
//! Absence has a meaning for these members alone, by the API reference and by recorded answers. Every other member is
//! always there, and an answer without it cannot be read.
//!
//! | Member | What its absence means |
//! |---|---|
//! | `nextToken` | no page follows |
//! | `startedAt` | the device has not taken the execution up |
//! | `retryAttempt` of a listing | no retry came before it |
//! | `forceCanceled` | its cancellation was not forced |
//! | `statusDetails`, `detailsMap` | nobody has set any |
//! | `approximateSecondsBeforeTimedOut` | no timer runs |
//! | `namespaceId` | the job is its owner's, not another service's; empty it cannot be read |
//! | `jobExecutionsRetryConfig` | the job retries nothing; without `criteriaList` it cannot be read |
//! | counts in `jobProcessDetails` | zero |
//! | `targetSelection`, `status` of a row of ListJobs | not known, and taken for what keeps most |
//!
//! Numbers that the SDK does not make optional are zero when they are absent. A version of zero is refused for this
//! reason; `numberOfRetries` is a required member whose zero is legal.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_iot::primitives::DateTime;
use aws_sdk_iot::types::{
    GroupNameAndArn, Job as SdkJob, JobExecution, JobExecutionStatus, JobExecutionSummary,
    JobExecutionSummaryForJob, JobExecutionSummaryForThing, JobStatus as SdkJobStatus,
    JobSummary as SdkJobSummary, RetryCriteria, Tag, TargetSelection as SdkTargetSelection,
};
use jiff::Timestamp;
use serde_json::Value;
use shared::execution::{
    Execution, ExecutionOnThing, ExecutionRow, Job, JobStatus, JobSummary, RetryLimits, Status,
    TargetSelection, ToldJob, UnreadableRow,
};
use shared::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};
use shared::ports::{ListedExecution, ListedJob, ListedOnThing};

use UnreadableRow::Malformed;

pub(super) fn row(listed: JobExecutionSummaryForJob) -> ListedExecution {
    let listed_summary = listed.job_execution_summary.ok_or(Malformed("jobExecutionSummary"))?;
    summary(listed_summary, thing_of(listed.thing_arn.as_deref())?)
}

/// A row of a thing's listing, which has to be of the job that was asked for.
pub(super) fn row_of_thing(
    listed: JobExecutionSummaryForThing,
    job: &JobId,
    thing: &ThingName,
) -> ListedExecution {
    of_job(listed.job_id.as_deref(), job)?;
    summary(listed.job_execution_summary.ok_or(Malformed("jobExecutionSummary"))?, thing.clone())
}

pub(super) fn on_thing(listed: JobExecutionSummaryForThing, thing: &ThingName) -> ListedOnThing {
    let job_id = job_id(listed.job_id.as_deref())?;
    let listed_summary = listed.job_execution_summary.ok_or(Malformed("jobExecutionSummary"))?;
    Ok(ExecutionOnThing { job_id, row: summary(listed_summary, thing.clone())? })
}

pub(super) fn summary(summary: JobExecutionSummary, thing_name: ThingName) -> ListedExecution {
    Ok(ExecutionRow {
        thing_name,
        execution_number: number(summary.execution_number)?,
        status: status(summary.status)?,
        queued_at: time(summary.queued_at, "queuedAt")?,
        started_at: summary.started_at.map(|at| time(Some(at), "startedAt")).transpose()?,
        last_updated_at: time(summary.last_updated_at, "lastUpdatedAt")?,
        retry_attempt: summary.retry_attempt.map(i64::from),
    })
}

pub(super) fn execution(
    described: Option<JobExecution>,
    (job, thing): (&JobId, &ThingName),
    asked: Option<ExecutionNumber>,
) -> Result<Execution, UnreadableRow> {
    let execution = described.ok_or(Malformed("execution"))?;
    if thing_of(execution.thing_arn.as_deref())? != *thing {
        return Err(Malformed("thingArn"));
    }
    let number = number(execution.execution_number)?;
    if asked.is_some_and(|asked| asked != number) {
        return Err(Malformed("executionNumber"));
    }
    let details = execution.status_details.and_then(|details| details.details_map).unwrap_or_default();
    Ok(Execution {
        job_id: of_job(execution.job_id.as_deref(), job)?,
        row: ExecutionRow {
            thing_name: thing.clone(),
            execution_number: number,
            status: status(execution.status)?,
            queued_at: time(execution.queued_at, "queuedAt")?,
            started_at: execution.started_at.map(|at| time(Some(at), "startedAt")).transpose()?,
            last_updated_at: time(execution.last_updated_at, "lastUpdatedAt")?,
            retry_attempt: None,
        },
        version_number: version(execution.version_number)?,
        force_canceled: execution.force_canceled.unwrap_or(false),
        status_details: details.into_iter().collect(),
        approximate_seconds_before_timed_out: execution.approximate_seconds_before_timed_out,
    })
}

pub(super) fn job(described: Option<SdkJob>, asked: &JobId) -> Result<Job, UnreadableRow> {
    let job = described.ok_or(Malformed("job"))?;
    let job_id = of_job(job.job_id.as_deref(), asked)?;
    let target_selection = target_selection(job.target_selection)?.ok_or(Malformed("targetSelection"))?;
    let namespace_id = job.namespace_id.as_deref().map(NamespaceId::parse).transpose();
    let criteria = match job.job_executions_retry_config {
        None => Vec::new(),
        Some(config) if config.criteria_list.is_empty() => return Err(Malformed("criteriaList")),
        Some(config) => config.criteria_list,
    };
    // Its tags are read by it.
    let is_its_own = |arn: &String| arn.split_once(":job/").is_some_and(|(_, name)| name == job_id.as_str());
    Ok(Job {
        arn: job.job_arn.filter(is_its_own).ok_or(Malformed("jobArn"))?,
        job_id,
        namespace_id: namespace_id.map_err(|_| Malformed("namespaceId"))?,
        retries: criteria.iter().any(|criterion| criterion.number_of_retries != 0),
        retry_limits: retry_limits(&criteria)?,
        status: Some(job_status(job.status)?.ok_or(Malformed("status"))?),
        continuous: target_selection == TargetSelection::Continuous,
    })
}

/// A job, with AWS's whole answer.
pub(super) fn told_job(
    described: Option<SdkJob>,
    asked: &JobId,
    told: Option<Value>,
) -> Result<ToldJob, UnreadableRow> {
    let created_at = time(described.as_ref().and_then(|job| job.created_at), "createdAt")?;
    let counts = described.as_ref().and_then(|job| job.job_process_details.clone());
    let counts = counts.ok_or(Malformed("jobProcessDetails"))?;
    let active = [counts.number_of_queued_things, counts.number_of_in_progress_things];
    // AWS leaves zero out.
    let active = active.into_iter().flatten().map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let active = active.fold(0, u64::saturating_add);
    Ok(ToldJob { job: job(described, asked)?, created_at, active, told: told.ok_or(Malformed("job"))? })
}

/// Tags by their keys. A tag without a value, or two of one key, leave open what the job is tagged with.
pub(super) fn tags(listed: Vec<Tag>) -> Result<BTreeMap<String, String>, UnreadableRow> {
    let mut tags = BTreeMap::new();
    for tag in listed {
        let value = tag.value.ok_or(Malformed("Value"))?;
        if tag.key.is_empty() || tags.insert(tag.key, value).is_some() {
            return Err(Malformed("Key"));
        }
    }
    Ok(tags)
}

/// The name of a group.
pub(super) fn group(listed: GroupNameAndArn) -> Result<String, UnreadableRow> {
    listed.group_name.filter(|name| !name.is_empty()).ok_or(Malformed("groupName"))
}

/// The attributes of the thing that was asked for.
pub(super) fn attributes(
    name: Option<&str>,
    attributes: Option<HashMap<String, String>>,
    asked: &ThingName,
) -> Result<BTreeMap<String, String>, UnreadableRow> {
    if name != Some(asked.as_str()) {
        return Err(Malformed("thingName"));
    }
    Ok(attributes.ok_or(Malformed("attributes"))?.into_iter().collect())
}

fn retry_limits(criteria: &[RetryCriteria]) -> Result<RetryLimits, UnreadableRow> {
    let mut limits = RetryLimits::default();
    for criterion in criteria {
        let number = u32::try_from(criterion.number_of_retries).map_err(|_| Malformed("numberOfRetries"))?;
        let (failed, timed_out) = match criterion.failure_type.as_str() {
            "FAILED" => (number, 0),
            "TIMED_OUT" => (0, number),
            "ALL" => (number, number),
            _ => return Err(Malformed("failureType")),
        };
        limits.failed = limits.failed.max(failed);
        limits.timed_out = limits.timed_out.max(timed_out);
    }
    Ok(limits)
}

pub(super) fn job_summary(listed: SdkJobSummary) -> ListedJob {
    Ok(JobSummary {
        job_id: job_id(listed.job_id.as_deref())?,
        created_at: time(listed.created_at, "createdAt")?,
        target_selection: target_selection(listed.target_selection)?,
        status: job_status(listed.status)?,
    })
}

fn job_status(told: Option<SdkJobStatus>) -> Result<Option<JobStatus>, UnreadableRow> {
    told.map(|told| JobStatus::parse(told.as_str()).ok_or(Malformed("status"))).transpose()
}

/// A listing may leave it out; a description tells it then.
fn target_selection(told: Option<SdkTargetSelection>) -> Result<Option<TargetSelection>, UnreadableRow> {
    let known = |told: SdkTargetSelection| TargetSelection::parse(told.as_str());
    told.map(|told| known(told).ok_or(Malformed("targetSelection"))).transpose()
}

fn thing_of(arn: Option<&str>) -> Result<ThingName, UnreadableRow> {
    arn.and_then(|arn| ThingName::of_arn(arn).ok()).ok_or(Malformed("thingArn"))
}

fn job_id(id: Option<&str>) -> Result<JobId, UnreadableRow> {
    id.and_then(|id| JobId::parse(id).ok()).ok_or(Malformed("jobId"))
}

/// The id of the job that was asked for.
fn of_job(id: Option<&str>, asked: &JobId) -> Result<JobId, UnreadableRow> {
    job_id(id).and_then(|id| if id == *asked { Ok(id) } else { Err(Malformed("jobId")) })
}

fn number(number: Option<i64>) -> Result<ExecutionNumber, UnreadableRow> {
    number.map(ExecutionNumber::new).ok_or(Malformed("executionNumber"))
}

/// Versions start at 1; zero is what the SDK makes of an omitted one.
fn version(version: i64) -> Result<Version, UnreadableRow> {
    if version >= 1 { Ok(Version::new(version)) } else { Err(Malformed("versionNumber")) }
}

fn status(status: Option<JobExecutionStatus>) -> Result<Status, UnreadableRow> {
    let status = status.ok_or(Malformed("status"))?;
    Status::parse(status.as_str()).ok_or_else(|| UnreadableRow::UnknownStatus(status.as_str().to_owned()))
}

fn time(time: Option<DateTime>, member: &'static str) -> Result<Timestamp, UnreadableRow> {
    time.and_then(|time| time.to_millis().ok())
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        // Zero is what an omitted time looks like, and nothing is that old.
        .filter(|time| time.as_second() > 0)
        .ok_or(Malformed(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(change: impl FnOnce(&mut JobExecutionSummaryForJob)) -> ListedExecution {
        let summary = JobExecutionSummary::builder()
            .status(JobExecutionStatus::Succeeded)
            .queued_at(DateTime::from_secs(1))
            .last_updated_at(DateTime::from_secs(2))
            .execution_number(1)
            .build();
        let mut listed = JobExecutionSummaryForJob::builder()
            .thing_arn("arn:aws:iot:eu-west-1:123456789012:thing/a:thing:b")
            .job_execution_summary(summary)
            .build();
        change(&mut listed);
        row(listed)
    }

    #[test]
    fn a_things_name_begins_at_the_first_thing_of_its_arn() {
        assert_eq!(listed(|_| {}).unwrap().thing_name.as_str(), "a:thing:b");
    }

    #[test]
    fn a_row_of_a_things_listing_names_its_job_or_is_told() {
        let thing = ThingName::parse("a:thing:b").unwrap();
        let listed = |job: Option<&str>| {
            let summary = JobExecutionSummary::builder()
                .status(JobExecutionStatus::Queued)
                .queued_at(DateTime::from_secs(1))
                .last_updated_at(DateTime::from_secs(2))
                .execution_number(3);
            let listed = JobExecutionSummaryForThing::builder().job_execution_summary(summary.build());
            on_thing(listed.set_job_id(job.map(str::to_owned)).build(), &thing)
        };
        let found = listed(Some("j")).unwrap();
        assert_eq!((found.job_id.as_str(), found.row.thing_name.as_str()), ("j", "a:thing:b"));
        assert_eq!(listed(None), Err(Malformed("jobId")));
        let empty = JobExecutionSummaryForThing::builder().job_id("j").build();
        assert_eq!(on_thing(empty, &thing), Err(Malformed("jobExecutionSummary")));
    }

    #[test]
    fn an_unknown_status_is_told_and_not_guessed() {
        let row = listed(|listed| {
            listed.job_execution_summary.as_mut().unwrap().status = Some(JobExecutionStatus::from("PAUSED"));
        });
        assert_eq!(row, Err(UnreadableRow::UnknownStatus("PAUSED".into())));
    }

    #[test]
    fn a_missing_time_is_told_and_not_taken_for_long_ago() {
        for missing in [None, Some(DateTime::from_secs(0))] {
            let row = listed(|listed| {
                listed.job_execution_summary.as_mut().unwrap().last_updated_at = missing;
            });
            assert_eq!(row, Err(Malformed("lastUpdatedAt")));
        }
    }

    #[test]
    fn a_things_row_of_another_job_is_told() {
        let summary = listed(|_| {}).map(|row| (row.thing_name, row.execution_number));
        let of = |job: &str| {
            let (job, thing) = (JobId::parse("fw").map(|_| job), ThingName::parse("a:thing:b").unwrap());
            let listed = JobExecutionSummaryForThing::builder().job_id(job.unwrap()).job_execution_summary(
                JobExecutionSummary::builder()
                    .status(JobExecutionStatus::Succeeded)
                    .queued_at(DateTime::from_secs(1))
                    .last_updated_at(DateTime::from_secs(2))
                    .execution_number(1)
                    .build(),
            );
            let row = row_of_thing(listed.build(), &JobId::parse("fw").unwrap(), &thing);
            row.map(|row| (row.thing_name, row.execution_number))
        };
        assert_eq!(of("fw"), summary);
        assert_eq!(of("fw-2"), Err(Malformed("jobId")));
    }

    #[test]
    fn a_missing_version_is_told_and_not_taken_for_zero() {
        assert_eq!(version(0), Err(Malformed("versionNumber")));
        assert_eq!(version(1), Ok(Version::new(1)));
    }

    #[test]
    fn retries_are_those_of_each_kind_of_failure() {
        let limits = |criteria: &[(&str, i32)]| {
            let criteria = criteria.iter().map(|(failure, number)| {
                let criterion = RetryCriteria::builder().failure_type((*failure).into());
                criterion.number_of_retries(*number).build().unwrap()
            });
            retry_limits(&criteria.collect::<Vec<_>>()).map(|limits| (limits.failed, limits.timed_out))
        };
        assert_eq!(limits(&[]), Ok((0, 0)));
        assert_eq!(limits(&[("ALL", 3)]), Ok((3, 3)));
        assert_eq!(limits(&[("FAILED", 2), ("TIMED_OUT", 10)]), Ok((2, 10)));
        assert_eq!(limits(&[("REJECTED", 2)]), Err(Malformed("failureType")));
        assert_eq!(limits(&[("FAILED", -1)]), Err(Malformed("numberOfRetries")));
    }

    #[test]
    fn a_listing_that_leaves_the_target_selection_out_does_not_say_which_it_is() {
        let listed = |target: Option<SdkTargetSelection>| {
            let listed = SdkJobSummary::builder().job_id("j").created_at(DateTime::from_secs(1));
            job_summary(listed.set_target_selection(target).build()).map(|job| job.target_selection)
        };
        assert_eq!(listed(None), Ok(None));
        let continuous = Some(SdkTargetSelection::Continuous);
        assert_eq!(listed(continuous), Ok(Some(TargetSelection::Continuous)));
        assert_eq!(listed(Some("ROLLING".into())), Err(Malformed("targetSelection")));
    }
}
