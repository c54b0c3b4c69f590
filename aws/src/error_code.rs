//! What AWS's error codes mean that every service has, whatever the HTTP status that they come with: one service
//! answers an expired token with 403, another with 400.

/// Whether AWS did not accept the caller's credentials or clock. It has done nothing then, and the trouble passes:
/// credentials are renewed, and clocks are set. An account that is not subscribed (`OptInRequired`) stays so until
/// somebody changes it, and is not among these.
pub fn is_of_credentials_or_clock(code: &str) -> bool {
    matches!(
        code,
        "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "RequestExpired"
            | "RequestInTheFuture"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "TokenRefreshRequired"
            | "UnrecognizedClientException"
    )
}

/// Whether a quota is used up for now.
#[cfg(feature = "functions")]
pub(crate) fn is_of_quota(code: &str) -> bool {
    matches!(
        code,
        "LimitExceededException"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
    )
}
