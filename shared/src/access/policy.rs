//! Loading an access policy strictly, and asking it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision as CedarDecision, Effect, Entities, Entity, EntityUid,
    Policy, PolicyId, PolicySet, Request, Schema, ValidationMode, ValidationWarning, Validator,
};
use jiff::Timestamp;
use miette::Diagnostic;

use super::facts::{ExecutionFacts, FactsError, Terms};
use super::limits::{Place, places};
use super::needs::{Needs, Outline, needs};
use super::precompiled::Precompiled;
use super::repeated::{Premises, Repeated};
use super::unmet::Explainer;
use super::{DecidingPolicy, Decision, ExecutionAction, Explanation, Principal, Refusal, ServiceAction};
use crate::digest;
use crate::source_text::{LegibleText, Problem, Problems, line_of, wrong_in_name};

/// How long an `@id` may be, in characters. It is a dimension of a metric, too.
const LONGEST_ID: usize = 128;

/// How long a `@reason` may be, in characters. A refusal's message has those of all that forbid.
const LONGEST_REASON: usize = 1000;

const SHIPPED_FILE: &str = "policies/access.cedar";
pub(super) const SHIPPED_POLICIES: &str = include_str!("../../../policies/access.cedar");
pub(super) const SHIPPED_SCHEMA: &str = include_str!("../../../policies/access.cedarschema");

/// A validated set of policies, ready to be asked.
#[derive(Debug)]
pub struct AccessPolicy {
    policies: PolicySet,
    named: BTreeMap<PolicyId, Named>,
    /// The attributes that its policies name, of whatever.
    attributes: BTreeSet<String>,
    /// Whether they name an execution by its identity.
    name_executions: bool,
    authorizer: Authorizer,
    repeated: Repeated,
    /// What explains refusals, made at the first of them.
    explainer: OnceLock<Explainer>,
    source: String,
    digest: String,
}

impl AccessPolicy {
    /// The policies compiled in. They are read from their JSON form where that is of these texts.
    ///
    /// # Errors
    /// As [`AccessPolicy::parse`]; a test holds that the shipped files have no problem.
    pub fn shipped() -> Result<Self, Problems> {
        let digest = digest::of([SHIPPED_SCHEMA, SHIPPED_POLICIES]);
        match Precompiled::shipped(&digest) {
            Some(Precompiled { policies, named }) => Ok(Self::new(SHIPPED_FILE, digest, policies, named)),
            None => Self::parse(SHIPPED_FILE, SHIPPED_POLICIES),
        }
    }

    /// Parses and validates policies strictly against the shipped schema: a warning counts as
    /// an error, and each policy must have an `@id` of its own and a `@reason`. Every text of policies comes in here.
    ///
    /// # Errors
    /// Every problem found, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let (schema, _) = Schema::from_cedarschema_str(SHIPPED_SCHEMA)
            .map_err(|error| problem("policies/access.cedarschema", SHIPPED_SCHEMA, &error))?;
        let text = LegibleText::of(file, text)?.as_str();
        let places = places(file, text)?;
        let parsed: PolicySet = text.parse().map_err(|error| problem(file, text, &error))?;
        let (policies, named, places) = named(file, text, &parsed, &places)?;

        let found = Validator::new(schema).validate(&policies, ValidationMode::Strict);
        // What Cedar says of a scope has no place.
        let at = |id: &PolicyId, problem: Problem| {
            let place = places.get(id).map(|place| place.unusual_ids.first().unwrap_or(&place.start));
            Problem { line: problem.line.or(place.map(|place| line_of(text, *place))), ..problem }
        };
        let errors = found.validation_errors().map(|error| at(error.policy_id(), problem(file, text, error)));
        let warnings = found.validation_warnings().filter(|warning| !is_of_legal_text(warning));
        let warnings = warnings.map(|warning| at(warning.policy_id(), problem(file, text, warning)));
        Problems::none_or(errors.chain(warnings).collect())?;

