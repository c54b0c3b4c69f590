//! The executions of an account in the order in which they came, found by their job, thing and age: a million of
//! them are served as quickly as ten.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::ids::{JobId, ThingName};

use crate::iot::FakeExecution;

/// Where an execution came in the order of all.
pub(crate) type Place = u64;

/// Every execution of an account.
#[derive(Debug, Default)]
pub(crate) struct Executions {
    jobs: BTreeMap<JobId, OfJob>,
    next: Place,
}

/// Executions lie as they are listed: a page is behind all those that come before it, which are many.
#[derive(Debug, Default)]
struct OfJob {
    latest_first: BTreeMap<(Updated, Place), FakeExecution>,
    there: BTreeMap<Place, Updated>,
    by_thing: BTreeSet<(ThingName, Place)>,
}

type Updated = Reverse<Timestamp>;

impl Executions {
    /// Adds one behind all the others.
    pub(crate) fn push(&mut self, execution: FakeExecution) {
        self.put(self.next, execution);
        self.next += 1;
    }

    fn put(&mut self, place: Place, execution: FakeExecution) {
        let of_job = self.jobs.entry(execution.job.clone()).or_default();
        let updated = Reverse(execution.row.last_updated_at);
        of_job.by_thing.insert((execution.row.thing_name.clone(), place));
        of_job.there.insert(place, updated);
        of_job.latest_first.insert((updated, place), execution);
    }

    /// Takes one away.
    pub(crate) fn remove(&mut self, job: &JobId, place: Place) -> Option<FakeExecution> {
        let of_job = self.jobs.get_mut(job)?;
        let updated = of_job.there.remove(&place)?;
        let removed = of_job.latest_first.remove(&(updated, place))?;
        of_job.by_thing.remove(&(removed.row.thing_name.clone(), place));
        Some(removed)
    }

    /// Takes away all of a job's.
    pub(crate) fn remove_job(&mut self, job: &JobId) -> Vec<FakeExecution> {
        self.jobs.remove(job).map(|of_job| of_job.into_values().collect()).unwrap_or_default()
    }

