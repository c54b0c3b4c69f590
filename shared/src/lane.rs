//! Lanes: the accounts and Regions that a deployment sweeps. Each has quotas of its own, so each has a
//! message group of its own, and with it a worker of its own at a time.
//!
//! The home lane, that of the stack's own account and Region, has no name: where a lane is optional, none is
//! the home lane.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Violation, quoted};
use crate::operation::Operation;

/// The name of a further lane: 1 to 32 characters of `[a-z0-9-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LaneName(String);

impl LaneName {
    /// Parses a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has a character outside the pattern.
    pub fn parse(input: &str) -> Result<Self, Violation> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&input.len()) && input.bytes().all(legal) {
            return Ok(Self(input.to_owned()));
        }
        Err(Violation::new("lane", format!("{} must be 1 to 32 characters of [a-z0-9-]", quoted(input))))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for LaneName {
    type Error = Violation;

    fn try_from(input: String) -> Result<Self, Violation> {
        Self::parse(&input)
    }
}

impl From<LaneName> for String {
    fn from(name: LaneName) -> String {
        name.0
    }
}

/// The name that logs give a lane.
pub fn told(lane: Option<&LaneName>) -> &str {
    lane.map_or("home", LaneName::as_str)
}

/// What tells the lanes of an operation apart, such as the message groups of their slices: `OPERATION.LANE`, and
/// for the home lane the operation's name alone.
pub fn in_lane(operation: Operation, lane: Option<&LaneName>) -> String {
    lane.map_or_else(|| operation.to_string(), |lane| format!("{operation}.{lane}"))
}

/// The ARN of an IAM role, `arn:PARTITION:iam::ACCOUNT:role/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn(String);

impl RoleArn {
    fn parse(input: &str) -> Option<Self> {
        let rest = input.strip_prefix("arn:aws")?;
        let (partition, rest) = rest.split_once(":iam::")?;
        let (account, name) = rest.split_once(":role/")?;
        let partition = partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+=.@_-/".contains(&byte);
        let name = (1..=512).contains(&name.len()) && name.bytes().all(legal) && !name.ends_with('/');
        (partition && account && name).then(|| Self(input.to_owned()))
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account that the role is in.
    fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A further lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: LaneName,
    /// Its Region.
    pub region: String,
    /// The role to assume in its account; without one it is in the stack's own.
    pub role: Option<RoleArn>,
    /// Whether its sweeps may act. Dry runs come first, in each lane anew.
    pub live: bool,
}

/// What ends the entry of a lane whose sweeps may act.
const LIVE: &str = ":live";

impl Lane {
    /// Reads `NAME=REGION` or `NAME=REGION@ROLE_ARN`, and `:live` behind either.
    fn parse(entry: &str) -> Result<Self, String> {
        let wanted =
            "must be NAME=REGION or NAME=REGION@ROLE_ARN, with :live behind it if its sweeps may act";
        let live = entry.ends_with(LIVE);
        let entry = entry.strip_suffix(LIVE).unwrap_or(entry);
        let (name, place) = entry.split_once('=').ok_or_else(|| format!("{} {wanted}", quoted(entry)))?;
        let (region, role) = match place.split_once('@') {
            None => (place, None),
            Some((region, role)) => (region, Some(role)),
        };
        let mut problems = Vec::new();
        let name = LaneName::parse(name).map_err(|violation| problems.push(violation.problem)).ok();
        if !is_region(region) {
            problems.push(format!("{} must be a Region, such as us-east-1", quoted(region)));
        }
        let role = role.map(|arn| (arn, RoleArn::parse(arn)));
        if let Some((arn, None)) = &role {
            let wanted = "must be a role's ARN, such as arn:aws:iam::111122223333:role/jobwarden-lane";
            problems.push(format!("`{}` {wanted}", arn.escape_debug()));
        }
        match name {
            Some(name) if problems.is_empty() => {
                Ok(Self { name, region: region.to_owned(), role: role.and_then(|(_, role)| role), live })
            }
            _ => Err(problems.join("; ")),
        }
    }

