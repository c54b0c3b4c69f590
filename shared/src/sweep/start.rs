//! Starting a sweep: the state object first, then the message; the same trigger starts it once.

use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectStore, PutMode};
use serde_json::json;
use tracing::info;

use super::SliceMessage;
use super::id::SweepId;
use super::plan::StoppedPlan;
use super::state::{Release, Sweep};
use super::store::{self, StoreError};
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
            let message = format!(
                "the time {} is in the future; the clock says {clock}",
                trigger.now
            );
            return Err(StartError::Invalid(message));
        }
        if self.dry_run_only && trigger.dry_run == Some(false) {
            let message = "this deployment allows dry runs only; set its parameter DryRun to false first";
            return Err(StartError::Invalid(message.to_owned()));
        }
        let dry_run = self.dry_run_only || trigger.dry_run.unwrap_or(false);
        let id = SweepId::new(trigger.now, trigger.operation, &trigger.id);
        let requested_by = trigger.requested_by.clone();
        let mut sweep = Sweep::new(id, trigger.operation, dry_run, requested_by, trigger.now);
        if let Some(digest) = &trigger.release_plan {
            self.release(&mut sweep, digest).await?;
        }
        let sweep = self.create(sweep).await?;
        let first = SliceMessage {
            sweep_id: sweep.sweep_id.clone(),
            step: 0,
        };
        self.queue.send(&first).await.map_err(StartError::Queue)?;
        info!(
            event = "sweep_started", sweep_id = %sweep.sweep_id, dry_run = sweep.dry_run,
            requested_by = sweep.requested_by,
        );
        Ok(sweep)
    }

    /// Lets a sweep carry out a plan that the breaker stopped: at that plan's time, by its rules
    /// and policies, up to its number, once.
    async fn release(&self, sweep: &mut Sweep, digest: &str) -> Result<(), StartError> {
        let key = store::stopped_plan_key(digest);
        let stopped: StoppedPlan = match store::get(self.bucket, &key).await {
            Ok((stopped, _)) => stopped,
            Err(StoreError::NotFound(_)) => {
                let message = format!("no stopped sweep has a plan with the digest `{digest}`");
                return Err(StartError::Invalid(message));
            }
            Err(error) => return Err(error.into()),
        };
        if stopped.operation != sweep.operation {
            let message = format!(
                "the plan is one of {}, not of {}",
                stopped.operation, sweep.operation
            );
            return Err(StartError::Invalid(message));
        }
        if !sweep.dry_run {
            let marker = json!({ "sweepId": sweep.sweep_id });
            match store::put(self.bucket, &store::release_key(digest), &marker, PutMode::Create).await {
                Ok(_) => {}
                Err(StoreError::Conflict(_))
                    if self.released_to(digest).await? == sweep.sweep_id.as_str() => {}
                Err(StoreError::Conflict(_)) => {
                    let message = "this plan has been released already; a plan is released once".to_owned();
                    return Err(StartError::Invalid(message));
                }
                Err(error) => return Err(error.into()),
            }
        }
        sweep.now = stopped.now;
        sweep.rules_digest = Some(stopped.rules_digest);
        sweep.policy_digest = Some(stopped.policy_digest);
        sweep.release = Some(Release {
            plan_digest: digest.to_owned(),
            due: stopped.plan.due,
        });
        Ok(())
    }

    async fn released_to(&self, digest: &str) -> Result<String, StartError> {
        let (marker, _): (serde_json::Value, _) =
            store::get(self.bucket, &store::release_key(digest)).await?;
        Ok(marker
            .get("sweepId")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// Writes the state, or finds the one that the same trigger wrote before.
    async fn create(&self, sweep: Sweep) -> Result<Sweep, StartError> {
        let key = store::state_key(&sweep.sweep_id);
        match store::put(self.bucket, &key, &sweep, PutMode::Create).await {
            Ok(_) => Ok(sweep),
            Err(StoreError::Conflict(_)) => Ok(store::load(self.bucket, &sweep.sweep_id).await?.0),
            Err(error) => Err(error.into()),
        }
    }
}
