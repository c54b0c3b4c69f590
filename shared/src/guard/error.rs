//! Why a guarded operation did not happen.

use crate::access::{ExecutionAction, Explanation, Refusal};
use crate::archive::ArchiveError;
use crate::ports::{Cause, MutationError, ReadError};

/// Why a guarded operation did not happen, or is not known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The access policy refused.
    #[error("{}: {refusal}{}", .action.as_str(), .explanation.unmet_in_words())]
    Refused {
        /// What was asked.
        action: ExecutionAction,
        /// Why not.
        refusal: Refusal,
        /// The same, in parts.
        explanation: Box<Explanation>,
    },
    /// AWS finds the request malformed.
    #[error("{0}")]
    Invalid(String),
    /// There is no such job or execution.
    #[error("{0}")]
    NotFound(String),
    /// The execution's status does not allow it.
    #[error("{0}")]
    InvalidState(String),
    /// The execution is not the version that was asked for or decided on.
    #[error("{0}")]
    VersionConflict(String),
    /// A quota of AWS IoT is used up for now; nothing was sent, or it had no effect.
    #[error("AWS IoT throttled the request; slow down and try again")]
    Throttled(#[source] Cause),
    /// It may have happened, or not, and could not be looked at.
    #[error("{what}; describe the execution before trying again")]
    UnknownOutcome {
        /// What is not known.
        what: String,
        /// Why.
        source: Cause,
    },
    /// Something underneath is not available. The message says what has happened: nothing, or
    /// that the execution was cancelled and not deleted.
    #[error("{message}")]
    Unavailable {
        /// What, and what to do.
        message: String,
        /// Why.
        source: Cause,
    },
}

impl GuardError {
    /// The error of a delete whose cancel, before it, went through.
    pub(super) fn after_cancel(self) -> Self {
        match self {
            Self::UnknownOutcome { what, source } => {
                let what = format!("the execution was cancelled, and {what}");
                Self::UnknownOutcome { what, source }
            }
            Self::NotFound(message) => Self::NotFound(format!(
                "the execution was cancelled, and then deleted by somebody else: {message}"
            )),
            error => {
                let message =
                    format!("the execution was cancelled, and not deleted: {error}; delete it again");
                Self::Unavailable { message, source: Box::new(error) }
            }
        }
    }

    pub(super) fn unknown_outcome(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::UnknownOutcome { what: what.into(), source: source.into() }
    }
}

impl From<ReadError> for GuardError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound(message) => Self::NotFound(message),
            ReadError::Invalid(message) => Self::Invalid(message),
            ReadError::Throttled { source, .. } => Self::Throttled(source),
            ReadError::RoleRefused { operation, source } => {
                let message =
                    format!("this function's role may not {operation}, so nothing was done; see the log");
                Self::Unavailable { message, source }
            }
            ReadError::InvalidToken(_) | ReadError::Unreadable { .. } | ReadError::Unavailable { .. } => {
                let message =
                    "a fact that the decision needs could not be read, so nothing was done; try again"
                        .to_owned();
                Self::Unavailable { message, source: Box::new(error) }
            }
        }
    }
}

impl From<MutationError> for GuardError {
    fn from(error: MutationError) -> Self {
        match error {
            MutationError::NotFound(message) => Self::NotFound(message),
            MutationError::InvalidState(message) => Self::InvalidState(message),
            MutationError::VersionConflict(message) => Self::VersionConflict(message),
            MutationError::Invalid(message) => Self::Invalid(message),
            MutationError::Throttled(source) => Self::Throttled(source),
            MutationError::RoleRefused(source) => Self::Unavailable {
                message: "this function's role may not do this; see the log".to_owned(),
                source,
            },
            MutationError::Unauthenticated(source) => Self::Unavailable {
                message: "AWS did not accept this function's credentials or clock, so nothing was done; try \
                          again"
                    .to_owned(),
                source,
            },
            MutationError::Unknown(source) => Self::unknown_outcome("AWS IoT's answer was lost", source),
        }
    }
}

impl From<ArchiveError> for GuardError {
    fn from(error: ArchiveError) -> Self {
        let message = "the archive did not take the record, so nothing was deleted; try again".to_owned();
        Self::Unavailable { message, source: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccessPolicy, Decision, UnmetPermit};

    #[test]
    fn a_refusal_by_default_names_the_condition_that_is_not_met() {
        let decision = Decision::Deny(Refusal::NoPermit);
        let mut explanation = AccessPolicy::shipped().unwrap().explain(&decision, None);
        let refused = |explanation: &Explanation| {
            let (action, refusal) = (ExecutionAction::Cancel, Refusal::NoPermit);
            GuardError::Refused { action, refusal, explanation: Box::new(explanation.clone()) }.to_string()
        };
        assert_eq!(refused(&explanation), "CancelJobExecution: no policy permits it");
        let condition = Some("context.force".to_owned());
        explanation.unmet = vec![UnmetPermit { id: "p".to_owned(), reason: "r".to_owned(), condition }];
        assert_eq!(
            refused(&explanation),
            "CancelJobExecution: no policy permits it; policy `p` would, but for its condition `context.force`"
        );
    }
}
