//! Head-of-line blockers: which execution holds up how many behind it on its thing.
//!
//! A device takes its executions one at a time, in the order of their queueing, whatever their jobs,
//! and nothing times a QUEUED one out. The scan goes job by job and cannot see that. It remembers the
//! few things on which something has been stale for longest, and each of them is looked at once behind it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::act::Act;
use super::cursor::Phase;
use super::pace::IotOperation;
use super::scan::known;
use super::session::{Session, Stop};
use super::slice::Worker;
use super::state::Sweep;
use crate::execution::{ExecutionOnThing, ExecutionRow, Identity, JobFacts, JobSummary, Status};
use crate::ids::{ExecutionNumber, JobId, ThingName};
use crate::listing::{NextPage, PagesSeen, REPEATED};
use crate::operation::Operation;
use crate::ports::{ListedExecution, Page, ReadJobs, SliceQueue};
use crate::retention::Verdict;

/// How many things are looked at: one or two calls each.
const MOST_THINGS: usize = 25;

/// An execution that holds others up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// The thing.
    pub thing_name: ThingName,
    /// The job of what holds the others up.
    pub job_id: JobId,
    /// Its number within (job, thing).
    pub execution_number: ExecutionNumber,
    /// Whether its device has taken it up.
    pub status: Status,
    /// Since when: when its device took it up, or when it was queued if it waits itself.
    pub since: Timestamp,
    /// When it was last heard of.
    pub last_updated_at: Timestamp,
    /// How many wait behind it, of whichever job.
    pub behind: u64,
    /// Whether there are more, on further pages that were not read. What waits longest may be there, too.
    pub behind_is_at_least: bool,
}

/// A thing that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotLookedAt {
    /// The thing.
    pub thing_name: ThingName,
    /// Why.
    pub problem: String,
}

/// The things to look at, and what was found there. Its size does not depend on the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blockers {
    /// Longest first. INVARIANT: each thing once, at most [`MOST_THINGS`].
    stale: Vec<StaleThing>,
    /// In the order in which they were found.
    found: Vec<Blocker>,
    not_looked_at: Vec<NotLookedAt>,
}

/// A thing with an execution that is past its rule's limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StaleThing {
    /// Since when the longest of them waits or runs.
    since: Timestamp,
    thing_name: ThingName,
}

impl Blockers {
    /// Notes an execution that is past its rule's limit. Whatever the order of them, and however often
    /// one of them is noted, the same things are left.
    pub(super) fn note_stale(&mut self, row: &ExecutionRow) {
        let stale = StaleThing { since: since(row), thing_name: row.thing_name.clone() };
        match self.stale.iter_mut().find(|known| known.thing_name == stale.thing_name) {
            Some(known) => known.since = known.since.min(stale.since),
            None => self.stale.push(stale),
        }
        self.stale.sort_unstable();
        self.stale.truncate(MOST_THINGS);
    }

    /// What follows a scan.
    pub(super) fn next_phase(&self) -> Phase {
        if self.stale.is_empty() { Phase::Checking } else { Phase::LookingAtThings { next: 0 } }
    }

    /// What holds up most first.
    pub fn found(&self) -> Vec<Blocker> {
        let mut found = self.found.clone();
        found.sort_by(|a, b| b.behind.cmp(&a.behind).then(a.since.cmp(&b.since)));
        found
    }

    /// What could not be looked at.
    pub fn not_looked_at(&self) -> &[NotLookedAt] {
        &self.not_looked_at
    }

