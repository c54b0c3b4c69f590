//! Tests of policies, as data: who wants to do what with which execution, and what has to come of
//! it. A list in place of a value stands for a case of each of its values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::hypothetical::{ACCOUNT, HypotheticalExecution};
use super::{
    AccessPolicy, Decision, ExecutionAction, Principal, ServiceAction, Terms, UnmetPermit, User, WholeFacts,
};
use crate::execution::Status;
use crate::operation::Operation;
use crate::ports::Force;
use crate::source_text::{LegibleText, Problem, Problems, line_of, not_toml};
use crate::time;

/// How many cases the lists of one case may stand for.
const MOST_SITUATIONS: usize = 100_000;

/// What came of the cases of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CasesRun {
    /// How many cases there were, each value of each list counted.
    pub cases: usize,
    /// The cases that came out otherwise, each with its line.
    pub failures: Vec<Problem>,
    /// The ids of the policies that decided at least one case.
    pub deciding: BTreeSet<String>,
}

/// Runs the cases of a file against a set of policies.
///
/// # Errors
/// When the file cannot be read as cases.
pub fn run(policy: &AccessPolicy, file: &str, text: &str) -> Result<CasesRun, Problems> {
    let text = LegibleText::of(file, text)?.as_str();
    let at = |offset: usize, message: String| Problem {
        file: file.to_owned(),
        line: Some(line_of(text, offset)),
        message,
    };
    let parsed: File = toml::from_str(text).map_err(|error| not_toml(file, text, &error))?;
    let mut run = CasesRun { cases: 0, failures: Vec::new(), deciding: BTreeSet::new() };
    let mut problems = Vec::new();
    for case in &parsed.case {
        let place = case.name.span().start;
        let situations = match case.situations() {
            Ok(situations) => situations,
            Err(message) => {
                problems.push(at(place, format!("case `{}`: {message}", case.name.get_ref())));
                continue;
            }
        };
        for situation in situations {
            run.cases += 1;
            let decision = situation.decide(policy);
            run.deciding.extend(decision.policies().iter().map(|policy| policy.id.clone()));
            if let Some(complaint) = case.complaint(&decision) {
                let unmet = UnmetPermit::in_words(&situation.unmet(policy, &decision));
                let message = format!("case `{}` ({situation}): {complaint}{unmet}", case.name.get_ref());
                run.failures.push(at(place, message));
            }
        }
    }
    Problems::none_or(problems)?;
    Ok(run)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// One table `[[case]]`. The names of facts are those of the schema.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: Spanned<String>,
    /// Somebody who is in this group and no other; an empty text is somebody in none.
    group: Option<OneOrMany<String>>,
    user: Option<UserOf>,
    sweeper: Option<OneOrMany<Operation>>,
    action: OneOrMany<Action>,
    /// For starting and reading sweeps: what the sweep does.
    #[serde(default = "every_operation")]
    sweep: OneOrMany<Operation>,
    /// For reading decisions: what the decision is on.
    #[serde(default = "every_execution_action")]
    on: OneOrMany<ExecutionAction>,
    #[serde(default = "no")]
    hypothetical: OneOrMany<bool>,
    #[serde(default)]
    status: Option<OneOrMany<Status>>,
    #[serde(default = "no")]
    force: OneOrMany<bool>,
    #[serde(default = "no")]
    has_expected_version: OneOrMany<bool>,
    #[serde(default = "no")]
    dry_run: OneOrMany<bool>,
    #[serde(default = "no")]
    archived: OneOrMany<bool>,
    #[serde(default = "no")]
    past_retention: OneOrMany<bool>,
    #[serde(default = "no")]
    releases_plan: OneOrMany<bool>,
    /// For starting sweeps: the lane; left out, the stack's own account and Region.
    #[serde(default = "home")]
    lane: OneOrMany<String>,
    now: Option<OneOrMany<String>>,
    #[serde(default)]
    execution: HypotheticalExecution,
    decision: Expected,
    /// The ids of the policies that have to decide, all of them; left out, any may.
    policies: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: Clone> OneOrMany<T> {
    fn values(&self) -> Vec<T> {
        self.as_slice().to_vec()
    }

    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

fn home() -> OneOrMany<String> {
    OneOrMany::One(String::new())
}

fn no() -> OneOrMany<bool> {
    OneOrMany::One(false)
}

fn every_operation() -> OneOrMany<Operation> {
    OneOrMany::Many(Operation::ALL.to_vec())
}

fn every_execution_action() -> OneOrMany<ExecutionAction> {
    OneOrMany::Many(vec![ExecutionAction::Cancel, ExecutionAction::Delete])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Action {
    CancelJobExecution,
    DeleteJobExecution,
    StartSweep,
    ReadSweep,
    ReadDecision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Expected {
    Allow,
    Forbidden,
    NoPermit,
    PolicyError,
}

impl Expected {
    const fn code(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Forbidden => "forbidden",
            Self::NoPermit => "noPermit",
            Self::PolicyError => "policyError",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserOf {
    id: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

/// One case, without lists.
#[derive(Debug, Clone)]
struct Situation<'a> {
    principal: Principal,
    wish: Wish<'a>,
    terms: Terms,
}

#[derive(Debug, Clone)]
enum Wish<'a> {
    Execution(ExecutionAction, Box<WholeFacts>),
    Service(ServiceAction<'a>),
}

impl Case {
    /// Every combination of the lists' values.
    fn situations(&self) -> Result<Vec<Situation<'_>>, String> {
        if self.combinations() > MOST_SITUATIONS {
            return Err(format!(
                "its lists stand for more than {MOST_SITUATIONS} cases; write several cases"
            ));
        }
        let terms = self.terms()?;
        let mut situations = Vec::new();
        for principal in self.principals()? {
            for action in self.action.values() {
                for terms in &terms {
                    for wish in self.wishes(action, terms)? {
                        situations.push(Situation { principal: principal.clone(), wish, terms: *terms });
                    }
                }
            }
        }
        if situations.is_empty() { Err("has an empty list".to_owned()) } else { Ok(situations) }
    }

    /// How many cases its lists stand for at most.
    fn combinations(&self) -> usize {
        let many = |list: Option<usize>| list.unwrap_or(1).max(1);
        let lists = [
            many(self.group.as_ref().map(|list| list.as_slice().len())),
            many(self.sweeper.as_ref().map(|list| list.as_slice().len())),
            many(self.status.as_ref().map(|list| list.as_slice().len())),
            many(self.now.as_ref().map(|list| list.as_slice().len())),
            self.action.as_slice().len(),
            self.sweep.as_slice().len(),
            self.on.as_slice().len(),
            self.hypothetical.as_slice().len(),
            self.force.as_slice().len(),
            self.has_expected_version.as_slice().len(),
            self.dry_run.as_slice().len(),
            self.archived.as_slice().len(),
            self.past_retention.as_slice().len(),
            self.releases_plan.as_slice().len(),
            self.lane.as_slice().len(),
        ];
        lists.into_iter().fold(1, |product, list| product.saturating_mul(list))
    }

    fn principals(&self) -> Result<Vec<Principal>, String> {
        match (&self.group, &self.user, &self.sweeper) {
            (Some(groups), None, None) => Ok(groups.values().into_iter().map(member).collect()),
            (None, Some(user), None) => {
                let UserOf { id, account, groups, claims } = user.clone();
                Ok(vec![Principal::User(User { id, account, groups, claims })])
            }
            (None, None, Some(sweepers)) => {
                Ok(sweepers.values().into_iter().map(Principal::Sweeper).collect())
            }
            _ => Err("needs one of group, user and sweeper".to_owned()),
        }
    }

    fn terms(&self) -> Result<Vec<Terms>, String> {
        let nows = self.now.as_ref().map_or_else(|| vec![NOW.to_owned()], OneOrMany::values);
        let at = |now: String| {
            let now = time::timestamp(&now).map_err(|problem| format!("now: {problem}"))?;
            let force = Force::Never;
            Ok(Terms { force, pinned: false, dry_run: false, archived: false, past_retention: false, now })
        };
        let terms = nows.into_iter().map(at).collect::<Result<_, String>>()?;
        let terms = spread(terms, &self.force, |terms, force| {
            terms.force = if force { Force::EvenInProgress } else { Force::Never };
        });
        let terms = spread(terms, &self.has_expected_version, |terms, pinned| terms.pinned = pinned);
        let terms = spread(terms, &self.dry_run, |terms, dry_run| terms.dry_run = dry_run);
        let terms = spread(terms, &self.archived, |terms, archived| terms.archived = archived);
        Ok(spread(terms, &self.past_retention, |terms, past| terms.past_retention = past))
    }

    fn wishes(&self, action: Action, terms: &Terms) -> Result<Vec<Wish<'_>>, String> {
        let on_executions = |action| {
            let statuses = self.status.as_ref().ok_or("needs a status")?.values();
            let wish =
                |status| Ok(Wish::Execution(action, Box::new(self.execution.facts(status, terms.now)?)));
            statuses.into_iter().map(wish).collect()
        };
        let sweeps = self.sweep.values().into_iter();
        let services = |actions: Vec<_>| Ok(actions.into_iter().map(Wish::Service).collect());
        match action {
            Action::CancelJobExecution => on_executions(ExecutionAction::Cancel),
            Action::DeleteJobExecution => on_executions(ExecutionAction::Delete),
            Action::StartSweep => {
                let dry_run = terms.dry_run;
                let mut starts = Vec::new();
                for operation in sweeps {
                    for &releases_plan in self.releases_plan.as_slice() {
                        starts.extend(self.lane.as_slice().iter().map(|lane| ServiceAction::StartSweep {
                            operation,
                            lane,
                            dry_run,
                            releases_plan,
                        }));
                    }
                }
                services(starts)
            }
            Action::ReadSweep => {
                services(sweeps.map(|operation| ServiceAction::ReadSweep { operation }).collect())
            }
            Action::ReadDecision => {
                let made_up = self.hypothetical.values();
                let of = |on| {
                    let read = move |hypothetical| ServiceAction::ReadDecision { on, hypothetical };
                    made_up.iter().copied().map(read)
                };
                services(self.on.values().into_iter().flat_map(of).collect())
            }
        }
    }

    /// What is wrong with a decision, if something is.
    fn complaint(&self, decision: &Decision) -> Option<String> {
        let told: BTreeSet<_> = decision.policies().iter().map(|policy| policy.id.clone()).collect();
        let right = decision.code() == self.decision.code()
            && self.policies.as_ref().is_none_or(|policies| *policies == told);
        let by = |policies: &BTreeSet<String>| {
            let policies: Vec<_> = policies.iter().map(|id| format!("`{id}`")).collect();
            if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) }
        };
        let wanted = self.policies.as_ref().map(by).unwrap_or_default();
        (!right).then(|| {
            format!("expected {}{wanted}, but it is {}{}", self.decision.code(), decision.code(), by(&told))
        })
    }
}

/// Each of these with each of the values.
fn spread(terms: Vec<Terms>, values: &OneOrMany<bool>, set: impl Fn(&mut Terms, bool)) -> Vec<Terms> {
    let mut all = Vec::new();
    for terms in terms {
        for value in values.values() {
            let mut terms = terms;
            set(&mut terms, value);
            all.push(terms);
        }
    }
    all
}

/// The time of cases that name none.
const NOW: &str = "2026-11-21T12:00:00Z";

fn member(group: String) -> Principal {
    let id = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{group}/somebody");
    let groups = if group.is_empty() { Vec::new() } else { vec![group] };
    Principal::User(User { id, account: ACCOUNT.to_owned(), groups, claims: BTreeMap::new() })
}

impl Situation<'_> {
    fn decide(&self, policy: &AccessPolicy) -> Decision {
        match &self.wish {
            Wish::Execution(action, facts) => {
                policy.decide(&self.principal, *action, &facts.facts(), &self.terms)
            }
            Wish::Service(action) => policy.decide_service(&self.principal, *action, self.terms.now),
        }
    }

    /// What the permits that are meant for this lack, where none permits it.
    fn unmet(&self, policy: &AccessPolicy, decision: &Decision) -> Vec<UnmetPermit> {
        match &self.wish {
            Wish::Execution(action, facts) => {
                policy.unmet(decision, &self.principal, *action, &facts.facts(), &self.terms)
            }
            Wish::Service(action) => policy.unmet_service(decision, &self.principal, *action, self.terms.now),
        }
    }
}

impl fmt::Display for Situation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms { force, pinned, dry_run, archived, past_retention, now } = self.terms;
        write!(f, "{} ", self.principal)?;
        match &self.wish {
            Wish::Execution(action, facts) => {
                let force = force == Force::EvenInProgress;
                write!(
                    f,
                    "{} of {}, force {force}, hasExpectedVersion {pinned}, archived {archived}, \
                     pastRetention {past_retention}",
                    action.as_str(),
                    facts.execution.row.status
                )?;
            }
            Wish::Service(action) => {
                write!(f, "{} {}", action.as_str(), action.about())?;
                if let Some(lane) = action.lane() {
                    write!(f, " in {lane}")?;
                }
            }
        }
        write!(f, ", dryRun {dry_run}, now {now}")
    }
}
