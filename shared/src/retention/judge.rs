//! Judging one execution: due under which rule since when, or kept for which reason.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ArchiveKind, KnownJob, Limit, Retention, Rule};
use crate::execution::{ExecutionRow, Status};
use crate::operation::Operation;
use crate::ports::Force;

/// Why something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The rule's name.
    pub rule: String,
    /// Since when.
    pub since: Timestamp,
    /// How much of it the archive is to keep.
    pub archive: ArchiveKind,
    /// Whether it takes force.
    pub force: Force,
    /// How many newer successes there have to be on its thing under the same rule, before it may go.
    pub behind: Option<NonZeroU32>,
}

/// Why an execution stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeepReason {
    /// It is active, and the sweep deletes only what has ended.
    Active,
    /// It is running, and its rule cancels only what waits.
    Running,
    /// It has ended, and there is nothing to cancel.
    Ended,
    /// Its rule says never.
    Never,
    /// It is not old enough yet.
    NotYet,
    /// Its job may queue another for it: it is not the last word yet.
    RetriesLeft,
    /// Its time lies in the future of the sweep; clocks disagree, so it waits.
    FutureTimestamp,
    /// It is one of the newest successes of its thing under its rule, as many as the rule keeps.
    AmongLast,
}

impl KeepReason {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Never => "never",
            Self::NotYet => "notYet",
            Self::RetriesLeft => "retriesLeft",
            Self::FutureTimestamp => "futureTimestamp",
            Self::AmongLast => "amongLast",
        }
    }
}

/// What the rules say of one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is due.
    Due(Due),
    /// It stays, as the named rule has it.
    Keep {
        /// Why.
        reason: KeepReason,
        /// The rule that matched.
        rule: String,
        /// When it becomes due, if it is only not old enough yet.
        until: Option<Timestamp>,
    },
}

/// What is known of a job does not tell its verdict: its description and tags have to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job's description and tags have to be read")]
pub struct NotKnown;

impl Verdict {
    /// The rule that matched.
    pub fn rule(&self) -> &str {
        match self {
            Self::Due(due) => &due.rule,
            Self::Keep { rule, .. } => rule,
        }
    }
}

impl Retention {
    /// The name of the rule that decides for a job.
    ///
    /// # Errors
    /// When it depends on what has not been read of the job.
    pub fn rule_name(&self, job: &KnownJob<'_>) -> Result<&str, NotKnown> {
        self.rule_for(job).map(|rule| rule.name.as_str())
    }

    /// The rule that decides for a job: the first that is for it, or the default.
    pub(super) fn rule_for(&self, job: &KnownJob<'_>) -> Result<&Rule, NotKnown> {
        let mut possible = self.possible(job);
        match (possible.next(), possible.next()) {
            (Some(rule), None) => Ok(rule),
            // The default is for every job, so there always is one.
            (None, _) => Ok(&self.default),
            (Some(_), Some(_)) => Err(NotKnown),
        }
    }

    /// Judges one execution at `now`. Pure: the same facts give the same verdict.
    ///
    /// # Errors
    /// When the verdict depends on what has not been read of the job.
    pub fn judge(
        &self,
        operation: Operation,
        now: Timestamp,
        job: &KnownJob<'_>,
        row: &ExecutionRow,
    ) -> Result<Verdict, NotKnown> {
        match self.rule_for(job)?.judge(operation, now, row) {
            Verdict::Due(due) if retries_left(operation, job, row)? => {
                Ok(Verdict::Keep { reason: KeepReason::RetriesLeft, rule: due.rule, until: None })
            }
            verdict @ (Verdict::Due(_) | Verdict::Keep { .. }) => Ok(verdict),
        }
    }
}

