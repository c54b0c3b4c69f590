//! AWS IoT Jobs through the SDK.

mod answer;
mod convert;
mod fault;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use aws_config::SdkConfig;
use aws_sdk_iot::types::JobExecutionStatus;
use aws_sdk_iot::{Client, Config};
use shared::archive::{Delete, DeleteJob};
use shared::execution::{Execution, ExecutionRow, Job, Status, ToldJob, UnreadableRow};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::listing::{NextPage, PagesSeen};
use shared::ports::{
    Cancel, CancelExecutions, DeleteExecutions, DeleteJobs, Force, ListedExecution, ListedJob, ListedOnThing,
    MutationError, Page, ReadError, ReadJobs,
};

use crate::sdk::Terse;
use answer::Answer;
use fault::Fault;
use told::{Counted, OwnSuccess, Target, answered};

/// The most that AWS gives on a page.
const PAGE: i32 = 250;

/// The list of both listings of executions.
const ROWS: &str = "executionSummaries";

/// AWS IoT Jobs: every client reads, and changes only what its right `R` allows.
pub struct Iot<R> {
    client: Client,
    right: PhantomData<R>,
}

/// Reads, and nothing else.
pub type IotReader = Iot<ToRead>;

/// Reads, and cancels.
pub type IotCanceller = Iot<ToCancel>;

/// Reads, and deletes.
pub type IotDeleter = Iot<ToDelete>;

/// Reads, cancels and deletes: the guarded delete needs both.
pub type IotOperator = Iot<ToCancelAndDelete>;

/// No right besides reading.
#[derive(Debug, Clone, Copy)]
pub enum ToRead {}

/// The right to cancel.
#[derive(Debug, Clone, Copy)]
pub enum ToCancel {}

/// The right to delete.
#[derive(Debug, Clone, Copy)]
pub enum ToDelete {}

/// The right to cancel and to delete.
#[derive(Debug, Clone, Copy)]
pub enum ToCancelAndDelete {}

/// A right that includes cancelling.
pub trait MayCancel: Send + Sync {}

/// A right that includes deleting.
pub trait MayDelete: Send + Sync {}

impl MayCancel for ToCancel {}
impl MayCancel for ToCancelAndDelete {}
impl MayDelete for ToDelete {}
impl MayDelete for ToCancelAndDelete {}

impl<R> Iot<R> {
    /// A client of AWS IoT.
    pub fn new(config: &SdkConfig) -> Self {
        let config = Config::from(config)
            .to_builder()
            .interceptor(Terse)
            .interceptor(Counted)
            .interceptor(OwnSuccess)
            .build();
        Self { client: Client::from_conf(config), right: PhantomData }
    }
}

impl<R> fmt::Debug for Iot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iot").finish_non_exhaustive()
    }
}

impl<R: MayCancel> CancelExecutions for Iot<R> {
    async fn cancel(&self, cancel: &Cancel) -> Result<(), MutationError> {
        let details = cancel
            .status_details
            .as_ref()
            .map(|details| details.pairs().iter().map(|(key, value)| (key.clone(), value.clone())).collect());
        let answer = self
            .client
            .cancel_job_execution()
            .job_id(cancel.job_id.as_str())
            .thing_name(cancel.thing_name.as_str())
            .force(cancel.force == Force::EvenInProgress)
            .expected_version(cancel.expected_version.get())
            .set_status_details(details)
            .send()
            .await;
        let target = Target { job: &cancel.job_id, thing: Some(&cancel.thing_name), number: None };
        answered("CancelJobExecution", target, answer)
    }
}

impl<R: MayDelete> DeleteExecutions for Iot<R> {
    /// Sends no `force`: AWS takes an absent one for false.
    async fn delete(&self, delete: &Delete) -> Result<(), MutationError> {
        let answer = self
            .client
            .delete_job_execution()
            .job_id(delete.job_id().as_str())
            .thing_name(delete.thing_name().as_str())
            .execution_number(delete.execution_number().get())
            .set_namespace_id(delete.namespace_id().map(|namespace| namespace.as_str().to_owned()))
            .send()
            .await;
        let number = Some(delete.execution_number());
        let target = Target { job: delete.job_id(), thing: Some(delete.thing_name()), number };
        answered("DeleteJobExecution", target, answer)
    }
}

