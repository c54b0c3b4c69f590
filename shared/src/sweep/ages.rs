//! How old what was seen is, and when what is kept comes due: counts, whatever the size of a fleet.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil, tz};
use serde::{Deserialize, Serialize};

use crate::execution::{ExecutionRow, Status};

/// How many days a forecast covers.
pub const FORECAST_DAYS: usize = 30;

const DAY: i64 = 86_400;

/// How old an execution is, as the rules count it: since it was last heard of, or since it was queued
/// if it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Age {
    /// Its time lies in the future of the sweep.
    #[serde(rename = "future")]
    Future,
    /// Less than a day.
    #[serde(rename = "<1d")]
    UnderADay,
    /// A day and more.
    #[serde(rename = "1-7d")]
    Days,
    /// Seven days and more.
    #[serde(rename = "7-30d")]
    Weeks,
    /// Thirty days and more.
    #[serde(rename = "30-90d")]
    Months,
    /// Ninety days and more.
    #[serde(rename = "90-180d")]
    Quarter,
    /// A hundred and eighty days and more.
    #[serde(rename = "180-365d")]
    HalfAYear,
    /// A year of 365 days and more.
    #[serde(rename = ">=1y")]
    Years,
}

impl Age {
    /// Its age at `now`.
    pub fn of(row: &ExecutionRow, now: Timestamp) -> Self {
        let age = now.duration_since(row.counts_since());
        match age.as_secs() / DAY {
            _ if age < SignedDuration::ZERO => Self::Future,
            ..1 => Self::UnderADay,
            1..7 => Self::Days,
            7..30 => Self::Weeks,
            30..90 => Self::Months,
            90..180 => Self::Quarter,
            180..365 => Self::HalfAYear,
            365.. => Self::Years,
        }
    }
}

/// Executions by status and age.
pub type Ages = BTreeMap<Status, BTreeMap<Age, u64>>;

/// Executions by rule and age.
pub type AgesOfRules = BTreeMap<String, BTreeMap<Age, u64>>;

/// How many of those that are not old enough yet come due on each of the next days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Forecast(Vec<u64>);

/// A day of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastDay {
    /// The date in UTC, whose sweep at the same time of day is the first to find them due.
    pub date: civil::Date,
    /// How many.
    pub due: u64,
}

impl Forecast {
    /// Counts one that comes due at `until`.
    pub fn count(&mut self, now: Timestamp, until: Timestamp) {
        let left = until.duration_since(now);
        let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
        // What comes due exactly a day from now is due for tomorrow's sweep.
        let Ok(nth) = usize::try_from((seconds - 1).div_euclid(DAY)) else { return };
        if nth >= FORECAST_DAYS {
            return;
        }
        if self.0.len() <= nth {
            self.0.resize(nth + 1, 0);
        }
        if let Some(count) = self.0.get_mut(nth) {
            *count += 1;
        }
    }

    /// Whether nothing comes due.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes another forecast of the same days in.
    pub fn merge(&mut self, other: Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// Every day with its date, quiet ones included.
    pub fn days(&self, now: Timestamp) -> Vec<ForecastDay> {
        let today = now.to_zoned(tz::TimeZone::UTC).date();
        let counts = self.0.iter().copied().chain(std::iter::repeat(0));
        let dates = today.series(jiff::Span::new().days(1)).skip(1);
        dates.zip(counts).take(FORECAST_DAYS).map(|(date, due)| ForecastDay { date, due }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::execution::RetryLimits;
    use crate::execution::scenes::{at, row};
    use crate::ids::JobId;
    use crate::operation::Operation;
    use crate::retention::{KnownJob, Retention, Verdict};

    #[test]
    fn an_age_counts_from_the_end_or_from_the_queue_and_changes_on_the_second() {
        let ended = |age| Age::of(&row(Status::Failed, 0, 1000 * DAY - age), at(1000 * DAY));
        for (days, younger, older) in [
            (1, Age::UnderADay, Age::Days),
            (7, Age::Days, Age::Weeks),
            (30, Age::Weeks, Age::Months),
            (90, Age::Months, Age::Quarter),
            (180, Age::Quarter, Age::HalfAYear),
            (365, Age::HalfAYear, Age::Years),
        ] {
            assert_eq!((ended(days * DAY - 1), ended(days * DAY)), (younger, older));
        }
        assert_eq!((ended(0), ended(-1)), (Age::UnderADay, Age::Future));
        assert_eq!(Age::of(&row(Status::Queued, 0, 9 * DAY), at(10 * DAY)), Age::Weeks);
    }

    #[test]
    fn a_forecast_names_the_first_day_whose_sweep_finds_it_due() {
        let now: Timestamp = "2026-02-27T02:00:00Z".parse().unwrap();
        let mut forecast = Forecast::default();
        let days = SignedDuration::from_hours(24);
        for until in [SignedDuration::from_nanos(1), days, days + SignedDuration::from_nanos(1), days * 30] {
            forecast.count(now, now + until);
        }
        forecast.count(now, now + days * 30 + SignedDuration::from_nanos(1));
        let days = forecast.days(now);
        assert_eq!(days.len(), FORECAST_DAYS);
        let told: Vec<_> =
            days.iter().filter(|day| day.due > 0).map(|day| (day.date.to_string(), day.due)).collect();
        let expected = [("2026-02-28", 2), ("2026-03-01", 1), ("2026-03-29", 1)];
        assert_eq!(told, expected.map(|(date, due)| (date.to_owned(), due)));
    }

    #[test]
    fn forecasts_of_several_slices_add_up_whichever_is_the_longer() {
        let now = at(0);
        let of = |days: &[i64]| {
            let mut forecast = Forecast::default();
            days.iter().for_each(|day| forecast.count(now, at(day * DAY)));
            forecast
        };
        for (one, other, together) in [
            (vec![1, 1], vec![1, 3], vec![1, 1, 1, 3]),
            (vec![1, 3], vec![1, 1], vec![1, 1, 1, 3]),
            (vec![], vec![2], vec![2]),
            (vec![2], vec![], vec![2]),
        ] {
            let mut merged = of(&one);
            merged.merge(of(&other));
            assert_eq!(merged, of(&together), "{one:?} {other:?}");
        }
        assert!(of(&[]).is_empty() && !of(&[1]).is_empty());
    }

    proptest! {
        /// Judging again on every day is the plain way to find out.
        #[test]
        fn a_forecast_is_what_judging_on_each_day_finds(
            rows in proptest::collection::vec((proptest::sample::select(Status::ALL.to_vec()), 0..100 * DAY), 0..20),
        ) {
            let rules = Retention::shipped().unwrap();
            let job = JobId::parse("job").unwrap();
            let job = KnownJob { retries: Some(RetryLimits::default()), ..KnownJob::named(&job) };
            let now = 100 * DAY;
            for operation in Operation::ALL {
                let rows = || rows.iter().map(|(status, then)| row(*status, *then, *then));
                let due = |day: i64| {
                    let due = |row: &ExecutionRow| {
                        matches!(rules.judge(operation, at(now + day * DAY), &job, row), Ok(Verdict::Due(_)))
                    };
                    rows().filter(due).count() as u64
                };
                let mut forecast = Forecast::default();
                for row in rows() {
                    if let Ok(Verdict::Keep { until: Some(until), .. }) = rules.judge(operation, at(now), &job, &row) {
                        forecast.count(at(now), until);
                    }
                }
                for (day, told) in (1..).zip(forecast.days(at(now))) {
                    prop_assert_eq!(told.due, due(day) - due(day - 1));
                }
            }
        }
    }
}
