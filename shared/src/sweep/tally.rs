//! Counting verdicts: everything that was seen is in the sums, with its reason.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ages::{Age, Ages, Forecast};
use crate::access::Refusal;
use crate::execution::{ExecutionRow, Status};
use crate::retention::KeepReason;

/// How many executions had the same rule, status and verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TallyRow {
    /// The rule that matched.
    pub rule: String,
    /// The executions' status.
    pub status: Status,
    /// `due`, or why they are kept. `refused` names the policies that refuse what a rule has due.
    pub verdict: String,
    /// How many.
    pub count: u64,
}

/// Verdicts, counted. Its size depends on rules and policies, not on the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    #[serde(with = "as_rows")]
    verdicts: BTreeMap<Key, u64>,
    unreadable: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    ages: Ages,
    #[serde(skip_serializing_if = "Forecast::is_empty", default)]
    forecast: Forecast,
}

/// An execution as it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The rule that matched.
    pub rule: &'a str,
    /// Its status.
    pub status: Status,
    /// Its age.
    pub age: Age,
}

impl<'a> Line<'a> {
    /// Of a row that `rule` has judged at `now`.
    pub fn of(rule: &'a str, row: &ExecutionRow, now: Timestamp) -> Self {
        Self { rule, status: row.status, age: Age::of(row, now) }
    }
}

type Key = (String, Status, String);

const DUE: &str = "due";

impl Tally {
    /// Counts one that is due.
    pub fn due(&mut self, line: Line<'_>) {
        self.count(line, DUE);
    }

    /// Counts one that its rule keeps.
    pub fn kept(&mut self, line: Line<'_>, reason: KeepReason) {
        self.count(line, reason.as_str());
    }

    /// Notes that one which is kept comes due at `until`.
    pub fn comes_due(&mut self, now: Timestamp, until: Timestamp) {
        self.forecast.count(now, until);
    }

    /// Counts one that is due and that the access policy does not give up.
    pub fn refused(&mut self, line: Line<'_>, refusal: &Refusal) {
        self.count(line, &format!("refused: {}", refusal.reason_key()));
    }

    fn count(&mut self, Line { rule, status, age }: Line<'_>, verdict: &str) {
        *self.verdicts.entry((rule.to_owned(), status, verdict.to_owned())).or_default() += 1;
        *self.ages.entry(status).or_default().entry(age).or_default() += 1;
    }

    /// Counts one that cannot be judged, and therefore stays.
    pub fn unreadable(&mut self, problem: impl Into<String>) {
        *self.unreadable.entry(problem.into()).or_default() += 1;
    }

    /// Takes another tally in.
    pub fn merge(&mut self, other: Self) {
        for (key, count) in other.verdicts {
            *self.verdicts.entry(key).or_default() += count;
        }
        for (problem, count) in other.unreadable {
            *self.unreadable.entry(problem).or_default() += count;
        }
        for (status, ages) in other.ages {
            for (age, count) in ages {
                *self.ages.entry(status).or_default().entry(age).or_default() += count;
            }
        }
        self.forecast.merge(other.forecast);
    }

    /// What was judged, by status and age.
    pub fn ages(&self) -> &Ages {
        &self.ages
    }

    /// When what is not old enough yet comes due.
    pub fn forecast(&self) -> &Forecast {
        &self.forecast
    }

    /// How many are due.
    pub fn total_due(&self) -> u64 {
        self.verdicts.iter().filter(|((_, _, verdict), _)| verdict == DUE).map(|(_, count)| count).sum()
    }

    /// How many were seen.
    pub fn total(&self) -> u64 {
        self.verdicts.values().chain(self.unreadable.values()).sum()
    }

    /// What could not be judged, by reason.
    pub fn unreadable_rows(&self) -> &BTreeMap<String, u64> {
        &self.unreadable
    }

    /// The counts, due ones and kept ones apart.
    pub fn rows(&self) -> (Vec<TallyRow>, Vec<TallyRow>) {
        as_rows::rows(&self.verdicts).partition(|row| row.verdict == DUE)
    }
}

/// A map with a compound key, as rows: JSON has only texts for keys.
mod as_rows {
    use super::{BTreeMap, Deserialize, Deserializer, Key, Serializer, TallyRow};

    pub(super) fn rows(verdicts: &BTreeMap<Key, u64>) -> impl Iterator<Item = TallyRow> {
        verdicts.iter().map(|((rule, status, verdict), count)| TallyRow {
            rule: rule.clone(),
            status: *status,
            verdict: verdict.clone(),
            count: *count,
        })
    }

    pub(super) fn serialize<S: Serializer>(
        verdicts: &BTreeMap<Key, u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(rows(verdicts))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Key, u64>, D::Error> {
        let rows = Vec::<TallyRow>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|row| ((row.rule, row.status, row.verdict), row.count)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_reads_back_and_adds_up() {
        let line = |rule, status| Line { rule, status, age: Age::Weeks };
        let now = Timestamp::UNIX_EPOCH;
        let mut tally = Tally::default();
        tally.due(line("a", Status::Failed));
        tally.due(line("a", Status::Failed));
        tally.kept(line("b", Status::Queued), KeepReason::Active);
        tally.comes_due(now, now + jiff::SignedDuration::from_hours(47));
        tally.refused(line("a", Status::Failed), &Refusal::NoPermit);
        tally.unreadable("unknown status `PAUSED`");
        let text = serde_json::to_string(&tally).unwrap();
        let mut read: Tally = serde_json::from_str(&text).unwrap();
        assert_eq!(read, tally);
        assert_eq!((read.total_due(), read.total()), (2, 5));
        read.merge(tally);
        assert_eq!((read.total_due(), read.total()), (4, 10));
        assert_eq!(read.ages().values().flat_map(|ages| ages.values()).sum::<u64>(), 8);
        assert_eq!(read.forecast().days(now)[1].due, 2);
    }
}