    fn thing(&self, nth: usize) -> Option<ThingName> {
        self.stale.get(nth).map(|stale| stale.thing_name.clone())
    }
}

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Remembers what of a page is past its rule's limit, whatever the access policy says of it.
    pub(super) fn note_stale(
        &self,
        sweep: &mut Sweep,
        facts: Option<&Result<JobFacts, String>>,
        (job, rows): (&JobSummary, &[ListedExecution]),
    ) {
        let known = known(facts, job);
        match A::OPERATION {
            Operation::DeleteExpired => {}
            Operation::CancelStale => {
                let now = sweep.now;
                let is_stale = |row: &&ExecutionRow| {
                    matches!(self.rules.judge(A::OPERATION, now, &known, row), Ok(Verdict::Due(_)))
                };
                rows.iter().flatten().filter(is_stale).for_each(|row| sweep.blockers.note_stale(row));
            }
        }
    }

    /// Looks at the things on which something is stale, from the `next` of them on.
    pub(super) async fn look_at_things(
        &self,
        session: &mut Session<'_>,
        mut next: usize,
    ) -> Result<(), Stop> {
        let first = next;
        while let Some(thing) = session.sweep.blockers.thing(next) {
            let mut out_of_time = false;
            let looked = match self.head_of(session, &thing).await {
                Ok(looked) => looked,
                // A slice that is too short for one thing would begin it for ever.
                Err(Stop::OutOfTime) if next == first => {
                    out_of_time = true;
                    Err("a whole slice was too short for it".to_owned())
                }
                Err(Stop::OutOfTime) => return Err(Stop::OutOfTime),
                // Who is blocked is worth telling, and not worth failing for.
                Err(Stop::Failed(problem)) => Err(problem),
                Err(Stop::Error(error)) => Err(error.to_string()),
            };
            let blockers = &mut session.sweep.blockers;
            match looked {
                Ok(blocker) => blockers.found.extend(blocker),
                Err(problem) => {
                    warn!(event = "thing_not_looked_at", thing_name = %thing, problem);
                    blockers.not_looked_at.push(NotLookedAt { thing_name: thing, problem });
                }
            }
            next += 1;
            session.sweep.phase = Phase::LookingAtThings { next };
            if out_of_time {
                return Err(Stop::OutOfTime);
            }
            session.save_now_and_then().await?;
        }
        session.sweep.phase = Phase::Checking;
        Ok(session.save().await?)
    }

    /// What is at the head of a thing's queue, if something waits behind it. `Err` inside: it cannot be
    /// known.
    async fn head_of(
        &self,
        session: &mut Session<'_>,
        thing: &ThingName,
    ) -> Result<Result<Option<Blocker>, String>, Stop> {
        // First what waits: what is taken up between the two calls is then in both, and not in none.
        let waiting = match self.on_thing(session, thing, Status::Queued).await? {
            Ok(waiting) if waiting.items.is_empty() => return Ok(Ok(None)),
            Ok(waiting) => waiting,
            Err(problem) => return Ok(Err(problem)),
        };
        let running = match self.on_thing(session, thing, Status::InProgress).await? {
            Ok(running) => running.items,
            Err(problem) => return Ok(Err(problem)),
        };
        Ok(Ok(head(running, waiting)))
    }

    /// Lists what has a status on a thing. A row that cannot be read leaves open who is behind whom.
    async fn on_thing(
        &self,
        session: &mut Session<'_>,
        thing: &ThingName,
        status: Status,
    ) -> Result<Result<Page<ExecutionOnThing>, String>, Stop> {
        let (mut token, mut listing) = (None, PagesSeen::default());
        loop {
            let read = || self.iot.list_on_thing(thing, status, token.as_deref());
            let listed = session.read(IotOperation::ListJobExecutionsForThing, read).await?;
            let Page { items, next_token } = match listed {
                Ok(page) => page,
                Err(lack) => return Ok(Err(lack.problem().to_owned())),
            };
            // One that is empty says nothing where there are more.
            if items.is_empty() && next_token.is_some() {
                match listing.turn(Vec::new(), next_token) {
                    NextPage::At(next) => token = Some(next),
                    NextPage::End | NextPage::Repeated => return Ok(Err(REPEATED.to_owned())),
                }
                continue;
            }
            let items = items.into_iter().collect::<Result<_, _>>();
            return Ok(items.map(|items| Page { items, next_token }).map_err(|error| error.to_string()));
        }
    }
}

/// What holds up how many: what runs for longest, or else what waits for longest.
fn head(running: Vec<ExecutionOnThing>, waiting: Page<ExecutionOnThing>) -> Option<Blocker> {
    let taken_up: Vec<_> = running.iter().map(name).collect();
    let queue = waiting.items.into_iter().filter(|found| !taken_up.contains(&name(found)));
    let queue: Vec<_> = queue.collect();
    let longest = |executions: &[ExecutionOnThing]| {
        let order =
            |found: &&ExecutionOnThing| (since(&found.row), found.job_id.clone(), found.row.execution_number);
        executions.iter().min_by_key(order).cloned()
    };
    let (ExecutionOnThing { job_id, row }, behind) = match longest(&running) {
        Some(head) => (head, queue.len()),
        None => (longest(&queue)?, queue.len() - 1),
    };
    (behind > 0).then(|| Blocker {
        job_id,
        execution_number: row.execution_number,
        status: row.status,
        since: since(&row),
        last_updated_at: row.last_updated_at,
        thing_name: row.thing_name,
        behind: behind as u64,
        behind_is_at_least: waiting.next_token.is_some(),
    })
}

