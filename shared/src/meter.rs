//! What is counted for CloudWatch: each metric with its unit and dimensions, and the functions that count.
//!
//! Counting goes to the recorder of the process, and nowhere if it has none. No dimension is a job, a thing or a
//! caller: each value of one is a metric of its own that is paid for, so there must be few.

use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, histogram};

use crate::access::Explanation;
use crate::operation::Operation;
use crate::sweep::{Outcome, Report};

/// What numbers are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// How long.
    Seconds,
    /// How large.
    Bytes,
}

impl Unit {
    /// CloudWatch's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
            Self::Bytes => "Bytes",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What its numbers are of.
    pub unit: Unit,
    /// The sets of dimensions that it is told under.
    pub dimensions: &'static [&'static [&'static str]],
}

/// Every metric that there is. docs/metrics.md says what each means.
pub const ALL: [Metric; 16] = [
    metric("Decisions", Unit::Count, &[&["Action", "Outcome"], &["Policy"]]),
    metric("PolicyAge", Unit::Seconds, &[&["Document"]]),
    metric("Calls", Unit::Count, &[&[], &["Operation"]]),
    metric("Throttles", Unit::Count, &[&[], &["Operation"]]),
    metric("Deletions", Unit::Count, &[&["Source"], &["Rule"]]),
    metric("Cancellations", Unit::Count, &[&["Source"], &["Rule"]]),
    metric("ArchiveBytes", Unit::Bytes, &[&[]]),
    metric("ArchiveFailures", Unit::Count, &[&[]]),
    metric("Outcomes", Unit::Count, &[&["Sweep", "Outcome"]]),
    metric("Kept", Unit::Count, &[&["Sweep", "Reason"]]),
    metric("RowsSeen", Unit::Count, &[&["Sweep", "Lane"]]),
    metric("Due", Unit::Count, &[&["Sweep", "Lane"]]),
    metric("Remaining", Unit::Count, &[&["Sweep", "Lane"]]),
    metric("SweepLag", Unit::Seconds, &[&["Sweep", "Lane"]]),
    metric("OldestDue", Unit::Seconds, &[&["Sweep", "Lane"]]),
    metric("SweepsEnded", Unit::Count, &[&["Sweep", "Lane", "Status"]]),
];

const fn metric(name: &'static str, unit: Unit, dimensions: &'static [&'static [&'static str]]) -> Metric {
    Metric { name, unit, dimensions }
}

/// A decision, as the audit trail tells it.
pub(crate) fn decided(action: &'static str, explanation: &Explanation) {
    counter!("Decisions", "Action" => action, "Outcome" => explanation.outcome).increment(1);
    for policy in &explanation.policies {
        counter!("Decisions", "Policy" => policy.id.clone()).increment(1);
    }
}

/// A document by which something is decided now, which was the newest one so long ago.
pub(crate) fn document(name: &'static str, age: Duration) {
    histogram!("PolicyAge", "Document" => name).record(age.as_secs_f64());
}

/// A call of AWS IoT that was sent.
pub fn called(operation: &str) {
    counter!("Calls").increment(1);
    counter!("Calls", "Operation" => operation.to_owned()).increment(1);
}

/// A call that AWS IoT throttled.
pub fn throttled(operation: &'static str) {
    counter!("Throttles").increment(1);
    counter!("Throttles", "Operation" => operation).increment(1);
}

/// An object with records or outcomes that the bucket has taken.
pub(crate) fn archived(bytes: usize) {
    counter!("ArchiveBytes").increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// One that it has not.
pub(crate) fn not_archived() {
    counter!("ArchiveFailures").increment(1);
}

/// An execution that a request has deleted.
pub(crate) fn deleted_by_request() {
    counter!("Deletions", "Source" => "api").increment(1);
}

/// An execution that a request has cancelled, whether to delete it or not.
pub(crate) fn cancelled_by_request() {
    counter!("Cancellations", "Source" => "api").increment(1);
}

/// What came of executions that a rule had due.
pub(crate) fn came_of(operation: Operation, rule: &str, outcome: Outcome, count: u64) {
    counter!("Outcomes", "Sweep" => operation.as_str(), "Outcome" => outcome.as_str()).increment(count);
    if !outcome.done() {
        return;
    }
    let name = if outcome.canceled() { "Cancellations" } else { "Deletions" };
    counter!(name, "Source" => "sweep").increment(count);
    counter!(name, "Rule" => rule.to_owned()).increment(count);
}

/// How far a sweep has come when a slice of it ends.
pub(crate) fn slice_ended(operation: Operation, lane: &str, remaining: Option<u64>, lag: Duration) {
    let labels = [("Sweep", operation.as_str().to_owned()), ("Lane", lane.to_owned())];
    histogram!("SweepLag", &labels).record(lag.as_secs_f64());
    if let Some(remaining) = remaining {
        #[expect(clippy::cast_precision_loss, reason = "nobody has so many executions")]
        histogram!("Remaining", &labels).record(remaining as f64);
    }
}

/// A sweep that has ended, by its report.
pub(crate) fn sweep_ended(report: &Report, lane: &str, oldest_due: Option<Timestamp>) {
    let sweep = report.operation.as_str();
    let labels = [("Sweep", sweep.to_owned()), ("Lane", lane.to_owned())];
    counter!("SweepsEnded", "Sweep" => sweep, "Lane" => lane.to_owned(), "Status" => report.status.as_str())
        .increment(1);
    counter!("RowsSeen", &labels).increment(report.rows_seen);
    counter!("Due", &labels).increment(report.due);
    // None is overdue where none is due: without this the alarm would not clear.
    let overdue = oldest_due.map_or(0.0, |since| report.now.duration_since(since).as_secs_f64());
    histogram!("OldestDue", &labels).record(overdue);
    for (kind, count) in report.kept.iter() {
        // Which policies refused is in the report; here it would be a metric for each.
        let reason = kind.verdict.split(':').next().unwrap_or_default().to_owned();
        counter!("Kept", "Sweep" => sweep, "Reason" => reason).increment(count);
    }
    let unreadable = report.unreadable.values().sum();
    counter!("Kept", "Sweep" => sweep, "Reason" => "unreadable").increment(unreadable);
}
