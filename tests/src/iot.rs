//! AWS IoT Jobs: its state machine as a fake, with versions, numbers that come again,
//! pages that shift under deletion, and both ways in which AWS may treat the deletion of QUEUED.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use shared::archive::{Delete, DeleteJob};
use shared::execution::{
    Execution, ExecutionOnThing, ExecutionRow, Job, JobStatus, JobSummary, RetryLimits, Status,
    TargetSelection, ToldJob, UnreadableRow,
};
use shared::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};
use shared::ports::{
    Cancel, CancelExecutions, DeleteExecutions, DeleteJobs, Force, ListedExecution, ListedJob, ListedOnThing,
    MutationError, Page, ReadError, ReadJobs,
};

use serde_json::json;
use tokio::time::Instant;

use crate::bare::BareCancel;
use crate::executions::{Executions, Place};
use crate::script::{Fault, Script};

/// How AWS treats a delete of QUEUED without force: its reference and its behaviour disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuedDelete {
    /// As the reference says.
    Refused,
    /// As it has been seen to.
    Deletes,
}

/// How many jobs AWS deletes at once.
const DELETIONS_AT_ONCE: usize = 10;

/// One execution in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeExecution {
    /// The job.
    pub job: JobId,
    /// What a listing shows.
    pub row: ExecutionRow,
    /// Its version.
    pub version: i64,
    /// Whether its cancellation was forced.
    pub force_canceled: bool,
    /// Its details.
    pub details: BTreeMap<String, String>,
    /// Seconds until it times out by itself.
    pub seconds_left: Option<i64>,
}

/// How a job is set up.
#[derive(Debug, Clone, Default)]
pub struct JobSetup {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its namespace.
    pub namespace: Option<&'static str>,
    /// Whether it retries.
    pub retries: bool,
    /// How often it does.
    pub retry_limits: RetryLimits,
    /// Its status; if none is given, IN_PROGRESS.
    pub status: Option<JobStatus>,
    /// Whether it is continuous.
    pub continuous: bool,
    /// Whether the listing of jobs leaves that out.
    pub target_not_listed: bool,
}

/// What is known of a thing.
#[derive(Debug, Clone, Default)]
pub struct FakeThing {
    /// The groups that it is in.
    pub groups: BTreeSet<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// A cancel or delete that has had its effect.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// The operation, in AWS's words.
    pub operation: &'static str,
    /// Which invocation sent it.
    pub by: u32,
    /// The execution that it hit, as it was before.
    pub execution: FakeExecution,
}

type Watch = Box<dyn FnMut(&Mutation) + Send>;

/// Is told of every mutation at the moment of its effect.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Option<Watch>>>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// What a listing that lags still shows.
#[derive(Debug)]
struct Ghost {
    /// In so many listings more.
    listings: usize,
    /// Where it was, if it is not there any more.
    place: Option<Place>,
    was: FakeExecution,
}

#[derive(Debug)]
pub(crate) struct World {
    now: Timestamp,
    /// The Region and account, as ARNs have them.
    place: &'static str,
    /// Since when the clock runs; it stands still otherwise.
    runs_since: Option<Instant>,
    things: BTreeMap<ThingName, FakeThing>,
    jobs: BTreeMap<JobId, (Timestamp, JobSetup)>,
    executions: Executions,
    unknown_statuses: BTreeSet<(JobId, ThingName)>,
    queued_delete: QueuedDelete,
    /// For how many listings of a job what is gone from one may still be shown.
    lag: usize,
    /// What is still shown as it was, the latest last.
    ghosts: Vec<Ghost>,
    page: usize,
    /// How many the caller wants on a page.
    wanted: usize,
    /// Whether an empty page comes before each.
    blank_pages: bool,
    /// Whether the last page leads back to the first.
    repeats: Option<Repeats>,
    /// How long AWS takes to delete a job.
    deletion_takes: SignedDuration,
    /// Which are being deleted, and until when.
    deletions: BTreeMap<JobId, Timestamp>,
    /// How many descriptions of a job do not tell yet that it is being deleted.
    late: usize,
}

