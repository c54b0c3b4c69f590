//! Each function, by its own `handle`.

use std::fs;
use std::marker::PhantomData;

use aws::slices::SliceFunction;
use aws::validation::validate;
use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use jiff::SignedDuration;
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::{Current, Document};
use shared::guard::JobCache;
use shared::lane::Lanes;
use shared::ports::Cause;
use shared::retention::Retention;
use shared::sweep::{Act, CallRate, CancelStale, DeleteExpired};
use tests::FakeIot;
use tokio::runtime::{Builder, Runtime};

use crate::stage::{Stage, now};
use crate::world::{SampleWorld, events, sweep_schedules};
use crate::{Outcome, assert_legible, fuzz};

/// The sample events whose names begin so.
pub(crate) fn samples(begin: &str) -> Vec<Value> {
    let names = fs::read_dir(events()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin))
        .collect();
    names.sort();
    names.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn access() -> Current<AccessPolicy> {
    Current::fixed(AccessPolicy::shipped().unwrap())
}

/// The sample world, made anew after each execution that changed it.
struct Scene {
    world: SampleWorld,
    stage: Stage,
    runtime: Runtime,
}

impl Scene {
    fn open() -> Self {
        let (world, runtime) = (SampleWorld::read(), runtime());
        let stage = runtime.block_on(world.stage());
        stage.script.forget_calls();
        Self { world, stage, runtime }
    }

    /// Whether there is a new stage, because something in the old one is not as it was.
    fn refresh(&mut self) -> bool {
        let changing = ["CancelJobExecution", "DeleteJobExecution", "DeleteJob", "put", "send"];
        let changed = changing.iter().any(|operation| self.stage.script.count(operation) > 0);
        if changed {
            self.stage = self.runtime.block_on(self.world.stage());
            self.stage.script.forget_calls();
        }
        changed
    }
}

