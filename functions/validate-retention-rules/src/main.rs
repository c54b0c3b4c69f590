//! Wires the function `validate-retention-rules`, which AWS AppConfig asks before it deploys retention rules.

use std::process::ExitCode;

use aws::settings::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use shared::ports::Cause;
use shared::retention::Retention;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    Settings::read(|_| ())?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
        aws::validation::validate::<Retention>(event.payload)
    }))
    .await
}
