//! The plan that a scan ends in, and the breaker that it has to pass before anything is done.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::id::SweepId;
use super::pace::CallRate;
use super::state::Sweep;
use crate::access::Needs;
use crate::digest;
use crate::execution::Status;
use crate::lane::LaneName;
use crate::retention::{Breaker, Hundredths, Retention};

/// What a sweep is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// How many executions are due.
    pub due: u64,
    /// What tells this plan from another; names it when it is to be released.
    pub digest: String,
    /// What the breaker said of it.
    pub breaker: Checked,
    /// What carrying it out would cost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimate: Option<Estimate>,
}

/// What the breaker said of a plan: every limit, what it was compared with, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The most executions that a sweep may act on.
    pub max_actions: u64,
    /// The most that it may act on of what its scan has seen, in percent.
    pub max_percent: Hundredths,
    /// The most that it may act on, as a multiple of what the last real sweep had due.
    pub max_growth: Hundredths,
    /// What the plan holds: every execution that would be attempted.
    pub due: u64,
    /// Whether a limit stopped the sweep.
    pub tripped: bool,
    /// The limits, one by one.
    pub checks: Vec<Check>,
}

/// A limit, compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Which.
    pub limit: Limit,
    /// What it is a share or a multiple of: the executions seen, or what the last sweep had due.
    pub of: Option<u64>,
    /// The most executions that it lets pass.
    pub most: Option<u64>,
    /// What came of it.
    pub result: CheckResult,
}

/// The breaker's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// The number of executions.
    MaxActions,
    /// Their share of what the scan has seen.
    MaxPercent,
    /// Their number compared with the last sweep's.
    MaxGrowth,
}

/// What came of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckResult {
    /// The plan holds no more than it lets pass.
    Passed,
    /// The plan holds more.
    Tripped,
    /// The plan holds more, and somebody has released it.
    Released,
    /// No real sweep of the operation had anything due before, or its count has expired by now.
    NoSweepBefore,
}

/// What is kept of the last real sweep of an operation in a lane that had something due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastSweep {
    /// Which.
    pub(super) sweep_id: SweepId,
    /// When it ended.
    pub(super) finished_at: Option<Timestamp>,
    /// What it had due.
    pub(super) due: u64,
    /// Of which further lane's Region and account it was: the lane's name may be another's by now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) place: Option<String>,
}

impl LastSweep {
    /// What a sweep that has done its work leaves for the next one. A dry run tells nothing of
    /// what is ordinary, and neither does a night without work.
    pub(super) fn of(sweep: &Sweep) -> Option<Self> {
        let due = sweep.plan.as_ref().map(|plan| plan.due).filter(|due| *due > 0 && !sweep.dry_run)?;
        Some(Self {
            sweep_id: sweep.sweep_id.clone(),
            finished_at: sweep.finished_at,
            due,
            place: sweep.place.clone(),
        })
    }
}

impl Plan {
    /// The plan of a finished scan.
    pub(super) fn of(
        sweep: &Sweep,
        rules: &Retention,
        last: Option<&LastSweep>,
        (needs, rate): (Needs, CallRate),
    ) -> Self {
        let due = sweep.tally.total_due();
        let now = sweep.now.to_string();
        let parts = [
            sweep.operation.as_str(),
            &now,
            sweep.rules_digest.as_deref().unwrap_or_default(),
            sweep.policy_digest.as_deref().unwrap_or_default(),
            &sweep.candidates_digest,
        ];
        let digest = digest::of(parts.into_iter().chain(sweep.lane.as_ref().map(LaneName::as_str)));
        let breaker = Checked::of(rules.breaker(), due, sweep.rows_seen(), last.map(|last| last.due));
        let shares = sweep.tally.due_shares();
        let in_full = shares.iter().filter(|(share, _)| rules.archives_in_full(&share.rule, share.status));
        let full = in_full.map(|(_, count)| count).sum();
        let of_last = shares.iter().filter(|(share, _)| {
            share.status == Status::Succeeded && rules.keeps_last(&share.rule).is_some()
        });
        let behind = of_last.map(|(_, count)| count).sum();
        let estimate = Estimate::of(sweep.work, (due, full, behind), sweep.operation, needs, rate);
        Self { due, digest, breaker, estimate: Some(estimate) }
    }

    /// Whether the breaker stops it.
    pub fn is_stopped(&self) -> bool {
        self.breaker.tripped
    }

    /// The same plan, which somebody wants carried out all the same.
    pub(super) fn released(mut self) -> Self {
        self.breaker.tripped = false;
        for check in self.breaker.checks.iter_mut().filter(|check| check.result == CheckResult::Tripped) {
            check.result = CheckResult::Released;
        }
        self
    }

    /// Why it was stopped, and how to carry it out all the same.
    pub(super) fn refusal(&self, lane: Option<&LaneName>) -> String {
        let Checked { max_actions, max_percent, max_growth, .. } = &self.breaker;
        let tripped = self.breaker.checks.iter().filter(|check| check.result == CheckResult::Tripped);
        let reasons: Vec<_> = tripped
            .map(|Check { limit, of, most, .. }| {
                let (of, most) = (of.unwrap_or_default(), most.unwrap_or_default());
                match limit {
                    Limit::MaxActions => format!("max_actions = {max_actions}"),
                    Limit::MaxPercent => format!("max_percent = {max_percent}, which is {most} of {of} seen"),
                    Limit::MaxGrowth => {
                        format!("max_growth = {max_growth}, which is {most} after the last sweep's {of}")
                    }
                }
            })
            .collect();
        let lane = lane.map(|lane| format!("\"lane\": \"{lane}\", ")).unwrap_or_default();
        format!(
            "the plan holds {} executions, more than the breaker's {}; nothing was done. To carry it out, start a \
             sweep with {lane}\"releasePlan\": \"{}\"",
            self.due,
            reasons.join(" and "),
            self.digest
        )
    }
}

