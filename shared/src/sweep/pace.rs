//! Pacing: one slot after the other for each operation, below the quota, so that a sweep uses its
//! share of the quota and is hardly ever throttled. Where the quota is lower than it was told, it
//! finds out what goes through, and stays a little below.
//!
//! Several calls are under way at once, so an answer tells of the rate at which its call was sent. A quota
//! that is overdrawn throttles all that is under way: that is one burst, and corrects the rate once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// ListJobExecutionsForThing.
    ListJobExecutionsForThing,
    /// DescribeJob.
    DescribeJob,
    /// ListTagsForResource.
    ListTagsForResource,
    /// DescribeJobExecution.
    DescribeJobExecution,
    /// ListThingGroupsForThing.
    ListThingGroupsForThing,
    /// DescribeThing.
    DescribeThing,
    /// CancelJobExecution.
    CancelJobExecution,
    /// DeleteJobExecution.
    DeleteJobExecution,
    /// GetJobDocument.
    GetJobDocument,
    /// DeleteJob.
    DeleteJob,
}

impl fmt::Display for IotOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Calls a second for each operation: 0.1 to 100000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CallRate(f64);

impl CallRate {
    /// The lowest rate; throttling brings none below it.
    pub const LOWEST: Self = Self(0.1);

    /// Parses a rate.
    ///
    /// # Errors
    /// When it is no number from 0.1 to 100000. Zero is not unlimited.
    pub fn parse(input: &str) -> Result<Self, String> {
        match input.parse::<f64>() {
            Ok(rate) if (0.1..=100_000.0).contains(&rate) => Ok(Self(rate)),
            _ => Err(format!("`{input}` must be a number of calls a second from 0.1 to 100000")),
        }
    }

    /// How many calls that is in an hour.
    pub fn an_hour(self) -> u64 {
        (self.0 * 3600.0).round() as u64
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

/// A call's turn, which its answer is counted with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    operation: IotOperation,
    /// How often the rate had been corrected when the call was sent.
    corrections: u32,
}

/// What a throttled call leaves of the rate that was seen to go through.
const BELOW: f64 = 0.95;

/// What is left of the rate where nothing went through between two corrections.
const BACK_OFF: f64 = 0.7;

/// How much faster each call that goes through makes the next: a hundredth of the rate in a second.
const GROWTH: f64 = 0.01;

/// For how many seconds answers have to be counted before their number is believed. In less than that, when
/// each takes another time to arrive, chance says more than the quota does.
const COUNTED: f64 = 1.0;

/// The longest gap that is caught up. Between two pages lie the end of the one, its outcomes, the state, and
/// the listing and the archive of the next: a quarter of a second in which nothing is deleted.
const GAP: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Lane {
    next: Instant,
    rate: CallRate,
    /// How many calls wait for their turn.
    waiting: usize,
    corrections: u32,
    /// How many calls went through since then: since the last correction, or the first call.
    through: u32,
    since: Instant,
}

impl Lane {
    fn new(now: Instant, rate: CallRate) -> Self {
        Self { next: now, rate, waiting: 0, corrections: 0, through: 0, since: now }
    }

    /// The lane's next slot. After a short gap what was left out may be caught up, because a quota's bucket
    /// has kept it, until that has been throttled; otherwise a late caller may catch up one slot, not more:
    /// a burst would be throttled.
    fn slot(&self, now: Instant) -> Instant {
        if self.corrections == 0 && now.saturating_duration_since(self.next) <= GAP {
            return self.next;
        }
        self.next.max(now.checked_sub(self.rate.interval()).unwrap_or(now))
    }

