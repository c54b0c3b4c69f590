//! Lets calls take their time and go wrong as the case has it, and holds each against its deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::execution::{JobStatus, Status};
use shared::operation::Operation;
use tests::{Call, Death, Director, FakeExecution, FakeIot, Fate};
use tokio::time::Instant;

use crate::case::Case;
use crate::faults::{Act, Fault, Tagging, What};
use crate::fleet::{JOBS, THINGS};
use crate::notes::Shared;
use crate::oracle;
use crate::rng::Rng;

/// Timers have milliseconds: a call may begin that much late.
const TICK: Duration = Duration::from_millis(2);

/// A call that has been sent.
struct UnderWay {
    call: Call,
    /// When, by the account's clock.
    sent_at: Timestamp,
    /// What hits it.
    hits: Vec<Fault>,
}

pub(crate) struct CaseDirector {
    rng: Rng,
    latency: i64,
    faults: Vec<Fault>,
    counts: BTreeMap<&'static str, usize>,
    total: usize,
    under_way: Vec<UnderWay>,
    iot: FakeIot,
    notes: Shared,
}

impl CaseDirector {
    pub(crate) fn new(case: &Case, iot: FakeIot, notes: Shared) -> Self {
        Self {
            rng: Rng::new(case.seed ^ 0x00d1_5ea5),
            latency: case.latency,
            faults: case.faults.clone(),
            counts: BTreeMap::new(),
            total: 0,
            under_way: Vec::new(),
            iot,
            notes,
        }
    }

    /// The faults that hit this call.
    fn hits(&mut self, call: &Call) -> Vec<Fault> {
        self.total += 1;
        let count = self.counts.entry(call.operation).or_default();
        *count += 1;
        let (count, total) = (*count, self.total);
        if self.notes.lock().calm {
            return Vec::new();
        }
        let hits = |fault: &&Fault| {
            let number = match fault.operation {
                None => total,
                Some(operation) if operation == call.operation => count,
                Some(_) => return false,
            };
            (fault.nth..fault.nth + fault.times).contains(&number)
        };
        self.faults.iter().filter(hits).copied().collect()
    }

    fn hold_against_deadline(&self, call: &Call) {
        let mut notes = self.notes.lock();
        let Some(invocation) = notes.invocations.get(&call.by) else { return };
        let (sweep, late) = (invocation.sweep, Instant::now().checked_duration_since(invocation.until));
        if !is_iot(call.operation) {
            return;
        }
        if let Some(late) = late.filter(|late| *late >= TICK) {
            notes.wrong(format!("{call:?} began {late:?} after its slice's time for calls"));
        }
        if is_mutation(call.operation)
            && let Some(sweep) = notes.sweeps.get_mut(sweep)
        {
            sweep.sent += 1;
        }
    }

    /// Lets something happen to the world. Tells whether anything did.
    fn act(&mut self, act: Act, fault: &Fault, call: &Call) -> bool {
        let now = self.iot.now();
        let (job, thing) = &self.target(act, fault, call);
        let of_thing = self.iot.executions_of(job, thing);
        let current = of_thing.iter().max_by_key(|execution| execution.row.queued_at).cloned();
        let active = current.clone().filter(|execution| !execution.row.status.is_terminal());
        let device = self.iot.device(job, thing);
        let mut deleted = false;
        match act {
            Act::Reports if active.is_some() => active.iter().for_each(|e| device.update(e.row.status)),
            Act::Starts if active.as_ref().is_some_and(|e| e.row.status == Status::Queued) => {
                device.update(Status::InProgress);
            }
            Act::Ends(status) if active.is_some() => {
                device.update(status);
                self.retry(job, thing);
            }
            Act::SecondCleaner if current.is_some() => {
                device.forget();
                deleted = true;
            }
            // A finished job is given no execution any more.
            Act::NumberReuse(_) if current.is_some() && self.is_finished(job) => {
                device.forget();
                deleted = true;
            }
            Act::NumberReuse(status) if current.is_some() => {
                device.replace(status);
                self.born(job, thing);
                deleted = true;
            }
            Act::Tags(tagging) => return self.tag(tagging, job),
            Act::JobGone => {
                if !self.iot.executions().iter().any(|execution| execution.job.as_str() == job) {
                    return false;
                }
                self.iot.forget_job(job);
                deleted = true;
            }
            Act::Joins if self.setup(job).is_some() && !self.is_finished(job) => {
                let name = format!("late-{}", self.total);
                self.iot.execution(job, &name, Status::Queued, now, now);
                self.born(job, &name);
            }
            Act::Reports
            | Act::Starts
            | Act::Ends(_)
            | Act::SecondCleaner
            | Act::NumberReuse(_)
            | Act::Joins => return false,
        }
        let mut notes = self.notes.lock();
        notes.world_changed = true;
        notes.other_deleters |= deleted;
        true
    }

