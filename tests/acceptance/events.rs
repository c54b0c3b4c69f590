//! Every file of `events/`, run by the function that its name begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::marker::PhantomData;

use aws::validation::validate;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::execution::Status;
use shared::guard::JobCache;
use shared::lane::Lanes;
use shared::ports::Cause;
use shared::retention::Retention;
use shared::sweep::{CallRate, SweepId};
use tests::{Call, Fault};

use crate::stage::{Stage, now};
use crate::world::{SampleWorld, events, read, sweep_schedules};

const IOT: [&str; 8] = [
    "ListJobs",
    "ListJobExecutionsForJob",
    "ListJobExecutionsForThing",
    "DescribeJob",
    "ListTagsForResource",
    "DescribeJobExecution",
    "CancelJobExecution",
    "DeleteJobExecution",
];

/// The world of `world.toml`, and the objects of `bucket/`.
async fn world() -> Stage {
    SampleWorld::read().stage().await
}

/// Invokes a function as it is deployed.
async fn invoke(function: &str, stage: &Stage, event: Value) -> Result<Value, Cause> {
    let (iot, bucket, queue) = (stage.iot.clone(), stage.bucket.clone(), stage.queue.clone());
    let access = Current::fixed(AccessPolicy::shipped()?);
    let rules = Current::fixed(Retention::shipped()?);
    let caller_identity = CallerIdentity::Iam;
    let jobs = JobCache::default();
    let (rate, dry_run_only, retire_jobs) = (CallRate::parse("100")?, false, false);
    let deadline = now() + SignedDuration::from_secs(900);
    let clock = || now() + SignedDuration::from_secs(1);
    Ok(match function {
        "cancel-execution" => {
            let function = cancel_execution::CancelExecution { iot, access, caller_identity, jobs };
            serde_json::to_value(function.handle(event, now()).await)?
        }
        "delete-execution" => {
            let function = delete_execution::DeleteExecution { iot, bucket, access, caller_identity, jobs };
            serde_json::to_value(function.handle(event, now()).await)?
        }
        "start-sweep" => {
            let lanes = Lanes::default();
            let schedules = sweep_schedules();
            let function = start_sweep::StartSweep {
                bucket,
                queue,
                access,
                caller_identity,
                schedules,
                lanes,
                dry_run_only,
            };
            function.handle(event, now()).await?
        }
        "delete-expired" => {
            let act = PhantomData;
            let function = delete_expired::DeleteExpired {
                iot,
                lanes: Box::new(()),
                bucket,
                queue,
                rules,
                access,
                rate,
                dry_run_only,
                retire_jobs,
                act,
            };
            serde_json::to_value(function.handle(event, "request-1", deadline, clock).await?)?
        }
        "cancel-stale" => {
            let act = PhantomData;
            let function = cancel_stale::CancelStale {
                iot,
                lanes: Box::new(()),
                bucket,
                queue,
                rules,
                access,
                rate,
                dry_run_only,
                retire_jobs,
                act,
            };
            serde_json::to_value(function.handle(event, "request-1", deadline, clock).await?)?
        }
        "read-sweeps" => {
            let links = bucket.clone();
            let function = read_sweeps::ReadSweeps { bucket, links, access, caller_identity };
            serde_json::to_value(function.handle(event, now()).await)?
        }
        "read-decision" => {
            let function = read_decision::ReadDecision { iot, access, caller_identity, jobs };
            serde_json::to_value(function.handle(event, now()).await)?
        }
        "validate-access-policy" => validate::<AccessPolicy>(event)?,
        "validate-retention-rules" => validate::<Retention>(event)?,
        other => panic!("no function {other}"),
    })
}

/// What changed: `job/thing` of what is gone, and of what is CANCELED now.
fn changes(before: &Stage, after: &Stage) -> (BTreeSet<String>, BTreeSet<String>) {
    let index = |stage: &Stage| -> BTreeMap<String, Status> {
        let executions = stage.iot.executions().into_iter();
        executions.map(|e| (format!("{}/{}", e.job, e.row.thing_name), e.row.status)).collect()
    };
    let (before, after) = (index(before), index(after));
    let deleted = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
    let changed = after.iter().filter(|(key, status)| before[*key] != **status);
    let canceled = changed
        .map(|(key, status)| {
            assert_eq!(*status, Status::Canceled, "{key}");
            key.clone()
        })
        .collect();
    (deleted, canceled)
}

