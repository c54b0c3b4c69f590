//! One slice: take the step, work until the deadline, save, and send the next one on its way.

use std::marker::PhantomData;

use jiff::Timestamp;
use object_store::{ObjectStore, PutMode};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::SliceMessage;
use super::act::Act;
use super::cursor::{ApplyCursor, Phase};
use super::pace::CallRate;
use super::plan::{LastSweep, Plan, StoppedPlan};
use super::session::{Session, Stop};
use super::state::{Sweep, SweepStatus};
use super::store::{self, StoreError};
use crate::access::AccessPolicy;
use crate::document::Document;
use crate::lane::{self, LaneName};
use crate::ports::{Cause, FurtherLanes, ReadJobs, SliceQueue, chain};
use crate::retention::Retention;

/// A sweep's function: its right, its rules and what it reaches.
#[derive(Debug)]
pub struct Worker<'a, I, Q, A> {
    /// AWS IoT Jobs, in the home lane.
    pub iot: &'a I,
    /// AWS IoT Jobs, in the others.
    pub lanes: &'a dyn FurtherLanes<I>,
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
    /// Whether the deployment allows whole jobs to be deleted, where their rule says so.
    pub retire_jobs: bool,
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
        // What the reading takes is taken from the slice's time.
        let origin = Instant::now();
        let (sweep, version) = store::load(self.bucket, &message.sweep_id).await?;
        if sweep.step != message.step || sweep.status.is_final() {
            return self.already_taken(&sweep, message).await;
        }
        let mut session = Session::new(self, sweep, version, (time, origin));
        session.claim(holder, time).await?;
        info!(
            event = "slice_started", sweep_id = %message.sweep_id, lane = lane::told(session.sweep.lane.as_ref()),
            step = message.step, attempt = session.sweep.attempt,
        );

        let worked = match self.in_lane(&session.sweep) {
            Ok(worker) => worker.work(&mut session).await,
            Err(stop) => Err(stop),
        };
        let stop = match worked {
            Ok(()) => return session.finish().await.map(|()| SliceEnd::Finished),
            Err(stop) => stop,
        };
        match stop {
            Stop::OutOfTime => {
                session.sweep.step += 1;
                session.release().await?;
                let next = SliceMessage { step: session.sweep.step, sweep_id: message.sweep_id.clone() };
                self.send(&next, session.sweep.lane.as_ref()).await?;
                Ok(SliceEnd::Continued)
            }
            Stop::Failed(reason) => {
                session.sweep.status = SweepStatus::Failed;
                session.sweep.failure = Some(reason);
                session.finish().await.map(|()| SliceEnd::Finished)
            }
            Stop::Error(error) => {
                // The next delivery need not wait for the lease to run out.
                if !matches!(error, SliceError::Superseded)
                    && let Err(unreleased) = session.release().await
                {
                    warn!(event = "lease_kept", sweep_id = %message.sweep_id, error = chain(&unreleased));
                }
                Err(error)
            }
        }
    }

    /// A message whose step has been taken. If the slice that took it died between saving and
    /// sending, its next message was never sent; sending it once more does no harm.
    async fn already_taken(&self, sweep: &Sweep, message: &SliceMessage) -> Result<SliceEnd, SliceError> {
        info!(event = "slice_already_taken", sweep_id = %message.sweep_id, step = message.step, at = sweep.step);
        if message.step.checked_add(1) == Some(sweep.step)
            && !sweep.status.is_final()
            && sweep.lease.is_none()
        {
            let next = SliceMessage { step: sweep.step, sweep_id: message.sweep_id.clone() };
            self.send(&next, sweep.lane.as_ref()).await?;
        }
        Ok(SliceEnd::AlreadyTaken)
    }

    /// The same worker, at the lane of a sweep. A lane that the deployment does not have any more, or has in
    /// another place, will not be there the next time either.
    fn in_lane(&self, sweep: &Sweep) -> Result<Self, Stop> {
        let Some(lane) = &sweep.lane else { return Ok(Self { ..*self }) };
        let place = sweep.place.as_deref().unwrap_or_default();
        let iot = self.lanes.iot(lane, place).ok_or_else(|| {
            Stop::Failed(format!(
                "the lane `{lane}` of {place} is not among this deployment's Lanes any more"
            ))
        })?;
        let dry_run_only = self.dry_run_only || !self.lanes.is_live(lane);
        Ok(Self { iot, dry_run_only, ..*self })
    }

    async fn send(&self, message: &SliceMessage, lane: Option<&LaneName>) -> Result<(), SliceError> {
        self.queue.send(message, lane).await.map_err(|source| SliceError::Unavailable {
            what: "the next slice could not be queued".to_owned(),
            source,
        })
    }

    async fn work(&self, session: &mut Session<'_>) -> Result<(), Stop> {
        if let Err(stop) = self.check_rules(&mut session.sweep) {
            // What a slice was acting on when it died is looked into all the same: nothing is decided for it.
            if session.sweep.operation == A::OPERATION
                && let Phase::Applying(mut cursor) = session.sweep.phase.clone()
            {
                self.settle_pending(session, &mut cursor).await?;
            }
            return Err(stop);
        }
        loop {
            match session.sweep.phase.clone() {
                Phase::Listing { token, restarts, listing } => {
                    self.list_jobs(session, token, restarts, listing).await?;
                }
                Phase::Scanning(cursor) => self.scan_segment(session, cursor).await?,
                Phase::Ranking { next } => self.rank_successes(session, next).await?,
                Phase::Planning { segment } => self.plan_successes(session, segment).await?,
                Phase::LookingAtThings { next } => self.look_at_things(session, next).await?,
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
            (&mut sweep.rules_digest, self.rules.digest(), Retention::NAME),
            (&mut sweep.policy_digest, self.access.digest(), AccessPolicy::NAME),
        ];
        for (theirs, ours, what) in ours {
            let theirs = theirs.get_or_insert_with(|| ours.to_owned());
            if theirs != ours {
                return Err(Stop::Failed(format!("the {what} changed while the sweep ran; start a new one")));
            }
        }
        // The same text may be there under a new name by now.
        sweep.rules_source = Some(self.rules.source().to_owned());
        sweep.policy_source = Some(self.access.source().to_owned());
        sweep.calls_per_hour = Some(self.rate.an_hour());
        // What has acted already is no dry run; it is stopped where it acts.
        if self.dry_run_only && !matches!(sweep.phase, Phase::Applying(_)) {
            sweep.dry_run = true;
        }
        Ok(())
    }

    /// The breaker: before the first mutation, over what would be attempted.
    async fn check(&self, session: &mut Session<'_>) -> Result<(), Stop> {
        let last = self.last_sweep(&session.sweep).await?;
        let sweep = &mut session.sweep;
        let plan = Plan::of(sweep, self.rules, last.as_ref(), (self.needs(), self.rate));
        let stopped = plan.is_stopped();
        sweep.plan = Some(plan.clone());
        if stopped {
            // Before the status is final: where this fails the state is saved, and the message comes again.
            let kept = StoppedPlan { planned_by: sweep.sweep_id.clone() };
            let key = store::stopped_plan_key(&plan.digest);
            store::put(self.bucket, &key, &kept, PutMode::Overwrite).await?;
            sweep.status = SweepStatus::StoppedByBreaker;
            sweep.failure = Some(plan.refusal(sweep.lane.as_ref()));
            sweep.phase = Phase::Done;
        } else if sweep.dry_run || plan.due == 0 {
            sweep.phase = Phase::Done;
        } else {
            sweep.status = SweepStatus::Applying;
            sweep.phase = Phase::Applying(ApplyCursor::default());
        }
        if session.sweep.phase != Phase::Done {
            session.save().await?;
        }
        Ok(())
    }

    /// What the last real sweep in the lane had due. What cannot be read is not taken for absent: the message
    /// comes again.
    async fn last_sweep(&self, sweep: &Sweep) -> Result<Option<LastSweep>, SliceError> {
        let key = store::last_sweep_key(A::OPERATION, sweep.lane.as_ref());
        match store::get::<LastSweep>(self.bucket, &key).await {
            Ok((last, _)) => Ok(Some(last).filter(|last| last.place == sweep.place)),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