/// Holds an answer of the API to the contract.
fn judge(answer: &ApiGatewayProxyResponse) -> Outcome {
    let answer = serde_json::to_value(answer).unwrap();
    let status = answer["statusCode"].as_i64().unwrap();
    let body = answer["body"].as_str().unwrap_or_default();
    if status >= 400 {
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        assert!(body["__type"].is_string() || answer["headers"]["x-amzn-errortype"].is_string(), "{answer}");
        assert_legible(body["message"].as_str().unwrap_or_else(|| panic!("no message: {answer}")), true);
    } else if status != 303 {
        serde_json::from_str::<Value>(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
    }
    let (class, read) = match status {
        200 | 202 => ("2xx", true),
        303 => ("3xx", true),
        400 => ("400", false),
        403 => ("403", false),
        404 => ("404", true),
        409 => ("409", true),
        413 => ("413", false),
        429 => ("429", true),
        503 => ("503", true),
        _ => panic!("a status that no document names: {answer}"),
    };
    Outcome { class, read }
}

fn failed(error: &Cause) -> Outcome {
    assert_legible(&error.to_string(), true);
    Outcome { class: "Err", read: false }
}

#[test]
fn cancel_execution_answers_every_event() {
    let mut scene = Scene::open();
    let mut function = cancel_execution::CancelExecution {
        iot: scene.stage.iot.clone(),
        access: access(),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    fuzz("cancel-execution", 1, &samples("cancel-execution."), |event| {
        if scene.refresh() {
            function.iot = scene.stage.iot.clone();
            function.jobs = JobCache::default();
        }
        judge(&scene.runtime.block_on(function.handle(event, now())))
    });
}

#[test]
fn delete_execution_answers_every_event() {
    let mut scene = Scene::open();
    let mut function = delete_execution::DeleteExecution {
        iot: scene.stage.iot.clone(),
        bucket: scene.stage.bucket.clone(),
        access: access(),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    fuzz("delete-execution", 1, &samples("delete-execution."), |event| {
        if scene.refresh() {
            function.iot = scene.stage.iot.clone();
            function.bucket = scene.stage.bucket.clone();
            function.jobs = JobCache::default();
        }
        judge(&scene.runtime.block_on(function.handle(event, now())))
    });
}

#[test]
fn read_decision_answers_every_event() {
    let scene = Scene::open();
    let function = read_decision::ReadDecision {
        iot: scene.stage.iot.clone(),
        access: access(),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    };
    fuzz("read-decision", 1, &samples("read-decision."), |event| {
        judge(&scene.runtime.block_on(function.handle(event, now())))
    });
}

#[test]
fn read_sweeps_answers_every_event() {
    let scene = Scene::open();
    let function = read_sweeps::ReadSweeps {
        bucket: scene.stage.bucket.clone(),
        links: scene.stage.bucket.clone(),
        access: access(),
        caller_identity: CallerIdentity::Iam,
    };
    fuzz("read-sweeps", 1, &samples("read-sweeps."), |event| {
        judge(&scene.runtime.block_on(function.handle(event, now())))
    });
}

#[test]
fn start_sweep_answers_or_refuses_every_event() {
    let mut scene = Scene::open();
    let mut function = start_sweep::StartSweep {
        bucket: scene.stage.bucket.clone(),
        queue: scene.stage.queue.clone(),
        access: access(),
        caller_identity: CallerIdentity::Iam,
        schedules: sweep_schedules(),
        lanes: Lanes::default(),
        dry_run_only: false,
    };
    fuzz("start-sweep", 1, &samples("start-sweep."), |event| {
        if scene.refresh() {
            function.bucket = scene.stage.bucket.clone();
            function.queue = scene.stage.queue.clone();
        }
        match scene.runtime.block_on(function.handle(event, now())) {
            Ok(answer) if answer.get("statusCode").is_some() => {
                judge(&serde_json::from_value(answer).unwrap())
            }
            Ok(_) => Outcome { class: "started", read: true },
            Err(error) => failed(&error),
        }
    });
}

/// The two workers differ in what they do with an execution, and in nothing else.
fn worker<A: Act<FakeIot>>(name: &str, act: PhantomData<A>) {
    let mut scene = Scene::open();
    let mut function = SliceFunction {
        iot: scene.stage.iot.clone(),
        lanes: Box::new(()),
        bucket: scene.stage.bucket.clone(),
        queue: scene.stage.queue.clone(),
        rules: Current::fixed(Retention::shipped().unwrap()),
        access: access(),
        rate: CallRate::parse("100").unwrap(),
        dry_run_only: false,
        retire_jobs: false,
        act,
    };
    let deadline = now() + SignedDuration::from_secs(900);
    let clock = || now() + SignedDuration::from_secs(1);
    fuzz(name, 1, &samples(&format!("{name}.")), |event| {
        if scene.refresh() {
            function.iot = scene.stage.iot.clone();
            function.bucket = scene.stage.bucket.clone();
            function.queue = scene.stage.queue.clone();
        }
        let gets = scene.stage.script.count("get");
        match scene.runtime.block_on(function.handle(event, "request-1", deadline, clock)) {
            Ok(response) => {
                let read = scene.stage.script.count("get") > gets;
                let kept = response.batch_item_failures.is_empty();
                Outcome { class: if kept { "done" } else { "given back" }, read }
            }
            Err(error) => failed(&error),
        }
    });
}

#[test]
fn delete_expired_takes_or_gives_back_every_message() {
    worker("delete-expired", PhantomData::<DeleteExpired>);
}

#[test]
fn cancel_stale_takes_or_gives_back_every_message() {
    worker("cancel-stale", PhantomData::<CancelStale>);
}

/// Problems of a document are one on each line.
fn validation<D: Document>(event: Value) -> Outcome {
    match validate::<D>(event) {
        Ok(_) => Outcome { class: "valid", read: true },
        Err(error) => {
            let told = error.to_string();
            assert_legible(&told, false);
            let read = !told.contains("no validation") && !told.contains("is no base64");
            Outcome { class: if read { "invalid" } else { "Err" }, read }
        }
    }
}

#[test]
fn validate_access_policy_judges_every_event() {
    fuzz("validate-access-policy", 10, &samples("validate-access-policy."), validation::<AccessPolicy>);
}

#[test]
fn validate_retention_rules_judges_every_event() {
    fuzz("validate-retention-rules", 1, &samples("validate-retention-rules."), validation::<Retention>);
}
