//! API Gateway's events: into the API's requests, and its answers back.

use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared::api::{ApiError, ApiRequest, ApiResponse, ErrorCode, Identified};
use shared::ids::Violation;
use shared::ports::chain;

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
    let answered = match call(event) {
        // Boxed: nested whole, the futures of a call overflow the compiler's depth.
        Ok(call) => Box::pin(handle(call)).await,
        Err(error) => Err(error),
    };
    response(answered.unwrap_or_else(|error| {
        let cause = error.cause.as_ref().map(|cause| chain(&**cause)).unwrap_or_default();
        match error.code {
            ErrorCode::ServiceUnavailable => {
                tracing::error!(
                    event = "request_failed",
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
                    error = error.code.as_str(),
                    message = error.message,
                    cause
                );
            }
        }
        error.into()
    }))
}

fn call(mut event: Value) -> Result<Call, ApiError> {
    // No header matters here, and one that is not ASCII must not make the request unreadable.
    if let Some(event) = event.as_object_mut() {
        event.remove("headers");
        event.remove("multiValueHeaders");
    }
    let event: ApiGatewayProxyRequest = serde_json::from_value(event).map_err(|error| {
        let message = "the request cannot be read; it is no event of a REST API";
        ApiError { cause: Some(error.into()), ..ApiError::new(ErrorCode::InvalidRequest, message) }
    })?;
    let context = event.request_context;
    let mut request = ApiRequest {
        path: event.path_parameters.into_iter().collect(),
        body: body(event.body, event.is_base64_encoded)?,
        ..ApiRequest::default()
    };
    let multiple = &event.multi_value_query_string_parameters;
    let query = if multiple.is_empty() { &event.query_string_parameters } else { multiple };
    for (name, value) in query.iter() {
        request.query.entry(name.to_owned()).or_default().push(value.to_owned());
    }
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
    })
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
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = i64::from(answer.status);
    response.headers = headers;
    response.body = Some(Body::Text(answer.body.to_string()));
    response
}
