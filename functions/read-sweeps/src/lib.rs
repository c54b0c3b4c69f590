//! Shows sweeps: `GET /sweeps`, `GET /sweeps/{sweepId}` and `GET /sweeps/{sweepId}/report`.

use std::time::Duration;

use aws::gateway::{self, Call};
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use jiff::Timestamp;
use object_store::ObjectStore;
use serde_json::{Value, json};
use shared::access::{AccessPolicy, ServiceAction};
use shared::api::{ApiError, ApiRequest, ApiResponse, CallerIdentity, ErrorCode, Media, permit, principal};
use shared::document::Current;
use shared::guard::Caller;
use shared::operation::Operation;
use shared::ports::SignLinks;
use shared::sweep::{self, ReadError, Sweep, SweepId};

/// For how long a link to a page works: whoever has the link has the page.
const LINK_WORKS_FOR: Duration = Duration::from_mins(5);

/// The function's parts.
#[derive(Debug)]
pub struct ReadSweeps<B, L> {
    /// The bucket of states and reports.
    pub bucket: B,
    /// Links to its objects.
    pub links: L,
    /// Who may do what.
    pub access: Current<AccessPolicy>,
    /// Which authorizer says who calls.
    pub caller_identity: CallerIdentity,
}

impl<B: ObjectStore, L: SignLinks> ReadSweeps<B, L> {
    /// Answers one event of the gateway.
    pub async fn handle(&self, event: Value, now: Timestamp) -> ApiGatewayProxyResponse {
        gateway::answer(event, |call| self.read(call, now)).await
    }

    async fn read(&self, call: Call, now: Timestamp) -> Result<ApiResponse, ApiError> {
        let Call { request, identified, route, request_id, media } = call;
        let principal = principal(self.caller_identity, &identified)?;
        let caller = Caller { principal: &principal, now, request_id: &request_id };
        match route.as_str() {
            "GET /sweeps" => self.list(&caller, request).await,
            "GET /sweeps/{sweepId}" => {
                let sweep = self.one(&caller, request).await?;
                Ok(ApiResponse::ok(200, &sweep.view()))
            }
            "GET /sweeps/{sweepId}/report" => {
                let sweep = self.one(&caller, request).await?;
                self.report(&sweep.sweep_id, media).await
            }
            other => Err(ApiError::no_route(other)),
        }
    }

    /// The report itself, or for a browser the way to its page.
    async fn report(&self, id: &SweepId, media: Media) -> Result<ApiResponse, ApiError> {
        match media {
            Media::Json => {
                let report = sweep::report(&self.bucket, id).await.map_err(failed)?;
                Ok(ApiResponse::ok(200, &report))
            }
            Media::Html => {
                let page = sweep::page_key(&self.bucket, id).await.map_err(failed)?;
                let signed = self.links.sign(&page, LINK_WORKS_FOR).await;
                let link = signed.map_err(|error| {
                    ApiError::unavailable("no link to the page could be signed; try again", error)
                })?;
                Ok(ApiResponse::see_other(link))
            }
        }
    }

    async fn list(&self, caller: &Caller<'_>, request: ApiRequest) -> Result<ApiResponse, ApiError> {
        let wanted = request.list_sweeps()?;
        let access = self.access.get(caller.now).await;
        let asked = wanted.operation.map_or(Operation::ALL.to_vec(), |operation| vec![operation]);
        for operation in asked {
            permit(&access, caller, ServiceAction::ReadSweep { operation })?;
        }
        let page = sweep::list(&self.bucket, &wanted).await.map_err(failed)?;
        let sweeps: Vec<_> = page.sweeps.iter().map(Sweep::view).collect();
        let mut body = json!({ "sweeps": sweeps });
        if let (false, Some(body)) = (page.unreadable.is_empty(), body.as_object_mut()) {
            body.insert("writtenByAnotherVersion".to_owned(), json!(page.unreadable));
        }
        if let (Some(next), Some(body)) = (page.next, body.as_object_mut()) {
            body.insert("nextToken".to_owned(), json!(next));
        }
        Ok(ApiResponse::ok(200, &body))
    }

    /// The sweep of the path. The policy is asked before the bucket: whoever may not read
    /// sweeps does not learn which there are.
    async fn one(&self, caller: &Caller<'_>, request: ApiRequest) -> Result<Sweep, ApiError> {
        let id = request.sweep_id()?;
        let read = ServiceAction::ReadSweep { operation: id.operation() };
        permit(&*self.access.get(caller.now).await, caller, read)?;
        sweep::read(&self.bucket, &id).await.map_err(failed)
    }
}

fn failed(error: ReadError) -> ApiError {
    match error {
        ReadError::NotFound(message) => ApiError::new(ErrorCode::ResourceNotFound, message),
        error @ ReadError::Unavailable(_) => {
            ApiError::unavailable("the bucket of sweeps did not serve; try again", error)
        }
    }
}
