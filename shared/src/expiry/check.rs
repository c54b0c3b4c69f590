//! One look at a thing's executions of a job, when one of them may have come due.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::execution::Status;
use crate::ids::{JobId, ThingName};

/// An event and the execution that it tells of may differ by this much in their times. A look that comes
/// too early would leave everything to the next sweep.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The soonest that a schedule can be for: one for the past may never run.
const SOONEST: SignedDuration = SignedDuration::from_mins(1);

/// The message that has a thing's executions of a job looked at. What it says of the one that ended is
/// only its occasion: everything is read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpiryCheck {
    /// The job.
    pub job_id: JobId,
    /// The thing.
    pub thing_name: ThingName,
    /// What the execution ended with.
    pub status: Status,
    /// When it ended, as its event tells.
    pub ended_at: Timestamp,
    /// When a rule that its job may have has it due.
    pub due_at: Timestamp,
}

impl ExpiryCheck {
    /// Its name, for its schedule, its records and the log: the same event gives the same name. 64 characters,
    /// which is as many as a schedule's name may have.
    pub fn name(&self) -> String {
        digest::of([
            self.job_id.as_str(),
            self.thing_name.as_str(),
            self.status.as_str(),
            &self.ended_at.to_string(),
            &self.due_at.to_string(),
        ])
    }

    /// When to look: as soon as it is surely due, to the second, and not before a schedule made now can run.
    pub fn at(&self, now: Timestamp) -> Timestamp {
        let wanted = self.due_at.saturating_add(GRACE).unwrap_or(self.due_at);
        let soonest = now.saturating_add(SOONEST).unwrap_or(now);
        let at = wanted.max(soonest);
        let up = i64::from(at.subsec_nanosecond() > 0);
        Timestamp::from_second(at.as_second().saturating_add(up)).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::scenes::at;

    fn check() -> ExpiryCheck {
        ExpiryCheck {
            job_id: JobId::parse("fw").unwrap(),
            thing_name: ThingName::parse("a:b").unwrap(),
            status: Status::Succeeded,
            ended_at: at(1_000),
            due_at: at(87_400),
        }
    }

    #[test]
    fn the_same_event_gives_the_same_name_and_any_other_another() {
        let name = check().name();
        assert_eq!(name, check().name());
        assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        let other = |change: fn(&mut ExpiryCheck)| {
            let mut other = check();
            change(&mut other);
            other.name()
        };
        for other in [
            other(|check| check.job_id = JobId::parse("fw2").unwrap()),
            other(|check| check.thing_name = ThingName::parse("a").unwrap()),
            other(|check| check.status = Status::Failed),
            other(|check| check.ended_at = at(1_001)),
            other(|check| check.due_at = at(87_401)),
        ] {
            assert_ne!(name, other);
        }
    }

    #[test]
    fn a_look_comes_when_it_is_surely_due_and_never_in_the_past() {
        assert_eq!(check().at(at(1_000)), at(87_410));
        assert_eq!(check().at(at(87_400)), at(87_460));
        assert_eq!(check().at(at(900_000)), at(900_060));
        let half = Timestamp::from_millisecond(900_000_500).unwrap();
        assert_eq!(check().at(half), at(900_061));
    }

    #[test]
    fn a_message_reads_back_and_is_none_of_a_sweep() {
        let text = serde_json::to_string(&check()).unwrap();
        assert_eq!(serde_json::from_str::<ExpiryCheck>(&text).unwrap(), check());
        serde_json::from_str::<crate::sweep::SliceMessage>(&text).unwrap_err();
        serde_json::from_str::<ExpiryCheck>(r#"{"sweepId":"x","step":0}"#).unwrap_err();
    }
}
