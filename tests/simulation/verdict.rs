//! What must hold when a case has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::execution::{JobStatus, Status};
use shared::ids::JobId;
use shared::operation::Operation;
use shared::sweep::{self, Outcome, OutcomeKind, Report, Share, Sweep, SweepId, SweepStatus};

use tests::{FakeExecution, JobSetup};

use crate::oracle::{self, Key};
use crate::stage::Stage;

/// The jobs of a world.
pub(crate) type Jobs = BTreeMap<JobId, JobSetup>;

/// The things on which something is stale, each with what truly holds up how many there.
pub(crate) type Blocked = Vec<(Option<(Status, Timestamp, u64)>, String)>;

/// How many executions with such an outcome were, or may have been, hit by the sweep itself.
fn has_hit(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Deleted
        | Outcome::DeletedByInterruptedSlice
        | Outcome::DeletedWithJob
        | Outcome::Canceled
        | Outcome::CanceledByInterruptedSlice
        | Outcome::CanceledNotSeenYet
        | Outcome::CanceledNotCompared
        | Outcome::Mismatch => true,
        Outcome::AlreadyGone
        | Outcome::NoLongerEligible
        | Outcome::Replaced
        | Outcome::AmongLast
        | Outcome::Refused
        | Outcome::JobUnreadable
        | Outcome::FactUnreadable
        | Outcome::NotSeenAgain
        | Outcome::RefusedByAws
        | Outcome::Unreadable
        | Outcome::NotConfirmed => false,
    }
}

/// Whether nothing was sent for what had such an outcome.
fn left_alone(outcome: Outcome) -> bool {
    match outcome {
        Outcome::AmongLast
        | Outcome::Refused
        | Outcome::JobUnreadable
        | Outcome::FactUnreadable
        | Outcome::NotSeenAgain => true,
        Outcome::Deleted
        | Outcome::DeletedByInterruptedSlice
        | Outcome::DeletedWithJob
        | Outcome::Canceled
        | Outcome::CanceledByInterruptedSlice
        | Outcome::CanceledNotSeenYet
        | Outcome::CanceledNotCompared
        | Outcome::AlreadyGone
        | Outcome::NoLongerEligible
        | Outcome::Replaced
        | Outcome::RefusedByAws
        | Outcome::Unreadable
        | Outcome::NotConfirmed
        | Outcome::Mismatch => false,
    }
}

/// Whether a sweep gives up on what has such an outcome although it stays due: it says so, and the next one goes on.
fn given_up(outcome: Outcome) -> bool {
    match outcome {
        Outcome::JobUnreadable | Outcome::FactUnreadable | Outcome::Unreadable | Outcome::NotConfirmed => {
            true
        }
        Outcome::Deleted
        | Outcome::DeletedByInterruptedSlice
        | Outcome::DeletedWithJob
        | Outcome::Canceled
        | Outcome::CanceledByInterruptedSlice
        | Outcome::CanceledNotSeenYet
        | Outcome::CanceledNotCompared
        | Outcome::AlreadyGone
        | Outcome::NoLongerEligible
        | Outcome::Replaced
        | Outcome::AmongLast
        | Outcome::Refused
        | Outcome::NotSeenAgain
        | Outcome::RefusedByAws
        | Outcome::Mismatch => false,
    }
}

fn sum(outcomes: &BTreeMap<Outcome, u64>, which: impl Fn(Outcome) -> bool) -> u64 {
    outcomes.iter().filter(|(outcome, _)| which(**outcome)).map(|(_, count)| count).sum()
}

