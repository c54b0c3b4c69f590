//! The guarded operations as machines: which call comes next, and what to make of its answer.
//!
//! This says again what the code of the guard says, step for step. The replay holds the two together.

use shared::execution::Status;

use super::cloud::{Execution, Refusal, Strength, Which};
use super::wire::{Call, Heard};

/// How often a decision is made anew when the execution changes between reading and acting.
const TRIES: u8 = 3;

/// The number that every delete in the model asks for.
const NUMBER: u8 = 1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// The guarded cancel.
    Cancel,
    /// The guarded cancel with force.
    ForcedCancel,
    /// The guarded delete.
    Delete,
    /// The guarded delete with force.
    ForcedDelete,
    /// What a script without a guard does: describe, then delete with force.
    BareForcedDelete,
}

impl Operation {
    fn strength(self) -> Strength {
        match self {
            Self::Cancel | Self::Delete => Strength::Plain,
            Self::ForcedCancel | Self::ForcedDelete | Self::BareForcedDelete => Strength::Forced,
        }
    }

    fn cancels(self) -> bool {
        match self {
            Self::Cancel | Self::ForcedCancel => true,
            Self::Delete | Self::ForcedDelete | Self::BareForcedDelete => false,
        }
    }
}

/// How the job is set up: whether another execution may come next, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// One execution for each thing, and no other.
    Snapshot,
    /// Another one when one fails.
    Retries,
    /// Another one when the thing joins again.
    Continuous,
    /// Both.
    RetriesAndContinuous,
}

impl Job {
    /// Whether it queues another execution when one fails.
    pub(super) fn retries(self) -> bool {
        matches!(self, Self::Retries | Self::RetriesAndContinuous)
    }

    /// Whether it queues another execution when the thing joins again.
    pub(super) fn continuous(self) -> bool {
        matches!(self, Self::Continuous | Self::RetriesAndContinuous)
    }

    /// Whether one thing may have several executions of it.
    pub(super) fn may_queue_another(self) -> bool {
        self.retries() || self.continuous()
    }
}

/// Which access policy is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The shipped one, asked by a member of the force group.
    Shipped,
    /// One that permits everything.
    PermitsAll,
}

/// A part of the protocol that can be left out, to see what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safeguard {
    /// The version that a cancel is pinned to.
    Pin,
    /// That a forced delete cancels first and then deletes without force.
    CancelFirst,
    /// The record in the archive.
    Archive,
    /// That a forced delete compares its execution with the current one.
    Comparison,
    /// That a look after a cancel compares identities.
    Identity,
    /// The look after a lost answer.
    Look,
    /// That a cancel is not told as a success where another may have been hit and no look shows which.
    Doubt,
}

/// What a run goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The job.
    pub(super) job: Job,
    /// The access policy.
    pub(super) policy: Policy,
    /// How many looks a cancellation has to show; five in the code.
    pub(super) looks: u8,
    /// What is left out, if something is.
    pub(super) without: Option<Safeguard>,
}

impl Rules {
    fn keep(self, safeguard: Safeguard) -> bool {
        self.without != Some(safeguard)
    }

    fn refuse(self, operation: Operation, seen: Execution) -> bool {
        match self.policy {
            Policy::Shipped => {
                operation.strength() == Strength::Forced
                    && self.job.may_queue_another()
                    && !seen.status.is_terminal()
            }
            Policy::PermitsAll => false,
        }
    }
}

/// What the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// Success: it was seen as CANCELED.
    Canceled,
    /// Success: AWS accepted the cancel, and does not show it yet.
    CancelAccepted,
    /// Success: it is gone.
    Deleted,
    /// The access policy refused.
    PolicyRefused,
    /// AWS's reasons.
    Refused(Refusal),
    /// It may have happened or not.
    Unknown,
    /// Something was not to be had; the message says what has happened.
    Unavailable,
}

impl Answer {
    /// Whether it is told as a success.
    pub(super) fn is_success(self) -> bool {
        match self {
            Self::Canceled | Self::CancelAccepted | Self::Deleted => true,
            Self::PolicyRefused | Self::Refused(_) | Self::Unknown | Self::Unavailable => false,
        }
    }
}

/// What became of the answer to a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reply {
    Accepted,
    Lost,
}

/// What the looks after a cancel show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Effect {
    Canceled(Execution),
    NotYet,
    NotCompared,
    Mismatch,
}

