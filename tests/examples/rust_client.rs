//! The AWS SDK for Rust as a client of Jobwarden: the recipe, and what its answers look like.
//!
//! `rust_client API_URL THING JOB`: an operator cancels and deletes the execution 1 of JOB on THING, which waits.
//! Credentials and Region come from the environment, as everywhere.

use aws_sdk_iot::Client;
use aws_sdk_iot::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::{BoxError, ProvideErrorMetadata};
use aws_types::SigningName;

/// API Gateway checks signatures made for `execute-api`; the client of AWS IoT signs for `iot`.
#[derive(Debug)]
struct SignForApiGateway;

impl Intercept for SignForApiGateway {
    fn name(&self) -> &'static str {
        "SignForApiGateway"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(SigningName::from_static("execute-api"));
        Ok(())
    }
}

async fn client(api_url: &str) -> Client {
    // The functions' own; what `aws_config::load_defaults` gives does as well.
    let shared = aws::sdk::config().await;
    let config = aws_sdk_iot::config::Builder::from(&shared)
        .endpoint_url(api_url)
        .interceptor(SignForApiGateway)
        .build();
    Client::from_conf(config)
}

/// Says what came, and fails when it is not what should have come.
fn expect(step: &str, came: bool, told: &dyn ProvideErrorMetadata) -> Result<(), BoxError> {
    println!("{step}: {} {}", told.code().unwrap_or("-"), told.message().unwrap_or("-"));
    if came { Ok(()) } else { Err(format!("{step}: another answer was due").into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(api_url), Some(thing), Some(job)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: rust_client API_URL THING JOB".into());
    };
    let iot = client(&api_url).await;
    let cancel = || iot.cancel_job_execution().thing_name(&thing).job_id(&job);
    let delete = || iot.delete_job_execution().thing_name(&thing).job_id(&job).execution_number(1);

    let conflict = cancel().expected_version(99).send().await.map_err(|error| error.into_service_error());
    let error = conflict.err().ok_or("a conflict was due")?;
    expect("version", error.is_version_conflict_exception(), &error)?;

    let refused = cancel().force(true).send().await.map_err(|error| error.into_service_error());
    let error = refused.err().ok_or("a refusal was due")?;
    expect("force", error.code() == Some("AccessDeniedException"), &error)?;

    let active = delete().send().await.map_err(|error| error.into_service_error());
    let error = active.err().ok_or("an invalid state was due")?;
    expect("active", error.is_invalid_state_transition_exception(), &error)?;

    cancel().expected_version(1).status_details("by", "rust").send().await?;
    println!("cancel: done");

    let invalid =
        delete().namespace_id("no namespace").send().await.map_err(|error| error.into_service_error());
    let error = invalid.err().ok_or("an invalid request was due")?;
    expect("namespace", error.is_invalid_request_exception(), &error)?;

    delete().send().await?;
    println!("delete: done");

    let gone = delete().send().await.map_err(|error| error.into_service_error());
    let error = gone.err().ok_or("not found was due")?;
    expect("gone", error.is_resource_not_found_exception(), &error)
}
