//! Starts sweeps: `POST /sweeps`, and the events of EventBridge Scheduler.

use std::iter;

use aws::gateway::{self, Call};
use aws::scheduled::SweepSchedules;
use jiff::Timestamp;
use object_store::ObjectStore;
use serde_json::{Value, json};
use shared::access::{AccessPolicy, ServiceAction};
use shared::api::{ApiError, ApiResponse, CallerIdentity, ErrorCode, permit, principal};
use shared::document::Current;
use shared::guard::Caller;
use shared::lane::{LaneName, Lanes, told};
use shared::ports::{Cause, SliceQueue, chain};
use shared::sweep::{StartError, Starter, Trigger};

/// The function's parts.
#[derive(Debug)]
pub struct StartSweep<B, Q> {
    /// The bucket of states.
    pub bucket: B,
    /// The queues of both operations.
    pub queue: Q,
    /// Who may do what.
    pub access: Current<AccessPolicy>,
    /// Which authorizer says who calls.
    pub caller_identity: CallerIdentity,
    /// The schedules that start sweeps.
    pub schedules: SweepSchedules,
    /// The lanes besides the home lane.
    pub lanes: Lanes,
    /// Whether the deployment allows dry runs only.
    pub dry_run_only: bool,
}

impl<B: ObjectStore, Q: SliceQueue> StartSweep<B, Q> {
    /// Answers one event: a call of the API, or a schedule's.
    ///
    /// # Errors
    /// When the event is no call and no firing of the stack's own schedules, or a schedule's sweep cannot be
    /// started. The event is delivered again, or ends in the dead-letter queue.
    pub async fn handle(&self, event: Value, now: Timestamp) -> Result<Value, Cause> {
        if gateway::is_call(&event) {
            let response = gateway::answer(event, |call| self.called(call, now)).await;
            return Ok(serde_json::to_value(response)?);
        }
        let fired = self.schedules.read(&event)?;
        let trigger = Trigger {
            operation: fired.operation,
            lane: None,
            dry_run: None,
            release_plan: None,
            requested_by: format!("schedule {}", fired.schedule),
            now: fired.time,
            id: fired.id,
        };
        self.start_everywhere(trigger, now).await
    }

    /// Starts a schedule's sweep in each lane, the home lane first. One that cannot be started keeps no other
    /// from it; starting those again does nothing when the event comes again.
    async fn start_everywhere(&self, trigger: Trigger, now: Timestamp) -> Result<Value, Cause> {
        let mut started = Vec::new();
        let mut failed = Vec::new();
        for lane in iter::once(None).chain(self.lanes.iter().map(Some)) {
            let name = lane.map(|lane| &lane.name);
            let trigger = Trigger { lane: lane.cloned(), ..trigger.clone() };
            match Box::pin(self.starter().start(&trigger, now)).await {
                Ok(sweep) => {
                    let mut told = json!({ "sweepId": sweep.sweep_id, "dryRun": sweep.dry_run });
                    if let (Some(name), Some(told)) = (name, told.as_object_mut()) {
                        told.insert("lane".to_owned(), json!(name));
                    }
                    started.push(told);
                }
                Err(error) => failed.push(format!("{}: {}", told(name), chain(&error))),
            }
        }
        if failed.is_empty() {
            Ok(json!({ "sweeps": started }))
        } else {
            Err(format!("no sweep was started in some lanes: {}", failed.join("; ")).into())
        }
    }

    fn starter(&self) -> Starter<'_, Q> {
        Starter { bucket: &self.bucket, queue: &self.queue, dry_run_only: self.dry_run_only }
    }

    async fn called(&self, call: Call, now: Timestamp) -> Result<ApiResponse, ApiError> {
        let request = call.request.start_sweep()?;
        let principal = principal(self.caller_identity, &call.identified)?;
        let known = request.lane.as_ref().map(|lane| self.lanes.find(lane));
        let of_lane = known.as_ref().and_then(|known| known.as_ref().ok().copied());
        let action = ServiceAction::StartSweep {
            operation: request.operation,
            lane: request.lane.as_ref().map_or("", LaneName::as_str),
            dry_run: self.starter().dry_run(of_lane, request.dry_run),
            releases_plan: request.release_plan.is_some(),
        };
        let caller = Caller { principal: &principal, now, request_id: &call.request_id };
        permit(&*self.access.get(now).await, &caller, action)?;
        // After that: whoever may not start a sweep does not learn which lanes there are.
        let lane = known.transpose().map(|lane| lane.cloned());
        let trigger = Trigger {
            operation: request.operation,
            lane: lane.map_err(|violation| ApiError::from(vec![violation]))?,
            dry_run: request.dry_run,
            release_plan: request.release_plan,
            requested_by: principal.to_string(),
            now,
            id: call.request_id,
        };
        let sweep = self.starter().start(&trigger, now).await.map_err(|error| match error {
            StartError::Invalid(message) => ApiError::new(ErrorCode::InvalidRequest, message),
            error @ (StartError::Store(_) | StartError::Queue(_)) => {
                ApiError::unavailable("the sweep could not be started; try again", error)
            }
        })?;
        Ok(ApiResponse::ok(202, &sweep.view()))
    }
}
