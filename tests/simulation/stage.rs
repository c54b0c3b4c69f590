//! A case as it runs: starts, deliveries, invocations that die, and what the queue does about it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use jiff::SignedDuration;
use shared::access::AccessPolicy;
use shared::operation::Operation;
use shared::retention::Retention;
use shared::sweep::{
    CallRate, CancelStale, DeleteExpired, SliceEnd, SliceError, SliceMessage, SliceTime, Starter, SweepId,
    Trigger, Worker,
};
use tests::{FakeBucket, FakeIot, FakeQueue, Script};
use tokio::time::{Instant, sleep, timeout};

use crate::case::{Case, Edition, SweepSpec};
use crate::director::CaseDirector;
use crate::notes::{Invocation, Shared, SweepNote};
use crate::oracle::{Oracle, Policy};
use crate::rng::Rng;
use crate::rules::Rules;
use crate::witness::Witness;

/// The access policies: parsing one takes longer than a case.
static SHIPPED: LazyLock<AccessPolicy> = LazyLock::new(|| AccessPolicy::shipped().unwrap());
static FORCES_FIRMWARE: LazyLock<AccessPolicy> = LazyLock::new(|| {
    let permit = "@id(\"sweeper-cancels-stuck\") @reason(\"r\") permit (\
                  principal == Jobwarden::Sweeper::\"cancel-stale\", \
                  action == Jobwarden::Action::\"CancelJobExecution\", resource) \
                  when { context.force && resource.jobId like \"fw-*\" };";
    let policies = format!("{}{permit}", include_str!("../../policies/access.cedar"));
    AccessPolicy::parse("p.cedar", &policies).unwrap()
});

/// More deliveries than any sweep of such a size needs.
const MOST_DELIVERIES: usize = 400;

/// How the invocations of a sweep run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) rate: &'static str,
    pub(crate) slice_seconds: i64,
    pub(crate) skew: i64,
}

impl Conditions {
    /// Where nothing goes wrong and there is time for everything.
    pub(crate) const FINE: Self = Self { rate: "10", slice_seconds: 900, skew: 0 };
}

/// A case's world, and what is noted of it.
pub(crate) struct Stage<'a> {
    pub(crate) case: &'a Case,
    pub(crate) iot: FakeIot,
    pub(crate) bucket: FakeBucket,
    pub(crate) queue: FakeQueue,
    pub(crate) notes: Shared,
    rules: Retention,
    edited_rules: Option<Retention>,
    edition: Cell<Edition>,
    script: Script,
    rng: RefCell<Rng>,
    last_invocation: Cell<u32>,
}

fn parsed(rules: &Rules) -> Retention {
    let parsed = Retention::parse("r.toml", &rules.text());
    parsed.unwrap_or_else(|problems| panic!("{problems}\n{}", rules.text()))
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.script.dismiss_director();
        self.iot.dismiss_witness();
    }
}

impl<'a> Stage<'a> {
    pub(crate) fn new(case: &'a Case, notes: Shared) -> Self {
        let script = Script::default();
        let iot = FakeIot::new(script.clone(), "2026-11-21T02:00:00Z".parse().unwrap());
        case.build(&iot);
        iot.run_clock();
        let bucket = FakeBucket::new(script.clone());
        let now = iot.now();
        for job in &case.jobs {
            notes.lock().tags.insert(job.id.to_owned(), vec![(now, job.setup.tags.clone())]);
        }
        let mut witness = Witness::new(case, iot.clone(), &bucket, notes.clone());
        iot.witness(move |mutation| witness.see(mutation));
        script.direct(CaseDirector::new(case, iot.clone(), notes.clone()));
        let queue = FakeQueue::new(script.clone());
        let rules = parsed(&case.rules);
        let edited_rules = case.edit.as_ref().map(|edit| parsed(&edit.rules));
        let edition = Cell::new(Edition::First);
        let rng = RefCell::new(Rng::new(case.seed ^ 0x005e_ed00));
        let last_invocation = Cell::new(0);
        Self { case, iot, bucket, queue, notes, rules, edited_rules, edition, script, rng, last_invocation }
    }

