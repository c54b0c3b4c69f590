//! What is told of calls: each is counted, and each that changes something leaves a line with AWS's id of the request,
//! by which CloudTrail knows it.

use aws_sdk_iot::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::meter;
use shared::ports::MutationError;

use super::fault::Fault;

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
        Err(error) => (error.request_id(), Some(error.code().unwrap_or("no answer"))),
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
