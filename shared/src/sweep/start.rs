//! Starting a sweep: the state object first, then the message; the same trigger starts it once.

use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectStore, PutMode};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::SliceMessage;
use super::cursor::{ApplyCursor, Phase};
use super::id::SweepId;
use super::plan::{Plan, StoppedPlan};
use super::state::{Release, Sweep};
use super::store::{self, StoreError};
use crate::lane::{self, Lane};
use crate::operation::Operation;
use crate::ports::{Cause, SliceQueue};

/// How far the time of a trigger may lie ahead of the clock. A time in the future would make
/// due what is not.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// What starts a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// What it is to do.
    pub operation: Operation,
    /// In which lane, if not the home lane.
    pub lane: Option<Lane>,
    /// What was asked for; `None` takes the deployment's setting.
    pub dry_run: Option<bool>,
    /// The digest of a stopped plan to carry out.
    pub release_plan: Option<String>,
    /// Who asks.
    pub requested_by: String,
    /// The time of the request or the schedule.
    pub now: Timestamp,
    /// What tells this request from another: the same id starts one sweep.
    pub id: String,
}

/// Starts sweeps.
#[derive(Debug)]
pub struct Starter<'a, Q> {
    /// The bucket of states.
    pub bucket: &'a dyn ObjectStore,
    /// The queues.
    pub queue: &'a Q,
    /// Whether the deployment allows dry runs only.
    pub dry_run_only: bool,
}

/// Which sweep a stopped plan was released to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReleasedTo {
    sweep_id: SweepId,
}

/// Why a sweep was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request makes no sense here.
    #[error("{0}")]
    Invalid(String),
    /// The bucket did not serve.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue did not take the first slice. Starting again with the same trigger is safe.
    #[error("the first slice could not be queued")]
    Queue(#[source] Cause),
}

