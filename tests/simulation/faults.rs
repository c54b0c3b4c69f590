//! What goes wrong in a case, and at which call.

use shared::execution::Status;
use shared::operation::Operation;

use crate::rng::Rng;

/// What happens to a job's tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tagging {
    /// The hold tag is set.
    Hold,
    /// It is taken off.
    Unhold,
    /// A tag changes that rules may name.
    Retag,
}

/// What happens to the world just before a call arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// The device reports progress: another version, so that a cancel conflicts.
    Reports,
    /// The device takes up what waits.
    Starts,
    /// What is active ends; the job may queue a retry.
    Ends(Status),
    /// Somebody else deletes the thing's executions.
    SecondCleaner,
    /// The same, and another execution takes the number: waiting, or ended at once.
    NumberReuse(Status),
    /// Somebody tags the job.
    Tags(Tagging),
    /// Somebody deletes the job.
    JobGone,
    /// An execution joins, at the front of the listing.
    Joins,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Throttled,
    ServerError,
    TimesOutBefore,
    TimesOutAfter,
    ResetBefore,
    ResetAfter,
    Slow,
    InvalidToken,
    RoleRefused,
    CrashBefore,
    CrashAfter,
    /// It takes longer than its invocation may live.
    Hangs,
    BucketLostBefore,
    BucketLostAfter,
    BucketConflict,
    BucketReadLost,
    QueueLostBefore,
    QueueLostAfter,
    World(Act),
}

impl What {
    /// Its name in the statistics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttle",
            Self::ServerError => "5xx",
            Self::TimesOutBefore => "timeout before the effect",
            Self::TimesOutAfter => "timeout after the effect",
            Self::ResetBefore => "connection reset before the effect",
            Self::ResetAfter => "connection reset after the effect",
            Self::Slow => "slow call",
            Self::InvalidToken => "invalid token",
            Self::RoleRefused => "role refused",
            Self::CrashBefore => "crash before a call's effect",
            Self::CrashAfter => "crash after a call's effect",
            Self::Hangs => "killed at the deadline",
            Self::BucketLostBefore => "bucket write lost before",
            Self::BucketLostAfter => "bucket write lost after",
            Self::BucketConflict => "bucket write conflicting with itself",
            Self::BucketReadLost => "bucket read lost",
            Self::QueueLostBefore => "queue send lost before",
            Self::QueueLostAfter => "queue send lost after",
            Self::World(Act::Reports) => "device reports (version conflict)",
            Self::World(Act::Starts) => "device starts",
            Self::World(Act::Ends(_)) => "device ends",
            Self::World(Act::SecondCleaner) => "second cleaner",
            Self::World(Act::NumberReuse(_)) => "number reuse",
            Self::World(Act::Tags(Tagging::Hold)) => "hold set",
            Self::World(Act::Tags(Tagging::Unhold)) => "hold taken off",
            Self::World(Act::Tags(Tagging::Retag)) => "tag changed",
            Self::World(Act::JobGone) => "job deleted",
            Self::World(Act::Joins) => "page drift (an execution joins)",
        }
    }
}

/// Something that goes wrong with some calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Which calls are counted; `None` counts every one.
    pub(crate) operation: Option<&'static str>,
    /// The first that is hit, from 1.
    pub(crate) nth: usize,
    /// How many are hit, one after the other.
    pub(crate) times: usize,
    pub(crate) what: What,
    /// Which job and thing something happens to, where the call names none.
    pub(crate) job: usize,
    pub(crate) thing: usize,
}

const ENDS: [Status; 6] =
    [Status::Succeeded, Status::Failed, Status::Failed, Status::TimedOut, Status::Rejected, Status::Removed];

