//! The calls that leave the process, and what may become of them on their way.

use tests::QueuedDelete;

use super::cloud::{Cloud, Execution, Refusal, Strength, Which};

/// A call that leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Call {
    /// DescribeJobExecution.
    Describe(Which),
    /// CancelJobExecution, pinned to a version.
    Cancel(Option<u8>, Strength),
    /// The write into the archive.
    Archive(Execution),
    /// DeleteJobExecution.
    Delete(u8, Strength),
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// It is answered.
    Answered,
    /// It is answered with what was there before a cancellation that does not show yet.
    AnsweredLate,
    /// It has its effect, and its answer is lost.
    AnswerLost,
    /// It is held up on its way and given up on. It lands at any time later, or never.
    HeldUp,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Heard {
    /// A description.
    Seen(Execution),
    /// Done.
    Accepted,
    /// Not done, and why.
    Refused(Refusal),
    /// Nothing: it may have happened or not.
    Nothing,
}

/// The fates that a call may meet.
pub(super) fn fates(cloud: &Cloud, call: Call, reads_fail: bool) -> Vec<Fate> {
    match call {
        Call::Describe(which) => {
            let late = cloud.show_late(which).map(|_| Fate::AnsweredLate);
            let lost = reads_fail.then_some(Fate::AnswerLost);
            [Some(Fate::Answered), late, lost].into_iter().flatten().collect()
        }
        Call::Cancel(..) | Call::Archive(_) | Call::Delete(..) => {
            vec![Fate::Answered, Fate::AnswerLost, Fate::HeldUp]
        }
    }
}

/// What a description answers.
pub(super) fn describe(cloud: &Cloud, which: Which, fate: Fate) -> Heard {
    let shown = match fate {
        Fate::Answered => cloud.show(which),
        Fate::AnsweredLate => cloud.show_late(which),
        Fate::AnswerLost | Fate::HeldUp => return Heard::Nothing,
    };
    shown.map_or(Heard::Refused(Refusal::NotFound), Heard::Seen)
}

/// A cancel or delete arrives: the execution that it hit, as it was.
pub(super) fn land(
    cloud: &mut Cloud,
    call: Call,
    queued_delete: QueuedDelete,
) -> Option<Result<Execution, Refusal>> {
    match call {
        Call::Cancel(version, strength) => Some(cloud.cancel(version, strength)),
        Call::Delete(number, strength) => Some(cloud.delete(number, strength, queued_delete)),
        Call::Describe(_) | Call::Archive(_) => None,
    }
}
