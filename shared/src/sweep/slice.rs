//! One slice: take the step, work until the deadline, save, and send the next one on its way.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectStore, PutMode, UpdateVersion};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::SliceMessage;
use super::act::Act;
use super::cursor::Phase;
use super::pace::{CallRate, IotOperation, OutOfTime, Pacer};
use super::plan::{Plan, StoppedPlan};
use super::report::Report;
use super::state::{Lease, Sweep, SweepStatus};
use super::store::{self, StoreError};
use crate::access::AccessPolicy;
use crate::ports::{Cause, MutationError, ReadError, ReadJobs, SliceQueue, chain};
use crate::retention::Retention;

/// What is kept free before the deadline, for the call under way, the state and the message; a
/// third of a slice that is shorter than three times that.
const MARGIN: Duration = Duration::from_secs(20);

/// How often a read that AWS cannot answer is tried.
const READ_TRIES: u32 = 4;

/// How long a checkpoint may be old while a large job is scanned.
const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

/// A sweep's function: its right, its rules and what it reaches.
#[derive(Debug)]
pub struct Worker<'a, I, Q, A> {
    /// AWS IoT Jobs.
    pub iot: &'a I,
    /// The bucket of states, plans, reports and archives.
    pub bucket: &'a dyn ObjectStore,
    /// The queue of its own operation.
    pub queue: &'a Q,
    /// The retention rules.
    pub rules: &'a Retention,
    /// The access policy.
    pub access: &'a AccessPolicy,
    /// Calls a second for each operation.
    pub rate: CallRate,
    /// Whether the deployment allows dry runs only, whatever a sweep's state says.
    pub dry_run_only: bool,
    /// Its right.
    pub act: PhantomData<A>,
}

/// The times of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct SliceTime {
    /// Now.
    pub now: Timestamp,
    /// When the invocation will be ended from outside.
    pub deadline: Timestamp,
}

/// How a slice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SliceEnd {
    /// The step had been taken before: nothing was done.
    AlreadyTaken,
    /// Time was up; the next slice is on its way.
    Continued,
    /// The sweep has ended.
    Finished,
}

/// Why a slice has to be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// Another invocation may still be at it.
    #[error("another invocation holds the step until {until}")]
    Held {
        /// Its deadline.
        until: Timestamp,
    },
    /// Another invocation has taken the sweep over.
    #[error("another invocation has taken the sweep over")]
    Superseded,
    /// The bucket did not serve.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something underneath is not available; what was done is saved.
    #[error("{what}")]
    Unavailable {
        /// What.
        what: String,
        /// Why.
        source: Cause,
    },
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

