//! Whether a caller may do something with sweeps.

use tracing::info;

use super::{ApiError, ErrorCode};
use crate::access::{AccessPolicy, Decision, SweepAction};
use crate::guard::Caller;
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
    let explanation = access.explain(&decision, None);
    info!(
        event = "decision",
        outcome = explanation.outcome,
        policies = explanation.policy_ids(),
        policy_source = explanation.policy_source,
        policy_digest = explanation.policy_digest,
        principal = %caller.principal,
        request_id = caller.request_id,
        action = action.as_str(),
        %operation,
    );
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(refusal) => {
            let message = format!("{}: {refusal}", action.as_str());
            let decision = Some(Box::new(explanation));
            Err(ApiError { decision, ..ApiError::new(ErrorCode::AccessDenied, message) })
        }
    }
}
