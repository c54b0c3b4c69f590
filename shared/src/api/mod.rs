//! The API's edge: requests parsed to the last member, answers in the wire form of AWS IoT.

mod body;
mod decision;
mod error;
mod limits;
mod media;
mod permit;
mod principal;
mod request;

pub use decision::DecisionAnswer;
pub use error::{ApiError, ErrorCode};
pub use limits::Sizes;
pub use media::Media;
pub use permit::permit;
pub use principal::{CallerIdentity, Identified, principal};
pub use request::{ApiRequest, StartRequest};

use serde::Serialize;
use serde_json::Value;

use crate::ports::SignedLink;

/// What goes back to the client.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The error's name, for the header `x-amzn-ErrorType`.
    pub error_type: Option<&'static str>,
    /// The body.
    pub body: Value,
    /// Where the client finds what it asked for. Nobody may keep it.
    pub location: Option<SignedLink>,
}

impl ApiResponse {
    /// A success.
    pub fn ok(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_value(body) {
            Ok(body) => Self { status, error_type: None, body, location: None },
            Err(error) => ApiError::unavailable("the answer could not be written", error).into(),
        }
    }
}

impl ApiResponse {
    /// What was asked for is to be read elsewhere.
    pub fn see_other(location: SignedLink) -> Self {
        let body =
            serde_json::json!({ "message": "it is where the header `location` says, for a few minutes" });
        Self { status: 303, error_type: None, body, location: Some(location) }
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
        Self { status: error.code.http_status(), error_type: Some(name), body, location: None }
    }
}
