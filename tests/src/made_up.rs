//! A fleet that is made up row by row as it is listed: where the memory or the instructions of a sweep are measured, the
//! sweep's are all there are.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what measures may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use shared::archive::{Delete, DeleteJob};
use shared::execution::{
    Execution, ExecutionOnThing, ExecutionRow, Job, JobStatus, JobSummary, Status, TargetSelection, ToldJob,
};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::ports::{
    DeleteExecutions, DeleteJobs, ListedExecution, ListedJob, ListedOnThing, MutationError, Page, ReadError,
    ReadJobs,
};

/// Rows of a page, AWS's most.
const PAGE: usize = 250;

/// The time of sweeps over such a fleet: 2026-11-21T02:00:00Z, without reading that again for every row.
pub const MADE_UP_AT: Timestamp = Timestamp::constant(1_795_226_400, 0);

fn days_ago(days: i64) -> Timestamp {
    MADE_UP_AT - SignedDuration::from_hours(24 * days)
}

/// Jobs with the same number of executions each, and a last one with the rest, of which only is remembered what has been
/// deleted: a bit for each.
#[derive(Debug)]
pub struct MadeUpFleet {
    jobs: usize,
    of_a_job: usize,
    executions: usize,
    due: Option<usize>,
    looks: bool,
    deleted: Mutex<Vec<u64>>,
    /// Pages of executions that are there already, the next one last.
    ready: Mutex<Vec<Page<ListedExecution>>>,
}

impl MadeUpFleet {
    /// So many jobs with so many executions each, and all others in the last one. One in so many is due.
    pub fn new((jobs, of_a_job): (usize, usize), executions: usize, due: Option<usize>) -> Self {
        let deleted = Mutex::new(vec![0; executions.div_ceil(64)]);
        Self { jobs, of_a_job, executions, due, looks: false, deleted, ready: Mutex::default() }
    }

    /// The same, where it may be asked for the successes of a thing: the newest is of the last job.
    #[must_use]
    pub fn with_looks(self) -> Self {
        Self { looks: true, ..self }
    }

    /// How many executions have been deleted.
    pub fn deleted(&self) -> usize {
        self.deleted.lock().unwrap().iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Makes up all pages of the only job ahead, so that whoever lists them next is measured without that.
    pub fn make_ready(&self) {
        let mut pages = vec![self.listed(0, None)];
        while let Some(token) = pages.last().and_then(|page| page.next_token.clone()) {
            pages.push(self.listed(0, Some(&token)));
        }
        pages.reverse();
        *self.ready.lock().unwrap() = pages;
    }

    fn listed(&self, job: usize, token: Option<&str>) -> Page<ListedExecution> {
        let deleted = self.deleted.lock().unwrap();
        let base = job * self.of_a_job;
        let end = if job + 1 == self.jobs { self.executions - base } else { self.of_a_job };
        let there = |nth| deleted[(base + nth) / 64] >> ((base + nth) % 64) & 1 == 0;
        page((token, end), there, |nth| Ok(self.row(nth)))
    }

    fn nth(name: &str) -> usize {
        name.rsplit('-').next().unwrap().parse().unwrap()
    }

    /// What a job has on its nth thing.
    fn row(&self, nth: usize) -> ExecutionRow {
        let due = self.due.is_some_and(|due| nth.is_multiple_of(due));
        ExecutionRow {
            thing_name: ThingName::parse(&format!("thing-{nth}")).unwrap(),
            execution_number: ExecutionNumber::new(1),
            status: Status::Succeeded,
            queued_at: days_ago(199),
            started_at: Some(days_ago(199)),
            last_updated_at: days_ago(if due { 100 } else { 10 }),
            retry_attempt: Some(0),
        }
    }
}

fn job_id(nth: usize) -> JobId {
    JobId::parse(&format!("job-{nth:06}")).unwrap()
}

/// A page of those that are there, from where a token says.
fn page<T>(
    (from, end): (Option<&str>, usize),
    there: impl Fn(usize) -> bool,
    item: impl Fn(usize) -> T,
) -> Page<T> {
    let first = from.map_or(0, |token| token.parse().unwrap());
    let mut shown: Vec<_> = (first..end).filter(|nth| there(*nth)).take(PAGE + 1).collect();
    let next = shown.get(PAGE).map(usize::to_string);
    shown.truncate(PAGE);
    Page { items: shown.into_iter().map(item).collect(), next_token: next }
}

impl ReadJobs for MadeUpFleet {
    async fn list_jobs(&self, token: Option<&str>) -> Result<Page<ListedJob>, ReadError> {
        let job = |nth| {
            Ok(JobSummary {
                job_id: job_id(nth),
                created_at: days_ago(200),
                target_selection: Some(TargetSelection::Snapshot),
                status: Some(JobStatus::InProgress),
            })
        };
        Ok(page((token, self.jobs), |_| true, job))
    }

