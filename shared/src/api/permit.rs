//! Whether a caller may do something with sweeps.

use std::collections::BTreeMap;

use tracing::info;

use super::{ApiError, ErrorCode};
use crate::access::{AccessPolicy, Decision, SweepAction};
use crate::guard::{Caller, Explanation};
use crate::operation::Operation;

/// Asks the access policy, and writes the audit trail's line.
///
/// # Errors
/// AccessDeniedException with the policies that refuse.
pub fn permit_sweep(
    access: &AccessPolicy,
    caller: &Caller<'_>,
    action: SweepAction,
    operation: Operation,
) -> Result<(), ApiError> {
    let decision = access.decide_sweep(caller.principal, action, operation, caller.now);
    info!(
        event = "decision",
        outcome = decision.code(),
        policies = decision.policy_ids(),
        policy_digest = access.digest(),
        principal = %caller.principal,
        request_id = caller.request_id,
        action = action.as_str(),
        %operation,
    );
    let policies = decision.policies().to_vec();
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(refusal) => {
            let decision = Some(Box::new(Explanation {
                outcome: refusal.code(),
                policies,
                policy_digest: access.digest().to_owned(),
                facts: BTreeMap::new(),
            }));
            let message = format!("{}: {refusal}", action.as_str());
            Err(ApiError { decision, ..ApiError::new(ErrorCode::AccessDenied, message) })
        }
    }
}
