//! `POST /decisions`: what would come of a request, without making it.

use jiff::Timestamp;
use serde::Serialize;

use super::body::{Body, report};
use super::request::force_of;
use super::{ApiError, ApiRequest};
use crate::access::{ExecutionAction, Explanation, HypotheticalExecution};
use crate::execution::Status;
use crate::guard::{AskedExecution, DecisionRequest, Prospect};
use crate::ids::{ExecutionNumber, JobId, ThingName, Version, Violation, quoted};
use crate::time;

const KNOWN: &str = "action, force, expectedVersion, and either jobId, thingName and executionNumber, or status, \
                     execution and now";

impl ApiRequest {
    /// Reads a `POST /decisions`. A body with a status asks about an execution that is made up,
    /// of which whatever is left out is ordinary; one without asks about one that is there.
    ///
    /// # Errors
    /// InvalidRequestException naming every member that is wrong.
    pub fn decision(mut self, now: Timestamp) -> Result<DecisionRequest, ApiError> {
        let mut violations = Vec::new();
        self.refuse_rest_of_query("none", &mut violations);
        let Some(mut members) = report(Body::parse(&self.body), &mut violations) else {
            return Err(violations.into());
        };
        let action =
            members.required("action", "CancelJobExecution or DeleteJobExecution", action, &mut violations);
        let force = force_of(members.bool("force", &mut violations).unwrap_or(false));
        let expected_version = members.number("expectedVersion", Version::parse, &mut violations);
        if let (Some(ExecutionAction::Delete), Some(_)) = (action, expected_version) {
            violations.push(Violation::new("expectedVersion", "is for CancelJobExecution only"));
        }
        let status = members.parsed("status", status, &mut violations);
        let execution = match status {
            Some(status) => hypothetical(&mut members, status, now, &mut violations),
            None => described(&mut members, action, &mut violations),
        };
        members.refuse_rest(KNOWN, &mut violations);
        match (action, execution) {
            (Some(action), Some(execution)) if violations.is_empty() => {
                Ok(DecisionRequest { action, force, expected_version, execution })
            }
            _ => Err(violations.into()),
        }
    }
}

fn described(
    members: &mut Body,
    action: Option<ExecutionAction>,
    violations: &mut Vec<Violation>,
) -> Option<AskedExecution> {
    let job_id = members.required("jobId", "a job, or a status of what is made up", JobId::parse, violations);
    let thing_name = members.required("thingName", "a thing", ThingName::parse, violations);
    let execution_number = members.number("executionNumber", ExecutionNumber::parse, violations);
    match (action, execution_number) {
        (Some(ExecutionAction::Cancel), Some(_)) => {
            let problem = "is for DeleteJobExecution only; a cancel acts on the thing's current execution";
            violations.push(Violation::new("executionNumber", problem));
        }
        (Some(ExecutionAction::Delete), None) => {
            violations.push(Violation::new("executionNumber", "is required for DeleteJobExecution"));
        }
        _ => {}
    }
    members.without(&["execution", "now"]);
    Some(AskedExecution::Described { job_id: job_id?, thing_name: thing_name?, execution_number })
}

fn hypothetical(
    members: &mut Body,
    status: Status,
    now: Timestamp,
    violations: &mut Vec<Violation>,
) -> Option<AskedExecution> {
    members.without(&["jobId", "thingName", "executionNumber"]);
    let execution: Option<HypotheticalExecution> = members.object("execution", "an object", violations);
    let now = members.parsed("now", now_of, violations).unwrap_or(now);
    let facts = execution.unwrap_or_default().facts(status, now);
    let facts = report(facts.map_err(|problem| Violation::new("execution", problem)), violations)?;
    Some(AskedExecution::Hypothetical { facts: Box::new(facts), now })
}

fn action(name: &str) -> Result<ExecutionAction, Violation> {
    let actions = [ExecutionAction::Cancel, ExecutionAction::Delete];
    actions.into_iter().find(|action| action.as_str() == name).ok_or_else(|| {
        let problem = format!("{} must be CancelJobExecution or DeleteJobExecution", quoted(name));
        Violation::new("action", problem)
    })
}

