//! The shipped policies in Cedar's JSON form. They were valid by the schema when they were put into it. The languages
//! of policies and schemas each need a parser that is made anew in every cold start, and takes far longer to make than
//! what it reads takes to read.

use std::collections::BTreeMap;

use cedar_policy::{PolicyId, PolicySet};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::policy::Named;

/// Written by the test below, and not by hand.
const SHIPPED: &str = include_str!("../../../policies/precompiled.json");

/// Policies that were valid when they were put into this form.
pub(super) struct Precompiled {
    pub(super) policies: PolicySet,
    pub(super) named: BTreeMap<PolicyId, Named>,
}

#[derive(Deserialize)]
struct Form<'a> {
    /// Of the texts that it was made from.
    digest: &'a str,
    /// Under their `@id`s.
    #[serde(borrow)]
    policies: &'a RawValue,
}

impl Precompiled {
    /// Those compiled in, if they were made from the texts of this digest. Whoever changes a text and leaves the
    /// form as it was gets what the text says, after a longer start.
    pub(super) fn shipped(digest: &str) -> Option<Self> {
        Self::read(SHIPPED, digest)
    }

    fn read(form: &str, digest: &str) -> Option<Self> {
        let form: Form<'_> = serde_json::from_str(form).ok()?;
        if form.digest != digest {
            return None;
        }
        let policies = PolicySet::from_json_str(form.policies.get()).ok()?;
        let named = policies.policies().map(|policy| Some((policy.id().clone(), Named::of(policy).ok()?)));
        let named = named.collect::<Option<_>>()?;
        Some(Self { policies, named })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::access::AccessPolicy;
    use crate::access::policy::{SHIPPED_POLICIES, SHIPPED_SCHEMA};

    fn parsed() -> AccessPolicy {
        AccessPolicy::parse("policies/access.cedar", SHIPPED_POLICIES).unwrap()
    }

    fn form() -> Value {
        let parsed = parsed();
        json!({ "digest": parsed.digest(), "policies": parsed.policies().clone().to_json().unwrap() })
    }

    /// Where it is not, this writes it, and fails: what is to be committed has changed.
    #[test]
    fn the_form_is_that_of_the_shipped_texts() {
        let now = format!("{:#}\n", form());
        if now != SHIPPED {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/precompiled.json");
            std::fs::write(file, now).unwrap();
            panic!("policies/precompiled.json was not that of the texts, and has been written anew");
        }
    }

    #[test]
    fn what_is_read_from_the_form_is_what_is_read_from_the_texts() {
        let (shipped, parsed) = (AccessPolicy::shipped().unwrap(), parsed());
        assert_eq!((shipped.source(), shipped.digest()), (parsed.source(), parsed.digest()));
        assert!(Precompiled::shipped(parsed.digest()).is_some());
        assert_eq!(
            shipped.policies().clone().to_json().unwrap(),
            parsed.policies().clone().to_json().unwrap()
        );
        let told = |access: &AccessPolicy| {
            let ids: Vec<_> = access.policies().policies().map(|policy| policy.id().clone()).collect();
            let mut told: Vec<_> = ids.iter().map(|id| access.deciding(id)).collect();
            told.sort();
            told
        };
        assert_eq!(told(&shipped), told(&parsed));
        assert!(told(&shipped).iter().all(|policy| !policy.reason.is_empty()));
    }

    #[test]
    fn a_form_of_other_texts_is_not_taken() {
        let form = form().to_string();
        assert!(Precompiled::read(&form, parsed().digest()).is_some());
        assert!(Precompiled::read(&form, &crate::digest::of([SHIPPED_SCHEMA, "other"])).is_none());
        assert!(Precompiled::read(&form.replace("permit", "allow"), parsed().digest()).is_none());
    }
}
