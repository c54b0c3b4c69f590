//! A case: a small fleet, rules, a sweep and what goes wrong, all of it told by one seed.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use shared::operation::Operation;
use tests::{FakeIot, QueuedDelete};

use crate::faults::Fault;
use crate::fleet::{ExecutionSpec, JOBS, JobSpec, executions_of, job};
use crate::oracle::{Oracle, Policy};
use crate::rng::Rng;
use crate::rules::Rules;

/// Which rules are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    First,
    /// Those of the case's [`Edit`].
    Edited,
}

/// A sweep, started so many seconds into the case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SweepSpec {
    pub(crate) after: i64,
    pub(crate) operation: Operation,
    pub(crate) dry_run: bool,
    /// How many seconds its trigger's time is ahead of the clock.
    pub(crate) ahead: i64,
}

/// A delivery that has a twin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Twin {
    /// Which delivery, from 1.
    pub(crate) delivery: usize,
    /// After how many milliseconds the twin begins; `None` when the first has ended.
    pub(crate) after: Option<u64>,
}

/// Somebody puts other rules into force while the first sweep is at work.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// From which of its deliveries on, from 1.
    pub(crate) delivery: usize,
    pub(crate) rules: Rules,
}

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) rules: Rules,
    pub(crate) edit: Option<Edit>,
    pub(crate) policy: Policy,
    pub(crate) jobs: Vec<JobSpec>,
    pub(crate) executions: Vec<ExecutionSpec>,
    /// Whose status nobody can read.
    pub(crate) unreadable: BTreeSet<(String, String)>,
    pub(crate) page: usize,
    pub(crate) queued_delete: QueuedDelete,
    /// How many seconds AWS takes to delete a job.
    pub(crate) deletion: i64,
    pub(crate) sweeps: Vec<SweepSpec>,
    pub(crate) rate: &'static str,
    pub(crate) slice_seconds: i64,
    /// How many seconds the clocks of invocations may be off.
    pub(crate) skew: i64,
    /// The most milliseconds that an ordinary call takes.
    pub(crate) latency: i64,
    pub(crate) twins: Vec<Twin>,
    pub(crate) faults: Vec<Fault>,
}

impl Case {
    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let rules = Rules::random(rng);
        let operation = rng.weighted(&[(3, Operation::DeleteExpired), (2, Operation::CancelStale)]);
        let mut jobs: Vec<_> = JOBS.iter().map(|id| job(rng, id)).collect();
        let most = rng.weighted(&[(1, 0), (1, 1), (3, 2), (4, 3), (2, 4)]);
        while jobs.len() > most {
            jobs.remove(rng.below(jobs.len()));
        }
        let limits = rules.limits();
        let mut executions: Vec<_> =
            jobs.iter().flat_map(|job| executions_of(rng, operation, job, &limits)).collect();
        while executions.len() > 12 {
            executions.remove(rng.below(executions.len()));
        }
        for job in &mut jobs {
            let oldest = executions.iter().filter(|execution| execution.job == job.id);
            let oldest = oldest.map(|execution| execution.queued_ago / 1000 + 1).max().unwrap_or(3600);
            job.created_ago = oldest.max(0) + rng.pick(&[0, 0, 1, 3600, 100 * 86_400]);
        }
        let mut unreadable = BTreeSet::new();
        if rng.chance(12) && !executions.is_empty() {
            let execution = &executions[rng.below(executions.len())];
            unreadable.insert((execution.job.to_owned(), execution.thing.to_owned()));
        }
        let troubled = rng.chance(95);
        let skew = if troubled && rng.chance(15) { rng.pick(&[2, 30, 240]) } else { 0 };
        let ahead = if rng.chance(20) { rng.pick(&[-3600, -10, 60, 300]) } else { 0 };
        let dry_run = rng.chance(12);
        let mut sweeps = vec![SweepSpec { after: 0, operation, dry_run, ahead }];
        if troubled && rng.chance(20) {
            let other =
                rng.weighted(&[(4, operation), (1, Operation::DeleteExpired), (1, Operation::CancelStale)]);
            let after = rng.pick(&[0, 1, 5, 30, 100]);
            sweeps.push(SweepSpec { after, operation: other, dry_run: rng.chance(10), ahead: 0 });
        }
        let mut twins = Vec::new();
        if troubled && rng.chance(25) {
            for _ in 0..=rng.below(2) {
                let after = rng.pick(&[None, Some(0), Some(5), Some(150), Some(3000), Some(20_000)]);
                twins.push(Twin { delivery: 1 + rng.below(5), after });
            }
        }
        let faults = if troubled { rng.weighted(&[(2, 1), (3, 3), (3, 6), (2, 12)]) } else { 0 };
        let mut faults: Vec<_> = (0..faults).map(|_| Fault::random(rng, operation)).collect();
        if troubled && rng.chance(6) {
            faults.extend(Fault::hold_and_wait(rng, operation));
        }
        let edit = (troubled && rng.chance(12)).then(|| {
            // The breaker's limits stay: whichever rules a plan was made by, they are those.
            let edited = Rules { max_actions: rules.max_actions, ..Rules::random(rng) };
            Edit { delivery: 2 + rng.below(3), rules: edited }
        });
        Self {
            seed,
            rules,
            edit,
            policy: rng.pick(&[Policy::Shipped, Policy::ForcesFirmware]),
            jobs,
            executions,
            unreadable,
            page: rng.weighted(&[(3, 1), (3, 2), (2, 3), (2, 4), (2, 250)]),
            queued_delete: rng.pick(&[QueuedDelete::Refused, QueuedDelete::Deletes]),
            deletion: rng.pick(&[0, 0, 5, 86_400]),
            sweeps,
            rate: rng.pick(&["0.5", "1", "5", "10", "20", "50"]),
            slice_seconds: rng.pick(&[6, 8, 12, 20, 60, 120, 900]),
            skew,
            latency: rng.pick(&[0, 20, 150, 400]),
            twins,
            faults,
        }
    }

    /// What is due by one edition of the rules.
    pub(crate) fn oracle(&self, edition: Edition) -> Oracle<'_> {
        let rules = match (edition, &self.edit) {
            (Edition::Edited, Some(edit)) => &edit.rules,
            (Edition::First | Edition::Edited, _) => &self.rules,
        };
        Oracle { rules, unreadable: &self.unreadable, policy: self.policy }
    }

    /// Builds the world as it is at the account's present time.
    pub(crate) fn build(&self, iot: &FakeIot) {
        let now = iot.now();
        iot.page_size(self.page);
        iot.treat_queued_delete(self.queued_delete);
        iot.delete_jobs_in(SignedDuration::from_secs(self.deletion));
        for job in &self.jobs {
            iot.job(job.id, now - SignedDuration::from_secs(job.created_ago), job.setup.clone());
        }
        for execution in &self.executions {
            iot.place(execution.build(now));
        }
        for (job, thing) in &self.unreadable {
            iot.unknown_status(job, thing);
        }
    }
}