/// AWS IoT Jobs in memory.
#[derive(Debug, Clone)]
pub struct FakeIot {
    world: Arc<Mutex<World>>,
    script: Script,
    witness: Witness,
    /// How many are wanted on a page.
    wanted: usize,
}

/// A device, which changes its executions from the other side.
#[derive(Debug, Clone)]
pub struct Device {
    iot: FakeIot,
    job: JobId,
    thing: ThingName,
}

impl FakeIot {
    /// An empty account at a time.
    pub fn new(script: Script, now: Timestamp) -> Self {
        let world = World {
            things: BTreeMap::new(),
            now,
            place: "eu-west-1:123456789012",
            runs_since: None,
            jobs: BTreeMap::new(),
            executions: Executions::default(),
            unknown_statuses: BTreeSet::new(),
            queued_delete: QueuedDelete::Refused,
            lag: 0,
            ghosts: Vec::new(),
            page: 250,
            wanted: usize::MAX,
            blank_pages: false,
            repeats: None,
            deletion_takes: SignedDuration::ZERO,
            deletions: BTreeMap::new(),
            late: 0,
        };
        Self { world: Arc::new(Mutex::new(world)), script, witness: Witness::default(), wanted: usize::MAX }
    }

    /// The same account, as one invocation reaches it.
    #[must_use]
    pub fn of(&self, by: u32) -> Self {
        Self { script: self.script.of(by), ..self.clone() }
    }

    /// The same account, for a caller that wants no more on a page.
    #[must_use]
    pub fn wanting(&self, wanted: usize) -> Self {
        Self { wanted, ..self.clone() }
    }

