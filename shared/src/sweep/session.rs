//! A slice at work: its time, its saved state, and its paced calls.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectStore, PutMode, UpdateVersion};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::act::OutcomeKind;
use super::counts::Counts;
use super::cursor::Phase;
use super::pace::{IotOperation, OutOfTime, Pacer, Slot};
use super::plan::LastSweep;
use super::report::Report;
use super::slice::{SliceError, SliceTime, Worker};
use super::state::{Lease, Sweep, SweepStatus};
use super::store::{self, StoreError};
use super::successes::{RulesOfJobs, Success};
use crate::lane;
use crate::meter;
use crate::ports::{Cause, MutationError, ReadError, chain};
use crate::report_page;

/// What is kept free before the deadline, for the call under way, the state and the message; a
/// third of a slice that is shorter than three times that.
const MARGIN: Duration = Duration::from_secs(20);

/// How often a call is tried that AWS cannot answer, or whose credentials it does not accept.
const TRIES: u32 = 4;

/// How often the page of a report is written before the sweep does without it.
const PAGE_TRIES: u32 = 2;

/// How long a checkpoint may be old while a large job is scanned.
const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

/// A slice at work.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) bucket: &'a dyn ObjectStore,
    pub(super) sweep: Sweep,
    version: UpdateVersion,
    pacer: Pacer,
    /// The calls that the state does not tell yet.
    made: Mutex<Made>,
    started: Timestamp,
    origin: Instant,
    saved: Instant,
    /// What had come of executions when it was counted last.
    counted: Counts<OutcomeKind>,
    /// Successes that have not been written yet.
    pub(super) successes: Mutex<Vec<Success>>,
    /// Which rule decides for which job. Whoever has it reads what it does not tell.
    pub(super) rules_of_jobs: tokio::sync::Mutex<RulesOfJobs>,
}

/// Calls by operation, and how many of them were throttled.
#[derive(Debug, Default)]
struct Made {
    calls: BTreeMap<IotOperation, u64>,
    throttled: BTreeMap<IotOperation, u64>,
}

/// Why work stops in the middle.
#[derive(Debug)]
pub(super) enum Stop {
    /// There is no time for another call.
    OutOfTime,
    /// The sweep cannot go on, now or later.
    Failed(String),
    /// It cannot go on now.
    Error(SliceError),
}

impl Lack {
    pub(super) fn problem(&self) -> &str {
        match self {
            Self::NotFound => "not found",
            Self::InvalidToken => "a page's token was refused",
            Self::Unreadable(problem) => problem,
        }
    }
}

impl From<OutOfTime> for Stop {
    fn from(_: OutOfTime) -> Self {
        Self::OutOfTime
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreadable { .. } => Self::Failed(error.to_string()),
            StoreError::NotFound(_) | StoreError::Conflict(_) | StoreError::Unavailable { .. } => {
                Self::Error(error.into())
            }
        }
    }
}

/// What a read may lack without anything being wrong with AWS.
#[derive(Debug)]
pub(super) enum Lack {
    NotFound,
    InvalidToken,
    Unreadable(String),
}

/// What became of a mutation.
#[derive(Debug)]
pub(super) enum Sent {
    /// AWS has answered, or has not when it should have.
    Answered(Result<(), MutationError>),
    /// It was not sent, because it may not be any more.
    Withheld,
}

impl From<SliceError> for Stop {
    fn from(error: SliceError) -> Self {
        Self::Error(error)
    }
}

impl<'a> Session<'a> {
    pub(super) fn new<I, Q, A>(
        worker: &Worker<'a, I, Q, A>,
        sweep: Sweep,
        version: UpdateVersion,
        (time, origin): (SliceTime, Instant),
    ) -> Self {
        let left = Duration::try_from(time.deadline.duration_since(time.now)).unwrap_or_default();
        let deadline = origin + left.saturating_sub(MARGIN.min(left / 3));
        let rules_of_jobs = tokio::sync::Mutex::new(sweep.rules_of_jobs.clone());
        Self {
            bucket: worker.bucket,
            counted: sweep.results.clone(),
            sweep,
            version,
            pacer: Pacer::new(worker.rate, deadline),
            made: Mutex::default(),
            started: time.now,
            origin,
            saved: Instant::now(),
            successes: Mutex::default(),
            rules_of_jobs,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.origin.elapsed()).unwrap_or(SignedDuration::MAX);
        self.started.saturating_add(elapsed).unwrap_or(self.started)
    }

    /// Takes the step, unless an invocation that may be alive has it.
    pub(super) async fn claim(&mut self, holder: &str, time: SliceTime) -> Result<(), SliceError> {
        if let Some(lease) = self.sweep.lease.as_ref().filter(|lease| lease.until > time.now) {
            return Err(SliceError::Held { until: lease.until });
        }
        self.sweep.attempt += 1;
        self.sweep.started_at.get_or_insert(time.now);
        self.sweep.lease = Some(Lease { holder: holder.to_owned(), until: time.deadline });
        if self.sweep.status == SweepStatus::Queued {
            // A released plan has been scanned before.
            let scanned = matches!(self.sweep.phase, Phase::Applying(_) | Phase::Done);
            self.sweep.status = if scanned { SweepStatus::Applying } else { SweepStatus::Scanning };
        }
        self.save().await
    }

