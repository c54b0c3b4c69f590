//! Wires the function `validate-access-policy`, which AWS AppConfig asks before it deploys an access policy.

use std::process::ExitCode;

use aws::settings::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use shared::access::AccessPolicy;
use shared::ports::Cause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    Settings::read(|_| ())?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
        aws::validation::validate::<AccessPolicy>(event.payload)
    }))
    .await
}
