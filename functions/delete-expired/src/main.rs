//! Wires the function `delete-expired`.

use std::process::ExitCode;

use aws::settings::Settings;
use delete_expired::DeleteExpired;
use lambda_runtime::{LambdaEvent, service_fn};
use shared::access::AccessPolicy;
use shared::operation::Operation;
use shared::ports::Cause;
use shared::retention::Retention;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let (bucket, queue_url, rate, dry_run_only) =
        Settings::read(|vars| (vars.bucket(), vars.queue_url(), vars.calls_per_second(), vars.dry_run()))?;
    let config = aws::sdk::config().await;
    let function = DeleteExpired {
        iot: aws::iot::IotDeleter::new(&config),
        bucket: aws::bucket::open(&bucket)?,
        queue: aws::queue::Queues::new(&config, vec![(Operation::DeleteExpired, queue_url)]),
        rules: Retention::shipped()?,
        access: AccessPolicy::shipped()?,
        rate,
        dry_run_only,
    };
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        let deadline = aws::clock::at(event.context.deadline)?;
        function.handle(event.payload, &event.context.request_id, deadline, aws::clock::now).await
    }))
    .await
}
