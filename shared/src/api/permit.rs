//! Whether a caller may ask something of the service.

use tracing::info;

use super::{ApiError, ErrorCode};
use crate::access::{AccessPolicy, Decision, ServiceAction};
use crate::guard::{AUDIT_VERSION, Caller};
use crate::meter;

/// Asks the access policy, and writes the audit trail's line.
///
/// # Errors
/// AccessDeniedException with the policies that refuse, or what those that would permit it lack.
pub fn permit(access: &AccessPolicy, caller: &Caller<'_>, action: ServiceAction) -> Result<(), ApiError> {
    let decision = access.decide_service(caller.principal, action, caller.now);
    let mut explanation = access.explain(&decision, None);
    explanation.unmet = access.unmet_service(&decision, caller.principal, action, caller.now);
    meter::decided(action.as_str(), &explanation);
    info!(
        event = "decision",
        audit_version = AUDIT_VERSION,
        outcome = explanation.outcome,
        policies = explanation.policy_ids(),
        policy_source = explanation.policy_source,
        policy_digest = explanation.policy_digest,
        principal = %caller.principal,
        request_id = caller.request_id,
        action = action.as_str(),
        operation = action.about(),
        lane = action.lane(),
    );
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(refusal) => {
            let message = format!("{}: {refusal}{}", action.as_str(), explanation.unmet_in_words());
            let decision = Some(Box::new(explanation));
            Err(ApiError { decision, ..ApiError::new(ErrorCode::AccessDenied, message) })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::access::{Principal, User};
    use crate::api::ApiResponse;
    use crate::operation::Operation;

    #[test]
    fn a_refusal_by_default_says_what_the_permits_lack() {
        let policies = "@id(\"plans\") @reason(\"only plans\") permit (principal, \
                        action == Jobwarden::Action::\"StartSweep\", resource) when { context.dryRun };";
        let access = AccessPolicy::parse("p.cedar", policies).unwrap();
        let (account, groups, claims) = (String::new(), Vec::new(), BTreeMap::new());
        let principal = Principal::User(User { id: "anna".to_owned(), account, groups, claims });
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let caller = Caller { principal: &principal, now, request_id: "r" };
        let operation = Operation::DeleteExpired;
        let start = |dry_run| {
            let action = ServiceAction::StartSweep { operation, lane: "", dry_run, releases_plan: false };
            permit(&access, &caller, action)
        };
        assert!(start(true).is_ok());
        let body = ApiResponse::from(start(false).unwrap_err()).body;
        let message =
            "StartSweep: no policy permits it; policy `plans` would, but for its condition `context.dryRun`";
        assert_eq!(body["message"], message);
        let unmet = json!([{ "id": "plans", "reason": "only plans", "condition": "context.dryRun" }]);
        assert_eq!(body["decision"]["unmet"], unmet);

        let read = permit(&access, &caller, ServiceAction::ReadSweep { operation });
        let body = ApiResponse::from(read.unwrap_err()).body;
        assert_eq!(body["message"], "ReadSweep: no policy permits it");
        assert_eq!(body["decision"].get("unmet"), None);
    }
}
