//! What an error of the SDK means, once for all operations.

use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use shared::ports::{Cause, MutationError, ReadError};

/// What went wrong with a call.
#[derive(Debug)]
pub(super) enum Fault {
    NotFound(String),
    InvalidState(String),
    VersionConflict(String),
    Invalid(String),
    Throttled(Cause),
    RoleRefused(Cause),
    /// AWS erred, or its answer did not arrive: the effect may have happened.
    Unknown(Cause),
}

impl Fault {
    pub(super) fn of<E>(error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let service = error.as_service_error();
        let message = service
            .and_then(ProvideErrorMetadata::message)
            .or_else(|| service.and_then(ProvideErrorMetadata::code))
            .unwrap_or("AWS IoT refused the request")
            .to_owned();
        match (service.and_then(ProvideErrorMetadata::code), status) {
            (Some("ResourceNotFoundException"), _) => Self::NotFound(message),
            (Some("InvalidStateTransitionException"), _) => Self::InvalidState(message),
            (Some("VersionConflictException"), _) => Self::VersionConflict(message),
            (
                Some(
                    "ThrottlingException"
                    | "TooManyRequestsException"
                    | "LimitExceededException"
                    | "RequestLimitExceeded",
                ),
                _,
            )
            | (_, Some(429)) => Self::Throttled(Box::new(error)),
            (_, Some(401 | 403)) => Self::RoleRefused(Box::new(error)),
            (Some(_), Some(400..=499)) => Self::Invalid(message),
            // Without an answer that names its error, nothing is known.
            _ => Self::Unknown(Box::new(error)),
        }
    }

    pub(super) fn mutation(self) -> MutationError {
        match self {
            Self::NotFound(message) => MutationError::NotFound(message),
            Self::InvalidState(message) => MutationError::InvalidState(message),
            Self::VersionConflict(message) => MutationError::VersionConflict(message),
            Self::Invalid(message) => MutationError::Invalid(message),
            Self::Throttled(cause) => MutationError::Throttled(cause),
            Self::RoleRefused(cause) => MutationError::RoleRefused(cause),
            Self::Unknown(cause) => MutationError::Unknown(cause),
        }
    }

    pub(super) fn read(self, operation: &'static str) -> ReadError {
        match self {
            Self::NotFound(message) => ReadError::NotFound(message),
            Self::Throttled(source) => ReadError::Throttled { operation, source },
            Self::RoleRefused(source) | Self::Unknown(source) => ReadError::Unavailable { operation, source },
            Self::InvalidState(problem) | Self::VersionConflict(problem) | Self::Invalid(problem) => {
                ReadError::Unreadable { operation, problem }
            }
        }
    }

    /// A listing that was given a token and finds the request invalid does not like the token.
    pub(super) fn listing(self, operation: &'static str, token: Option<&str>) -> ReadError {
        match self {
            Self::Invalid(message) if token.is_some() => ReadError::InvalidToken(message.into()),
            other => other.read(operation),
        }
    }
}
