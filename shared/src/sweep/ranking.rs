//! Which successes are not among the last of their things: many at once, in a few bytes each.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::successes::{Behind, Success, mark};
use crate::digest;
use crate::ids::JobId;

/// Successes, of whose names only those of rules and jobs are kept, once each.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    rules: Names<String>,
    jobs: Names<JobId>,
    successes: Vec<Ranked>,
}

#[derive(Debug)]
struct Ranked {
    /// What it is ranked with: those of one rule on one thing, told by a digest of its name.
    group: (usize, [u64; 2]),
    /// In seconds, as every report of AWS has them.
    last_updated_at: i64,
    queued_at: i64,
    execution_number: i64,
    job: usize,
    segment: u64,
    /// By which a plan knows it again.
    mark: u64,
    due: bool,
}

impl Ranking {
    /// Takes a success in.
    pub(super) fn add(&mut self, success: Success) {
        let Success { rule, thing_name, newness, segment, due } = success;
        self.successes.push(Ranked {
            group: (self.rules.number(rule), digest::numbers_of([thing_name.as_str()])),
            last_updated_at: newness.last_updated_at.as_second(),
            queued_at: newness.queued_at.as_second(),
            execution_number: newness.execution_number.get(),
            segment,
            mark: mark(&thing_name, newness.identity()),
            due,
            job: self.jobs.number(newness.job_id),
        });
    }

    /// What is due and not among the last of its thing under its rule, by segment.
    pub(super) fn behind(self, keeps: impl Fn(&str) -> Option<NonZeroU32>) -> BTreeMap<u64, Vec<Behind>> {
        let Self { rules, jobs, mut successes } = self;
        // The newest first; what has been met with twice is one.
        successes.sort_unstable_by(|a, b| {
            let newer = b.newness().cmp(&a.newness()).then_with(|| jobs.order(b.job, a.job));
            a.group.cmp(&b.group).then(newer).then(a.segment.cmp(&b.segment))
        });
        successes.dedup_by(|later, first| {
            let same = later.group == first.group && later.of_thing() == first.of_thing();
            first.due &= !same || later.due;
            same
        });
        let mut due: BTreeMap<u64, BTreeMap<(usize, usize), Vec<u64>>> = BTreeMap::new();
        for of_thing in successes.chunk_by(|a, b| a.group == b.group) {
            let last = of_thing.first().and_then(|success| keeps(rules.name(success.group.0)?));
            // Without a number nothing is known to be behind.
            let last = last.map_or(usize::MAX, |last| last.get() as usize);
            for success in of_thing.iter().skip(last).filter(|success| success.due) {
                let of_job = due.entry(success.segment).or_default().entry((success.job, success.group.0));
                of_job.or_default().push(success.mark);
            }
        }
        let told = |((job, rule), marks)| {
            Some(Behind { job_id: jobs.name(job)?.clone(), rule: rules.name(rule)?.clone(), marks })
        };
        due.into_iter()
            .map(|(segment, jobs)| (segment, jobs.into_iter().filter_map(told).collect()))
            .collect()
    }
}

impl Ranked {
    /// As far as it can be told without the names of jobs.
    const fn newness(&self) -> (i64, i64, i64) {
        (self.last_updated_at, self.queued_at, self.execution_number)
    }

    /// Which of its thing's.
    const fn of_thing(&self) -> (usize, i64, i64) {
        (self.job, self.execution_number, self.queued_at)
    }
}

/// Names by numbers.
#[derive(Debug)]
struct Names<N> {
    numbers: BTreeMap<Arc<N>, usize>,
    names: Vec<Arc<N>>,
}

impl<N> Default for Names<N> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), names: Vec::new() }
    }
}

impl<N: Ord> Names<N> {
    fn number(&mut self, name: N) -> usize {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let (name, number) = (Arc::new(name), self.names.len());
        self.numbers.insert(Arc::clone(&name), number);
        self.names.push(name);
        number
    }

    fn name(&self, number: usize) -> Option<&N> {
        self.names.get(number).map(AsRef::as_ref)
    }

    fn order(&self, one: usize, other: usize) -> Ordering {
        self.name(one).cmp(&self.name(other))
    }
}