/// Since when it is at the head: what waits was never taken up.
fn since(row: &ExecutionRow) -> Timestamp {
    row.started_at.unwrap_or(row.queued_at)
}

fn name(found: &ExecutionOnThing) -> (JobId, Identity) {
    (found.job_id.clone(), found.row.identity())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::execution::scenes::{at, row};

    fn found(job: &str, status: Status, queued: i64, started: Option<i64>) -> ExecutionOnThing {
        let row = ExecutionRow { started_at: started.map(at), ..row(status, queued, queued) };
        ExecutionOnThing { job_id: JobId::parse(job).unwrap(), row }
    }

    fn waits(job: &str, queued: i64) -> ExecutionOnThing {
        found(job, Status::Queued, queued, None)
    }

    fn runs(job: &str, queued: i64, started: i64) -> ExecutionOnThing {
        found(job, Status::InProgress, queued, Some(started))
    }

    /// Which job holds up how many, and whether there are more.
    fn check(
        running: Vec<ExecutionOnThing>,
        waiting: Vec<ExecutionOnThing>,
        expected: Option<(&str, u64, i64)>,
    ) {
        for more in [false, true] {
            let page = Page { items: waiting.clone(), next_token: more.then(|| "more".to_owned()) };
            let told = head(running.clone(), page);
            let told = told.map(|b| (b.job_id.to_string(), b.behind, b.since, b.behind_is_at_least));
            let expected = expected.map(|(job, behind, since)| (job.to_owned(), behind, at(since), more));
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_runs_for_longest_holds_up_everything_that_waits() {
        check(vec![runs("b", 1, 50), runs("a", 2, 60)], vec![waits("c", 3)], Some(("b", 1, 50)));
        check(vec![runs("a", 9, 70)], vec![waits("c", 3), waits("d", 4)], Some(("a", 2, 70)));
    }

    #[test]
    fn where_nothing_runs_what_waits_for_longest_holds_up_the_others() {
        check(vec![], vec![waits("c", 8), waits("a", 7), waits("b", 9)], Some(("a", 2, 7)));
        check(vec![], vec![waits("b", 7), waits("a", 7)], Some(("a", 1, 7)));
    }

    #[test]
    fn what_nobody_waits_behind_is_no_blocker() {
        check(vec![], vec![waits("a", 7)], None);
        check(vec![runs("a", 1, 2)], vec![], None);
        check(vec![], vec![], None);
    }

    #[test]
    fn what_is_taken_up_while_it_is_looked_at_does_not_wait_behind_itself() {
        check(vec![runs("a", 7, 9)], vec![waits("a", 7), waits("b", 8)], Some(("a", 1, 9)));
        check(vec![runs("a", 7, 9)], vec![waits("a", 7)], None);
    }

    #[test]
    fn what_holds_up_most_is_told_first() {
        let mut blockers = Blockers::default();
        for behind in [1, 3, 2] {
            let waiting = (0..=behind).map(|queued| waits("a", 10 * behind + queued)).collect();
            blockers.found.extend(head(vec![], Page { items: waiting, next_token: None }));
        }
        let told: Vec<_> = blockers.found().iter().map(|blocker| blocker.behind).collect();
        assert_eq!(told, [3, 2, 1]);
    }

    proptest! {
        /// Whatever the order in which a scan meets with them, and although it may meet with some again.
        #[test]
        fn the_things_that_are_stale_for_longest_are_left(
            mut seen in proptest::collection::vec((0..60_u32, 0..100_i64), 0..200),
            again in 0..200_usize,
        ) {
            let rows = |(thing, queued): &(u32, i64)| ExecutionRow {
                thing_name: ThingName::parse(&format!("t-{thing:02}")).unwrap(),
                ..row(Status::Queued, *queued, 0)
            };
            seen.extend_from_within(again.min(seen.len())..);
            let mut blockers = Blockers::default();
            seen.iter().map(rows).for_each(|row| blockers.note_stale(&row));
            let mut longest = std::collections::BTreeMap::new();
            for (thing, queued) in &seen {
                let since = longest.entry(*thing).or_insert(*queued);
                *since = (*since).min(*queued);
            }
            let mut expected: Vec<_> = longest.into_iter().map(|(thing, since)| (since, thing)).collect();
            expected.sort_unstable();
            expected.truncate(MOST_THINGS);
            let things = blockers.stale.iter().map(|stale| (stale.since, stale.thing_name.to_string()));
            let expected = expected.into_iter().map(|(since, thing)| (at(since), format!("t-{thing:02}")));
            prop_assert_eq!(things.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }
}