    /// What the lane is of, `REGION` or `REGION@ACCOUNT`: two lanes of the same would share quotas, and a name
    /// that is given to another place is another lane.
    pub fn place(&self) -> String {
        match &self.role {
            None => self.region.clone(),
            Some(role) => format!("{}@{}", self.region, role.account()),
        }
    }
}

/// Whether it has a Region's form, such as `us-gov-west-1`. Which there are grows with AWS.
fn is_region(text: &str) -> bool {
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let parts: Vec<_> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered && (2..=4).contains(&words.len()) && words.iter().all(|word| letters(word))
}

/// The further lanes of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lanes(Vec<Lane>);

impl Lanes {
    /// Reads a list of `NAME=REGION` and `NAME=REGION@ROLE_ARN`, each with `:live` behind it if its sweeps may act,
    /// separated by commas; an empty text has none.
    /// `home` is the stack's own Region.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(text: &str, home: Option<&str>) -> Result<Self, Vec<String>> {
        let mut lanes = Vec::new();
        let mut problems = Vec::new();
        let entries = if text.trim().is_empty() { Vec::new() } else { text.split(',').collect() };
        for entry in entries {
            match Lane::parse(entry.trim()) {
                Ok(lane) => lanes.push(lane),
                Err(problem) => problems.push(problem),
            }
        }
        let mut names = BTreeSet::new();
        let mut places = BTreeSet::new();
        for lane in &lanes {
            let Lane { name, region, role, .. } = lane;
            if !names.insert(name) {
                problems.push(format!("two lanes are named `{name}`"));
            }
            if role.is_none() && home == Some(region.as_str()) {
                problems.push(format!(
                    "`{name}` is the stack's own account and Region, which has its lane already"
                ));
            } else if !places.insert(lane.place()) {
                problems.push(format!("`{name}` is an account and Region that another lane has already"));
            }
        }
        drop((names, places));
        if problems.is_empty() { Ok(Self(lanes)) } else { Err(problems) }
    }

