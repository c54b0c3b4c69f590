//! How much memory a sweep takes: whole sweeps over fleets of three sizes, by the shipped rules and by one that keeps
//! the last success of each thing, each in a process of its own, whose peak the system tells (VmHWM, the program's own
//! pages included).
//!
//! The fleet is made up row by row as it is listed, and the bucket keeps next to nothing in memory: what grows would
//! be the sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use shared::access::AccessPolicy;
use shared::archive::{Delete, DeleteJob};
use shared::execution::{
    Execution, ExecutionOnThing, ExecutionRow, Job, JobStatus, JobSummary, Status, TargetSelection, ToldJob,
};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::lane::LaneName;
use shared::operation::Operation;
use shared::ports::{
    Cause, DeleteExecutions, DeleteJobs, ListedExecution, ListedJob, ListedOnThing, MutationError, Page,
    ReadError, ReadJobs, SliceQueue,
};
use shared::retention::Retention;
use shared::sweep::{
    self, CallRate, DeleteExpired, SliceMessage, SliceTime, Starter, SweepStatus, Trigger, Worker,
};

/// What a child process is told before the size of its fleet.
const OF_FLEET: &str = "--of-fleet";

const FLEETS: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Executions of each job.
const OF_A_JOB: usize = 1_000;

/// One in so many is due.
const DUE: usize = 10;

const PAGE: usize = 250;

/// What a rule says beside the shipped ones.
const TERMS: [&str; 2] = ["", "keep_last = 1"];

fn main() {
    let arguments: Vec<_> = std::env::args().skip_while(|argument| argument != OF_FLEET).collect();
    if let [_, executions, terms] = &arguments[..] {
        return sweep(executions.parse().unwrap(), terms);
    }
    for terms in TERMS {
        println!("executions   peak of a sweep, MiB   {terms}");
        let peaks = FLEETS.map(|executions| {
            let program = std::env::current_exe().unwrap();
            let done =
                Command::new(program).args([OF_FLEET, &executions.to_string(), terms]).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let kibibytes: f64 = String::from_utf8(done.stdout).unwrap().trim().parse().unwrap();
            println!("{executions:>10}   {:.1}", kibibytes / 1024.0);
            kibibytes
        });
        let [small, .., large] = peaks;
        println!("the largest takes {:.1} % more than the smallest", 100.0 * (large / small - 1.0));
    }
}

/// Sweeps a fleet of so many by rules with these terms, slice by slice, and prints the peak in KiB.
fn sweep(executions: usize, terms: &str) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fleet = Fleet::of(executions);
        let bucket = Bucket::new();
        let queue = Queue::default();
        let text = include_str!("../../policies/retention.toml")
            .replace("max_actions = 10000", "max_actions = 9999999")
            .replace("[default]\n", &format!("[default]\n{terms}\n"));
        let rules = Retention::parse("r.toml", &text).unwrap();
        let access = AccessPolicy::shipped().unwrap();
        let now = now();
        let starter = Starter { bucket: &bucket, queue: &queue, dry_run_only: false };
        let trigger = Trigger {
            operation: Operation::DeleteExpired,
            lane: None,
            dry_run: Some(false),
            release_plan: None,
            requested_by: "a benchmark".to_owned(),
            now,
            id: "memory".to_owned(),
        };
        let id = starter.start(&trigger, now).await.unwrap().sweep_id;
        let mut at = now;
        while let Some(message) = queue.take() {
            let worker = Worker {
                iot: &fleet,
                lanes: &(),
                bucket: &bucket,
                queue: &queue,
                rules: &rules,
                access: &access,
                rate: CallRate::parse("100").unwrap(),
                dry_run_only: false,
                retire_jobs: true,
                act: PhantomData::<DeleteExpired>,
            };
            let time = SliceTime { now: at, deadline: at + SignedDuration::from_mins(15) };
            worker.run(&message, "one", time).await.unwrap();
            at += SignedDuration::from_mins(16);
        }
        let ended = sweep::read(&bucket, &id).await.unwrap();
        assert_eq!(ended.status, SweepStatus::Succeeded, "{:?}", ended.failure);
        // Of the last job, what is due is the last success of its thing.
        let kept = if terms.is_empty() { 0 } else { OF_A_JOB / DUE };
        assert_eq!(ended.attempts, (executions / DUE - kept) as u64);
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{}", peak.trim().trim_end_matches(" kB"));
}

