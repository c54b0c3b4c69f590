//! Which facts a set of policies asks for: those that cost a call are read only where one does.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint};
use serde_json::Value;

use super::{ExecutionAction, Principal};

/// The facts that cost a call where they are not at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// What DescribeJobExecution tells: version, details, time to time-out.
    pub description: bool,
    /// What a listing tells: how many retries came before.
    pub retry_attempt: bool,
    /// What ListThingGroupsForThing tells.
    pub thing_groups: bool,
    /// What DescribeThing tells.
    pub thing_attributes: bool,
}

impl Needs {
    fn of(attributes: &BTreeSet<String>) -> Self {
        let any = |names: &[&str]| names.iter().any(|name| attributes.contains(*name));
        Self {
            description: any(&["versionNumber", "statusDetails", "approximateSecondsBeforeTimedOut"]),
            retry_attempt: any(&["retryAttempt"]),
            thing_groups: any(&["thingGroups"]),
            thing_attributes: any(&["thingAttributes"]),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            description: self.description || other.description,
            retry_attempt: self.retry_attempt || other.retry_attempt,
            thing_groups: self.thing_groups || other.thing_groups,
            thing_attributes: self.thing_attributes || other.thing_attributes,
        }
    }

    /// Whether anything has to be read besides a listing's row and the job.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What of a policy matters for reading facts and telling them.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    principal: PrincipalConstraint,
    action: ActionConstraint,
    /// The attributes it names, of whatever.
    pub(super) attributes: BTreeSet<String>,
}

impl Outline {
    /// The outline of a policy, given its form in Cedar's JSON.
    pub(super) fn of(policy: &Policy, json: &Value) -> Self {
        let mut attributes = BTreeSet::new();
        collect(json, &mut attributes);
        let (principal, action) = (policy.principal_constraint(), policy.action_constraint());
        Self { principal, action, attributes }
    }

    /// Whether it may concern such a principal doing this.
    fn concerns(&self, principal: &Principal, action: ExecutionAction) -> bool {
        let of_type = |name: &str| match principal {
            Principal::User(_) => name == "Jobwarden::User",
            Principal::Sweeper(_) => name == "Jobwarden::Sweeper",
        };
        // Nobody but a user is in a group.
        let in_group = matches!(principal, Principal::User(_));
        let principal_fits = match &self.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(name) => of_type(&name.to_string()),
            PrincipalConstraint::IsIn(name, _) => of_type(&name.to_string()) && in_group,
            PrincipalConstraint::In(uid) => in_group || of_type(&uid.type_name().to_string()),
            PrincipalConstraint::Eq(uid) => of_type(&uid.type_name().to_string()),
        };
        let named = |uid: &EntityUid| uid.id().unescaped() == action.as_str();
        principal_fits
            && match &self.action {
                ActionConstraint::Any => true,
                ActionConstraint::In(uids) => uids.iter().any(named),
                ActionConstraint::Eq(uid) => named(uid),
            }
    }
}

/// What these policies ask for when such a principal wants to do this.
pub(super) fn needs<'a>(
    outlines: impl Iterator<Item = &'a Outline>,
    principal: &Principal,
    action: ExecutionAction,
) -> Needs {
    let concerned = outlines.filter(|outline| outline.concerns(principal, action));
    concerned.map(|outline| Needs::of(&outline.attributes)).fold(Needs::default(), Needs::or)
}

/// Every name that stands behind a dot or a `has`. Cedar's JSON form keeps them under `attr`.
fn collect(expression: &Value, attributes: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "attr" {
                    let names = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    attributes.extend(names.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                collect(value, attributes);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, attributes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