impl<Q: SliceQueue> Starter<'_, Q> {
    /// Starts the sweep that `trigger` asks for. `clock` is the time of day.
    ///
    /// # Errors
    /// When the trigger makes no sense, or the bucket or the queue did not serve.
    pub async fn start(&self, trigger: &Trigger, clock: Timestamp) -> Result<Sweep, StartError> {
        if trigger.now > clock.saturating_add(AHEAD).unwrap_or(clock) {
            let message = format!("the time {} is in the future; the clock says {clock}", trigger.now);
            return Err(StartError::Invalid(message));
        }
        let lane = trigger.lane.as_ref();
        if self.dry_run_only && trigger.dry_run == Some(false) {
            let message = "this deployment allows dry runs only; set its parameter DryRun to false first";
            return Err(StartError::Invalid(message.to_owned()));
        }
        if let Some(Lane { name, live: false, .. }) = lane
            && trigger.dry_run == Some(false)
        {
            let message = format!(
                "the lane `{name}` allows dry runs only; read what they tell, and then put `:live` behind it in the \
                 parameter Lanes"
            );
            return Err(StartError::Invalid(message));
        }
        let dry_run = self.dry_run(lane, trigger.dry_run);
        let name = lane.map(|lane| &lane.name);
        let id = SweepId::new(trigger.now, trigger.operation, name, &trigger.id);
        let requested_by = trigger.requested_by.clone();
        let mut sweep = Sweep::new(id, trigger.operation, lane, dry_run, requested_by, trigger.now);
        if let Some(digest) = &trigger.release_plan {
            self.release(&mut sweep, digest).await?;
        }
        let sweep = self.create(sweep).await?;
        let first = SliceMessage { sweep_id: sweep.sweep_id.clone(), step: 0 };
        self.queue.send(&first, name).await.map_err(StartError::Queue)?;
        info!(
            event = "sweep_started", sweep_id = %sweep.sweep_id, lane = lane::told(name), dry_run = sweep.dry_run,
            requested_by = sweep.requested_by, request_id = trigger.id,
        );
        Ok(sweep)
    }

    /// Whether a sweep of a lane is a dry run, given what was asked for: where nothing was, the deployment's
    /// setting counts, and the lane's.
    pub fn dry_run(&self, lane: Option<&Lane>, asked: Option<bool>) -> bool {
        self.dry_run_only || lane.is_some_and(|lane| !lane.live) || asked.unwrap_or(false)
    }

    /// Lets a sweep carry out a plan that the breaker stopped, once: the same jobs, each up to the
    /// number that was planned for it, at that plan's time, by its rules and policies. Each
    /// execution is judged and decided on anew; at that time, what is due can only become less.
    async fn release(&self, sweep: &mut Sweep, digest: &str) -> Result<(), StartError> {
        let invalid = |message| Err(StartError::Invalid(message));
        let stopped: StoppedPlan = match store::get(self.bucket, &store::stopped_plan_key(digest)).await {
            Ok((stopped, _)) => stopped,
            Err(StoreError::NotFound(_)) => {
                return invalid(format!("no stopped sweep has a plan with the digest `{digest}`"));
            }
            Err(error) => return Err(error.into()),
        };
        let (stopped, _) = store::load(self.bucket, &stopped.planned_by).await?;
        if stopped.operation != sweep.operation {
            return invalid(format!("the plan is one of {}, not of {}", stopped.operation, sweep.operation));
        }
        if stopped.lane != sweep.lane {
            let remedy = match &stopped.lane {
                Some(lane) => format!("the plan is one of the lane `{lane}`; start the sweep with it"),
                None => "the plan is one of the stack's own account and Region; name no lane".to_owned(),
            };
            return invalid(remedy);
        }
        if stopped.place != sweep.place {
            let was = stopped.place.unwrap_or_default();
            return invalid(format!("the plan is one of {was}, which is not what its lane is of any more"));
        }
        if !sweep.dry_run {
            self.mark_released(sweep, digest).await?;
        }
        sweep.now = stopped.now;
        sweep.jobs = stopped.jobs;
        sweep.tally = stopped.tally;
        sweep.whole_jobs = stopped.whole_jobs;
        sweep.blockers = stopped.blockers;
        sweep.successes = stopped.successes;
        sweep.rules_source = stopped.rules_source;
        sweep.rules_digest = stopped.rules_digest;
        sweep.policy_source = stopped.policy_source;
        sweep.policy_digest = stopped.policy_digest;
        sweep.plan = stopped.plan.map(Plan::released);
        sweep.release = Some(Release { plan_digest: digest.to_owned(), planned_by: stopped.sweep_id });
        sweep.phase = if sweep.dry_run { Phase::Done } else { Phase::Applying(ApplyCursor::default()) };
        Ok(())
    }

    /// Notes which sweep the plan is released to. A start that failed behind this point is taken
    /// up by the next one: its sweep has not begun.
    async fn mark_released(&self, sweep: &mut Sweep, digest: &str) -> Result<(), StartError> {
        let key = store::release_key(digest);
        match store::put(self.bucket, &key, &ReleasedTo { sweep_id: sweep.sweep_id.clone() }, PutMode::Create)
            .await
        {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let (released, _): (ReleasedTo, _) = store::get(self.bucket, &key).await?;
        let begun = match store::load(self.bucket, &released.sweep_id).await {
            Ok((there, _)) => there.attempt > 0,
            Err(StoreError::NotFound(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if begun && released.sweep_id != sweep.sweep_id {
            let message = format!(
                "this plan has been released to sweep `{}`; a plan is released once",
                released.sweep_id
            );
            return Err(StartError::Invalid(message));
        }
        sweep.sweep_id = released.sweep_id;
        Ok(())
    }

    /// Writes the state, or finds the one that the same trigger wrote before.
    async fn create(&self, sweep: Sweep) -> Result<Sweep, StartError> {
        let key = store::state_key(&sweep.sweep_id);
        match store::put(self.bucket, &key, &sweep, PutMode::Create).await {
            Ok(_) => Ok(sweep),
            Err(StoreError::Conflict(_)) => {
                let (there, _) = store::load(self.bucket, &sweep.sweep_id).await?;
                if there.lane == sweep.lane {
                    return Ok(there);
                }
                let message = format!("`{}` is a sweep of another lane; start it again", sweep.sweep_id);
                Err(StartError::Invalid(message))
            }
            Err(error) => Err(error.into()),
        }
    }
}
