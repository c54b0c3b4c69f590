//! When a sweep did what it did: counts by time, of which there are no more however long it takes.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many counts there are at most.
const MOST_COUNTS: usize = 100;

/// What each count is of at first.
const FINEST: u64 = 60;

/// How many executions were deleted or cancelled in each span of time. When a sweep outlasts the spans that
/// there may be, they become twice as long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// When the first span begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from: Option<Timestamp>,
    /// How long each is.
    seconds: u64,
    /// How many in each, one after the other.
    counts: Vec<u64>,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it begins.
    pub from: Timestamp,
    /// How many executions were deleted or cancelled in it.
    pub done: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { from: None, seconds: FINEST, counts: Vec::new() }
    }
}

impl History {
    /// Notes that one was deleted or cancelled, in a sweep that had begun at `begun`. A clock that was set back
    /// counts for the first span.
    pub(super) fn note(&mut self, begun: Timestamp, now: Timestamp) {
        let from = *self.from.get_or_insert(begun);
        let passed = u64::try_from(now.duration_since(from).as_secs()).unwrap_or_default();
        let mut nth = passed / self.seconds.max(1);
        while nth >= MOST_COUNTS as u64 {
            self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
            self.seconds = self.seconds.max(1).saturating_mul(2);
            nth = passed / self.seconds;
        }
        let nth = usize::try_from(nth).unwrap_or_default();
        if self.counts.len() <= nth {
            self.counts.resize(nth + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(nth) {
            *count += 1;
        }
    }

    /// Whether nothing has been done.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How long each span is, in seconds.
    pub fn span_seconds(&self) -> u64 {
        self.seconds
    }

    /// How many in all of them.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// The spans, one after the other.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        let from = self.from.unwrap_or_default();
        self.counts.iter().zip(0_i64..).map(move |(done, nth)| {
            let seconds = i64::try_from(self.seconds).unwrap_or(i64::MAX).saturating_mul(nth);
            let from = from.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(from);
            Span { from, done: *done }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::execution::scenes::at;

    fn noted(seconds: &[i64]) -> History {
        let mut history = History::default();
        let begun = seconds.first().map_or(0, |first| first - first % 1000);
        seconds.iter().for_each(|second| history.note(at(begun), at(*second)));
        history
    }

    #[test]
    fn a_span_is_a_minute_until_the_sweep_outlasts_a_hundred_of_them() {
        let told = |history: &History| {
            let done = history.spans().filter(|span| span.done > 0);
            done.map(|span| (span.from.as_second(), span.done)).collect::<Vec<_>>()
        };
        let short = noted(&[1000, 1059, 1060, 1000 + 5999]);
        assert_eq!((short.span_seconds(), told(&short)), (60, vec![(1000, 2), (1060, 1), (6940, 1)]));
        let long = noted(&[1000, 1059, 1060, 1000 + 5999, 1000 + 6000]);
        assert_eq!((long.span_seconds(), told(&long)), (120, vec![(1000, 3), (6880, 1), (7000, 1)]));
        // Set back.
        assert_eq!(told(&noted(&[1000, 10])), [(1000, 2)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_there_are_never_more_than_a_hundred(
            seconds in proptest::collection::vec(0..200_000_000_i64, 0..50),
        ) {
            let history = noted(&seconds);
            prop_assert_eq!(history.total(), seconds.len() as u64);
            prop_assert!(history.counts.len() <= MOST_COUNTS);
            let text = serde_json::to_string(&history).unwrap();
            prop_assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
        }
    }
}
