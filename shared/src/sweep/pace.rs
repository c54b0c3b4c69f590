//! Pacing: one slot after the other for each operation, below the quota, so that a sweep uses its
//! share of the quota and is hardly ever throttled. Where the quota is lower than it was told, it
//! finds out what goes through, and stays a little below.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

/// The operations of AWS IoT; each has a quota of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IotOperation {
    /// ListJobs.
    ListJobs,
    /// ListJobExecutionsForJob.
    ListJobExecutionsForJob,
    /// DescribeJob.
    DescribeJob,
    /// ListTagsForResource.
    ListTagsForResource,
    /// DescribeJobExecution.
    DescribeJobExecution,
    /// ListJobExecutionsForThing.
    ListJobExecutionsForThing,
    /// ListThingGroupsForThing.
    ListThingGroupsForThing,
    /// DescribeThing.
    DescribeThing,
    /// CancelJobExecution.
    CancelJobExecution,
    /// DeleteJobExecution.
    DeleteJobExecution,
}

impl fmt::Display for IotOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Calls a second for each operation: 0.1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CallRate(f64);

impl CallRate {
    /// The lowest rate; throttling brings none below it.
    pub const LOWEST: Self = Self(0.1);

    /// Parses a rate.
    ///
    /// # Errors
    /// When it is no number from 0.1 to 1000. Zero is not unlimited.
    pub fn parse(input: &str) -> Result<Self, String> {
        match input.parse::<f64>() {
            Ok(rate) if (0.1..=1000.0).contains(&rate) => Ok(Self(rate)),
            _ => Err(format!("`{input}` must be a number of calls a second from 0.1 to 1000")),
        }
    }

    /// How long so many calls take.
    pub(super) fn seconds(self, calls: u64) -> f64 {
        calls as f64 / self.0
    }

    fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

/// There is no time left for another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfTime;

/// What a throttled call leaves of the rate that was seen to go through.
const BELOW: f64 = 0.98;

/// What is left of the rate where nothing went through between two throttled calls.
const BACK_OFF: f64 = 0.7;

/// How much faster each call that goes through makes the next: a hundredth of the rate in a second.
const GROWTH: f64 = 0.01;

#[derive(Debug)]
struct Lane {
    next: Instant,
    rate: CallRate,
    /// How many calls went through since then: since the last throttled call, or the first call.
    through: u32,
    since: Instant,
}

impl Lane {
    fn new(now: Instant, rate: CallRate) -> Self {
        Self { next: now, rate, through: 0, since: now }
    }

    /// Between two throttled calls a quota's bucket was empty twice: what went through is the
    /// quota. A first throttled call has a full bucket behind it, and the second corrects it.
    fn back_off(&mut self, now: Instant) {
        let seconds = now.duration_since(self.since).as_secs_f64();
        let rate = match self.through {
            0 => self.rate.0 * BACK_OFF,
            through => BELOW * self.rate.0.min(f64::from(through) / seconds.max(f64::MIN_POSITIVE)),
        };
        self.rate = CallRate(rate.max(CallRate::LOWEST.0));
        self.next = self.next.max(now + self.rate.interval());
        self.through = 0;
        self.since = now;
    }
}

/// The slots of every operation.
#[derive(Debug)]
pub(super) struct Pacer {
    ceiling: CallRate,
    deadline: Instant,
    lanes: BTreeMap<IotOperation, Lane>,
}

impl Pacer {
    /// Paces every operation at `ceiling`, and starts no call after `deadline`.
    pub(super) fn new(ceiling: CallRate, deadline: Instant) -> Self {
        Self { ceiling, deadline, lanes: BTreeMap::new() }
    }

    /// Waits for the operation's next slot.
    pub(super) async fn slot(&mut self, operation: IotOperation) -> Result<(), OutOfTime> {
        let now = Instant::now();
        let lane = self.lanes.entry(operation).or_insert_with(|| Lane::new(now, self.ceiling));
        let interval = lane.rate.interval();
        // A late caller may catch up one slot, not more: a burst would be throttled.
        let slot = lane.next.max(now.checked_sub(interval).unwrap_or(now));
        if slot.max(now) >= self.deadline {
            return Err(OutOfTime);
        }
        lane.next = slot + interval;
        sleep_until(slot).await;
        Ok(())
    }

    /// The call went through: the rate grows a little, up to the ceiling.
    pub(super) fn went_through(&mut self, operation: IotOperation) {
        if let Some(lane) = self.lanes.get_mut(&operation) {
            lane.through += 1;
            lane.rate = CallRate((lane.rate.0 + GROWTH).min(self.ceiling.0));
        }
    }

