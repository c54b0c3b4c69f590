//! Wires the function `start-sweep`.

use std::process::ExitCode;

use aws::documents;
use aws::settings::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use shared::operation::Operation;
use shared::ports::Cause;
use start_sweep::StartSweep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::counting::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let (caller_identity, access_policy, bucket, (dry_run_only, lanes, schedules), queues) =
        Settings::read(|vars| {
            let queues = vec![
                (Operation::DeleteExpired, vars.delete_expired_queue_url()),
                (Operation::CancelStale, vars.cancel_stale_queue_url()),
            ];
            let sweeps = (vars.dry_run(), vars.lanes(), vars.sweep_schedules());
            (vars.caller_identity(), vars.access_policy(), vars.bucket(), sweeps, queues)
        })?;
    let config = aws::sdk::config().await;
    let function = StartSweep {
        bucket: aws::bucket::open(&bucket)?,
        queue: aws::queue::Queues::new(&config, queues),
        access: documents::open(&access_policy, &config).await?,
        caller_identity,
        schedules,
        lanes,
        dry_run_only,
    };
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        function.handle(event.payload, aws::clock::now()).await
    }))
    .await
}
