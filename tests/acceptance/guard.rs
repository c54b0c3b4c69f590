//! The guarded cancel and delete: states, rights, races and lost answers.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use cancel_execution::CancelExecution;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use serde_json::json;
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::{Current, Edition, Editions};
use shared::execution::Status;
use shared::guard::JobCache;
use shared::ports::Cause;
use tests::{Fault, JobSetup, QueuedDelete};

use crate::api::{Answer, FORCE, NOBODY, OPERATOR, cancel_event};
use crate::stage::{Stage, days_ago, now};

const FORCED: &[(&str, &str)] = &[("force", "true")];
const CONFLICT: (i64, &str) = (409, "InvalidStateTransitionException");
const OK: (i64, &str) = (200, "");

/// All eight states, with and without force, cancel and delete: what the caller sees and what is
/// left, whichever way AWS treats a plain delete of QUEUED.
#[tokio::test(start_paused = true)]
async fn every_state_answers_as_the_table_says() {
    for treatment in [QueuedDelete::Refused, QueuedDelete::Deletes] {
        for status in Status::ALL {
            let active = !status.is_terminal();
            let waiting = status == Status::Queued;
            let stage = || {
                let stage = Stage::with(status);
                stage.iot.treat_queued_delete(treatment);
                stage
            };
            let check = |answer: Answer, stage: Stage, expected: (i64, &str), left: Option<Status>| {
                assert_eq!((answer.status, answer.error.as_str()), expected, "{status} {answer:?}");
                assert_eq!(stage.status(), left, "{status}");
            };

            let scene = stage();
            let expected = if waiting { (OK, Status::Canceled) } else { (CONFLICT, status) };
            check(scene.cancel(FORCE, &[], "").await, scene, expected.0, Some(expected.1));

            let scene = stage();
            let expected = if active { (OK, Status::Canceled) } else { (CONFLICT, status) };
            check(scene.cancel(FORCE, FORCED, "").await, scene, expected.0, Some(expected.1));

            let scene = stage();
            let expected = if active { (CONFLICT, Some(status)) } else { (OK, None) };
            check(scene.delete(FORCE, &[]).await, scene, expected.0, expected.1);

            let scene = stage();
            check(scene.delete(FORCE, FORCED).await, scene, OK, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_policy_and_its_reason_and_nothing_is_sent() {
    let stage = Stage::with(Status::InProgress);
    let answer = stage.cancel(OPERATOR, FORCED, "").await;
    answer.is(403, "AccessDeniedException");
    assert_eq!(
        answer.message(),
        "CancelJobExecution: refused by policy `force-needs-the-force-group`: only members of the force group \
         may use force"
    );
    stage.delete(OPERATOR, FORCED).await.is(403, "AccessDeniedException");
    assert_eq!(stage.mutations(), 0);
    assert!(stage.bucket.archive().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_is_in_no_group_is_refused_by_default() {
    let stage = Stage::with(Status::Queued);
    let answer = stage.cancel(NOBODY, &[], "").await;
    answer.is(403, "AccessDeniedException");
    assert_eq!(answer.message(), "CancelJobExecution: no policy permits it");
    stage.delete(NOBODY, &[]).await.is(403, "AccessDeniedException");
    stage.cancel("", &[], "").await.is(403, "AccessDeniedException");
    assert_eq!(stage.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn held_and_namespaced_jobs_are_untouchable_even_with_force() {
    let held =
        JobSetup { tags: [("jobwarden:hold".to_owned(), String::new())].into(), ..JobSetup::default() };
    let namespaced = JobSetup { namespace: Some("aws-gg-deployment"), ..JobSetup::default() };
    for (setup, policy) in [(held, "held-jobs"), (namespaced, "namespaced-jobs")] {
        for status in Status::ALL {
            let stage = Stage::with_job(status, setup.clone());
            for query in [&[], FORCED] {
                let answers = [stage.cancel(FORCE, query, "").await, stage.delete(FORCE, query).await];
                for answer in answers {
                    answer.is(403, "AccessDeniedException");
                    assert!(answer.message().contains(policy), "{answer:?}");
                }
            }
            assert_eq!(stage.mutations(), 0);
            assert_eq!(stage.status(), Some(status));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn force_is_refused_where_another_execution_may_come_next() {
    let retries = JobSetup { retries: true, ..JobSetup::default() };
    let continuous = JobSetup { continuous: true, ..JobSetup::default() };
    for (setup, policy) in [(retries, "without-retries"), (continuous, "snapshot-job")] {
        let stage = Stage::with_job(Status::InProgress, setup.clone());
        for answer in [stage.cancel(FORCE, FORCED, "").await, stage.delete(FORCE, FORCED).await] {
            answer.is(403, "AccessDeniedException");
            assert!(answer.message().contains(policy), "{answer:?}");
        }
        assert_eq!(stage.mutations(), 0);
        // What has ended is not cancelled first, so nothing else can be hit.
        let ended = Stage::with_job(Status::Removed, setup);
        ended.cancel(FORCE, FORCED, "").await.is(409, "InvalidStateTransitionException");
        ended.delete(FORCE, FORCED).await.is_ok();
        assert_eq!(ended.status(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_cannot_be_read_is_not_taken_for_absent() {
    for operation in ["DescribeJobExecution", "DescribeJob", "ListTagsForResource"] {
        let stage = Stage::with(Status::Queued);
        stage.script.fault(operation, 1, Fault::LostBefore);
        let answer = stage.cancel(OPERATOR, &[], "").await;
        answer.is(503, "ServiceUnavailableException");
        assert!(answer.message().contains("nothing was done"), "{answer:?}");
        stage.script.fault(operation, 1, Fault::Throttled);
        stage.cancel(OPERATOR, &[], "").await.is(400, "ThrottlingException");
        assert_eq!(stage.mutations(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let stage = Stage::new();
    stage.cancel(OPERATOR, &[], "").await.is(404, "ResourceNotFoundException");
    stage.delete(OPERATOR, &[]).await.is(404, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn the_callers_version_is_the_one_that_is_cancelled_or_none() {
    let stage = Stage::with(Status::Queued);
    let answer = stage.cancel(OPERATOR, &[], r#"{"expectedVersion":7}"#).await;
    answer.is(409, "VersionConflictException");
    assert_eq!(answer.message(), "expected version 7, but it is 1");
    assert_eq!(stage.mutations(), 0);

    // Between reading and acting: a conflict on the caller's version goes back to the caller.
    let device = stage.iot.device("fw", "pump");
    stage.script.before("CancelJobExecution", 1, move || device.report());
    let answer = stage.cancel(OPERATOR, &[], r#"{"expectedVersion":1}"#).await;
    answer.is(409, "VersionConflictException");
    assert_eq!(stage.status(), Some(Status::Queued));
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_moved_on_is_read_and_decided_anew() {
    let stage = Stage::with(Status::Queued);
    let device = stage.iot.device("fw", "pump");
    stage.script.before("CancelJobExecution", 1, move || device.report());
    stage.cancel(OPERATOR, &[], "").await.is_ok();
    assert_eq!(stage.script.count("CancelJobExecution"), 2);
    assert_eq!(stage.status(), Some(Status::Canceled));

    // The device took it up: what was decided on is gone, and so is the permission.
    let stage = Stage::with(Status::Queued);
    let device = stage.iot.device("fw", "pump");
    stage.script.before("CancelJobExecution", 1, move || device.update(Status::InProgress));
    stage.cancel(OPERATOR, &[], "").await.is(409, "InvalidStateTransitionException");
    assert_eq!(stage.status(), Some(Status::InProgress));

    // A device that reports all the time is not chased for ever.
    let stage = Stage::with(Status::Queued);
    for nth in 1..=3 {
        let device = stage.iot.device("fw", "pump");
        stage.script.before("CancelJobExecution", nth, move || device.report());
    }
    stage.cancel(OPERATOR, &[], "").await.is(409, "VersionConflictException");
    assert_eq!(stage.script.count("CancelJobExecution"), 3);
    assert_eq!(stage.status(), Some(Status::Queued));
}

/// DeleteJobExecution has no VersionConflictException to answer with.
#[tokio::test(start_paused = true)]
async fn a_forced_delete_does_not_chase_a_device_for_ever() {
    let stage = Stage::with(Status::InProgress);
    for nth in 1..=3 {
        let device = stage.iot.device("fw", "pump");
        stage.script.before("CancelJobExecution", nth, move || device.report());
    }
    let answer = stage.delete(FORCE, FORCED).await;
    answer.is(409, "InvalidStateTransitionException");
    assert!(answer.message().contains("changed 3 times"), "{answer:?}");
    assert_eq!((stage.status(), stage.script.count("DeleteJobExecution")), (Some(Status::InProgress), 0));
}

#[tokio::test(start_paused = true)]
async fn the_namespace_of_a_delete_is_passed_on() {
    let stage = Stage::with(Status::Failed);
    stage.delete(OPERATOR, &[("namespaceId", "mine")]).await.is_ok();
    let calls = stage.script.calls();
    let sent = calls.iter().find(|call| call.operation == "DeleteJobExecution").unwrap();
    assert_eq!(sent.subject, "fw/pump/1 of mine");
}

/// The bucket's client sends a write again when its answer is lost, and then conflicts with itself.
#[tokio::test(start_paused = true)]
async fn a_record_that_was_written_and_not_acknowledged_is_recognised() {
    let stage = Stage::with(Status::Failed);
    stage.script.fault("put", 1, Fault::Conflicts);
    stage.delete(OPERATOR, &[]).await.is_ok();
    assert_eq!(stage.bucket.archive().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forced_delete_never_loses_a_result_that_arrives_meanwhile() {
    let stage = Stage::with(Status::InProgress);
    let device = stage.iot.device("fw", "pump");
    stage.script.before("CancelJobExecution", 1, move || device.update(Status::Succeeded));
    stage.delete(FORCE, FORCED).await.is_ok();
    // The cancel hit nothing; the result was archived as what it is, and then deleted.
    let archive = stage.bucket.archive().await;
    assert_eq!(archive.len(), 1);
    assert_eq!(archive[0].row().status, Status::Succeeded);
    assert_eq!(stage.status(), None);
}

#[tokio::test(start_paused = true)]
async fn a_forced_delete_cancels_first_and_archives_what_it_then_deletes() {
    let stage = Stage::with(Status::InProgress);
    let answer = stage.delete(FORCE, FORCED).await;
    answer.is_ok();
    let order: Vec<_> = stage.script.calls().into_iter().map(|call| call.operation).collect();
    let place = |operation| order.iter().position(|made| *made == operation).unwrap();
    assert!(place("CancelJobExecution") < place("put") && place("put") < place("DeleteJobExecution"));
    let record = &stage.bucket.archive().await[0];
    assert_eq!(record.row().status, Status::Canceled);
    assert_eq!(record.principal, FORCE);
    assert_eq!(record.policies[0].id, "force-group-cancels-and-deletes");
    assert_eq!(answer.body["archive"], json!(stage.bucket.keys("archive").await[0]));
}

#[tokio::test(start_paused = true)]
async fn a_guarded_call_costs_its_reads_and_one_mutation() {
    let sent = |stage: &Stage| {
        let order: Vec<_> = stage.script.calls().into_iter().map(|call| call.operation).collect();
        order.join(" ")
    };
    let stage = Stage::with(Status::Queued);
    stage.cancel(OPERATOR, &[], "").await.is_ok();
    let cancel =
        "DescribeJobExecution DescribeJob ListTagsForResource CancelJobExecution DescribeJobExecution";
    assert_eq!(sent(&stage), cancel);

    let stage = Stage::with(Status::Failed);
    stage.delete(OPERATOR, &[]).await.is_ok();
    assert_eq!(sent(&stage), "DescribeJobExecution DescribeJob ListTagsForResource put DeleteJobExecution");

    // The numbered one and the thing's current one; the cancel, and a look at what came of it.
    let stage = Stage::with(Status::InProgress);
    stage.delete(FORCE, FORCED).await.is_ok();
    assert_eq!(
        sent(&stage),
        "DescribeJobExecution DescribeJob ListTagsForResource DescribeJobExecution CancelJobExecution \
         DescribeJobExecution put DeleteJobExecution"
    );

    // The job is known from a moment ago.
    let stage = Stage::with(Status::Queued);
    stage.iot.execution("fw", "valve", Status::Queued, days_ago(99), days_ago(98));
    let function = CancelExecution {
        iot: stage.iot.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    for thing in ["pump", "valve"] {
        let mut event = cancel_event(OPERATOR, &[], "");
        event["pathParameters"]["thingName"] = json!(thing);
        Answer::from(function.handle(event, now()).await).is_ok();
    }
    assert_eq!(
        sent(&stage),
        format!("{cancel} DescribeJobExecution CancelJobExecution DescribeJobExecution")
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_when_the_archive_does_not_answer() {
    for fault in [Fault::LostBefore, Fault::LostAfter] {
        let stage = Stage::with(Status::Succeeded);
        stage.script.fault("put", 1, fault);
        let answer = stage.delete(OPERATOR, &[]).await;
        answer.is(503, "ServiceUnavailableException");
        assert!(answer.message().contains("nothing was deleted"), "{answer:?}");
        assert_eq!(stage.status(), Some(Status::Succeeded));
        assert_eq!(stage.mutations(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_it_looks_and_never_sends_again() {
    let check = async |fault, expected: (i64, &str), left| {
        let stage = Stage::with(Status::Queued);
        stage.script.fault("CancelJobExecution", 1, fault);
        stage.cancel(OPERATOR, &[], "").await.is(expected.0, expected.1);
        assert_eq!(stage.status(), Some(left));
        assert_eq!(stage.script.count("CancelJobExecution"), 1);
    };
    check(Fault::LostAfter, OK, Status::Canceled).await;
    check(Fault::LostBefore, (503, "ServiceUnavailableException"), Status::Queued).await;
    check(Fault::Throttled, (400, "ThrottlingException"), Status::Queued).await;
    check(Fault::RoleRefused, (503, "ServiceUnavailableException"), Status::Queued).await;
    check(Fault::Unauthenticated, (503, "ServiceUnavailableException"), Status::Queued).await;

    let check = async |fault, expected: (i64, &str), left| {
        let stage = Stage::with(Status::Failed);
        stage.script.fault("DeleteJobExecution", 1, fault);
        stage.delete(OPERATOR, &[]).await.is(expected.0, expected.1);
        assert_eq!(stage.status(), left);
        assert_eq!(stage.script.count("DeleteJobExecution"), 1);
    };
    check(Fault::LostAfter, OK, None).await;
    check(Fault::LostBefore, (503, "ServiceUnavailableException"), Some(Status::Failed)).await;
    check(Fault::Throttled, (400, "ThrottlingException"), Some(Status::Failed)).await;
    check(Fault::Unauthenticated, (503, "ServiceUnavailableException"), Some(Status::Failed)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_hit_something_else_is_told_loudly() {
    let stage = Stage::with(Status::Queued);
    // After the cancel and before the look, the number belongs to another execution.
    let device = stage.iot.device("fw", "pump");
    stage.script.before("DescribeJobExecution", 2, move || device.replace(Status::Queued));
    let answer = stage.cancel(OPERATOR, &[], "").await;
    answer.is(409, "InvalidStateTransitionException");
    assert!(answer.message().contains("replaced by another"), "{answer:?}");
}

/// AWS accepted, and nothing shows what was hit: where the job may have queued another execution
/// meanwhile this is no success, and elsewhere it can only have been the one that was meant.
#[tokio::test(start_paused = true)]
async fn a_cancel_that_cannot_be_looked_at_is_a_success_only_where_no_other_may_have_been_hit() {
    let retries = JobSetup { retries: true, ..JobSetup::default() };
    let continuous = JobSetup { continuous: true, ..JobSetup::default() };
    let fail = |stage: &Stage| {
        (2..=6).for_each(|nth| stage.script.fault("DescribeJobExecution", nth, Fault::LostBefore));
    };
    let delete = |stage: &Stage| {
        let device = stage.iot.device("fw", "pump");
        stage.script.before("DescribeJobExecution", 2, move || device.forget());
    };
    for hide in [fail as fn(&Stage), delete] {
        for setup in [&retries, &continuous] {
            let stage = Stage::with_job(Status::Queued, setup.clone());
            hide(&stage);
            let answer = stage.cancel(OPERATOR, &[], "").await;
            answer.is(503, "ServiceUnavailableException");
            assert!(answer.message().starts_with("AWS IoT accepted the cancel, but "), "{answer:?}");
            assert_eq!(stage.script.count("CancelJobExecution"), 1);
        }
        let stage = Stage::with(Status::Queued);
        hide(&stage);
        let answer = stage.cancel(OPERATOR, &[], "").await;
        answer.is_ok();
        assert_eq!((&answer.body["result"], &answer.body["confirmed"]), (&json!("canceled"), &json!(false)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_decides_and_does_nothing() {
    let dry = &[("dryRun", "true")];
    let stage = Stage::with(Status::Queued);
    let answer = stage.cancel(OPERATOR, dry, "").await;
    answer.is_ok();
    assert_eq!((&answer.body["result"], &answer.body["dryRun"]), (&json!("wouldCancel"), &json!(true)));
    assert_eq!(answer.body["decision"]["policies"][0]["id"], "operators-cancel-waiting");
    assert_eq!(stage.status(), Some(Status::Queued));

    let stage = Stage::with(Status::InProgress);
    let answer = stage.delete(FORCE, &[("dryRun", "true"), ("force", "true")]).await;
    answer.is_ok();
    assert_eq!(answer.body["result"], "wouldDelete");
    stage.delete(OPERATOR, &[("dryRun", "true"), ("force", "true")]).await.is(403, "AccessDeniedException");
    assert_eq!(stage.mutations(), 0);
    assert!(stage.bucket.keys("").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn status_details_arrive_and_the_answer_says_what_was_seen() {
    let stage = Stage::with(Status::Queued);
    let answer = stage.cancel(OPERATOR, &[], r#"{"statusDetails":{"by":"anna"}}"#).await;
    answer.is_ok();
    assert_eq!(stage.iot.executions_of("fw", "pump")[0].details["by"], "anna");
    assert_eq!(answer.body["execution"]["status"], "QUEUED");
    assert_eq!(answer.body["execution"]["versionNumber"], 1);
    assert_eq!(answer.body["confirmed"], true);
    assert_eq!(answer.body["decision"]["policyDigest"].as_str().unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_makes_no_call_at_all() {
    let stage = Stage::with(Status::Queued);
    for body in ["{", "[]", r#"{"expectedVersion":0}"#, r#"{"force":true}"#] {
        let answer = stage.cancel(OPERATOR, &[], body).await;
        answer.is(400, "InvalidRequestException");
    }
    stage.cancel(OPERATOR, &[("Force", "true")], "").await.is(400, "InvalidRequestException");
    stage.delete(OPERATOR, &[("namespaceId", "a b")]).await.is(400, "InvalidRequestException");
    stage.delete(OPERATOR, &[("namespaceId", "")]).await.is(400, "InvalidRequestException");
    assert!(stage.script.calls().is_empty());
}

async fn handle(stage: &Stage, event: serde_json::Value) -> Answer {
    let function = CancelExecution {
        iot: stage.iot.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    function.handle(event, now()).await.into()
}

#[tokio::test(start_paused = true)]
async fn base64_bodies_are_decoded_and_broken_ones_refused() {
    let mut event = cancel_event(OPERATOR, &[], "");
    event["isBase64Encoded"] = json!(true);
    let text = base64::engine::general_purpose::STANDARD.encode(r#"{"statusDetails":{"by":"base64"}}"#);
    event["body"] = json!(text);
    let stage = Stage::with(Status::Queued);
    handle(&stage, event.clone()).await.is_ok();
    assert_eq!(stage.iot.executions_of("fw", "pump")[0].details["by"], "base64");

    event["body"] = json!("%%%");
    handle(&stage, event).await.is(400, "InvalidRequestException");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_request_is_a_400_and_no_crash() {
    let stage = Stage::with(Status::Queued);
    for event in [json!({}), json!([]), json!(null), json!({"requestContext": 1}), json!("x")] {
        handle(&stage, event).await.is(400, "InvalidRequestException");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_and_bodies_say_nothing_about_the_caller() {
    let stage = Stage::with(Status::Queued);
    let mut event = cancel_event(NOBODY, &[], "");
    event["headers"] = json!({"x-amzn-iam-user-arn": OPERATOR, "Authorization": OPERATOR});
    event["requestContext"]["authorizer"] =
        json!({"claims": {"iss": "i", "sub": "s", "groups": ["jobwarden-force"]}});
    handle(&stage, event).await.is(403, "AccessDeniedException");
    assert_eq!(stage.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_burst_on_one_job_reads_it_once() {
    let stage = Stage::with(Status::Queued);
    let function = CancelExecution {
        iot: stage.iot.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    for _ in 0..3 {
        function.handle(cancel_event(OPERATOR, &[("dryRun", "true")], ""), now()).await;
    }
    assert_eq!(stage.script.count("DescribeJob"), 1);
    // A hold works after five seconds at the latest.
    stage.iot.tag("fw", "jobwarden:hold", "");
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let answer: Answer = function.handle(cancel_event(OPERATOR, &[], ""), now()).await.into();
    answer.is(403, "AccessDeniedException");
    assert_eq!(stage.status(), Some(Status::Queued));
}

/// Lambda freezes the process between two calls: the wall clock goes on, and the monotonic clock may not.
#[tokio::test(start_paused = true)]
async fn a_hold_that_was_set_during_a_freeze_works_at_once() {
    for later in [SignedDuration::from_mins(15), SignedDuration::from_mins(-15)] {
        let stage = Stage::with(Status::Queued);
        let function = CancelExecution {
            iot: stage.iot.clone(),
            access: Current::fixed(AccessPolicy::shipped().unwrap()),
            caller_identity: CallerIdentity::Iam,
            jobs: JobCache::default(),
        };
        function.handle(cancel_event(OPERATOR, &[("dryRun", "true")], ""), now()).await;
        stage.iot.tag("fw", "jobwarden:hold", "");
        let answer: Answer = function.handle(cancel_event(OPERATOR, &[], ""), now() + later).await.into();
        answer.is(403, "AccessDeniedException");
        assert_eq!(stage.status(), Some(Status::Queued));
    }
}

/// The shipped access policy, and then the same with an emergency stop.
#[derive(Debug, Default)]
struct EmergencyStop(AtomicBool);

impl Editions for EmergencyStop {
    fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>> {
        let stop = if self.0.swap(true, Ordering::Relaxed) {
            "@id(\"emergency-stop\") @reason(\"stop\") forbid (principal, \
             action == Jobwarden::Action::\"CancelJobExecution\", resource);"
        } else {
            ""
        };
        let text = format!("{}\n{stop}\n", include_str!("../../policies/access.cedar"));
        Box::pin(async { Ok(Some(Edition { source: "appconfig".to_owned(), text })) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_call_after_a_freeze_is_decided_by_the_newest_policy() {
    let stage = Stage::with(Status::Queued);
    let function = CancelExecution {
        iot: stage.iot.clone(),
        access: Current::open(EmergencyStop::default(), now()).await.unwrap(),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    let cancel = |query: &'static [(&str, &str)], after| {
        let event = cancel_event(OPERATOR, query, "");
        function.handle(event, now() + SignedDuration::from_secs(after))
    };
    Answer::from(cancel(&[("dryRun", "true")], 29).await).is_ok();
    let answer = Answer::from(cancel(&[], 900).await);
    answer.is(403, "AccessDeniedException");
    assert!(answer.message().contains("emergency-stop"), "{answer:?}");
    assert_eq!(stage.status(), Some(Status::Queued));
}

/// A cancel cannot name a number: it would hit the thing's current execution instead.
#[tokio::test(start_paused = true)]
async fn a_forced_delete_of_what_is_not_current_cancels_nothing() {
    let stage = Stage::with(Status::Queued);
    stage.iot.execution("fw", "pump", Status::Queued, days_ago(1), days_ago(1));
    for query in [FORCED, &[("force", "true"), ("dryRun", "true")]] {
        let answer = stage.delete(FORCE, query).await;
        answer.is(409, "InvalidStateTransitionException");
        assert!(answer.message().contains("not the thing's current one"), "{answer:?}");
    }
    assert_eq!(stage.mutations(), 0);
    assert_eq!(stage.iot.executions_of("fw", "pump").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_and_not_deleted_is_told() {
    let check = async |operation, fault, told: &str| {
        let stage = Stage::with(Status::InProgress);
        stage.script.fault(operation, 1, fault);
        let answer = stage.delete(FORCE, FORCED).await;
        answer.is(503, "ServiceUnavailableException");
        assert!(answer.message().starts_with("the execution was cancelled, and "), "{answer:?}");
        assert!(answer.message().contains(told), "{answer:?}");
        assert_eq!(stage.status(), Some(Status::Canceled));
    };
    check("put", Fault::LostBefore, "and not deleted: the archive did not take the record").await;
    check("DeleteJobExecution", Fault::Throttled, "and not deleted: AWS IoT throttled").await;
    check("DeleteJobExecution", Fault::RoleRefused, "and not deleted: this function's role").await;
    check("DeleteJobExecution", Fault::Unauthenticated, "and not deleted: AWS did not accept").await;
    check("DeleteJobExecution", Fault::LostBefore, "and AWS IoT did not confirm the delete").await;

    let stage = Stage::with(Status::InProgress);
    let device = stage.iot.device("fw", "pump");
    stage.script.before("DeleteJobExecution", 1, move || device.forget());
    let answer = stage.delete(FORCE, FORCED).await;
    answer.is(404, "ResourceNotFoundException");
    assert!(answer.message().contains("cancelled, and then deleted by somebody else"), "{answer:?}");
    assert_eq!(stage.bucket.archive().await.len(), 1);
}