    /// The call was throttled: the rate drops below what has gone through of late.
    pub(super) fn throttled(&mut self, operation: IotOperation) {
        if let Some(lane) = self.lanes.get_mut(&operation) {
            lane.back_off(Instant::now());
        }
    }

    /// When the operation's next slot is.
    pub(super) fn next_slot(&self, operation: IotOperation) -> Instant {
        let now = Instant::now();
        self.lanes.get(&operation).map_or(now, |lane| lane.next.max(now))
    }

    /// How much time is left for calls.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: IotOperation = IotOperation::DeleteJobExecution;

    fn pacer(rate: &str, seconds: u64) -> Pacer {
        Pacer::new(CallRate::parse(rate).unwrap(), Instant::now() + Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_calls_at_ten_a_second_take_ten_seconds() {
        let mut pacer = pacer("10", 100);
        let start = Instant::now();
        for _ in 0..100 {
            pacer.slot(OPERATION).await.unwrap();
        }
        let taken = start.elapsed().as_secs_f64();
        assert!((9.8..=10.0).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_starts_at_or_after_the_deadline() {
        let mut pacer = pacer("1", 3);
        let mut calls = 0;
        while pacer.slot(OPERATION).await.is_ok() {
            calls += 1;
        }
        assert_eq!(calls, 3);
        assert_eq!(pacer.slot(IotOperation::ListJobs).await, Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pacer.slot(IotOperation::DescribeJob).await, Err(OutOfTime));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_followed_by_a_burst() {
        let mut pacer = pacer("10", 100);
        pacer.slot(OPERATION).await.unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let start = Instant::now();
        for _ in 0..10 {
            pacer.slot(OPERATION).await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(790), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_slows_down_and_success_recovers() {
        let mut pacer = pacer("10", 10_000);
        pacer.slot(OPERATION).await.unwrap();
        pacer.throttled(OPERATION);
        assert_eq!(pacer.lanes[&OPERATION].rate, CallRate(7.0));
        for _ in 0..301 {
            pacer.went_through(OPERATION);
        }
        assert_eq!(pacer.lanes[&OPERATION].rate, CallRate(10.0));
        for _ in 0..100 {
            pacer.throttled(OPERATION);
        }
        assert_eq!(pacer.lanes[&OPERATION].rate, CallRate::LOWEST);
    }

    /// A service with a token bucket that holds a second's calls. Gives how much of its limit went
    /// through in 200 seconds, and which share of the calls was throttled.
    async fn against_a_limit(limit: f64, configured: &str) -> (f64, f64) {
        const SECONDS: u64 = 200;
        let mut pacer = pacer(configured, SECONDS);
        let (mut tokens, mut filled_at) = (limit, Instant::now());
        let (mut through, mut throttled) = (0_u32, 0_u32);
        while pacer.slot(OPERATION).await.is_ok() {
            tokens = (tokens + filled_at.elapsed().as_secs_f64() * limit).min(limit);
            filled_at = Instant::now();
            if tokens >= 1.0 {
                tokens -= 1.0;
                through += 1;
                pacer.went_through(OPERATION);
            } else {
                throttled += 1;
                pacer.throttled(OPERATION);
            }
        }
        let share = f64::from(through) / (limit * SECONDS as f64);
        (share, f64::from(throttled) / f64::from(through + throttled))
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_limit_is_used_up_without_a_throttled_call() {
        for limit in [10, 100, 500] {
            let (share, throttled) = against_a_limit(f64::from(limit), &limit.to_string()).await;
            assert!(share >= 0.98 && throttled == 0.0, "{limit}: {share} {throttled}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_half_of_what_was_told_is_found_and_used() {
        for limit in [10, 100, 500] {
            let (share, throttled) = against_a_limit(f64::from(limit), &(2 * limit).to_string()).await;
            assert!(share >= 0.95 && throttled <= 0.03, "{limit}: {share} {throttled}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_a_tenth_of_what_was_told_is_found_and_used() {
        let (share, throttled) = against_a_limit(10.0, "100").await;
        assert!(share >= 0.95 && throttled <= 0.03, "{share} {throttled}");
    }

    #[test]
    fn zero_is_no_rate() {
        for bad in ["0", "-1", "1001", "NaN", "inf", "", "fast"] {
            assert!(CallRate::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(CallRate::parse("8"), Ok(CallRate(8.0)));
    }
}