    /// Writes the state, if nobody else has written it since.
    pub(super) async fn save(&mut self) -> Result<(), SliceError> {
        // What the state says has been seen must be there.
        self.write_successes().await?;
        self.tell_calls();
        let now = self.now();
        self.rules_of_jobs.get_mut().forget(now);
        self.sweep.rules_of_jobs = self.rules_of_jobs.get_mut().clone();
        self.sweep.updated_at = now;
        let key = store::state_key(&self.sweep.sweep_id);
        let mode = PutMode::Update(self.version.clone());
        self.version = match store::put(self.bucket, &key, &self.sweep, mode).await {
            Ok(version) => version,
            Err(StoreError::Conflict(_)) => self.own_write(&key).await?,
            Err(error) => return Err(error.into()),
        };
        self.saved = Instant::now();
        Ok(())
    }

    /// After a conflict: a write whose answer was lost and that was sent again conflicts with
    /// itself. What is there tells; it names the invocation and the moment.
    async fn own_write(&self, key: &str) -> Result<UpdateVersion, SliceError> {
        let (there, version): (Sweep, _) = store::get(self.bucket, key).await?;
        if there == self.sweep { Ok(version) } else { Err(SliceError::Superseded) }
    }

    /// Writes the state if the last writing is a while ago.
    pub(super) async fn save_now_and_then(&mut self) -> Result<(), SliceError> {
        if self.saved.elapsed() >= CHECKPOINT_AGE { self.save().await } else { Ok(()) }
    }

    pub(super) async fn release(&mut self) -> Result<(), SliceError> {
        self.sweep.lease = None;
        self.count_slice();
        self.save().await
    }

    pub(super) async fn finish(&mut self) -> Result<(), SliceError> {
        let sweep = &mut self.sweep;
        sweep.phase = Phase::Done;
        sweep.lease = None;
        if !sweep.status.is_final() {
            sweep.status = SweepStatus::Succeeded;
        }
        self.sweep.finished_at = Some(self.now());
        if let (SweepStatus::Succeeded, Some(last)) = (self.sweep.status, LastSweep::of(&self.sweep)) {
            let key = store::last_sweep_key(self.sweep.operation, self.sweep.lane.as_ref());
            store::put(self.bucket, &key, &last, PutMode::Overwrite).await?;
        }
        self.tell_calls();
        let report = Report::of(&self.sweep);
        let key = store::report_key(&self.sweep.sweep_id);
        store::put(self.bucket, &key, &report, PutMode::Overwrite).await?;
        self.write_page(&report).await;
        // Told before it is final: after that, nobody would tell it again.
        self.tell();
        self.count_slice();
        meter::sweep_ended(&report, lane::told(self.sweep.lane.as_ref()), self.sweep.tally.oldest_due());
        self.save().await
    }

    /// What came of the slice, and how far the sweep has come: what is left of the plan once there is one, and how
    /// long ago it was started.
    fn count_slice(&mut self) {
        let counted = std::mem::replace(&mut self.counted, self.sweep.results.clone());
        for (kind, count) in self.sweep.results.iter() {
            let new = count.saturating_sub(counted.of(kind));
            if new > 0 {
                let (rule, outcome) = (&kind.share.rule, kind.outcome);
                meter::came_of(self.sweep.operation, rule, outcome, new);
            }
        }
        let Sweep { operation, lane, plan, attempts, now, dry_run, .. } = &self.sweep;
        let remaining = plan.as_ref().filter(|_| !dry_run).map(|plan| plan.due.saturating_sub(*attempts));
        let lag = Duration::try_from(self.now().duration_since(*now)).unwrap_or_default();
        meter::slice_ended(*operation, lane::told(lane.as_ref()), remaining, lag);
    }

    /// Writes the page beside the report. It says nothing that the report does not: a sweep does not come back for
    /// it, and whoever has the report can draw it.
    async fn write_page(&self, report: &Report) {
        let sweep_id = &self.sweep.sweep_id;
        let mut written = Ok(());
        for _ in 0..PAGE_TRIES {
            written = store::put_page(self.bucket, sweep_id, report_page::page(report)).await;
            if written.is_ok() {
                return;
            }
        }
        if let Err(error) = written {
            warn!(event = "page_unwritten", %sweep_id, error = chain(&error));
        }
    }