fn names(expected: &toml::Table, key: &str) -> BTreeSet<String> {
    let listed = expected.get(key).and_then(|value| value.as_array()).into_iter().flatten();
    listed.map(|name| name.as_str().unwrap().to_owned()).collect()
}

async fn check(name: &str, expected: &toml::Table) {
    let stage = world().await;
    let event = serde_json::from_str(&read(name)).unwrap();
    let function = name.split('.').next().unwrap();
    let answer = invoke(function, &stage, event).await;

    let fails = expected.get("fails").is_some_and(|fails| fails.as_bool().unwrap());
    let (answer, text) = match answer {
        Ok(answer) => {
            assert!(!fails, "{name} must fail, and answered {answer}");
            let body = answer["body"].as_str().unwrap_or_default().to_owned();
            let text = format!("{answer}{body}");
            (answer, text)
        }
        Err(error) => {
            assert!(fails, "{name}: {error}");
            (Value::Null, error.to_string())
        }
    };
    if let Some(status) = expected.get("status") {
        assert_eq!(answer["statusCode"], json!(status.as_integer().unwrap()), "{name}: {text}");
        let error = expected.get("error").map(|error| json!(error.as_str().unwrap())).unwrap_or_default();
        assert_eq!(answer["headers"]["x-amzn-errortype"], error, "{name}: {text}");
    }
    for part in names(expected, "contains") {
        assert!(text.contains(&part), "{name}: no {part} in {text}");
    }
    let (deleted, canceled) = changes(&world().await, &stage);
    assert_eq!(deleted, names(expected, "deleted"), "{name}");
    assert_eq!(canceled, names(expected, "canceled"), "{name}");
    let calls = stage.script.calls();
    let at_most = |key: &str, made: usize| {
        if let Some(most) = expected.get(key) {
            assert!(made <= most.as_integer().unwrap() as usize, "{name}: {made} {key}: {calls:?}");
        }
    };
    at_most("calls", calls.len());
    at_most("iot_calls", calls.iter().filter(|Call { operation, .. }| IOT.contains(operation)).count());
    if let Some(id) = expected.get("sweep") {
        let id = SweepId::parse(id.as_str().unwrap()).unwrap();
        let sweep = shared::sweep::read(&stage.bucket, &id).await.unwrap();
        assert_eq!(
            json!(sweep.status),
            expected["sweep_status"].as_str().unwrap(),
            "{name}: {:?}",
            sweep.failure
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_sample_event_has_the_outcome_that_is_written_beside_it() {
    let expected: toml::Table = toml::from_str(&read("expected.toml")).unwrap();
    let files: BTreeSet<_> = fs::read_dir(events())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(files, expected.keys().cloned().collect(), "events/ and events/expected.toml disagree");
    for (name, expected) in &expected {
        check(name, expected.as_table().unwrap()).await;
    }
    let functions: BTreeSet<_> = files.iter().map(|name| name.split('.').next().unwrap()).collect();
    assert_eq!(functions.len(), 9, "a function has no event: {functions:?}");
}

/// What does not go through holds up its lane no longer than it has to.
#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_given_back_to_its_lane() {
    let given_back = async |file: &str, fault: Option<Fault>| {
        let stage = world().await;
        if let Some(fault) = fault {
            stage.script.always("get", "sweeps/", fault);
        }
        let event = serde_json::from_str(&read(file)).unwrap();
        let answer = invoke(file.split('.').next().unwrap(), &stage, event).await.unwrap();
        let failures = answer["batchItemFailures"].as_array().unwrap().len();
        let calls = stage.script.calls().into_iter();
        let given_back: Vec<_> = calls.filter(|call| call.operation == "give back").collect();
        assert_eq!(failures, given_back.len(), "{file}: {answer}");
        given_back.into_iter().map(|call| call.subject).next().unwrap_or_default()
    };
    let unreadable = given_back("cancel-stale.malformed.json", None).await;
    assert_eq!(unreadable, "cancel-stale: AQEBexample after 0 s");
    let lost = given_back("delete-expired.slice.json", Some(Fault::LostBefore)).await;
    assert_eq!(lost, "delete-expired: AQEBexample after 30 s");
    assert_eq!(given_back("delete-expired.slice.json", None).await, "");
}
