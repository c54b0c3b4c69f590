//! What an event of a job execution tells, and when to look at it again.

use jiff::Timestamp;

use super::ExpiryCheck;
use crate::execution::Status;
use crate::ids::{JobId, ThingName};
use crate::retention::{KnownJob, Retention};

/// An execution that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its job.
    pub job_id: JobId,
    /// Its thing.
    pub thing_name: ThingName,
    /// What it ended with.
    pub status: Status,
    /// When.
    pub at: Timestamp,
}

impl Ended {
    /// A look for each moment at which a rule that the job may have has it due, the first one first. Which
    /// rule it is may depend on tags; reading them now would spend the quota, and they may change until
    /// then. Where every rule keeps it, there is none.
    pub fn checks(&self, rules: &Retention) -> Vec<ExpiryCheck> {
        let limits = rules.limits_of(self.status, &KnownJob::named(&self.job_id));
        let due = limits.into_iter().filter_map(|limit| self.at.checked_add(limit).ok());
        due.map(|due_at| ExpiryCheck {
            job_id: self.job_id.clone(),
            thing_name: self.thing_name.clone(),
            status: self.status,
            ended_at: self.at,
            due_at,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::execution::scenes::{at, row};
    use crate::execution::{ExecutionRow, RetryLimits, TargetSelection};
    use crate::operation::Operation;
    use crate::retention::Verdict;

    /// The shipped rules behind two of which a job's name does not tell whether they are for it.
    fn rules() -> Retention {
        let limits = |days: &str| {
            let statuses = Status::ALL.into_iter().filter(|status| status.is_terminal());
            statuses.map(|status| format!("{status} = \"{days}\"")).collect::<Vec<_>>().join(", ")
        };
        let rule = |name: &str, scope: &str, days: &str| {
            let limits = limits(days);
            format!(
                "[[rule]]\nname = \"{name}\"\n{scope}\ndelete_after = {{ {limits} }}\narchive = \"summary\"\n"
            )
        };
        let canary = rule("canary", "job_ids = [\"fw-*\"]\njob_tags = { ring = \"canary\" }", "2d");
        let rolling = rule("rolling", "target_selection = \"CONTINUOUS\"", "never");
        let shipped = include_str!("../../../policies/retention.toml");
        let text = shipped.replacen("[[rule]]", &format!("{canary}{rolling}[[rule]]"), 1);
        Retention::parse("r.toml", &text).unwrap()
    }

    fn ended(job: &str, status: Status, second: i64) -> Ended {
        let (job_id, thing_name) = (JobId::parse(job).unwrap(), ThingName::parse("t").unwrap());
        Ended { job_id, thing_name, status, at: at(second) }
    }

    fn days(job: &str, status: Status, rules: &Retention) -> Vec<i64> {
        let checks = ended(job, status, 7).checks(rules);
        checks.iter().map(|check| check.due_at.duration_since(check.ended_at).as_hours() / 24).collect()
    }

    #[test]
    fn each_status_is_looked_at_when_its_own_limit_is_over() {
        let rules = Retention::shipped().unwrap();
        for (status, expected) in [
            (Status::Succeeded, 30),
            (Status::Failed, 90),
            (Status::TimedOut, 90),
            (Status::Rejected, 90),
            (Status::Removed, 30),
            (Status::Canceled, 30),
        ] {
            assert_eq!(days("job", status, &rules), [expected], "{status}");
        }
    }

    #[test]
    fn what_is_kept_for_ever_or_has_not_ended_is_not_looked_at() {
        let rules = Retention::shipped().unwrap();
        assert!(days("keep-it", Status::Succeeded, &rules).is_empty());
        assert!(days("job", Status::Queued, &rules).is_empty());
        assert!(days("job", Status::InProgress, &rules).is_empty());
    }

    #[test]
    fn where_tags_decide_it_is_looked_at_once_for_each_rule_that_it_may_have() {
        assert_eq!(days("fw-1", Status::Succeeded, &rules()), [2, 30]);
        assert_eq!(days("fw-1", Status::Failed, &rules()), [2, 90]);
        assert_eq!(days("other", Status::Succeeded, &rules()), [30]);
    }

    #[test]
    fn a_time_that_nobody_lives_to_see_is_not_looked_at() {
        let last = Ended { at: Timestamp::MAX, ..ended("job", Status::Succeeded, 0) };
        assert_eq!(last.checks(&Retention::shipped().unwrap()), []);
    }

    proptest! {
        /// Whatever the job turns out to be, the moment at which it comes due is one that is looked at.
        #[test]
        fn whatever_comes_due_is_looked_at_the_moment_it_does(
            status in proptest::sample::select(Status::ALL.to_vec()),
            job in proptest::sample::select(vec!["fw-1", "keep-1", "other"]),
            canary in any::<bool>(),
            continuous in any::<bool>(),
            second in 1..100_000_i64,
        ) {
            let rules = rules();
            let ended = ended(job, status, second);
            let tags: BTreeMap<_, _> =
                canary.then(|| ("ring".to_owned(), "canary".to_owned())).into_iter().collect();
            let target = if continuous { TargetSelection::Continuous } else { TargetSelection::Snapshot };
            let known = KnownJob {
                job_id: &ended.job_id,
                target_selection: Some(target),
                tags: Some(&tags),
                retries: Some(RetryLimits::default()),
            };
            let row = ExecutionRow { last_updated_at: ended.at, ..row(status, 0, second) };
            let far = at(second) + SignedDuration::from_hours(24 * 400);
            let looked_at: Vec<_> = ended.checks(&rules).iter().map(|check| check.due_at).collect();
            if let Ok(Verdict::Due(due)) = rules.judge(Operation::DeleteExpired, far, &known, &row) {
                prop_assert!(looked_at.contains(&due.since), "{looked_at:?} {due:?}");
            }
        }
    }
}