    /// Tells a witness of every mutation at the moment of its effect.
    pub fn witness(&self, witness: impl FnMut(&Mutation) + Send + 'static) {
        *self.witness.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(witness));
    }

    /// Sends the witness away. It may know the account, and they would keep each other alive for ever.
    pub fn dismiss_witness(&self) {
        let witness = self.witness.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(witness);
    }

    /// Lets the account's clock run from now on, with that of the runtime.
    pub fn run_clock(&self) {
        self.world().runs_since = Some(Instant::now());
    }

    /// The account's time.
    pub fn now(&self) -> Timestamp {
        self.world().now()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.wanted = self.wanted;
        world
    }

    /// The world as a call finds it: what is being deleted may be gone by now.
    fn present(&self) -> MutexGuard<'_, World> {
        let mut world = self.world();
        world.end_deletions();
        world
    }

    /// Puts it into another Region and account, as ARNs have them.
    pub fn move_to(&self, place: &'static str) {
        self.world().place = place;
    }

    /// Says how a delete of QUEUED is treated.
    pub fn treat_queued_delete(&self, as_: QueuedDelete) {
        self.world().queued_delete = as_;
    }

    /// Lets listings lag: what is deleted or cancelled is shown as it was in so many more.
    pub fn lag(&self, listings: usize) {
        self.world().lag = listings;
    }

    /// Sets how long AWS takes to delete a job.
    pub fn delete_jobs_in(&self, takes: SignedDuration) {
        self.world().deletion_takes = takes;
    }

    /// Lets so many descriptions of a job that is being deleted not tell it yet.
    pub fn describe_late(&self, descriptions: usize) {
        self.world().late = descriptions;
    }

    /// Sets the size of pages.
    pub fn page_size(&self, page: usize) {
        self.world().page = page;
    }

    /// Has an empty page come before each: a token behind it is all that tells that there is more.
    pub fn blank_pages(&self) {
        self.world().blank_pages = true;
    }

    /// Has the last page of every listing lead back to the first.
    pub fn repeat_listings(&self, repeats: Repeats) {
        self.world().repeats = Some(repeats);
    }

    /// Makes a job that was created at a time.
    pub fn job(&self, job: &str, created_at: Timestamp, setup: JobSetup) {
        self.world().jobs.insert(job_id(job), (created_at, setup));
    }

    /// Sets what is known of a thing.
    pub fn thing(&self, name: &str, thing: FakeThing) {
        self.world().things.insert(thing_name(name), thing);
    }

    /// Changes the executions of a job on a thing, as no device could.
    pub fn change(&self, job: &str, thing: &str, change: impl Fn(&mut FakeExecution)) {
        let (job, thing) = (job_id(job), thing_name(thing));
        let mut world = self.world();
        let places: Vec<_> = world.executions.of(&job, &thing).map(|(place, _)| place).collect();
        places.into_iter().for_each(|place| world.executions.change(&job, place, &change));
    }

    /// Changes a job's tags.
    pub fn tag(&self, job: &str, key: &str, value: &str) {
        if let Some((_, setup)) = self.world().jobs.get_mut(&job_id(job)) {
            setup.tags.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Puts an execution into the world: queued, and last changed, at given times.
    pub fn execution(&self, job: &str, thing: &str, status: Status, queued: Timestamp, updated: Timestamp) {
        let mut world = self.world();
        let (job, thing) = (job_id(job), thing_name(thing));
        // The number of a deleted execution comes again.
        let taken: Vec<_> = world.of(&job, &thing).map(|execution| execution.row.execution_number).collect();
        let number = (1..).map(ExecutionNumber::new).find(|number| !taken.contains(number));
        let started_at = (status != Status::Queued).then_some(queued);
        let row = ExecutionRow {
            thing_name: thing,
            execution_number: number.unwrap_or(ExecutionNumber::new(1)),
            status,
            queued_at: queued,
            started_at,
            last_updated_at: updated,
            retry_attempt: Some(0),
        };
        let version = if status == Status::Queued { 1 } else { 2 };
        world.executions.push(FakeExecution {
            job,
            row,
            version,
            force_canceled: false,
            details: BTreeMap::new(),
            seconds_left: None,
        });
    }

    /// Puts an execution into the world as it is given.
    pub fn place(&self, execution: FakeExecution) {
        self.world().executions.push(execution);
    }

    /// How a job is set up, without a call.
    pub fn job_setup(&self, job: &JobId) -> Option<JobSetup> {
        self.world().jobs.get(job).map(|(_, setup)| setup.clone())
    }

    /// Takes a tag off a job.
    pub fn untag(&self, job: &str, key: &str) {
        if let Some((_, setup)) = self.world().jobs.get_mut(&job_id(job)) {
            setup.tags.remove(key);
        }
    }

    /// Makes a job disappear with all its executions, as DeleteJob does.
    pub fn forget_job(&self, job: &str) {
        let job = job_id(job);
        let mut world = self.world();
        world.jobs.remove(&job);
        world.executions.remove_job(&job);
    }

    /// Lets listings show a status that nobody knows for a thing's executions of a job.
    pub fn unknown_status(&self, job: &str, thing: &str) {
        self.world().unknown_statuses.insert((job_id(job), thing_name(thing)));
    }

    /// The device of a thing.
    pub fn device(&self, job: &str, thing: &str) -> Device {
        Device { iot: self.clone(), job: job_id(job), thing: thing_name(thing) }
    }

    /// Every execution, without a call.
    pub fn executions(&self) -> Vec<FakeExecution> {
        self.world().executions.all().into_iter().map(|(_, execution)| execution.clone()).collect()
    }

    /// At most so many of a job's executions that are wanted, in the order in which they came, without a call.
    pub fn some_of(
        &self,
        job: &JobId,
        at_most: usize,
        wanted: impl Fn(&FakeExecution) -> bool,
    ) -> Vec<FakeExecution> {
        let world = self.world();
        let of_job = world.executions.of_job(job).map(|(_, execution)| execution);
        of_job.filter(|execution| wanted(execution)).take(at_most).cloned().collect()
    }

    /// A thing's executions of a job, without a call.
    pub fn executions_of(&self, job: &str, thing: &str) -> Vec<FakeExecution> {
        let (job, thing) = (job_id(job), thing_name(thing));
        self.world().of(&job, &thing).cloned().collect()
    }

    /// What the fault does to a read.
    fn read_fault(operation: &'static str, fault: Option<Fault>) -> Result<(), ReadError> {
        match fault {
            None => Ok(()),
            Some(Fault::Throttled) => Err(ReadError::Throttled { operation, source: "throttled".into() }),
            Some(Fault::InvalidToken) => Err(ReadError::InvalidToken("token".into())),
            Some(Fault::RoleRefused) => Err(ReadError::RoleRefused { operation, source: "refused".into() }),
            Some(Fault::LostBefore | Fault::LostAfter | Fault::Conflicts | Fault::Unauthenticated) => {
                Err(ReadError::Unavailable { operation, source: "lost".into() })
            }
        }
    }

    pub(crate) async fn mutate(
        &self,
        operation: &'static str,
        subject: &str,
        effect: impl FnOnce(&mut World) -> Result<Vec<FakeExecution>, MutationError> + Send,
    ) -> Result<(), MutationError> {
        let by = self.script.by();
        let effect = || {
            let hit = effect(&mut self.world())?.into_iter();
            hit.for_each(|execution| self.tell(Mutation { operation, by, execution }));
            Ok(())
        };
        let mut under_way = UnderWay { script: &self.script, operation, subject, effect: Some(effect) };
        let fault = self.script.begin(operation, subject).await;
        let Some(effect) = under_way.effect.take() else {
            return Err(MutationError::Unknown("it has arrived before".into()));
        };
        match fault {
            None => {
                let done = effect();
                self.script.end().await;
                done
            }
            Some(Fault::Throttled) => Err(MutationError::Throttled("throttled".into())),
            Some(Fault::RoleRefused) => Err(MutationError::RoleRefused("refused".into())),
            Some(Fault::Unauthenticated) => Err(MutationError::Unauthenticated("expired".into())),
            Some(Fault::LostBefore | Fault::InvalidToken | Fault::Conflicts) => {
                Err(MutationError::Unknown("lost".into()))
            }
            Some(Fault::LostAfter) => {
                let _ = effect();
                Err(MutationError::Unknown("lost".into()))
            }
        }
    }

    fn tell(&self, mutation: Mutation) {
        if let Some(witness) = &mut *self.witness.0.lock().unwrap_or_else(PoisonError::into_inner) {
            witness(&mutation);
        }
    }
}

/// A mutation that has been sent. Its process may die before it arrives, and it may arrive all the same.
struct UnderWay<'a, E: FnOnce() -> Result<(), MutationError>> {
    script: &'a Script,
    operation: &'static str,
    subject: &'a str,
    effect: Option<E>,
}

