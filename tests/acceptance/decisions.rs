//! What would come of a request, told without making it.

use read_decision::ReadDecision;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::execution::Status;
use shared::guard::JobCache;
use tests::{Fault, JobSetup};

use crate::api::{Answer, FORCE, NOBODY, OPERATOR, api_event};
use crate::stage::{Stage, now};

async fn ask(stage: &Stage, caller: &str, body: &Value) -> Answer {
    let function = ReadDecision {
        iot: stage.iot.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    let event = api_event("POST", "/decisions", caller, Value::Null, &[], &body.to_string());
    function.handle(event, now()).await.into()
}

fn question(action: &str, force: bool) -> Value {
    let mut body = json!({"action": action, "jobId": "fw", "thingName": "pump", "force": force});
    if action == "DeleteJobExecution" {
        body["executionNumber"] = json!(1);
    }
    body
}

fn setups() -> [JobSetup; 5] {
    let tags = |name: &str| [(name.to_owned(), "x".to_owned())].into();
    [
        JobSetup::default(),
        JobSetup { tags: tags("jobwarden:hold"), ..JobSetup::default() },
        JobSetup { namespace: Some("aws-gg-deployment"), ..JobSetup::default() },
        JobSetup { retries: true, ..JobSetup::default() },
        JobSetup { continuous: true, tags: tags("ring"), ..JobSetup::default() },
    ]
}

/// The same of an execution that is made up, with the facts of the one on the stage.
fn supposed(action: &str, force: bool, status: Status, setup: &JobSetup) -> Value {
    let mut execution = json!({
        "jobId": "fw",
        "thingName": "pump",
        "jobTags": setup.tags,
        "jobRetries": setup.retries,
        "jobContinuous": setup.continuous,
    });
    if let Some(namespace) = setup.namespace {
        execution["jobNamespaceId"] = json!(namespace);
    }
    json!({"action": action, "force": force, "status": status, "execution": execution})
}

/// In every status, of every kind of job, with and without force: what is said is what the
/// request itself then meets with, to the letter, and asking changes nothing.
#[tokio::test(start_paused = true)]
async fn what_is_said_is_what_comes() {
    let mut seen = std::collections::BTreeSet::new();
    for setup in setups() {
        for status in Status::ALL {
            for (caller, force) in [(OPERATOR, false), (OPERATOR, true), (FORCE, false), (FORCE, true)] {
                for action in ["CancelJobExecution", "DeleteJobExecution"] {
                    let stage = Stage::with_job(status, setup.clone());
                    let told = ask(&stage, caller, &question(action, force)).await;
                    told.is_ok();
                    assert_eq!(stage.mutations(), 0, "{told:?}");
                    assert_eq!(stage.status(), Some(status));

                    let query: &[_] = if force { &[("force", "true")] } else { &[] };
                    let done = match action {
                        "CancelJobExecution" => stage.cancel(caller, query, "").await,
                        _ => stage.delete(caller, query).await,
                    };
                    let result = told.body["result"].as_str().unwrap().to_owned();
                    if done.status == 200 {
                        assert_eq!(result, format!("would{}", &action[..6]), "{told:?} {done:?}");
                        assert_eq!(told.body.get("error"), None, "{told:?}");
                        assert_eq!(told.body["decision"], done.body["decision"]);
                    } else {
                        assert_eq!(result, "wouldRefuse", "{told:?} {done:?}");
                        assert_eq!(told.body["error"]["__type"], done.error);
                        assert_eq!(told.body["error"]["message"], done.message());
                        let decision = done.body.get("decision").unwrap_or(&told.body["decision"]);
                        assert_eq!(&told.body["decision"], decision);
                    }
                    seen.insert((result, done.error));

                    let calls = stage.script.calls().len();
                    let supposed = ask(&stage, caller, &supposed(action, force, status, &setup)).await;
                    supposed.is_ok();
                    assert_eq!(stage.script.calls().len(), calls, "nothing is read for what is made up");
                    for part in ["result", "decision", "error"] {
                        assert_eq!(supposed.body.get(part), told.body.get(part), "{part}");
                    }
                }
            }
        }
    }
    let seen: Vec<_> = seen.iter().map(|(result, error)| (result.as_str(), error.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("wouldCancel", ""),
            ("wouldDelete", ""),
            ("wouldRefuse", "AccessDeniedException"),
            ("wouldRefuse", "InvalidStateTransitionException"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_not_there_is_told() {
    let stage = Stage::with(Status::Queued);
    let mut body = question("CancelJobExecution", false);
    body["expectedVersion"] = json!(9);
    let told = ask(&stage, OPERATOR, &body).await;
    assert_eq!(told.body["result"], "wouldRefuse");
    assert_eq!(told.body["error"]["__type"], "VersionConflictException");
    assert_eq!(told.body["decision"]["outcome"], "allow");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_ask_learns_nothing() {
    for body in
        [question("CancelJobExecution", false), json!({"action": "DeleteJobExecution", "status": "FAILED"})]
    {
        for stage in [Stage::with(Status::Queued), Stage::new()] {
            let answer = ask(&stage, NOBODY, &body).await;
            answer.is(403, "AccessDeniedException");
            assert_eq!(answer.message(), "ReadDecision: no policy permits it");
            assert_eq!(stage.script.calls().len(), 0);
        }
    }
}

/// An answer holds the decision and its facts: no more than a refusal does.
#[tokio::test(start_paused = true)]
async fn an_answer_shows_no_execution() {
    let tags = [("ring".to_owned(), "canary".to_owned())].into();
    let stage = Stage::with_job(Status::Queued, JobSetup { tags, ..JobSetup::default() });
    stage.iot.change("fw", "pump", |execution| {
        execution.details = [("step".to_owned(), "flashing".to_owned())].into();
    });
    let answer = ask(&stage, OPERATOR, &question("CancelJobExecution", false)).await;
    let keys: Vec<_> = answer.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["action", "hypothetical", "result", "decision"]);
    let text = answer.body.to_string();
    assert!(!text.contains("canary") && !text.contains("flashing"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_cannot_be_read_is_an_error() {
    let stage = Stage::new();
    ask(&stage, OPERATOR, &question("CancelJobExecution", false)).await.is(404, "ResourceNotFoundException");
    let stage = Stage::with(Status::Queued);
    stage.script.fault("ListTagsForResource", 1, Fault::LostBefore);
    let answer = ask(&stage, OPERATOR, &question("CancelJobExecution", false)).await;
    answer.is(503, "ServiceUnavailableException");
}

/// A question about another time is answered for that time.
#[tokio::test(start_paused = true)]
async fn what_is_made_up_may_be_at_another_time() {
    let stage = Stage::new();
    let body = json!({
        "action": "CancelJobExecution", "status": "QUEUED", "now": "2027-01-01T00:00:00Z",
        "execution": {"queuedAge": "90d"},
    });
    let answer = ask(&stage, OPERATOR, &body).await;
    assert_eq!((&answer.body["result"], &answer.body["hypothetical"]), (&json!("wouldCancel"), &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_makes_no_sense_names_every_member() {
    let stage = Stage::with(Status::Queued);
    for (body, told) in [
        (json!({}), &["action", "is required: CancelJobExecution", "jobId", "thingName"][..]),
        (
            json!({"action": "Cancel", "jobId": "a b", "thingName": 7}),
            &["`Cancel` must be", "jobId", "thingName"],
        ),
        (
            question("DeleteJobExecution", false)
                .as_object()
                .map(|body| {
                    let mut body = body.clone();
                    body.remove("executionNumber");
                    Value::Object(body)
                })
                .unwrap(),
            &["executionNumber", "is required for DeleteJobExecution"],
        ),
        (
            json!({"action": "CancelJobExecution", "jobId": "fw", "thingName": "pump", "executionNumber": 1}),
            &["executionNumber", "is for DeleteJobExecution only"],
        ),
        (
            json!({"action": "DeleteJobExecution", "jobId": "fw", "thingName": "pump", "executionNumber": 1, "expectedVersion": 1}),
            &["expectedVersion", "is for CancelJobExecution only"],
        ),
        (
            json!({"action": "CancelJobExecution", "status": "DONE", "jobId": "fw", "thingName": "pump"}),
            &["`DONE` is no status"],
        ),
        (
            json!({"action": "CancelJobExecution", "status": "QUEUED", "jobId": "fw"}),
            &["unknown member `jobId`"],
        ),
        (
            json!({"action": "CancelJobExecution", "status": "QUEUED", "execution": {"jobTag": {}}}),
            &["execution", "unknown field `jobTag`"],
        ),
        (
            json!({"action": "CancelJobExecution", "status": "QUEUED", "execution": {"queuedAge": "1 month"}}),
            &["execution", "is no age"],
        ),
        (
            json!({"action": "CancelJobExecution", "status": "QUEUED", "execution": []}),
            &["execution", "must be an object, not a list"],
        ),
        (
            json!({"action": "CancelJobExecution", "status": "QUEUED", "now": "noon"}),
            &["`noon` must be a time"],
        ),
    ] {
        let answer = ask(&stage, OPERATOR, &body).await;
        answer.is(400, "InvalidRequestException");
        for part in told {
            assert!(answer.message().contains(part), "{part} in {answer:?}");
        }
    }
    assert_eq!(stage.script.calls().len(), 0);
}
