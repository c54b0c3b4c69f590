//! The code of the guard, told word for word what a path of the model tells its machine: it must make
//! the same calls and come to the same answer, or the model proves nothing about it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Mutex;

use jiff::Timestamp;
use shared::access::{AccessPolicy, Principal, User};
use shared::archive::Delete;
use shared::execution::{Execution, ExecutionRow, Job, Status, ToldJob};
use shared::guard::{Answer as Told, Caller};
use shared::guard::{CancelRequest, DeleteRequest, Guard, GuardError, JobCache};
use shared::ids::{ExecutionNumber, JobId, ThingName, Version};
use shared::ports::{
    Cancel, CancelExecutions, DeleteExecutions, Force, ListedExecution, ListedJob, ListedOnThing,
    MutationError, Page, ReadError, ReadJobs,
};
use stateright::Model;
use tests::{FakeBucket, Fault, Script};

use super::cloud::{self, Refusal, Strength, Which};
use super::protocol::{self, Answer, Operation, Policy, Run};
use super::scene::{Action, Scene, State};
use super::wire::{Call, Fate, Heard};

const PERMITS_ALL: &str = "@id(\"all\") @reason(\"all\") permit (principal, action, resource);";

/// A run from the operation's point of view: its calls with what came back, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct View {
    exchanges: Vec<(Call, Heard)>,
    decided: Option<cloud::Execution>,
    answer: Answer,
}

/// How the one operation of a scene sees its runs. Every exchange that the model can make, in every
/// state that it can reach, is made in one of them.
fn views(scene: &Scene) -> HashSet<View> {
    let mut views = HashSet::new();
    let mut reached = HashSet::new();
    let starts = scene.init_states().into_iter();
    let mut next: VecDeque<_> = starts.map(|state| (state, Vec::new())).collect();
    let mut actions = Vec::new();
    while let Some((state, exchanges)) = next.pop_front() {
        scene.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let (mut after, mut exchanges) = (state.clone(), exchanges.clone());
            let exchange = match action {
                Action::Ours(by, fate) => scene.exchange(&mut after, by, fate),
                action => {
                    after = scene.next_state(&state, action).unwrap_or(after);
                    None
                }
            };
            exchanges.extend(exchange);
            let ended = after.ours[0].answer().is_some();
            if !ended && reached.insert(after.clone()) {
                next.push_back((after, exchanges));
            } else if exchange.is_some() {
                views.insert(lived_out(scene, after, exchanges));
            }
        }
    }
    views
}

/// The run that goes on from here with every call answered.
fn lived_out(scene: &Scene, mut state: State, mut exchanges: Vec<(Call, Heard)>) -> View {
    loop {
        let Run { decided, .. } = state.ours[0];
        if let Some(answer) = state.ours[0].answer() {
            return View { exchanges, decided, answer };
        }
        exchanges.extend(scene.exchange(&mut state, 0, Fate::Answered));
    }
}

/// Lets the code of the guard live through every view of a scene, and says how they end.
pub(super) async fn act_out(scene: &Scene) -> Vec<Answer> {
    let access = match scene.rules.policy {
        Policy::Shipped => AccessPolicy::shipped().unwrap(),
        Policy::PermitsAll => AccessPolicy::parse("all.cedar", PERMITS_ALL).unwrap(),
    };
    let views = views(scene);
    for view in &views {
        live_through(scene, &access, view).await;
    }
    views.into_iter().map(|view| view.answer).collect()
}

async fn live_through(scene: &Scene, access: &AccessPolicy, view: &View) {
    let script = Script::default();
    let bucket = FakeBucket::new(script.clone());
    let mut archived = Vec::new();
    let mut calls = VecDeque::new();
    for (call, heard) in &view.exchanges {
        match (call, heard) {
            (Call::Archive(record), Heard::Accepted) => archived.push(execution(*record).row),
            (Call::Archive(_), _) => script.fault("put", 1, Fault::LostBefore),
            (call, heard) => calls.push_back((*call, *heard)),
        }
    }
    let iot = Prompter { calls: Mutex::new(calls), job: scene.rules.job };
    let guard = Guard { iot: &iot, access, jobs: &JobCache::default() };
    let answer = ask(&guard, &bucket, scene.ours[0]).await;
    if let Ok(told) = &answer {
        assert_eq!(Some(&told.execution), view.decided.map(execution).as_ref(), "{view:?}");
    }
    assert_eq!(heard_by_the_caller(answer), view.answer, "{view:?}");
    let left_out = iot.calls.into_inner().unwrap();
    assert!(left_out.is_empty(), "the code does not make {left_out:?} of {view:?}");
    let records = bucket.archive().await;
    let records: Vec<_> = records.iter().map(|record| record.row().clone()).collect();
    assert_eq!(records, archived, "{view:?}");
}

