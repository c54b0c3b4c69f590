//! A few executions of each kind that a report counts, so that whoever reads it can look one up: the oldest ones,
//! whichever way they were met with, and no more of them however large a fleet is.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::execution::{ExecutionRow, Status};
use crate::ids::{ExecutionNumber, JobId, ThingName};

/// How many of each kind.
const OF_EACH: usize = 3;

/// How many kinds. Of more, those are told whose rules come first by their names.
const MOST_KINDS: usize = 33;

/// An execution, and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Its rule.
    pub rule: String,
    /// The verdict on it, or what came of it.
    pub told: String,
    /// Since when its age counts: since it was last heard of, or since it was queued if it waits.
    pub since: Timestamp,
    /// Its job.
    pub job_id: JobId,
    /// Its thing.
    pub thing_name: ThingName,
    /// Its number within (job, thing).
    pub execution_number: ExecutionNumber,
    /// Its status when it was judged.
    pub status: Status,
}

/// Samples in their order: by rule, by what was told of them, the oldest first. At most 99.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(Vec<Sample>);

impl Samples {
    /// Takes an execution in, if it is one of the oldest of its kind.
    pub(super) fn note(&mut self, (rule, told): (&str, &str), job: &JobId, row: &ExecutionRow) {
        let since = row.counts_since();
        let place = self.0.partition_point(|sample| {
            let kind = sample.rule.as_str().cmp(rule).then_with(|| sample.told.as_str().cmp(told));
            let age = || sample.since.cmp(&since).then_with(|| sample.order(job, row));
            kind.then_with(age) == Ordering::Less
        });
        let is_kind = |sample: &&Sample| sample.rule == rule && sample.told == told;
        let older = self.0.get(..place).unwrap_or_default().iter().rev().take_while(is_kind).count();
        if older >= OF_EACH || self.0.get(place).is_some_and(|sample| sample.is(rule, told, job, row)) {
            return;
        }
        let sample = Sample {
            rule: rule.to_owned(),
            told: told.to_owned(),
            since,
            job_id: job.clone(),
            thing_name: row.thing_name.clone(),
            execution_number: row.execution_number,
            status: row.status,
        };
        self.0.insert(place, sample);
        let of_kind = self.0.get(place..).unwrap_or_default().iter().take_while(is_kind).count() + older;
        if of_kind > OF_EACH {
            self.0.remove(place + (OF_EACH - older));
        }
        self.keep_first_kinds();
    }

    /// Takes an execution in of which something else may have been told before.
    pub(super) fn tell(&mut self, (rule, told): (&str, &str), job: &JobId, row: &ExecutionRow) {
        self.0.retain(|sample| sample.order(job, row) != Ordering::Equal);
        self.note((rule, told), job, row);
    }

    /// Takes others in.
    pub(super) fn merge(&mut self, others: Self) {
        if self.0.is_empty() {
            *self = others;
            return;
        }
        for sample in others.0 {
            let row = ExecutionRow {
                thing_name: sample.thing_name,
                execution_number: sample.execution_number,
                status: sample.status,
                queued_at: sample.since,
                started_at: None,
                last_updated_at: sample.since,
                retry_attempt: None,
            };
            self.note((&sample.rule, &sample.told), &sample.job_id, &row);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The samples in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Sample> {
        self.0.iter()
    }

    fn keep_first_kinds(&mut self) {
        if self.0.len() <= MOST_KINDS {
            return;
        }
        let kinds = self.0.chunk_by(|one, next| one.rule == next.rule && one.told == next.told);
        let kept = kinds.take(MOST_KINDS).map(<[Sample]>::len).sum();
        self.0.truncate(kept);
    }
}

impl Sample {
    fn order(&self, job: &JobId, row: &ExecutionRow) -> Ordering {
        let named = self.job_id.cmp(job).then_with(|| self.thing_name.cmp(&row.thing_name));
        named.then_with(|| self.execution_number.cmp(&row.execution_number))
    }

    fn is(&self, rule: &str, told: &str, job: &JobId, row: &ExecutionRow) -> bool {
        let named = self.rule == rule && self.told == told && self.since == row.counts_since();
        named && self.order(job, row) == Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::execution::scenes::row;

    type Told = (u8, u8, u8, i64);

    fn note(samples: &mut Samples, (rule, told, thing, since): Told) {
        let row = ExecutionRow {
            thing_name: ThingName::parse(&format!("thing-{thing}")).unwrap(),
            ..row(Status::Failed, since, since)
        };
        samples.note((&format!("r{rule}"), &format!("t{told}")), &JobId::parse("job").unwrap(), &row);
    }

    fn of(told: &[Told]) -> Samples {
        let mut samples = Samples::default();
        told.iter().for_each(|told| note(&mut samples, *told));
        samples
    }

    #[test]
    fn the_three_oldest_of_each_kind_are_kept_in_their_order() {
        let samples =
            of(&[(2, 1, 9, 5), (1, 1, 1, 40), (1, 1, 2, 10), (1, 1, 3, 30), (1, 1, 4, 20), (1, 0, 5, 90)]);
        let told: Vec<_> = samples.iter().map(|s| (&*s.rule, &*s.told, s.since.as_second())).collect();
        let expected =
            [("r1", "t0", 90), ("r1", "t1", 10), ("r1", "t1", 20), ("r1", "t1", 30), ("r2", "t1", 5)];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_told_last_of_an_execution_is_what_its_sample_says() {
        let mut samples = Samples::default();
        let job = JobId::parse("job").unwrap();
        samples.tell(("r", "notConfirmed"), &job, &row(Status::Failed, 1, 1));
        samples.tell(("r", "deleted"), &job, &row(Status::Failed, 1, 1));
        assert_eq!(samples.iter().map(|sample| sample.told.as_str()).collect::<Vec<_>>(), ["deleted"]);
    }

    proptest! {
        /// What is sampled depends on what there is, not on the slices and the order in which it was met with.
        #[test]
        fn samples_are_the_same_in_every_order_and_few(
            told in proptest::collection::vec((0..20_u8, 0..4_u8, 0..40_u8, 0..5_i64), 0..200),
            split in 0..200_usize,
        ) {
            let whole = of(&told);
            prop_assert!(whole.0.len() <= OF_EACH * MOST_KINDS);
            let mut backwards = told.clone();
            backwards.reverse();
            prop_assert_eq!(&of(&backwards), &whole);
            let (first, second) = told.split_at(split.min(told.len()));
            let mut merged = of(first);
            merged.merge(of(second));
            prop_assert_eq!(&merged, &whole);
            let text = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(serde_json::from_str::<Samples>(&text).unwrap(), whole);
        }
    }
}
