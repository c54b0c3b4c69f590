//! EventBridge Scheduler's events, and which schedules may start a sweep.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shared::ids::{quoted, quoted_at_most};
use shared::operation::Operation;
use thiserror::Error;

/// No schedule fired before: EventBridge Scheduler was announced on 10 November 2022.
const FIRST_FIRING: Timestamp = Timestamp::constant(1_668_038_400, 0);

/// The longest ARN of a schedule: 64 characters each of group and name, and what stands before them.
const LONGEST_ARN: usize = 256;

/// The ARN of a schedule, `arn:PARTITION:scheduler:REGION:ACCOUNT:schedule/GROUP/NAME`.
/// The default is the ARN of nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleArn(String);

impl ScheduleArn {
    /// Reads the ARN of a schedule of `region`, the function's own; `None` takes any Region.
    ///
    /// # Errors
    /// When it is the ARN of something else, or of another Region.
    pub fn parse(input: &str, region: Option<&str>) -> Result<Self, String> {
        let shown = quoted_at_most(input, LONGEST_ARN);
        let Some(of) = parts(input) else {
            return Err(format!(
                "{shown} must be the ARN of a schedule, arn:PARTITION:scheduler:REGION:ACCOUNT:schedule/GROUP/NAME"
            ));
        };
        match region {
            Some(own) if own != of.region => {
                Err(format!("{shown} must be of the function's own Region, {own}"))
            }
            Some(_) | None => Ok(Self(input.to_owned())),
        }
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the ARN of a schedule says of where it is.
struct Location<'a> {
    region: &'a str,
    account: &'a str,
}

fn parts(arn: &str) -> Option<Location<'_>> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(":scheduler:")?;
    let (region, rest) = rest.split_once(':')?;
    let (account, rest) = rest.split_once(":schedule/")?;
    let (group, name) = rest.split_once('/')?;
    let lower = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty() && text.bytes().all(legal)
    };
    let named = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(legal)
    };
    let account_id = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let fits = lower(partition) && lower(region) && account_id && named(group) && named(name);
    fits.then_some(Location { region, account })
}

/// The schedules that start sweeps: one for each operation, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepSchedules {
    /// Starts `delete-expired`.
    pub delete_expired: ScheduleArn,
    /// Starts `cancel-stale`.
    pub cancel_stale: ScheduleArn,
}

/// A schedule of the stack that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// What its sweep does.
    pub operation: Operation,
    /// The schedule's ARN.
    pub schedule: String,
    /// The event's id, a UUID. It is the same when the event is delivered again.
    pub id: String,
    /// When the schedule fired.
    pub time: Timestamp,
}

/// Why an event starts no sweep.
#[derive(Debug, Error)]
pub enum NotOurSchedule {
    /// It has not the members that an event of EventBridge Scheduler has.
    #[error("the event is neither a call of the API nor one of EventBridge Scheduler ({problem}); {REMEDY}", problem = .0)]
    Unreadable(#[source] serde_json::Error),
    /// It comes from somebody else.
    #[error(
        "the event's source {} and detail-type {} must be `aws.scheduler` and `Scheduled Event`; {}",
        quoted(.source_name), quoted(.detail_type), REMEDY
    )]
    Source {
        /// The member `source`.
        source_name: String,
        /// The member `detail-type`.
        detail_type: String,
    },
    /// It names no schedule, or several.
    #[error("the event's resources must name the one schedule that fired, and name {count}; {REMEDY}", count = .0)]
    Resources(usize),
    /// It names another schedule, or something that is none.
    #[error(
        "{} starts no sweep: only the schedules `{}` and `{}` do, by their whole ARNs; remove this function from the \
         target of whatever sent the event",
        quoted_at_most(.resource, LONGEST_ARN), .schedules.delete_expired.as_str(), .schedules.cancel_stale.as_str()
    )]
    Stranger {
        /// What the event names.
        resource: String,
        /// The schedules that start sweeps.
        schedules: Box<SweepSchedules>,
    },
    /// Its members contradict each other.
    #[error(
        "the event's account {} and region {} are not those of its schedule {schedule}; {}",
        quoted(.account), quoted(.region), REMEDY
    )]
    Elsewhere {
        /// The member `account`.
        account: String,
        /// The member `region`.
        region: String,
        /// The schedule's ARN.
        schedule: String,
    },
    /// Its id would not tell one firing from the next.
    #[error("the event's id {} must be a UUID; {}", quoted(.0), REMEDY)]
    Id(String),
    /// It says no time.
    #[error("the event's time {} must be a time in UTC such as 2026-11-21T02:00:00Z; {}", quoted(.0), REMEDY)]
    Time(String),
    /// No schedule can have fired then.
    #[error("the event's time {} is before 10 November 2022, when no schedule could fire; {}", quoted(.0), REMEDY)]
    TooEarly(String),
}

