//! The guarded operations as they are deployed, and who calls them.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use cancel_execution::CancelExecution;
use delete_execution::DeleteExecution;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::execution::Status;
use shared::guard::JobCache;
use tests::JobSetup;

use crate::stage::{Stage, days_ago, now};

pub(crate) const OPERATOR: &str = "arn:aws:sts::123456789012:assumed-role/jobwarden-operators/anna";
pub(crate) const FORCE: &str = "arn:aws:sts::123456789012:assumed-role/jobwarden-force/fred";
pub(crate) const NOBODY: &str = "arn:aws:sts::123456789012:assumed-role/jobwarden-nobody/mallory";

impl Stage {
    /// A stage with the job `fw` and one execution of it on `pump`.
    pub(crate) fn with(status: Status) -> Self {
        let stage = Self::new();
        stage.iot.job("fw", days_ago(100), JobSetup::default());
        stage.iot.execution("fw", "pump", status, days_ago(99), days_ago(98));
        stage
    }

    pub(crate) fn with_job(status: Status, setup: JobSetup) -> Self {
        let stage = Self::with(status);
        stage.iot.job("fw", days_ago(100), setup);
        stage
    }

    pub(crate) async fn cancel(&self, caller: &str, query: &[(&str, &str)], body: &str) -> Answer {
        let function = CancelExecution {
            iot: self.iot.clone(),
            access: Current::fixed(AccessPolicy::shipped().unwrap()),
            caller_identity: CallerIdentity::Iam,
            jobs: JobCache::default(),
        };
        function.handle(cancel_event(caller, query, body), now()).await.into()
    }

    pub(crate) async fn delete(&self, caller: &str, query: &[(&str, &str)]) -> Answer {
        let function = DeleteExecution {
            iot: self.iot.clone(),
            bucket: self.bucket.clone(),
            access: Current::fixed(AccessPolicy::shipped().unwrap()),
            caller_identity: CallerIdentity::Iam,
            jobs: JobCache::default(),
        };
        function.handle(delete_event(caller, query), now()).await.into()
    }

    /// The status of the execution on `pump`, if it is there.
    pub(crate) fn status(&self) -> Option<Status> {
        self.iot.executions_of("fw", "pump").first().map(|execution| execution.row.status)
    }
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: i64,
    pub(crate) error: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: i64, error: &str) {
        assert_eq!((self.status, self.error.as_str()), (status, error), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn is_ok(&self) {
        self.is(200, "");
    }
}

impl From<ApiGatewayProxyResponse> for Answer {
    fn from(response: ApiGatewayProxyResponse) -> Self {
        let header = response.headers.get("x-amzn-errortype");
        let Some(Body::Text(body)) = response.body else { panic!("no body") };
        Self {
            status: response.status_code,
            error: header.map(|name| name.to_str().unwrap().to_owned()).unwrap_or_default(),
            body: serde_json::from_str(&body).unwrap(),
        }
    }
}

/// An event of the gateway, as AWS_IAM makes it.
pub(crate) fn api_event(
    method: &str,
    resource: &str,
    caller: &str,
    path: Value,
    query: &[(&str, &str)],
    body: &str,
) -> Value {
    let mut multiple = serde_json::Map::new();
    for (name, value) in query {
        let values = multiple.entry((*name).to_owned()).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(json!(value));
    }
    let single: Value = query.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "resource": resource,
        "path": resource,
        "httpMethod": method,
        "headers": {"X-Odd": "\u{fc}"},
        "multiValueHeaders": {"X-Odd": ["\u{fc}"]},
        "queryStringParameters": single,
        "multiValueQueryStringParameters": multiple,
        "pathParameters": path,
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012",
            "httpMethod": method,
            "requestId": "request-1",
            "resourcePath": resource,
            "identity": {"sourceIp": "192.0.2.1", "userArn": caller},
        },
        "body": if body.is_empty() { Value::Null } else { json!(body) },
        "isBase64Encoded": false,
    })
}

pub(crate) fn cancel_event(caller: &str, query: &[(&str, &str)], body: &str) -> Value {
    let path = json!({"thingName": "pump", "jobId": "fw"});
    api_event("PUT", "/things/{thingName}/jobs/{jobId}/cancel", caller, path, query, body)
}

pub(crate) fn delete_event(caller: &str, query: &[(&str, &str)]) -> Value {
    let path = json!({"thingName": "pump", "jobId": "fw", "executionNumber": "1"});
    let resource = "/things/{thingName}/jobs/{jobId}/executionNumber/{executionNumber}";
    api_event("DELETE", resource, caller, path, query, "")
}