async fn ask(
    guard: &Guard<'_, Prompter>,
    bucket: &FakeBucket,
    operation: Operation,
) -> Result<Told, GuardError> {
    let principal = Principal::User(User {
        id: "fred".to_owned(),
        account: "123456789012".to_owned(),
        groups: vec!["jobwarden-force".to_owned()],
        claims: BTreeMap::new(),
    });
    let caller = Caller { principal: &principal, now: crate::stage::now(), request_id: "request" };
    let cancel = |force| CancelRequest {
        job_id: job_id(),
        thing_name: thing_name(),
        force,
        expected_version: None,
        status_details: None,
        dry_run: false,
    };
    let delete = |force| DeleteRequest {
        job_id: job_id(),
        thing_name: thing_name(),
        execution_number: ExecutionNumber::new(1),
        force,
        namespace_id: None,
        dry_run: false,
    };
    match operation {
        Operation::Cancel => guard.cancel(&caller, &cancel(Force::Never)).await,
        Operation::ForcedCancel => guard.cancel(&caller, &cancel(Force::EvenInProgress)).await,
        Operation::Delete => guard.delete(bucket, &caller, &delete(Force::Never)).await,
        Operation::ForcedDelete => guard.delete(bucket, &caller, &delete(Force::EvenInProgress)).await,
        Operation::BareForcedDelete => panic!("no code of the guard does this"),
    }
}

fn heard_by_the_caller(answer: Result<Told, GuardError>) -> Answer {
    match answer {
        Ok(told) => match (told.result, told.confirmed) {
            ("canceled", true) => Answer::Canceled,
            ("canceled", false) => Answer::CancelAccepted,
            ("deleted", true) => Answer::Deleted,
            told => panic!("an answer that the model does not know: {told:?}"),
        },
        Err(GuardError::Refused { .. }) => Answer::PolicyRefused,
        Err(GuardError::NotFound(_)) => Answer::Refused(Refusal::NotFound),
        Err(GuardError::InvalidState(_)) => Answer::Refused(Refusal::InvalidState),
        Err(GuardError::VersionConflict(_)) => Answer::Refused(Refusal::VersionConflict),
        Err(GuardError::UnknownOutcome { .. }) => Answer::Unknown,
        Err(GuardError::Unavailable { .. }) => Answer::Unavailable,
        Err(error @ (GuardError::Invalid(_) | GuardError::Throttled(_))) => panic!("{error:?}"),
    }
}

/// AWS IoT Jobs, which says what it was told to say if it is asked what it should be asked.
#[derive(Debug)]
struct Prompter {
    calls: Mutex<VecDeque<(Call, Heard)>>,
    job: protocol::Job,
}

impl Prompter {
    fn asked(&self, call: Call) -> Heard {
        let next = self.calls.lock().unwrap().pop_front();
        let Some((expected, heard)) = next else {
            panic!("{call:?} is one call too many");
        };
        assert_eq!(call, expected, "the code makes another call than the model");
        heard
    }

    fn mutate(&self, call: Call) -> Result<(), MutationError> {
        match self.asked(call) {
            Heard::Accepted => Ok(()),
            Heard::Nothing => Err(MutationError::Unknown("lost".into())),
            Heard::Refused(Refusal::NotFound) => Err(MutationError::NotFound(String::new())),
            Heard::Refused(Refusal::InvalidState) => Err(MutationError::InvalidState(String::new())),
            Heard::Refused(Refusal::VersionConflict) => Err(MutationError::VersionConflict(String::new())),
            Heard::Seen(seen) => panic!("{call:?} does not show {seen:?}"),
        }
    }
}

fn unavailable(operation: &'static str) -> ReadError {
    ReadError::Unavailable { operation, source: "lost".into() }
}