    fn tell(&self) {
        let Sweep { sweep_id, status, .. } = &self.sweep;
        let lane = lane::told(self.sweep.lane.as_ref());
        let reason = self.sweep.failure.as_deref().unwrap_or_default();
        match status {
            SweepStatus::Failed => error!(event = "sweep_failed", %sweep_id, lane, reason),
            SweepStatus::StoppedByBreaker => error!(event = "sweep_stopped", %sweep_id, lane, reason),
            SweepStatus::Succeeded | SweepStatus::Queued | SweepStatus::Scanning | SweepStatus::Applying => {
                info!(
                    event = "sweep_finished", %sweep_id, lane, dry_run = self.sweep.dry_run,
                    rows_seen = self.sweep.rows_seen(), due = self.sweep.tally.total_due(),
                    outcomes = ?self.sweep.outcomes(),
                );
            }
        }
    }

    /// Puts the calls that were made into the state.
    pub(super) fn tell_calls(&mut self) {
        let made = std::mem::take(self.made.get_mut().unwrap_or_else(PoisonError::into_inner));
        for (told, made) in [(&mut self.sweep.calls, made.calls), (&mut self.sweep.throttled, made.throttled)]
        {
            for (operation, count) in made {
                *told.entry(operation).or_default() += count;
            }
        }
    }

    fn note(&self, note: impl FnOnce(&mut Made)) {
        note(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn called(&self, operation: IotOperation) {
        self.note(|made| *made.calls.entry(operation).or_default() += 1);
    }

    fn throttled(&self, slot: Slot, operation: IotOperation) {
        self.pacer.throttled(slot);
        self.note(|made| *made.throttled.entry(operation).or_default() += 1);
    }

    /// When the operation's next call can be made.
    pub(super) fn next_slot(&self, operation: IotOperation) -> Instant {
        self.pacer.next_slot(operation)
    }

    /// How many calls of the operation wait for their turn.
    pub(super) fn waiting(&self, operation: IotOperation) -> usize {
        self.pacer.waiting(operation)
    }

    /// How much time is left for calls.
    pub(super) fn left(&self) -> Duration {
        self.pacer.left()
    }

    /// Reads, paced: throttled as often as it takes, and a few times when AWS cannot answer.
    pub(super) async fn read<T, F>(
        &self,
        operation: IotOperation,
        mut call: impl FnMut() -> F,
    ) -> Result<Result<T, Lack>, Stop>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let mut failures = 0;
        loop {
            let slot = self.pacer.slot(operation).await?;
            self.called(operation);
            let error = match call().await {
                Ok(value) => {
                    self.pacer.went_through(slot);
                    return Ok(Ok(value));
                }
                Err(error) => error,
            };
            match error {
                ReadError::NotFound(_) => return Ok(Err(Lack::NotFound)),
                ReadError::InvalidToken(_) => return Ok(Err(Lack::InvalidToken)),
                ReadError::Invalid(_) | ReadError::Unreadable { .. } => {
                    return Ok(Err(Lack::Unreadable(error.to_string())));
                }
                ReadError::Throttled { .. } => self.throttled(slot, operation),
                ReadError::RoleRefused { source, .. } => return Err(role_refused(operation, &*source)),
                ReadError::Unavailable { source, .. } => pause(operation, &mut failures, source).await?,
            }
        }
    }

    /// Sends a mutation, paced: again only when nothing happened, because it was throttled or AWS did not accept
    /// our credentials or clock. Whatever else AWS answers goes to the caller. Waiting for a slot takes its time, and
    /// nothing is sent that may not be any more when its turn has come.
    pub(super) async fn mutate<F>(
        &self,
        operation: IotOperation,
        may_be_sent: impl Fn() -> bool,
        mut call: impl FnMut() -> F,
    ) -> Result<Sent, Stop>
    where
        F: Future<Output = Result<(), MutationError>>,
    {
        let mut failures = 0;
        loop {
            let slot = self.pacer.slot(operation).await?;
            if !may_be_sent() {
                return Ok(Sent::Withheld);
            }
            self.called(operation);
            match call().await {
                Err(MutationError::Throttled(_)) => self.throttled(slot, operation),
                Err(MutationError::Unauthenticated(source)) => {
                    pause(operation, &mut failures, source).await?
                }
                Err(MutationError::RoleRefused(source)) => return Err(role_refused(operation, &*source)),
                answer => {
                    self.pacer.went_through(slot);
                    return Ok(Sent::Answered(answer));
                }
            }
        }
    }
}

/// Waits before a call is made again that has failed and will not always: longer each time, and not for ever.
async fn pause(operation: IotOperation, failures: &mut u32, source: Cause) -> Result<(), Stop> {
    *failures += 1;
    warn!(event = "call_failed", %operation, failures, error = chain(&*source));
    if *failures >= TRIES {
        let what = format!("AWS IoT could not answer {operation} {failures} times");
        return Err(Stop::Error(SliceError::Unavailable { what, source }));
    }
    sleep(Duration::from_millis(200) * 2_u32.pow(*failures)).await;
    Ok(())
}

/// A right that the deployment lacks: trying again does not help.
fn role_refused(operation: IotOperation, cause: &(dyn std::error::Error + 'static)) -> Stop {
    Stop::Failed(format!("AWS refused this function's role {operation}: {}", chain(cause)))
}
