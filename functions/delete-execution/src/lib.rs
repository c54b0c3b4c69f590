//! The guarded DeleteJobExecution:
//! `DELETE /things/{thingName}/jobs/{jobId}/executionNumber/{executionNumber}`.

use aws::gateway::{self, Call};
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use jiff::Timestamp;
use object_store::ObjectStore;
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::api::{ApiError, ApiResponse, CallerIdentity, principal};
use shared::document::Current;
use shared::guard::{Caller, Guard, JobCache};
use shared::ports::{CancelExecutions, DeleteExecutions, ReadJobs};

/// The function's parts.
#[derive(Debug)]
pub struct DeleteExecution<I, B> {
    /// AWS IoT Jobs.
    pub iot: I,
    /// The bucket of the archive.
    pub bucket: B,
    /// Who may do what.
    pub access: Current<AccessPolicy>,
    /// Which authorizer says who calls.
    pub caller_identity: CallerIdentity,
    /// Jobs read lately.
    pub jobs: JobCache,
}

impl<I: ReadJobs + CancelExecutions + DeleteExecutions, B: ObjectStore> DeleteExecution<I, B> {
    /// Answers one event of the gateway.
    pub async fn handle(&self, event: Value, now: Timestamp) -> ApiGatewayProxyResponse {
        gateway::answer(event, |call| self.delete(call, now)).await
    }

    async fn delete(&self, call: Call, now: Timestamp) -> Result<ApiResponse, ApiError> {
        let request = call.request.delete()?;
        let principal = principal(self.caller_identity, &call.identified)?;
        let caller = Caller { principal: &principal, now, request_id: &call.request_id };
        let access = self.access.get(now).await;
        let guard = Guard { iot: &self.iot, access: &access, jobs: &self.jobs };
        let answer = guard.delete(&self.bucket, &caller, &request).await?;
        Ok(ApiResponse::ok(200, &answer))
    }
}
