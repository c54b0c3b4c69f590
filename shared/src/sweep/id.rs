//! A sweep's name: when, what, and a few digits that tell two of the same second apart.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::ids::{Violation, quoted};
use crate::lane::LaneName;
use crate::operation::Operation;

/// A sweep's name, such as `20261121T020000Z-delete-expired-1a2b3c4d`. Names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SweepId {
    text: String,
    operation: Operation,
}

impl SweepId {
    /// The name of the sweep that `trigger` started in a lane at `now`. The same trigger gives the same
    /// name: starting twice for one event starts once, in each lane.
    pub fn new(now: Timestamp, operation: Operation, lane: Option<&LaneName>, trigger: &str) -> Self {
        let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
        let parts = [operation.as_str(), trigger].into_iter().chain(lane.map(LaneName::as_str));
        let digits: String = digest::of(parts).chars().take(8).collect();
        Self { text: format!("{time}-{operation}-{digits}"), operation }
    }

    /// Parses a name.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(input: &str) -> Result<Self, Violation> {
        let fits = || {
            let (time, rest) = input.split_once('-')?;
            let (operation, digits) = rest.rsplit_once('-')?;
            let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
            let decimal =
                |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
            let hex = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let operation = Operation::parse(operation)?;
            (decimal(date, 8) && decimal(clock, 6) && hex).then_some(operation)
        };
        fits().map(|operation| Self { text: input.to_owned(), operation }).ok_or_else(|| {
            let problem = format!(
                "{} must be a sweep's id, such as 20261121T020000Z-delete-expired-1a2b3c4d",
                quoted(input)
            );
            Violation::new("sweepId", problem)
        })
    }

    /// What the sweep does.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SweepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for SweepId {
    type Error = Violation;

    fn try_from(input: String) -> Result<Self, Violation> {
        Self::parse(&input)
    }
}

impl From<SweepId> for String {
    fn from(id: SweepId) -> String {
        id.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_the_same_trigger_gives_the_same_name() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for operation in Operation::ALL {
            let id = SweepId::new(now, operation, None, "event-1");
            assert_eq!(SweepId::parse(id.as_str()).unwrap(), id);
            assert_eq!(id.operation(), operation);
            assert_eq!(SweepId::new(now, operation, None, "event-1"), id);
            assert_ne!(SweepId::new(now, operation, None, "event-2"), id);
        }
    }

    #[test]
    fn lanes_give_names_of_their_own_and_the_home_lane_the_name_that_it_always_gave() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let lane = |name| LaneName::parse(name).unwrap();
        let id = |lane: Option<&LaneName>| SweepId::new(now, Operation::DeleteExpired, lane, "event-1");
        assert_eq!(id(None).as_str(), "20270115T080000Z-delete-expired-1a45c4ca");
        assert_eq!(id(Some(&lane("us"))), id(Some(&lane("us"))));
        assert_ne!(id(Some(&lane("us"))), id(Some(&lane("eu"))));
        assert_ne!(id(Some(&lane("us"))), id(None));
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_folder() {
        for bad in
            ["", "..", "../x", "20261121T020000Z-drop-1a2b3c4d", "20261121T020000Z-cancel-stale-1A2B3C4D"]
        {
            assert!(SweepId::parse(bad).is_err(), "{bad}");
        }
    }
}
