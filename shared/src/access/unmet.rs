//! Which condition of a permit was not met, where no policy permits: said to explain a refusal,
//! when the decision is made and cannot change any more.

use std::fmt;

use cedar_policy::{Authorizer, Decision as CedarDecision, Policy, PolicySet};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::facts::FactsError;
use super::needs::names_attribute;
use super::policy::Question;
use super::{
    AccessPolicy, DecidingPolicy, Decision, ExecutionAction, ExecutionFacts, Principal, Refusal,
    ServiceAction, Terms,
};

/// The facts that people and devices wrote by hand. Tags are such facts too.
const WRITTEN: [&str; 3] = ["statusDetails", "thingAttributes", "thingGroups"];

/// How many permits a message names; the answer's `unmet` has them all.
const MOST_NAMED: usize = 2;

/// How many characters of a condition a message shows.
const MOST_SHOWN: usize = 200;

/// A permit for such a principal and such an action, and the first of its conditions that is not
/// met.
///
/// Whoever is refused reads this, so nothing is told of permits for others: neither of those whose
/// scope names another principal, nor of those with a condition that names the principal and is
/// not met, wherever among the conditions it stands. It would say who may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnmetPermit {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: String,
    /// The condition as Cedar writes it, on one line; what stood under `unless` is negated. None
    /// where it asks for what people or devices wrote (tags, details, attributes and groups of
    /// things): that is kept out of answers.
    pub condition: Option<String>,
}

impl UnmetPermit {
    /// What these add to the message of a refusal: nothing, or at most two permits and a count.
    pub(crate) fn in_words(unmet: &[Self]) -> String {
        let mut words: String = unmet.iter().take(MOST_NAMED).map(|permit| format!("; {permit}")).collect();
        let more = unmet.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            words.push_str(&format!("; and {more} more, each but for a condition of its own"));
        }
        words
    }
}

impl fmt::Display for UnmetPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy `{}` would, but for ", self.id)?;
        match &self.condition {
            Some(condition) => {
                let shown: String = condition.chars().take(MOST_SHOWN).collect();
                let cut = if shown.len() < condition.len() { "…" } else { "" };
                write!(f, "its condition `{shown}{cut}`")
            }
            None => f.write_str("a condition on what people or devices wrote"),
        }
    }
}

impl AccessPolicy {
    /// What each permit that is meant for `principal` and `action` lacks, where the decision on an
    /// execution was that no policy permits it; nothing otherwise.
    pub fn unmet(
        &self,
        decision: &Decision,
        principal: &Principal,
        action: ExecutionAction,
        facts: &ExecutionFacts<'_>,
        terms: &Terms,
    ) -> Vec<UnmetPermit> {
        unmet(self, decision, || self.question(principal, action, facts, terms))
    }

    /// The same of a decision on what may be asked of the service.
    pub fn unmet_service(
        &self,
        decision: &Decision,
        principal: &Principal,
        action: ServiceAction,
        now: Timestamp,
    ) -> Vec<UnmetPermit> {
        unmet(self, decision, || self.service_question(principal, action, now))
    }
}

/// What these permits lack, where none of a set permits. Whatever cannot be explained is left out.
fn unmet(
    access: &AccessPolicy,
    decision: &Decision,
    question: impl FnOnce() -> Result<Question, FactsError>,
) -> Vec<UnmetPermit> {
    match decision {
        Decision::Deny(Refusal::NoPermit) => {}
        Decision::Allow(_) | Decision::Deny(Refusal::Forbidden(_) | Refusal::EvaluationError(_)) => {
            return Vec::new();
        }
    }
    let question = match question() {
        Ok(question) => question,
        Err(error) => {
            tracing::debug!(%error, "a refusal is not explained");
            return Vec::new();
        }
    };
    let explain = |policy: &Policy| {
        let unmet = unmet_of(policy, access, &question);
        unmet.unwrap_or_else(|error| {
            tracing::debug!(policy = %policy.id(), %error, "a permit's part in a refusal is not explained");
            None
        })
    };
    access.permits().filter_map(explain).collect()
}

fn unmet_of(
    policy: &Policy,
    access: &AccessPolicy,
    question: &Question,
) -> Result<Option<UnmetPermit>, Unexplained> {
    let permit = Permit::of(policy)?;
    let Some(conjunct) = permit.unmet(question)? else { return Ok(None) };
    let DecidingPolicy { id, reason } = access.deciding(policy.id());
    Ok(Some(UnmetPermit { id, reason, condition: condition(conjunct)? }))
}

/// Why a permit cannot be explained. The decision stands all the same.
#[derive(Debug, thiserror::Error)]
#[error("cannot say what a permit lacks: {0}")]
struct Unexplained(String);

