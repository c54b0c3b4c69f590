//! Wires the function `read-sweeps`.

use std::process::ExitCode;

use aws::bucket::Links;
use aws::documents;
use aws::settings::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use read_sweeps::ReadSweeps;
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
    let bucket = aws::bucket::open(&bucket)?;
    let function = ReadSweeps {
        links: Links(bucket.clone()),
        bucket,
        access: documents::open(&access_policy, &config).await?,
        caller_identity,
    };
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        Ok::<_, Cause>(function.handle(event.payload, aws::clock::now()).await)
    }))
    .await
}
