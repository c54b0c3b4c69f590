//! Lanes: two accounts of AWS IoT with fleets of the same names, one deployment, and message groups that are
//! delivered side by side.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::archive::Record;
use shared::document::Current;
use shared::execution::{JobStatus, Status};
use shared::lane::{Lane, LaneName, Lanes};
use shared::operation::Operation;
use shared::ports::FurtherLanes;
use shared::sweep::{StartError, SweepId, SweepStatus, Trigger};
use start_sweep::StartSweep;
use tests::{FakeBucket, FakeExecution, FakeIot, FakeQueue, Fault, JobSetup, Script};
use tokio::time::{Instant, sleep, timeout};

use crate::api::{NOBODY, OPERATOR, api_event};
use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{Sweeps, count, fleet, reissued, rule, staged, things, trigger};
use crate::world::sweep_schedules;

/// The lane `us`: another Region, with a script of its own.
#[derive(Debug)]
struct Us {
    name: LaneName,
    place: &'static str,
    live: bool,
    iot: FakeIot,
    script: Script,
}

impl Us {
    fn new() -> Self {
        let script = Script::default();
        let iot = FakeIot::new(script.clone(), now());
        iot.move_to("us-east-1:123456789012");
        Self { name: us(), place: "us-east-1", live: true, iot, script }
    }

    /// With the fleet that the home lane has, to the last name.
    fn staged() -> Self {
        let us = Self::new();
        fleet(&us.iot);
        us
    }

    fn mutations(&self) -> usize {
        self.script.count("CancelJobExecution") + self.script.count("DeleteJobExecution")
    }
}

impl FurtherLanes<FakeIot> for Us {
    fn iot(&self, lane: &LaneName, place: &str) -> Option<&FakeIot> {
        (*lane == self.name && place == self.place).then_some(&self.iot)
    }

    fn is_live(&self, lane: &LaneName) -> bool {
        *lane == self.name && self.live
    }
}

fn us() -> LaneName {
    LaneName::parse("us").unwrap()
}

fn in_us(operation: Operation, id: &str) -> Trigger {
    let lane = Lane { name: us(), region: "us-east-1".to_owned(), role: None, live: true };
    Trigger { lane: Some(lane), ..trigger(operation, id) }
}

impl Sweeps<'_> {
    /// Delivers a message group as the queue does, one message after the other, until it is empty. How long that
    /// takes.
    async fn deliver_group(&self, group: &str) -> Duration {
        let origin = Instant::now();
        let mut next = 0;
        while let Some(message) = self.stage.queue.group(group).get(next).cloned() {
            let at = now() + SignedDuration::try_from(origin.elapsed()).unwrap();
            if self.slice(&message, at).await.is_ok() {
                next += 1;
            } else {
                sleep(Duration::from_secs(30)).await;
            }
        }
        origin.elapsed()
    }

    async fn started_in_us(&self, operation: Operation, id: &str) -> SweepId {
        self.start(&in_us(operation, id)).await.unwrap().sweep_id
    }

    async fn status(&self, id: &SweepId) -> SweepStatus {
        self.sweep(id).await.status
    }
}

/// What is left of a fleet when what is due has been deleted.
fn left(executions: Vec<FakeExecution>) -> Vec<FakeExecution> {
    executions.into_iter().filter(|e| !e.row.thing_name.as_str().starts_with("due-")).collect()
}