    /// The lanes, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.0.iter()
    }

    /// Refuses a name that the list does not have.
    ///
    /// # Errors
    /// When there is no such lane; the message names those that there are.
    pub fn find(&self, name: &LaneName) -> Result<&Lane, Violation> {
        self.0.iter().find(|lane| lane.name == *name).ok_or_else(|| {
            let known: Vec<_> = self.0.iter().map(|lane| format!("`{}`", lane.name)).collect();
            let known = if known.is_empty() {
                "this deployment has none but its own account and Region, which has no name".to_owned()
            } else {
                format!(
                    "this deployment has {}, and its own account and Region, which has no name",
                    known.join(", ")
                )
            };
            Violation::new("lane", format!("there is no lane {}; {known}", quoted(name.as_str())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/jobwarden-lane";

    fn problems(text: &str) -> Vec<String> {
        Lanes::parse(text, Some("eu-central-1")).unwrap_err()
    }

    #[test]
    fn a_list_gives_its_lanes_in_their_order() {
        let text = format!("us=us-east-1, plant-2=eu-west-1@{ROLE},gov=us-gov-west-1");
        let lanes = Lanes::parse(&text, Some("eu-central-1")).unwrap();
        let read: Vec<_> = lanes
            .iter()
            .map(|lane| (lane.name.as_str(), lane.region.as_str(), lane.role.as_ref().map(RoleArn::as_str)))
            .collect();
        let expected =
            [("us", "us-east-1", None), ("plant-2", "eu-west-1", Some(ROLE)), ("gov", "us-gov-west-1", None)];
        assert_eq!(read, expected);
        for empty in ["", "  "] {
            assert_eq!(Lanes::parse(empty, None), Ok(Lanes::default()));
        }
    }

    #[test]
    fn a_lane_is_for_dry_runs_until_it_is_said_to_be_live() {
        let text = format!("a=us-east-1,b=us-east-2:live,c=eu-west-1@{ROLE},d=eu-west-2@{ROLE}:live");
        let lanes = Lanes::parse(&text, None).unwrap();
        assert_eq!(lanes.iter().map(|lane| lane.live).collect::<Vec<_>>(), [false, true, false, true]);
        let places: Vec<_> = lanes.iter().map(Lane::place).collect();
        assert_eq!(places[1..3], ["us-east-2", "eu-west-1@111122223333"]);
        for wrong in ["a=us-east-1:Live", "a=us-east-1: live", "a=us-east-1:live:live", ":live"] {
            assert!(Lanes::parse(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_account_may_be_in_the_stacks_own_region_and_in_a_region_of_the_stacks_account() {
        let text = format!("a=eu-central-1@{ROLE},b=us-east-1@{ROLE},c=us-east-1");
        assert_eq!(Lanes::parse(&text, Some("eu-central-1")).unwrap().iter().count(), 3);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let other = ROLE.replace("jobwarden-lane", "path/another");
        let text = format!(
            "us,US=us-east-1,a=Frankfurt,a=us-west-2,a=us-west-2,b=eu-central-1,c=us-east-1@role/x,\
             d=eu-west-1@{ROLE},e=eu-west-1@{other},"
        );
        assert_eq!(
            problems(&text),
            [
                "`us` must be NAME=REGION or NAME=REGION@ROLE_ARN, with :live behind it if its sweeps may act",
                "`US` must be 1 to 32 characters of [a-z0-9-]",
                "`Frankfurt` must be a Region, such as us-east-1",
                "`role/x` must be a role's ARN, such as arn:aws:iam::111122223333:role/jobwarden-lane",
                "`` must be NAME=REGION or NAME=REGION@ROLE_ARN, with :live behind it if its sweeps may act",
                "two lanes are named `a`",
                "`a` is an account and Region that another lane has already",
                "`b` is the stack's own account and Region, which has its lane already",
                "`e` is an account and Region that another lane has already",
            ]
        );
    }

    #[test]
    fn a_region_a_role_and_a_name_have_their_form() {
        for region in ["us-east-1", "ap-southeast-12", "us-iso-b-east-1"] {
            assert!(is_region(region), "{region}");
        }
        for region in ["", "us", "us-1", "us-east", "us-east-", "us-east-1a", "-east-1", "us--1", "us east-1"]
        {
            assert!(!is_region(region), "{region}");
        }
        for role in ["arn:aws:iam::111122223333:role/a/b", "arn:aws-us-gov:iam::111122223333:role/x"] {
            assert!(RoleArn::parse(role).is_some(), "{role}");
        }
        for role in [
            "",
            "arn:aws:iam::111122223333:user/x",
            "arn:aws:iam::11112222333:role/x",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:sts::111122223333:assumed-role/x",
            "arn:AWS:iam::111122223333:role/x",
        ] {
            assert!(RoleArn::parse(role).is_none(), "{role}");
        }
        for name in ["", "a b", "A", "a.b", "a/b", &"a".repeat(33)] {
            assert!(LaneName::parse(name).is_err(), "{name}");
        }
        assert!(LaneName::parse(&"a".repeat(32)).is_ok());
    }

    #[test]
    fn a_lane_that_is_not_there_is_told_with_those_that_are() {
        let name = LaneName::parse("eu").unwrap();
        let refused = |text| Lanes::parse(text, None).unwrap().find(&name).unwrap_err().to_string();
        assert_eq!(
            refused("us=us-east-1,ap=ap-south-1"),
            "lane: there is no lane `eu`; this deployment has `us`, `ap`, and its own account and Region, which has \
             no name"
        );
        assert_eq!(
            refused(""),
            "lane: there is no lane `eu`; this deployment has none but its own account and Region, which has no name"
        );
        assert!(Lanes::parse("eu=eu-west-1", None).unwrap().find(&name).is_ok());
    }

    #[test]
    fn the_home_lane_keeps_the_operations_name() {
        let us = LaneName::parse("us").unwrap();
        assert_eq!(in_lane(Operation::DeleteExpired, None), "delete-expired");
        assert_eq!(in_lane(Operation::CancelStale, Some(&us)), "cancel-stale.us");
    }
}