/// Whether the job may queue another execution after this one. It takes the job's description, which
/// is read for whatever is due.
fn retries_left(operation: Operation, job: &KnownJob<'_>, row: &ExecutionRow) -> Result<bool, NotKnown> {
    match (operation, row.status) {
        (Operation::DeleteExpired, Status::Failed | Status::TimedOut) => {
            let limits = job.retries.ok_or(NotKnown)?;
            // A listing leaves out zero.
            Ok(row.retry_attempt.unwrap_or(0) < i64::from(limits.of(row.status)))
        }
        (
            Operation::DeleteExpired,
            Status::Queued
            | Status::InProgress
            | Status::Succeeded
            | Status::Rejected
            | Status::Removed
            | Status::Canceled,
        )
        | (Operation::CancelStale, _) => Ok(false),
    }
}

impl Rule {
    fn judge(&self, operation: Operation, now: Timestamp, row: &ExecutionRow) -> Verdict {
        let keep = |reason| Verdict::Keep { reason, rule: self.name.clone(), until: None };
        let (limit, from) = match self.limit(operation, row) {
            Ok(found) => found,
            Err(reason) => return keep(reason),
        };
        // Every time that AWS reports counts: one in the future means that clocks disagree.
        if row.queued_at > now || row.last_updated_at > now {
            return keep(KeepReason::FutureTimestamp);
        }
        match limit {
            Limit::Never => keep(KeepReason::Never),
            Limit::After(duration) => match from.checked_add(duration) {
                Ok(since) if since <= now => Verdict::Due(self.due(since, row.status)),
                Ok(until) => {
                    let (reason, rule) = (KeepReason::NotYet, self.name.clone());
                    Verdict::Keep { reason, rule, until: Some(until) }
                }
                Err(_) => keep(KeepReason::NotYet),
            },
        }
    }

    fn due(&self, since: Timestamp, status: Status) -> Due {
        let force = if status == Status::InProgress { Force::EvenInProgress } else { Force::Never };
        let behind = self.terms.keep_last.filter(|_| status == Status::Succeeded);
        Due { rule: self.name.clone(), since, archive: self.archive(status), force, behind }
    }

