//! The breaker's limits: what a plan may hold, exactly, without floating point.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Plans of up to so many executions are stopped by their number only: in a fleet of three, one
/// more than last time is no accident.
pub const SMALL_PLAN: u64 = 100;

/// What a plan may hold. INVARIANT: none of them is zero, none can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// The most executions that one sweep may act on.
    pub max_actions: NonZeroU64,
    /// The most that it may act on of all executions that its scan has seen, in percent.
    pub max_percent: Hundredths,
    /// The most that it may act on, as a multiple of what the last real sweep had due.
    pub max_growth: Hundredths,
}

impl Breaker {
    /// The most executions that a plan may hold where the scan has seen `seen`.
    pub fn most_of(&self, seen: u64) -> u64 {
        SMALL_PLAN.max(whole(self.max_percent.times(seen) / 10_000))
    }

    /// The most executions that a plan may hold where the last real sweep had `last` due.
    pub fn most_after(&self, last: u64) -> u64 {
        SMALL_PLAN.max(whole(self.max_growth.times(last) / 100))
    }
}

/// A number with two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hundredths(u64);

impl Hundredths {
    /// Reads digits with at most two decimals, such as `90` or `12.5`.
    pub fn parse(input: &str) -> Option<Self> {
        let (whole, decimals) = input.split_once('.').unwrap_or((input, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return None;
        }
        let hundredths: u64 = format!("{decimals:0<2}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(hundredths).map(Self)
    }

    /// So many hundredths times as many.
    fn times(self, count: u64) -> u128 {
        u128::from(self.0) * u128::from(count)
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenths) if tenths % 10 == 0 => write!(f, "{whole}.{}", tenths / 10),
            (whole, hundredths) => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

/// As a number, for people who read the report; the comparisons are made without it.
impl Serialize for Hundredths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 100 {
            0 => serializer.serialize_u64(self.0 / 100),
            _ => serializer.serialize_f64(self.0 as f64 / 100.0),
        }
    }
}

impl<'de> Deserialize<'de> for Hundredths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(|number| Self((number * 100.0).round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(max_percent: &str, max_growth: &str) -> Breaker {
        let number = |text| Hundredths::parse(text).unwrap();
        Breaker {
            max_actions: NonZeroU64::MIN,
            max_percent: number(max_percent),
            max_growth: number(max_growth),
        }
    }

    #[test]
    fn a_percentage_is_exact_at_its_limit() {
        assert_eq!(breaker("50", "1").most_of(1001), 500);
        assert_eq!(breaker("33.33", "1").most_of(10_000), 3333);
        assert_eq!(breaker("33.33", "1").most_of(9_999), 3332);
        assert_eq!(breaker("100", "1").most_of(u64::MAX), u64::MAX);
        assert_eq!(breaker("0.01", "1").most_of(1_010_000), 101);
    }

    #[test]
    fn growth_is_exact_at_its_limit() {
        assert_eq!(breaker("1", "3").most_after(100), 300);
        assert_eq!(breaker("1", "1.5").most_after(333), 499);
        assert_eq!(breaker("1", "1.01").most_after(1000), 1010);
        assert_eq!(breaker("1", "1000").most_after(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_small_plan_is_stopped_by_its_number_only() {
        assert_eq!(breaker("1", "1").most_of(3), SMALL_PLAN);
        assert_eq!(breaker("1", "1").most_after(1), SMALL_PLAN);
    }

    #[test]
    fn a_number_reads_back_as_it_was_written() {
        for text in ["90", "12.5", "0.01", "3.07", "100"] {
            let number = Hundredths::parse(text).unwrap();
            let json = serde_json::to_string(&number).unwrap();
            assert_eq!((number.to_string().as_str(), json.as_str()), (text, text));
            assert_eq!(serde_json::from_str::<Hundredths>(&json).unwrap(), number);
        }
        for bad in ["", ".", "1.", ".5", "1.005", "-1", "+1", "1e1", "inf", "nan", "99999999999999999999"] {
            assert_eq!(Hundredths::parse(bad), None, "{bad}");
        }
    }
}
