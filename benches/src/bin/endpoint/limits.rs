//! Quotas: a token bucket for each operation that has one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Calls a second, and how many go at once when there were none for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    rate: f64,
    burst: f64,
}

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, burst) = text.split_once(':').unwrap_or((text, text));
        match (rate.parse::<f64>(), burst.parse::<f64>()) {
            // What holds less than a token would let nothing through.
            (Ok(rate), Ok(burst)) if rate > 0.0 && rate.is_finite() && burst.is_finite() => {
                Ok(Self { rate, burst: burst.max(1.0) })
            }
            _ => Err(format!("`{text}` must be calls a second, or RATE:BURST")),
        }
    }
}

/// The quotas of an account.
#[derive(Debug)]
pub struct Limits(BTreeMap<String, (Limit, Mutex<Level>)>);

#[derive(Debug)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Limits {
    /// All of them full.
    pub fn new(limits: &[(String, Limit)], now: Instant) -> Self {
        let full = |limit: Limit| (limit, Mutex::new(Level { tokens: limit.burst, at: now }));
        Self(limits.iter().map(|(operation, limit)| (operation.clone(), full(*limit))).collect())
    }

    /// Whether a call of an operation goes through, and if so, takes its token.
    pub fn take(&self, operation: &str, now: Instant) -> bool {
        let Some((limit, level)) = self.0.get(operation) else { return true };
        let mut level = level.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(level.at).as_secs_f64();
        level.tokens = (level.tokens + passed * limit.rate).min(limit.burst);
        level.at = level.at.max(now);
        let through = level.tokens >= 1.0;
        level.tokens -= f64::from(u8::from(through));
        through
    }
}