    /// The limit for this execution and the time it counts from.
    fn limit(&self, operation: Operation, row: &ExecutionRow) -> Result<(Limit, Timestamp), KeepReason> {
        match (operation, row.status) {
            (Operation::DeleteExpired, Status::Queued | Status::InProgress) => Err(KeepReason::Active),
            (
                Operation::DeleteExpired,
                Status::Succeeded
                | Status::Failed
                | Status::TimedOut
                | Status::Rejected
                | Status::Removed
                | Status::Canceled,
            ) => {
                // The parser lets no rule pass that leaves a terminal status out.
                let limit = self.terms.delete_after.get(&row.status).copied().unwrap_or(Limit::Never);
                Ok((limit, row.last_updated_at))
            }
            (Operation::CancelStale, Status::Queued) => Ok((self.terms.cancel_after, row.queued_at)),
            (Operation::CancelStale, Status::InProgress) => match self.terms.cancel_running_after {
                Limit::Never => Err(KeepReason::Running),
                // A device that reports is not stuck.
                limit @ Limit::After(_) => Ok((limit, row.last_updated_at)),
            },
            (
                Operation::CancelStale,
                Status::Succeeded
                | Status::Failed
                | Status::TimedOut
                | Status::Rejected
                | Status::Removed
                | Status::Canceled,
            ) => Err(KeepReason::Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::execution::scenes::{at, row};
    use crate::execution::{RetryLimits, TargetSelection};
    use crate::ids::JobId;

    const DAY: i64 = 86_400;

    fn judge(operation: Operation, now: i64, job: &str, row: &ExecutionRow) -> Verdict {
        let job = JobId::parse(job).unwrap();
        let job = KnownJob { retries: Some(RetryLimits::default()), ..KnownJob::named(&job) };
        Retention::shipped().unwrap().judge(operation, at(now), &job, row).unwrap()
    }

    fn kept(verdict: Verdict) -> KeepReason {
        match verdict {
            Verdict::Keep { reason, .. } => reason,
            Verdict::Due(due) => panic!("due: {due:?}"),
        }
    }

    #[test]
    fn a_finished_execution_is_due_on_the_second_its_retention_ends_and_not_before() {
        let done = row(Status::Succeeded, 0, 5);
        let last = judge(Operation::DeleteExpired, 5 + 30 * DAY - 1, "job", &done);
        assert_eq!(kept(last), KeepReason::NotYet);
        let due = judge(Operation::DeleteExpired, 5 + 30 * DAY, "job", &done);
        assert_eq!(due, Verdict::Due(default_due(5 + 30 * DAY, ArchiveKind::Summary, Force::Never)));
    }

    fn default_due(since: i64, archive: ArchiveKind, force: Force) -> Due {
        Due { rule: "default".into(), since: at(since), archive, force, behind: None }
    }

    #[test]
    fn each_status_has_its_own_limit() {
        for (status, days) in [(Status::Failed, 90), (Status::TimedOut, 90), (Status::Canceled, 30)] {
            let done = row(status, 0, 0);
            assert_eq!(
                kept(judge(Operation::DeleteExpired, days * DAY - 1, "job", &done)),
                KeepReason::NotYet
            );
            assert!(matches!(judge(Operation::DeleteExpired, days * DAY, "job", &done), Verdict::Due(_)));
        }
    }

    #[test]
    fn an_active_execution_is_never_due_for_deletion() {
        for status in [Status::Queued, Status::InProgress] {
            let verdict = judge(Operation::DeleteExpired, 10_000 * DAY, "job", &row(status, 0, 0));
            assert_eq!(kept(verdict), KeepReason::Active);
        }
    }

    #[test]
    fn only_what_waits_is_due_for_cancelling() {
        let now = 60 * DAY;
        assert!(matches!(
            judge(Operation::CancelStale, now, "job", &row(Status::Queued, 0, 0)),
            Verdict::Due(_)
        ));
        let running = row(Status::InProgress, 0, 0);
        assert_eq!(kept(judge(Operation::CancelStale, now, "job", &running)), KeepReason::Running);
        let ended = row(Status::Failed, 0, 0);
        assert_eq!(kept(judge(Operation::CancelStale, now, "job", &ended)), KeepReason::Ended);
    }

    #[test]
    fn what_runs_is_due_by_force_and_kept_whole_when_its_device_has_said_nothing_for_as_long() {
        let text = include_str!("../../../policies/retention.toml").replace(
            r#"cancel_after = { QUEUED = "60d" }"#,
            r#"cancel_after = { QUEUED = "60d", IN_PROGRESS = { after = "7d", force = true } }"#,
        );
        let rules = Retention::parse("r.toml", &text).unwrap();
        let judge = |operation, status, updated, now: i64| {
            let job_id = JobId::parse("job").unwrap();
            rules.judge(operation, at(now), &KnownJob::named(&job_id), &row(status, 0, updated)).unwrap()
        };
        let stale = |updated, now| judge(Operation::CancelStale, Status::InProgress, updated, now);
        assert_eq!(
            stale(0, 7 * DAY),
            Verdict::Due(default_due(7 * DAY, ArchiveKind::Full, Force::EvenInProgress))
        );
        assert_eq!(kept(stale(1, 7 * DAY)), KeepReason::NotYet);
        let waiting = judge(Operation::CancelStale, Status::Queued, 0, 60 * DAY);
        assert_eq!(waiting, Verdict::Due(default_due(60 * DAY, ArchiveKind::Summary, Force::Never)));
        let deleting = judge(Operation::DeleteExpired, Status::InProgress, 0, 60 * DAY);
        assert_eq!(kept(deleting), KeepReason::Active);
        assert!(rules.archives_in_full("default", Status::InProgress));
        assert!(!rules.archives_in_full("default", Status::Queued));
        let named = |id| JobId::parse(id).unwrap();
        assert!(rules.cancels_running(&KnownJob::named(&named("job"))));
        assert!(!rules.cancels_running(&KnownJob::named(&named("keep-job"))));
    }

    #[test]
    fn a_waiting_execution_ages_from_when_it_was_queued() {
        let touched_lately = row(Status::Queued, 0, 59 * DAY);
        assert!(matches!(judge(Operation::CancelStale, 60 * DAY, "job", &touched_lately), Verdict::Due(_)));
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let old = row(Status::Succeeded, 0, 0);
        let verdict = judge(Operation::DeleteExpired, 1000 * DAY, "keep-me", &old);
        assert_eq!(verdict, Verdict::Keep { reason: KeepReason::Never, rule: "keep".into(), until: None });
    }

    #[test]
    fn what_the_job_may_still_retry_is_not_due_and_needs_the_job_read() {
        let job_id = JobId::parse("job").unwrap();
        let judge = |status, attempt, retries, days: i64| {
            let row = ExecutionRow { retry_attempt: attempt, ..row(status, 0, 0) };
            let job = KnownJob { retries, ..KnownJob::named(&job_id) };
            Retention::shipped().unwrap().judge(Operation::DeleteExpired, at(days * DAY), &job, &row)
        };
        let limits = Some(RetryLimits { failed: 2, timed_out: 1 });
        let left = |status, attempt| kept(judge(status, attempt, limits, 90).unwrap());
        assert_eq!(left(Status::Failed, None), KeepReason::RetriesLeft);
        assert_eq!(left(Status::Failed, Some(1)), KeepReason::RetriesLeft);
        assert_eq!(left(Status::TimedOut, Some(0)), KeepReason::RetriesLeft);
        let due =
            |status, attempt, retries| matches!(judge(status, attempt, retries, 90), Ok(Verdict::Due(_)));
        assert!(due(Status::Failed, Some(2), limits));
        assert!(due(Status::TimedOut, Some(1), limits));
        assert!(due(Status::Failed, None, Some(RetryLimits::default())));
        // What is no failure is not retried, and what is not old enough needs no call.
        assert!(due(Status::Rejected, None, None));
        assert_eq!(judge(Status::Failed, Some(2), None, 90), Err(NotKnown));
        assert_eq!(kept(judge(Status::Failed, None, None, 89).unwrap()), KeepReason::NotYet);
    }

    #[test]
    fn a_timestamp_in_the_future_defers() {
        let verdict = judge(Operation::DeleteExpired, 100, "job", &row(Status::Succeeded, 0, 101));
        assert_eq!(kept(verdict), KeepReason::FutureTimestamp);
        let verdict = judge(Operation::DeleteExpired, 90 * DAY, "job", &row(Status::Succeeded, 91 * DAY, 0));
        assert_eq!(kept(verdict), KeepReason::FutureTimestamp);
        // What waits ages from when it was queued, and its other time counts all the same.
        let verdict = judge(Operation::CancelStale, 90 * DAY, "job", &row(Status::Queued, 0, 91 * DAY));
        assert_eq!(kept(verdict), KeepReason::FutureTimestamp);
        // What has just happened is not in the future.
        for (operation, status) in
            [(Operation::DeleteExpired, Status::Succeeded), (Operation::CancelStale, Status::Queued)]
        {
            assert_eq!(kept(judge(operation, 7, "job", &row(status, 7, 7))), KeepReason::NotYet);
        }
    }

    #[test]
    fn a_reason_has_the_same_name_in_a_report_as_in_json() {
        use KeepReason::{Active, AmongLast, Ended, FutureTimestamp, Never, NotYet, RetriesLeft, Running};
        for reason in [Active, Running, Ended, Never, NotYet, RetriesLeft, FutureTimestamp, AmongLast] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    /// The shipped rules behind two that ask for what has to be read.
    fn asking() -> Retention {
        let limits = |days: &str| {
            let statuses = Status::ALL.into_iter().filter(|status| status.is_terminal());
            statuses.map(|status| format!("{status} = \"{days}\"")).collect::<Vec<_>>().join(", ")
        };
        let rule = |name: &str, scope: &str, days: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\n{scope}\ndelete_after = {{ {} }}\narchive = \"summary\"\n",
                limits(days)
            )
        };
        let canary = "job_ids = [\"fw-*\"]\njob_tags = { ring = \"canary\" }\nkeep_last = 1";
        let canary = rule("canary", canary, "2d");
        let rolling = rule("rolling", "target_selection = \"CONTINUOUS\"", "never");
        let shipped = include_str!("../../../policies/retention.toml");
        let text = shipped.replacen("[[rule]]", &format!("{canary}{rolling}[[rule]]"), 1);
        Retention::parse("r.toml", &text).unwrap()
    }

    #[test]
    fn a_rule_that_asks_for_tags_leaves_open_only_what_it_may_be_for() {
        let rules = asking();
        let tags = [("ring".to_owned(), "canary".to_owned())].into();
        let empty = Default::default();
        let check = |job: &str, target, tags, expected: Result<&str, NotKnown>| {
            let job_id = JobId::parse(job).unwrap();
            let known = KnownJob { job_id: &job_id, target_selection: target, tags, retries: None };
            let verdict = rules.judge(Operation::DeleteExpired, at(DAY), &known, &row(Status::Failed, 0, 0));
            let rule = verdict.map(|verdict| verdict.rule().to_owned());
            assert_eq!(rule, expected.map(str::to_owned), "{known:?}");
        };
        let snapshot = Some(TargetSelection::Snapshot);
        let continuous = Some(TargetSelection::Continuous);
        check("fw-1", snapshot, None, Err(NotKnown));
        check("fw-1", snapshot, Some(&tags), Ok("canary"));
        check("fw-1", snapshot, Some(&empty), Ok("default"));
        check("fw-1", continuous, Some(&empty), Ok("rolling"));
        // Its id tells that the first rule is not for it.
        check("app", snapshot, None, Ok("default"));
        check("app", continuous, None, Ok("rolling"));
        check("app", None, None, Err(NotKnown));
    }

    #[test]
    fn nothing_younger_than_the_shortest_limit_of_a_rule_that_may_be_the_jobs_can_be_due() {
        let rules = asking();
        let check = |operation, job: &str, target_selection, expected: Option<i64>| {
            let job_id = JobId::parse(job).unwrap();
            let known = KnownJob { target_selection, ..KnownJob::named(&job_id) };
            let expected = expected.map(|days| Limit::After(SignedDuration::from_hours(24 * days)));
            assert_eq!(rules.shortest(operation, &known), expected.unwrap_or(Limit::Never), "{known:?}");
        };
        let snapshot = Some(TargetSelection::Snapshot);
        let continuous = Some(TargetSelection::Continuous);
        check(Operation::DeleteExpired, "app", snapshot, Some(30));
        check(Operation::DeleteExpired, "fw-1", snapshot, Some(2));
        check(Operation::DeleteExpired, "fw-1", continuous, Some(2));
        check(Operation::DeleteExpired, "app", continuous, None);
        check(Operation::DeleteExpired, "app", None, Some(30));
        check(Operation::DeleteExpired, "keep-1", snapshot, None);
        check(Operation::CancelStale, "fw-1", snapshot, Some(60));
        check(Operation::CancelStale, "fw-1", continuous, None);
        check(Operation::CancelStale, "keep-1", snapshot, None);
    }

    #[test]
    fn the_limits_of_a_status_are_those_of_every_rule_that_may_be_the_jobs() {
        let rules = asking();
        let check = |job: &str, target_selection, status, expected: &[i64]| {
            let job_id = JobId::parse(job).unwrap();
            let known = KnownJob { target_selection, ..KnownJob::named(&job_id) };
            let expected = expected.iter().map(|days| SignedDuration::from_hours(24 * days)).collect();
            assert_eq!(rules.limits_of(status, &known), expected, "{known:?}");
        };
        let snapshot = Some(TargetSelection::Snapshot);
        check("fw-1", snapshot, Status::Failed, &[2, 90]);
        check("fw-1", snapshot, Status::Succeeded, &[2, 30]);
        check("app", snapshot, Status::Failed, &[90]);
        check("keep-1", snapshot, Status::Failed, &[]);
        check("app", snapshot, Status::Queued, &[]);
    }

    #[test]
    fn a_job_is_deleted_whole_only_by_the_rule_that_is_told_to_be_its() {
        let text = include_str!("../../../policies/retention.toml");
        let rules = text.replace("\n[default]", "\n[default]\nretire_jobs = true");
        let rules = Retention::parse("r.toml", &rules).unwrap();
        let told = |job: &str| {
            let job_id = JobId::parse(job).unwrap();
            let job = KnownJob::named(&job_id);
            (rules.rule_name(&job).unwrap().to_owned(), rules.retires(&job))
        };
        assert_eq!(told("job"), ("default".to_owned(), true));
        assert_eq!(told("keep-job"), ("keep".to_owned(), false));
        // What is known of this one leaves its rule open.
        let job_id = JobId::parse("fw-1").unwrap();
        assert_eq!(asking().rule_name(&KnownJob::named(&job_id)), Err(NotKnown));
    }

    #[test]
    fn of_what_is_due_only_a_success_has_to_be_behind_the_last() {
        let rules = asking();
        let job_id = JobId::parse("fw-1").unwrap();
        let tags = [("ring".to_owned(), "canary".to_owned())].into();
        let job =
            KnownJob { tags: Some(&tags), retries: Some(RetryLimits::default()), ..KnownJob::named(&job_id) };
        let behind = |status| {
            let verdict = rules.judge(Operation::DeleteExpired, at(2 * DAY), &job, &row(status, 0, 0));
            match verdict.unwrap() {
                Verdict::Due(due) => due.behind.map(NonZeroU32::get),
                Verdict::Keep { reason, .. } => panic!("kept: {reason:?}"),
            }
        };
        assert_eq!(behind(Status::Succeeded), Some(1));
        for status in [Status::Failed, Status::TimedOut, Status::Rejected, Status::Canceled] {
            assert_eq!(behind(status), None, "{status}");
        }
    }

    #[test]
    fn a_job_may_have_any_rule_that_what_is_known_of_it_leaves_open() {
        let rules = asking();
        let check = |job: &str, target_selection, expected: &[&str]| {
            let job_id = JobId::parse(job).unwrap();
            let known = KnownJob { target_selection, ..KnownJob::named(&job_id) };
            let names = ["canary", "rolling", "keep", "default", "none"];
            let open: Vec<_> = names.into_iter().filter(|name| rules.may_have(&known, name)).collect();
            assert_eq!(open, expected, "{known:?}");
            assert_eq!(rules.may_keep_last(&known), open.contains(&"canary"), "{known:?}");
        };
        let snapshot = Some(TargetSelection::Snapshot);
        check("fw-1", snapshot, &["canary", "default"]);
        check("fw-1", Some(TargetSelection::Continuous), &["canary", "rolling"]);
        check("app", snapshot, &["default"]);
        check("app", None, &["rolling", "default"]);
        check("keep-1", snapshot, &["keep"]);
    }

    #[test]
    fn rules_say_where_they_are_from_and_their_digest_tells_one_text_from_another() {
        let text = include_str!("../../../policies/retention.toml");
        let [one, same, other] =
            [("a.toml", text.to_owned()), ("b.toml", text.to_owned()), ("a.toml", format!("{text}\n"))]
                .map(|(file, text)| Retention::parse(file, &text).unwrap());
        assert_eq!((one.source(), same.source()), ("a.toml", "b.toml"));
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
    }

    proptest! {
        #[test]
        fn what_is_due_stays_due_and_is_older_than_the_shortest_limit(
            status in proptest::sample::select(Status::ALL.to_vec()),
            queued in 0..200 * DAY,
            ran in 0..50 * DAY,
            now in 0..400 * DAY,
            later in 0..100 * DAY,
        ) {
            for operation in Operation::ALL {
                let row = row(status, queued, queued + ran);
                if let Verdict::Due(due) = judge(operation, now, "job", &row) {
                    let job = JobId::parse("job").unwrap();
                    let rules = Retention::shipped().unwrap();
                    let Limit::After(shortest) = rules.shortest(operation, &KnownJob::named(&job)) else {
                        panic!("never");
                    };
                    prop_assert!(due.since <= at(now));
                    prop_assert!(at(now).duration_since(at(queued)) >= shortest);
                    prop_assert!(matches!(judge(operation, now + later, "job", &row), Verdict::Due(_)));
                }
            }
        }
    }
}
