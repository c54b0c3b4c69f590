//! The fleet: jobs that all of its things had, of whose executions a share is due by the shipped rules.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::execution::{ExecutionRow, Status};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use tests::{FakeExecution, FakeIot, JobSetup, Script};

use crate::account::Account;
use crate::options::Options;

/// A job whose executions wait, and wait again after each cancel.
pub const CANCEL_ME: &str = "cancel-me";

/// On how many things it waits.
const STALE_THINGS: usize = 100;

/// Which place of AWS the fleet is in, as ARNs have it.
pub const PLACE: &str = "eu-west-1:123456789012";

fn days_ago(days: i64, now: Timestamp) -> Timestamp {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    now - SignedDuration::from_hours(24 * days)
}

fn job_name(job: usize) -> String {
    format!("job-{job:06}")
}

/// An account with a fleet. What is due ended 100 days ago and what is too young 10 days; the shipped rules keep a
/// success for 30.
pub fn make(options: &Options, now: Timestamp) -> FakeIot {
    let script = Script::default();
    script.forget_calls();
    let iot = FakeIot::new(script, now);
    iot.move_to(PLACE);
    iot.run_clock();
    for job in 0..options.jobs {
        let job = job_name(job);
        iot.job(&job, days_ago(200, now), JobSetup::default());
        for nth in 0..options.executions_per_job {
            let due = options.due_every().is_some_and(|every| nth.is_multiple_of(every));
            let ended = days_ago(if due { 100 } else { 10 }, now);
            let thing = format!("thing-{nth:09}");
            place(&iot, &job, &thing, Status::Succeeded, (days_ago(199, now), ended));
        }
    }
    iot.job(CANCEL_ME, days_ago(2, now), JobSetup::default());
    for nth in 0..STALE_THINGS {
        let queued = days_ago(1, now);
        place(&iot, CANCEL_ME, &format!("stale-{nth:06}"), Status::Queued, (queued, queued));
    }
    iot
}

fn place(iot: &FakeIot, job: &str, thing: &str, status: Status, (queued, updated): (Timestamp, Timestamp)) {
    iot.place(FakeExecution {
        job: JobId::parse(job).expect("a legal job id"),
        row: ExecutionRow {
            thing_name: ThingName::parse(thing).expect("a legal thing name"),
            execution_number: ExecutionNumber::new(1),
            status,
            queued_at: queued,
            started_at: (status != Status::Queued).then_some(queued),
            last_updated_at: updated,
            retry_attempt: Some(0),
        },
        version: if status == Status::Queued { 1 } else { 2 },
        force_canceled: false,
        details: BTreeMap::new(),
        seconds_left: None,
    });
}

/// At most so many executions that are due and still there: job, thing and number of each.
pub fn due(account: &Account, limit: usize, now: Timestamp) -> Value {
    let mut due = Vec::new();
    for job in (0..account.options.jobs).map(job_name) {
        let job = JobId::parse(&job).expect("a legal job id");
        let of_job = account.iot.some_of(&job, limit - due.len(), |execution| {
            execution.row.status.is_terminal() && execution.row.last_updated_at < days_ago(30, now)
        });
        let told = of_job.into_iter().map(|execution| {
            json!([execution.job, execution.row.thing_name, execution.row.execution_number])
        });
        due.extend(told);
        if due.len() >= limit {
            break;
        }
    }
    Value::Array(due)
}