/// A slice at work.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) bucket: &'a dyn ObjectStore,
    pub(super) sweep: Sweep,
    version: UpdateVersion,
    pacer: Pacer,
    started: Timestamp,
    origin: Instant,
    saved: Instant,
    /// Whether a mutation was sent whose effect is not known.
    pub(super) in_doubt: bool,
}

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Does one slice of a sweep. `holder` names the invocation.
    ///
    /// # Errors
    /// When the message has to come again. Everything done until then is in the state.
    pub async fn run(
        &self,
        message: &SliceMessage,
        holder: &str,
        time: SliceTime,
    ) -> Result<SliceEnd, SliceError> {
        let (sweep, version) = store::load(self.bucket, &message.sweep_id).await?;
        if sweep.step != message.step || sweep.status.is_final() {
            return self.already_taken(&sweep, message).await;
        }
        let mut session = Session::new(self, sweep, version, time);
        session.claim(holder, time).await?;
        info!(event = "slice_started", sweep_id = %message.sweep_id, step = message.step, attempt = session.sweep.attempt);

        let stop = match self.work(&mut session).await {
            Ok(()) => return session.finish().await.map(|()| SliceEnd::Finished),
            Err(stop) => stop,
        };
        match stop {
            Stop::OutOfTime => {
                session.sweep.step += 1;
                session.release().await?;
                let next = SliceMessage { step: session.sweep.step, sweep_id: message.sweep_id.clone() };
                self.send(&next).await?;
                Ok(SliceEnd::Continued)
            }
            Stop::Failed(reason) => {
                session.sweep.status = SweepStatus::Failed;
                session.sweep.failure = Some(reason);
                session.finish().await.map(|()| SliceEnd::Finished)
            }
            Stop::Error(error) => {
                // The next delivery need not wait for the lease to run out.
                if !matches!(error, SliceError::Superseded) {
                    session.release().await?;
                }
                Err(error)
            }
        }
    }

    /// A message whose step has been taken. If the slice that took it died between saving and
    /// sending, its next message was never sent; sending it once more does no harm.
    async fn already_taken(&self, sweep: &Sweep, message: &SliceMessage) -> Result<SliceEnd, SliceError> {
        info!(event = "slice_already_taken", sweep_id = %message.sweep_id, step = message.step, at = sweep.step);
        if sweep.step == message.step + 1 && !sweep.status.is_final() && sweep.lease.is_none() {
            self.send(&SliceMessage { step: sweep.step, sweep_id: message.sweep_id.clone() }).await?;
        }
        Ok(SliceEnd::AlreadyTaken)
    }

    async fn send(&self, message: &SliceMessage) -> Result<(), SliceError> {
        self.queue.send(message).await.map_err(|source| SliceError::Unavailable {
            what: "the next slice could not be queued".to_owned(),
            source,
        })
    }

    async fn work(&self, session: &mut Session<'_>) -> Result<(), Stop> {
        self.check_rules(&mut session.sweep)?;
        loop {
            match session.sweep.phase.clone() {
                Phase::Listing { token, restarts } => self.list_jobs(session, token, restarts).await?,
                Phase::Scanning(cursor) => self.scan_segment(session, cursor).await?,
                Phase::Checking => self.check(session).await?,
                Phase::Applying(cursor) => self.apply_segment(session, cursor).await?,
                Phase::Done => return Ok(()),
            }
        }
    }

    /// A plan made by other rules or policies is not this function's to carry out.
    fn check_rules(&self, sweep: &mut Sweep) -> Result<(), Stop> {
        if sweep.operation != A::OPERATION {
            let message = format!("a {} sweep came to the function of {}", sweep.operation, A::OPERATION);
            return Err(Stop::Failed(message));
        }
        let ours = [
            (&mut sweep.rules_digest, self.rules.digest(), "retention rules"),
            (&mut sweep.policy_digest, self.access.digest(), "access policy"),
        ];
        for (theirs, ours, what) in ours {
            let theirs = theirs.get_or_insert_with(|| ours.to_owned());
            if theirs != ours {
                return Err(Stop::Failed(format!("the {what} changed while the sweep ran; start a new one")));
            }
        }
        // What has acted already is no dry run; it is stopped where it acts.
        if self.dry_run_only && !matches!(sweep.phase, Phase::Applying(_)) {
            sweep.dry_run = true;
        }
        Ok(())
    }

    /// The breaker: before the first mutation, over what would be attempted.
    async fn check(&self, session: &mut Session<'_>) -> Result<(), Stop> {
        let sweep = &mut session.sweep;
        let plan = Plan::of(sweep, self.rules.max_actions());
        let stopped = plan.is_stopped();
        sweep.plan = Some(plan.clone());
        if stopped {
            sweep.status = SweepStatus::StoppedByBreaker;
            sweep.failure = Some(format!(
                "the plan holds {} executions, more than the breaker's {}; nothing was done. To carry it out, \
                 start a sweep with \"releasePlan\": \"{}\"",
                plan.due, plan.max_actions, plan.digest
            ));
            let kept = StoppedPlan { planned_by: sweep.sweep_id.clone() };
            let key = store::stopped_plan_key(&plan.digest);
            store::put(self.bucket, &key, &kept, PutMode::Overwrite).await?;
            sweep.phase = Phase::Done;
        } else if sweep.dry_run || plan.due == 0 {
            sweep.phase = Phase::Done;
        } else {
            sweep.status = SweepStatus::Applying;
            sweep.phase = Phase::Applying(super::cursor::ApplyCursor::default());
        }
        if session.sweep.phase != Phase::Done {
            session.save().await?;
        }
        Ok(())
    }
}

