//! What carrying a plan out would cost: calls by operation, and time at the configured rate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::act::calls_of_a_row;
use super::apply::BELIEVED;
use super::pace::{CallRate, IotOperation};
use crate::access::Needs;
use crate::operation::Operation;

/// What carrying a plan out would cost, if nothing goes wrong and nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// At most so many calls, by operation.
    pub calls: BTreeMap<IotOperation, u64>,
    /// How long they take at the configured rate, without what lies between slices.
    pub seconds: u64,
}

/// The jobs with something due, as far as they cost calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Work {
    /// How many.
    jobs: u64,
    /// Pages of those that have one.
    short: u64,
    /// Pages of those that have more.
    long: u64,
    /// Those of them that are deleted whole.
    #[serde(default)]
    whole: u64,
    /// Pages that are listed for these: once for a job of one, twice for a longer one.
    #[serde(default)]
    whole_pages: u64,
    /// Their executions.
    #[serde(default)]
    whole_rows: u64,
}

impl Work {
    /// Counts a job with something due; of one that is deleted whole, how many executions it has.
    pub(super) fn add(&mut self, pages: u64, whole: Option<u64>) {
        self.jobs += 1;
        if let Some(rows) = whole {
            self.whole += 1;
            self.whole_pages += if pages > 1 { 2 * pages } else { 1 };
            self.whole_rows += rows;
        } else if pages > 1 {
            self.long += pages;
        } else {
            self.short += 1;
        }
    }
}

/// Deleting shifts what lies behind, so that a job of several pages is passed over again and again,
/// each pass being shorter: all of them together list a page about three times.
const LISTED: u64 = 3;

impl Estimate {
    /// `full` of what is `due` are described for the archive; `behind` have their things' successes listed.
    pub(super) fn of(
        work: Work,
        (due, full, behind): (u64, u64, u64),
        operation: Operation,
        needs: Needs,
        rate: CallRate,
    ) -> Self {
        use IotOperation::{
            CancelJobExecution, DeleteJob, DeleteJobExecution, DescribeJob, DescribeJobExecution,
            DescribeThing, GetJobDocument, ListJobExecutionsForJob, ListJobExecutionsForThing,
            ListTagsForResource, ListThingGroupsForThing,
        };
        // Paced apart, calls of several operations that alternate take as long as the most frequent.
        let (mutation, descriptions) = match operation {
            Operation::DeleteExpired => (DeleteJobExecution, 0),
            // One for the version, and one to look what came of it.
            Operation::CancelStale => (CancelJobExecution, 2),
        };
        let a_row = u64::from(calls_of_a_row(operation));
        let asked = if needs.any() { due } else { full }.max(behind);
        let planned = due;
        let due = due.saturating_sub(work.whole_rows);
        let acting = rate.seconds(due * a_row + asked);
        // A page is believed for a minute; the facts that its rows cost take their share of it.
        let acts = if asked > 0 { a_row as f64 / (a_row + 1) as f64 } else { 1.0 };
        let believed = BELIEVED.as_secs_f64() * acts;
        let again = (rate.seconds(due * a_row) / believed) as u64;
        // A job's facts are read again with the first page that is listed after half a minute.
        let facts = work.jobs + work.whole + again + (acting / (BELIEVED.as_secs_f64() / 2.0)) as u64;
        // A page that grows too old may leave a row or two whose facts have been read for nothing.
        let rows = planned + 2 * again;
        let described = if needs.description { rows } else { full + (2 * again).min(full) };
        let lists = work.short + work.long * LISTED + work.whole_pages + again;
        let counted = [
            (ListJobExecutionsForJob, lists),
            (DescribeJob, facts),
            (ListTagsForResource, facts),
            (DescribeJobExecution, due * descriptions + described),
            (ListJobExecutionsForThing, behind + (2 * again).min(behind)),
            (ListThingGroupsForThing, rows * u64::from(needs.thing_groups)),
            (DescribeThing, rows * u64::from(needs.thing_attributes)),
            (mutation, due),
            (GetJobDocument, work.whole),
            (DeleteJob, work.whole),
        ];
        // A page is listed about once for each time that it is acted on.
        let pages = work.short + work.long + work.whole_pages + again;
        let seconds = acting.max(rate.seconds(pages.max(facts))).ceil() as u64;
        let calls = if planned == 0 {
            BTreeMap::new()
        } else {
            counted.into_iter().filter(|(_, n)| *n > 0).collect()
        };
        Self { seconds: if planned == 0 { 0 } else { seconds }, calls }
    }
}

