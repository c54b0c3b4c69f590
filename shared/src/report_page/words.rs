//! What a report says, in words: for the page, and for tables on a terminal.

use serde_json::json;

use crate::legible::{grouped, length};
use crate::operation::Operation;
use crate::sweep::{CheckResult, Limit, Outcome, Report};

/// A limit of the breaker, as the rules name it.
pub const fn limit_word(limit: Limit) -> &'static str {
    match limit {
        Limit::MaxActions => "max_actions",
        Limit::MaxPercent => "max_percent",
        Limit::MaxGrowth => "max_growth",
    }
}

/// What came of a limit.
pub const fn check_word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Passed => "passed",
        CheckResult::Tripped => "stopped the sweep",
        CheckResult::Released => "released",
        CheckResult::NoSweepBefore => "no sweep before",
    }
}

/// A word of the API's, which is how a value of ours is written.
pub fn word(value: &impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

/// What a verdict means. The words of reports are kept as texts, and a later version may have others.
pub(super) fn meaning(verdict: &str, operation: Operation) -> &'static str {
    match verdict {
        "due" => "past its rule's limit, and the access policy permits it",
        "active" => "waits or runs, and only what has ended is deleted",
        "running" => "runs, and its rule cancels only what waits",
        "ended" => "has ended: there is nothing to cancel",
        "never" => "its rule keeps it for ever",
        "notYet" => "is not old enough yet",
        "retriesLeft" => "its job may queue another for it",
        "futureTimestamp" => "its time lies in the future of the sweep: clocks disagree",
        "amongLast" => "is one of the last successes of its thing, which its rule keeps",
        refused if refused.starts_with("refused: ") => match operation {
            Operation::DeleteExpired => {
                "past its rule's limit, and the access policy does not let the sweep delete it"
            }
            Operation::CancelStale => {
                "past its rule's limit, and the access policy does not let the sweep cancel it"
            }
        },
        _ => "",
    }
}

/// What an outcome means.
pub(super) const fn outcome_meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Deleted => "deleted, its record in the archive",
        Outcome::DeletedByInterruptedSlice => {
            "deleted by an invocation that died; it was looked for, and gone"
        }
        Outcome::DeletedWithJob => "deleted with its whole job",
        Outcome::Canceled => "cancelled, and seen as CANCELED",
        Outcome::CanceledByInterruptedSlice => {
            "cancelled by an invocation that died; it was seen as CANCELED"
        }
        Outcome::CanceledNotSeenYet => "AWS accepted; it was not seen as CANCELED yet",
        Outcome::CanceledNotCompared => "AWS accepted, and it could not be looked at afterwards",
        Outcome::AlreadyGone => "somebody else was faster",
        Outcome::NoLongerEligible => "its status or version had changed",
        Outcome::Replaced => "its number belongs to another execution by now",
        Outcome::AmongLast => "there were no longer enough newer successes on its thing",
        Outcome::Refused => "the access policy refused when it was asked again",
        Outcome::JobUnreadable => "its job could not be read any more",
        Outcome::FactUnreadable => "what is needed to decide on it could not be read",
        Outcome::NotSeenAgain => "it was planned, and not met with again as something due",
        Outcome::RefusedByAws => "AWS found the request malformed",
        Outcome::Unreadable => "its description could not be read",
        Outcome::NotConfirmed => "the answer was lost and it is unchanged: the next sweep sees to it",
        Outcome::Mismatch => "a cancel hit another execution than the one it was meant for",
    }
}

/// What there is to say of the whole.
pub fn summary(report: &Report) -> Vec<(&'static str, String)> {
    let kind = if report.dry_run { "dry run" } else { "real" };
    let mut lines = vec![
        ("sweep", report.sweep_id.to_string()),
        ("status", report.status.as_str().to_owned()),
        ("kind", format!("{} ({kind})", report.operation)),
    ];
    if let Some(lane) = &report.lane {
        lines.push(("lane", format!("{lane} ({})", report.place.as_deref().unwrap_or_default())));
    }
    lines.push(("started by", report.requested_by.clone()));
    lines.push(("ages as of", report.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    if let Some(seconds) = report.duration_seconds {
        lines.push(("took", length(seconds.unsigned_abs())));
    }
    lines.push((
        "jobs",
        format!(
            "{} seen, {} judged, {} too young, {} kept for ever",
            grouped(report.jobs.seen),
            grouped(report.jobs.scanned),
            grouped(report.jobs.too_young),
            grouped(report.jobs.never)
        ),
    ));
    lines.push(("executions", format!("{} seen, {} due", grouped(report.rows_seen), grouped(report.due))));
    if report.archive.totals.records > 0 {
        let totals = report.archive.totals;
        let text = format!(
            "{} records in {} objects under {}",
            grouped(totals.records),
            grouped(totals.objects),
            report.archive.prefix
        );
        lines.push(("archive", text));
    }
    if let Some(estimate) = &report.estimate {
        let calls: u64 = estimate.calls.values().sum();
        lines.push(("estimate", format!("{} calls, {}", grouped(calls), length(estimate.seconds))));
    }
    let coming = |days: usize| grouped(report.forecast.iter().take(days).map(|day| day.due).sum());
    if !report.forecast.is_empty() {
        lines.push(("comes due", format!("{} within 7 days, {} within 30", coming(7), coming(30))));
    }
    if let Some(digest) = &report.plan_digest {
        lines.push(("plan", digest.clone()));
    }
    lines
}
