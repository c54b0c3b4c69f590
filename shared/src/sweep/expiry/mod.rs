//! A check of exact expiry: a thing's executions of one job, judged again and deleted as a sweep deletes a
//! page of them, in a lane with the sweeps. It has no state but its message. Whatever it leaves, the next
//! sweep sees to.

mod budget;
mod leftovers;
mod pass;

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use object_store::UpdateVersion;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::act::{Act, Outcome};
use super::id::SweepId;
use super::page::PageEnd;
use super::session::{Session, Stop};
use super::slice::{SliceError, SliceTime, Worker};
use super::state::Sweep;
use crate::archive;
use crate::execution::Identity;
use crate::expiry::ExpiryCheck;
use crate::ports::{ReadJobs, SliceQueue};
use crate::retention::KeepReason;
use budget::Budget;

/// The folder of the archive, and of outcomes, where a sweep's would have its name.
const FOLDER: &str = "expiry";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckEnd {
    /// What could be read was judged, and what is due of it is dealt with.
    Checked,
    /// The day's budget is used up: the rest is left to the next sweep.
    OverBudget,
    /// It cannot be done, now or later: left to the next sweep.
    Failed,
}

/// Why a check's message has to come again. What was deleted until then is archived.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There was no time for another call.
    #[error("there was no time left for the check")]
    OutOfTime,
    /// Something underneath did not serve.
    #[error(transparent)]
    Unavailable(SliceError),
}

/// A check at work.
#[derive(Debug)]
struct Check<'a> {
    message: &'a ExpiryCheck,
    name: String,
    /// When this delivery of it began: no other one has the same name for what it writes.
    began: Timestamp,
    passes: u32,
    /// Taken of the budget and not used yet.
    granted: u64,
    over_budget: bool,
    /// What has been dealt with, and is not touched again.
    met: Vec<Identity>,
    kept: BTreeMap<KeepReason, u64>,
    outcomes: BTreeMap<Outcome, u64>,
}

impl Check<'_> {
    /// What is written of a part of this delivery, in the message's folder.
    fn object(&self, part: impl Display) -> String {
        format!("{}/{}-{part}", self.name, self.began.as_millisecond())
    }

    /// Where it is written: on the day on which it comes due, so that a message that comes again finds it.
    fn key(&self, root: &str, object: &str) -> String {
        format!("{}{object}.jsonl.gz", archive::partition(root, FOLDER, self.message.due_at))
    }

    /// Where all deliveries of the message write.
    fn folder(&self, root: &str) -> String {
        format!("{}{}", archive::partition(root, FOLDER, self.message.due_at), self.name)
    }

    fn meet(&mut self, identity: Identity, outcome: Outcome) {
        self.met.push(identity);
        *self.outcomes.entry(outcome).or_default() += 1;
    }
}

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Carries out a check.
    ///
    /// # Errors
    /// When the message has to come again.
    pub async fn check_expiry(&self, message: &ExpiryCheck, time: SliceTime) -> Result<CheckEnd, CheckError> {
        let origin = Instant::now();
        let name = message.name();
        // To what acts on a page, a check is a sweep of one thing that is nowhere saved.
        let id = SweepId::new(time.now, A::OPERATION, None, &name);
        let requested_by = format!("{FOLDER} {name}");
        let sweep = Sweep::new(id, A::OPERATION, None, self.dry_run_only, requested_by, time.now);
        let nowhere = UpdateVersion { e_tag: None, version: None };
        let mut session = Session::new(self, sweep, nowhere, (time, origin));
        let mut check = Check {
            message,
            name,
            began: time.now,
            passes: 0,
            granted: 0,
            over_budget: false,
            met: Vec::new(),
            kept: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        let ended = self.work_on(&mut session, &mut check).await;
        session.tell_calls();
        check.tell(&session);
        rest(&session).await;
        match ended {
            Ok(()) if check.over_budget => Ok(CheckEnd::OverBudget),
            Ok(()) => Ok(CheckEnd::Checked),
            Err(Stop::OutOfTime) => Err(CheckError::OutOfTime),
            Err(Stop::Error(error)) => Err(CheckError::Unavailable(error)),
            Err(Stop::Failed(reason)) => {
                error!(event = "expiry_failed", name = check.name, job_id = %message.job_id, reason);
                Ok(CheckEnd::Failed)
            }
        }
    }

    async fn work_on(&self, session: &mut Session<'_>, check: &mut Check<'_>) -> Result<(), Stop> {
        self.settle_leftovers(session, check).await?;
        let budget = self.budget(session.sweep.now);
        // Before it costs AWS IoT a call.
        if !self.dry_run_only && budget.left().await? == 0 {
            check.stop(&budget);
            return Ok(());
        }
        loop {
            let before = (check.met.len(), session.calls_of(A::CALL));
            if self.pass(session, check, &budget).await? == PageEnd::Done {
                return Ok(());
            }
            check.passes += 1;
            if (check.met.len(), session.calls_of(A::CALL)) == before {
                // Reading takes longer than what is read may be believed, and would the next time, too.
                let (name, job_id) = (&check.name, &check.message.job_id);
                warn!(event = "expiry_left_to_sweep", name, %job_id, "reading takes too long");
                return Ok(());
            }
        }
    }

    fn budget(&self, now: Timestamp) -> Budget<'_> {
        Budget::of(self.bucket, now, self.rules.breaker().max_actions.get())
    }
}

impl Check<'_> {
    /// Says that the day's budget is used up: once, as an error that alarms.
    fn stop(&mut self, budget: &Budget<'_>) {
        if !self.over_budget {
            let reason = budget.refusal();
            error!(event = "expiry_stopped", name = self.name, job_id = %self.message.job_id, reason);
        }
        self.over_budget = true;
    }

    fn tell(&self, session: &Session<'_>) {
        info!(
            event = "expiry_checked", name = self.name, job_id = %self.message.job_id,
            thing_name = %self.message.thing_name, due_at = %self.message.due_at,
            dry_run = session.sweep.dry_run, kept = ?self.kept, outcomes = ?self.outcomes,
            calls = ?session.sweep.calls,
        );
    }
}

/// Waits until the calls' next slots. The next message of the lane begins with a pacer of its own, and
/// would not know of this one's calls.
async fn rest(session: &Session<'_>) {
    let slots = session.sweep.calls.keys().map(|operation| session.next_slot(*operation));
    if let Some(free) = slots.max() {
        sleep_until(free.min(Instant::now() + session.left())).await;
    }
}
