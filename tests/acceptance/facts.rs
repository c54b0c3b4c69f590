//! The facts that policies may ask for: each is read where one does, and only there.

use cancel_execution::CancelExecution;
use delete_execution::DeleteExecution;
use serde_json::json;
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::execution::Status;
use shared::guard::JobCache;
use tests::{FakeThing, Fault, JobSetup};

use crate::api::{Answer, FORCE, OPERATOR, cancel_event, delete_event};
use crate::stage::{Stage, now};

/// What a policy may ask of the execution on this stage, and the call that it costs besides those
/// of every decision.
const ASKED: [(&str, &str); 17] = [
    ("resource.jobId == \"fw\" && resource.thingName == \"pump\"", ""),
    ("resource.executionNumber == 1 && resource.status == Jobwarden::Status::\"IN_PROGRESS\"", ""),
    ("resource.queuedAge == duration(\"99d\")", ""),
    ("resource.queuedAt < datetime(\"2026-08-15\")", ""),
    ("resource has startedAge && resource.startedAge == duration(\"99d\")", ""),
    ("resource.lastUpdatedAge == context.now.durationSince(resource.lastUpdatedAt)", ""),
    ("resource.jobNamespaceId == \"ours\" && resource.jobNamespaced", ""),
    ("resource.hasTag(\"ring\") && resource.getTag(\"ring\") == \"canary\"", ""),
    ("principal.id like \"*:assumed-role/jobwarden-*\" && principal.account == \"123456789012\"", ""),
    ("context.now.toTime() == duration(\"2h\") && context.source == Jobwarden::Source::\"api\"", ""),
    ("resource.versionNumber == 7", ""),
    ("resource.statusDetails.contains(\"step=flashing\")", ""),
    ("resource.approximateSecondsBeforeTimedOut == 540", ""),
    ("resource.retryAttempt == 2", "ListJobExecutionsForThing"),
    ("resource.thingGroups.containsAll([\"line-2\", \"berlin\"])", "ListThingGroupsForThing"),
    ("resource.thingAttributes.contains(\"site=berlin\")", "DescribeThing"),
    ("resource.thingAttributes.contains(\"a=b=c\") && resource has thingGroups", "DescribeThing"),
];

const COSTLY: [&str; 3] = ["ListJobExecutionsForThing", "ListThingGroupsForThing", "DescribeThing"];

