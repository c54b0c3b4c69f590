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

#[derive(Debug, Default)]
struct OfJob {
    there: BTreeMap<Place, FakeExecution>,
    by_thing: BTreeSet<(ThingName, Place)>,
    latest_first: BTreeSet<(Reverse<Timestamp>, Place)>,
}

impl Executions {
    /// Adds one behind all the others.
    pub(crate) fn push(&mut self, execution: FakeExecution) {
        self.put(self.next, execution);
        self.next += 1;
    }

    fn put(&mut self, place: Place, execution: FakeExecution) {
        let of_job = self.jobs.entry(execution.job.clone()).or_default();
        of_job.by_thing.insert((execution.row.thing_name.clone(), place));
        of_job.latest_first.insert((Reverse(execution.row.last_updated_at), place));
        of_job.there.insert(place, execution);
    }

    /// Takes one away.
    pub(crate) fn remove(&mut self, job: &JobId, place: Place) -> Option<FakeExecution> {
        let of_job = self.jobs.get_mut(job)?;
        let removed = of_job.there.remove(&place)?;
        of_job.by_thing.remove(&(removed.row.thing_name.clone(), place));
        of_job.latest_first.remove(&(Reverse(removed.row.last_updated_at), place));
        Some(removed)
    }

    /// Takes away all of a job's.
    pub(crate) fn remove_job(&mut self, job: &JobId) -> Vec<FakeExecution> {
        self.jobs.remove(job).map(|of_job| of_job.there.into_values().collect()).unwrap_or_default()
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
        let found = self.jobs.get(job).into_iter();
        found.flat_map(|of_job| of_job.latest_first.iter().filter_map(|(_, place)| of_job.there.get(place)))
    }

    /// A thing's of a job.
    pub(crate) fn of(&self, job: &JobId, thing: &ThingName) -> impl Iterator<Item = (Place, &FakeExecution)> {
        let found = self.jobs.get(job).into_iter();
        let whole = (thing.clone(), Place::MIN)..=(thing.clone(), Place::MAX);
        found.flat_map(move |of_job| {
            let places = of_job.by_thing.range(whole.clone()).map(|(_, place)| *place);
            places.filter_map(|place| Some((place, of_job.there.get(&place)?)))
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
    fn places(&self) -> impl Iterator<Item = (Place, &FakeExecution)> {
        self.there.iter().map(|(place, execution)| (*place, execution))
    }
}
