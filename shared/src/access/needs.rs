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
    /// Whether it names an execution by its identity.
    pub(super) names_executions: bool,
}

impl Outline {
    /// The outline of a policy, given its form in Cedar's JSON.
    pub(super) fn of(policy: &Policy, json: &Value) -> Self {
        let mut attributes = BTreeSet::new();
        collect(json, &mut attributes);
        let (principal, action) = (policy.principal_constraint(), policy.action_constraint());
        let concerns = |name: &str| match &principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(of) | PrincipalConstraint::IsIn(of, _) => of.basename() == name,
            // Nobody but a user is in a group; a sweeper is in itself.
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
            names_executions: names_executions(json),
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

/// Whether an execution's identity stands anywhere: in Cedar's JSON form each has its type beside its id.
fn names_executions(json: &Value) -> bool {
    match json {
        Value::Object(members) => {
            let of_type = members.get("type").and_then(Value::as_str);
            of_type.is_some_and(|name| name.ends_with("JobExecution"))
                || members.values().any(names_executions)
        }
        Value::Array(values) => values.iter().any(names_executions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccessPolicy, User};
    use crate::operation::Operation;

    fn user() -> Principal {
        let (id, account) = ("anna".to_owned(), "123456789012".to_owned());
        Principal::User(User { id, account, groups: Vec::new(), claims: Default::default() })
    }

    /// A policy about executions, with this scope and under this condition.
    fn forbid(id: &str, scope: &str, condition: &str) -> String {
        format!("@id(\"{id}\") @reason(\"r\") forbid ({scope}) when {{ {condition} }};\n")
    }

    const EVERYBODY: &str = "principal, action, resource is Jobwarden::JobExecution";
    const NOTHING: Needs =
        Needs { description: false, retry_attempt: false, thing_groups: false, thing_attributes: false };

    fn needs_of(policies: &str, principal: &Principal, action: ExecutionAction) -> Needs {
        AccessPolicy::parse("p.cedar", policies).unwrap().needs(principal, action)
    }

    #[test]
    fn every_costly_fact_is_asked_for_by_its_name_and_the_others_cost_nothing() {
        let description = Needs { description: true, ..NOTHING };
        for (condition, expected) in [
            ("resource.jobId == \"thingGroups\" && resource.hasTag(\"retryAttempt\")", NOTHING),
            ("resource.versionNumber == 7", description),
            ("resource.statusDetails.contains(\"step=flashing\")", description),
            ("context.force || resource.approximateSecondsBeforeTimedOut < 9", description),
            ("[resource.retryAttempt].contains(2)", Needs { retry_attempt: true, ..NOTHING }),
            ("resource has thingGroups", Needs { thing_groups: true, ..NOTHING }),
            (
                "if resource[\"thingAttributes\"].isEmpty() then true else false",
                Needs { thing_attributes: true, ..NOTHING },
            ),
        ] {
            let needs = needs_of(&forbid("x", EVERYBODY, condition), &user(), ExecutionAction::Cancel);
            assert_eq!(needs, expected, "{condition}");
            assert_eq!(needs.any(), expected != NOTHING, "{condition}");
        }
    }

    #[test]
    fn what_any_of_several_policies_asks_for_is_needed() {
        let policies = [
            forbid("a", EVERYBODY, "resource.versionNumber == 7"),
            forbid("b", EVERYBODY, "resource.retryAttempt == 2"),
            forbid("c", EVERYBODY, "resource.jobRetries"),
            forbid("d", EVERYBODY, "resource.thingGroups.isEmpty()"),
            forbid("e", EVERYBODY, "resource.thingAttributes.isEmpty()"),
        ];
        let needs = needs_of(&policies.concat(), &user(), ExecutionAction::Delete);
        let everything =
            Needs { description: true, retry_attempt: true, thing_groups: true, thing_attributes: true };
        assert_eq!(needs, everything);
    }

    /// Whom a scope of principals may concern: a user, and a sweeper.
    #[test]
    fn a_policy_asks_only_for_those_whom_it_may_concern() {
        for (scope, expected) in [
            ("principal", [true, true]),
            ("principal is Jobwarden::User", [true, false]),
            ("principal is Jobwarden::Sweeper", [false, true]),
            ("principal is Jobwarden::User in Jobwarden::Group::\"g\"", [true, false]),
            ("principal in Jobwarden::Group::\"g\"", [true, false]),
            ("principal == Jobwarden::User::\"anna\"", [true, false]),
            ("principal == Jobwarden::Sweeper::\"cancel-stale\"", [false, true]),
        ] {
            let scope = format!("{scope}, action, resource is Jobwarden::JobExecution");
            let policy = forbid("x", &scope, "resource.thingGroups.isEmpty()");
            let asks = [user(), Principal::Sweeper(Operation::CancelStale)]
                .map(|principal| needs_of(&policy, &principal, ExecutionAction::Cancel).thing_groups);
            assert_eq!(asks, expected, "{scope}");
        }
    }

    /// In Cedar everything is in itself.
    #[test]
    fn a_policy_about_those_in_a_sweeper_asks_for_the_sweeper() {
        let within = "in Jobwarden::Sweeper::\"cancel-stale\"";
        for scope in [format!("principal {within}"), format!("principal is Jobwarden::Sweeper {within}")] {
            let scope = format!("{scope}, action, resource is Jobwarden::JobExecution");
            let policy = forbid("x", &scope, "resource.thingGroups.isEmpty()");
            let sweeper = Principal::Sweeper(Operation::CancelStale);
            assert!(needs_of(&policy, &sweeper, ExecutionAction::Cancel).thing_groups, "{scope}");
        }
    }

    /// Which actions a scope of actions may concern: cancelling, and deleting.
    #[test]
    fn a_policy_asks_only_for_the_actions_that_it_may_concern() {
        let [cancel, delete] =
            ["Cancel", "Delete"].map(|verb| format!("Jobwarden::Action::\"{verb}JobExecution\""));
        for (scope, expected) in [
            ("action".to_owned(), [true, true]),
            (format!("action == {cancel}"), [true, false]),
            (format!("action == {delete}"), [false, true]),
            (format!("action in [{delete}, {cancel}]"), [true, true]),
            (format!("action in [{cancel}]"), [true, false]),
            (format!("action in {delete}"), [false, true]),
        ] {
            let scope = format!("principal, {scope}, resource is Jobwarden::JobExecution");
            let policy = forbid("x", &scope, "resource.thingGroups.isEmpty()");
            let asks = [ExecutionAction::Cancel, ExecutionAction::Delete]
                .map(|action| needs_of(&policy, &user(), action).thing_groups);
            assert_eq!(asks, expected, "{scope}");
        }
    }
}
