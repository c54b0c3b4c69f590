//! Wires the function `read-sweeps`.

use std::process::ExitCode;

use aws::settings::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use read_sweeps::ReadSweeps;
use shared::access::AccessPolicy;
use shared::ports::Cause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let (caller_identity, bucket) = Settings::read(|vars| (vars.caller_identity(), vars.bucket()))?;
    let function =
        ReadSweeps { bucket: aws::bucket::open(&bucket)?, access: AccessPolicy::shipped()?, caller_identity };
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        Ok::<_, Cause>(function.handle(event.payload, aws::clock::now()).await)
    }))
    .await
}