#[cfg(test)]
mod tests {
    use IotOperation::{
        CancelJobExecution, DeleteJob, DeleteJobExecution, DescribeJob, DescribeJobExecution, DescribeThing,
        GetJobDocument, ListJobExecutionsForJob, ListTagsForResource, ListThingGroupsForThing,
    };
    use Operation::{CancelStale, DeleteExpired};

    use super::*;

    const NONE: Needs =
        Needs { description: false, retry_attempt: false, thing_groups: false, thing_attributes: false };

    /// Jobs of so many pages, with so many executions where they are deleted whole.
    fn work(jobs: &[(u64, Option<u64>)]) -> Work {
        let mut work = Work::default();
        jobs.iter().for_each(|(pages, whole)| work.add(*pages, *whole));
        work
    }

    /// The estimate at ten calls a second, in the order of the operations.
    #[track_caller]
    fn check(
        work: Work,
        planned: (u64, u64),
        operation: Operation,
        needs: Needs,
        seconds: u64,
        calls: &[(IotOperation, u64)],
    ) {
        let rate = CallRate::parse("10").unwrap();
        let (due, full) = planned;
        let estimate = Estimate::of(work, (due, full, 0), operation, needs, rate);
        assert_eq!(estimate, Estimate { calls: calls.iter().copied().collect(), seconds });
    }

    #[test]
    fn a_job_counts_by_its_pages_and_by_whether_it_is_deleted_whole() {
        let singly = Work { jobs: 3, short: 1, long: 5, ..Work::default() };
        assert_eq!(work(&[(1, None), (2, None), (3, None)]), singly);
        let whole = Work { jobs: 3, whole: 3, whole_pages: 11, whole_rows: 907, ..Work::default() };
        assert_eq!(work(&[(1, Some(7)), (2, Some(300)), (3, Some(600))]), whole);
    }

    #[test]
    fn short_jobs_cost_a_page_their_facts_and_a_call_for_each_row() {
        let calls = [
            (ListJobExecutionsForJob, 2),
            (DescribeJob, 2),
            (ListTagsForResource, 2),
            (DeleteJobExecution, 101),
        ];
        check(work(&[(1, None), (1, None)]), (101, 0), DeleteExpired, NONE, 11, &calls);
    }

    /// Ten minutes of deletions: a page is listed again each minute, and the job's facts each half of one.
    #[test]
    fn a_long_job_is_passed_over_several_times_and_what_grows_old_is_read_again() {
        let calls = [
            (ListJobExecutionsForJob, 24 * 3 + 10),
            (DescribeJob, 1 + 10 + 20),
            (ListTagsForResource, 1 + 10 + 20),
            (DeleteJobExecution, 6000),
        ];
        check(work(&[(24, None)]), (6000, 0), DeleteExpired, NONE, 600, &calls);
    }

    /// Describing takes half of the minute for which a page is believed.
    #[test]
    fn what_is_kept_in_full_is_described_and_a_few_in_vain() {
        let calls = |described| {
            [
                (ListJobExecutionsForJob, 12 * 3 + 10),
                (DescribeJob, 1 + 10 + 14),
                (ListTagsForResource, 1 + 10 + 14),
                (DescribeJobExecution, described),
                (DeleteJobExecution, 3000),
            ]
        };
        check(work(&[(12, None)]), (3000, 1200), DeleteExpired, NONE, 420, &calls(1220));
        let few = [(DescribeJob, 1 + 10 + 10), (ListTagsForResource, 1 + 10 + 10)];
        let mut expected: BTreeMap<_, _> = calls(10).into();
        expected.extend(few);
        let expected: Vec<_> = expected.into_iter().collect();
        check(work(&[(12, None)]), (3000, 5), DeleteExpired, NONE, 301, &expected);
    }