        Ok(Self::new(file, digest::of([SHIPPED_SCHEMA, text]), policies, named))
    }

    fn new(source: &str, digest: String, policies: PolicySet, named: BTreeMap<PolicyId, Named>) -> Self {
        let attributes = named.values().flat_map(|named| named.outline.attributes.iter().cloned()).collect();
        Self {
            attributes,
            name_executions: named.values().any(|named| named.outline.names_executions),
            policies,
            named,
            authorizer: Authorizer::new(),
            repeated: Repeated::default(),
            explainer: OnceLock::new(),
            source: source.to_owned(),
            digest,
        }
    }

    /// Where it is from, and which edition of it this is.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What tells one policy set from another, in every answer and audit record.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The ids of its policies.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(AsRef::as_ref)
    }

    /// The facts that have to be read before `principal` may be told whether it may do `action`.
    pub fn needs(&self, principal: &Principal, action: ExecutionAction) -> Needs {
        needs(self.named.values().map(|named| &named.outline), principal, action)
    }

    /// A decision of this set's, in parts; on an execution with the facts that it was made on.
    /// What permits lack is asked for by itself, because only a caller is told.
    pub fn explain(&self, decision: &Decision, on: Option<(&ExecutionFacts<'_>, &Terms)>) -> Explanation {
        let deciding = decision.policies().iter();
        let named = deciding.filter_map(|policy| self.named.get(&PolicyId::new(&policy.id)));
        let names = named.flat_map(|named| &named.outline.attributes).map(String::as_str).collect();
        Explanation {
            outcome: decision.code(),
            policies: decision.policies().to_vec(),
            policy_source: self.source.clone(),
            policy_digest: self.digest.clone(),
            facts: on.map(|(facts, terms)| facts.told(terms, &names)).unwrap_or_default(),
            unmet: Vec::new(),
        }
    }

    /// Whether `principal` may do `action` to an execution.
    pub fn decide(
        &self,
        principal: &Principal,
        action: ExecutionAction,
        facts: &ExecutionFacts<'_>,
        terms: &Terms,
    ) -> Decision {
        let decide = || self.decide_anew(principal, action, facts, terms);
        match principal {
            Principal::Sweeper(sweeper) if !self.name_executions => {
                let (sweeper, tags) = (*sweeper, Cow::Borrowed(&facts.job.tags));
                let facts = facts.named(terms.now, &self.attributes);
                self.repeated.or_decide(Premises { sweeper, action, facts, tags, terms: *terms }, decide)
            }
            Principal::Sweeper(_) | Principal::User(_) => decide(),
        }
    }

    /// Whether it may, without a look at the question before.
    pub(super) fn decide_anew(
        &self,
        principal: &Principal,
        action: ExecutionAction,
        facts: &ExecutionFacts<'_>,
        terms: &Terms,
    ) -> Decision {
        told(self.question(principal, action, facts, terms).map(|question| self.ask(&question)))
    }

    /// Whether `principal` may ask `action` of the service.
    pub fn decide_service(&self, principal: &Principal, action: ServiceAction, now: Timestamp) -> Decision {
        told(self.service_question(principal, action, now).map(|question| self.ask(&question)))
    }

    /// The question whether `principal` may do `action` to an execution.
    pub(super) fn question(
        &self,
        principal: &Principal,
        action: ExecutionAction,
        facts: &ExecutionFacts<'_>,
        terms: &Terms,
    ) -> Result<Question, FactsError> {
        let resource = facts.entity(terms.now, &self.attributes)?;
        let context = terms.context(principal)?;
        self.put(principal, action.uid()?, facts.uid()?, Some(resource), context)
    }

    /// The question whether `principal` may ask `action` of the service.
    pub(super) fn service_question(
        &self,
        principal: &Principal,
        action: ServiceAction,
        now: Timestamp,
    ) -> Result<Question, FactsError> {
        self.put(principal, action.uid()?, action.resource()?, None, action.context(now)?)
    }

    fn put(
        &self,
        principal: &Principal,
        action: EntityUid,
        resource: EntityUid,
        resource_entity: Option<Entity>,
        context: Context,
    ) -> Result<Question, FactsError> {
        let entities = principal.entities()?.into_iter().chain(resource_entity);
        // Not by the schema: what no policy asks for has not been read, and is left out. Whatever asks for it all the
        // same fails, and is a refusal. That requests fit the schema is held by a test.
        let entities = Entities::from_entities(entities, None).map_err(FactsError::new)?;
        let request =
            Request::new(principal.uid()?, action, resource, context, None).map_err(FactsError::new)?;
        Ok(Question { request, entities })
    }

    fn ask(&self, Question { request, entities }: &Question) -> Decision {
        let response = self.authorizer.is_authorized(request, &self.policies, entities);

        let errors: Vec<_> = response.diagnostics().errors().map(AuthorizationError::to_string).collect();
        if !errors.is_empty() {
            return Decision::Deny(Refusal::EvaluationError(errors));
        }
        let mut deciding: Vec<_> = response.diagnostics().reason().map(|id| self.deciding(id)).collect();
        deciding.sort();
        match response.decision() {
            CedarDecision::Allow => Decision::Allow(deciding),
            CedarDecision::Deny if deciding.is_empty() => Decision::Deny(Refusal::NoPermit),
            CedarDecision::Deny => Decision::Deny(Refusal::Forbidden(deciding)),
        }
    }

    #[cfg(test)]
    pub(super) const fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// What explains its refusals.
    pub(super) fn explainer(&self) -> &Explainer {
        self.explainer.get_or_init(|| Explainer::of(self))
    }

    /// Its permits, in the order of their ids.
    pub(super) fn permits(&self) -> impl Iterator<Item = &Policy> {
        let policies = self.named.keys().filter_map(|id| self.policies.policy(id));
        policies.filter(|policy| policy.effect() == Effect::Permit)
    }

    pub(super) fn deciding(&self, id: &PolicyId) -> DecidingPolicy {
        let reason = self.named.get(id).map(|named| named.reason.clone()).unwrap_or_default();
        DecidingPolicy { id: id.to_string(), reason }
    }
}

