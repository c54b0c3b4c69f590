//! API Gateway's events: into the API's requests, and its answers back.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared::api::{ApiError, ApiRequest, ApiResponse, ErrorCode, Identified, Media, Sizes};
use shared::ids::Violation;
use shared::ports::chain;

use crate::counting;

/// A call of the API, as the gateway passes it on.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked.
    pub request: ApiRequest,
    /// Who the authorizer says asks.
    pub identified: Identified,
    /// The route, such as `GET /sweeps/{sweepId}`.
    pub route: String,
    /// The request's id.
    pub request_id: String,
    /// What kind of answer the client would rather have.
    pub media: Media,
}

/// Whether an event is a call of the API.
pub fn is_call(event: &Value) -> bool {
    event.get("requestContext").is_some()
}

/// Reads a call, answers it, and logs what went wrong, once.
pub async fn answer<F>(event: Value, handle: impl FnOnce(Call) -> F) -> ApiGatewayProxyResponse
where
    F: Future<Output = Result<ApiResponse, ApiError>>,
{
    let request_id = event.pointer("/requestContext/requestId").and_then(Value::as_str).unwrap_or_default();
    let request_id = request_id.to_owned();
    let answered = match call(event) {
        // Boxed: nested whole, the futures of a call overflow the compiler's depth.
        Ok(call) => Box::pin(handle(call)).await,
        Err(error) => Err(error),
    };
    let answer = answered.unwrap_or_else(|error| {
        let cause = error.cause.as_ref().map(|cause| chain(&**cause)).unwrap_or_default();
        match error.code {
            ErrorCode::ServiceUnavailable => {
                tracing::error!(
                    event = "request_failed",
                    request_id,
                    error = error.code.as_str(),
                    message = error.message,
                    cause
                );
            }
            ErrorCode::InvalidRequest
            | ErrorCode::AccessDenied
            | ErrorCode::ResourceNotFound
            | ErrorCode::InvalidStateTransition
            | ErrorCode::VersionConflict
            | ErrorCode::Throttling => {
                tracing::info!(
                    event = "request_refused",
                    request_id,
                    error = error.code.as_str(),
                    message = error.message,
                    cause
                );
            }
        }
        error.into()
    });
    counting::flush();
    response(answer)
}

fn call(mut event: Value) -> Result<Call, ApiError> {
    sizes(&event).check()?;
    let media = Media::preferred(accept(&event));
    let query = query(&mut event)?;
    // No other header matters here, and one that is not ASCII must not make the request unreadable.
    if let Some(event) = event.as_object_mut() {
        event.remove("headers");
        event.remove("multiValueHeaders");
    }
    let event: ApiGatewayProxyRequest = serde_json::from_value(event).map_err(unreadable)?;
    let context = event.request_context;
    let request = ApiRequest {
        path: event.path_parameters.into_iter().collect(),
        query,
        body: body(event.body, event.is_base64_encoded)?,
    };
    let claims = context.authorizer.fields.get("claims").and_then(Value::as_object);
    Ok(Call {
        request,
        identified: Identified {
            api_account: context.account_id,
            user_arn: context.identity.user_arn,
            claims: claims.map(|claims| claims.clone().into_iter().collect()),
        },
        route: format!("{} {}", event.http_method, event.resource.unwrap_or_default()),
        request_id: context.request_id.unwrap_or_default(),
        media,
    })
}

fn unreadable(error: serde_json::Error) -> ApiError {
    let message = "the request cannot be read; it is no event of a REST API";
    ApiError { cause: Some(error.into()), ..ApiError::new(ErrorCode::InvalidRequest, message) }
}

/// Takes the query out of the event: the event type's own query panics at a parameter with an empty list.
fn query(event: &mut Value) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let mut take = |name: &str| event.get_mut(name).map(Value::take).unwrap_or_default();
    let (single, multiple) = (take("queryStringParameters"), take("multiValueQueryStringParameters"));
    let single: Option<BTreeMap<String, String>> = serde_json::from_value(single).map_err(unreadable)?;
    let multiple: Option<BTreeMap<String, Vec<String>>> =
        serde_json::from_value(multiple).map_err(unreadable)?;
    let single = single.unwrap_or_default().into_iter().map(|(name, value)| (name, vec![value]));
    Ok(multiple.filter(|multiple| !multiple.is_empty()).unwrap_or_else(|| single.collect()))
}

/// The header that says which kinds of answer the client takes; the gateway keeps the client's own spelling of names.
fn accept(event: &Value) -> &str {
    let headers = event.get("headers").and_then(Value::as_object).into_iter().flatten();
    let mut accepts = headers.filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    accepts.next().and_then(|(_, value)| value.as_str()).unwrap_or_default()
}

/// How large a call's parts are. The gateway passes query and headers on twice, with the last and with all values
/// of each name.
fn sizes(event: &Value) -> Sizes {
    let part = |name: &str| event.get(name).map_or(0, bytes);
    let body = part("body");
    let is_base64 = event.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    Sizes {
        path: part("path") + part("pathParameters"),
        query: part("queryStringParameters").max(part("multiValueQueryStringParameters")),
        headers: part("headers").max(part("multiValueHeaders")),
        body: if is_base64 { base64::decoded_len_estimate(body).saturating_sub(2) } else { body },
    }
}

/// The bytes of all texts in a value, names included.
fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(bytes).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
    }
}

