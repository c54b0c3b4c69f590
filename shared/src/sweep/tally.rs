//! Counting verdicts: everything that was seen is in the sums, with its reason.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::act::Share;
use super::ages::{Age, Ages, AgesOfRules, Forecast};
use super::counts::Counts;
use super::samples::Samples;
use crate::access::Refusal;
use crate::execution::ExecutionRow;
use crate::ids::JobId;
use crate::retention::KeepReason;

/// Executions of one status under one rule, with one verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictKind {
    /// The rule that matched, and the executions' status.
    #[serde(flatten)]
    pub share: Share,
    /// `due`, or why they are kept. `refused` names the policies that refuse what a rule has due.
    pub verdict: String,
}

/// How many executions had the same rule, status and verdict.
pub type Verdicts = Counts<VerdictKind>;

/// Verdicts, counted. Its size depends on rules and policies, not on the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    verdicts: Verdicts,
    unreadable: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    ages: Ages,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    rules: AgesOfRules,
    #[serde(skip_serializing_if = "Forecast::is_empty", default)]
    forecast: Forecast,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    oldest_due: Option<Timestamp>,
    #[serde(skip_serializing_if = "Samples::is_empty", default)]
    samples: Samples,
}

/// An execution as it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The rule that matched.
    pub rule: &'a str,
    /// Its job.
    pub job: &'a JobId,
    /// What a listing shows of it.
    pub row: &'a ExecutionRow,
    /// Its age.
    pub age: Age,
}

impl<'a> Line<'a> {
    /// Of a row that `rule` has judged at `now`.
    pub fn of(rule: &'a str, job: &'a JobId, row: &'a ExecutionRow, now: Timestamp) -> Self {
        Self { rule, job, row, age: Age::of(row, now) }
    }
}

const DUE: &str = "due";

impl Tally {
    /// Counts one that is due, since when its rule says.
    pub fn due(&mut self, line: Line<'_>, since: Timestamp) {
        self.count(line, DUE);
        self.oldest_due = earlier(self.oldest_due, Some(since));
    }

    /// Counts one that its rule keeps. What may be among the last is no sample: it may fall due when everything has
    /// been seen.
    pub fn kept(&mut self, line: Line<'_>, reason: KeepReason) {
        self.count(line, reason.as_str());
    }

    /// How many are kept because they may be among the last.
    pub(super) fn among_last(&self) -> u64 {
        let among = |kind: &VerdictKind| kind.verdict == KeepReason::AmongLast.as_str();
        self.verdicts.iter().filter(|(kind, _)| among(kind)).map(|(_, count)| count).sum()
    }

    /// Has so many of those due that were kept because they may be among the last, or as many as there
    /// are. Tells how many.
    pub(super) fn fall_due(&mut self, share: &Share, count: u64) -> u64 {
        let kept = VerdictKind { share: share.clone(), verdict: KeepReason::AmongLast.as_str().to_owned() };
        let count = self.verdicts.take(&kept, count);
        self.verdicts.add(VerdictKind { verdict: DUE.to_owned(), ..kept }, count);
        count
    }

    /// Notes that one which is kept comes due at `until`.
    pub fn comes_due(&mut self, now: Timestamp, until: Timestamp) {
        self.forecast.count(now, until);
    }

    /// Counts one that is due and that the access policy does not give up.
    pub fn refused(&mut self, line: Line<'_>, refusal: &Refusal) {
        self.count(line, &format!("refused: {}", refusal.reason_key()));
    }

    fn count(&mut self, Line { rule, job, row, age }: Line<'_>, verdict: &str) {
        let share = Share { rule: rule.to_owned(), status: row.status };
        self.verdicts.add(VerdictKind { share, verdict: verdict.to_owned() }, 1);
        *self.ages.entry(row.status).or_default().entry(age).or_default() += 1;
        match self.rules.get_mut(rule) {
            Some(ages) => *ages.entry(age).or_default() += 1,
            None => drop(self.rules.insert(rule.to_owned(), [(age, 1)].into())),
        }
        if verdict != KeepReason::AmongLast.as_str() {
            self.samples.note((rule, verdict), job, row);
        }
    }

    /// Counts one that cannot be judged, and therefore stays.
    pub fn unreadable(&mut self, problem: impl Into<String>) {
        *self.unreadable.entry(problem.into()).or_default() += 1;
    }

    /// Takes another tally in.
    pub fn merge(&mut self, other: Self) {
        self.verdicts.merge(other.verdicts);
        for (problem, count) in other.unreadable {
            *self.unreadable.entry(problem).or_default() += count;
        }
        for (status, ages) in other.ages {
            for (age, count) in ages {
                *self.ages.entry(status).or_default().entry(age).or_default() += count;
            }
        }
        for (rule, ages) in other.rules {
            let ours = self.rules.entry(rule).or_default();
            ages.into_iter().for_each(|(age, count)| *ours.entry(age).or_default() += count);
        }
        self.forecast.merge(other.forecast);
        self.samples.merge(other.samples);
        self.oldest_due = earlier(self.oldest_due, other.oldest_due);
    }