impl Stage<'_> {
    pub(crate) async fn read(&self, id: &SweepId) -> Option<Sweep> {
        let sweep = sweep::read(&self.bucket.unscripted(), id).await;
        self.notes.must(sweep.is_ok(), || format!("{id} cannot be read: {sweep:?}"));
        sweep.ok()
    }

    /// What holds for every sweep that has come to rest, whatever has happened.
    pub(crate) async fn judge(&self, nth: usize, id: &SweepId) -> Option<Sweep> {
        let sweep = self.read(id).await?;
        let note = self.sweep_note(nth);
        let must = |holds: bool, what: &str| {
            self.notes.must(holds, || format!("{what}: {note:?} {:?} {sweep:?}", sweep.outcomes()));
        };
        must(sweep.status.is_final(), "a sweep has not ended");
        let outcomes = sweep.outcomes();
        for (outcome, count) in &outcomes {
            if *count > 0 {
                self.notes.count(&format!("outcome: {outcome:?}"));
            }
        }
        self.notes.count(&format!("sweep: {:?}", sweep.status));
        for why in sweep.whole_jobs.singly.keys() {
            self.notes.count(&format!("whole job: {why:?}"));
        }
        must(sweep.now == note.now && sweep.dry_run == note.dry_run, "a sweep is not what was asked for");
        if note.dry_run {
            must(note.sent == 0 && note.done == 0 && sweep.attempts == 0, "a dry run has acted");
            must(outcomes.is_empty() && sweep.archive.records == 0, "a dry run has done something");
        }
        let jobs = &sweep.whole_jobs;
        if sweep.status == SweepStatus::Succeeded && !sweep.dry_run {
            let told = jobs.deleted + jobs.gone + jobs.singly.values().sum::<u64>();
            must(jobs.planned == told, "whole jobs do not add up");
        }
        let planned = sweep.plan.as_ref().map_or(0, |plan| plan.due);
        must(sweep.attempts <= planned, "more attempts than the plan holds");
        let stopped = sweep.status == SweepStatus::StoppedByBreaker;
        let released = sweep.release.is_some();
        must(
            released || stopped || planned <= self.case.rules.max_actions,
            "a plan passed that is too large",
        );
        if stopped {
            must(planned > self.case.rules.max_actions, "the breaker stopped what it should let pass");
            must(note.sent == 0 && sweep.attempts == 0, "a stopped sweep has acted");
        }
        if sweep.status == SweepStatus::Succeeded && !sweep.dry_run {
            must(outcomes.values().sum::<u64>() == planned, "outcomes do not add up to the plan");
        }
        if sweep.status == SweepStatus::Succeeded {
            must(
                sum(&outcomes, |o| !left_alone(o)) == sweep.attempts,
                "attempts are not those of the outcomes",
            );
        }
        let others = {
            let notes = self.notes.lock();
            notes.other_deleters || notes.hit_another
        };
        if self.is_alone() {
            must(note.done <= planned, "more was hit than planned");
            if sweep.status == SweepStatus::Succeeded && !others {
                must(sum(&outcomes, has_hit) == note.done, "what was hit is not what is told");
            }
        }
        self.judge_report(&sweep).await;
        self.judge_blockers(&sweep);
        // A sweep that fails because its role is refused may leave untold what became of its last page.
        let failed = self.notes.lock().counts.contains_key(&format!("sweep: {:?}", SweepStatus::Failed));
        if self.is_alone() && sweep.status == SweepStatus::Succeeded && !others && !failed {
            self.judge_told().await;
        }
        Some(sweep)
    }

    /// Whatever has been hit has a row that tells it, and what was cancelled can be sent again.
    async fn judge_told(&self) {
        let bucket = self.bucket.unscripted();
        let rows = bucket.outcomes("outcomes").await.into_iter();
        let told: BTreeSet<_> = rows
            .map(|row| {
                let (number, queued_at) = (row.identity.execution_number.get(), row.identity.queued_at);
                (row.job_id.to_string(), row.thing_name.to_string(), number, queued_at.as_second())
            })
            .collect();
        let mut again = BTreeSet::new();
        for key in bucket.keys("sweeps").await {
            let Some((_, place)) = key.split_once("/reissue/") else { continue };
            let job = place.split('/').next().unwrap_or_default();
            let targets: Vec<String> = serde_json::from_slice(&bucket.bytes(&key).await).unwrap();
            let thing = |target: &String| target.rsplit('/').next().unwrap_or_default().to_owned();
            again.extend(targets.iter().map(|target| (job.to_owned(), thing(target))));
        }
        let cancels = self.case.sweeps.iter().all(|spec| spec.operation == Operation::CancelStale);
        let hit = self.notes.lock().hit.clone();
        for (job, thing, number, queued_at) in hit {
            let row = (job.clone(), thing.clone(), number, queued_at.as_second());
            self.notes.must(told.contains(&row), || format!("{row:?} was hit, and no row tells it"));
            let listed = !cancels || again.contains(&(job, thing));
            self.notes.must(listed, || format!("{row:?} was cancelled, and is in no list"));
        }
    }

    /// Whether no second invocation can have been at work at any time: where clocks agree, a delivery that
    /// comes twice is held off.
    fn is_alone(&self) -> bool {
        self.case.skew == 0 && self.case.sweeps.len() == 1
    }

    async fn judge_report(&self, sweep: &Sweep) {
        let id = &sweep.sweep_id;
        let report = sweep::report(&self.bucket.unscripted(), id).await;
        let report = report.map_err(|error| error.to_string());
        let report =
            report.and_then(|json| serde_json::from_value::<Report>(json).map_err(|error| error.to_string()));
        let report = match report {
            Ok(report) => report,
            Err(problem) => return self.notes.wrong(format!("{id} has no report: {problem}")),
        };
        let must = |holds: bool, what: &str| {
            self.notes.must(holds, || format!("{what}: {report:?} {sweep:?}"));
        };
        let (due, kept) = (report.plan.total(), report.kept.total());
        let unreadable: u64 = report.unreadable.values().sum();
        must(report.rows_seen == due + kept + unreadable, "a report's rows do not add up");
        must(report.due == due, "a report's due rows are not its plan");
        let jobs = report.jobs;
        if report.status != SweepStatus::Failed {
            let told = jobs.too_young + jobs.never + jobs.unreadable + jobs.scanned + jobs.gone;
            must(jobs.seen == told, "jobs are missing from a report");
        }
        must(report.status == sweep.status, "a report tells another end");
        must(report.attempts == sweep.attempts, "a report tells other attempts");
        must(report.rows_seen == sweep.rows_seen(), "a report tells other rows");
        must(report.results == sweep.results, "a report tells other results");
        must(report.outcomes == sweep.outcomes(), "a report tells other outcomes");
        let cancels = sweep.operation == Operation::CancelStale;
        must(report.blockers == cancels.then(|| sweep.blockers.found()), "a report tells other blockers");
    }

    /// Each thing is told once, and what is told holds somebody up.
    fn judge_blockers(&self, sweep: &Sweep) {
        let must = |holds: bool, what: &str| self.notes.must(holds, || format!("{what}: {sweep:?}"));
        let (found, not_looked_at) = (sweep.blockers.found(), sweep.blockers.not_looked_at());
        let things = found.iter().map(|blocker| &blocker.thing_name);
        let things: Vec<_> = things.chain(not_looked_at.iter().map(|not| &not.thing_name)).collect();
        let each: BTreeSet<_> = things.iter().collect();
        must(each.len() == things.len(), "a thing is told twice");
        must(found.iter().all(|blocker| blocker.behind > 0), "what holds nobody up is told");
        must(found.is_sorted_by(|a, b| a.behind >= b.behind), "what holds up most is not told first");
        let cancels = sweep.sweep_id.operation() == Operation::CancelStale;
        must(cancels || things.is_empty(), "a sweep that deletes has looked who is blocked");
        for (what, times) in
            [("blockers: told", found.len()), ("blockers: not looked at", not_looked_at.len())]
        {
            (0..times).for_each(|_| self.notes.count(what));
        }
    }

    /// In a world at rest, what a sweep tells of blockers is what there is. It is asked before the sweep has acted.
    pub(crate) fn truly_blocked(&self, nth: usize) -> Blocked {
        let stale = self.oracle().stale_things(self.sweep_note(nth).now, &self.iot);
        stale.into_iter().map(|thing| (oracle::blocker(&thing, &self.iot), thing)).collect()
    }

    pub(crate) fn judge_fresh_blockers(&self, blocked: &Blocked, sweep: &Sweep) {
        let must = |holds: bool, what: &str| {
            self.notes.must(holds, || format!("{what}: {blocked:?}, in {sweep:?}"));
        };
        let (found, not_looked_at) = (sweep.blockers.found(), sweep.blockers.not_looked_at());
        let page = self.case.page as u64;
        must(found.len() + not_looked_at.len() <= blocked.len(), "more things are told than are stale");
        for (blocker, thing) in blocked {
            // Who is behind whom is left open where one of them cannot be read.
            if self.case.unreadable.iter().any(|(_, other)| other == thing) {
                continue;
            }
            must(
                !not_looked_at.iter().any(|not| not.thing_name.as_str() == thing),
                "a thing was not looked at",
            );
            let told = found.iter().find(|told| told.thing_name.as_str() == thing);
            let told = told.map(|told| (told.status, told.since, told.behind, told.behind_is_at_least));
            match (*blocker, told) {
                (Some((status, since, behind)), told) if behind < page => {
                    // A page of four shows everything that can run on a thing.
                    let told = told.map(|told| if page < 4 { (told.0, since, told.2, told.3) } else { told });
                    must(told == Some((status, since, behind, false)), "a blocker is not told as it is");
                }
                // A page shows as many as it holds; who waits for longest may be on another.
                (Some((status, _, behind)), Some((told_status, _, told_behind, at_least))) => {
                    must(status == told_status && told_behind <= behind, "a blocker is told for more");
                    must(at_least || told_behind == behind, "a blocker is told for less");
                    self.notes.count("blockers: at least");
                }
                (Some(_), None) => must(page == 1, "a blocker is not told"),
                (None, told) => must(told.is_none(), "what holds nobody up is told"),
            }
        }
    }

    /// A dry run writes nothing but what belongs to itself.
    pub(crate) async fn judge_dry_bucket(&self, sweeps: &[Sweep]) {
        if sweeps.iter().any(|sweep| !sweep.dry_run) {
            return;
        }
        let stopped = sweeps.iter().any(|sweep| sweep.status == SweepStatus::StoppedByBreaker);
        for key in self.bucket.unscripted().keys("").await {
            let own = sweeps.iter().any(|sweep| key.starts_with(&format!("sweeps/{}/", sweep.sweep_id)));
            let plan = stopped && key.starts_with("sweeps/stopped-plans/");
            self.notes.must(own || plan, || format!("a dry run has written {key}"));
        }
    }

    /// In a world that nobody else has changed, everything due goes, but for what a sweep says it has given up on.
    pub(crate) fn judge_undisturbed(&self, before: &BTreeSet<Key>, nth: usize, sweep: &Sweep) {
        let given_up = sum(&sweep.outcomes(), given_up);
        let worked = sweep.status == SweepStatus::Succeeded && !sweep.dry_run;
        let at_work = self.case.sweeps.iter().filter(|spec| !spec.dry_run).count();
        // Where another invocation may delete at the same time, pages shift under this one.
        let one_by_one = self.case.skew == 0 && at_work == 1;
        if self.notes.lock().world_changed || !worked || !one_by_one || sweep.jobs.unreadable > 0 {
            return;
        }
        let note = self.sweep_note(nth);
        let left = self.oracle().all_due(note.operation, note.now, &self.iot);
        let left: Vec<_> = left.keys().filter(|key| before.contains(*key)).collect();
        self.notes.must(left.len() as u64 <= given_up, || {
            format!("{left:?} was due all the time and has stayed: {sweep:?}")
        });
    }

    /// In a world at rest a fresh sweep takes what the oracle has due, and nothing else.
    pub(crate) fn judge_fresh(&self, nth: usize, sweep: &Sweep, (before, jobs): (&[FakeExecution], &Jobs)) {
        let note = self.sweep_note(nth);
        let setup = |execution: &FakeExecution| jobs.get(&execution.job).cloned().unwrap_or_default();
        let rule = |execution: &FakeExecution| {
            let (setup, oracle) = (setup(execution), self.oracle());
            let job = (execution.job.as_str(), &setup);
            if note.operation == Operation::DeleteExpired
                && oracle.is_among_last(execution, before, &self.iot)
            {
                self.notes.count("last successes: one of them stayed");
                return None;
            }
            oracle.due(note.operation, note.now, job, &execution.row).map(ToOwned::to_owned)
        };
        let (due, kept): (Vec<_>, Vec<_>) = before.iter().partition(|execution| rule(execution).is_some());
        let must = |holds: bool, what: &str| {
            self.notes.must(holds, || format!("{what}: due is {due:?}, in {sweep:?}"));
        };
        let mut expected = BTreeMap::new();
        for execution in &due {
            let line = (rule(execution).unwrap_or_default(), execution.row.status);
            *expected.entry(line).or_insert(0) += 1;
        }
        let (planned, _) = sweep.tally.verdicts();
        let planned: BTreeMap<_, _> = planned
            .iter()
            .map(|(kind, count)| ((kind.share.rule.clone(), kind.share.status), count))
            .collect();
        must(planned == expected, "a fresh plan is not what is due");
        let after = self.iot.executions();
        let untouched = |execution: &&FakeExecution| after.contains(execution);
        must(kept.iter().all(untouched), "a fresh sweep has touched what is not due");
        if due.len() as u64 > self.case.rules.max_actions && sweep.release.is_none() {
            must(sweep.status == SweepStatus::StoppedByBreaker, "a plan that is too large was not stopped");
            return must(after == before, "a stopped sweep has changed the world");
        }
        must(sweep.status == SweepStatus::Succeeded, "a fresh sweep has not succeeded");
        let gone = |execution: &&FakeExecution| {
            let found = after.iter().find(|other| oracle::key(other) == oracle::key(execution));
            match (note.operation, found) {
                (Operation::DeleteExpired, found) => found.is_none(),
                (Operation::CancelStale, found) => found.is_some_and(|other| {
                    let ran = execution.row.status == Status::InProgress;
                    other.row.status == Status::Canceled && other.force_canceled == ran
                }),
            }
        };
        must(due.iter().all(gone), "a fresh sweep has left something due");
        // A job that its rule has deleted whole is, if nothing of it stays.
        let whole = |execution: &FakeExecution| {
            let (setup, job) = (setup(execution), &execution.job);
            self.oracle().retires((job.as_str(), &setup))
                && matches!(setup.status, Some(JobStatus::Completed | JobStatus::Canceled))
                && !kept.iter().any(|other| other.job == *job)
        };
        let told: BTreeMap<_, _> = sweep.results.iter().collect();
        let mut expected = BTreeMap::new();
        for execution in &due {
            let outcome = match note.operation {
                Operation::DeleteExpired if whole(execution) => Outcome::DeletedWithJob,
                Operation::DeleteExpired => Outcome::Deleted,
                Operation::CancelStale => Outcome::Canceled,
            };
            let share = Share { rule: rule(execution).unwrap_or_default(), status: execution.row.status };
            *expected.entry(OutcomeKind { share, outcome }).or_insert(0) += 1;
        }
        let expected = expected.iter().map(|(kind, count)| (kind, *count)).collect();
        must(told == expected, "a fresh sweep counts something else than what it did");
    }
}
