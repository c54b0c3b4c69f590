//! What a sweep would make of one execution, and why: the words that its report counts.

use std::fmt;

use jiff::Timestamp;

use crate::access::{AccessPolicy, Decision, Principal, Terms, WholeFacts};
use crate::operation::Operation;
use crate::ports::Force;
use crate::retention::{KnownJob, NotKnown, Retention, Verdict};

/// The terms on which a sweep puts an execution that a rule has due to the access policy, given
/// that its record will be in the archive first.
pub(super) fn terms(operation: Operation, force: Force, dry_run: bool, now: Timestamp) -> Terms {
    let pinned = match operation {
        Operation::DeleteExpired => false,
        Operation::CancelStale => true,
    };
    Terms { force, pinned, dry_run, archived: true, past_retention: true, now }
}

/// What a sweep would make of an execution.
#[derive(Debug, Clone)]
pub struct Prognosis {
    operation: Operation,
    verdict: Verdict,
    /// What the access policy says of it, if a rule has it due.
    decision: Option<Decision>,
}

impl Prognosis {
    /// What a sweep of `operation` at `now` would make of an execution of which everything is known.
    ///
    /// # Errors
    /// When the verdict depends on a fact of the job that is not there.
    pub fn of(
        (rules, access): (&Retention, &AccessPolicy),
        operation: Operation,
        whole: &WholeFacts,
        now: Timestamp,
    ) -> Result<Self, NotKnown> {
        let verdict = rules.judge(operation, now, &KnownJob::read(&whole.job), &whole.execution.row)?;
        let decision = match &verdict {
            Verdict::Keep { .. } => None,
            Verdict::Due(due) => {
                let principal = Principal::Sweeper(operation);
                let terms = terms(operation, due.force, false, now);
                Some(access.decide(&principal, operation.action(), &whole.facts(), &terms))
            }
        };
        Ok(Self { operation, verdict, decision })
    }

    /// What the rules say of it.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What the access policy says of it, if a rule has it due.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }
}

impl fmt::Display for Prognosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        match &self.verdict {
            Verdict::Keep { reason, rule, until: None } => {
                write!(f, "kept by rule `{rule}`: {}", reason.as_str())
            }
            Verdict::Keep { reason, rule, until: Some(until) } => {
                write!(f, "kept by rule `{rule}`: {}, due at {until}", reason.as_str())
            }
            Verdict::Due(due) => {
                write!(f, "due since {} by rule `{}`", due.since, due.rule)?;
                if let Some(last) = due.behind {
                    write!(f, ", unless it is among the last {last} successes of its thing")?;
                }
                if due.force == Force::EvenInProgress {
                    write!(f, ", with force")?;
                }
                match &self.decision {
                    None => Ok(()),
                    Some(Decision::Allow(policies)) => {
                        let ids: Vec<_> = policies.iter().map(|policy| format!("`{}`", policy.id)).collect();
                        write!(f, "; permitted by policy {}", ids.join(", "))
                    }
                    Some(Decision::Deny(refusal)) => write!(f, "; {refusal}"),
                }
            }
        }
    }
}
