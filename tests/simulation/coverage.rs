//! Whether enough has happened in all cases together: a simulation in which nothing goes wrong proves nothing.

use std::collections::BTreeMap;

/// So many cases and more have to show everything.
const ENOUGH_CASES: u64 = 10_000;

/// What has to happen at least once in a thousand cases.
const OFTEN: [&str; 57] = [
    "fault: throttle",
    "fault: 5xx",
    "fault: timeout before the effect",
    "fault: timeout after the effect",
    "fault: connection reset before the effect",
    "fault: connection reset after the effect",
    "fault: slow call",
    "fault: invalid token",
    "fault: role refused",
    "fault: crash before a call's effect",
    "fault: crash after a call's effect",
    "fault: killed at the deadline",
    "fault: bucket write lost before",
    "fault: bucket write lost after",
    "fault: bucket write conflicting with itself",
    "fault: bucket read lost",
    "fault: queue send lost before",
    "fault: queue send lost after",
    "fault: device reports (version conflict)",
    "fault: device starts",
    "fault: device ends",
    "fault: second cleaner",
    "fault: number reuse",
    "fault: hold set",
    "fault: hold taken off",
    "fault: tag changed",
    "fault: job deleted",
    "fault: page drift (an execution joins)",
    "fault: duplicate delivery",
    "fault: duplicate delivery at once",
    "fault: overlapping sweeps",
    "fault: clock skew",
    "fault: rules changed",
    "other: several calls under way",
    "other: several mutations under way",
    "end: already taken",
    "end: continued",
    "end: died or killed",
    "end: held off",
    "end: superseded",
    "end: bucket not available",
    "end: something not available",
    "end: start repeated",
    "sweep: Succeeded",
    "sweep: StoppedByBreaker",
    "sweep: Failed",
    "sweep: released",
    "blockers: told",
    "blockers: at least",
    "last successes: one behind them went",
    "last successes: one of them stayed",
    "outcome: Deleted",
    "outcome: DeletedByInterruptedSlice",
    "outcome: DeletedWithJob",
    "outcome: Canceled",
    "outcome: CanceledByInterruptedSlice",
    "outcome: NotSeenAgain",
];

/// What has to happen at all. Two outcomes cannot come of this, because this AWS finds nothing malformed
/// and answers nothing that cannot be read: `RefusedByAws` and `Unreadable`.
const EVER: [&str; 19] = [
    "blockers: not looked at",
    "fault: a call of a dead process arrives",
    "fault: retry queued",
    "other: another execution was hit in place of the one that was meant",
    "outcome: AlreadyGone",
    "outcome: AmongLast",
    "outcome: CanceledNotCompared",
    "outcome: CanceledNotSeenYet",
    "outcome: FactUnreadable",
    "outcome: JobUnreadable",
    "outcome: Mismatch",
    "outcome: NoLongerEligible",
    "outcome: NotConfirmed",
    "outcome: Refused",
    "outcome: Replaced",
    "whole job: JobChanged",
    "whole job: ExecutionsChanged",
    "whole job: NotAllDue",
    "whole job: Unreadable",
];

pub(crate) fn enough_happened(counts: &BTreeMap<String, u64>, cases: u64) {
    if cases < ENOUGH_CASES {
        return;
    }
    let times = |what: &str| counts.get(what).copied().unwrap_or_default();
    let rare: Vec<_> = OFTEN.into_iter().filter(|what| times(what) < cases / 1000).collect();
    let never: Vec<_> = EVER.into_iter().filter(|what| times(what) == 0).collect();
    assert!(rare.is_empty() && never.is_empty(), "too rare: {rare:?}; never: {never:?}");
}
