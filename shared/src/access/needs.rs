//! Which facts a set of policies asks for: those that cost a call are read only where one does.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint};
use serde_json::Value;

use super::{ExecutionAction, Principal};

const USER: &str = "User";
const SWEEPER: &str = "Sweeper";

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
#[derive(Debug)]
pub(super) struct Outline {
    /// Whether it may concern users, and sweepers.
    users: bool,
    sweepers: bool,
    /// Whether it may concern cancelling, and deleting.
    cancels: bool,
    deletes: bool,
    needs: Needs,
    /// The attributes it names, of whatever.
    pub(super) attributes: BTreeSet<String>,
}

impl Outline {
    /// The outline of a policy, given its form in Cedar's JSON.
    pub(super) fn of(policy: &Policy, json: &Value) -> Self {
        let mut attributes = BTreeSet::new();
        collect(json, &mut attributes);
        let (principal, action) = (policy.principal_constraint(), policy.action_constraint());
        let concerns = |name: &str| match &principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(of) => of.basename() == name,
            // Nobody but a user is in a group.
            PrincipalConstraint::IsIn(of, _) => of.basename() == name && name == USER,
            PrincipalConstraint::In(uid) => name == USER || uid.type_name().basename() == name,
            PrincipalConstraint::Eq(uid) => uid.type_name().basename() == name,
        };
        let allows = |wanted: ExecutionAction| {
            let is = |uid: &EntityUid| uid.id().unescaped() == wanted.as_str();
            match &action {
                ActionConstraint::Any => true,
                ActionConstraint::In(uids) => uids.iter().any(is),
                ActionConstraint::Eq(uid) => is(uid),
            }
        };
        Self {
            users: concerns(USER),
            sweepers: concerns(SWEEPER),
            cancels: allows(ExecutionAction::Cancel),
            deletes: allows(ExecutionAction::Delete),
            needs: Needs::of(&attributes),
            attributes,
        }
    }

    /// Whether it may concern such a principal doing this.
    fn concerns(&self, principal: &Principal, action: ExecutionAction) -> bool {
        let principal_fits = match principal {
            Principal::User(_) => self.users,
            Principal::Sweeper(_) => self.sweepers,
        };
        let action_fits = match action {
            ExecutionAction::Cancel => self.cancels,
            ExecutionAction::Delete => self.deletes,
        };
        principal_fits && action_fits
    }
}

/// What these policies ask for when such a principal wants to do this.
pub(super) fn needs<'a>(
    outlines: impl Iterator<Item = &'a Outline>,
    principal: &Principal,
    action: ExecutionAction,
) -> Needs {
    let concerned = outlines.filter(|outline| outline.concerns(principal, action));
    concerned.map(|outline| outline.needs).fold(Needs::default(), Needs::or)
}

/// Whether this name stands behind a dot or a `has` anywhere in an expression.
pub(super) fn names_attribute(expression: &Value, name: &str) -> bool {
    let mut attributes = BTreeSet::new();
    collect(expression, &mut attributes);
    attributes.contains(name)
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