/// A request with the entities that it speaks of.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) entities: Entities,
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

/// What is kept of a policy besides Cedar's own.
#[derive(Debug)]
pub(super) struct Named {
    reason: String,
    outline: Outline,
}

impl Named {
    pub(super) fn of(policy: &Policy) -> Result<Self, String> {
        let json = policy.to_json();
        let json = json.map_err(|error| format!("cannot be put into Cedar's JSON form: {error}"))?;
        let reason = policy.annotation("reason").unwrap_or_default().to_owned();
        Ok(Self { reason, outline: Outline::of(policy, &json) })
    }
}

/// The policies under their `@id`s, what is kept of each, and where each stands.
type NamedPolicies<'p> = (PolicySet, BTreeMap<PolicyId, Named>, BTreeMap<PolicyId, &'p Place>);

fn named<'p>(
    file: &str,
    text: &str,
    parsed: &PolicySet,
    places: &'p [Place],
) -> Result<NamedPolicies<'p>, Problems> {
    let mut policies = PolicySet::new();
    let (mut kept, mut kept_places) = (BTreeMap::new(), BTreeMap::new());
    let mut problems = Vec::new();
    if parsed.templates().next().is_some() {
        let message = "has a template with a slot; write the principal and resource out".to_owned();
        problems.push(Problem { file: file.to_owned(), line: None, message });
    }
    if parsed.is_empty() {
        let message = "has no policy, so nothing would ever be allowed".to_owned();
        problems.push(Problem { file: file.to_owned(), line: None, message });
    }
    for (policy, place) in in_order(parsed).into_iter().zip(places) {
        let line = Some(line_of(text, place.start));
        let mut report = |message: String| problems.push(Problem { file: file.to_owned(), line, message });
        let given = |key| policy.annotation(key).filter(|value| !value.trim().is_empty());
        let (Some(id), Some(reason)) = (given("id"), given("reason")) else {
            report("a policy needs @id(\"...\") and @reason(\"...\"), both with a text".to_owned());
            continue;
        };
        for (of, told, most) in [
            ("@id".to_owned(), id, LONGEST_ID),
            (format!("@reason of policy `{id}`"), reason, LONGEST_REASON),
        ] {
            wrong_in_name(told, most).into_iter().for_each(|wrong| report(format!("{of} {wrong}")));
        }
        let id = PolicyId::new(id);
        kept_places.insert(id.clone(), place);
        if policies.add(policy.new_id(id.clone())).is_err() {
            report(format!("@id(\"{id}\") is used twice; give each policy an id of its own"));
        }
        match Named::of(policy) {
            Ok(named) => drop(kept.insert(id, named)),
            Err(error) => report(error),
        }
    }
    Problems::none_or(problems)?;
    Ok((policies, kept, kept_places))
}

/// Whether a warning is about a text of a condition whose letters are of several scripts. Tags are written by people
/// in their own, beside Latin letters; ids of entities are held to one script, and are warned of by other names.
fn is_of_legal_text(warning: &ValidationWarning) -> bool {
    matches!(warning, ValidationWarning::MixedScriptString(_))
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
