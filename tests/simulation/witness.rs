//! Looks at every cancel and delete at the moment of its effect: was it due, was nobody holding it, and was its
//! record in the archive by then?

use std::collections::BTreeSet;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use shared::archive::Record;
use shared::execution::{JobStatus, Status};
use shared::operation::Operation;
use tests::{FakeBucket, FakeIot, JobSetup, Mutation};

use crate::case::Case;
use crate::notes::{Notes, Shared};
use crate::oracle::{self, Key};

/// How long what was read may be believed, as the architecture has it.
const BELIEVED: SignedDuration = SignedDuration::from_secs(60);

/// What an archive record is recognised by: job, thing, number and the second of queueing.
type Archived = (String, String, i64, i64);

pub(crate) struct Witness {
    case: Case,
    iot: FakeIot,
    bucket: FakeBucket,
    notes: Shared,
    /// The archive's objects that have been read, and what was in them.
    objects: BTreeSet<String>,
    archived: BTreeSet<Archived>,
}

impl Witness {
    pub(crate) fn new(case: &Case, iot: FakeIot, bucket: &FakeBucket, notes: Shared) -> Self {
        let bucket = bucket.unscripted();
        Self { case: case.clone(), iot, bucket, notes, objects: BTreeSet::new(), archived: BTreeSet::new() }
    }

    pub(crate) fn see(&mut self, mutation: &Mutation) {
        let victim = &mutation.execution;
        let key = oracle::key(victim);
        let is_archived = self.is_archived(&key);
        let mut setup = self.iot.job_setup(&victim.job).unwrap_or_default();
        let mut notes = self.notes.lock();
        notes.trace(|| format!("    hit: {key:?} {}", victim.row.status));
        let Some(invocation) = notes.invocations.get(&mutation.by).cloned() else {
            return notes.wrong(format!("{mutation:?} came from nobody"));
        };
        let Some(sweep) = notes.sweeps.get_mut(invocation.sweep) else { return };
        sweep.done += 1;
        let sweep = sweep.clone();
        if !notes.hit.insert(key.clone()) {
            notes.wrong(format!("{key:?} was hit twice"));
        }
        if sweep.dry_run {
            notes.wrong(format!("a dry run hit {key:?}"));
        }
        let whole = mutation.operation == "DeleteJob";
        if whole {
            // AWS deletes no other.
            setup.status = Some(JobStatus::Completed);
        }
        if whole && sweep.operation == Operation::DeleteExpired {
            let job = victim.job.as_str();
            let kept = self.bucket.keys("jobs").now_or_never().unwrap_or_default();
            if !kept.iter().any(|key| key.contains(&format!("/{job}-"))) {
                notes.wrong(format!("{job} was deleted and is not in the archive itself"));
            }
            let oracle = self.case.oracle(invocation.edition);
            let believable = believable(&notes, job, &setup, invocation.sent_at);
            if !believable.iter().any(|setup| oracle.retires((job, setup))) {
                notes.wrong(format!("{job} was deleted whole, and its rule does not say so"));
            }
        } else if mutation.operation != sweep.operation.action().as_str() {
            notes.wrong(format!("a sweep that does {} has sent {}", sweep.operation, mutation.operation));
        }
        // A delete names a number only and a cancel the thing's current execution: one that has come into being
        // since the page was listed may be hit in place of the one that was. It is a known limit.
        let age = invocation.sent_at.duration_since(key.3);
        if notes.born.contains(&key) && age <= BELIEVED {
            notes.hit_another = true;
            return notes.count("other: another execution was hit in place of the one that was meant");
        }
        let status = victim.row.status;
        let fits = match sweep.operation {
            Operation::DeleteExpired => status.is_terminal(),
            Operation::CancelStale => !status.is_terminal(),
        };
        if !fits {
            notes.wrong(format!("{key:?} was {status} when it was hit"));
        }
        if !is_archived {
            notes.wrong(format!("{key:?} was not in the archive when it was hit"));
        }
        let oracle = self.case.oracle(invocation.edition);
        let mut row = victim.row.clone();
        // What still waits has waited, whatever its device has told of it since it was listed.
        if row.status == Status::Queued && invocation.sent_at.duration_since(row.last_updated_at) <= BELIEVED
        {
            row.last_updated_at = row.queued_at;
        }
        let due = |tags: &JobSetup| {
            oracle.due(sweep.operation, sweep.now, (victim.job.as_str(), tags), &row).is_some()
        };
        if sweep.operation == Operation::DeleteExpired && !notes.world_changed {
            let mut all = self.iot.executions();
            all.push(victim.clone());
            if oracle.keeps_last(victim, &self.iot).is_some() {
                notes.count("last successes: one behind them went");
            }
            if oracle.is_among_last(victim, &all, &self.iot) {
                notes.wrong(format!("{key:?} was among the last successes of its thing when it was hit"));
            }
        }
        let believable = believable(&notes, victim.job.as_str(), &setup, invocation.sent_at);
        if !believable.iter().any(due) {
            notes.wrong(format!("{key:?} was not due, or was held, when it was hit: {believable:?}"));
        }
    }

    /// Whether the archive has had its record before.
    fn is_archived(&mut self, (job, thing, number, queued_at): &Key) -> bool {
        let archived = (job.clone(), thing.clone(), *number, queued_at.as_second());
        if self.archived.contains(&archived) {
            return true;
        }
        // A bucket in memory answers at once.
        for object in self.bucket.keys("archive").now_or_never().unwrap_or_default() {
            if self.objects.contains(&object) {
                continue;
            }
            let records = shared::archive::read::<Record>(&self.bucket, &object).now_or_never();
            for record in records.and_then(Result::ok).unwrap_or_default() {
                let identity = record.identity();
                let (job, thing) = (record.job.job.job_id.to_string(), record.thing_name().to_string());
                let (number, queued_at) = (identity.execution_number.get(), identity.queued_at.as_second());
                self.archived.insert((job, thing, number, queued_at));
            }
            self.objects.insert(object);
        }
        self.archived.contains(&archived)
    }
}

/// The job as it has been at any time within the minute before the call was sent.
fn believable(notes: &Notes, job: &str, now: &JobSetup, sent_at: Timestamp) -> Vec<JobSetup> {
    let mut believable = vec![now.clone()];
    let Some(history) = notes.tags.get(job) else { return believable };
    for (nth, (_, tags)) in history.iter().enumerate() {
        // Until the next change.
        let until = history.get(nth + 1).map(|(since, _)| *since);
        if until.is_some_and(|until| sent_at.duration_since(until) <= BELIEVED) {
            believable.push(JobSetup { tags: tags.clone(), ..now.clone() });
        }
    }
    believable
}