fn stage() -> Stage {
    let tags = [("ring".to_owned(), "canary".to_owned())].into();
    let setup = JobSetup { tags, namespace: Some("ours"), ..JobSetup::default() };
    let stage = Stage::with_job(Status::InProgress, setup);
    stage.iot.change("fw", "pump", |execution| {
        execution.version = 7;
        execution.details = [("step".to_owned(), "flashing".to_owned())].into();
        execution.seconds_left = Some(540);
        execution.row.retry_attempt = Some(2);
    });
    let attributes = [("site", "berlin"), ("a", "b=c")];
    stage.iot.thing(
        "pump",
        FakeThing {
            groups: ["line-2", "berlin", "all"].map(str::to_owned).into(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        },
    );
    stage
}

async fn cancel(stage: &Stage, policies: &str) -> Answer {
    let function = CancelExecution {
        iot: stage.iot.clone(),
        access: Current::fixed(AccessPolicy::parse("p.cedar", policies).unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    function.handle(cancel_event(FORCE, &[("force", "true"), ("dryRun", "true")], ""), now()).await.into()
}

async fn delete(stage: &Stage, policies: &str) -> Answer {
    let function = DeleteExecution {
        iot: stage.iot.clone(),
        bucket: stage.bucket.clone(),
        access: Current::fixed(AccessPolicy::parse("p.cedar", policies).unwrap()),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    function.handle(delete_event(FORCE, &[("force", "true"), ("dryRun", "true")]), now()).await.into()
}

/// A permit on executions under a condition. Sweeps have facts of their own.
fn permit(condition: &str) -> String {
    format!(
        "@id(\"asks\") @reason(\"r\") permit (principal is Jobwarden::User, action in \
         [Jobwarden::Action::\"CancelJobExecution\", Jobwarden::Action::\"DeleteJobExecution\"], resource) \
         when {{ {condition} }};\n"
    )
}

#[tokio::test(start_paused = true)]
async fn every_fact_is_there_for_who_asks_and_read_only_then() {
    for (condition, call) in ASKED {
        let stage = stage();
        cancel(&stage, &permit(condition)).await.is_ok();
        delete(&stage, &permit(condition)).await.is_ok();
        for costly in COSTLY {
            let made = stage.script.count(costly);
            let asks =
                costly == call || condition.contains("thingGroups") && costly == "ListThingGroupsForThing";
            assert_eq!(made, if asks { 2 } else { 0 }, "{costly} for {condition}");
        }
        // And it is not there for nothing: the opposite is refused.
        let opposite = format!("!({condition})");
        cancel(&stage, &permit(&opposite)).await.is(403, "AccessDeniedException");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_is_asked_for_and_cannot_be_read_refuses() {
    for (condition, call) in ASKED.into_iter().filter(|(_, call)| !call.is_empty()) {
        let stage = stage();
        stage.script.fault(call, 1, Fault::LostBefore);
        let answer = cancel(&stage, &permit(condition)).await;
        answer.is(503, "ServiceUnavailableException");
        assert!(answer.message().contains("nothing was done"), "{answer:?}");
        stage.script.fault(call, 1, Fault::RoleRefused);
        let answer = cancel(&stage, &permit(condition)).await;
        assert!(answer.message().contains(&format!("role may not {call}")), "{answer:?}");
    }
}

/// What concerns others, or another action, costs nothing.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_for_a_policy_that_cannot_matter() {
    let stage = stage();
    for scope in [
        "principal is Jobwarden::Sweeper, action == Jobwarden::Action::\"CancelJobExecution\", resource",
        "principal, action == Jobwarden::Action::\"DeleteJobExecution\", resource",
        "principal, action in [Jobwarden::Action::\"DeleteJobExecution\"], resource",
        "principal == Jobwarden::Sweeper::\"cancel-stale\", action, resource is Jobwarden::JobExecution",
    ] {
        let policies = format!(
            "{}@id(\"other\") @reason(\"r\") forbid ({scope}) when {{ resource.thingGroups.contains(\"x\") }};",
            permit("true")
        );
        cancel(&stage, &policies).await.is_ok();
    }
    assert_eq!(stage.script.count("ListThingGroupsForThing"), 0);
}

/// A listing and a description that do not speak of the same execution are no facts.
#[tokio::test(start_paused = true)]
async fn facts_of_two_executions_are_not_mixed() {
    let stage = stage();
    let device = stage.iot.device("fw", "pump");
    stage.script.before("ListJobExecutionsForThing", 1, move || device.replace(Status::InProgress));
    let answer = cancel(&stage, &permit("resource.retryAttempt == 0")).await;
    answer.is(409, "InvalidStateTransitionException");
    assert!(answer.message().contains("replaced while it was read"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_explains_itself_and_keeps_what_people_wrote_to_itself() {
    let stage = Stage::with(Status::Queued);
    let answer = stage.cancel(OPERATOR, &[("force", "true")], "").await;
    answer.is(403, "AccessDeniedException");
    let decision = &answer.body["decision"];
    assert_eq!(decision["outcome"], "forbidden");
    assert_eq!(decision["policies"][0]["id"], "force-needs-the-force-group");
    assert_eq!(decision["facts"], json!({"force": true}));
    assert_eq!(decision["policyDigest"].as_str().unwrap().len(), 64);

    let answer = stage.cancel(OPERATOR, &[], "").await;
    answer.is_ok();
    assert_eq!(answer.body["decision"]["facts"], json!({"force": false}));

    let answer = Stage::with(Status::Queued).cancel("arn:aws:iam::123456789012:user/x", &[], "").await;
    assert_eq!(answer.body["decision"]["outcome"], "noPermit");
    assert_eq!(answer.body["decision"]["facts"], json!({}));

    // The values of details, tags and attributes of things are nobody's business.
    let policies = permit(
        "resource.statusDetails.contains(\"step=flashing\") && resource.versionNumber == 7 && resource.thingAttributes.contains(\"site=berlin\")",
    );
    let answer = cancel(&self::stage(), &policies).await;
    assert_eq!(answer.body["decision"]["facts"], json!({"versionNumber": 7}));
}

#[tokio::test(start_paused = true)]
async fn what_no_policy_permits_is_refused_with_the_condition_that_is_not_met() {
    let policies = permit("resource.versionNumber == 7 && resource.status == Jobwarden::Status::\"QUEUED\"");
    let answer = cancel(&stage(), &policies).await;
    answer.is(403, "AccessDeniedException");
    let condition = "resource.status == Jobwarden::Status::\"QUEUED\"";
    let unmet = &answer.body["decision"]["unmet"];
    assert_eq!((unmet.as_array().unwrap().len(), &unmet[0]["condition"]), (1, &json!(condition)));
    assert!(answer.message().contains(&format!("but for its condition `{condition}`")), "{answer:?}");

    let answer = cancel(&stage(), &permit("resource.statusDetails.contains(\"step=done\")")).await;
    answer.is(403, "AccessDeniedException");
    assert_eq!(answer.body["decision"]["unmet"][0]["condition"], json!(null));
    assert!(!answer.body.to_string().contains("step"), "{answer:?}");

    let answer = cancel(&stage(), &permit("context.force")).await;
    answer.is_ok();
    assert_eq!(answer.body["decision"].get("unmet"), None);
}
