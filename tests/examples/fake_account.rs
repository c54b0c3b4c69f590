//! The fake account behind a line each way: a command as JSON, and what comes of it, in AWS's words. For comparing it
//! with an emulator that gets the same commands (tests/e2e/test_differential.py).

#![expect(clippy::unwrap_used, reason = "whoever sends a line that makes no sense is a test with a mistake")]

use std::io::{BufRead, Write, stdin, stdout};

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::access::DecidingPolicy;
use shared::archive::{self, Content, Record};
use shared::execution::{Execution, ExecutionRow, JobFacts, Status};
use shared::ids::{ExecutionNumber, JobId, ThingName, Version};
use shared::ports::{Cancel, CancelExecutions, DeleteExecutions, Force, MutationError, ReadError, ReadJobs};
use tests::{FakeBucket, FakeIot, JobSetup, QueuedDelete, Script};

type Answer = Result<Value, &'static str>;

struct Account {
    iot: FakeIot,
    bucket: FakeBucket,
    records: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let script = Script::default();
    let now = "2026-11-21T02:00:00Z".parse().unwrap();
    let iot = FakeIot::new(script.clone(), now);
    // What an emulator has been seen doing; AWS's reference says the other.
    if std::env::args().any(|argument| argument == "--deletes-queued") {
        iot.treat_queued_delete(QueuedDelete::Deletes);
    }
    let mut account = Account { iot, bucket: FakeBucket::new(script), records: 0 };
    for line in stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = match account.carry_out(&command, now).await {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": error }),
        };
        println!("{answer}");
        stdout().flush().unwrap();
    }
}

impl Account {
    async fn carry_out(&mut self, command: &Value, now: Timestamp) -> Answer {
        let text = |name: &str| command[name].as_str().unwrap_or_default();
        let (job, thing) = (text("job"), text("thing"));
        match text("do") {
            "create" => {
                self.iot.job(job, now, JobSetup::default());
                for thing in command["things"].as_array().unwrap() {
                    self.iot.execution(job, thing.as_str().unwrap(), Status::Queued, now, now);
                }
                Ok(Value::Null)
            }
            "update" => {
                self.iot.device(job, thing).update(Status::parse(text("status")).unwrap());
                Ok(Value::Null)
            }
            "cancel" => self.cancel(command).await,
            "delete" => self.delete(command, now).await,
            "describe" => {
                let number = command["number"].as_i64().map(ExecutionNumber::new);
                let (job, thing) = (JobId::parse(job).unwrap(), ThingName::parse(thing).unwrap());
                let found = self.iot.describe_execution(&job, &thing, number).await;
                found.map(|execution| described(&execution)).map_err(|error| read_error(&error))
            }
            "list" => {
                let (job, status) = (JobId::parse(job).unwrap(), Status::parse(text("status")));
                let found = self.iot.list_executions(&job, status, None).await;
                let page = found.map_err(|error| read_error(&error))?;
                let rows = page.items.iter().map(|row| listed(row.as_ref().unwrap()));
                Ok(rows.collect())
            }
            other => unreachable!("no command `{other}`"),
        }
    }

    async fn cancel(&self, command: &Value) -> Answer {
        let cancel = Cancel {
            job_id: JobId::parse(command["job"].as_str().unwrap()).unwrap(),
            thing_name: ThingName::parse(command["thing"].as_str().unwrap()).unwrap(),
            expected_version: Version::new(command["version"].as_i64().unwrap()),
            force: if command["force"] == true { Force::EvenInProgress } else { Force::Never },
            status_details: None,
        };
        self.iot.cancel(&cancel).await.map(|()| Value::Null).map_err(|error| mutation_error(&error))
    }

    /// A deletion can only be had for a record that is in a bucket.
    async fn delete(&mut self, command: &Value, now: Timestamp) -> Answer {
        let job_id = JobId::parse(command["job"].as_str().unwrap()).unwrap();
        let row = ExecutionRow {
            thing_name: ThingName::parse(command["thing"].as_str().unwrap()).unwrap(),
            execution_number: ExecutionNumber::new(command["number"].as_i64().unwrap()),
            status: Status::Succeeded,
            queued_at: now,
            started_at: None,
            last_updated_at: now,
            retry_attempt: None,
        };
        let job = self.iot.describe_job(&job_id).await.map_err(|error| read_error(&error))?;
        let record = Record {
            format: Record::FORMAT,
            action: "DeleteJobExecution".to_owned(),
            force: false,
            principal: "a test".to_owned(),
            origin: "a test".to_owned(),
            decided_at: now,
            rule: None,
            due_since: None,
            policies: Vec::<DecidingPolicy>::new(),
            policy_source: String::new(),
            policy_digest: String::new(),
            job: JobFacts { job, tags: Default::default() },
            content: Content::Summary { execution: row },
        };
        self.records += 1;
        let name = self.records.to_string();
        let receipt = archive::write(&self.bucket, "test", &name, now, vec![record]).await.unwrap();
        let (_, delete) = receipt.deletions().next().unwrap();
        self.iot.delete(&delete).await.map(|()| Value::Null).map_err(|error| mutation_error(&error))
    }
}

fn described(execution: &Execution) -> Value {
    json!({
        "number": execution.row.execution_number.get(),
        "status": execution.row.status.as_str(),
        "version": execution.version_number.get(),
    })
}

fn listed(row: &ExecutionRow) -> Value {
    json!({
        "thing": row.thing_name.as_str(),
        "number": row.execution_number.get(),
        "status": row.status.as_str(),
    })
}

fn read_error(error: &ReadError) -> &'static str {
    match error {
        ReadError::NotFound(_) => "ResourceNotFoundException",
        ReadError::Invalid(_) | ReadError::InvalidToken(_) => "InvalidRequestException",
        ReadError::Throttled { .. } => "ThrottlingException",
        ReadError::RoleRefused { .. } => "AccessDeniedException",
        ReadError::Unreadable { .. } | ReadError::Unavailable { .. } => "unreadable",
    }
}

fn mutation_error(error: &MutationError) -> &'static str {
    match error {
        MutationError::NotFound(_) => "ResourceNotFoundException",
        MutationError::InvalidState(_) => "InvalidStateTransitionException",
        MutationError::VersionConflict(_) => "VersionConflictException",
        MutationError::Invalid(_) => "InvalidRequestException",
        MutationError::Throttled(_) => "ThrottlingException",
        MutationError::RoleRefused(_) => "AccessDeniedException",
        MutationError::Unauthenticated(_) => "ExpiredTokenException",
        MutationError::Unknown(_) => "unknown",
    }
}
