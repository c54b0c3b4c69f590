//! Loading an access policy strictly, and asking it.

use std::collections::BTreeMap;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision as CedarDecision, Entities, Entity, EntityUid, Policy,
    PolicyId, PolicySet, Request, Schema, ValidationMode, Validator,
};
use jiff::Timestamp;
use miette::Diagnostic;

use super::facts::{ExecutionFacts, FactsError, Terms, sweep_uid};
use super::{DecidingPolicy, Decision, ExecutionAction, Principal, Refusal, SweepAction};
use crate::digest;
use crate::operation::Operation;
use crate::source_text::{Problem, Problems, line_of};

const SHIPPED_POLICIES: &str = include_str!("../../../policies/access.cedar");
const SHIPPED_SCHEMA: &str = include_str!("../../../policies/access.cedarschema");

/// A validated set of policies, ready to be asked.
#[derive(Debug)]
pub struct AccessPolicy {
    policies: PolicySet,
    reasons: BTreeMap<PolicyId, String>,
    schema: Schema,
    authorizer: Authorizer,
    digest: String,
}

impl AccessPolicy {
    /// The policies compiled in.
    ///
    /// # Errors
    /// As [`AccessPolicy::parse`]; a test holds that the shipped files have no problem.
    pub fn shipped() -> Result<Self, Problems> {
        Self::parse("policies/access.cedar", SHIPPED_POLICIES)
    }

    /// Parses and validates policies strictly against the shipped schema: a warning counts as
    /// an error, and each policy must have an `@id` of its own and a `@reason`.
    ///
    /// # Errors
    /// Every problem found, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let (schema, _) = Schema::from_cedarschema_str(SHIPPED_SCHEMA)
            .map_err(|error| problem("policies/access.cedarschema", SHIPPED_SCHEMA, &error))?;
        let parsed: PolicySet = text.parse().map_err(|error| problem(file, text, &error))?;
        let (policies, reasons) = named(file, text, &parsed)?;

        let found = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        let errors = found.validation_errors().map(|error| problem(file, text, error));
        let warnings = found.validation_warnings().map(|warning| problem(file, text, warning));
        Problems::none_or(errors.chain(warnings).collect())?;

        let digest = digest::of([SHIPPED_SCHEMA, text]);
        Ok(Self { policies, reasons, schema, authorizer: Authorizer::new(), digest })
    }

    /// What tells one policy set from another, in every answer and audit record.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether `principal` may do `action` to an execution.
    pub fn decide(
        &self,
        principal: &Principal,
        action: ExecutionAction,
        facts: &ExecutionFacts<'_>,
        terms: &Terms,
    ) -> Decision {
        let ask = || {
            let resource = facts.entity()?;
            let context = terms.context(principal)?;
            self.ask(principal, action.uid()?, facts.uid()?, Some(resource), context)
        };
        told(ask())
    }

    /// Whether `principal` may do `action` with sweeps of `operation`.
    pub fn decide_sweep(
        &self,
        principal: &Principal,
        action: SweepAction,
        operation: Operation,
        now: Timestamp,
    ) -> Decision {
        let ask = || self.ask(principal, action.uid()?, sweep_uid(operation)?, None, action.context(now)?);
        told(ask())
    }

    fn ask(
        &self,
        principal: &Principal,
        action: EntityUid,
        resource: EntityUid,
        resource_entity: Option<Entity>,
        context: Context,
    ) -> Result<Decision, FactsError> {
        let entities = principal.entities()?.into_iter().chain(resource_entity);
        let entities = Entities::from_entities(entities, Some(&self.schema)).map_err(FactsError::new)?;
        let request = Request::new(principal.uid()?, action, resource, context, Some(&self.schema))
            .map_err(FactsError::new)?;
        let response = self.authorizer.is_authorized(&request, &self.policies, &entities);

        let errors: Vec<_> = response.diagnostics().errors().map(AuthorizationError::to_string).collect();
        if !errors.is_empty() {
            return Ok(Decision::Deny(Refusal::EvaluationError(errors)));
        }
        let mut deciding: Vec<_> = response.diagnostics().reason().map(|id| self.deciding(id)).collect();
        deciding.sort();
        Ok(match response.decision() {
            CedarDecision::Allow => Decision::Allow(deciding),
            CedarDecision::Deny if deciding.is_empty() => Decision::Deny(Refusal::NoPermit),
            CedarDecision::Deny => Decision::Deny(Refusal::Forbidden(deciding)),
        })
    }

    fn deciding(&self, id: &PolicyId) -> DecidingPolicy {
        let reason = self.reasons.get(id).cloned().unwrap_or_default();
        DecidingPolicy { id: id.to_string(), reason }
    }
}

/// The decision. One that could not be made is a denial, and an alarm.
fn told(asked: Result<Decision, FactsError>) -> Decision {
    let decision =
        asked.unwrap_or_else(|error| Decision::Deny(Refusal::EvaluationError(vec![error.to_string()])));
    if let Decision::Deny(Refusal::EvaluationError(errors)) = &decision {
        tracing::error!(event = "policy_error", errors = ?errors, "the access policy cannot be evaluated");
    }
    decision
}

/// The policies under their `@id`s, and their `@reason`s.
fn named(
    file: &str,
    text: &str,
    parsed: &PolicySet,
) -> Result<(PolicySet, BTreeMap<PolicyId, String>), Problems> {
    let mut policies = PolicySet::new();
    let mut reasons = BTreeMap::new();
    let mut problems = Vec::new();
    if parsed.templates().next().is_some() {
        let message = "has a template with a slot; write the principal and resource out".to_owned();
        problems.push(Problem { file: file.to_owned(), line: None, message });
    }
    let mut from = 0;
    for policy in in_order(parsed) {
        let source = policy.to_string();
        let source = source.trim();
        let found = text.get(from..).and_then(|rest| rest.find(source)).map(|place| from + place);
        let line = found.map(|offset| line_of(text, offset));
        from = found.map_or(from, |offset| offset + source.len());
        let mut report = |message: String| problems.push(Problem { file: file.to_owned(), line, message });
        let given = |key| policy.annotation(key).filter(|value| !value.trim().is_empty());
        let (Some(id), Some(reason)) = (given("id"), given("reason")) else {
            report("a policy needs @id(\"...\") and @reason(\"...\"), both with a text".to_owned());
            continue;
        };
        let id = PolicyId::new(id);
        if policies.add(policy.new_id(id.clone())).is_err() {
            report(format!("@id(\"{id}\") is used twice; give each policy an id of its own"));
        }
        reasons.insert(id, reason.to_owned());
    }
    Problems::none_or(problems)?;
    Ok((policies, reasons))
}

/// The policies as they stand in their file: Cedar numbers them as it reads.
fn in_order(parsed: &PolicySet) -> Vec<&Policy> {
    let number = |policy: &&Policy| {
        let id: &str = policy.id().as_ref();
        id.trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    };
    let mut policies: Vec<_> = parsed.policies().collect();
    policies.sort_by_key(number);
    policies
}

fn problem<E: Diagnostic>(file: &str, text: &str, error: &E) -> Problem {
    let place = error.labels().and_then(|mut labels| labels.next());
    let line = place.map(|label| line_of(text, label.offset()));
    let mut message = error.to_string();
    if let Some(help) = error.help() {
        message = format!("{message} ({help})");
    }
    Problem { file: file.to_owned(), line, message }
}
