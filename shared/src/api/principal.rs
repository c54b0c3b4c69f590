//! Who calls: only what the authorizer verified, never a header or a body.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ApiError, ErrorCode};
use crate::access::{Principal, User};

/// Which authorizer stands before the API. One deployment has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerIdentity {
    /// AWS_IAM: the caller's ARN.
    Iam,
    /// A Cognito user pool or another JWT authorizer: verified claims.
    Claims,
}

impl CallerIdentity {
    /// The identity source of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "iam" => Some(Self::Iam),
            "claims" => Some(Self::Claims),
            _ => None,
        }
    }
}

/// What the gateway reports of the caller.
#[derive(Debug, Clone, Default)]
pub struct Identified {
    /// The account that the API belongs to.
    pub api_account: Option<String>,
    /// `requestContext.identity.userArn`, set by AWS_IAM.
    pub user_arn: Option<String>,
    /// `requestContext.authorizer.claims`, set by a Cognito or JWT authorizer.
    pub claims: Option<HashMap<String, Value>>,
}

/// The principal, from what the configured authorizer verified.
///
/// # Errors
/// AccessDeniedException when the authorizer reports nobody.
pub fn principal(source: CallerIdentity, identified: &Identified) -> Result<Principal, ApiError> {
    let user = match source {
        CallerIdentity::Iam => identified
            .user_arn
            .as_deref()
            .and_then(|arn| from_arn(arn, identified.api_account.as_deref().unwrap_or_default())),
        CallerIdentity::Claims => identified.claims.as_ref().and_then(from_claims),
    };
    user.map(Principal::User).ok_or_else(|| {
        let message = match source {
            CallerIdentity::Iam => "the request carries no IAM identity; sign it for the service execute-api",
            CallerIdentity::Claims => "the request carries no verified claims with issuer and subject",
        };
        ApiError::new(ErrorCode::AccessDenied, message)
    })
}

/// `arn:PARTITION:iam::ACCOUNT:user/NAME` has no groups that a request would show;
/// `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION` has its role.
fn from_arn(arn: &str, api_account: &str) -> Option<User> {
    let mut parts = arn.splitn(6, ':');
    let ("arn", _, service, "", account, resource) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    let mut groups = Vec::new();
    match (service, resource.split('/').collect::<Vec<_>>().as_slice()) {
        ("sts", ["assumed-role", role, _session]) => {
            // A role of that name in another account is somebody else's.
            let group = if account == api_account { (*role).to_owned() } else { format!("{account}/{role}") };
            groups.push(group);
        }
        ("iam", ["root"] | ["user", ..]) | ("sts", ["federated-user", _]) => {}
        _ => return None,
    }
    let claims = BTreeMap::new();
    Some(User { id: arn.to_owned(), account: account.to_owned(), groups, claims })
}

fn from_claims(claims: &HashMap<String, Value>) -> Option<User> {
    let text = |name| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let id = format!("{}#{}", text("iss")?, text("sub")?);
    let groups: Vec<String> = match claims.get("cognito:groups").or_else(|| claims.get("groups")) {
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        // API Gateway flattens a list to "a,b" or "[a b]": a group's name must not have either
        // separator, or its parts would pass for groups.
        Some(Value::String(groups)) => groups
            .trim_start_matches('[')
            .trim_end_matches(']')
            .split([',', ' '])
            .filter(|group| !group.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    let groups = BTreeSet::<String>::from_iter(groups).into_iter().collect();
    let texts = claims.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Some(User { id, account: String::new(), groups, claims: texts.collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn groups(arn: &str) -> Option<Vec<String>> {
        from_arn(arn, "123456789012").map(|user| user.groups)
    }

    #[test]
    fn the_role_of_an_assumed_role_is_a_group() {
        let role = "arn:aws:sts::123456789012:assumed-role/jobwarden-force/anna";
        assert_eq!(groups(role), Some(vec!["jobwarden-force".to_owned()]));
        let china = "arn:aws-cn:sts::123456789012:assumed-role/jobwarden-force/anna";
        assert_eq!(groups(china), Some(vec!["jobwarden-force".to_owned()]));
    }

    #[test]
    fn a_role_of_another_account_is_another_group() {
        let role = "arn:aws:sts::999999999999:assumed-role/jobwarden-force/mallory";
        assert_eq!(groups(role), Some(vec!["999999999999/jobwarden-force".to_owned()]));
    }

    #[test]
    fn a_user_whose_name_looks_like_a_role_has_no_group() {
        assert_eq!(groups("arn:aws:iam::123456789012:user/assumed-role/jobwarden-force/x"), Some(vec![]));
        assert_eq!(groups("arn:aws:iam::123456789012:root"), Some(vec![]));
    }

    #[test]
    fn what_is_no_arn_of_a_caller_is_nobody() {
        for bad in ["", "arn", "jobwarden-force", "arn:aws:sts::1:assumed-role/x", "arn:aws:iam::1:role/x"] {
            assert_eq!(groups(bad), None, "{bad}");
        }
    }

    #[test]
    fn claims_count_only_where_they_are_configured() {
        let claims = json!({"iss": "https://idp", "sub": "7", "cognito:groups": "a,b"});
        let identified =
            Identified { claims: serde_json::from_value(claims).unwrap(), ..Identified::default() };
        assert!(principal(CallerIdentity::Iam, &identified).is_err());
        let Principal::User(user) = principal(CallerIdentity::Claims, &identified).unwrap() else {
            panic!("not a user")
        };
        assert_eq!(user.id, "https://idp#7");
        assert_eq!(user.groups, ["a", "b"]);
        assert_eq!(user.claims["sub"], "7");
    }

    #[test]
    fn groups_are_read_in_every_form_that_a_gateway_gives_them() {
        for groups in [json!(["a", "b"]), json!("a,b"), json!("[a b]"), json!("[a, b]")] {
            let claims = HashMap::from([
                ("iss".to_owned(), json!("i")),
                ("sub".to_owned(), json!("s")),
                ("groups".to_owned(), groups),
            ]);
            assert_eq!(from_claims(&claims).unwrap().groups, ["a", "b"]);
        }
    }
}