impl Case {
    /// The cases that are smaller by one thing.
    pub(crate) fn without(&self) -> impl Iterator<Item = Self> + use<> {
        let mut smaller = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut case = self.clone();
            change(&mut case);
            smaller.push(case);
        };
        for nth in 0..self.faults.len() {
            with(&|case| _ = case.faults.remove(nth));
        }
        for nth in 0..self.twins.len() {
            with(&|case| _ = case.twins.remove(nth));
        }
        if self.edit.is_some() {
            with(&|case| case.edit = None);
        }
        if self.sweeps.len() > 1 {
            with(&|case| case.sweeps.truncate(1));
        }
        if self.skew > 0 {
            with(&|case| case.skew = 0);
        }
        for nth in 0..self.rules.rules.len() {
            with(&|case| _ = case.rules.rules.remove(nth));
        }
        for nth in 0..self.executions.len() {
            with(&|case| _ = case.executions.remove(nth));
        }
        for nth in 0..self.jobs.len() {
            let id = self.jobs[nth].id;
            if !self.executions.iter().any(|execution| execution.job == id) {
                with(&|case| _ = case.jobs.remove(nth));
            }
        }
        for nth in 0..self.faults.len() {
            if self.faults[nth].times > 1 {
                with(&|case| case.faults[nth].times -= 1);
            }
        }
        smaller.into_iter()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- rules\n{}--- world, policy: {:?}", self.rules.text(), self.policy)?;
        for JobSpec { id, created_ago, setup } in &self.jobs {
            writeln!(f, "job {id}, made {created_ago} s ago: {setup:?}")?;
        }
        for ExecutionSpec { job, thing, number, status, queued_ago, updated_ago, retry_attempt } in
            &self.executions
        {
            writeln!(
                f,
                "{job}/{thing}/{number} {status}: queued {queued_ago} ms ago, changed {updated_ago} ms ago, \
                 retry {retry_attempt:?}"
            )?;
        }
        writeln!(
            f,
            "unreadable: {:?}; page size {}; deleting QUEUED: {:?}; deleting a job takes {} s",
            self.unreadable, self.page, self.queued_delete, self.deletion
        )?;
        writeln!(f, "--- sweeps")?;
        for sweep in &self.sweeps {
            writeln!(f, "{sweep:?}")?;
        }
        writeln!(
            f,
            "{} calls/s, slices of {} s, clocks off by at most {} s, calls of at most {} ms",
            self.rate, self.slice_seconds, self.skew, self.latency
        )?;
        writeln!(f, "--- what goes wrong")?;
        if let Some(edit) = &self.edit {
            writeln!(f, "rules from delivery {} on:\n{}", edit.delivery, edit.rules.text())?;
        }
        for twin in &self.twins {
            writeln!(f, "{twin:?}")?;
        }
        for fault in &self.faults {
            writeln!(f, "{fault:?}")?;
        }
        Ok(())
    }
}