impl DeleteJobs for Iot<ToDelete> {
    /// Sends no `force`: AWS takes an absent one for false.
    async fn delete_job(&self, delete: &DeleteJob) -> Result<(), MutationError> {
        let answer = self.client.delete_job().job_id(delete.job_id().as_str()).send().await;
        answered("DeleteJob", Target { job: delete.job_id(), thing: None, number: None }, answer)
    }
}

impl<R: Send + Sync> ReadJobs for Iot<R> {
    async fn describe_execution(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: Option<ExecutionNumber>,
    ) -> Result<Execution, ReadError> {
        const OPERATION: &str = "DescribeJobExecution";
        let described = self
            .client
            .describe_job_execution()
            .job_id(job.as_str())
            .thing_name(thing.as_str())
            .set_execution_number(number.map(ExecutionNumber::get))
            .send()
            .await
            .map_err(|error| Fault::of(error).read(OPERATION))?;
        convert::execution(described.execution, (job, thing), number)
            .map_err(|error| unreadable(OPERATION, error))
    }

    async fn describe_job(&self, job: &JobId) -> Result<Job, ReadError> {
        const OPERATION: &str = "DescribeJob";
        let described = self
            .client
            .describe_job()
            .job_id(job.as_str())
            .send()
            .await
            .map_err(|error| Fault::of(error).read(OPERATION))?;
        convert::job(described.job, job).map_err(|error| unreadable(OPERATION, error))
    }

    async fn told_job(&self, job: &JobId) -> Result<ToldJob, ReadError> {
        const OPERATION: &str = "DescribeJob";
        let answer = Answer::default();
        let described = self
            .client
            .describe_job()
            .job_id(job.as_str())
            .customize()
            .interceptor(answer.clone())
            .send()
            .await
            .map_err(|error| Fault::of(error).read(OPERATION))?;
        convert::told_job(described.job, job, answer.json()).map_err(|error| unreadable(OPERATION, error))
    }

    async fn job_document(&self, job: &JobId) -> Result<String, ReadError> {
        const OPERATION: &str = "GetJobDocument";
        let got = self
            .client
            .get_job_document()
            .job_id(job.as_str())
            .send()
            .await
            .map_err(|error| Fault::of(error).read(OPERATION))?;
        got.document.ok_or_else(|| unreadable(OPERATION, UnreadableRow::Malformed("document")))
    }

    async fn job_tags(&self, job: &Job) -> Result<BTreeMap<String, String>, ReadError> {
        const OPERATION: &str = "ListTagsForResource";
        let tags = whole(OPERATION, |token: Option<String>| async move {
            let asked = self.client.list_tags_for_resource().resource_arn(&job.arn);
            let listed = asked.set_next_token(token.clone()).send().await;
            let listed = listed.map_err(|error| Fault::of(error).listing(OPERATION, token.as_deref()))?;
            page(OPERATION, ("tags", listed.tags), listed.next_token, |tag| tag)
        });
        convert::tags(tags.await?).map_err(|error| unreadable(OPERATION, error))
    }

