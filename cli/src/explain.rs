//! `jobwarden policy explain`: what the sweeps would make of one execution, and why.

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use shared::access::HypotheticalExecution;
use shared::execution::Status;
use shared::operation::Operation;
use shared::sweep::Prognosis;

use crate::policy;

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
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
}

fn status(word: &str) -> Result<Status, String> {
    let known = || Status::ALL.map(Status::as_str).join(", ");
    Status::parse(word).ok_or_else(|| format!("there are {}", known()))
}

/// Says what each kind of sweep would make of it.
pub(crate) fn explain(folder: &Path, question: &Question) -> Result<(), String> {
    let policies = policy::read_all(folder)?;
    let execution: HypotheticalExecution =
        serde_json::from_str(&question.execution).map_err(|error| format!("--execution: {error}"))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the person who asks means the present, and tests name a time"
    )]
    let now = question.now.unwrap_or_else(Timestamp::now);
    let facts = execution.facts(question.status, now).map_err(|problem| format!("--execution: {problem}"))?;
    for operation in [Operation::DeleteExpired, Operation::CancelStale] {
        let prognosis = Prognosis::of((&policies.rules, &policies.access), operation, &facts, now);
        println!("{}", prognosis.map_err(|error| error.to_string())?);
    }
    Ok(())
}