fn now() -> Timestamp {
    "2026-11-21T02:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

/// Jobs with a thousand executions each, of which only is remembered what has been deleted: a bit for each.
struct Fleet {
    jobs: usize,
    deleted: Mutex<Vec<u64>>,
}

impl Fleet {
    fn of(executions: usize) -> Self {
        Self { jobs: executions / OF_A_JOB, deleted: Mutex::new(vec![0; executions.div_ceil(64)]) }
    }

    fn nth(name: &str) -> usize {
        name.rsplit('-').next().unwrap().parse().unwrap()
    }

    /// So many, from where a token says, and the next token.
    fn page<T>(
        (from, end): (Option<&str>, usize),
        there: impl Fn(usize) -> bool,
        item: impl Fn(usize) -> T,
    ) -> Page<T> {
        let first = from.map_or(0, |token| token.parse().unwrap());
        let shown: Vec<_> = (first..end).filter(|nth| there(*nth)).take(PAGE).collect();
        let next = shown.last().filter(|_| shown.len() == PAGE).map(|last| (last + 1).to_string());
        Page { items: shown.into_iter().map(item).collect(), next_token: next }
    }
}

impl ReadJobs for Fleet {
    async fn list_jobs(&self, token: Option<&str>) -> Result<Page<ListedJob>, ReadError> {
        Ok(Self::page(
            (token, self.jobs),
            |_| true,
            |nth| {
                Ok(JobSummary {
                    job_id: JobId::parse(&format!("job-{nth:06}")).unwrap(),
                    created_at: days_ago(200),
                    target_selection: Some(TargetSelection::Snapshot),
                    status: Some(JobStatus::InProgress),
                })
            },
        ))
    }

    async fn list_executions(
        &self,
        job: &JobId,
        _: Option<Status>,
        token: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        let deleted = self.deleted.lock().unwrap();
        let base = Self::nth(job.as_str()) * OF_A_JOB;
        Ok(Self::page(
            (token, OF_A_JOB),
            |nth| deleted[(base + nth) / 64] >> ((base + nth) % 64) & 1 == 0,
            |nth| Ok(row(nth)),
        ))
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
        let job_id = JobId::parse(&format!("job-{:06}", self.jobs - 1)).unwrap();
        let newest = ExecutionOnThing { job_id, row: row(Self::nth(thing.as_str())) };
        Ok(Page { items: vec![Ok(newest)], next_token: None })
    }

    async fn thing_groups(&self, _: &ThingName) -> Result<BTreeSet<String>, ReadError> {
        Err(not_asked())
    }

    async fn thing_attributes(&self, _: &ThingName) -> Result<BTreeMap<String, String>, ReadError> {
        Err(not_asked())
    }
}

/// What a job has on its nth thing.
fn row(nth: usize) -> ExecutionRow {
    ExecutionRow {
        thing_name: ThingName::parse(&format!("thing-{nth}")).unwrap(),
        execution_number: ExecutionNumber::new(1),
        status: Status::Succeeded,
        queued_at: days_ago(199),
        started_at: Some(days_ago(199)),
        last_updated_at: days_ago(if nth.is_multiple_of(DUE) { 100 } else { 10 }),
        retry_attempt: Some(0),
    }
}

fn not_asked() -> ReadError {
    ReadError::Invalid("the shipped policies and rules do not ask for it".to_owned())
}

impl DeleteExecutions for Fleet {
    async fn delete(&self, delete: &Delete) -> Result<(), MutationError> {
        let nth = Self::nth(delete.job_id().as_str()) * OF_A_JOB + Self::nth(delete.thing_name().as_str());
        self.deleted.lock().unwrap()[nth / 64] |= 1 << (nth % 64);
        Ok(())
    }
}

impl DeleteJobs for Fleet {
    async fn delete_job(&self, _: &DeleteJob) -> Result<(), MutationError> {
        Err(MutationError::Invalid("the shipped rules delete no job whole".to_owned()))
    }
}

#[derive(Default)]
struct Queue(Mutex<Vec<SliceMessage>>);

impl Queue {
    fn take(&self) -> Option<SliceMessage> {
        self.0.lock().unwrap().pop()
    }
}

impl SliceQueue for Queue {
    async fn send(&self, slice: &SliceMessage, _: Option<&LaneName>) -> Result<(), Cause> {
        self.0.lock().unwrap().push(slice.clone());
        Ok(())
    }

    async fn give_back(&self, _: Operation, _: &str, _: std::time::Duration) -> Result<(), Cause> {
        Ok(())
    }
}

/// A bucket that takes the archive and the outcomes without keeping them. The state needs conditional writes and is
/// kept in memory; what grows with the number of jobs lies in files.
#[derive(Debug)]
struct Bucket {
    states: InMemory,
    files: LocalFileSystem,
    folder: PathBuf,
}

impl Bucket {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("jobwarden-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { states: InMemory::new(), files: LocalFileSystem::new_with_prefix(&folder).unwrap(), folder }
    }

    fn store(&self, key: &Path) -> &dyn ObjectStore {
        if key.filename() == Some("state.json") { &self.states } else { &self.files }
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
        if to.as_ref().starts_with("sweeps/") {
            return self.store(to).put_opts(to, payload, options).await;
        }
        self.states.put_opts(&Path::from("elsewhere"), PutPayload::new(), PutOptions::default()).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.store(from).get_opts(from, options).await
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
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.states.copy_opts(from, to, options).await
    }
}