    async fn listed_execution(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: ExecutionNumber,
    ) -> Result<ExecutionRow, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForThing";
        let list = |token: Option<String>| async move {
            self.list_executions_of_thing(job, thing, token.as_deref()).await
        };
        for listed in whole(OPERATION, list).await? {
            // One that cannot be read may be the one that is looked for.
            let row = listed.map_err(|error| unreadable(OPERATION, error))?;
            if row.execution_number == number {
                return Ok(row);
            }
        }
        Err(ReadError::NotFound(format!("execution {number} of `{job}` on `{thing}` is not listed")))
    }

    async fn list_executions_of_thing(
        &self,
        job: &JobId,
        thing: &ThingName,
        token: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForThing";
        let listed = self
            .client
            .list_job_executions_for_thing()
            .thing_name(thing.as_str())
            .job_id(job.as_str())
            .max_results(PAGE)
            .set_next_token(token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| Fault::of(error).listing(OPERATION, token))?;
        let rows = (ROWS, listed.execution_summaries);
        page(OPERATION, rows, listed.next_token, |row| convert::row_of_thing(row, job, thing))
    }

    async fn list_on_thing(
        &self,
        thing: &ThingName,
        status: Status,
        token: Option<&str>,
    ) -> Result<Page<ListedOnThing>, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForThing";
        let listed = self
            .client
            .list_job_executions_for_thing()
            .thing_name(thing.as_str())
            .status(JobExecutionStatus::from(status.as_str()))
            .max_results(PAGE)
            .set_next_token(token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| Fault::of(error).listing(OPERATION, token))?;
        let rows = (ROWS, listed.execution_summaries);
        page(OPERATION, rows, listed.next_token, |row| convert::on_thing(row, thing))
    }

    async fn thing_groups(&self, thing: &ThingName) -> Result<BTreeSet<String>, ReadError> {
        const OPERATION: &str = "ListThingGroupsForThing";
        let groups = whole(OPERATION, |token: Option<String>| async move {
            let asked =
                self.client.list_thing_groups_for_thing().thing_name(thing.as_str()).max_results(PAGE);
            let listed = asked.set_next_token(token.clone()).send().await;
            let listed = listed.map_err(|error| Fault::of(error).listing(OPERATION, token.as_deref()))?;
            page(OPERATION, ("thingGroups", listed.thing_groups), listed.next_token, convert::group)
        });
        let groups = groups.await?.into_iter().collect::<Result<_, _>>();
        groups.map_err(|error| unreadable(OPERATION, error))
    }

    async fn thing_attributes(&self, thing: &ThingName) -> Result<BTreeMap<String, String>, ReadError> {
        const OPERATION: &str = "DescribeThing";
        let described = self
            .client
            .describe_thing()
            .thing_name(thing.as_str())
            .send()
            .await
            .map_err(|error| Fault::of(error).read(OPERATION))?;
        convert::attributes(described.thing_name.as_deref(), described.attributes, thing)
            .map_err(|error| unreadable(OPERATION, error))
    }

    async fn list_jobs(&self, token: Option<&str>) -> Result<Page<ListedJob>, ReadError> {
        const OPERATION: &str = "ListJobs";
        let listed = self
            .client
            .list_jobs()
            .max_results(PAGE)
            .set_next_token(token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| Fault::of(error).listing(OPERATION, token))?;
        page(OPERATION, ("jobs", listed.jobs), listed.next_token, convert::job_summary)
    }

    async fn list_executions(
        &self,
        job: &JobId,
        status: Option<Status>,
        token: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForJob";
        let listed = self
            .client
            .list_job_executions_for_job()
            .job_id(job.as_str())
            .max_results(PAGE)
            .set_status(status.map(|status| JobExecutionStatus::from(status.as_str())))
            .set_next_token(token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| Fault::of(error).listing(OPERATION, token))?;
        page(OPERATION, (ROWS, listed.execution_summaries), listed.next_token, convert::row)
    }
}

/// A page of a listing. AWS sends the list even where it is empty: an answer without it says nothing, and is not taken
/// for "there are none". An absent or empty token says that no page follows.
fn page<S, T>(
    operation: &'static str,
    (member, rows): (&'static str, Option<Vec<S>>),
    next_token: Option<String>,
    form: impl FnMut(S) -> T,
) -> Result<Page<T>, ReadError> {
    let rows = rows.ok_or_else(|| unreadable(operation, UnreadableRow::Malformed(member)))?;
    let next_token = next_token.filter(|token| !token.is_empty());
    Ok(Page { items: rows.into_iter().map(form).collect(), next_token })
}

/// Everything that a listing has, page by page. What repeats a token never ends, and proves nothing.
async fn whole<T, F>(operation: &'static str, list: impl Fn(Option<String>) -> F) -> Result<Vec<T>, ReadError>
where
    F: Future<Output = Result<Page<T>, ReadError>>,
{
    let (mut items, mut token, mut pages) = (Vec::new(), None, PagesSeen::default());
    loop {
        let page = list(token).await?;
        items.extend(page.items);
        match pages.turn(Vec::new(), page.next_token) {
            NextPage::At(next) => token = Some(next),
            NextPage::End => return Ok(items),
            NextPage::Repeated => {
                return Err(unreadable(operation, UnreadableRow::Malformed("nextToken")));
            }
        }
    }
}

fn unreadable(operation: &'static str, error: UnreadableRow) -> ReadError {
    ReadError::Unreadable { operation, problem: error.to_string() }
}