impl Checked {
    fn of(breaker: &Breaker, due: u64, seen: u64, last: Option<u64>) -> Self {
        let check = |limit, of, most: Option<u64>| {
            let result = match most {
                None => CheckResult::NoSweepBefore,
                Some(most) if due > most => CheckResult::Tripped,
                Some(_) => CheckResult::Passed,
            };
            Check { limit, of, most, result }
        };
        let max_actions = breaker.max_actions.get();
        let checks = vec![
            check(Limit::MaxActions, None, Some(max_actions)),
            check(Limit::MaxPercent, Some(seen), Some(breaker.most_of(seen))),
            check(Limit::MaxGrowth, last, last.map(|last| breaker.most_after(last))),
        ];
        Self {
            max_actions,
            max_percent: breaker.max_percent,
            max_growth: breaker.max_growth,
            due,
            tripped: checks.iter().any(|check| check.result == CheckResult::Tripped),
            checks,
        }
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
    use std::num::NonZeroU64;

    use super::*;
    use crate::operation::Operation;

    /// What stops a plan of `due` of 1000 executions, where the last sweep had `last` due.
    fn check(due: u64, last: Option<u64>, expected: &[Limit]) {
        let breaker = Breaker {
            max_actions: NonZeroU64::new(500).unwrap(),
            max_percent: Hundredths::parse("45.25").unwrap(),
            max_growth: Hundredths::parse("2.5").unwrap(),
        };
        let checked = Checked::of(&breaker, due, 1000, last);
        let tripped: Vec<_> =
            checked.checks.iter().filter(|c| c.result == CheckResult::Tripped).map(|c| c.limit).collect();
        assert_eq!(tripped, expected, "{due} {last:?}");
        assert_eq!(checked.tripped, !tripped.is_empty());
    }

    #[test]
    fn each_limit_lets_its_own_number_pass_and_not_one_more() {
        use Limit::{MaxActions, MaxGrowth, MaxPercent};
        check(452, None, &[]);
        check(453, None, &[MaxPercent]);
        check(500, None, &[MaxPercent]);
        check(501, None, &[MaxActions, MaxPercent]);
        check(250, Some(100), &[]);
        check(251, Some(100), &[MaxGrowth]);
        check(501, Some(41), &[MaxActions, MaxPercent, MaxGrowth]);
    }

    #[test]
    fn a_small_plan_does_not_trip_by_growth() {
        check(100, Some(1), &[]);
        check(101, Some(1), &[Limit::MaxGrowth]);
    }

    fn plan(due: u64, last: Option<u64>) -> Plan {
        let breaker = Breaker {
            max_actions: NonZeroU64::new(500).unwrap(),
            max_percent: Hundredths::parse("45.25").unwrap(),
            max_growth: Hundredths::parse("2.5").unwrap(),
        };
        Plan {
            due,
            digest: "abc".to_owned(),
            breaker: Checked::of(&breaker, due, 1000, last),
            estimate: None,
        }
    }

    #[test]
    fn only_a_real_sweep_with_something_due_is_what_the_next_is_compared_with() {
        let left = |dry_run, plan: Option<Plan>| {
            let (operation, now) = (Operation::DeleteExpired, Timestamp::UNIX_EPOCH);
            let mut sweep = Sweep::new(
                SweepId::new(now, operation, None, "a"),
                operation,
                None,
                dry_run,
                "test".into(),
                now,
            );
            sweep.plan = plan;
            LastSweep::of(&sweep).map(|last| last.due)
        };
        assert_eq!(left(false, Some(plan(7, None))), Some(7));
        // A night without work says nothing of what is ordinary: it would let no other plan pass.
        assert_eq!(left(false, Some(plan(0, None))), None);
        assert_eq!(left(true, Some(plan(7, None))), None);
        assert_eq!(left(false, None), None);
    }

    #[test]
    fn a_stopped_plan_names_each_limit_that_stops_it_and_what_releases_it() {
        let stopped = plan(501, Some(100));
        assert!(stopped.is_stopped());
        assert_eq!(
            stopped.refusal(None),
            "the plan holds 501 executions, more than the breaker's max_actions = 500 and max_percent = 45.25, \
             which is 452 of 1000 seen and max_growth = 2.5, which is 250 after the last sweep's 100; nothing was \
             done. To carry it out, start a sweep with \"releasePlan\": \"abc\""
        );
        assert!(
            plan(251, Some(100)).refusal(None).contains("the breaker's max_growth = 2.5, which is 250 after")
        );
    }

    #[test]
    fn a_released_plan_is_the_same_and_says_which_limits_were_released() {
        let released = plan(460, Some(1000)).released();
        assert!(!released.is_stopped() && !plan(7, None).is_stopped());
        let results: Vec<_> = released.breaker.checks.iter().map(|check| check.result).collect();
        assert_eq!(results, [CheckResult::Passed, CheckResult::Released, CheckResult::Passed]);
        assert_eq!((released.due, released.digest.as_str()), (460, "abc"));
    }
}