/// The Regions of records, as the ARNs of their jobs tell.
fn regions(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.job.job.place().unwrap().0.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn two_lanes_of_an_operation_work_side_by_side_in_groups_of_their_own() {
    let alone = staged();
    let sweeps = Sweeps { rate: "1", seconds: 15, ..Sweeps::new(&alone) };
    sweeps.started(Operation::DeleteExpired, "a").await;
    let took = sweeps.deliver_group("delete-expired").await;

    let (stage, further) = (staged(), Us::staged());
    let sweeps = Sweeps { lanes: &further, rate: "1", seconds: 15, ..Sweeps::new(&stage) };
    let home = sweeps.started(Operation::DeleteExpired, "a").await;
    let away = sweeps.started_in_us(Operation::DeleteExpired, "a").await;
    assert_ne!(home, away);
    let both =
        tokio::join!(sweeps.deliver_group("delete-expired"), sweeps.deliver_group("delete-expired.us"));
    assert_eq!(both, (took, took), "each lane has the whole of its own quota");

    for (id, group, iot) in
        [(&home, "delete-expired", &stage.iot), (&away, "delete-expired.us", &further.iot)]
    {
        assert_eq!(sweeps.status(id).await, SweepStatus::Succeeded);
        let messages = stage.queue.group(group);
        assert!(messages.len() > 2 && messages.iter().all(|message| message.sweep_id == *id), "{messages:?}");
        assert_eq!(iot.executions(), left(staged().iot.executions()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_throttled_or_refused_holds_up_no_other() {
    for fault in [Fault::Throttled, Fault::LostBefore, Fault::RoleRefused] {
        let (stage, further) = (staged(), Us::staged());
        further.script.always("ListJobExecutionsForJob", "", fault);
        let sweeps = Sweeps { lanes: &further, seconds: 60, ..Sweeps::new(&stage) };
        let away = sweeps.started_in_us(Operation::DeleteExpired, "a").await;
        let home = sweeps.started(Operation::DeleteExpired, "a").await;
        let stuck = timeout(Duration::from_secs(600), sweeps.deliver_group("delete-expired.us"));
        let home_is_done = async {
            let took = sweeps.deliver_group("delete-expired").await;
            assert!(took < Duration::from_secs(60), "{took:?}");
            assert_eq!(sweeps.status(&home).await, SweepStatus::Succeeded);
        };
        let (stuck, ()) = tokio::join!(stuck, home_is_done);
        let refused = fault == Fault::RoleRefused;
        assert_eq!(stuck.is_ok(), refused);
        let expected = if refused { SweepStatus::Failed } else { SweepStatus::Scanning };
        assert_eq!((sweeps.status(&away).await, further.mutations()), (expected, 0), "{fault:?}");
        sweeps.assert_deleted("").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_one_lane_never_touches_another_and_its_records_tell_which_it_is_of() {
    for operation in Operation::ALL {
        let (stage, further) = (staged(), Us::staged());
        let before = stage.iot.executions();
        let sweeps = Sweeps { lanes: &further, ..Sweeps::of_everything(&stage) };
        let id = sweeps.started_in_us(operation, "a").await;
        sweeps.deliver_group(&format!("{operation}.us")).await;
        let report = sweeps.report(&id).await;
        assert_eq!((&report["status"], &report["lane"]), (&"SUCCEEDED".into(), &"us".into()), "{report}");
        assert_eq!(report["place"], "us-east-1");
        assert_eq!(stage.iot.executions(), before);
        let home = stage.script.calls();
        let home: Vec<_> =
            home.iter().filter(|call| call.operation.starts_with(char::is_uppercase)).collect();
        assert!(home.is_empty(), "the home lane was called: {home:?}");

        let records = stage.bucket.archive().await;
        let done = count(&report, "deleted") + count(&report, "canceled");
        assert_eq!((records.len() as u64, regions(&records)), (done, ["us-east-1".to_owned()].into()));
        let outcomes = stage.bucket.outcomes("outcomes").await;
        assert!(
            outcomes.len() as u64 == done && outcomes.iter().all(|row| row.lane == Some(us())),
            "{outcomes:?}"
        );
        let reissued = reissued(&stage, &id).await;
        assert!(reissued.iter().all(|(_, arn)| arn.starts_with("arn:aws:iot:us-east-1:")), "{reissued:?}");
        assert_eq!(reissued.is_empty(), operation == Operation::DeleteExpired);

        // And the other way round: what the home lane writes is as it always was.
        let id = sweeps.started(operation, "a").await;
        let touched = further.mutations();
        sweeps.deliver_group(operation.as_str()).await;
        assert_eq!((sweeps.status(&id).await, further.mutations()), (SweepStatus::Succeeded, touched));
        for object in ["state.json", "report.json"] {
            let written = stage.bucket.bytes(&format!("sweeps/{id}/{object}")).await;
            let written: Value = serde_json::from_slice(&written).unwrap();
            assert!(written.get("lane").is_none(), "{written}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_job_is_deleted_in_its_own_lane() {
    let (stage, further) = (Stage::new(), Us::new());
    for iot in [&stage.iot, &further.iot] {
        let status = Some(JobStatus::Completed);
        iot.job("old", days_ago(200), JobSetup { status, ..JobSetup::default() });
        iot.execution("old", "pump", Status::Succeeded, days_ago(190), days_ago(180));
    }
    let retire = rule("old", "job_ids = [\"old\"]", "30d") + "retire_jobs = true\n";
    let sweeps = Sweeps { lanes: &further, ..Sweeps::with_rule(&stage, &retire) };
    let id = sweeps.started_in_us(Operation::DeleteExpired, "a").await;
    sweeps.deliver_group("delete-expired.us").await;
    assert_eq!(count(&sweeps.report(&id).await, "deletedWithJob"), 1);
    assert_eq!((further.script.count("DeleteJob"), stage.script.count("DeleteJob")), (1, 0));
    assert_eq!((further.iot.executions().len(), stage.iot.executions().len()), (0, 1));
}

fn starter(stage: &Stage, lanes: &str) -> StartSweep<FakeBucket, FakeQueue> {
    StartSweep {
        bucket: stage.bucket.clone(),
        queue: stage.queue.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
        schedules: sweep_schedules(),
        lanes: Lanes::parse(lanes, Some("eu-west-1")).unwrap(),
        dry_run_only: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_starts_one_sweep_in_each_lane_once() {
    let event: Value =
        serde_json::from_str(include_str!("../../events/start-sweep.schedule-delete-expired.json")).unwrap();
    let groups = ["delete-expired", "delete-expired.ap", "delete-expired.us"];
    let sent = |stage: &Stage| groups.map(|group| stage.queue.group(group).len());
    // The home lane's first write fails, or that of the first of the others: nobody else has to wait for it.
    for (nth, first) in [(1, [0, 1, 1]), (2, [1, 1, 0])] {
        let stage = Stage::new();
        let function = starter(&stage, "us=us-east-1,ap=ap-south-1");
        stage.script.fault("put", nth, Fault::LostBefore);
        let failed = function.handle(event.clone(), now()).await.unwrap_err().to_string();
        let lane = if nth == 1 { "home" } else { "us" };
        assert!(failed.contains(&format!("in some lanes: {lane}: the bucket did not take")), "{failed}");
        assert_eq!(sent(&stage), first);
        // So the event comes again, and once more.
        for _ in 0..2 {
            let told = function.handle(event.clone(), now()).await.unwrap();
            let lanes: Vec<_> =
                told["sweeps"].as_array().unwrap().iter().map(|sweep| &sweep["lane"]).collect();
            assert_eq!(lanes, [&Value::Null, &json!("us"), &json!("ap")], "{told}");
            assert_eq!(sent(&stage), [1, 1, 1]);
        }
        let ids: BTreeSet<_> = stage.queue.sent().into_iter().map(|message| message.sweep_id).collect();
        assert_eq!(ids.len(), 3);
        let id = event["id"].as_str().unwrap();
        let home = SweepId::new(
            event["time"].as_str().unwrap().parse().unwrap(),
            Operation::DeleteExpired,
            None,
            id,
        );
        assert_eq!(stage.queue.group("delete-expired")[0].sweep_id, home);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_names_a_lane_that_there_is() {
    let stage = Stage::new();
    let function = starter(&stage, "us=us-east-1,ap=ap-south-1");
    let start = async |caller: &str, body: Value| {
        let event = api_event("POST", "/sweeps", caller, json!({}), &[], &body.to_string());
        let answer = function.handle(event, now()).await.unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_i64().unwrap(), body)
    };
    let wrong = json!({"operation": "cancel-stale", "lane": "eu"});
    let (status, body) = start(OPERATOR, wrong.clone()).await;
    let message = body["message"].as_str().unwrap();
    assert_eq!(status, 400, "{body}");
    assert!(message.contains("there is no lane `eu`; this deployment has `us`, `ap`, and its own"), "{body}");
    // Nobody learns the names of lanes who may not start a sweep.
    let (status, body) = start(NOBODY, wrong).await;
    assert_eq!((status, body.to_string().contains("`ap`")), (403, false), "{body}");
    assert!(stage.queue.sent().is_empty() && stage.bucket.keys("sweeps").await.is_empty());

    let (status, body) = start(OPERATOR, json!({"operation": "cancel-stale", "lane": "us"})).await;
    assert_eq!((status, &body["lane"]), (202, &"us".into()), "{body}");
    assert_eq!(stage.queue.group("cancel-stale.us").len(), 1);
    let (_, body) = start(OPERATOR, json!({"operation": "cancel-stale"})).await;
    assert!(body.get("lane").is_none(), "{body}");
    assert_eq!(stage.queue.group("cancel-stale").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_taken_out_of_the_settings_fails_its_sweep() {
    // Before its first call, while it scans, and while it deletes.
    for slices in [1, 2, 3] {
        let (stage, further) = (staged(), Us::staged());
        let sweeps = Sweeps { lanes: &further, rate: "1", seconds: 15, ..Sweeps::new(&stage) };
        let id = sweeps.started_in_us(Operation::DeleteExpired, "a").await;
        for nth in 0..slices - 1 {
            sweeps.slice(&stage.queue.sent()[nth], now()).await.unwrap();
        }
        let (calls, before) = (further.script.calls().len(), stage.iot.executions());
        // It is not there at all, or its name is another Region's by now.
        let moved = Us { place: "us-west-2", iot: further.iot.clone(), ..Us::new() };
        let lanes: &dyn FurtherLanes<FakeIot> = if slices == 2 { &() } else { &moved };
        let without = Sweeps { lanes, rate: "1", seconds: 15, ..Sweeps::new(&stage) };
        let last = stage.queue.sent()[slices - 1].clone();
        for _ in 0..2 {
            without.slice(&last, now() + SignedDuration::from_mins(5)).await.unwrap();
        }
        let report = sweeps.report(&id).await;
        assert_eq!((&report["status"], &report["lane"]), (&"FAILED".into(), &"us".into()), "{report}");
        let told = "the lane `us` of us-east-1 is not among this deployment's Lanes any more";
        assert_eq!(report["failure"], told, "{report}");
        assert_eq!(stage.queue.sent().len(), slices, "nothing comes after it");
        assert_eq!(
            (further.script.calls().len(), stage.iot.executions(), stage.mutations()),
            (calls, before, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_released_in_the_lane_that_it_is_of() {
    let (stage, further) = (staged(), Us::staged());
    let sweeps = Sweeps { lanes: &further, ..Sweeps::with_breaker(&stage, 1) };
    let home = sweeps.started(Operation::DeleteExpired, "a").await;
    let away = sweeps.started_in_us(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    let digest = async |id| sweeps.report(id).await["planDigest"].as_str().unwrap().to_owned();
    let (of_home, of_us) = (digest(&home).await, digest(&away).await);
    // The same fleet at the same time by the same rules, and yet another plan.
    assert_ne!(of_home, of_us);
    let report = sweeps.report(&away).await;
    assert!(
        report["failure"].as_str().unwrap().contains("start a sweep with \"lane\": \"us\", \"releasePlan\"")
    );

    let released = |of: &str, trigger: Trigger| Trigger { release_plan: Some(of.to_owned()), ..trigger };
    for (plan, trigger, told) in [
        (&of_us, trigger(Operation::DeleteExpired, "b"), "one of the lane `us`; start the sweep with it"),
        (&of_home, in_us(Operation::DeleteExpired, "b"), "the stack's own account and Region; name no lane"),
    ] {
        let refused = sweeps.start(&released(plan, trigger)).await;
        assert!(
            matches!(&refused, Err(StartError::Invalid(message)) if message.contains(told)),
            "{refused:?}"
        );
    }
    // The name is another Region's by now.
    let elsewhere = Lane { name: us(), region: "us-west-2".to_owned(), role: None, live: true };
    let moved = Trigger { lane: Some(elsewhere), ..trigger(Operation::DeleteExpired, "b") };
    let refused = sweeps.start(&released(&of_us, moved)).await.unwrap_err().to_string();
    assert!(refused.contains("one of us-east-1, which is not what its lane is of any more"), "{refused}");
    assert_eq!((stage.mutations(), further.mutations()), (0, 0));
    let id = sweeps.start(&released(&of_us, in_us(Operation::DeleteExpired, "c"))).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    assert_eq!(sweeps.status(&id).await, SweepStatus::Succeeded);
    assert_eq!((things(&further.iot, "due-").len(), stage.mutations()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_plan_has_grown_against_the_last_sweep_of_its_own_lane() {
    let (stage, further) = (Stage::new(), Us::new());
    let more = |iot: &FakeIot, job: &str, due: usize| {
        iot.job(job, days_ago(200), JobSetup::default());
        for nth in 0..due {
            let thing = format!("due-{job}-{nth}");
            iot.execution(job, &thing, Status::Succeeded, days_ago(199), days_ago(98));
        }
    };
    let sweeps = Sweeps { lanes: &further, ..Sweeps::with_limits(&stage, "10000", "100", "2") };
    let growth = async |trigger: Trigger| {
        let id = sweeps.start(&trigger).await.unwrap().sweep_id;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        report["breaker"]["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["limit"] == "maxGrowth")
            .unwrap()
            .clone()
    };
    more(&stage.iot, "one", 400);
    assert_eq!(growth(trigger(Operation::DeleteExpired, "a")).await["result"], "noSweepBefore");
    // What is ordinary in the home lane is nothing to compare the other with.
    more(&further.iot, "one", 120);
    assert_eq!(growth(in_us(Operation::DeleteExpired, "a")).await["result"], "noSweepBefore");
    more(&further.iot, "two", 300);
    let grown = growth(in_us(Operation::DeleteExpired, "b")).await;
    assert_eq!((&grown["of"], &grown["result"]), (&120.into(), &"tripped".into()), "{grown}");
    more(&stage.iot, "two", 700);
    let grown = growth(trigger(Operation::DeleteExpired, "b")).await;
    assert_eq!((&grown["of"], &grown["result"]), (&400.into(), &"passed".into()), "{grown}");
    let kept = stage.bucket.keys("sweeps/last").await;
    assert_eq!(kept, ["sweeps/last/delete-expired.json", "sweeps/last/delete-expired.us.json"]);
}

#[tokio::test(start_paused = true)]
async fn policies_tell_lanes_apart() {
    let forbid = "@id(\"not-there\") @reason(\"r\") forbid (principal, action, resource is Jobwarden::JobExecution) \
                  when { resource.region == \"us-east-1\" && resource.account == \"123456789012\" };\
                  @id(\"home-only\") @reason(\"r\") forbid (principal, action == Jobwarden::Action::\"StartSweep\", \
                  resource) when { context.lane == \"us\" };";
    let access = || {
        let text = format!("{}{forbid}", include_str!("../../policies/access.cedar"));
        AccessPolicy::parse("p.cedar", &text).unwrap()
    };
    let (stage, further) = (staged(), Us::staged());
    let sweeps = Sweeps { lanes: &further, access: access(), ..Sweeps::new(&stage) };
    let away = sweeps.started_in_us(Operation::DeleteExpired, "a").await;
    sweeps.started(Operation::DeleteExpired, "a").await;
    sweeps.deliver_all().await;
    sweeps.assert_deleted("").await;
    assert_eq!((sweeps.report(&away).await["due"].as_u64(), further.mutations()), (Some(0), 0));

    let function =
        StartSweep { access: Current::fixed(access()), ..starter(&stage, "us=us-east-1,ap=ap-south-1") };
    for (lane, status) in [(json!("us"), 403), (json!("ap"), 202), (Value::Null, 202)] {
        let body = json!({"operation": "cancel-stale", "lane": lane}).to_string();
        let event = api_event("POST", "/sweeps", OPERATOR, json!({}), &[], &body);
        let answer = function.handle(event, now()).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{answer}");
    }
}

/// What its first plans hold has to be read before anything of it is carried out.
#[tokio::test(start_paused = true)]
async fn a_lane_that_is_not_live_has_dry_runs_only() {
    let stage = staged();
    let further = Us { live: false, ..Us::staged() };
    let event: Value =
        serde_json::from_str(include_str!("../../events/start-sweep.schedule-delete-expired.json")).unwrap();
    let answer = starter(&stage, "us=us-east-1,ap=ap-south-1:live").handle(event, now()).await.unwrap();
    let dry_runs: Vec<_> =
        answer["sweeps"].as_array().unwrap().iter().map(|sweep| &sweep["dryRun"]).collect();
    assert_eq!(dry_runs, [false, true, false]);

    let sweeps = Sweeps { lanes: &further, ..Sweeps::of_everything(&stage) };
    let mut trigger = in_us(Operation::DeleteExpired, "a");
    trigger.lane.as_mut().unwrap().live = false;
    let refused = sweeps.start(&trigger).await.unwrap_err().to_string();
    assert!(refused.contains("the lane `us` allows dry runs only"), "{refused}");
    // A start that took it for live, and a worker that does not.
    let id = sweeps.started_in_us(Operation::DeleteExpired, "b").await;
    sweeps.deliver_group("delete-expired.us").await;
    let report = sweeps.report(&id).await;
    assert_eq!((&report["status"], &report["dryRun"]), (&json!("SUCCEEDED"), &json!(true)), "{report}");
    assert!(report["due"].as_u64().unwrap() > 0, "{report}");
    assert_eq!((further.mutations(), stage.mutations()), (0, 0));
}
