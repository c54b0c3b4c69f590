//! What an error of the SDK means, once for all operations.

use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use shared::meter;
use shared::ports::{Cause, MutationError, ReadError};

use crate::error_code::{is_of_credentials_or_clock, is_of_quota};
use crate::lanes::{Unsent, why_unsent};

/// What went wrong with a call.
#[derive(Debug)]
pub(super) enum Fault {
    NotFound(String),
    InvalidState(String),
    VersionConflict(String),
    Invalid(String),
    Throttled(Cause),
    RoleRefused(Cause),
    /// AWS did not accept our credentials or clock, or there were no credentials to send it with: it has no effect.
    Unauthenticated(Cause),
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
            (None, None) => match why_unsent(&error) {
                Some(Unsent::RoleRefused) => Self::RoleRefused(Box::new(error)),
                Some(Unsent::NoCredentials) => Self::Unauthenticated(Box::new(error)),
                None => Self::Unknown(Box::new(error)),
            },
            (Some(code), _) if is_of_credentials_or_clock(code) => Self::Unauthenticated(Box::new(error)),
            (Some(code), _) if is_of_quota(code) => Self::Throttled(Box::new(error)),
            (Some("ResourceNotFoundException"), _) => Self::NotFound(message),
            (Some("InvalidStateTransitionException"), _) => Self::InvalidState(message),
            (Some("VersionConflictException"), _) => Self::VersionConflict(message),
            (_, Some(429)) => Self::Throttled(Box::new(error)),
            (Some(_), Some(401 | 403)) => Self::RoleRefused(Box::new(error)),
            (Some(_), Some(400..=499)) => Self::Invalid(message),
            // Without an answer that names its error, nothing is known.
            _ => Self::Unknown(Box::new(error)),
        }
    }

    pub(super) fn mutation(self, operation: &'static str) -> MutationError {
        self.count(operation);
        match self {
            Self::NotFound(message) => MutationError::NotFound(message),
            Self::InvalidState(message) => MutationError::InvalidState(message),
            Self::VersionConflict(message) => MutationError::VersionConflict(message),
            Self::Invalid(message) => MutationError::Invalid(message),
            Self::Throttled(cause) => MutationError::Throttled(cause),
            Self::RoleRefused(cause) => MutationError::RoleRefused(cause),
            Self::Unauthenticated(cause) => MutationError::Unauthenticated(cause),
            Self::Unknown(cause) => MutationError::Unknown(cause),
        }
    }

    pub(super) fn read(self, operation: &'static str) -> ReadError {
        self.count(operation);
        match self {
            Self::NotFound(message) => ReadError::NotFound(message),
            Self::Throttled(source) => ReadError::Throttled { operation, source },
            Self::RoleRefused(source) => ReadError::RoleRefused { operation, source },
            Self::Unauthenticated(source) | Self::Unknown(source) => {
                ReadError::Unavailable { operation, source }
            }
            Self::Invalid(message) => ReadError::Invalid(message),
            Self::InvalidState(problem) | Self::VersionConflict(problem) => {
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

    fn count(&self, operation: &'static str) {
        if matches!(self, Self::Throttled(_)) {
            meter::throttled(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_iot::config::http::HttpResponse;
    use aws_sdk_iot::error::{ConnectorError, ErrorMetadata};
    use aws_sdk_iot::operation::delete_job_execution::DeleteJobExecutionError as Error;

    use super::*;

    fn answered(code: &str, status: u16) -> Fault {
        let error = Error::generic(ErrorMetadata::builder().code(code).message("m").build());
        let response = HttpResponse::new(status.try_into().unwrap(), "".into());
        Fault::of(SdkError::service_error(error, response))
    }

    fn kind(fault: Fault) -> &'static str {
        match fault {
            Fault::NotFound(_) => "not found",
            Fault::InvalidState(_) => "invalid state",
            Fault::VersionConflict(_) => "version conflict",
            Fault::Invalid(_) => "invalid",
            Fault::Throttled(_) => "throttled",
            Fault::RoleRefused(_) => "role refused",
            Fault::Unauthenticated(_) => "unauthenticated",
            Fault::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn every_answer_of_aws_has_one_meaning() {
        for (code, status, expected) in [
            ("ResourceNotFoundException", 404, "not found"),
            ("InvalidStateTransitionException", 409, "invalid state"),
            ("VersionConflictException", 409, "version conflict"),
            ("InvalidRequestException", 400, "invalid"),
            ("ValidationException", 400, "invalid"),
            ("ThrottlingException", 400, "throttled"),
            ("TooManyRequestsException", 429, "throttled"),
            ("LimitExceededException", 410, "throttled"),
            ("Whatever", 429, "throttled"),
            ("AccessDeniedException", 403, "role refused"),
            ("UnauthorizedException", 401, "role refused"),
            ("OptInRequired", 403, "role refused"),
            ("UnrecognizedClientException", 403, "unauthenticated"),
            ("ExpiredTokenException", 400, "unauthenticated"),
            ("RequestTimeTooSkewed", 403, "unauthenticated"),
            ("ServiceUnavailableException", 503, "unknown"),
            ("InternalFailureException", 500, "unknown"),
        ] {
            assert_eq!(kind(answered(code, status)), expected, "{code} {status}");
        }
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let lost: SdkError<Error> = SdkError::timeout_error("late");
        assert_eq!(kind(Fault::of(lost)), "unknown");
        let cut: SdkError<Error> = SdkError::dispatch_failure(ConnectorError::io("reset".into()));
        assert_eq!(kind(Fault::of(cut)), "unknown");
    }

    #[test]
    fn only_a_listing_with_a_token_blames_the_token() {
        let invalid = || answered("InvalidRequestException", 400);
        assert!(matches!(invalid().listing("ListJobs", Some("t")), ReadError::InvalidToken(_)));
        assert!(matches!(invalid().listing("ListJobs", None), ReadError::Invalid(_)));
    }
}