/// What to do instead.
const REMEDY: &str = "start a sweep by hand with POST /sweeps or `jobwarden sweep start`";

/// An event of EventBridge Scheduler to a target that has no input of its own.
#[derive(Debug, Deserialize)]
struct ScheduledEvent {
    id: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: String,
    account: String,
    time: String,
    region: String,
    resources: Vec<String>,
}

impl SweepSchedules {
    /// Reads what a schedule of the stack starts.
    ///
    /// # Errors
    /// When the event is no firing of one of these two schedules.
    pub fn read(&self, event: &Value) -> Result<Firing, NotOurSchedule> {
        let event = ScheduledEvent::deserialize(event).map_err(NotOurSchedule::Unreadable)?;
        if event.source != "aws.scheduler" || event.detail_type != "Scheduled Event" {
            let (source_name, detail_type) = (event.source, event.detail_type);
            return Err(NotOurSchedule::Source { source_name, detail_type });
        }
        let [schedule] = event.resources.as_slice() else {
            return Err(NotOurSchedule::Resources(event.resources.len()));
        };
        let stranger =
            || NotOurSchedule::Stranger { resource: schedule.clone(), schedules: self.clone().into() };
        let operation = self.operation(schedule).ok_or_else(stranger)?;
        let of = parts(schedule).ok_or_else(stranger)?;
        if (of.account, of.region) != (&event.account, &event.region) {
            let schedule = schedule.clone();
            return Err(NotOurSchedule::Elsewhere { account: event.account, region: event.region, schedule });
        }
        if !is_uuid(&event.id) {
            return Err(NotOurSchedule::Id(event.id));
        }
        let time = utc(&event.time).ok_or_else(|| NotOurSchedule::Time(event.time.clone()))?;
        if time < FIRST_FIRING {
            return Err(NotOurSchedule::TooEarly(event.time));
        }
        Ok(Firing { operation, schedule: schedule.clone(), id: event.id, time })
    }

    fn operation(&self, schedule: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| {
            let own = match operation {
                Operation::DeleteExpired => &self.delete_expired,
                Operation::CancelStale => &self.cancel_stale,
            };
            own.as_str() == schedule
        })
    }
}

/// EventBridge documents an event's id as a UUID.
fn is_uuid(text: &str) -> bool {
    like(text, "00000000-0000-0000-0000-000000000000", |byte| byte.is_ascii_hexdigit())
}

/// Whether a text is a pattern in which each `0` stands for a byte that is `legal`.
fn like(text: &str, pattern: &str, legal: impl Fn(&u8) -> bool) -> bool {
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, of)| if of == b'0' { legal(&byte) } else { byte == of })
}