impl<E: FnOnce() -> Result<(), MutationError>> Drop for UnderWay<'_, E> {
    fn drop(&mut self) {
        if let Some(effect) = self.effect.take()
            && self.script.abandoned(self.operation, self.subject)
        {
            let _ = effect();
        }
    }
}

impl Device {
    /// Changes the thing's current execution of the job, and its version.
    pub fn update(&self, status: Status) {
        let mut world = self.iot.world();
        let now = world.now();
        world.change_current(&self.job, &self.thing, |execution| {
            execution.row.status = status;
            execution.row.last_updated_at = now;
            execution.version += 1;
        });
    }

    /// Changes only the version, as a report of progress does.
    pub fn report(&self) {
        let mut world = self.iot.world();
        world.change_current(&self.job, &self.thing, |execution| execution.version += 1);
    }

    /// Makes the thing's executions of the job disappear, as a second cleaner does.
    pub fn forget(&self) {
        let (job, thing) = (&self.job, &self.thing);
        let mut world = self.iot.world();
        let places: Vec<_> = world.executions.of(job, thing).map(|(place, _)| place).collect();
        for place in places {
            world.executions.remove(job, place);
        }
    }

    /// Makes the executions disappear and queues another, which takes the number again.
    pub fn replace(&self, status: Status) {
        self.forget();
        let now = self.iot.now();
        self.iot.execution(self.job.as_str(), self.thing.as_str(), status, now, now);
    }
}

/// How a listing repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// By the tokens that it has given before.
    Tokens,
    /// By the same pages under ever new tokens.
    Rows,
}

impl World {
    fn now(&self) -> Timestamp {
        let passed = self.runs_since.map(|since| SignedDuration::try_from(since.elapsed()));
        let passed = passed.and_then(Result::ok).unwrap_or_default();
        self.now.saturating_add(passed).unwrap_or(self.now)
    }