fn body(body: Option<String>, is_base64: bool) -> Result<Vec<u8>, ApiError> {
    let body = body.unwrap_or_default();
    if !is_base64 {
        return Ok(body.into_bytes());
    }
    STANDARD
        .decode(body)
        .map_err(|error| Violation::new("body", format!("is marked as base64 and is not: {error}")).into())
}

fn response(answer: ApiResponse) -> ApiGatewayProxyResponse {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    if let Some(name) = answer.error_type {
        headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(name));
    }
    if let Some(link) = answer.location {
        headers.insert(HeaderName::from_static("cache-control"), HeaderValue::from_static("no-store"));
        match HeaderValue::from_str(link.reveal()) {
            Ok(link) => drop(headers.insert(HeaderName::from_static("location"), link)),
            Err(error) => return response(ApiError::unavailable("the link cannot be told", error).into()),
        }
    }
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = i64::from(answer.status);
    response.headers = headers;
    response.body = Some(Body::Text(answer.body.to_string()));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The answer to a call with these parts, and whether the function got to see it.
    async fn answered(parts: Value) -> (ApiGatewayProxyResponse, bool) {
        let mut event = json!({
            "httpMethod": "GET", "resource": "/sweeps", "path": "/sweeps", "isBase64Encoded": false,
            "headers": {}, "multiValueHeaders": {}, "pathParameters": null, "stageVariables": null,
            "queryStringParameters": null, "multiValueQueryStringParameters": null, "body": null,
            "requestContext": {"httpMethod": "GET", "identity": {}},
        });
        for (name, value) in parts.as_object().unwrap() {
            event[name] = value.clone();
        }
        let mut seen = false;
        let handle = async |_| {
            seen = true;
            Ok(ApiResponse::ok(200, &json!({})))
        };
        let answer = answer(event, handle).await;
        (answer, seen)
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_as_aws_iot_words_it_before_it_is_read() {
        let long = |bytes| "x".repeat(bytes);
        for (parts, part) in [
            (json!({"path": long(3000)}), "path"),
            (json!({"pathParameters": {"thingName": long(3000)}}), "path"),
            (json!({"queryStringParameters": {"force": long(5000)}}), "query"),
            (json!({"multiValueQueryStringParameters": {"force": vec!["true"; 2000]}}), "query"),
            (json!({"headers": {"x": long(40_000)}}), "headers"),
            (json!({"multiValueHeaders": {"x": vec!["y"; 40_000]}}), "headers"),
            (json!({"body": long(70_000)}), "body"),
            (json!({"body": STANDARD.encode(long(65_540)), "isBase64Encoded": true}), "body"),
            (json!({"body": long(100_000), "isBase64Encoded": true}), "body"),
        ] {
            let (answer, seen) = answered(parts).await;
            assert_eq!((answer.status_code, seen), (400, false), "{part}");
            assert_eq!(answer.headers["x-amzn-errortype"], "InvalidRequestException");
            let Some(Body::Text(body)) = answer.body else { panic!("no body") };
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["__type"], "InvalidRequestException");
            let told = body["message"].as_str().unwrap();
            assert!(told.starts_with(&format!("1 validation error detected: {part}: has ")), "{told}");
        }
    }

    #[tokio::test]
    async fn what_is_as_large_as_it_may_be_gets_through() {
        let full = "x".repeat(64 * 1024);
        for parts in [
            json!({"body": full}),
            json!({"body": STANDARD.encode(&full), "isBase64Encoded": true}),
            // What API Gateway itself lets through at most, with what it adds.
            json!({"headers": {"x": "y".repeat(10_240)}, "multiValueHeaders": {"x": ["y".repeat(10_240)], "via": ["z"]}}),
            json!({"path": "/things", "queryStringParameters": null, "multiValueHeaders": null}),
        ] {
            let (answer, seen) = answered(parts).await;
            assert_eq!((answer.status_code, seen), (200, true), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_query_in_whatever_form_is_read_or_refused_and_never_a_crash() {
        for (parts, status) in [
            (json!({"multiValueQueryStringParameters": {"a": ["1", "2"]}}), 200),
            (json!({"queryStringParameters": {"a": "1"}, "multiValueQueryStringParameters": {}}), 200),
            (json!({"multiValueQueryStringParameters": {"a": [null]}}), 400),
            (json!({"multiValueQueryStringParameters": {"a": [1]}}), 400),
            (json!({"multiValueQueryStringParameters": {"a": "1"}}), 400),
            (json!({"multiValueQueryStringParameters": ["a"]}), 400),
            (json!({"queryStringParameters": {"a": []}}), 400),
            (json!({"queryStringParameters": {"a": null}}), 400),
            (json!({"queryStringParameters": "a=1"}), 400),
            // The requests know what to say of it; see below.
            (json!({"multiValueQueryStringParameters": {"a": []}}), 200),
        ] {
            let (answer, seen) = answered(parts.clone()).await;
            assert_eq!((answer.status_code, seen), (status, status == 200), "{parts}");
        }
    }

    #[tokio::test]
    async fn a_parameter_with_an_empty_list_is_one_without_a_value() {
        let mut event = json!({"httpMethod": "PUT", "requestContext": {"httpMethod": "PUT", "identity": {}}});
        event["multiValueQueryStringParameters"] = json!({"force": []});
        let told = call(event).unwrap().request.cancel().unwrap_err().message;
        assert!(told.contains("force: is given 0 times; give it once"), "{told}");
    }
}
