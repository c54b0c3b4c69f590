//! What must hold, as an onlooker sees it who knows every execution apart.

use shared::execution::Status;
use stateright::Property;

use super::cloud::Execution;
use super::protocol::Answer;
use super::scene::{Hit, Scene, State};
use super::wire::Call;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A result that a device reported is never destroyed without being archived as it was.
    ResultsAreArchived,
    /// Whatever we delete was archived before.
    DeletionsAreArchived,
    /// Nothing is cancelled or deleted by us but the execution that was decided on, and nothing is
    /// cancelled at another version than the one that was decided on.
    OnlyTheDecided,
    /// Success is told only if the execution decided on is gone, or CANCELED by a cancel.
    SuccessIsTrue,
    /// Success is not told by who has hit another execution.
    HitsAreTold,
    /// It is possible to succeed: a protocol that does nothing proves nothing.
    SuccessIsPossible,
}

impl Claim {
    /// Whatever must hold with us as the only deleter.
    pub(super) const ALL: [Self; 6] = [
        Self::ResultsAreArchived,
        Self::DeletionsAreArchived,
        Self::OnlyTheDecided,
        Self::SuccessIsTrue,
        Self::HitsAreTold,
        Self::SuccessIsPossible,
    ];

    /// Whatever must hold even where a cancel may hit another execution than the one decided on.
    pub(super) const WHATEVER_IS_HIT: [Self; 5] = [
        Self::ResultsAreArchived,
        Self::DeletionsAreArchived,
        Self::SuccessIsTrue,
        Self::HitsAreTold,
        Self::SuccessIsPossible,
    ];

    /// Its name in a counterexample.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ResultsAreArchived => "a result is not destroyed without being archived as it was",
            Self::DeletionsAreArchived => "what is deleted was archived before",
            Self::OnlyTheDecided => "only what was decided on is cancelled or deleted",
            Self::SuccessIsTrue => "success means that what was decided on is gone or CANCELED",
            Self::HitsAreTold => "who has hit another execution is not told of a success",
            Self::SuccessIsPossible => "it is possible to succeed",
        }
    }

    /// It as a property of the model.
    pub(super) fn property(self) -> Property<Scene> {
        match self {
            Self::ResultsAreArchived => {
                Property::always(self.name(), |_, state: &State| state.results_are_archived())
            }
            Self::DeletionsAreArchived => {
                Property::always(self.name(), |_, state: &State| state.deletions_are_archived())
            }
            Self::OnlyTheDecided => {
                Property::always(self.name(), |_, state: &State| state.only_the_decided())
            }
            Self::SuccessIsTrue => Property::always(self.name(), |_, state: &State| state.success_is_true()),
            Self::HitsAreTold => Property::always(self.name(), |_, state: &State| state.hits_are_told()),
            Self::SuccessIsPossible => {
                Property::sometimes(self.name(), |_, state: &State| state.has_success())
            }
        }
    }
}

impl State {
    fn deleted(&self) -> impl Iterator<Item = Execution> {
        let deletes = |hit: &&Hit| matches!(hit.sent.call, Call::Delete(..));
        self.hits.iter().filter(deletes).map(|hit| hit.was)
    }

    fn results_are_archived(&self) -> bool {
        self.deleted()
            .filter(|deleted| deleted.holds_a_result())
            .all(|deleted| self.archive.contains(&deleted))
    }

    fn deletions_are_archived(&self) -> bool {
        self.deleted().all(|deleted| self.archive.iter().any(|record| record.birth == deleted.birth))
    }

    fn only_the_decided(&self) -> bool {
        self.hits.iter().all(|Hit { sent, was }| {
            let version_matters = matches!(sent.call, Call::Cancel(..));
            was.birth == sent.decided.birth && (!version_matters || was.version == sent.decided.version)
        })
    }

    fn success_is_true(&self) -> bool {
        self.ours.iter().all(|run| {
            let Some(decided) = run.decided else {
                return true;
            };
            let left = self.cloud.born(decided.birth);
            match run.answer() {
                Some(Answer::Canceled | Answer::CancelAccepted) => {
                    left.is_none_or(|left| left.status == Status::Canceled)
                }
                Some(Answer::Deleted) => left.is_none(),
                Some(Answer::PolicyRefused | Answer::Refused(_) | Answer::Unknown | Answer::Unavailable)
                | None => true,
            }
        })
    }

    fn hits_are_told(&self) -> bool {
        self.hits.iter().all(|Hit { sent, was }| {
            let told = self.ours[sent.by].answer();
            was.birth == sent.decided.birth || !told.is_some_and(Answer::is_success)
        })
    }

    fn has_success(&self) -> bool {
        self.ours.iter().any(|run| run.answer().is_some_and(Answer::is_success))
    }
}