    /// Since when that of it has been due which has been for longest. What fell due because it is not among
    /// the last is left out.
    pub fn oldest_due(&self) -> Option<Timestamp> {
        self.oldest_due
    }

    /// What was judged, by status and age.
    pub fn ages(&self) -> &Ages {
        &self.ages
    }

    /// What was judged, by rule and age.
    pub fn ages_of_rules(&self) -> &AgesOfRules {
        &self.rules
    }

    /// The oldest executions of each rule and verdict.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// When what is not old enough yet comes due.
    pub fn forecast(&self) -> &Forecast {
        &self.forecast
    }

    /// What is due.
    pub fn due_shares(&self) -> Counts<Share> {
        let mut shares = Counts::default();
        for (kind, count) in self.verdicts.iter().filter(|(kind, _)| kind.verdict == DUE) {
            shares.add(kind.share.clone(), count);
        }
        shares
    }

    /// How many are due.
    pub fn total_due(&self) -> u64 {
        self.verdicts.iter().filter(|(kind, _)| kind.verdict == DUE).map(|(_, count)| count).sum()
    }

    /// How many were seen.
    pub fn total(&self) -> u64 {
        self.verdicts.total() + self.unreadable.values().sum::<u64>()
    }

    /// What could not be judged, by reason.
    pub fn unreadable_rows(&self) -> &BTreeMap<String, u64> {
        &self.unreadable
    }

    /// The counts, due ones and kept ones apart.
    pub fn verdicts(&self) -> (Verdicts, Verdicts) {
        let (mut due, mut kept) = (Verdicts::default(), Verdicts::default());
        for (kind, count) in self.verdicts.iter() {
            let side = if kind.verdict == DUE { &mut due } else { &mut kept };
            side.add(kind.clone(), count);
        }
        (due, kept)
    }
}

/// The earlier one of those that there are.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Status;
    use crate::execution::scenes::row;

    fn job() -> JobId {
        JobId::parse("job").unwrap()
    }

    #[test]
    fn a_tally_reads_back_and_adds_up() {
        let (failed, queued, job) = (row(Status::Failed, 0, 0), row(Status::Queued, 0, 0), job());
        let line = |rule, status| {
            let row = if status == Status::Failed { &failed } else { &queued };
            Line { rule, job: &job, row, age: Age::Weeks }
        };
        let now = Timestamp::UNIX_EPOCH;
        let mut tally = Tally::default();
        tally.due(line("a", Status::Failed), now);
        tally.due(line("a", Status::Failed), now);
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
        let of_rules = |rule| read.ages_of_rules()[rule].values().sum::<u64>();
        assert_eq!((of_rules("a"), of_rules("b")), (6, 2));
        assert_eq!(read.ages().values().flat_map(|ages| ages.values()).sum::<u64>(), 8);
        assert_eq!(read.forecast().days(now)[1].due, 2);
    }

    #[test]
    fn what_is_due_and_what_is_kept_are_told_apart_and_nothing_is_in_both() {
        let (failed, job) = (row(Status::Failed, 0, 0), job());
        let line = |rule| Line { rule, job: &job, row: &failed, age: Age::Weeks };
        let since = |second| Timestamp::from_second(second).unwrap();
        let mut tally = Tally::default();
        assert_eq!(tally.oldest_due(), None);
        tally.due(line("a"), since(7));
        tally.due(line("a"), since(5));
        tally.due(line("b"), since(6));
        assert_eq!(tally.oldest_due(), Some(since(5)));
        tally.kept(line("a"), KeepReason::RetriesLeft);
        tally.refused(line("b"), &Refusal::NoPermit);
        tally.unreadable("unknown status `PAUSED`");
        tally.unreadable("unknown status `PAUSED`");
        let share = |rule: &str| Share { rule: rule.to_owned(), status: Status::Failed };
        let mut due = Counts::default();
        due.add(share("a"), 2);
        due.add(share("b"), 1);
        assert_eq!(tally.due_shares(), due);
        let (due, kept) = tally.verdicts();
        let told = |verdicts: &Verdicts| {
            verdicts
                .iter()
                .map(|(kind, n)| format!("{n} {} {}", kind.share.rule, kind.verdict))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&due), ["2 a due", "1 b due"]);
        let refused = format!("1 b refused: {}", Refusal::NoPermit.reason_key());
        assert_eq!(told(&kept), ["1 a retriesLeft", &refused]);
        assert_eq!(tally.unreadable_rows(), &[("unknown status `PAUSED`".to_owned(), 2)].into());
        let mut twice = Tally::default();
        twice.merge(tally.clone());
        assert_eq!(twice.oldest_due(), Some(since(5)));
        twice.merge(tally);
        assert_eq!(twice.unreadable_rows(), &[("unknown status `PAUSED`".to_owned(), 4)].into());
    }
}
