//! What a cancel costs where nothing is decided: a function that reads an execution, cancels it, and looks at it, by the
//! SDK. For the benchmark, which shows by it how fast a guarded cancel could be at best.

use std::process::ExitCode;

use aws::iot::IotCanceller;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use shared::ids::{JobId, ThingName};
use shared::ports::{Cancel, CancelExecutions, Cause, Force, ReadJobs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    aws::logging::exit(serve().await)
}

async fn serve() -> Result<(), Cause> {
    let iot = &IotCanceller::new(&aws::sdk::config().await);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let parameters = event.payload.get("pathParameters");
        let parameter = |name| parameters.and_then(|told| told.get(name)?.as_str()).unwrap_or_default();
        let (job_id, thing_name) =
            (JobId::parse(parameter("jobId")), ThingName::parse(parameter("thingName")));
        let (job_id, thing_name) =
            (job_id.map_err(|no| no.to_string())?, thing_name.map_err(|no| no.to_string())?);
        let expected_version = iot.describe_execution(&job_id, &thing_name, None).await?.version_number;
        let (force, status_details) = (Force::Never, None);
        let cancel = Cancel { job_id, thing_name, expected_version, force, status_details };
        iot.cancel(&cancel).await?;
        iot.describe_execution(&cancel.job_id, &cancel.thing_name, None).await?;
        Ok::<_, Cause>(json!({ "statusCode": 200 }))
    }))
    .await
}
