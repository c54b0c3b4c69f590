//! A fleet that is made up row by row as it is listed, a bucket that keeps next to nothing, and a queue: what is measured
//! is the sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use shared::archive::{Delete, DeleteJob};
use shared::execution::{
    Execution, ExecutionRow, Job, JobStatus, JobSummary, Status, TargetSelection, ToldJob,
};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::lane::LaneName;
use shared::operation::Operation;
use shared::ports::{
    Cause, DeleteExecutions, DeleteJobs, ListedExecution, ListedJob, ListedOnThing, MutationError, Page,
    ReadError, ReadJobs, SliceQueue,
};
use shared::sweep::SliceMessage;

/// Rows of a page, AWS's most.
pub(crate) const PAGE: usize = 250;

/// The time of all sweeps: 2026-11-21T02:00:00Z, without reading that again for every row.
pub(crate) fn now() -> Timestamp {
    Timestamp::constant(1_795_226_400, 0)
}

fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

/// Jobs with the same number of executions each, and a last one with the rest, of which only is remembered what has been
/// deleted: a bit for each.
pub(crate) struct Fleet {
    jobs: usize,
    of_a_job: usize,
    executions: usize,
    due: Option<usize>,
    deleted: Mutex<Vec<u64>>,
    /// Pages of executions that are there already, the next one last.
    ready: Mutex<Vec<Page<ListedExecution>>>,
}

impl Fleet {
    /// So many jobs with so many executions each, and all others in the last one. One in so many is due.
    pub(crate) fn new((jobs, of_a_job): (usize, usize), executions: usize, due: Option<usize>) -> Self {
        let deleted = Mutex::new(vec![0; executions.div_ceil(64)]);
        Self { jobs, of_a_job, executions, due, deleted, ready: Mutex::default() }
    }

    /// How many executions have been deleted.
    pub(crate) fn deleted(&self) -> usize {
        self.deleted.lock().unwrap().iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Makes up all pages of the only job ahead, so that whoever lists them next is measured without that.
    pub(crate) fn make_ready(&self) {
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

impl ReadJobs for Fleet {
    async fn list_jobs(&self, token: Option<&str>) -> Result<Page<ListedJob>, ReadError> {
        let job = |nth| {
            Ok(JobSummary {
                job_id: JobId::parse(&format!("job-{nth:06}")).unwrap(),
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

    async fn list_on_thing(
        &self,
        _: &ThingName,
        _: Status,
        _: Option<&str>,
    ) -> Result<Page<ListedOnThing>, ReadError> {
        Err(not_asked())
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

impl DeleteExecutions for Fleet {
    async fn delete(&self, delete: &Delete) -> Result<(), MutationError> {
        let job = Self::nth(delete.job_id().as_str());
        let nth = job * self.of_a_job + Self::nth(delete.thing_name().as_str());
        self.deleted.lock().unwrap()[nth / 64] |= 1 << (nth % 64);
        Ok(())
    }
}

impl DeleteJobs for Fleet {
    async fn delete_job(&self, _: &DeleteJob) -> Result<(), MutationError> {
        Err(MutationError::Invalid("the shipped rules delete no job whole".to_owned()))
    }
}

/// What has been sent and not been taken.
#[derive(Default)]
pub(crate) struct Queue(Mutex<Vec<SliceMessage>>);

impl Queue {
    /// The next message, if there is one.
    pub(crate) fn take(&self) -> Option<SliceMessage> {
        self.0.lock().unwrap().pop()
    }
}

impl SliceQueue for Queue {
    async fn send(&self, slice: &SliceMessage, _: Option<&LaneName>) -> Result<(), Cause> {
        self.0.lock().unwrap().push(slice.clone());
        Ok(())
    }

    async fn give_back(&self, _: Operation, _: &str, _: Duration) -> Result<(), Cause> {
        Ok(())
    }
}

/// A bucket that takes the archive and the outcomes without keeping them. What grows with the number of jobs lies in
/// files; the state needs conditional writes and is kept in memory.
#[derive(Debug)]
pub(crate) struct Bucket {
    states: InMemory,
    folder: PathBuf,
}

impl Bucket {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("jobwarden-costs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { states: InMemory::new(), folder }
    }

    /// Where an object lies that is not kept in memory.
    fn file(&self, key: &Path) -> Option<PathBuf> {
        (key.filename() != Some("state.json")).then(|| self.folder.join(key.as_ref().replace('/', "_")))
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let Some(file) = self.file(to) else { return self.states.put_opts(to, payload, options).await };
        if to.as_ref().starts_with("sweeps/") {
            std::fs::write(file, payload.iter().flatten().copied().collect::<Vec<_>>()).unwrap();
        }
        self.states.put(&Path::from("elsewhere"), PutPayload::new()).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        match self.file(from).map(std::fs::read) {
            Some(Ok(bytes)) => {
                let read = InMemory::new();
                read.put(from, bytes.into()).await?;
                read.get_opts(from, options).await
            }
            // What is not there is in neither.
            Some(Err(_)) | None => self.states.get_opts(from, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.states.put_multipart_opts(to, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.states.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.states.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.states.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.states.copy_opts(from, to, options).await
    }
}