    /// Changes one where it is.
    pub(crate) fn change(&mut self, job: &JobId, place: Place, change: impl FnOnce(&mut FakeExecution)) {
        if let Some(mut execution) = self.remove(job, place) {
            change(&mut execution);
            self.put(place, execution);
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(Place, &FakeExecution)> {
        let mut all: Vec<_> = self.jobs.values().flat_map(OfJob::places).collect();
        all.sort_by_key(|(place, _)| *place);
        all
    }

    /// A job's.
    pub(crate) fn of_job(&self, job: &JobId) -> impl Iterator<Item = (Place, &FakeExecution)> {
        self.jobs.get(job).into_iter().flat_map(OfJob::places)
    }

    /// A job's, the most recently updated first.
    pub(crate) fn latest_first(&self, job: &JobId) -> impl Iterator<Item = &FakeExecution> {
        self.jobs.get(job).into_iter().flat_map(|of_job| of_job.latest_first.values())
    }

    /// A thing's of a job.
    pub(crate) fn of(&self, job: &JobId, thing: &ThingName) -> impl Iterator<Item = (Place, &FakeExecution)> {
        let found = self.jobs.get(job).into_iter();
        let whole = (thing.clone(), Place::MIN)..=(thing.clone(), Place::MAX);
        found.flat_map(move |of_job| {
            let places = of_job.by_thing.range(whole.clone()).map(|(_, place)| *place);
            places.filter_map(|place| Some((place, of_job.get(place)?)))
        })
    }

    /// A thing's of every job.
    pub(crate) fn on_thing(&self, thing: &ThingName) -> Vec<(Place, &FakeExecution)> {
        let mut found: Vec<_> = self.jobs.keys().flat_map(|job| self.of(job, thing)).collect();
        found.sort_by_key(|(place, _)| *place);
        found
    }
}

impl OfJob {
    fn get(&self, place: Place) -> Option<&FakeExecution> {
        self.latest_first.get(&(*self.there.get(&place)?, place))
    }

    fn places(&self) -> impl Iterator<Item = (Place, &FakeExecution)> {
        self.there.keys().filter_map(|place| Some((*place, self.get(*place)?)))
    }

    fn into_values(mut self) -> impl Iterator<Item = FakeExecution> {
        let places = std::mem::take(&mut self.there).into_iter();
        places.filter_map(move |(place, updated)| self.latest_first.remove(&(updated, place)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::execution::{ExecutionRow, Status};
    use shared::ids::ExecutionNumber;

    use super::*;

    /// Of few jobs and things, so that they meet.
    fn execution(job: u8, thing: u8, second: i64) -> FakeExecution {
        let at = Timestamp::from_second(second).unwrap();
        FakeExecution {
            job: JobId::parse(&format!("j{job}")).unwrap(),
            row: ExecutionRow {
                thing_name: ThingName::parse(&format!("t{thing}")).unwrap(),
                execution_number: ExecutionNumber::new(1),
                status: Status::Succeeded,
                queued_at: at,
                started_at: None,
                last_updated_at: at,
                retry_attempt: None,
            },
            version: 1,
            force_canceled: false,
            details: BTreeMap::new(),
            seconds_left: None,
        }
    }

    proptest! {
        #[test]
        fn what_is_found_by_job_thing_and_age_is_what_a_look_at_all_of_them_finds(
            steps in prop::collection::vec((0_u8..3, 0_u8..3, 0_u8..4, 1_i64..6), 1..60)
        ) {
            let (mut executions, mut plain) = (Executions::default(), Vec::new());
            for (step, job, thing, second) in steps {
                let of = execution(job, thing, second);
                let first = plain.iter().position(|(_, there): &(Place, FakeExecution)| {
                    there.job == of.job && there.row.thing_name == of.row.thing_name
                });
                match (step, first) {
                    (0, Some(at)) => {
                        let (place, was) = plain.remove(at);
                        prop_assert_eq!(executions.remove(&of.job, place), Some(was));
                    }
                    (1, Some(at)) => {
                        plain[at].1.row.last_updated_at = of.row.last_updated_at;
                        let place = plain[at].0;
                        executions.change(&of.job, place, |there| there.row = plain[at].1.row.clone());
                    }
                    _ => {
                        plain.push((executions.next, of.clone()));
                        executions.push(of);
                    }
                }
            }
            let found: Vec<_> = executions.all().into_iter().map(|(place, there)| (place, there.clone())).collect();
            prop_assert_eq!(&found, &plain);
            for (job, thing) in (0..3).flat_map(|job| (0..4).map(move |thing| (job, thing))) {
                let FakeExecution { job, row: ExecutionRow { thing_name: thing, .. }, .. } = execution(job, thing, 1);
                let whole = |(place, there): &(Place, FakeExecution)| (*place, there.clone());
                let mut of_job: Vec<_> = plain.iter().filter(|(_, there)| there.job == job).map(whole).collect();
                let found: Vec<_> = executions.of_job(&job).map(|(place, there)| (place, there.clone())).collect();
                prop_assert_eq!(&found, &of_job);
                let of: Vec<_> = executions.of(&job, &thing).map(|(place, there)| (place, there.clone())).collect();
                let on_thing = |(_, there): &&(Place, FakeExecution)| there.row.thing_name == thing;
                prop_assert_eq!(&of, &of_job.iter().filter(on_thing).map(whole).collect::<Vec<_>>());
                let everywhere: Vec<_> =
                    executions.on_thing(&thing).into_iter().map(|(place, there)| (place, there.clone())).collect();
                prop_assert_eq!(&everywhere, &plain.iter().filter(on_thing).map(whole).collect::<Vec<_>>());
                // Stable: of the same age, the one that came first.
                of_job.sort_by_key(|(_, there)| Reverse(there.row.last_updated_at));
                let latest: Vec<_> = executions.latest_first(&job).cloned().collect();
                prop_assert_eq!(latest, of_job.into_iter().map(|(_, there)| there).collect::<Vec<_>>());
            }
        }
    }
}
