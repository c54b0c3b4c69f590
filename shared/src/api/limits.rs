//! How large a request may be, told before anything of it is read.

use super::ApiError;
use super::body::MAX_BODY;
use crate::ids::Violation;

/// Bytes of the path and its parameters. The largest legal ones have some 1,100, with every character encoded
/// that can be.
const MAX_PATH: usize = 2 * 1024;
/// Bytes of the query's names and values. The largest legal one has some 200.
const MAX_QUERY: usize = 4 * 1024;
/// Bytes of the headers' names and values, none of which is read. API Gateway takes 10,240 of them with the
/// request line, and adds some of its own.
const MAX_HEADERS: usize = 32 * 1024;

/// How large the parts of a request are, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The path and its parameters.
    pub path: usize,
    /// The query's names and values.
    pub query: usize,
    /// The headers' names and values.
    pub headers: usize,
    /// The body, decoded.
    pub body: usize,
}

impl Sizes {
    /// Lets a request through that has no part above its limit.
    ///
    /// # Errors
    /// InvalidRequestException naming every part that is too large.
    pub fn check(self) -> Result<(), ApiError> {
        let parts = [
            ("path", self.path, MAX_PATH),
            ("query", self.query, MAX_QUERY),
            ("headers", self.headers, MAX_HEADERS),
            ("body", self.body, MAX_BODY),
        ];
        let large = parts.into_iter().filter(|(_, size, limit)| size > limit);
        let violations: Vec<_> = large.map(|(part, size, limit)| too_large(part, size, limit)).collect();
        if violations.is_empty() { Ok(()) } else { Err(violations.into()) }
    }
}

/// A part of a request has more bytes than it may have.
pub(super) fn too_large(part: &'static str, size: usize, limit: usize) -> Violation {
    Violation::new(part, format!("has {size} bytes, at most {limit} are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ErrorCode;

    #[test]
    fn each_part_may_have_its_limit_and_no_byte_more() {
        let most = Sizes { path: 2048, query: 4096, headers: 32768, body: 65536 };
        assert!(most.check().is_ok());
        for (sizes, told) in [
            (Sizes { path: 2049, ..most }, "path: has 2049 bytes, at most 2048 are allowed"),
            (Sizes { query: 4097, ..most }, "query: has 4097 bytes, at most 4096 are allowed"),
            (Sizes { headers: 32769, ..most }, "headers: has 32769 bytes, at most 32768 are allowed"),
            (Sizes { body: 65537, ..most }, "body: has 65537 bytes, at most 65536 are allowed"),
        ] {
            let error = sizes.check().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert_eq!(error.message, format!("1 validation error detected: {told}"));
        }
    }

    #[test]
    fn every_part_that_is_too_large_is_told_at_once() {
        let error = Sizes { path: 9999, query: 9999, ..Sizes::default() }.check().unwrap_err();
        assert!(error.message.starts_with("2 validation errors detected: path: has 9999"), "{error}");
    }
}
