//! `jobwarden policy explain`: what the sweeps would make of one execution, and why.

use std::fmt::Display;
use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use serde_json::Map;
use shared::access::HypotheticalExecution;
use shared::execution::Status;
use shared::json;
use shared::operation::Operation;
use shared::sweep::Prognosis;
use shared::time::timestamp;

use crate::failure::Failure;
use crate::policy;
use crate::screen::Screen;

/// The execution that is asked about, and when.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// Its status, such as FAILED.
    #[arg(long, value_parser = status)]
    status: Status,
    /// What else there is to it and to its job, in the form of the cases in tests/*.toml and of
    /// POST /decisions: {"jobId": "fw-7", "lastUpdatedAge": "91d", "jobTags": {"ring": "canary"}}.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    execution: String,
    /// The time of the sweep. The present one if it is left out.
    #[arg(long, value_parser = timestamp, value_name = "TIME")]
    now: Option<Timestamp>,
}

pub(crate) fn status(word: &str) -> Result<Status, String> {
    let known = || Status::ALL.map(Status::as_str).join(", ");
    Status::parse(word).ok_or_else(|| format!("there are {}", known()))
}

/// Says what each kind of sweep would make of it.
pub(crate) fn explain(folder: &Path, question: &Question, screen: &Screen) -> Result<(), Failure> {
    let policies = policy::read_all(folder)?;
    let execution: HypotheticalExecution = json::object(question.execution.as_bytes()).map_err(wrong)?;
    let now = question.now.unwrap_or_else(aws::clock::now);
    let facts = execution.facts(question.status, now).map_err(wrong)?;
    let mut told = Map::new();
    for operation in [Operation::DeleteExpired, Operation::CancelStale] {
        let prognosis = Prognosis::of((&policies.rules, &policies.access), operation, &facts, now);
        let prognosis = prognosis.map_err(wrong)?;
        if screen.is_json() {
            let said = prognosis.to_string();
            let said = said.strip_prefix(&format!("{operation}: ")).unwrap_or(&said);
            told.insert(operation.to_string(), said.into());
        } else {
            screen.line(&prognosis.to_string())?;
        }
    }
    if screen.is_json() {
        screen.json(&told)?;
    }
    Ok(())
}

fn wrong(problem: impl Display) -> Failure {
    Failure::usage(format!("--execution: {problem}"))
}