impl Fault {
    pub(crate) fn random(rng: &mut Rng, operation: Operation) -> Self {
        let what = Self::what(rng);
        let calls = Self::calls(rng, operation, what);
        let most = match calls {
            None => 70,
            Some("ListJobs" | "send") => 3,
            Some("put") => 24,
            Some("get") => 8,
            Some(_) => 6,
        };
        let times = match what {
            What::Throttled => rng.weighted(&[(6, 1), (2, 3), (1, 12)]),
            What::ServerError | What::InvalidToken => rng.weighted(&[(6, 1), (2, 2), (2, 4)]),
            What::BucketLostBefore | What::TimesOutBefore | What::TimesOutAfter | What::ResetBefore => {
                rng.weighted(&[(5, 1), (1, 2), (1, 3)])
            }
            What::ResetAfter
            | What::Slow
            | What::RoleRefused
            | What::CrashBefore
            | What::CrashAfter
            | What::Hangs
            | What::BucketLostAfter
            | What::BucketConflict
            | What::BucketReadLost
            | What::QueueLostBefore
            | What::QueueLostAfter
            | What::World(_) => 1,
        };
        let nth = 1 + rng.below(most);
        Self { operation: calls, nth, times, what, job: rng.below(4), thing: rng.below(4) }
    }

    /// A hold that comes while a sweep is at the job, and cancels or deletes that wait so long for their turn that
    /// what was read before the hold is too old to be acted on.
    pub(crate) fn hold_and_wait(rng: &mut Rng, operation: Operation) -> [Self; 2] {
        let nth = 1 + rng.below(2);
        let calls = Some(operation.action().as_str());
        let hold = What::World(Act::Tags(Tagging::Hold));
        let hold = Self { operation: calls, nth, times: 1, what: hold, job: 0, thing: 0 };
        let (times, what) = rng.pick(&[(20, What::Throttled), (1, What::Slow)]);
        // The longest of slow calls.
        [hold, Self { operation: calls, nth: nth + 1, times, what, job: 3, thing: 0 }]
    }

    fn what(rng: &mut Rng) -> What {
        let end = What::World(Act::Ends(rng.pick(&ENDS)));
        let reuse = What::World(Act::NumberReuse(rng.pick(&[Status::Queued, Status::Succeeded])));
        rng.weighted(&[
            (6, What::Throttled),
            (5, What::ServerError),
            (3, What::TimesOutBefore),
            (6, What::TimesOutAfter),
            (3, What::ResetBefore),
            (4, What::ResetAfter),
            (5, What::Slow),
            (4, What::InvalidToken),
            (1, What::RoleRefused),
            (6, What::CrashBefore),
            (8, What::CrashAfter),
            (4, What::Hangs),
            (4, What::BucketLostBefore),
            (4, What::BucketLostAfter),
            (4, What::BucketConflict),
            (2, What::BucketReadLost),
            (3, What::QueueLostBefore),
            (3, What::QueueLostAfter),
            (5, What::World(Act::Reports)),
            (5, What::World(Act::Starts)),
            (6, end),
            (2, What::World(Act::SecondCleaner)),
            (4, reuse),
            (4, What::World(Act::Tags(Tagging::Hold))),
            (3, What::World(Act::Tags(Tagging::Unhold))),
            (3, What::World(Act::Tags(Tagging::Retag))),
            (1, What::World(Act::JobGone)),
            (3, What::World(Act::Joins)),
        ])
    }

    /// Which calls it may hit.
    fn calls(rng: &mut Rng, operation: Operation, what: What) -> Option<&'static str> {
        let whole = operation == Operation::DeleteExpired && rng.chance(25);
        let mutation = if whole { "DeleteJob" } else { operation.action().as_str() };
        match what {
            What::BucketLostBefore | What::BucketLostAfter | What::BucketConflict => Some("put"),
            What::BucketReadLost => Some("get"),
            What::QueueLostBefore | What::QueueLostAfter => Some("send"),
            What::InvalidToken => Some(rng.weighted(&[(1, "ListJobs"), (4, "ListJobExecutionsForJob")])),
            What::CrashBefore | What::CrashAfter => rng.weighted(&[(3, None), (2, Some(mutation))]),
            What::TimesOutAfter | What::ResetAfter => Some(mutation),
            What::Throttled
            | What::ServerError
            | What::TimesOutBefore
            | What::ResetBefore
            | What::Slow
            | What::RoleRefused
            | What::Hangs
            | What::World(_) => Some(rng.weighted(&[
                (1, "ListJobs"),
                (4, "ListJobExecutionsForJob"),
                (2, "DescribeJob"),
                (2, "ListTagsForResource"),
                (3, "DescribeJobExecution"),
                (usize::from(whole), "GetJobDocument"),
                (if operation == Operation::CancelStale { 3 } else { 1 }, "ListJobExecutionsForThing"),
                (6, mutation),
            ])),
        }
    }
}
