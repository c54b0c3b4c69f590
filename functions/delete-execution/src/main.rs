//! Wires the function `delete-execution`.

use std::process::ExitCode;

use aws::documents;
use aws::settings::Settings;
use delete_execution::DeleteExecution;
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
    let (caller_identity, access_policy, bucket) =
        Settings::read(|vars| (vars.caller_identity(), vars.access_policy(), vars.bucket()))?;
    let config = aws::sdk::config().await;
    let function = DeleteExecution {
        iot: aws::iot::IotOperator::new(&config),
        bucket: aws::bucket::open(&bucket)?,
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
