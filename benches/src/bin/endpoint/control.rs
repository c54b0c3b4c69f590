//! AWS IoT and, beside it, what a benchmark asks of the endpoint itself: paths that begin with an underscore.

use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::json;

use crate::account::{Accounts, now};
use crate::options::Changes;
use crate::serve::{self, Answer};
use crate::{fleet, iot, request};

/// Answers a call of AWS IoT or of the endpoint's own.
pub async fn answer(accounts: &Accounts, request: Request<Bytes>) -> Answer {
    let account = accounts.current();
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/_calls") => serve::json(StatusCode::OK, &account.calls.told()),
        (&Method::GET, "/_messages") => serve::json(StatusCode::OK, &account.queue.take()),
        (&Method::GET, "/_due") => {
            let limit = request::query(request.uri()).get("limit").map(|limit| limit.parse());
            match limit.unwrap_or(Ok(usize::MAX)) {
                Ok(limit) => serve::json(StatusCode::OK, &fleet::due(&account, limit, now())),
                Err(_) => refused("limit must be a number"),
            }
        }
        (&Method::POST, "/_reset") => {
            let changes = match request.body().as_ref() {
                b"" => Ok(Changes::default()),
                body => serde_json::from_slice(body),
            };
            match changes.map_err(|error| error.to_string()).and_then(|changes| accounts.reset(changes)) {
                Ok(()) => serve::json(StatusCode::OK, &json!({})),
                Err(problem) => refused(&problem),
            }
        }
        _ => iot::answer(&account, &request).await,
    }
}

fn refused(problem: &str) -> Answer {
    serve::json(StatusCode::BAD_REQUEST, &json!({ "message": problem }))
}