impl ReadJobs for Prompter {
    async fn describe_execution(
        &self,
        _: &JobId,
        _: &ThingName,
        number: Option<ExecutionNumber>,
    ) -> Result<Execution, ReadError> {
        let which =
            number.map_or(Which::Current, |number| Which::Numbered(u8::try_from(number.get()).unwrap()));
        match self.asked(Call::Describe(which)) {
            Heard::Seen(seen) => Ok(execution(seen)),
            Heard::Refused(_) => Err(ReadError::NotFound(String::new())),
            Heard::Nothing | Heard::Accepted => Err(unavailable("DescribeJobExecution")),
        }
    }

    async fn describe_job(&self, job: &JobId) -> Result<Job, ReadError> {
        Ok(Job {
            job_id: job.clone(),
            arn: "arn".to_owned(),
            namespace_id: None,
            retries: self.job.retries(),
            retry_limits: Default::default(),
            status: None,
            continuous: self.job.continuous(),
        })
    }

    async fn told_job(&self, _: &JobId) -> Result<ToldJob, ReadError> {
        Err(unavailable("DescribeJob"))
    }

    async fn job_document(&self, _: &JobId) -> Result<String, ReadError> {
        Err(unavailable("GetJobDocument"))
    }

    async fn job_tags(&self, _: &Job) -> Result<BTreeMap<String, String>, ReadError> {
        Ok(BTreeMap::new())
    }

    async fn listed_execution(
        &self,
        _: &JobId,
        _: &ThingName,
        _: ExecutionNumber,
    ) -> Result<ExecutionRow, ReadError> {
        Err(unavailable("ListJobExecutionsForThing"))
    }

    async fn list_executions_of_thing(
        &self,
        _: &JobId,
        _: &ThingName,
        _: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        Err(unavailable("ListJobExecutionsForThing"))
    }

    async fn list_on_thing(
        &self,
        _: &ThingName,
        _: Status,
        _: Option<&str>,
    ) -> Result<Page<ListedOnThing>, ReadError> {
        Err(unavailable("ListJobExecutionsForThing"))
    }

    async fn thing_groups(&self, _: &ThingName) -> Result<BTreeSet<String>, ReadError> {
        Err(unavailable("ListThingGroupsForThing"))
    }

    async fn thing_attributes(&self, _: &ThingName) -> Result<BTreeMap<String, String>, ReadError> {
        Err(unavailable("DescribeThing"))
    }

    async fn list_jobs(&self, _: Option<&str>) -> Result<Page<ListedJob>, ReadError> {
        Err(unavailable("ListJobs"))
    }

    async fn list_executions(
        &self,
        _: &JobId,
        _: Option<Status>,
        _: Option<&str>,
    ) -> Result<Page<ListedExecution>, ReadError> {
        Err(unavailable("ListJobExecutionsForJob"))
    }
}

impl CancelExecutions for Prompter {
    async fn cancel(&self, cancel: &Cancel) -> Result<(), MutationError> {
        let version = u8::try_from(cancel.expected_version.get()).unwrap();
        let strength = match cancel.force {
            Force::Never => Strength::Plain,
            Force::EvenInProgress => Strength::Forced,
        };
        self.mutate(Call::Cancel(Some(version), strength))
    }
}

impl DeleteExecutions for Prompter {
    async fn delete(&self, delete: &Delete) -> Result<(), MutationError> {
        let number = u8::try_from(delete.execution_number().get()).unwrap();
        self.mutate(Call::Delete(number, Strength::Plain))
    }
}

fn job_id() -> JobId {
    JobId::parse("fw").unwrap()
}

fn thing_name() -> ThingName {
    ThingName::parse("pump").unwrap()
}

fn execution(seen: cloud::Execution) -> Execution {
    let queued_at = Timestamp::from_second(seen.queued_at.into()).unwrap();
    Execution {
        job_id: job_id(),
        row: ExecutionRow {
            thing_name: thing_name(),
            execution_number: ExecutionNumber::new(seen.number.into()),
            status: seen.status,
            queued_at,
            started_at: None,
            last_updated_at: queued_at,
            retry_attempt: None,
        },
        version_number: Version::new(seen.version.into()),
        force_canceled: false,
        status_details: BTreeMap::new(),
        approximate_seconds_before_timed_out: None,
    }
}
