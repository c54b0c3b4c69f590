//! Errors as AWS IoT words them: one exhaustive map from ours to the wire.

use crate::access::Explanation;
use crate::guard::GuardError;
use crate::ids::{Violation, quoted};
use crate::ports::Cause;

/// AWS IoT's names of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request breaks a limit or makes no sense.
    InvalidRequest,
    /// The access policy refused.
    AccessDenied,
    /// There is no such thing.
    ResourceNotFound,
    /// The status does not allow it.
    InvalidStateTransition,
    /// It is another version.
    VersionConflict,
    /// A quota is used up. AWS IoT answers this with 400, not 429.
    Throttling,
    /// Something underneath is not available.
    ServiceUnavailable,
}

impl ErrorCode {
    /// Every error that there is.
    pub const ALL: [Self; 7] = [
        Self::InvalidRequest,
        Self::AccessDenied,
        Self::ResourceNotFound,
        Self::InvalidStateTransition,
        Self::VersionConflict,
        Self::Throttling,
        Self::ServiceUnavailable,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequestException",
            Self::AccessDenied => "AccessDeniedException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::InvalidStateTransition => "InvalidStateTransitionException",
            Self::VersionConflict => "VersionConflictException",
            Self::Throttling => "ThrottlingException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The HTTP status that AWS IoT gives it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::Throttling => 400,
            Self::AccessDenied => 403,
            Self::ResourceNotFound => 404,
            Self::InvalidStateTransition | Self::VersionConflict => 409,
            Self::ServiceUnavailable => 503,
        }
    }
}

/// How many mistakes are told one by one.
const MOST_TOLD: usize = 20;

/// What the client is told, and what the log is told besides.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", .code.as_str())]
pub struct ApiError {
    /// AWS's name for it.
    pub code: ErrorCode,
    /// What, where and what to do about it.
    pub message: String,
    /// What the access policy said, where it refused.
    pub decision: Option<Box<Explanation>>,
    /// The cause; it never goes to the client.
    #[source]
    pub cause: Option<Cause>,
}

impl ApiError {
    /// An error without a hidden cause.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), decision: None, cause: None }
    }

    /// There is no such route; only a gateway set up wrongly sends one.
    pub fn no_route(resource: &str) -> Self {
        Self::new(ErrorCode::InvalidRequest, format!("{} is no route of this function", quoted(resource)))
    }

    /// Something underneath is not available.
    pub fn unavailable(message: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(ErrorCode::ServiceUnavailable, message) }
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        vec![violation].into()
    }
}

impl From<Vec<Violation>> for ApiError {
    fn from(violations: Vec<Violation>) -> Self {
        let mut told: Vec<_> = violations.iter().take(MOST_TOLD).map(Violation::to_string).collect();
        let count = violations.len();
        if count > MOST_TOLD {
            told.push(format!("and {} more", count - MOST_TOLD));
        }
        let noun = if count == 1 { "error" } else { "errors" };
        let message = format!("{count} validation {noun} detected: {}", told.join("; "));
        Self::new(ErrorCode::InvalidRequest, message)
    }
}

impl From<GuardError> for ApiError {
    fn from(error: GuardError) -> Self {
        let message = error.to_string();
        let (code, cause) = match error {
            GuardError::Refused { explanation, .. } => {
                return Self { decision: Some(explanation), ..Self::new(ErrorCode::AccessDenied, message) };
            }
            GuardError::Invalid(_) => (ErrorCode::InvalidRequest, None),
            GuardError::NotFound(_) => (ErrorCode::ResourceNotFound, None),
            GuardError::InvalidState(_) => (ErrorCode::InvalidStateTransition, None),
            GuardError::VersionConflict(_) => (ErrorCode::VersionConflict, None),
            GuardError::Throttled(cause) => (ErrorCode::Throttling, Some(cause)),
            GuardError::UnknownOutcome { source, .. } | GuardError::Unavailable { source, .. } => {
                (ErrorCode::ServiceUnavailable, Some(source))
            }
        };
        Self { code, message, decision: None, cause }
    }
}
