//! Who calls: only what the authorizer verified, never a header or a body.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ApiError, ErrorCode};
use crate::access::{Principal, User};
use crate::ids::quoted;

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
/// See <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.
fn from_arn(arn: &str, api_account: &str) -> Option<User> {
    let mut parts = arn.splitn(6, ':');
    let ("arn", partition, service, "", account, resource) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    if !is_partition(partition) || account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut groups = Vec::new();
    match (service, resource.split('/').collect::<Vec<_>>().as_slice()) {
        ("sts", ["assumed-role", role, session]) if is_name(role, 64) && is_name(session, 64) => {
            // A role of that name in another account is somebody else's.
            let group = if account == api_account { (*role).to_owned() } else { format!("{account}/{role}") };
            groups.push(group);
        }
        ("iam", ["root"]) => {}
        ("iam", ["user", path @ .., name])
            if path.iter().all(|part| is_graphic(part)) && is_name(name, 64) => {}
        ("sts", ["federated-user", name]) if is_name(name, 32) => {}
        _ => return None,
    }
    let claims = BTreeMap::new();
    Some(User { id: arn.to_owned(), account: account.to_owned(), groups, claims })
}

/// `aws`, `aws-cn`, `aws-us-gov`, and the isolated ones.
fn is_partition(partition: &str) -> bool {
    let mut words = partition.split('-');
    words.next() == Some("aws")
        && words.all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Whether IAM allows a name: the characters of users, roles and sessions are the same.
fn is_name(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

/// Whether a text is of visible ASCII characters only, of one at least.
fn is_graphic(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn from_claims(claims: &HashMap<String, Value>) -> Option<User> {
    let text = |name| claims.get(name).and_then(Value::as_str).filter(|text| is_graphic(text));
    // OpenID Connect allows no fragment in an issuer: the first `#` of an id ends the issuer.
    let (issuer, subject) = (text("iss").filter(|issuer| !issuer.contains('#'))?, text("sub")?);
    let id = format!("{issuer}#{subject}");
    let claim = claims.get("cognito:groups").or_else(|| claims.get("groups"));
    let groups = claim.map_or_else(|| Some(BTreeSet::new()), groups).unwrap_or_else(|| {
        let claim = claim.map(Value::to_string).unwrap_or_default();
        tracing::warn!(
            event = "groups_unreadable",
            principal = id,
            claim = quoted(&claim),
            "the claim of groups has no documented form; the caller has no group"
        );
        BTreeSet::new()
    });
    let groups = groups.into_iter().map(str::to_owned).collect();
    let texts = claims.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Some(User { id, account: String::new(), groups, claims: texts.collect() })
}

/// The groups of a claim: a list of texts, the text `a,b` of a REST API's Cognito authorizer, or the text
/// `[a b]` of an HTTP API's JWT authorizer. Nothing where the claim or one name in it has another form.
fn groups(claim: &Value) -> Option<BTreeSet<&str>> {
    let names: Option<Vec<&str>> = match claim {
        Value::Array(groups) => groups.iter().map(Value::as_str).collect(),
        Value::String(groups) => {
            Some(match groups.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some("") => Vec::new(),
                Some(groups) => groups.split(' ').collect(),
                None => groups.split(',').collect(),
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    names?.into_iter().map(|name| is_group(name).then_some(name)).collect()
}

/// Cognito's longest name of a group, in IAM's characters without the comma, which separates groups.
fn is_group(name: &str) -> bool {
    is_name(name, 128) && !name.contains(',')
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
        for bad in [
            "",
            "arn",
            "jobwarden-force",
            "arn:aws:sts::123456789012:assumed-role/jobwarden-force",
            "arn:aws:sts::123456789012:assumed-role/jobwarden-force/",
            "arn:aws:sts::123456789012:assumed-role/jobwarden-force/anna/x",
            "arn:aws:sts::123456789012:assumed-role//anna",
            "arn:aws:sts::123456789012:assumed-role/jobwarden force/anna",
            "arn:aws:sts::123456789012:assumed-role/jobwarden-force\n/anna",
            "arn:aws:sts::123456789012:assumed-role/jobwarden-force/a\u{202e}nna",
            "arn:aws:sts::1:assumed-role/jobwarden-force/anna",
            "arn:aws:sts::12345678901x:assumed-role/jobwarden-force/anna",
            "arn:aws:sts:::assumed-role/jobwarden-force/anna",
            "arn:aws:sts:eu-west-1:123456789012:assumed-role/jobwarden-force/anna",
            "arn::sts::123456789012:assumed-role/jobwarden-force/anna",
            "arn:evil:sts::123456789012:assumed-role/jobwarden-force/anna",
            "arn:aws-:sts::123456789012:assumed-role/jobwarden-force/anna",
            "arn:aws:iam::123456789012:assumed-role/jobwarden-force/anna",
            "arn:aws:iam::123456789012:role/jobwarden-force",
            "arn:aws:iam::123456789012:user",
            "arn:aws:iam::123456789012:user/",
            "arn:aws:iam::123456789012:user/a b",
            "arn:aws:iam::123456789012:root/x",
            "arn:aws:sts::123456789012:federated-user/",
            "arn:aws:sts::123456789012:federated-user/a/b",
        ] {
            assert_eq!(groups(bad), None, "{bad}");
        }
        let long = format!("arn:aws:sts::123456789012:assumed-role/{}/anna", "r".repeat(65));
        assert_eq!(groups(&long), None);
    }

    #[test]
    fn every_documented_arn_of_a_caller_is_somebody() {
        for good in [
            "arn:aws:iam::123456789012:user/anna",
            "arn:aws:iam::123456789012:user/division_abc/subdivision_xyz/anna+x=1,y.z@example-1",
            "arn:aws-us-gov:iam::123456789012:root",
            "arn:aws-iso-b:sts::123456789012:federated-user/anna",
        ] {
            assert_eq!(groups(good), Some(vec![]), "{good}");
        }
        let all = "arn:aws:sts::123456789012:assumed-role/a_B+c=d,e.f@g-1/anna_B+c=d,e.f@g-1";
        assert_eq!(groups(all), Some(vec!["a_B+c=d,e.f@g-1".to_owned()]));
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

    /// The groups of verified claims: of issuer and subject, and of what a test says.
    fn of_claims(claims: Value) -> Option<User> {
        let mut all = json!({"iss": "https://idp", "sub": "7"});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        from_claims(&serde_json::from_value(all).unwrap())
    }

    #[test]
    fn groups_are_read_in_every_form_that_a_gateway_gives_them() {
        for (claim, expected) in [
            (json!(["a", "b"]), vec!["a", "b"]),
            (json!("a,b"), vec!["a", "b"]),
            (json!("[a b]"), vec!["a", "b"]),
            (json!("[a]"), vec!["a"]),
            (json!("a"), vec!["a"]),
            (json!("b,a,b"), vec!["a", "b"]),
            (json!([]), vec![]),
            (json!("[]"), vec![]),
            (json!("eu-west-1_aBc_SAML,jobwarden-force"), vec!["eu-west-1_aBc_SAML", "jobwarden-force"]),
            (json!(["a".repeat(128)]), vec![&*"a".repeat(128)]),
        ] {
            assert_eq!(of_claims(json!({"groups": claim})).unwrap().groups, expected, "{claim}");
            assert_eq!(of_claims(json!({"cognito:groups": claim})).unwrap().groups, expected, "{claim}");
        }
    }

    #[test]
    fn a_groups_claim_in_any_other_form_gives_no_group() {
        for claim in [
            json!("[[jobwarden-force]]"),
            json!("[jobwarden-force"),
            json!("jobwarden-force]"),
            json!("[[jobwarden-force] a]"),
            json!("[jobwarden-force, a]"),
            json!("[jobwarden-force,a]"),
            json!("jobwarden-force, a"),
            json!("jobwarden-force a"),
            json!("jobwarden-force,"),
            json!(",jobwarden-force"),
            json!("[jobwarden-force  a]"),
            json!("[ jobwarden-force]"),
            json!("jobwarden-force,a,,b"),
            json!(""),
            json!(" jobwarden-force"),
            json!("jobwarden-force\n"),
            json!("jobwarden-force\t,a"),
            json!("jobwarden-force,\u{200b}a"),
            json!("jobwarden-force,\u{202e}a"),
            json!("[\"jobwarden-force\"]"),
            json!("jobwarden-force;a"),
            json!("999999999999/jobwarden-force"),
            json!(format!("jobwarden-force,{}", "a".repeat(129))),
            json!(["jobwarden-force", 7]),
            json!(["jobwarden-force", null]),
            json!(["jobwarden-force", ""]),
            json!(["jobwarden-force", ["a"]]),
            json!(["jobwarden-force", "a,b"]),
            json!(["jobwarden-force", "[a]"]),
            json!([["jobwarden-force"]]),
            json!({"jobwarden-force": true}),
            json!({"0": "jobwarden-force"}),
            json!(true),
            json!(7),
            Value::Null,
        ] {
            for name in ["cognito:groups", "groups"] {
                let none = Vec::<String>::new();
                assert_eq!(of_claims(json!({name: claim})).unwrap().groups, none, "{name}: {claim}");
            }
        }
    }

    #[test]
    fn the_user_pools_own_claim_counts_and_another_beside_it_does_not() {
        let both = json!({"cognito:groups": "a", "groups": ["jobwarden-force"]});
        assert_eq!(of_claims(both).unwrap().groups, ["a"]);
        let unreadable = json!({"cognito:groups": "[[a]]", "groups": ["jobwarden-force"]});
        assert_eq!(of_claims(unreadable).unwrap().groups, Vec::<String>::new());
    }

    #[test]
    fn two_issuers_and_subjects_never_give_one_id() {
        assert_eq!(of_claims(json!({"iss": "https://idp", "sub": "a#b"})).unwrap().id, "https://idp#a#b");
        // It would be the one above.
        assert_eq!(of_claims(json!({"iss": "https://idp#a", "sub": "b"})), None);
    }

    #[test]
    fn an_issuer_or_subject_that_is_no_visible_ascii_is_nobody() {
        for bad in [
            json!(""),
            json!(" "),
            json!("a b"),
            json!("a\n"),
            json!("a\u{0}"),
            json!("ä"),
            json!("a\u{200b}"),
            json!(7),
            json!(["a"]),
            Value::Null,
        ] {
            assert_eq!(of_claims(json!({"iss": bad})), None, "iss: {bad}");
            assert_eq!(of_claims(json!({"sub": bad})), None, "sub: {bad}");
        }
    }
}