    /// What something happens to: what the call is about, or else one of those that it can happen to.
    fn target(&self, act: Act, fault: &Fault, call: &Call) -> (String, String) {
        let fits = |execution: &&FakeExecution| match act {
            Act::Reports | Act::Ends(_) => !execution.row.status.is_terminal(),
            Act::Starts => execution.row.status == Status::Queued,
            Act::SecondCleaner | Act::NumberReuse(_) | Act::Tags(_) | Act::JobGone | Act::Joins => true,
        };
        let executions = self.iot.executions();
        let fitting: Vec<_> = executions.iter().filter(fits).collect();
        let subject = |execution: &&&FakeExecution| {
            let row = &execution.row;
            let (job, thing) = (&execution.job, &row.thing_name);
            let names = [
                format!("{job}/{thing}/{}", row.execution_number),
                format!("{job}/{thing}"),
                job.to_string(),
            ];
            names.contains(&call.subject)
        };
        let any = || fitting.get((4 * fault.job + fault.thing) % fitting.len().max(1));
        match fitting.iter().find(subject).or_else(any) {
            Some(execution) => (execution.job.to_string(), execution.row.thing_name.to_string()),
            None => (JOBS[fault.job].to_owned(), THINGS[fault.thing].to_owned()),
        }
    }

    fn tag(&mut self, tagging: Tagging, job: &str) -> bool {
        let Some(before) = self.setup(job) else { return false };
        match tagging {
            Tagging::Hold => self.iot.tag(job, "jobwarden:hold", "now"),
            Tagging::Unhold => self.iot.untag(job, "jobwarden:hold"),
            Tagging::Retag => {
                let value = self.rng.pick(&["canary", "stable", "other"]);
                self.iot.tag(job, "ring", value);
            }
        }
        let Some(after) = self.setup(job).filter(|after| after.tags != before.tags) else { return false };
        let now = self.iot.now();
        let mut notes = self.notes.lock();
        notes.world_changed = true;
        notes.tags.entry(job.to_owned()).or_default().push((now, after.tags));
        true
    }

    /// Queues another execution where the job retries the one that has just ended.
    fn retry(&self, job: &str, thing: &str) {
        let executions = self.iot.executions_of(job, thing);
        let ended = executions.iter().max_by_key(|execution| execution.row.queued_at);
        let (Some(ended), Some(setup)) = (ended, self.setup(job)) else { return };
        if !oracle::may_be_retried(&setup, &ended.row) {
            return;
        }
        let now = self.iot.now();
        let number = executions.iter().map(|execution| execution.row.execution_number.get()).max();
        let mut next: FakeExecution = ended.clone();
        next.row.execution_number = shared::ids::ExecutionNumber::new(number.unwrap_or_default() + 1);
        next.row.status = Status::Queued;
        next.row.queued_at = now;
        next.row.started_at = None;
        next.row.last_updated_at = now;
        next.row.retry_attempt = Some(ended.row.retry_attempt.unwrap_or(0) + 1);
        next.version = 1;
        self.iot.place(next);
        self.born(job, thing);
        self.notes.count("fault: retry queued");
    }

    fn born(&self, job: &str, thing: &str) {
        let executions = self.iot.executions_of(job, thing);
        let latest = executions.iter().max_by_key(|execution| execution.row.queued_at);
        self.notes.lock().born.extend(latest.map(oracle::key));
    }

    fn is_finished(&self, job: &str) -> bool {
        use JobStatus::{Canceled, Completed, DeletionInProgress};
        let status = self.setup(job).and_then(|setup| setup.status);
        matches!(status, Some(Canceled | Completed | DeletionInProgress))
    }

    /// Counts when an invocation has several calls under way.
    fn count_at_once(&self, call: &Call) {
        let others = || self.under_way.iter().map(|other| &other.call).filter(|other| other.by == call.by);
        if others().next().is_some() {
            self.notes.count("other: several calls under way");
        }
        if is_mutation(call.operation) && others().any(|other| is_mutation(other.operation)) {
            self.notes.count("other: several mutations under way");
        }
    }