fn status(name: &str) -> Result<Status, Violation> {
    Status::parse(name)
        .ok_or_else(|| Violation::new("status", format!("{} is no status of a job execution", quoted(name))))
}

fn now_of(text: &str) -> Result<Timestamp, Violation> {
    time::timestamp(text).map_err(|problem| Violation::new("now", problem))
}

/// The answer to `POST /decisions`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionAnswer {
    /// What was asked about.
    action: ExecutionAction,
    /// Whether the execution is made up.
    hypothetical: bool,
    /// What would come of it.
    result: &'static str,
    /// What the access policy says.
    decision: Explanation,
    /// The error that would be answered, where it would not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Objection>,
}

#[derive(Debug, Serialize)]
struct Objection {
    #[serde(rename = "__type")]
    code: &'static str,
    message: String,
}

impl DecisionAnswer {
    /// The answer in the form of the API.
    pub fn of(request: &DecisionRequest, prospect: Prospect) -> Self {
        let Prospect { decision, objection } = prospect;
        let result = match (&objection, request.action) {
            (Some(_), _) => "wouldRefuse",
            (None, ExecutionAction::Cancel) => "wouldCancel",
            (None, ExecutionAction::Delete) => "wouldDelete",
        };
        let error = objection.map(|error| {
            let error = ApiError::from(error);
            Objection { code: error.code.as_str(), message: error.message }
        });
        let hypothetical = request.execution.is_hypothetical();
        Self { action: request.action, hypothetical, result, decision, error }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(members: Value) -> Result<DecisionRequest, ApiError> {
        let mut body = json!({"action": "CancelJobExecution", "status": "IN_PROGRESS"});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        ApiRequest { body: body.to_string().into_bytes(), ..ApiRequest::default() }.decision(now)
    }

    /// Nothing that is made up may lie where time cannot be counted, or where the policies cannot.
    #[test]
    fn a_time_that_cannot_be_is_refused() {
        for (members, told) in [
            (
                json!({"now": "-009999-01-02T01:59:59Z"}),
                "now: `-009999-01-02T01:59:59Z` must be a time such as",
            ),
            (json!({"now": "1969-12-31T23:59:59Z"}), "from 1970 on"),
            (
                json!({"execution": {"queuedAge": "110000w"}}),
                "execution: queuedAge: `110000w` before 2026-11-21T12:00:00Z is before the year 0",
            ),
            (json!({"execution": {"queuedAge": "99999999999999999999w"}}), "is before the year 0"),
            (
                json!({"now": "9999-12-30T22:00:00Z", "execution": {"startedAge": "-1d"}}),
                "execution: startedAge: `-1d` is no age: write weeks, days, hours, minutes and seconds, such as \
                 \"90d\" or \"1h 59min 59s\"",
            ),
            (
                json!({"execution": {"lastUpdatedAge": "60m"}}),
                "execution: lastUpdatedAge: `60m` is no age: m could mean minutes or months; write weeks",
            ),
        ] {
            let message = asked(members.clone()).unwrap_err().message;
            assert!(message.contains(told), "{members}: {message}");
        }
        for now in ["1970-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
            assert!(asked(json!({"now": now, "execution": {"queuedAge": "3650w"}})).is_ok(), "{now}");
        }
    }

    #[test]
    fn a_list_does_not_pass_for_an_object() {
        let message = asked(json!({"execution": {"jobRetryLimits": [2, 1]}})).unwrap_err().message;
        assert!(message.contains("expected a JSON object"), "{message}");
    }

    #[test]
    fn a_retry_limit_that_there_is_not_is_refused() {
        let message = asked(json!({"execution": {"jobRetryLimits": {"faild": 2}}})).unwrap_err().message;
        assert!(message.contains("unknown field `faild`"), "{message}");
        assert!(asked(json!({"execution": {"jobRetryLimits": {"failed": 2, "timedOut": 1}}})).is_ok());
    }
}
