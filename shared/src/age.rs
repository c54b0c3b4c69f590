//! How old something is, in a process that may have been frozen.
//!
//! Between two invocations Lambda freezes the process. The monotonic clock may stand still meanwhile, and the
//! wall clock may be set: what is old by either of the two is old.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A moment by the wall clock and by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    wall: Timestamp,
    monotonic: Instant,
}

impl Moment {
    /// This moment; `wall` is what the wall clock says.
    pub fn at(wall: Timestamp) -> Self {
        Self { wall, monotonic: Instant::now() }
    }

    /// How long ago this moment was at `now`: by the clock that says more.
    pub fn age(self, now: Self) -> Duration {
        let by_wall = Duration::try_from(now.wall.duration_since(self.wall)).unwrap_or_default();
        by_wall.max(now.monotonic.saturating_duration_since(self.monotonic))
    }

    /// Whether this moment was at least `limit` ago at `now`. Where the wall clock has been set back, nobody knows
    /// how long it has been, so it counts as long ago.
    pub fn is_past(self, limit: Duration, now: Self) -> bool {
        now.wall < self.wall || self.age(now) >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn check(wall: i64, monotonic: u64, age: u64, past: bool) {
        let then = Moment::at(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(monotonic)).await;
        let now = Moment::at(Timestamp::from_second(wall).unwrap());
        let case = format!("wall {wall}, monotonic {monotonic}");
        assert_eq!(then.age(now), Duration::from_secs(age), "{case}");
        assert_eq!(then.is_past(LIMIT, now), past, "{case}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_that_says_older_counts() {
        check(0, 0, 0, false).await;
        check(29, 29, 29, false).await;
        check(30, 0, 30, true).await;
        check(0, 30, 30, true).await;
        check(900, 1, 900, true).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_was_set_back_makes_nothing_younger_and_nothing_last() {
        check(-1, 0, 0, true).await;
        check(-3600, 29, 29, true).await;
        check(-3600, 31, 31, true).await;
    }
}