    /// A call has arrived: what hits it. Notes when it was sent, for whoever looks at its effect.
    fn arrived(&mut self, call: &Call) -> Option<Vec<Fault>> {
        let place = self.under_way.iter().position(|other| other.call == *call)?;
        let UnderWay { sent_at, hits, .. } = self.under_way.remove(place);
        if let Some(invocation) = self.notes.lock().invocations.get_mut(&call.by) {
            invocation.sent_at = sent_at;
        }
        Some(hits)
    }

    fn setup(&self, job: &str) -> Option<tests::JobSetup> {
        self.iot.job_setup(&shared::ids::JobId::parse(job).unwrap())
    }
}

impl Director for CaseDirector {
    fn sent(&mut self, call: &Call) -> Duration {
        self.hold_against_deadline(call);
        let hits = self.hits(call);
        if hits.iter().any(|fault| fault.what == What::Hangs) {
            // It will not arrive.
            self.notes.count("fault: killed at the deadline");
        }
        let longer: i64 = hits.iter().map(longer).max().unwrap_or_default();
        let sent_at = self.iot.now();
        self.count_at_once(call);
        self.under_way.push(UnderWay { call: call.clone(), sent_at, hits });
        let takes = self.rng.between(0, self.latency) + longer;
        Duration::from_millis(takes.unsigned_abs())
    }

    fn arrives(&mut self, call: &Call) -> Fate {
        let mut fate = Fate::default();
        for fault in self.arrived(call).unwrap_or_default() {
            let happened = match fault.what {
                What::World(act) => self.act(act, &fault, call),
                what => {
                    let (wrong, death) = fate_of(what);
                    let new = fate == Fate::default();
                    if new {
                        fate = Fate { fault: wrong, death };
                    }
                    new
                }
            };
            if happened && fault.what != What::Hangs {
                self.notes.count(&format!("fault: {}", fault.what.name()));
                self.notes.trace(|| format!("    {}", fault.what.name()));
            }
        }
        if fate.death.is_some()
            && let Some(invocation) = self.notes.lock().invocations.get_mut(&call.by)
        {
            invocation.dead = true;
        }
        self.notes.trace(|| {
            format!("{} #{} {} {} {fate:?}", self.iot.now(), call.by, call.operation, call.subject)
        });
        fate
    }

    fn abandoned(&mut self, call: &Call) -> bool {
        let arrives = self.arrived(call).is_some_and(|hits| hits.is_empty()) && self.rng.chance(50);
        if arrives {
            self.notes.count("fault: a call of a dead process arrives");
            self.notes.trace(|| {
                format!("{} #{} {} {} arrives", self.iot.now(), call.by, call.operation, call.subject)
            });
        }
        arrives
    }
}

fn fate_of(what: What) -> (Option<tests::Fault>, Option<Death>) {
    use tests::Fault as Wrong;
    match what {
        What::Throttled => (Some(Wrong::Throttled), None),
        What::ServerError
        | What::TimesOutBefore
        | What::ResetBefore
        | What::BucketLostBefore
        | What::BucketReadLost
        | What::QueueLostBefore => (Some(Wrong::LostBefore), None),
        What::TimesOutAfter | What::ResetAfter | What::BucketLostAfter | What::QueueLostAfter => {
            (Some(Wrong::LostAfter), None)
        }
        What::BucketConflict => (Some(Wrong::Conflicts), None),
        What::InvalidToken => (Some(Wrong::InvalidToken), None),
        What::RoleRefused => (Some(Wrong::RoleRefused), None),
        What::CrashBefore => (None, Some(Death::Before)),
        What::CrashAfter => (None, Some(Death::After)),
        What::Slow | What::Hangs | What::World(_) => (None, None),
    }
}

/// How many milliseconds longer such a call takes.
fn longer(fault: &Fault) -> i64 {
    match fault.what {
        What::TimesOutBefore | What::TimesOutAfter => 3100,
        What::Slow => [1700, 5000, 25_000, 61_000][fault.job],
        What::Hangs => 1_000_000,
        What::Throttled
        | What::ServerError
        | What::ResetBefore
        | What::ResetAfter
        | What::InvalidToken
        | What::RoleRefused
        | What::CrashBefore
        | What::CrashAfter
        | What::BucketLostBefore
        | What::BucketLostAfter
        | What::BucketConflict
        | What::BucketReadLost
        | What::QueueLostBefore
        | What::QueueLostAfter
        | What::World(_) => 0,
    }
}

fn is_iot(operation: &str) -> bool {
    !["put", "get", "list", "send", "give back"].contains(&operation)
}

fn is_mutation(operation: &str) -> bool {
    operation == "DeleteJob" || Operation::ALL.iter().any(|sweep| sweep.action().as_str() == operation)
}
