//! The API's edge: requests parsed to the last member, answers in the wire form of AWS IoT.

mod body;
mod decision;
mod error;
mod limits;
mod permit;
mod principal;
mod request;

pub use decision::DecisionAnswer;
pub use error::{ApiError, ErrorCode};
pub use limits::Sizes;
pub use permit::permit;
pub use principal::{CallerIdentity, Identified, principal};
pub use request::{ApiRequest, StartRequest};

use serde::Serialize;
use serde_json::Value;

/// What goes back to the client.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The error's name, for the header `x-amzn-ErrorType`.
    pub error_type: Option<&'static str>,
    /// The body.
    pub body: Value,
}

impl ApiResponse {
    /// A success.
    pub fn ok(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_value(body) {
            Ok(body) => Self { status, error_type: None, body },
            Err(error) => ApiError::unavailable("the answer could not be written", error).into(),
        }
    }
}

impl From<ApiError> for ApiResponse {
    fn from(error: ApiError) -> Self {
        // Clients look for the name in the header, and where a gateway kept that, in the body.
        let name = error.code.as_str();
        let mut body = serde_json::json!({ "__type": name, "message": error.message });
        if let (Some(decision), Some(body)) = (error.decision, body.as_object_mut()) {
            body.insert("decision".to_owned(), serde_json::json!(decision));
        }
        Self { status: error.code.http_status(), error_type: Some(name), body }
    }
}
