//! Which condition of a permit was not met, where no policy permits: said to explain a refusal,
//! when the decision is made and cannot change any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cedar_policy::{AuthorizationError, Authorizer, Expression, Policy, PolicyId, PolicySet, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::facts::FactsError;
use super::needs::names_attribute;
use super::parts::Parts;
use super::policy::Question;
use super::{
    AccessPolicy, DecidingPolicy, Decision, ExecutionAction, ExecutionFacts, Principal, Refusal,
    ServiceAction, Terms,
};
use crate::legible::shown;

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
    access.explainer().unmet(access, &question)
}

/// What a set's permits lack is found by these: the scopes of all, and the conditions of each, as policies.
///
/// An explanation evaluates the scope of each permit once, and of those that fit each condition once, after the two
/// that a permit stands on otherwise. So it costs at most three times what the set's dearest decision does.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    scopes: PolicySet,
    permits: BTreeMap<PolicyId, Vec<Conjunct>>,
    /// The conditions of each permit, by their numbers.
    conjuncts: BTreeMap<PolicyId, PolicySet>,
}

/// A condition of a permit.
#[derive(Debug)]
struct Conjunct {
    id: PolicyId,
    text: String,
    names_principal: bool,
    names_written: bool,
}

impl Explainer {
    /// Takes the permits of a set apart. A permit for which that fails is left out of explanations.
    pub(super) fn of(access: &AccessPolicy) -> Self {
        let mut explainer = Self::default();
        for permit in access.permits() {
            if let Err(error) = explainer.add(permit) {
                tracing::debug!(policy = %permit.id(), %error, "a permit's part in refusals is not explained");
            }
        }
        explainer
    }

    fn add(&mut self, permit: &Policy) -> Result<(), Unexplained> {
        let text = permit.to_string();
        let parts =
            Parts::of(&text).ok_or_else(|| Unexplained::new("a policy is printed in an unknown form"))?;
        let mut all = PolicySet::new();
        let mut conjuncts = Vec::new();
        for (number, text) in parts.conjuncts.into_iter().enumerate() {
            let id = PolicyId::new(number.to_string());
            let written = format!("permit(principal, action, resource) when {{ {text}\n}};");
            let policy = Policy::parse(Some(id.clone()), written).map_err(Unexplained::new)?;
            let json = policy.to_json().map_err(Unexplained::new)?;
            let json = json.get("conditions").unwrap_or(&Value::Null);
            let (names_principal, names_written) = (names_principal(json), names_written(json));
            all.add(policy).map_err(Unexplained::new)?;
            conjuncts.push(Conjunct { id, text, names_principal, names_written });
        }
        let scope = Policy::parse(Some(permit.id().clone()), format!("{};", parts.scope))
            .map_err(Unexplained::new)?;
        self.scopes.add(scope).map_err(Unexplained::new)?;
        self.permits.insert(permit.id().clone(), conjuncts);
        self.conjuncts.insert(permit.id().clone(), all);
        Ok(())
    }

    /// What those permits lack that are meant for the one who asks, and for what is asked.
    fn unmet(&self, access: &AccessPolicy, question: &Question) -> Vec<UnmetPermit> {
        let fitting = ask(&self.scopes, question);
        let fitting: BTreeSet<_> = fitting.diagnostics().reason().collect();
        let unmet =
            self.permits.iter().filter(|(id, _)| fitting.contains(id)).filter_map(|(id, conjuncts)| {
                let unmet = first_unmet(conjuncts, self.conjuncts.get(id)?, question)?;
                let DecidingPolicy { id, reason } = access.deciding(id);
                Some(UnmetPermit { id, reason, condition: unmet.shown()? })
            });
        unmet.collect()
    }
}

/// The first condition that is not met; none where one that names the principal is not, or where one before it
/// cannot be evaluated.
fn first_unmet<'c>(conjuncts: &'c [Conjunct], all: &PolicySet, question: &Question) -> Option<&'c Conjunct> {
    let answer = ask(all, question);
    let met: BTreeSet<_> = answer.diagnostics().reason().collect();
    let failed: BTreeSet<_> = answer.diagnostics().errors().map(failed).collect();
    let fits = conjuncts
        .iter()
        .filter(|conjunct| conjunct.names_principal)
        .all(|conjunct| met.contains(&conjunct.id));
    let first = conjuncts.iter().find(|conjunct| !met.contains(&conjunct.id))?;
    (fits && !failed.contains(&first.id)).then_some(first)
}

fn failed(error: &AuthorizationError) -> &PolicyId {
    match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    }
}

fn ask(policies: &PolicySet, question: &Question) -> Response {
    #[cfg(test)]
    tests::EVALUATED.with(|evaluated| evaluated.set(evaluated.get() + policies.num_of_policies()));
    Authorizer::new().is_authorized(&question.request, policies, &question.entities)
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

impl Conjunct {
    /// The condition as Cedar writes it, or none where it may not be told; nothing at all where Cedar cannot say.
    fn shown(&self) -> Option<Option<String>> {
        if self.names_written {
            return Some(None);
        }
        let expression: Expression = self.text.parse().ok()?;
        Some(Some(shown(&expression.to_string())))
    }
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
