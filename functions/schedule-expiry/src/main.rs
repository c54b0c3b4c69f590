//! Wires the function `schedule-expiry`.

use std::process::ExitCode;

use aws::documents;
use aws::schedules::Schedules;
use aws::settings::Settings;
use lambda_runtime::{LambdaEvent, service_fn};
use schedule_expiry::ScheduleExpiry;
use shared::ports::Cause;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::init();
    aws::counting::init();
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let (rules, lane) = Settings::read(|vars| (vars.retention_rules(), vars.expiry_lane()))?;
    let config = aws::sdk::config().await;
    let function = ScheduleExpiry {
        schedules: Schedules::new(&config, lane),
        rules: documents::open(&rules, &config).await?,
    };
    let function = &function;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| async move {
        function.handle(event.payload, aws::clock::now()).await
    }))
    .await
}
