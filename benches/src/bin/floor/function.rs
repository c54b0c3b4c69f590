//! The floor as a function: one signed CancelJobExecution for each event, without a version and without a look.

use std::sync::OnceLock;

use hyper::Method;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::client::{Client, Connection, Error};

static CLIENT: OnceLock<Client> = OnceLock::new();

/// Serves events as they come to `PUT /things/{thingName}/jobs/{jobId}/cancel`.
pub async fn serve() -> Result<(), Error> {
    let connection = Mutex::new(None);
    let connection = &connection;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        // One event comes at a time.
        let mut connection = connection.lock().await;
        cancel(&mut connection, &event.payload).await
    }))
    .await
}

async fn cancel(kept: &mut Option<Connection<'static>>, event: &Value) -> Result<Value, Error> {
    let told = |name: &str| event["pathParameters"][name].as_str().ok_or("the event names no execution");
    let path = format!("/things/{}/jobs/{}/cancel", told("thingName")?, told("jobId")?);
    let mut connection = match kept.take() {
        Some(connection) if !connection.is_closed() => connection,
        _ => client()?.connect().await?,
    };
    let answer = connection.send(&Method::PUT, &path, "{}").await?;
    *kept = Some(connection);
    Ok(json!({ "statusCode": answer.status, "body": String::from_utf8_lossy(&answer.body) }))
}

/// Made at the first event, as the SDK's is: reading the authorities belongs to the first call.
#[expect(clippy::disallowed_methods, reason = "the one setting that it has")]
fn client() -> Result<&'static Client, Error> {
    if CLIENT.get().is_none() {
        let _ = CLIENT.set(Client::new(&std::env::var("AWS_ENDPOINT_URL_IOT")?, None)?);
    }
    CLIENT.get().ok_or_else(|| "the client is not there".into())
}