    fn begin(&self, sweep: usize, left: Duration) -> u32 {
        let by = self.last_invocation.get() + 1;
        self.last_invocation.set(by);
        let margin = Duration::from_secs(20).min(left / 3);
        let (until, edition) = (Instant::now() + left - margin, self.edition.get());
        let invocation = Invocation { sweep, until, sent_at: self.iot.now(), edition, dead: false };
        self.notes.lock().invocations.insert(by, invocation);
        by
    }

    /// Runs until it ends, dies or is killed.
    async fn while_alive<T>(&self, by: u32, left: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let alive = poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.notes.lock().invocations.get(&by).is_some_and(|i| i.dead) => {
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        });
        timeout(left, alive).await.ok().flatten()
    }

    /// Starts a sweep, as often as it takes: schedules and people do.
    pub(crate) async fn start(&self, spec: SweepSpec, release_plan: Option<String>) -> (usize, SweepId) {
        sleep(Duration::from_secs(spec.after.unsigned_abs())).await;
        let now = self.iot.now() + SignedDuration::from_secs(spec.ahead);
        let SweepSpec { operation, dry_run, .. } = spec;
        let note = SweepNote { operation, now, dry_run, sent: 0, done: 0 };
        let sweep = {
            let mut notes = self.notes.lock();
            notes.sweeps.push(note);
            notes.sweeps.len() - 1
        };
        let trigger = Trigger {
            operation,
            lane: None,
            dry_run: Some(dry_run),
            release_plan,
            requested_by: "simulation".to_owned(),
            now,
            id: sweep.to_string(),
        };
        let left = Duration::from_secs(30);
        loop {
            let by = self.begin(sweep, left);
            let (bucket, queue) = (self.bucket.of(by), self.queue.of(by));
            let starter = Starter { bucket: &bucket, queue: &queue, dry_run_only: false };
            match self.while_alive(by, left, starter.start(&trigger, self.iot.now())).await {
                Some(Ok(started)) => return (sweep, started.sweep_id),
                ended => self.notes.trace(|| format!("start failed: {ended:?}")),
            }
            self.notes.count("end: start repeated");
            sleep(Duration::from_secs(10)).await;
        }
    }

    /// Delivers a sweep's messages until none is left.
    pub(crate) async fn deliver(&self, sweep: usize, id: &SweepId, conditions: Conditions) {
        let mut taken = 0;
        let mut waiting: VecDeque<SliceMessage> = VecDeque::new();
        for delivery in 1.. {
            let sent: Vec<_> =
                self.queue.sent().into_iter().filter(|message| message.sweep_id == *id).collect();
            waiting.extend(sent.iter().skip(taken).cloned());
            taken = sent.len();
            let Some(message) = waiting.front().cloned() else { return };
            if delivery > MOST_DELIVERIES {
                return self.notes.wrong(format!("{id} has not ended after {MOST_DELIVERIES} deliveries"));
            }
            match self.delivery(sweep, &message, conditions, delivery).await {
                Some(Ok(_)) => _ = waiting.pop_front(),
                Some(Err(SliceError::Held { until })) => {
                    let wait = until.duration_since(self.iot.now()).as_secs() + 1;
                    sleep(Duration::from_secs(wait.clamp(1, 900).unsigned_abs())).await;
                }
                Some(Err(_)) => sleep(Duration::from_secs(30)).await,
                None => {
                    let wait = self.rng.borrow_mut().pick(&[1, 5, conditions.slice_seconds + 1]);
                    sleep(Duration::from_secs(wait.unsigned_abs())).await;
                }
            }
        }
    }

    /// One delivery, and its twin where the case has one.
    async fn delivery(
        &self,
        sweep: usize,
        message: &SliceMessage,
        conditions: Conditions,
        delivery: usize,
    ) -> Option<Result<SliceEnd, SliceError>> {
        let calm = self.notes.lock().calm;
        if self.case.edit.as_ref().is_some_and(|edit| edit.delivery == delivery && sweep == 0 && !calm) {
            self.edition.set(Edition::Edited);
            self.notes.count("fault: rules changed");
            self.notes.lock().world_changed = true;
        }
        let twin = self.case.twins.iter().find(|twin| twin.delivery == delivery && sweep == 0 && !calm);
        let first = self.invoke(sweep, message, conditions);
        match twin.map(|twin| twin.after) {
            None => first.await,
            Some(None) => {
                let ended = first.await;
                self.notes.count("fault: duplicate delivery");
                self.invoke(sweep, message, conditions).await;
                ended
            }
            Some(Some(after)) => {
                self.notes.count("fault: duplicate delivery at once");
                let second = async {
                    sleep(Duration::from_millis(after)).await;
                    self.invoke(sweep, message, conditions).await
                };
                // Each of the two is polled in turn, call by call.
                futures_util::join!(first, second).0
            }
        }
    }

    async fn invoke(
        &self,
        sweep: usize,
        message: &SliceMessage,
        conditions: Conditions,
    ) -> Option<Result<SliceEnd, SliceError>> {
        let left = Duration::from_secs(conditions.slice_seconds.unsigned_abs());
        let by = self.begin(sweep, left);
        let skew = self.rng.borrow_mut().between(-conditions.skew, conditions.skew);
        if skew != 0 {
            self.notes.count("fault: clock skew");
        }
        let now = self.iot.now() + SignedDuration::from_secs(skew);
        let time = SliceTime { now, deadline: now + SignedDuration::from_secs(conditions.slice_seconds) };
        self.notes.trace(|| format!("--- #{by} begins {} of {}", message.step, message.sweep_id));
        let operation = message.sweep_id.operation();
        let ended = match operation {
            Operation::DeleteExpired => {
                let run = self.slice::<DeleteExpired>(message, conditions.rate, (by, time));
                self.while_alive(by, left, run).await
            }
            Operation::CancelStale => {
                let run = self.slice::<CancelStale>(message, conditions.rate, (by, time));
                self.while_alive(by, left, run).await
            }
        };
        self.notes.trace(|| format!("--- #{by} ended: {ended:?}"));
        self.notes.count(match &ended {
            None => "end: died or killed",
            Some(Ok(SliceEnd::AlreadyTaken)) => "end: already taken",
            Some(Ok(SliceEnd::Continued)) => "end: continued",
            Some(Ok(SliceEnd::Finished)) => "end: finished",
            Some(Err(SliceError::Held { .. })) => "end: held off",
            Some(Err(SliceError::Superseded)) => "end: superseded",
            Some(Err(SliceError::Store(_))) => "end: bucket not available",
            Some(Err(SliceError::Unavailable { .. })) => "end: something not available",
        });
        ended
    }

    async fn slice<A>(
        &self,
        message: &SliceMessage,
        rate: &str,
        (by, time): (u32, SliceTime),
    ) -> Result<SliceEnd, SliceError>
    where
        A: shared::sweep::Act<FakeIot>,
    {
        let (iot, bucket, queue) = (self.iot.of(by), self.bucket.of(by), self.queue.of(by));
        let worker: Worker<'_, FakeIot, FakeQueue, A> = Worker {
            iot: &iot,
            lanes: &(),
            bucket: &bucket,
            queue: &queue,
            rules: self.rules(),
            access: match self.case.policy {
                Policy::Shipped => &SHIPPED,
                Policy::ForcesFirmware => &FORCES_FIRMWARE,
            },
            rate: CallRate::parse(rate).unwrap(),
            dry_run_only: false,
            retire_jobs: true,
            act: PhantomData,
        };
        Box::pin(worker.run(message, &format!("invocation-{by}"), time)).await
    }

    /// What is due by the rules in force.
    pub(crate) fn oracle(&self) -> Oracle<'_> {
        self.case.oracle(self.edition.get())
    }

    fn rules(&self) -> &Retention {
        match (self.edition.get(), &self.edited_rules) {
            (Edition::Edited, Some(edited)) => edited,
            (Edition::First | Edition::Edited, _) => &self.rules,
        }
    }

    /// When a sweep's ages are counted to.
    pub(crate) fn sweep_note(&self, sweep: usize) -> SweepNote {
        self.notes.lock().sweeps[sweep].clone()
    }
}