impl Unexplained {
    fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A permit in Cedar's JSON form: its scope, and its conditions in the order of evaluation.
#[derive(Debug)]
struct Permit {
    scope: Map<String, Value>,
    conjuncts: Vec<Value>,
}

impl Permit {
    fn of(policy: &Policy) -> Result<Self, Unexplained> {
        let Value::Object(mut scope) = policy.to_json().map_err(Unexplained::new)? else {
            return Err(Unexplained::new("Cedar's JSON form of a policy is no object"));
        };
        scope.remove("annotations");
        let mut conjuncts = Vec::new();
        let clauses = scope.remove("conditions");
        for clause in clauses.as_ref().and_then(Value::as_array).into_iter().flatten() {
            match (clause.get("kind").and_then(Value::as_str), clause.get("body")) {
                (Some("when"), Some(body)) => conjuncts.extend(split(body, "&&").into_iter().cloned()),
                // Not (a or b) is not a and not b; nothing else of a negation comes apart.
                (Some("unless"), Some(body)) => conjuncts.extend(split(body, "||").into_iter().map(not)),
                _ => return Err(Unexplained::new("Cedar's JSON form has a clause of an unknown kind")),
            }
        }
        Ok(Self { scope, conjuncts })
    }

    /// The first condition that is not met, if the permit is meant for the one who asks, and for
    /// what is asked.
    fn unmet(&self, question: &Question) -> Result<Option<&Value>, Unexplained> {
        if !self.holds(None, question)? {
            return Ok(None);
        }
        for conjunct in self.conjuncts.iter().filter(|conjunct| names_principal(conjunct)) {
            if !self.holds(Some(conjunct), question)? {
                return Ok(None);
            }
        }
        for conjunct in &self.conjuncts {
            if !self.holds(Some(conjunct), question)? {
                return Ok(Some(conjunct));
            }
        }
        Err(Unexplained::new("no policy permits it, and every condition is met"))
    }

    /// Whether Cedar permits it by this scope with this condition, or with none.
    fn holds(&self, conjunct: Option<&Value>, question: &Question) -> Result<bool, Unexplained> {
        let policy = permit(self.scope.clone(), conjunct)?;
        let policies = PolicySet::from_policies([policy]).map_err(Unexplained::new)?;
        let response = Authorizer::new().is_authorized(&question.request, &policies, &question.entities);
        match response.diagnostics().errors().next() {
            Some(error) => Err(Unexplained::new(error)),
            None => Ok(response.decision() == CedarDecision::Allow),
        }
    }
}

/// A condition as text, or none where it may not be told.
fn condition(conjunct: &Value) -> Result<Option<String>, Unexplained> {
    if names_written(conjunct) {
        return Ok(None);
    }
    let scope = ["principal", "action", "resource"].map(|part| (part, json!({ "op": "All" })));
    let scope = scope.into_iter().chain([("effect", json!("permit"))]);
    let scope = scope.map(|(name, value)| (name.to_owned(), value)).collect();
    let printed = permit(scope, Some(conjunct))?.to_string();
    let text = printed.strip_prefix("permit(principal, action, resource) when { ");
    let text = text.and_then(|rest| rest.strip_suffix(" };"));
    let text = text.ok_or_else(|| Unexplained::new("Cedar prints a policy in an unknown form"))?;
    Ok(Some(text.to_owned()))
}

fn permit(mut scope: Map<String, Value>, conjunct: Option<&Value>) -> Result<Policy, Unexplained> {
    let conditions: Vec<_> =
        conjunct.map(|body| json!({ "kind": "when", "body": body })).into_iter().collect();
    scope.insert("conditions".to_owned(), Value::Array(conditions));
    Policy::from_json(None, Value::Object(scope)).map_err(Unexplained::new)
}

/// The operands of an operator that stands topmost, in the order of evaluation.
fn split<'a>(expression: &'a Value, operator: &str) -> Vec<&'a Value> {
    let operands = expression.get(operator);
    match operands.and_then(|operands| Some((operands.get("left")?, operands.get("right")?))) {
        Some((left, right)) => [split(left, operator), split(right, operator)].concat(),
        None => vec![expression],
    }
}

fn not(expression: &Value) -> Value {
    json!({ "!": { "arg": expression } })
}

fn names_principal(expression: &Value) -> bool {
    any(expression, &|name, value| name == "Var" && value == "principal")
}

fn names_written(expression: &Value) -> bool {
    WRITTEN.iter().any(|name| names_attribute(expression, name))
        || any(expression, &|name, _| ["hasTag", "getTag"].contains(&name))
}

/// Whether an expression has such a member anywhere.
fn any(expression: &Value, found: &impl Fn(&str, &Value) -> bool) -> bool {
    match expression {
        Value::Object(members) => members.iter().any(|(name, value)| found(name, value) || any(value, found)),
        Value::Array(values) => values.iter().any(|value| any(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