    /// Between two corrections a quota's bucket was empty twice: what went through is the quota. A first
    /// throttled call has a full bucket behind it, and the second corrects it.
    fn back_off(&mut self, now: Instant) {
        let seconds = now.duration_since(self.since).as_secs_f64().max(f64::MIN_POSITIVE);
        let through = f64::from(self.through);
        let rate = match self.through {
            0 => self.rate.0 * BACK_OFF,
            _ if seconds >= COUNTED => BELOW * self.rate.0.min(through / seconds),
            // The most that it can have been, short of a rare chance.
            _ => BELOW * self.rate.0.min((through + 1.0 + 2.0 * through.sqrt()) / seconds),
        };
        self.rate = CallRate(rate.max(CallRate::LOWEST.0));
        self.next = self.next.max(now + self.rate.interval());
        self.corrections += 1;
        self.through = 0;
        self.since = now;
    }
}

/// The slots of every operation.
#[derive(Debug)]
pub(super) struct Pacer {
    ceiling: CallRate,
    deadline: Instant,
    /// Never held while anything is waited for.
    lanes: Mutex<BTreeMap<IotOperation, Lane>>,
}

impl Pacer {
    /// Paces every operation at `ceiling`, and starts no call after `deadline`.
    pub(super) fn new(ceiling: CallRate, deadline: Instant) -> Self {
        Self { ceiling, deadline, lanes: Mutex::default() }
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<IotOperation, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the operation's next slot. It is nobody's until its time has come: whoever waits goes by the
    /// rate as it is then.
    pub(super) async fn slot(&self, operation: IotOperation) -> Result<Slot, OutOfTime> {
        loop {
            let slot = {
                let now = Instant::now();
                let mut lanes = self.lanes();
                let lane = lanes.entry(operation).or_insert_with(|| Lane::new(now, self.ceiling));
                let slot = lane.slot(now);
                if slot.max(now) >= self.deadline {
                    return Err(OutOfTime);
                }
                if slot <= now {
                    lane.next = slot + lane.rate.interval();
                    return Ok(Slot { operation, corrections: lane.corrections });
                }
                lane.waiting += 1;
                slot
            };
            let _waiting = Waiting { pacer: self, operation };
            sleep_until(slot).await;
        }
    }

    /// The call went through: the rate grows a little, up to the ceiling.
    pub(super) fn went_through(&self, slot: Slot) {
        if let Some(lane) = self.lanes().get_mut(&slot.operation) {
            lane.through += 1;
            lane.rate = CallRate((lane.rate.0 + GROWTH).min(self.ceiling.0));
        }
    }

    /// The call was throttled: the rate drops below what has gone through of late, unless that has been
    /// corrected since the call was sent.
    pub(super) fn throttled(&self, slot: Slot) {
        if let Some(lane) = self.lanes().get_mut(&slot.operation)
            && lane.corrections == slot.corrections
        {
            lane.back_off(Instant::now());
        }
    }

    /// When the operation's next slot is that nobody waits for.
    pub(super) fn next_slot(&self, operation: IotOperation) -> Instant {
        let now = Instant::now();
        let behind = |lane: &Lane| lane.rate.interval() * u32::try_from(lane.waiting).unwrap_or(u32::MAX);
        self.lanes().get(&operation).map_or(now, |lane| lane.next.max(now) + behind(lane))
    }

    /// How many calls of the operation wait for their turn.
    pub(super) fn waiting(&self, operation: IotOperation) -> usize {
        self.lanes().get(&operation).map_or(0, |lane| lane.waiting)
    }

    /// How much time is left for calls.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// A call that waits for its turn.
struct Waiting<'a> {
    pacer: &'a Pacer,
    operation: IotOperation,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(lane) = self.pacer.lanes().get_mut(&self.operation) {
            lane.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::pin::pin;

    use futures_util::future::{Either, join, select};
    use futures_util::stream::{FuturesUnordered, StreamExt};
    use tokio::time::sleep;

    use super::*;

    const OPERATION: IotOperation = IotOperation::DeleteJobExecution;

    fn pacer(rate: &str, seconds: u64) -> Pacer {
        Pacer::new(CallRate::parse(rate).unwrap(), Instant::now() + Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_calls_at_ten_a_second_take_ten_seconds() {
        let pacer = pacer("10", 100);
        let start = Instant::now();
        for _ in 0..100 {
            pacer.slot(OPERATION).await.unwrap();
        }
        let taken = start.elapsed().as_secs_f64();
        assert!((9.8..=10.0).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_starts_at_or_after_the_deadline() {
        let pacer = pacer("1", 3);
        let mut calls = 0;
        while pacer.slot(OPERATION).await.is_ok() {
            calls += 1;
        }
        assert_eq!(calls, 3);
        assert!(pacer.slot(IotOperation::ListJobs).await.is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(pacer.slot(IotOperation::DescribeJob).await, Err(OutOfTime)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_followed_by_a_burst() {
        let pacer = pacer("10", 100);
        pacer.slot(OPERATION).await.unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let start = Instant::now();
        for _ in 0..10 {
            pacer.slot(OPERATION).await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(790), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_gap_is_caught_up_until_that_is_throttled() {
        let pacer = pacer("100", 100);
        let pages = async || {
            let start = Instant::now();
            let mut slots = Vec::new();
            for _ in 0..4 {
                for _ in 0..250 {
                    slots.push(pacer.slot(OPERATION).await.unwrap());
                }
                sleep(Duration::from_millis(250)).await;
            }
            (start.elapsed().as_millis(), slots)
        };
        let (taken, slots) = pages().await;
        assert!((10_230..=10_260).contains(&taken), "{taken}");
        slots.iter().for_each(|slot| pacer.went_through(*slot));
        pacer.throttled(slots[0]);
        slots.iter().for_each(|slot| pacer.went_through(*slot));
        assert_eq!(pacer.lanes()[&OPERATION].rate, CallRate(100.0));
        let (taken, _) = pages().await;
        assert!((10_900..=11_000).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_slows_down_and_success_recovers() {
        let pacer = pacer("10", 10_000);
        let rate = || pacer.lanes()[&OPERATION].rate;
        let slot = pacer.slot(OPERATION).await.unwrap();
        pacer.throttled(slot);
        assert_eq!(rate(), CallRate(7.0));
        for _ in 0..301 {
            pacer.went_through(slot);
        }
        assert_eq!(rate(), CallRate(10.0));
        for _ in 0..100 {
            pacer.throttled(pacer.slot(OPERATION).await.unwrap());
        }
        assert_eq!(rate(), CallRate::LOWEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_is_throttled_slows_down_once() {
        let pacer = pacer("10", 100);
        let mut burst = Vec::new();
        for _ in 0..5 {
            burst.push(pacer.slot(OPERATION).await.unwrap());
        }
        burst.iter().for_each(|slot| pacer.throttled(*slot));
        assert_eq!(pacer.lanes()[&OPERATION].rate, CallRate(7.0));
        pacer.throttled(pacer.slot(OPERATION).await.unwrap());
        assert_eq!(pacer.lanes()[&OPERATION].rate, CallRate(7.0 * BACK_OFF));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_by_the_rate_as_it_is_when_its_turn_comes() {
        let pacer = pacer("10", 100);
        let start = Instant::now();
        let sent = pacer.slot(OPERATION).await.unwrap();
        let waits = (0..3).map(|_| pacer.slot(OPERATION)).collect::<FuturesUnordered<_>>();
        let throttled = async {
            sleep(Duration::from_millis(50)).await;
            assert!(pacer.waiting(OPERATION) > 0);
            pacer.throttled(sent);
        };
        let (slots, ()) = join(waits.collect::<Vec<_>>(), throttled).await;
        assert!(slots.into_iter().all(|slot| slot.is_ok()) && pacer.waiting(OPERATION) == 0);
        // After 50 ms, three times a seventh of a second.
        let taken = start.elapsed().as_millis();
        assert!((477..=482).contains(&taken), "{taken}");
    }

    /// A service with a token bucket that holds a second's calls.
    struct Service {
        limit: f64,
        tokens: f64,
        filled_at: Instant,
    }

    impl Service {
        fn takes(&mut self) -> bool {
            self.tokens = (self.tokens + self.filled_at.elapsed().as_secs_f64() * self.limit).min(self.limit);
            self.filled_at = Instant::now();
            let takes = self.tokens >= 1.0;
            self.tokens -= if takes { 1.0 } else { 0.0 };
            takes
        }
    }

    /// Milliseconds that a call takes, there and back: between these, each as likely.
    type Latency = (u64, u64);

    const LATENCIES: [Latency; 3] = [(0, 0), (50, 50), (20, 200)];

    /// Gives how much of a service's limit went through in 200 seconds, and which share of the calls was
    /// throttled.
    async fn against_a_limit(limit: f64, configured: &str, latency: Latency) -> (f64, f64) {
        const SECONDS: u64 = 200;
        let pacer = pacer(configured, SECONDS);
        let service = Service { limit, tokens: limit, filled_at: Instant::now() };
        let (service, pacer) = (&RefCell::new(service), &pacer);
        let call = async |slot, half: Duration| {
            sleep(half).await;
            let takes = service.borrow_mut().takes();
            sleep(half).await;
            if takes {
                pacer.went_through(slot)
            } else {
                pacer.throttled(slot)
            }
            takes
        };
        let (mut through, mut throttled) = (0_u32, 0_u32);
        let mut under_way = FuturesUnordered::new();
        let mut chance = 1_u64;
        loop {
            let slot = pin!(pacer.slot(OPERATION));
            let next = async { if under_way.is_empty() { pending().await } else { under_way.next().await } };
            match select(slot, pin!(next)).await {
                Either::Left((Ok(slot), _)) => {
                    chance = chance
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let takes = latency.0 + (chance >> 33) % (latency.1 - latency.0 + 1);
                    under_way.push(call(slot, Duration::from_millis(takes) / 2));
                }
                Either::Left((Err(OutOfTime), _)) => break,
                Either::Right((answer, _)) => {
                    let takes = answer.unwrap_or_default();
                    through += u32::from(takes);
                    throttled += u32::from(!takes);
                }
            }
        }
        for takes in under_way.collect::<Vec<_>>().await {
            through += u32::from(takes);
            throttled += u32::from(!takes);
        }
        let share = f64::from(through) / (limit * SECONDS as f64);
        let throttled = f64::from(throttled) / f64::from(through + throttled);
        println!(
            "{configured:>5} of {limit:>4} calls/s, {latency:?} ms: {share:.3}, {throttled:.4} throttled"
        );
        (share, throttled)
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_limit_is_used_up_without_a_throttled_call() {
        for (limit, latency) in [10, 100, 500].into_iter().flat_map(|limit| LATENCIES.map(|l| (limit, l))) {
            let (share, throttled) = against_a_limit(f64::from(limit), &limit.to_string(), latency).await;
            assert!(share >= 0.98 && throttled == 0.0, "{limit} {latency:?}: {share} {throttled}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_half_of_what_was_told_is_found_and_used() {
        for (limit, latency) in [10, 100, 500].into_iter().flat_map(|limit| LATENCIES.map(|l| (limit, l))) {
            let (share, throttled) =
                against_a_limit(f64::from(limit), &(2 * limit).to_string(), latency).await;
            assert!(share >= 0.95 && throttled <= 0.03, "{limit} {latency:?}: {share} {throttled}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_a_tenth_of_what_was_told_is_found_and_used() {
        let (share, throttled) = against_a_limit(10.0, "100", (0, 0)).await;
        assert!(share >= 0.95 && throttled <= 0.03, "{share} {throttled}");
    }

    #[test]
    fn zero_is_no_rate() {
        for bad in ["0", "-1", "100001", "NaN", "inf", "", "fast"] {
            assert!(CallRate::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(CallRate::parse("8"), Ok(CallRate(8.0)));
    }

    #[test]
    fn the_lowest_and_the_highest_rate_are_rates() {
        assert_eq!(CallRate::parse("0.1"), Ok(CallRate::LOWEST));
        assert_eq!(CallRate::parse("100000"), Ok(CallRate(100_000.0)));
        assert_eq!(CallRate(0.5).seconds(3), 6.0);
        assert_eq!(IotOperation::DeleteJobExecution.to_string(), "DeleteJobExecution");
    }

    /// The rate of a lane after so many calls went through in so many milliseconds, and one was throttled.
    fn corrected(rate: f64, through: u32, milliseconds: u64) -> f64 {
        let since = Instant::now();
        let now = since + Duration::from_millis(milliseconds);
        let mut lane = Lane { through, ..Lane::new(since, CallRate(rate)) };
        lane.back_off(now);
        assert_eq!((lane.corrections, lane.through, lane.since), (1, 0, now));
        // The quota's bucket is empty: the next call waits for as long as the new rate has it.
        assert_eq!(lane.next, now + lane.rate.interval());
        (lane.rate.0 * 1000.0).round() / 1000.0
    }

    #[test]
    fn a_correction_stays_a_little_below_what_went_through() {
        assert_eq!(corrected(10.0, 4, 1000), 3.8);
        assert_eq!(corrected(10.0, 8, 4000), 1.9);
        assert_eq!(corrected(10.0, 0, 4000), 7.0);
        // A service that has caught up lets more through than was sent of late: that says nothing.
        assert_eq!(corrected(10.0, 90, 3000), 9.5);
        assert_eq!(corrected(0.1, 0, 4000), 0.1);
    }

    #[test]
    fn what_was_counted_for_less_than_a_second_is_taken_for_as_much_as_it_may_have_been() {
        assert_eq!(corrected(100.0, 9, 500), 30.4);
        assert_eq!(corrected(100.0, 60, 500), 95.0);
    }

    #[test]
    fn only_a_short_gap_before_any_correction_is_caught_up_whole() {
        let start = Instant::now();
        let after = |corrections, milliseconds| {
            let lane = Lane { corrections, ..Lane::new(start, CallRate(10.0)) };
            lane.slot(start + Duration::from_millis(milliseconds)).duration_since(start).as_millis()
        };
        assert_eq!((after(0, 300), after(0, 500)), (0, 0));
        assert_eq!((after(0, 501), after(0, 5000)), (401, 4900));
        assert_eq!((after(1, 300), after(1, 50)), (200, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_slot_that_is_nobodys_lies_behind_those_who_wait() {
        let pacer = pacer("10", 100);
        let start = Instant::now();
        assert_eq!(pacer.next_slot(OPERATION), start);
        pacer.slot(OPERATION).await.unwrap();
        let tenths = |slot: Instant| slot.duration_since(start).as_millis() / 100;
        assert_eq!(tenths(pacer.next_slot(OPERATION)), 1);
        let waits = (0..3).map(|_| pacer.slot(OPERATION)).collect::<FuturesUnordered<_>>();
        let look = async {
            sleep(Duration::from_millis(1)).await;
            assert_eq!((pacer.waiting(OPERATION), pacer.waiting(IotOperation::ListJobs)), (3, 0));
            assert_eq!(tenths(pacer.next_slot(OPERATION)), 4);
        };
        let (slots, ()) = join(waits.collect::<Vec<_>>(), look).await;
        assert!(slots.into_iter().all(|slot| slot.is_ok()));
        assert_eq!((pacer.waiting(OPERATION), tenths(pacer.next_slot(OPERATION))), (0, 4));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pacer.next_slot(OPERATION), Instant::now());
        assert_eq!(pacer.left(), Duration::from_secs(100) - start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_that_goes_through_makes_the_rate_grow_up_to_the_ceiling() {
        let pacer = pacer("10", 100);
        let slot = pacer.slot(OPERATION).await.unwrap();
        let after = |rate| {
            pacer.lanes().get_mut(&OPERATION).unwrap().rate = CallRate(rate);
            pacer.went_through(slot);
            pacer.lanes()[&OPERATION].rate.0
        };
        assert_eq!((after(5.0), after(9.995)), (5.01, 10.0));
        assert_eq!(pacer.lanes()[&OPERATION].through, 2);
    }
}
