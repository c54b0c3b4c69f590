//! What was called: how often, with what answer, in which second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Counts by operation.
#[derive(Debug, Default)]
pub struct Calls(Mutex<BTreeMap<&'static str, Count>>);

#[derive(Debug, Default, Serialize)]
struct Count {
    /// Not throttled, errors included.
    answered: u64,
    throttled: u64,
    /// What was answered with an error, by its name.
    errors: BTreeMap<&'static str, u64>,
    /// How many were answered in each second of the UNIX time.
    #[serde(serialize_with = "pairs")]
    seconds: BTreeMap<i64, u64>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It went through, with an error's name if there was one.
    Answered(Option<&'static str>),
    /// It was throttled.
    Throttled,
}

impl Calls {
    /// Counts a call.
    pub fn count(&self, operation: &'static str, came: Came, at: Timestamp) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(operation).or_default();
        match came {
            Came::Answered(error) => {
                count.answered += 1;
                *count.seconds.entry(at.as_second()).or_default() += 1;
                if let Some(error) = error {
                    *count.errors.entry(error).or_default() += 1;
                }
            }
            Came::Throttled => count.throttled += 1,
        }
    }

    /// Everything counted so far.
    pub fn told(&self) -> Value {
        serde_json::to_value(&*self.0.lock().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default()
    }
}

fn pairs<S: serde::Serializer>(seconds: &BTreeMap<i64, u64>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(seconds)
}