    fn of<'w>(&'w self, job: &'w JobId, thing: &'w ThingName) -> impl Iterator<Item = &'w FakeExecution> {
        self.executions.of(job, thing).map(|(_, execution)| execution)
    }

    fn current(&self, job: &JobId, thing: &ThingName) -> Option<(Place, &FakeExecution)> {
        self.executions
            .of(job, thing)
            .max_by_key(|(_, execution)| (execution.row.queued_at, execution.row.execution_number))
    }

    fn change_current(&mut self, job: &JobId, thing: &ThingName, change: impl FnOnce(&mut FakeExecution)) {
        if let Some((place, _)) = self.current(job, thing) {
            self.executions.change(job, place, change);
        }
    }

    pub(crate) fn cancel(&mut self, cancel: &BareCancel) -> Result<FakeExecution, MutationError> {
        let now = self.now();
        let (place, execution) = self
            .current(&cancel.job_id, &cancel.thing_name)
            .ok_or_else(|| MutationError::NotFound("no such execution".to_owned()))?;
        if cancel.expected_version.is_some_and(|expected| Version::new(execution.version) != expected) {
            return Err(MutationError::VersionConflict("another version".to_owned()));
        }
        let status = execution.row.status;
        if status.is_terminal() || status == Status::InProgress && cancel.force == Force::Never {
            return Err(MutationError::InvalidState(format!("it is {status}")));
        }
        let was = execution.clone();
        self.executions.change(&cancel.job_id, place, |execution| {
            execution.row.status = Status::Canceled;
            execution.row.last_updated_at = now;
            execution.version += 1;
            execution.force_canceled = cancel.force == Force::EvenInProgress;
            if let Some(details) = &cancel.status_details {
                execution.details = details.pairs().clone();
            }
        });
        self.haunt(None, &was);
        Ok(was)
    }

    pub(crate) fn delete(
        &mut self,
        job: &JobId,
        thing: &ThingName,
        number: ExecutionNumber,
        force: Force,
    ) -> Result<FakeExecution, MutationError> {
        let not_found = || MutationError::NotFound("no such execution".to_owned());
        let numbered = |(_, execution): &(Place, &FakeExecution)| execution.row.execution_number == number;
        let found = self.executions.of(job, thing).find(numbered);
        let (place, status) = found.map(|(place, found)| (place, found.row.status)).ok_or_else(not_found)?;
        let refused = match status {
            Status::InProgress => force == Force::Never,
            Status::Queued => force == Force::Never && self.queued_delete == QueuedDelete::Refused,
            Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Rejected
            | Status::Removed
            | Status::Canceled => false,
        };
        if refused {
            return Err(MutationError::InvalidState("it is active".to_owned()));
        }
        let was = self.executions.remove(job, place).ok_or_else(not_found)?;
        self.haunt(Some(place), &was);
        Ok(was)
    }

    /// Where listings lag, has them show what was.
    fn haunt(&mut self, place: Option<Place>, was: &FakeExecution) {
        if self.lag > 0 {
            self.ghosts.push(Ghost { listings: self.lag, place, was: was.clone() });
        }
    }

    /// Deletes a finished job with everything it has, which takes its time.
    pub(crate) fn delete_job(&mut self, job: &JobId) -> Result<Vec<FakeExecution>, MutationError> {
        self.end_deletions();
        let (_, setup) =
            self.jobs.get_mut(job).ok_or_else(|| MutationError::NotFound("no such job".to_owned()))?;
        match setup.status.unwrap_or(JobStatus::InProgress) {
            JobStatus::Completed | JobStatus::Canceled => {}
            JobStatus::InProgress | JobStatus::Scheduled | JobStatus::DeletionInProgress => {
                return Err(MutationError::InvalidState("it is not finished".to_owned()));
            }
        }
        if self.deletions.len() >= DELETIONS_AT_ONCE {
            return Err(MutationError::Throttled("ten jobs are being deleted".into()));
        }
        setup.status = Some(JobStatus::DeletionInProgress);
        self.deletions
            .insert(job.clone(), self.now().saturating_add(self.deletion_takes).unwrap_or(self.now));
        Ok(self.executions.remove_job(job))
    }

    /// Lets jobs go whose deletion has come to its end.
    fn end_deletions(&mut self) {
        let now = self.now();
        let ended: Vec<_> = self.deletions.extract_if(.., |_, end| *end <= now).collect();
        for (job, _) in ended {
            self.jobs.remove(&job);
        }
    }

    /// A page of a job's executions that a listing shows, the most recently updated first, as the service has been
    /// seen to.
    fn listing(
        &mut self,
        job: &JobId,
        shows: impl Fn(&ExecutionRow) -> bool,
        token: Option<&str>,
    ) -> Page<ListedExecution> {
        self.ghosts.retain(|ghost| ghost.listings > 0);
        let haunted = self.ghosts.iter().any(|ghost| ghost.was.job == *job).then(|| self.haunted(job));
        let listed = |row: &ExecutionRow| {
            let unknown = !self.unknown_statuses.is_empty()
                && self.unknown_statuses.contains(&(job.clone(), row.thing_name.clone()));
            if unknown { Err(UnreadableRow::UnknownStatus("PAUSED".to_owned())) } else { Ok(row.clone()) }
        };
        match haunted {
            Some(rows) => self.page(rows.iter().filter(|row| shows(row)), listed, token),
            None => {
                let rows = self.executions.latest_first(job).map(|execution| &execution.row);
                self.page(rows.filter(|row| shows(row)), listed, token)
            }
        }
    }

    /// A job's executions as a listing that lags shows them: for a while, as they were and where they were.
    fn haunted(&mut self, job: &JobId) -> Vec<ExecutionRow> {
        let there = self.executions.of_job(job);
        let mut shown: BTreeMap<_, _> =
            there.map(|(place, execution)| (place, execution.row.clone())).collect();
        for ghost in self.ghosts.iter_mut().rev().filter(|ghost| ghost.was.job == *job) {
            ghost.listings -= 1;
            let was = &ghost.was.row;
            let is = |other: &ExecutionRow| {
                other.thing_name == was.thing_name && other.identity() == was.identity()
            };
            match (ghost.place, shown.values_mut().find(|other| is(other))) {
                (_, Some(there)) => *there = was.clone(),
                (Some(place), None) => drop(shown.insert(place, was.clone())),
                (None, None) => {}
            }
        }
        let mut shown: Vec<_> = shown.into_values().collect();
        shown.sort_by_key(|row| Reverse(row.last_updated_at));
        shown
    }

    /// A page by offset: what is deleted meanwhile shifts what comes behind. What is before it is passed over without
    /// being put in its form.
    fn page<T, U>(
        &self,
        items: impl Iterator<Item = T>,
        form: impl FnMut(T) -> U,
        token: Option<&str>,
    ) -> Page<U> {
        let (start, behind_blank) = token.map_or(("0", false), |token| match token.strip_suffix('+') {
            Some(start) => (start, true),
            None => (token, false),
        });
        if self.blank_pages && !behind_blank {
            return Page { items: Vec::new(), next_token: Some(format!("{start}+")) };
        }
        let (start, round) = start.split_once('~').unwrap_or((start, "0"));
        let (start, round) = (start.parse().unwrap_or(0), round.parse().unwrap_or(0));
        let size = self.page.min(self.wanted);
        let mut from = items.skip(start);
        let items = from.by_ref().take(size).map(form).collect();
        let next_token = match (from.next(), self.repeats) {
            (None, None) => None,
            (None, Some(Repeats::Tokens)) => Some("0".to_owned()),
            (None, Some(Repeats::Rows)) => Some(format!("0~{}", round + 1)),
            (Some(_), _) if round > 0 => Some(format!("{}~{round}", start + size)),
            (Some(_), _) => Some((start + size).to_string()),
        };
        Page { items, next_token }
    }
}