/// A time of RFC 3339 in UTC, as AWS writes it. The library alone would take other forms and other years.
fn utc(text: &str) -> Option<Timestamp> {
    let (second, fraction) = text.strip_suffix('Z')?.split_at_checked("0000-00-00T00:00:00".len())?;
    let digits = fraction.strip_prefix('.').unwrap_or("0");
    let fraction = (fraction.is_empty() || fraction.starts_with('.'))
        && (1..=9).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    let fits = fraction && like(second, "0000-00-00T00:00:00", u8::is_ascii_digit);
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/jobwarden-delete-expired";

    fn of(stack: &str) -> SweepSchedules {
        let arn = |operation: &str| {
            let arn =
                format!("arn:aws:scheduler:eu-west-1:123456789012:schedule/default/{stack}-{operation}");
            ScheduleArn::parse(&arn, Some("eu-west-1")).unwrap()
        };
        SweepSchedules { delete_expired: arn("delete-expired"), cancel_stale: arn("cancel-stale") }
    }

    fn event() -> Value {
        json!({
            "version": "0",
            "id": "d565d36f-a484-46ca-8ca8-ff01feb2c827",
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": "123456789012",
            "time": "2026-11-21T02:00:00Z",
            "region": "eu-west-1",
            "resources": [ARN],
            "detail": "{}",
        })
    }

    /// What is said of the event with one member replaced, or taken out by `null`.
    fn refused(member: &str, value: Value) -> String {
        let mut event = event();
        let members = event.as_object_mut().unwrap();
        members.remove(member);
        if !value.is_null() {
            members.insert(member.to_owned(), value);
        }
        of("jobwarden").read(&event).unwrap_err().to_string()
    }

    #[test]
    fn a_schedule_of_the_stack_starts_the_operation_of_its_arn() {
        let firing = of("jobwarden").read(&event()).unwrap();
        assert_eq!((firing.operation, firing.schedule.as_str()), (Operation::DeleteExpired, ARN));
        assert_eq!(firing.time, "2026-11-21T02:00:00Z".parse().unwrap());
        assert_eq!(firing.id, "d565d36f-a484-46ca-8ca8-ff01feb2c827");
    }

    #[test]
    fn a_schedule_of_another_name_starts_nothing() {
        for resource in [
            "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/do-not-delete-expired",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/jobwarden-delete-expired ",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/JOBWARDEN-delete-expired",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule/fleet/jobwarden-delete-expired",
            "arn:aws:scheduler:eu-west-1:999999999999:schedule/default/jobwarden-delete-expired",
            "arn:aws:scheduler:us-east-1:123456789012:schedule/default/jobwarden-delete-expired",
            "arn:aws-cn:scheduler:eu-west-1:123456789012:schedule/default/jobwarden-delete-expired",
            "arn:aws:events:eu-west-1:123456789012:rule/jobwarden-delete-expired",
            "jobwarden-delete-expired",
            "",
        ] {
            let told = refused("resources", json!([resource]));
            assert!(told.starts_with(&format!("`{resource}` starts no sweep: only the schedules")), "{told}");
        }
        assert!(of("jobwarden-2").read(&event()).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        for (member, value, told) in [
            ("resources", json!([]), "must name the one schedule that fired, and name 0"),
            ("resources", json!([ARN, ARN]), "must name the one schedule that fired, and name 2"),
            ("resources", json!(ARN), "invalid type: string"),
            ("resources", Value::Null, "missing field `resources`"),
            ("source", json!("aws.events"), "source `aws.events`"),
            ("source", json!(["aws.scheduler"]), "invalid type: sequence"),
            ("detail-type", json!("scheduled event"), "detail-type `scheduled event`"),
            ("account", json!("999999999999"), "account `999999999999` and region `eu-west-1` are not those"),
            ("region", json!("us-east-1"), "region `us-east-1` are not those"),
            ("id", json!(""), "id `` must be a UUID"),
            ("id", json!("d565d36fa48446ca8ca8ff01feb2c827"), "must be a UUID"),
            ("id", json!("d565d36f-a484-46ca-8ca8-ff01feb2c82\u{e9}"), "must be a UUID"),
            ("id", json!(7), "invalid type: integer"),
            ("time", json!("0000-11-21T02:00:00Z"), "time `0000-11-21T02:00:00Z` is before 10 November 2022"),
            ("time", json!("2022-11-09T23:59:59Z"), "is before 10 November 2022"),
        ] {
            let said = refused(member, value);
            assert!(said.contains(told), "no `{told}` in {said}");
            assert!(said.contains("POST /sweeps") && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn a_time_is_one_of_rfc_3339_in_utc() {
        for time in [
            "",
            "Z",
            "now",
            "-000001-11-21T02:00:00Z",
            "+002026-11-21T02:00:00Z",
            "2026-11-21",
            "2026-11-21T02:00Z",
            "2026-11-21 02:00:00Z",
            "2026-11-21t02:00:00z",
            "2026-11-21T02:00:00+00:00",
            "2026-11-21T02:00:00.Z",
            "2026-11-21T02:00:00,5Z",
            "2026-11-21T02:00:00.1234567890Z",
            "2026-02-30T02:00:00Z",
            "20261121T020000Z",
            " 2026-11-21T02:00:00Z",
            "2026-11-21T02:00:0\u{e9}Z",
        ] {
            let told = refused("time", json!(time));
            assert!(
                told.contains(&format!("the event's time {} must be a time in UTC", quoted(time))),
                "{told}"
            );
        }
        assert!(utc("2026-11-21T02:00:00.5Z").is_some());
    }

    #[test]
    fn a_setting_is_the_arn_of_a_schedule_of_the_functions_own_region() {
        for arn in [
            ARN,
            "arn:aws-us-gov:scheduler:us-gov-west-1:123456789012:schedule/default/a.b_c-D",
            "arn:aws-cn:scheduler:cn-north-1:123456789012:schedule/g/n",
        ] {
            assert_eq!(ScheduleArn::parse(arn, None).unwrap().as_str(), arn);
        }
        for arn in [
            "",
            "jobwarden-delete-expired",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule//jobwarden-delete-expired",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/a/b",
            "arn:aws:scheduler::123456789012:schedule/default/a",
            "arn:aws:scheduler:eu-west-1::schedule/default/a",
            "arn:aws:scheduler:eu-west-1:123456789012:schedule-group/default",
            "arn:aws:events:eu-west-1:123456789012:rule/a",
        ] {
            assert!(
                ScheduleArn::parse(arn, None).unwrap_err().contains("must be the ARN of a schedule"),
                "{arn}"
            );
        }
        let told = ScheduleArn::parse(ARN, Some("us-east-1")).unwrap_err();
        assert_eq!(told, format!("`{ARN}` must be of the function's own Region, us-east-1"));
    }
}
