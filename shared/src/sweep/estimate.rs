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