/// Whether more may be known after another look.
#[derive(Debug, Clone, Copy)]
enum Further {
    Looks,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Describe,
    DescribeCurrent(Execution),
    Cancel(Execution),
    Look(Execution, u8, Reply, Effect),
    Archive(Execution),
    Delete(Execution),
    LookAfterLostDelete(Execution),
    Answered(Answer),
}

/// One operation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Run {
    /// What was asked for.
    pub(super) operation: Operation,
    /// The execution that the decision was made on, as it was seen.
    pub(super) decided: Option<Execution>,
    conflicts: u8,
    canceled_first: bool,
    step: Step,
}

impl Run {
    /// A request that has just come in.
    pub(super) fn new(operation: Operation) -> Self {
        Self { operation, decided: None, conflicts: 0, canceled_first: false, step: Step::Describe }
    }

    /// What the caller was told, if it was.
    pub(super) fn answer(&self) -> Option<Answer> {
        match self.step {
            Step::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// The next call, until there is an answer.
    pub(super) fn call(&self, rules: Rules) -> Option<Call> {
        let strength = self.operation.strength();
        Some(match self.step {
            Step::Describe if self.operation.cancels() => Call::Describe(Which::Current),
            Step::Describe => Call::Describe(Which::Numbered(NUMBER)),
            Step::DescribeCurrent(_) => Call::Describe(Which::Current),
            Step::Cancel(decided) => {
                let pin = rules.keep(Safeguard::Pin).then_some(decided.version);
                Call::Cancel(pin, strength)
            }
            Step::Look(sought, ..) | Step::LookAfterLostDelete(sought) => {
                Call::Describe(Which::Numbered(sought.number))
            }
            Step::Archive(ended) => Call::Archive(ended),
            Step::Delete(ended) if self.operation == Operation::BareForcedDelete => {
                Call::Delete(ended.number, Strength::Forced)
            }
            Step::Delete(ended) if rules.keep(Safeguard::CancelFirst) => {
                Call::Delete(ended.number, Strength::Plain)
            }
            Step::Delete(ended) => Call::Delete(ended.number, strength),
            Step::Answered(_) => return None,
        })
    }

    /// Goes on after a call came back.
    pub(super) fn hear(&mut self, rules: Rules, heard: Heard) {
        use Answer::{Canceled, Deleted, Refused, Unavailable, Unknown};
        use Step::Answered;
        self.step = match (self.step, heard) {
            (Step::Describe, Heard::Seen(seen)) => self.decide(rules, seen),
            (Step::DescribeCurrent(decided), Heard::Seen(current)) => {
                if current.identity() == decided.identity() || !rules.keep(Safeguard::Comparison) {
                    Step::Cancel(decided)
                } else {
                    Answered(Refused(Refusal::InvalidState))
                }
            }
            (Step::Cancel(decided), Heard::Accepted) => Self::look(decided, Reply::Accepted),
            (Step::Cancel(_), Heard::Refused(Refusal::VersionConflict)) => {
                self.conflicts += 1;
                if self.conflicts < TRIES {
                    Step::Describe
                } else {
                    // DeleteJobExecution knows no VersionConflictException.
                    let cancels = self.operation.cancels();
                    Answered(Refused(if cancels { Refusal::VersionConflict } else { Refusal::InvalidState }))
                }
            }
            (Step::Cancel(_), Heard::Nothing) if !rules.keep(Safeguard::Look) => Answered(Canceled),
            (Step::Cancel(decided), Heard::Nothing) => Self::look(decided, Reply::Lost),

            (Step::Look(decided, nth, reply, so_far), heard) => {
                match Self::effect(rules, decided, so_far, heard) {
                    (effect, Further::Looks) if nth < rules.looks => {
                        Step::Look(decided, nth + 1, reply, effect)
                    }
                    (effect, _) => self.settle(rules, decided, reply, effect),
                }
            }

            (Step::Archive(ended), Heard::Accepted) => Step::Delete(ended),
            (Step::Delete(_), Heard::Refused(refusal))
                if self.canceled_first && refusal != Refusal::NotFound =>
            {
                Answered(Unavailable)
            }
            (Step::Delete(_), Heard::Accepted) => Answered(Deleted),
            (Step::Delete(_), Heard::Nothing) if !rules.keep(Safeguard::Look) => Answered(Deleted),
            (Step::Delete(_), Heard::Nothing) if self.operation == Operation::BareForcedDelete => {
                Answered(Unknown)
            }
            (Step::Delete(ended), Heard::Nothing) => Step::LookAfterLostDelete(ended),
            (Step::LookAfterLostDelete(ended), Heard::Seen(seen)) if seen.identity() == ended.identity() => {
                Answered(Unknown)
            }
            (Step::LookAfterLostDelete(_), Heard::Seen(_) | Heard::Refused(_)) => Answered(Deleted),
            (Step::LookAfterLostDelete(_), Heard::Nothing) => Answered(Unknown),

            (_, Heard::Refused(refusal)) => Answered(Refused(refusal)),
            (_, Heard::Nothing) => Answered(Unavailable),
            (step, heard) => unreachable!("{step:?} heard {heard:?}"),
        };
    }

    fn decide(&mut self, rules: Rules, seen: Execution) -> Step {
        let (operation, strength) = (self.operation, self.operation.strength());
        self.decided = Some(seen);
        if operation == Operation::BareForcedDelete {
            return Step::Delete(seen);
        }
        if rules.refuse(operation, seen) {
            return Step::Answered(Answer::PolicyRefused);
        }
        let invalid = Step::Answered(Answer::Refused(Refusal::InvalidState));
        if operation.cancels() {
            return match (seen.status, strength) {
                (Status::Queued, _) | (Status::InProgress, Strength::Forced) => Step::Cancel(seen),
                _ => invalid,
            };
        }
        match (seen.status.is_terminal(), strength) {
            (true, _) => Self::archive(rules, seen),
            (false, Strength::Plain) => invalid,
            (false, Strength::Forced) if rules.keep(Safeguard::CancelFirst) => Step::DescribeCurrent(seen),
            (false, Strength::Forced) => Self::archive(rules, seen),
        }
    }

    fn archive(rules: Rules, ended: Execution) -> Step {
        if rules.keep(Safeguard::Archive) { Step::Archive(ended) } else { Step::Delete(ended) }
    }

    fn look(decided: Execution, reply: Reply) -> Step {
        Step::Look(decided, 1, reply, Effect::NotCompared)
    }

    /// What is known of a cancel's effect after another look.
    fn effect(rules: Rules, decided: Execution, so_far: Effect, heard: Heard) -> (Effect, Further) {
        match heard {
            Heard::Seen(seen) => {
                let mistaken = seen.identity() != decided.identity() && rules.keep(Safeguard::Identity);
                match seen.status {
                    _ if mistaken => (Effect::Mismatch, Further::Nothing),
                    Status::Canceled => (Effect::Canceled(seen), Further::Nothing),
                    status if status.is_terminal() => (Effect::Mismatch, Further::Nothing),
                    _ => (Effect::NotYet, Further::Looks),
                }
            }
            Heard::Refused(_) => (so_far, Further::Nothing),
            Heard::Nothing | Heard::Accepted => (so_far, Further::Looks),
        }
    }

    fn settle(&mut self, rules: Rules, decided: Execution, reply: Reply, effect: Effect) -> Step {
        match (reply, effect) {
            (Reply::Lost, Effect::Canceled(seen)) if seen.version <= decided.version => {
                Step::Answered(Answer::Unknown)
            }
            (_, Effect::Canceled(_)) if self.operation.cancels() => Step::Answered(Answer::Canceled),
            (_, Effect::Canceled(seen)) => {
                self.canceled_first = true;
                Self::archive(rules, seen)
            }
            (Reply::Accepted, Effect::Mismatch) => Step::Answered(Answer::Refused(Refusal::InvalidState)),
            (Reply::Accepted, Effect::NotCompared)
                if rules.job.may_queue_another() && rules.keep(Safeguard::Doubt) =>
            {
                Step::Answered(Answer::Unknown)
            }
            (Reply::Accepted, Effect::NotYet | Effect::NotCompared) if self.operation.cancels() => {
                Step::Answered(Answer::CancelAccepted)
            }
            (Reply::Accepted, Effect::NotYet | Effect::NotCompared) => Step::Answered(Answer::Unavailable),
            (Reply::Lost, Effect::NotYet | Effect::NotCompared | Effect::Mismatch) => {
                Step::Answered(Answer::Unknown)
            }
        }
    }
}
