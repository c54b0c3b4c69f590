//! What a guarded cancel costs a function that has served before: the event is parsed, the facts are read, the policies
//! are asked, the decision is logged, and what came of it is looked at.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use cancel_execution::CancelExecution;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::execution::Status;
use shared::guard::JobCache;
use tests::{FakeIot, JobSetup, Script};

use crate::{measured, runtime};

/// As `events/` has it: an operator cancels what waits.
const EVENT: &str = include_str!("../events/cancel-execution.allowed.json");
const JOB: &str = "api-cancel";
const THING: &str = "sensor-1";

/// Cancels an execution, puts it back, and measures the next cancel.
pub(crate) fn warm() {
    let runtime = runtime();
    let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
    let queued_at = now - SignedDuration::from_hours(48);
    let script = Script::default();
    let iot = FakeIot::new(script.clone(), now);
    iot.job(JOB, queued_at, JobSetup::default());
    iot.execution(JOB, THING, Status::Queued, queued_at, queued_at);
    let function = CancelExecution {
        iot: iot.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    let cancel = |event: Value| -> ApiGatewayProxyResponse { runtime.block_on(function.handle(event, now)) };
    let event: Value = serde_json::from_str(EVENT).unwrap();
    assert_eq!(cancel(event.clone()).status_code, 200);
    iot.change(JOB, THING, |execution| execution.row.status = Status::Queued);

    let mut event = Some(event);
    let mut answer = None;
    measured(&mut || answer = Some(cancel(event.take().unwrap())));
    assert_eq!(answer.unwrap().status_code, 200);
    let calls = ["DescribeJobExecution", "DescribeJob", "ListTagsForResource", "CancelJobExecution"];
    assert_eq!(calls.map(|call| script.count(call)), [4, 1, 1, 2], "the job is known from the first one");
}
