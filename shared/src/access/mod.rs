//! The access policy: Cedar decides who may do what, and says which policies decided and why.

pub mod cases;
mod facts;
mod hypothetical;
mod limits;
mod needs;
mod parts;
mod policy;
mod precompiled;
mod repeated;
#[cfg(test)]
mod tests;
mod unmet;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use facts::{AskedFacts, ExecutionFacts, Terms, WholeFacts};
pub use hypothetical::HypotheticalExecution;
pub use needs::Needs;
pub use policy::AccessPolicy;
pub use unmet::UnmetPermit;

use crate::operation::Operation;

/// Who asks. Made only from what an authorizer verified, or by a sweep for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Somebody who calls the API.
    User(User),
    /// A sweep at work.
    Sweeper(Operation),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => f.write_str(&user.id),
            Self::Sweeper(operation) => write!(f, "sweeper {operation}"),
        }
    }
}

/// Somebody who calls the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The ARN, or issuer and subject of verified claims.
    pub id: String,
    /// The account it belongs to; empty for claims.
    pub account: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The verified claims that are texts.
    pub claims: BTreeMap<String, String>,
}

/// What may be done to an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionAction {
    /// CancelJobExecution.
    #[serde(rename = "CancelJobExecution")]
    Cancel,
    /// DeleteJobExecution.
    #[serde(rename = "DeleteJobExecution")]
    Delete,
}

impl ExecutionAction {
    /// AWS's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "CancelJobExecution",
            Self::Delete => "DeleteJobExecution",
        }
    }
}

/// What may be asked of the service itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAction<'a> {
    /// Start a sweep.
    StartSweep {
        /// What it does.
        operation: Operation,
        /// The lane that it is in; empty for the home lane.
        lane: &'a str,
        /// Whether it only plans.
        dry_run: bool,
        /// Whether it names a plan that the breaker stopped.
        releases_plan: bool,
    },
    /// Read the progress and the reports of sweeps.
    ReadSweep {
        /// What they do.
        operation: Operation,
    },
    /// Ask what would come of a request, without making it.
    ReadDecision {
        /// What would be done.
        on: ExecutionAction,
        /// Whether the execution is made up.
        hypothetical: bool,
    },
}

impl ServiceAction<'_> {
    /// Its name in the access policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartSweep { .. } => "StartSweep",
            Self::ReadSweep { .. } => "ReadSweep",
            Self::ReadDecision { .. } => "ReadDecision",
        }
    }

    /// The lane that it is about, where it is about one and that is not the home lane.
    pub fn lane(&self) -> Option<&str> {
        match self {
            Self::StartSweep { lane, .. } => Some(*lane).filter(|lane| !lane.is_empty()),
            Self::ReadSweep { .. } | Self::ReadDecision { .. } => None,
        }
    }

    /// What it is about: the operation of sweeps, or the action that a decision is on.
    pub const fn about(self) -> &'static str {
        match self {
            Self::StartSweep { operation, .. } | Self::ReadSweep { operation } => operation.as_str(),
            Self::ReadDecision { on, .. } => on.as_str(),
        }
    }
}

/// A policy that decided, in the operator's own words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DecidingPolicy {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: String,
}

/// What the access policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Permitted by these, forbidden by none, with no evaluation error.
    Allow(Vec<DecidingPolicy>),
    /// Refused.
    Deny(Refusal),
}

impl Decision {
    /// The decision's code: `allow`, or the refusal's.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(refusal) => refusal.code(),
        }
    }

    /// The policies that decided.
    pub fn policies(&self) -> &[DecidingPolicy] {
        match self {
            Self::Allow(policies) | Self::Deny(Refusal::Forbidden(policies)) => policies,
            Self::Deny(Refusal::NoPermit | Refusal::EvaluationError(_)) => &[],
        }
    }
}

/// What the access policy says, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `allow`, or the refusal's code.
    pub outcome: &'static str,
    /// The policies that decided: those that permit, or those that forbid.
    pub policies: Vec<DecidingPolicy>,
    /// Where the policy set is from, and which edition it is.
    pub policy_source: String,
    /// What tells the policy set.
    pub policy_digest: String,
    /// The facts that those policies name. Tags, details and attributes of things are left out:
    /// what people and devices wrote may be nobody's business.
    pub facts: BTreeMap<&'static str, Value>,
    /// Where no policy permits it: those that are meant for the caller and the action, and what
    /// each lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<UnmetPermit>,
}

impl Explanation {
    /// The ids of the policies that decided, separated by commas.
    pub fn policy_ids(&self) -> String {
        self.policies.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>().join(",")
    }

    /// What the unmet permits add to the refusal's message.
    pub(crate) fn unmet_in_words(&self) -> String {
        UnmetPermit::in_words(&self.unmet)
    }
}

/// Why the access policy refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// These policies forbid it.
    Forbidden(Vec<DecidingPolicy>),
    /// No policy permits it.
    NoPermit,
    /// A policy could not be evaluated, so nothing is allowed. Cedar itself would skip it,
    /// and a skipped `forbid` would let through what it forbids.
    EvaluationError(Vec<String>),
}

impl Refusal {
    /// The refusal's code, one for each kind.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden",
            Self::NoPermit => "noPermit",
            Self::EvaluationError(_) => "policyError",
        }
    }

    /// The deciding policies' ids, or the code where no policy decided.
    pub fn reason_key(&self) -> String {
        match self {
            Self::Forbidden(policies) => {
                policies.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>().join("+")
            }
            Self::NoPermit | Self::EvaluationError(_) => self.code().to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(policies) => {
                f.write_str("refused by ")?;
                for (index, policy) in policies.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}policy `{}`: {}", policy.id, policy.reason)?;
                }
                Ok(())
            }
            Self::NoPermit => f.write_str("no policy permits it"),
            Self::EvaluationError(_) => {
                f.write_str("the access policy could not be evaluated, so nothing is allowed; see the log")
            }
        }
    }
}
