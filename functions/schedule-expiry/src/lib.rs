//! Schedules exact expiry: for each job execution that ends, a look at the moment when it can be due.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::document::Current;
use shared::execution::Status;
use shared::expiry::Ended;
use shared::ids::{JobId, ThingName, quoted};
use shared::ports::{Cause, ExpirySchedules};
use shared::retention::Retention;

/// Above this a time is in milliseconds: as seconds it would be of the year 5138. Job executions' events
/// have been documented with both.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// The function's parts. It cannot reach AWS IoT: an event must not cost the sweeps their quota.
#[derive(Debug)]
pub struct ScheduleExpiry<S> {
    /// The schedules.
    pub schedules: S,
    /// When something is due.
    pub rules: Current<Retention>,
}

impl<S: ExpirySchedules> ScheduleExpiry<S> {
    /// Handles one event of `$aws/events/jobExecution/`.
    ///
    /// # Errors
    /// When it is none, or a look cannot be scheduled; it is delivered again, or ends in the dead-letter
    /// queue. Nothing is lost by that: the next sweep sees to the execution.
    pub async fn handle(&self, event: Value, now: Timestamp) -> Result<Value, Cause> {
        let Some(ended) = ended(event)? else { return Ok(json!({ "checks": [] })) };
        let rules = self.rules.get(now).await;
        let mut checks = Vec::new();
        for check in ended.checks(&rules) {
            let (name, at) = (check.name(), check.at(now));
            let scheduled = self.schedules.schedule(&check, at).await?;
            tracing::info!(
                event = "expiry_scheduled", name, %at, ?scheduled, job_id = %check.job_id,
                thing_name = %check.thing_name, status = %check.status, ended_at = %check.ended_at,
            );
            checks.push(json!({ "name": name, "at": at, "scheduled": scheduled }));
        }
        aws::counting::flush();
        Ok(json!({ "checks": checks }))
    }
}

/// What AWS IoT says when a job execution changes: no number and no version, at least once, in any order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobExecutionEvent {
    event_type: String,
    operation: String,
    timestamp: i64,
    job_id: String,
    thing_arn: String,
    status: String,
}

/// What has ended; nothing where the execution has not, or is gone.
fn ended(event: Value) -> Result<Option<Ended>, Cause> {
    let told: JobExecutionEvent =
        serde_json::from_value(event).map_err(|error| format!("the event is no job execution's: {error}"))?;
    if told.event_type != "JOB_EXECUTION" {
        return Err(format!("the event is no job execution's, but {}", quoted(&told.event_type)).into());
    }
    if told.operation == "deleted" {
        return Ok(None);
    }
    let status = Status::parse(&told.status)
        .ok_or_else(|| format!("the event has the unknown status {}", quoted(&told.status)))?;
    if !status.is_terminal() {
        return Ok(None);
    }
    let at = if told.timestamp < MILLISECONDS_FROM {
        Timestamp::from_second(told.timestamp)
    } else {
        Timestamp::from_millisecond(told.timestamp)
    };
    // Zero is what an omitted time looks like.
    let at = at.ok().filter(|at| at.as_second() > 0);
    let at = at.ok_or_else(|| format!("the event's timestamp {} is no time", told.timestamp))?;
    // In words: the runtime logs an error as it is.
    let job_id = JobId::parse(&told.job_id).map_err(|violation| violation.to_string())?;
    let thing_name = ThingName::of_arn(&told.thing_arn).map_err(|violation| violation.to_string())?;
    Ok(Some(Ended { job_id, thing_name, status, at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(change: impl FnOnce(&mut Value)) -> Result<Option<Ended>, String> {
        let mut event = json!({
            "eventType": "JOB_EXECUTION",
            "eventId": "b3f6a2d0-1c9b-4a53-9d0e-4a7c41e2c001",
            "timestamp": 1_795_226_400,
            "operation": "succeeded",
            "jobId": "fw",
            "thingArn": "arn:aws:iot:eu-west-1:123456789012:thing/a:thing:b",
            "status": "SUCCEEDED",
            "statusDetails": {"step": "done"},
        });
        change(&mut event);
        ended(event).map_err(|error| error.to_string())
    }

    fn ended_with(change: impl FnOnce(&mut Value)) -> Ended {
        event(change).unwrap().unwrap()
    }

    #[test]
    fn a_time_is_in_seconds_or_in_milliseconds() {
        let at = Timestamp::from_second(1_795_226_400).unwrap();
        assert_eq!((ended_with(|_| {}).at, ended_with(|_| {}).thing_name.as_str()), (at, "a:thing:b"));
        assert_eq!(ended_with(|event| event["timestamp"] = json!(1_795_226_400_000_i64)).at, at);
    }

    #[test]
    fn every_status_that_an_execution_can_end_with_is_known_and_no_other_counts() {
        for status in Status::ALL {
            let told = event(|event| event["status"] = json!(status)).unwrap();
            assert_eq!(told.map(|ended| ended.status), status.is_terminal().then_some(status));
        }
        assert_eq!(event(|event| event["operation"] = json!("deleted")), Ok(None));
        let unknown = event(|event| event["status"] = json!("PAUSED")).unwrap_err();
        assert_eq!(unknown, "the event has the unknown status `PAUSED`");
    }

    #[test]
    fn what_is_wrong_with_an_event_is_told() {
        for (member, value, told) in [
            ("eventType", json!("JOB"), "but `JOB`"),
            ("jobId", json!("a b"), "jobId: `a b` must be"),
            ("thingArn", json!("pump"), "thingArn: `pump` must be a thing's ARN"),
            ("timestamp", json!(0), "timestamp 0 is no time"),
            ("timestamp", json!(i64::MAX), "is no time"),
            ("timestamp", json!("now"), "invalid type"),
            ("operation", Value::Null, "invalid type: null"),
        ] {
            let error = event(|event| event[member] = value).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let error = ended(json!({"Records": []})).unwrap_err().to_string();
        assert_eq!(error, "the event is no job execution's: missing field `eventType`");
    }
}
