//! The plan that a scan ends in, and the breaker that it has to pass before anything is done.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::id::SweepId;
use super::state::Sweep;
use crate::digest;

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
        Self { due, max_actions: breaker.get(), digest }
    }

    /// Whether the breaker stops it.
    pub fn is_stopped(&self) -> bool {
        self.due > self.max_actions
    }
}

/// What is kept of a stopped plan, so that it can be released by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoppedPlan {
    /// The sweep that made it. Its state and its candidates are the plan.
    pub(super) planned_by: SweepId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(due: u64, max_actions: u64) -> Plan {
        Plan { due, max_actions, digest: String::new() }
    }

    #[test]
    fn the_breaker_lets_its_own_number_pass_and_not_one_more() {
        assert!(!plan(5, 5).is_stopped());
        assert!(plan(6, 5).is_stopped());
    }
}
