//! The plan that a scan ends in, and the breaker that it has to pass before anything is done.

use std::num::NonZeroU64;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::{Release, Sweep};
use crate::digest;
use crate::operation::Operation;

/// What a sweep is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// How many executions are due.
    pub due: u64,
    /// The most that it may act on.
    pub max_actions: u64,
    /// What tells this plan from another; names it when it is to be released.
    pub digest: String,
}

impl Plan {
    /// The plan of a finished scan.
    pub(super) fn of(sweep: &Sweep, breaker: NonZeroU64) -> Self {
        let due = sweep.tally.total_due();
        let digest = digest::of([
            sweep.operation.as_str(),
            &sweep.now.to_string(),
            sweep.rules_digest.as_deref().unwrap_or_default(),
            sweep.policy_digest.as_deref().unwrap_or_default(),
            &sweep.candidates_digest,
        ]);
        Self {
            due,
            max_actions: limit(breaker, sweep.release.as_ref()),
            digest,
        }
    }

    /// Whether the breaker stops it.
    pub fn is_stopped(&self) -> bool {
        self.due > self.max_actions
    }
}

/// A released plan may do what it held, and not one more.
fn limit(breaker: NonZeroU64, release: Option<&Release>) -> u64 {
    release.map_or(breaker.get(), |release| release.due.max(breaker.get()))
}

/// What is kept of a stopped plan, so that it can be released by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoppedPlan {
    /// What it was to do.
    pub(super) operation: Operation,
    /// The plan.
    pub(super) plan: Plan,
    /// The time it was made for. At that time, what is due can only become less.
    pub(super) now: Timestamp,
    /// The rules it was made by.
    pub(super) rules_digest: String,
    /// The access policy it was made by.
    pub(super) policy_digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(due: u64, max_actions: u64) -> Plan {
        Plan {
            due,
            max_actions,
            digest: String::new(),
        }
    }

    #[test]
    fn the_breaker_lets_its_own_number_pass_and_not_one_more() {
        assert!(!plan(5, 5).is_stopped());
        assert!(plan(6, 5).is_stopped());
    }

    #[test]
    fn a_release_lifts_the_limit_to_what_the_plan_held() {
        let breaker = NonZeroU64::new(5).unwrap();
        let release = |due| Release {
            plan_digest: String::new(),
            due,
        };
        assert_eq!(limit(breaker, None), 5);
        assert_eq!(limit(breaker, Some(&release(9))), 9);
        assert_eq!(limit(breaker, Some(&release(2))), 5);
    }
}
