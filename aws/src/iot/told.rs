//! What is told of calls: each is counted, and each that changes something leaves a line with AWS's id of the request,
//! by which CloudTrail knows it.

use aws_sdk_iot::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use serde_json::{Map, Value};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::legible::shown;
use shared::meter;
use shared::ports::MutationError;

use super::fault::Fault;
use crate::http::cause;

/// Counts calls as they are sent.
#[derive(Debug)]
pub(super) struct Counted;

impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "Counted"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(metadata) = call.load::<Metadata>() {
            meter::called(metadata.name());
        }
        Ok(())
    }
}

/// What operations that change nothing are called.
const READS: [&str; 3] = ["Describe", "Get", "List"];

/// How much of a body a line of the log shows.
const SHOWN: usize = 200;

/// Takes nothing but AWS's own success for a success of a call that changes something. None of them has an output, so
/// the SDK reads no body, and would take for a success whatever a proxy says with HTTP 200.
#[derive(Debug)]
pub(super) struct OwnSuccess;

impl Intercept for OwnSuccess {
    fn name(&self) -> &'static str {
        "OwnSuccess"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let reads = |metadata: &Metadata| READS.iter().any(|read| metadata.name().starts_with(read));
        let response = context.response();
        let status = response.status();
        if !status.is_success() || call.load::<Metadata>().is_some_and(reads) {
            return Ok(());
        }
        let error = response.headers().get("x-amzn-errortype").map(shown);
        let body = response.body().bytes().unwrap_or_default().trim_ascii();
        let is_empty = body.is_empty()
            || serde_json::from_slice::<Map<String, Value>>(body).is_ok_and(|body| body.is_empty());
        if status.as_u16() == 200 && error.is_none() && is_empty {
            return Ok(());
        }
        let body = String::from_utf8_lossy(body).chars().take(SHOWN).collect::<String>();
        Err(NotOwnSuccess { status: status.as_u16(), error, body: shown(&body) }.into())
    }
}

/// An answer that says success, and is not AWS's own.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status} that is not AWS IoT's own success, error `{}`, body `{body}`", .error.as_deref().unwrap_or_default())]
struct NotOwnSuccess {
    status: u16,
    error: Option<String>,
    body: String,
}

/// What a call changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) job: &'a JobId,
    pub(super) thing: Option<&'a ThingName>,
    pub(super) number: Option<ExecutionNumber>,
}

/// The answer to a call that changes something, in our words, after its line is written.
pub(super) fn answered<T, E>(
    operation: &'static str,
    Target { job, thing, number }: Target<'_>,
    answer: Result<T, SdkError<E>>,
) -> Result<(), MutationError>
where
    T: RequestId,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (id, error) = match &answer {
        Ok(output) => (output.request_id(), None),
        Err(error) => {
            let other = || cause::<NotOwnSuccess>(error).map_or("no answer".to_owned(), ToString::to_string);
            (error.request_id(), Some(error.code().map_or_else(other, str::to_owned)))
        }
    };
    tracing::info!(
        event = "aws_call",
        operation,
        aws_request_id = id,
        error,
        job_id = %job,
        thing_name = thing.map(ThingName::as_str),
        execution_number = number.map(ExecutionNumber::get),
    );
    answer.map(|_| ()).map_err(|error| Fault::of(error).mutation(operation))
}
