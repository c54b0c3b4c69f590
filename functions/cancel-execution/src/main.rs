//! Wires the function `cancel-execution`.

use std::process::ExitCode;

use aws::documents;
use aws::settings::Settings;
use cancel_execution::CancelExecution;
use lambda_runtime::{LambdaEvent, service_fn};
use shared::guard::JobCache;
use shared::ports::Cause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::counting::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let (caller_identity, access_policy) =
        Settings::read(|vars| (vars.caller_identity(), vars.access_policy()))?;
    let config = aws::sdk::config().await;
    let function = CancelExecution {
        iot: aws::iot::IotCanceller::new(&config),
        access: documents::open(&access_policy, &config).await?,
        caller_identity,
        jobs: JobCache::default(),
    };
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        Ok::<_, Cause>(function.handle(event.payload, aws::clock::now()).await)
    }))
    .await
}