impl ReadJobs for FakeIot {
    async fn describe_execution(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: Option<ExecutionNumber>,
    ) -> Result<Execution, ReadError> {
        const OPERATION: &str = "DescribeJobExecution";
        let fault = self.script.begin(OPERATION, &format!("{job}/{thing}")).await;
        Self::read_fault(OPERATION, fault)?;
        let world = self.present();
        let found = match number {
            None => world.current(job, thing).map(|(_, execution)| execution.clone()),
            Some(number) => {
                world.of(job, thing).find(|execution| execution.row.execution_number == number).cloned()
            }
        };
        let found = found.ok_or_else(|| ReadError::NotFound("no such execution".to_owned()))?;
        Ok(Execution {
            job_id: found.job,
            row: ExecutionRow { retry_attempt: None, ..found.row },
            version_number: Version::new(found.version),
            force_canceled: found.force_canceled,
            status_details: found.details,
            approximate_seconds_before_timed_out: found.seconds_left,
        })
    }

    async fn listed_execution(
        &self,
        job: &JobId,
        thing: &ThingName,
        number: ExecutionNumber,
    ) -> Result<ExecutionRow, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForThing";
        let fault = self.script.begin(OPERATION, &format!("{job}/{thing}")).await;
        Self::read_fault(OPERATION, fault)?;
        let world = self.present();
        let found = world.of(job, thing).find(|execution| execution.row.execution_number == number);
        found.map(|found| found.row.clone()).ok_or_else(|| ReadError::NotFound("not listed".to_owned()))
    }

    async fn list_executions_of_thing(
        &self,
        job: &JobId,
        thing: &ThingName,
        token: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForThing";
        let fault = self.script.begin(OPERATION, &format!("{job}/{thing}")).await;
        Self::read_fault(OPERATION, fault)?;
        Ok(self.world().listing(job, |row| row.thing_name == *thing, token))
    }

    async fn list_on_thing(
        &self,
        thing: &ThingName,
        status: Status,
        token: Option<&str>,
    ) -> Result<Page<ListedOnThing>, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForThing";
        let fault = self.script.begin(OPERATION, thing.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        let world = self.world();
        let found = world.executions.on_thing(thing).into_iter().map(|(_, execution)| execution);
        let mut found: Vec<_> = found.filter(|execution| execution.row.status == status).cloned().collect();
        found.sort_by_key(|execution| Reverse(execution.row.queued_at));
        let listed = |FakeExecution { job: job_id, row, .. }| {
            if world.unknown_statuses.contains(&(job_id.clone(), thing.clone())) {
                Err(UnreadableRow::UnknownStatus("PAUSED".to_owned()))
            } else {
                Ok(ExecutionOnThing { job_id, row })
            }
        };
        Ok(world.page(found.into_iter(), listed, token))
    }

    async fn thing_groups(&self, thing: &ThingName) -> Result<BTreeSet<String>, ReadError> {
        const OPERATION: &str = "ListThingGroupsForThing";
        let fault = self.script.begin(OPERATION, thing.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        Ok(self.present().things.get(thing).cloned().unwrap_or_default().groups)
    }

    async fn thing_attributes(&self, thing: &ThingName) -> Result<BTreeMap<String, String>, ReadError> {
        const OPERATION: &str = "DescribeThing";
        let fault = self.script.begin(OPERATION, thing.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        Ok(self.present().things.get(thing).cloned().unwrap_or_default().attributes)
    }

    async fn describe_job(&self, job: &JobId) -> Result<Job, ReadError> {
        const OPERATION: &str = "DescribeJob";
        let fault = self.script.begin(OPERATION, job.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        let mut world = self.present();
        let late = world.late > 0 && world.deletions.contains_key(job);
        world.late -= usize::from(late);
        let place = world.place;
        let (_, setup) = world.jobs.get(job).ok_or_else(|| ReadError::NotFound("no such job".to_owned()))?;
        Ok(Job {
            job_id: job.clone(),
            arn: format!("arn:aws:iot:{place}:job/{job}"),
            namespace_id: setup.namespace.and_then(|namespace| NamespaceId::parse(namespace).ok()),
            retries: setup.retries || setup.retry_limits != RetryLimits::default(),
            retry_limits: setup.retry_limits,
            status: Some(if late {
                JobStatus::Completed
            } else {
                setup.status.unwrap_or(JobStatus::InProgress)
            }),
            continuous: setup.continuous,
        })
    }

    async fn told_job(&self, job: &JobId) -> Result<ToldJob, ReadError> {
        let described = self.describe_job(job).await?;
        let world = self.present();
        let (created_at, _) =
            world.jobs.get(job).ok_or_else(|| ReadError::NotFound("no such job".to_owned()))?;
        let active =
            world.executions.of_job(job).filter(|(_, execution)| !execution.row.status.is_terminal());
        let told = json!({"job": {"jobId": job, "description": format!("all about {job}")}});
        Ok(ToldJob { job: described, created_at: *created_at, active: active.count() as u64, told })
    }

    async fn job_document(&self, job: &JobId) -> Result<String, ReadError> {
        const OPERATION: &str = "GetJobDocument";
        let fault = self.script.begin(OPERATION, job.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        let known = self.present().jobs.contains_key(job);
        let document = format!("{{\"job\": \"{job}\"}}");
        if known { Ok(document) } else { Err(ReadError::NotFound("no such job".to_owned())) }
    }

    async fn job_tags(&self, job: &Job) -> Result<BTreeMap<String, String>, ReadError> {
        const OPERATION: &str = "ListTagsForResource";
        let fault = self.script.begin(OPERATION, job.job_id.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        let world = self.present();
        let found = world.jobs.get(&job.job_id);
        found
            .map(|(_, setup)| setup.tags.clone())
            .ok_or_else(|| ReadError::NotFound("no such job".to_owned()))
    }

    async fn list_jobs(&self, token: Option<&str>) -> Result<Page<ListedJob>, ReadError> {
        const OPERATION: &str = "ListJobs";
        let fault = self.script.begin(OPERATION, token.unwrap_or_default()).await;
        Self::read_fault(OPERATION, fault)?;
        let world = self.present();
        let listed = |(job, (created_at, setup)): (&JobId, &(Timestamp, JobSetup))| {
            let told = if setup.continuous { TargetSelection::Continuous } else { TargetSelection::Snapshot };
            let target_selection = (!setup.target_not_listed).then_some(told);
            let status = Some(setup.status.unwrap_or(JobStatus::InProgress));
            Ok(JobSummary { job_id: job.clone(), created_at: *created_at, target_selection, status })
        };
        Ok(world.page(world.jobs.iter(), listed, token))
    }

    async fn list_executions(
        &self,
        job: &JobId,
        status: Option<Status>,
        token: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        const OPERATION: &str = "ListJobExecutionsForJob";
        let fault = self.script.begin(OPERATION, job.as_str()).await;
        Self::read_fault(OPERATION, fault)?;
        let mut world = self.present();
        if !world.jobs.contains_key(job) {
            return Err(ReadError::NotFound("no such job".to_owned()));
        }
        Ok(world.listing(job, |row| status.is_none_or(|status| row.status == status), token))
    }
}

impl CancelExecutions for FakeIot {
    async fn cancel(&self, cancel: &Cancel) -> Result<(), MutationError> {
        let Cancel { job_id, thing_name, expected_version, force, status_details } = cancel.clone();
        let expected_version = Some(expected_version);
        self.cancel_bare(&BareCancel { job_id, thing_name, expected_version, force, status_details }).await
    }
}

impl DeleteExecutions for FakeIot {
    async fn delete(&self, delete: &Delete) -> Result<(), MutationError> {
        let mut subject =
            format!("{}/{}/{}", delete.job_id(), delete.thing_name(), delete.execution_number());
        if let Some(namespace) = delete.namespace_id() {
            subject = format!("{subject} of {namespace}");
        }
        let (job, thing, number) = (delete.job_id(), delete.thing_name(), delete.execution_number());
        let effect = |world: &mut World| Ok(vec![world.delete(job, thing, number, Force::Never)?]);
        self.mutate("DeleteJobExecution", &subject, effect).await
    }
}

impl DeleteJobs for FakeIot {
    async fn delete_job(&self, delete: &DeleteJob) -> Result<(), MutationError> {
        self.delete_job_bare(delete.job_id()).await
    }
}

#[expect(clippy::expect_used, reason = "a test's own names are legal")]
fn job_id(name: &str) -> JobId {
    JobId::parse(name).expect("a legal job id")
}

#[expect(clippy::expect_used, reason = "a test's own names are legal")]
fn thing_name(name: &str) -> ThingName {
    ThingName::parse(name).expect("a legal thing name")
}