impl<'a> Session<'a> {
    fn new<I, Q, A>(
        worker: &Worker<'a, I, Q, A>,
        sweep: Sweep,
        version: UpdateVersion,
        time: SliceTime,
    ) -> Self {
        let origin = Instant::now();
        let left = Duration::try_from(time.deadline.duration_since(time.now)).unwrap_or_default();
        let deadline = origin + left.saturating_sub(MARGIN.min(left / 3));
        Self {
            bucket: worker.bucket,
            sweep,
            version,
            pacer: Pacer::new(worker.rate, deadline),
            started: time.now,
            origin,
            saved: origin,
            in_doubt: false,
        }
    }

    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.origin.elapsed()).unwrap_or(SignedDuration::MAX);
        self.started.saturating_add(elapsed).unwrap_or(self.started)
    }

    /// Takes the step, unless an invocation that may be alive has it.
    async fn claim(&mut self, holder: &str, time: SliceTime) -> Result<(), SliceError> {
        if let Some(lease) = self.sweep.lease.as_ref().filter(|lease| lease.until > time.now) {
            return Err(SliceError::Held { until: lease.until });
        }
        self.sweep.attempt += 1;
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
        self.sweep.updated_at = self.now();
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

    async fn release(&mut self) -> Result<(), SliceError> {
        self.sweep.lease = None;
        self.save().await
    }

    async fn finish(&mut self) -> Result<(), SliceError> {
        let sweep = &mut self.sweep;
        sweep.phase = Phase::Done;
        sweep.lease = None;
        if !sweep.status.is_final() {
            sweep.status = SweepStatus::Succeeded;
        }
        self.sweep.finished_at = Some(self.now());
        let report = Report::of(&self.sweep);
        let key = store::report_key(&self.sweep.sweep_id);
        store::put(self.bucket, &key, &report, PutMode::Overwrite).await?;
        // Told before it is final: after that, nobody would tell it again.
        self.tell();
        self.save().await
    }

    fn tell(&self) {
        let Sweep { sweep_id, status, .. } = &self.sweep;
        let reason = self.sweep.failure.as_deref().unwrap_or_default();
        match status {
            SweepStatus::Failed => error!(event = "sweep_failed", %sweep_id, reason),
            SweepStatus::StoppedByBreaker => error!(event = "sweep_stopped", %sweep_id, reason),
            SweepStatus::Succeeded | SweepStatus::Queued | SweepStatus::Scanning | SweepStatus::Applying => {
                info!(
                    event = "sweep_finished", %sweep_id, dry_run = self.sweep.dry_run,
                    rows_seen = self.sweep.rows_seen(), due = self.sweep.tally.total_due(),
                    outcomes = ?self.sweep.outcomes,
                );
            }
        }
    }

    /// Counts a call that is about to be made, in its slot.
    async fn slot(&mut self, operation: IotOperation) -> Result<(), Stop> {
        self.pacer.slot(operation).await?;
        *self.sweep.calls.entry(operation).or_default() += 1;
        Ok(())
    }

    fn throttled(&mut self, operation: IotOperation) {
        self.pacer.throttled(operation);
        *self.sweep.throttled.entry(operation).or_default() += 1;
    }

    /// Whether there is time for another call at all.
    pub(super) fn time_left(&self) -> bool {
        self.pacer.time_left()
    }

    /// Reads, paced: throttled as often as it takes, and a few times when AWS cannot answer.
    pub(super) async fn read<T, F>(
        &mut self,
        operation: IotOperation,
        mut call: impl FnMut() -> F,
    ) -> Result<Result<T, Lack>, Stop>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let mut failures = 0;
        loop {
            self.slot(operation).await?;
            let error = match call().await {
                Ok(value) => {
                    self.pacer.went_through(operation);
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
                ReadError::Throttled { .. } => self.throttled(operation),
                ReadError::Unavailable { source, .. } => {
                    failures += 1;
                    warn!(event = "read_failed", %operation, failures, error = chain(&*source));
                    if failures >= READ_TRIES {
                        let what = format!("AWS IoT could not answer {operation} {failures} times");
                        return Err(Stop::Error(SliceError::Unavailable { what, source }));
                    }
                    sleep(Duration::from_millis(200) * 2_u32.pow(failures)).await;
                }
            }
        }
    }

    /// Sends a mutation, paced: again only when it was throttled, which means that nothing
    /// happened. Whatever else AWS answers goes to the caller.
    pub(super) async fn mutate<F>(
        &mut self,
        operation: IotOperation,
        mut call: impl FnMut() -> F,
    ) -> Result<Result<(), MutationError>, Stop>
    where
        F: Future<Output = Result<(), MutationError>>,
    {
        loop {
            self.slot(operation).await?;
            match call().await {
                Err(MutationError::Throttled(_)) => self.throttled(operation),
                Err(MutationError::RoleRefused(source)) => {
                    let cause = chain(&*source);
                    let reason = format!("AWS refused this function's role {operation}: {cause}");
                    return Err(Stop::Failed(reason));
                }
                answer => {
                    self.pacer.went_through(operation);
                    return Ok(answer);
                }
            }
        }
    }
}

impl From<SliceError> for Stop {
    fn from(error: SliceError) -> Self {
        Self::Error(error)
    }
}
