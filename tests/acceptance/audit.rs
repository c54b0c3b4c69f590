//! The audit trail: every decision leaves a line, and one that cannot be made raises an alarm.

use std::collections::BTreeSet;

use read_sweeps::ReadSweeps;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::execution::Status;
use shared::lane::Lanes;
use start_sweep::StartSweep;

use crate::api::{NOBODY, OPERATOR, api_event};
use crate::log::Log;
use crate::stage::{Stage, now};
use crate::world::sweep_schedules;

async fn start(stage: &Stage, access: AccessPolicy, caller: &str) -> Value {
    let function = StartSweep {
        bucket: stage.bucket.clone(),
        queue: stage.queue.clone(),
        access: Current::fixed(access),
        caller_identity: CallerIdentity::Iam,
        schedules: sweep_schedules(),
        lanes: Lanes::default(),
        dry_run_only: true,
    };
    let body = r#"{"operation":"cancel-stale"}"#;
    function.handle(api_event("POST", "/sweeps", caller, json!({}), &[], body), now()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_decision_leaves_a_line_with_its_policies() {
    let (log, _guard) = Log::begin();
    let stage = Stage::with(Status::Queued);
    let shipped = || AccessPolicy::shipped().unwrap();
    for caller in [OPERATOR, NOBODY] {
        stage.delete(caller, &[("force", "true")]).await;
        stage.cancel(caller, &[], "").await;
        start(&stage, shipped(), caller).await;
        let (bucket, links) = (stage.bucket.clone(), stage.bucket.clone());
        let function = ReadSweeps {
            bucket,
            links,
            access: Current::fixed(shipped()),
            caller_identity: CallerIdentity::Iam,
        };
        function.handle(api_event("GET", "/sweeps", caller, json!({}), &[], ""), now()).await;
    }
    let lines = log.of("decision");
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            [&line["action"], &line["outcome"], &line["policies"]].map(|value| value.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["DeleteJobExecution", "forbidden", "force-needs-the-force-group"],
            ["CancelJobExecution", "allow", "operators-cancel-waiting"],
            ["StartSweep", "allow", "operators-run-sweeps"],
            // One for each operation.
            ["ReadSweep", "allow", "operators-run-sweeps"],
            ["ReadSweep", "allow", "operators-run-sweeps"],
            ["DeleteJobExecution", "forbidden", "force-needs-the-force-group"],
            ["CancelJobExecution", "noPermit", ""],
            ["StartSweep", "noPermit", ""],
            ["ReadSweep", "noPermit", ""],
        ]
    );
    for line in &lines {
        assert_eq!(line["request_id"], "request-1", "{line}");
        assert_eq!(line["policy_digest"].as_str().unwrap().len(), 64, "{line}");
        assert_eq!(line["policy_source"], "policies/access.cedar", "{line}");
        assert!([OPERATOR, NOBODY].contains(&line["principal"].as_str().unwrap()), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_cannot_be_made_is_told_to_the_alarm() {
    let (log, _guard) = Log::begin();
    let overflow = "@id(\"all\") @reason(\"all\") permit (principal, action, resource);\n\
                    @id(\"late\") @reason(\"late\") forbid (principal, action == \
                    Jobwarden::Action::\"StartSweep\", resource) \
                    when { context.now.offset(duration(\"106751991167d\")) > context.now };";
    let access = AccessPolicy::parse("p.cedar", overflow).unwrap();
    let answer = start(&Stage::new(), access, OPERATOR).await;
    assert_eq!(answer["statusCode"], 403);
    assert_eq!((log.of("policy_error").len(), &log.of("decision")[0]["outcome"]), (1, &json!("policyError")));
}

/// What docs/audit.schema.json has of the lines about executions or about the service: the members that it wants,
/// and those that it lets through. What their values may be is held by the tests of the deployed functions.
fn members(of: &str) -> [BTreeSet<String>; 2] {
    let schema: Value = serde_json::from_str(include_str!("../../docs/audit.schema.json")).unwrap();
    let of = &schema["$defs"][of];
    assert_eq!(of["additionalProperties"], false);
    let required = of["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let known = of["properties"].as_object().unwrap().keys().cloned();
    [required.collect(), known.collect()]
}

#[tokio::test(start_paused = true)]
async fn every_line_has_the_members_of_the_schema_and_no_other() {
    let (log, _guard) = Log::begin();
    let stage = Stage::with(Status::Queued);
    for caller in [OPERATOR, NOBODY] {
        stage.delete(caller, &[]).await;
        stage.cancel(caller, &[], "").await;
        start(&stage, AccessPolicy::shipped().unwrap(), caller).await;
    }
    let lines = log.of("decision");
    let mut seen = BTreeSet::new();
    for line in &lines {
        let kind = if line.get("job_id").is_some() { "execution" } else { "service" };
        let [required, known] = members(kind);
        let told: BTreeSet<_> = line.as_object().unwrap().keys().cloned().collect();
        assert!(required.is_subset(&told) && told.is_subset(&known), "{line}");
        assert_eq!(line["audit_version"], 1);
        seen.insert(kind);
    }
    assert_eq!((lines.len(), seen.len()), (6, 2));
}
