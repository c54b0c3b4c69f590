//! Says what would come of a request, without making it: `POST /decisions`.

use aws::gateway::{self, Call};
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use jiff::Timestamp;
use serde_json::Value;
use shared::access::{AccessPolicy, ServiceAction};
use shared::api::{ApiError, ApiResponse, CallerIdentity, DecisionAnswer, permit, principal};
use shared::document::Current;
use shared::guard::{Caller, Guard, JobCache};
use shared::ports::ReadJobs;

/// The function's parts. It has no right to change anything.
#[derive(Debug)]
pub struct ReadDecision<I> {
    /// AWS IoT Jobs.
    pub iot: I,
    /// Who may do what.
    pub access: Current<AccessPolicy>,
    /// Which authorizer says who calls.
    pub caller_identity: CallerIdentity,
    /// Jobs read lately.
    pub jobs: JobCache,
}

impl<I: ReadJobs> ReadDecision<I> {
    /// Answers one event of the gateway.
    pub async fn handle(&self, event: Value, now: Timestamp) -> ApiGatewayProxyResponse {
        gateway::answer(event, |call| self.decide(call, now)).await
    }

    /// Who may not ask is told so before anything is read.
    async fn decide(&self, call: Call, now: Timestamp) -> Result<ApiResponse, ApiError> {
        let request = call.request.decision(now)?;
        let principal = principal(self.caller_identity, &call.identified)?;
        let caller = Caller { principal: &principal, now, request_id: &call.request_id };
        let access = self.access.get(now).await;
        let hypothetical = request.execution.is_hypothetical();
        permit(&access, &caller, ServiceAction::ReadDecision { on: request.action, hypothetical })?;
        let guard = Guard { iot: &self.iot, access: &access, jobs: &self.jobs };
        let prospect = guard.ask(&caller, &request).await?;
        Ok(ApiResponse::ok(200, &DecisionAnswer::of(&request, prospect)))
    }
}
