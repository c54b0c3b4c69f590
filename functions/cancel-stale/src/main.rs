//! Wires the function `cancel-stale`.

use std::process::ExitCode;

use aws::iot::IotCanceller;
use cancel_stale::CancelStale;
use lambda_runtime::{LambdaEvent, service_fn};
use shared::ports::Cause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::counting::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let function = &CancelStale::open(IotCanceller::new).await?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        let deadline = aws::clock::at(event.context.deadline)?;
        function.handle(event.payload, &event.context.request_id, deadline, aws::clock::now).await
    }))
    .await
}
