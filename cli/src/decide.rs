//! `jobwarden decide`: what would come of a cancel or a delete, and why, without making it.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::access::{DecidingPolicy, ExecutionAction};
use shared::execution::Status;
use shared::json::object;
use shared::time::timestamp;

use crate::connection::{Connection, decoded};
use crate::explain::status;
use crate::failure::{Exit, Failure};
use crate::screen::{Paint, Screen, cell};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    Cancel,
    Delete,
}

/// A request, as somebody might make it.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// What would be done.
    action: Action,
    /// The job. With it, and with --thing, the question is about an execution that is there.
    #[arg(long, requires = "thing", conflicts_with = "status")]
    job: Option<String>,
    /// The thing.
    #[arg(long, requires = "job")]
    thing: Option<String>,
    /// The execution's number; only for a delete. A cancel acts on the thing's current execution.
    #[arg(long, requires = "job")]
    number: Option<i64>,
    /// With force.
    #[arg(long)]
    force: bool,
    /// The version that the execution must have; only for a cancel.
    #[arg(long)]
    expected_version: Option<i64>,
    /// The status of an execution that is made up, such as FAILED.
    #[arg(long, value_parser = status, required_unless_present = "job")]
    status: Option<Status>,
    /// What else there is to the one that is made up: {"lastUpdatedAge": "91d", "jobTags": {"ring": "canary"}}.
    #[arg(long, value_name = "JSON", requires = "status")]
    execution: Option<String>,
    /// The time of the request that is made up.
    #[arg(long, value_parser = timestamp, value_name = "TIME", requires = "status")]
    now: Option<Timestamp>,
}

impl Question {
    fn body(&self) -> Result<Value, Failure> {
        let action = match self.action {
            Action::Cancel => ExecutionAction::Cancel,
            Action::Delete => ExecutionAction::Delete,
        };
        let mut body = Map::new();
        body.insert("action".to_owned(), json!(action));
        body.insert("force".to_owned(), json!(self.force));
        let mut put =
            |name: &str, value: Option<Value>| value.map(|value| body.insert(name.to_owned(), value));
        put("jobId", self.job.as_ref().map(|job| json!(job)));
        put("thingName", self.thing.as_ref().map(|thing| json!(thing)));
        put("executionNumber", self.number.map(|number| json!(number)));
        put("expectedVersion", self.expected_version.map(|version| json!(version)));
        put("status", self.status.map(|status| json!(status)));
        put("now", self.now.map(|now| json!(now)));
        let read = |text: &String| object::<Map<String, Value>>(text.as_bytes()).map(Value::from);
        let execution = self.execution.as_ref().map(read).transpose();
        put("execution", execution.map_err(|error| Failure::usage(format!("--execution: {error}")))?);
        Ok(body.into())
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    result: String,
    hypothetical: bool,
    decision: Decision,
    #[serde(default)]
    error: Option<Objection>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    outcome: String,
    policies: Vec<DecidingPolicy>,
    policy_source: String,
    policy_digest: String,
    facts: Map<String, Value>,
    #[serde(default)]
    unmet: Vec<Unmet>,
}

#[derive(Debug, Deserialize)]
struct Unmet {
    id: String,
    reason: String,
    #[serde(default)]
    condition: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Objection {
    #[serde(rename = "__type")]
    code: String,
    message: String,
}

/// Asks, and tells the answer; it is no where the request would be refused.
pub(crate) async fn decide(
    question: &Question,
    connection: &Connection,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let body = question.body()?;
    let answer = connection.api().await?.post("/decisions", &body).await?;
    let read: Answer = decoded("the decision", &answer)?;
    let exit = if read.error.is_none() { Exit::Done } else { Exit::No };
    if screen.is_json() {
        screen.json_text(&answer)?;
        return Ok(exit);
    }
    let Answer { result, hypothetical, decision, error } = read;
    let paint = if error.is_none() { Paint::Good } else { Paint::Bad };
    let about = if hypothetical { "of an execution that is made up" } else { "" };
    let mut rows = vec![
        vec![cell("result"), cell(&result).painted(Some(paint)), cell(about)],
        vec![cell("access policy"), cell(&decision.outcome), cell("")],
    ];
    let policies = decision.policies.iter();
    rows.extend(policies.map(|policy| vec![cell("by policy"), cell(&policy.id), cell(&policy.reason)]));
    for unmet in &decision.unmet {
        let lacks = unmet.condition.as_ref().map(|condition| format!("; not met: {condition}"));
        let why = format!("{}{}", unmet.reason, lacks.unwrap_or_default());
        rows.push(vec![cell("not by policy"), cell(&unmet.id), cell(why)]);
    }
    for (name, value) in &decision.facts {
        rows.push(vec![
            cell("fact"),
            cell(name),
            cell(value.as_str().map_or(value.to_string(), str::to_owned)),
        ]);
    }
    let digest: String = decision.policy_digest.chars().take(12).collect();
    rows.push(vec![cell("policies"), cell(digest), cell(&decision.policy_source)]);
    screen.table(&["", "", ""], &rows)?;
    if let Some(Objection { code, message }) = error {
        screen.line(&format!("{code}: {message}"))?;
    }
    Ok(exit)
}
