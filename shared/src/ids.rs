//! Names and numbers of AWS IoT Jobs, parsed once to AWS's published limits and correct from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// One member of a request that breaks a limit: which, and what it would have to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {problem}")]
pub struct Violation {
    /// The member as AWS names it, such as `jobId`.
    pub member: Cow<'static, str>,
    /// What is wrong, with the limit.
    pub problem: String,
}

impl Violation {
    /// A violation of `member`'s limit.
    pub fn new(member: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self { member: member.into(), problem: problem.into() }
    }
}

/// The caller's own text, fit for a message: escaped, in backticks, cut at 64 characters.
pub fn quoted(input: &str) -> String {
    quoted_at_most(input, 64)
}

/// The same, cut at `most` characters.
pub fn quoted_at_most(input: &str, most: usize) -> String {
    let mut shown: String = input.chars().take(most).flat_map(char::escape_debug).collect();
    if input.chars().nth(most).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $member:literal, $max:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name; the error tells the member, the input and the limit.
            ///
            /// # Errors
            /// When the name is empty, too long, or has a character outside the pattern.
            pub fn parse(input: &str) -> Result<Self, Violation> {
                let legal = |byte: u8| byte.is_ascii_alphanumeric() || $extra.as_bytes().contains(&byte);
                if (1..=$max).contains(&input.len()) && input.bytes().all(legal) {
                    return Ok(Self(input.to_owned()));
                }
                let limit = concat!("must be 1 to ", $max, " characters of [a-zA-Z0-9", $extra, "]");
                Err(Violation::new($member, format!("{} {limit}", quoted(input))))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Violation;

            fn try_from(input: String) -> Result<Self, Violation> {
                Self::parse(&input)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name! {
    /// A job's name: 1 to 64 characters of `[a-zA-Z0-9_-]`.
    JobId, "jobId", 64, "_-"
}
name! {
    /// A thing's name: 1 to 128 characters of `[a-zA-Z0-9:_-]`. The colon is legal.
    ThingName, "thingName", 128, ":_-"
}
name! {
    /// The namespace of jobs that another service manages: `[a-zA-Z0-9_-]`. AWS states no
    /// length; the limit of a job's name is taken.
    NamespaceId, "namespaceId", 64, "_-"
}

impl ThingName {
    /// The name in `arn:PARTITION:iot:REGION:ACCOUNT:thing/NAME`; a name may have colons itself.
    ///
    /// # Errors
    /// When it is no thing's ARN.
    pub fn of_arn(arn: &str) -> Result<Self, Violation> {
        let name = arn.split_once(":thing/").and_then(|(_, name)| Self::parse(name).ok());
        name.ok_or_else(|| Violation::new("thingArn", format!("{} must be a thing's ARN", quoted(arn))))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $member:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// Takes a number as AWS reports it.
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            /// Parses a caller's number.
            ///
            /// # Errors
            /// When it is not a whole number from 1 to 9223372036854775807.
            pub fn parse(input: &str) -> Result<Self, Violation> {
                let digits = input.bytes().all(|byte| byte.is_ascii_digit());
                match input.parse::<i64>() {
                    Ok(value) if digits && value >= 1 => Ok(Self(value)),
                    _ => Err(Violation::new(
                        $member,
                        format!("{} must be a whole number from 1 to {}", quoted(input), i64::MAX),
                    )),
                }
            }

            /// The number itself.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Which execution of a job on a thing. AWS may give a deleted execution's number again.
    ExecutionNumber, "executionNumber"
}
number! {
    /// An execution's version: starts at 1, grows with every update, restarts with each execution.
    Version, "expectedVersion"
}

/// What a canceller leaves on the execution: at most 10 pairs; key 1 to 128 characters of
/// `[a-zA-Z0-9:_-]`, value 1 to 1,024 characters, none of Unicode category C.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatusDetails(BTreeMap<String, String>);

impl StatusDetails {
    /// Checks every pair and reports every breach.
    ///
    /// # Errors
    /// One violation for each pair that breaks a limit, and one for too many pairs.
    pub fn parse(pairs: BTreeMap<String, String>) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        if pairs.len() > 10 {
            violations.push(Violation::new(
                "statusDetails",
                format!("has {} pairs, at most 10 are allowed", pairs.len()),
            ));
        }
        for (key, value) in &pairs {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
            if !(1..=128).contains(&key.len()) || !key.bytes().all(legal) {
                let problem = format!("key {} must be 1 to 128 characters of [a-zA-Z0-9:_-]", quoted(key));
                violations.push(Violation::new("statusDetails", problem));
            }
            if !(1..=1024).contains(&value.chars().count()) {
                let problem = format!("value of {} must be 1 to 1024 characters", quoted(key));
                violations.push(Violation::new("statusDetails", problem));
            }
            if value.chars().any(|c| c.general_category_group() == GeneralCategoryGroup::Other) {
                let problem = format!(
                    "value of {} must not have control or other characters of Unicode category C",
                    quoted(key)
                );
                violations.push(Violation::new("statusDetails", problem));
            }
        }
        if violations.is_empty() { Ok(Self(pairs)) } else { Err(violations) }
    }

    /// The pairs.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_name_may_have_a_colon_and_a_job_id_may_not() {
        assert_eq!(ThingName::parse("a:b").unwrap().as_str(), "a:b");
        let violation = JobId::parse("a:b").unwrap_err();
        assert_eq!(violation.to_string(), "jobId: `a:b` must be 1 to 64 characters of [a-zA-Z0-9_-]");
    }

    #[test]
    fn names_end_at_their_limits() {
        assert!(JobId::parse(&"j".repeat(64)).is_ok());
        assert!(JobId::parse(&"j".repeat(65)).is_err());
        assert!(ThingName::parse(&"t".repeat(128)).is_ok());
        assert!(ThingName::parse(&"t".repeat(129)).is_err());
        assert!(ThingName::parse("").is_err());
    }

    #[test]
    fn a_number_is_positive_and_fits_64_bits() {
        assert_eq!(ExecutionNumber::parse("9223372036854775807").unwrap().get(), i64::MAX);
        for bad in ["0", "-1", "+1", "9223372036854775808", "1.0", "", " 1", "1e3", "0x1"] {
            assert!(ExecutionNumber::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn status_details_report_every_breach() {
        let mut pairs: BTreeMap<_, _> = (0..11).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        pairs.insert("bad key".into(), "v".into());
        pairs.insert("empty".into(), String::new());
        pairs.insert("control".into(), "a\u{7}b".into());
        pairs.insert("private".into(), "\u{e000}".into());
        assert_eq!(StatusDetails::parse(pairs).unwrap_err().len(), 5);
        let fine = BTreeMap::from([("step".to_owned(), "é".repeat(1024))]);
        assert!(StatusDetails::parse(fine).is_ok());
    }

    #[test]
    fn a_quoted_input_is_escaped_and_cut() {
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert_eq!(quoted(&"x".repeat(65)), format!("`{}…`", "x".repeat(64)));
    }
}