    #[test]
    fn each_fact_that_the_policies_ask_for_is_a_call_for_each_row() {
        let about = |needs, more: &[(IotOperation, u64)]| {
            let mut calls = vec![
                (ListJobExecutionsForJob, 12 * 3 + 10),
                (DescribeJob, 1 + 10 + 20),
                (ListTagsForResource, 1 + 10 + 20),
                (DeleteJobExecution, 3000),
            ];
            calls.extend(more);
            check(work(&[(12, None)]), (3000, 0), DeleteExpired, needs, 600, &calls);
        };
        about(Needs { description: true, ..NONE }, &[(DescribeJobExecution, 3020)]);
        about(Needs { thing_groups: true, ..NONE }, &[(ListThingGroupsForThing, 3020)]);
        about(Needs { thing_attributes: true, ..NONE }, &[(DescribeThing, 3020)]);
    }

    #[test]
    fn a_cancellation_is_described_before_and_looked_at_after_it() {
        let calls = [
            (ListJobExecutionsForJob, 4 * 3 + 3),
            (DescribeJob, 1 + 3 + 6),
            (ListTagsForResource, 1 + 3 + 6),
            (DescribeJobExecution, 2 * 900),
            (CancelJobExecution, 900),
        ];
        check(work(&[(4, None)]), (900, 0), CancelStale, NONE, 180, &calls);
        // With one more for its facts, a page is acted on for forty seconds of its minute.
        let calls = [
            (ListJobExecutionsForJob, 4 * 3 + 4),
            (DescribeJob, 1 + 4 + 9),
            (ListTagsForResource, 1 + 4 + 9),
            (DescribeJobExecution, 2 * 900 + 900 + 8),
            (CancelJobExecution, 900),
        ];
        check(work(&[(4, None)]), (900, 900), CancelStale, NONE, 270, &calls);
    }

    #[test]
    fn a_job_that_is_deleted_whole_costs_one_deletion_and_its_document() {
        let calls = [
            (ListJobExecutionsForJob, 1 + 6),
            (DescribeJob, 3),
            (ListTagsForResource, 3),
            (DeleteJobExecution, 100),
            (GetJobDocument, 1),
            (DeleteJob, 1),
        ];
        check(work(&[(1, None), (3, Some(600))]), (700, 0), DeleteExpired, NONE, 10, &calls);
        // Where nothing else is due, listing takes the time, or reading the jobs' facts.
        let told =
            |work, due| Estimate::of(work, (due, 0, 0), DeleteExpired, NONE, CallRate::parse("10").unwrap());
        assert_eq!(told(work(&[(50, Some(12_000))]), 12_000).seconds, 10);
        assert_eq!(told(work(&[(1, Some(1)); 100]), 100).seconds, 20);
    }

    #[test]
    fn pages_take_their_time_where_they_are_more_than_what_is_due_on_them() {
        let told =
            |work, due| Estimate::of(work, (due, 0, 0), DeleteExpired, NONE, CallRate::parse("10").unwrap());
        assert_eq!(told(work(&[(70, None), (1, None), (10, Some(5))]), 10).seconds, 10);
    }

    #[test]
    fn what_goes_behind_the_last_ones_has_its_thing_looked_at() {
        let estimate = |pages, due, behind| {
            let rate = CallRate::parse("10").unwrap();
            Estimate::of(work(&[(pages, None)]), (due, 0, behind), DeleteExpired, NONE, rate)
        };
        let looks = |pages, due, behind| {
            let calls = estimate(pages, due, behind).calls;
            calls.get(&IotOperation::ListJobExecutionsForThing).copied()
        };
        assert_eq!((looks(1, 200, 0), looks(1, 200, 200)), (None, Some(200)));
        assert_eq!((estimate(1, 200, 0).seconds, estimate(1, 200, 200).seconds), (20, 40));
        // Where pages grow too old meanwhile, a few look in vain.
        assert_eq!((looks(12, 3000, 1200), looks(12, 3000, 5)), (Some(1220), Some(10)));
    }

    #[test]
    fn nothing_due_costs_nothing() {
        check(work(&[(3, None)]), (0, 0), DeleteExpired, NONE, 0, &[]);
    }
}