    async fn list_executions(
        &self,
        job: &JobId,
        _: Option<Status>,
        token: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        let ready = self.ready.lock().unwrap().pop();
        Ok(ready.unwrap_or_else(|| self.listed(Self::nth(job.as_str()), token)))
    }

    async fn describe_job(&self, job: &JobId) -> Result<Job, ReadError> {
        Ok(Job {
            job_id: job.clone(),
            arn: format!("arn:aws:iot:eu-west-1:123456789012:job/{job}"),
            namespace_id: None,
            retries: false,
            retry_limits: Default::default(),
            status: None,
            continuous: false,
        })
    }

    async fn job_tags(&self, _: &Job) -> Result<BTreeMap<String, String>, ReadError> {
        Ok(BTreeMap::new())
    }

    async fn describe_execution(
        &self,
        _: &JobId,
        _: &ThingName,
        _: Option<ExecutionNumber>,
    ) -> Result<Execution, ReadError> {
        Err(not_asked())
    }

    async fn listed_execution(
        &self,
        _: &JobId,
        _: &ThingName,
        _: ExecutionNumber,
    ) -> Result<ExecutionRow, ReadError> {
        Err(not_asked())
    }

    async fn told_job(&self, _: &JobId) -> Result<ToldJob, ReadError> {
        Err(not_asked())
    }

    async fn job_document(&self, _: &JobId) -> Result<String, ReadError> {
        Err(not_asked())
    }

    async fn list_executions_of_thing(
        &self,
        _: &JobId,
        _: &ThingName,
        _: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        Err(not_asked())
    }

    /// The newest one is all that a look asks for.
    async fn list_on_thing(
        &self,
        thing: &ThingName,
        _: Status,
        _: Option<&str>,
    ) -> Result<Page<ListedOnThing>, ReadError> {
        if !self.looks {
            return Err(not_asked());
        }
        let row = self.row(Self::nth(thing.as_str()));
        let newest = ExecutionOnThing { job_id: job_id(self.jobs - 1), row };
        Ok(Page { items: vec![Ok(newest)], next_token: None })
    }

    async fn thing_groups(&self, _: &ThingName) -> Result<BTreeSet<String>, ReadError> {
        Err(not_asked())
    }

    async fn thing_attributes(&self, _: &ThingName) -> Result<BTreeMap<String, String>, ReadError> {
        Err(not_asked())
    }
}

fn not_asked() -> ReadError {
    ReadError::Invalid("the shipped policies and rules do not ask for it".to_owned())
}

impl DeleteExecutions for MadeUpFleet {
    async fn delete(&self, delete: &Delete) -> Result<(), MutationError> {
        let job = Self::nth(delete.job_id().as_str());
        let nth = job * self.of_a_job + Self::nth(delete.thing_name().as_str());
        self.deleted.lock().unwrap()[nth / 64] |= 1 << (nth % 64);
        Ok(())
    }
}

impl DeleteJobs for MadeUpFleet {
    async fn delete_job(&self, _: &DeleteJob) -> Result<(), MutationError> {
        Err(MutationError::Invalid("the shipped rules delete no job whole".to_owned()))
    }
}
