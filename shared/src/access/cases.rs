//! Tests of policies, as data: who wants to do what with which execution, and what has to come of
//! it. A list in place of a value stands for a case of each of its values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use toml::Spanned;

use super::{
    AccessPolicy, AskedFacts, Decision, ExecutionAction, ExecutionFacts, Principal, SweepAction, Terms,
    UnmetPermit, User,
};
use crate::execution::{Execution, ExecutionRow, Job, JobFacts, Status};
use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};
use crate::operation::Operation;
use crate::ports::Force;
use crate::retention::fixed_length;
use crate::source_text::{Problem, Problems, line_of};

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
    let at = |offset: usize, message: String| Problem {
        file: file.to_owned(),
        line: Some(line_of(text, offset)),
        message,
    };
    let parsed: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Problems::from(at(offset, error.message().to_owned()))
    })?;
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
    now: Option<OneOrMany<String>>,
    #[serde(default)]
    execution: ExecutionOf,
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
        match self {
            Self::One(value) => vec![value.clone()],
            Self::Many(values) => values.clone(),
        }
    }
}

fn no() -> OneOrMany<bool> {
    OneOrMany::One(false)
}

fn every_operation() -> OneOrMany<Operation> {
    OneOrMany::Many(Operation::ALL.to_vec())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Action {
    CancelJobExecution,
    DeleteJobExecution,
    StartSweep,
    ReadSweep,
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

/// An execution and its job; whatever is left out is ordinary.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ExecutionOf {
    job_id: Option<String>,
    thing_name: Option<String>,
    execution_number: Option<i64>,
    queued_age: Option<String>,
    started_age: Option<String>,
    last_updated_age: Option<String>,
    job_tags: BTreeMap<String, String>,
    job_namespace_id: Option<String>,
    job_retries: bool,
    job_continuous: bool,
    version_number: Option<i64>,
    status_details: BTreeMap<String, String>,
    approximate_seconds_before_timed_out: Option<i64>,
    retry_attempt: i64,
    thing_groups: BTreeSet<String>,
    thing_attributes: BTreeMap<String, String>,
}

/// One case, without lists.
#[derive(Debug, Clone)]
struct Situation {
    principal: Principal,
    wish: Wish,
    terms: Terms,
}

#[derive(Debug, Clone)]
enum Wish {
    Execution(ExecutionAction, Box<(Execution, JobFacts, AskedFacts)>),
    Sweep(SweepAction, Operation),
}

impl Case {
    /// Every combination of the lists' values.
    fn situations(&self) -> Result<Vec<Situation>, String> {
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
            let now = now.parse().map_err(|error| format!("now: `{now}` is no time: {error}"))?;
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

    fn wishes(&self, action: Action, terms: &Terms) -> Result<Vec<Wish>, String> {
        let on_executions = |action| {
            let statuses = self.status.as_ref().ok_or("needs a status")?.values();
            let wish =
                |status| Ok(Wish::Execution(action, Box::new(self.execution.facts(status, terms.now)?)));
            statuses.into_iter().map(wish).collect()
        };
        let sweeps = self.sweep.values().into_iter();
        match action {
            Action::CancelJobExecution => on_executions(ExecutionAction::Cancel),
            Action::DeleteJobExecution => on_executions(ExecutionAction::Delete),
            Action::StartSweep => {
                let start = |releases_plan| SweepAction::Start { dry_run: terms.dry_run, releases_plan };
                let starts: Vec<_> = self.releases_plan.values().into_iter().map(start).collect();
                let of = |sweep| starts.iter().map(move |start| Wish::Sweep(*start, sweep));
                Ok(sweeps.flat_map(of).collect())
            }
            Action::ReadSweep => Ok(sweeps.map(|sweep| Wish::Sweep(SweepAction::Read, sweep)).collect()),
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

/// The account of cases that name none.
const ACCOUNT: &str = "123456789012";

fn member(group: String) -> Principal {
    let id = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{group}/somebody");
    let groups = if group.is_empty() { Vec::new() } else { vec![group] };
    Principal::User(User { id, account: ACCOUNT.to_owned(), groups, claims: BTreeMap::new() })
}

impl ExecutionOf {
    fn facts(&self, status: Status, now: Timestamp) -> Result<(Execution, JobFacts, AskedFacts), String> {
        let name = |given: &Option<String>, ordinary: &str| given.clone().unwrap_or(ordinary.to_owned());
        let job_id = JobId::parse(&name(&self.job_id, "a-job")).map_err(|error| error.to_string())?;
        let thing_name =
            ThingName::parse(&name(&self.thing_name, "a-thing")).map_err(|error| error.to_string())?;
        let namespace_id = self.job_namespace_id.as_deref().map(NamespaceId::parse).transpose();
        let ago = |given: &Option<String>, ordinary| match given {
            Some(text) => age(text).map(|age| now - age),
            None => Ok(now - SignedDuration::from_hours(ordinary)),
        };
        let waits = status == Status::Queued;
        let row = ExecutionRow {
            thing_name,
            execution_number: ExecutionNumber::new(self.execution_number.unwrap_or(1)),
            status,
            queued_at: ago(&self.queued_age, 3)?,
            started_at: if waits { None } else { Some(ago(&self.started_age, 2)?) },
            last_updated_at: ago(&self.last_updated_age, 1)?,
            retry_attempt: Some(self.retry_attempt),
        };
        let execution = Execution {
            job_id: job_id.clone(),
            row,
            version_number: Version::new(self.version_number.unwrap_or(1)),
            force_canceled: false,
            status_details: self.status_details.clone(),
            approximate_seconds_before_timed_out: self.approximate_seconds_before_timed_out,
        };
        let job = Job {
            arn: format!("arn:aws:iot:eu-west-1:{ACCOUNT}:job/{job_id}"),
            job_id,
            namespace_id: namespace_id.map_err(|error| error.to_string())?,
            retries: self.job_retries,
            continuous: self.job_continuous,
        };
        let asked = AskedFacts {
            description: Some(execution.clone()),
            retry_attempt: Some(self.retry_attempt),
            thing_groups: Some(self.thing_groups.clone()),
            thing_attributes: Some(self.thing_attributes.clone()),
        };
        Ok((execution, JobFacts { job, tags: self.job_tags.clone() }, asked))
    }
}

fn age(text: &str) -> Result<SignedDuration, String> {
    fixed_length(text).map_err(|_| format!("`{text}` must be an age, such as \"90d\" or \"1h 59m 59s\""))
}

fn whole((execution, job, asked): &(Execution, JobFacts, AskedFacts)) -> ExecutionFacts<'_> {
    ExecutionFacts { job_id: &execution.job_id, row: &execution.row, job, asked }
}

impl Situation {
    fn decide(&self, policy: &AccessPolicy) -> Decision {
        match &self.wish {
            Wish::Execution(action, facts) => {
                policy.decide(&self.principal, *action, &whole(facts), &self.terms)
            }
            Wish::Sweep(action, sweep) => {
                policy.decide_sweep(&self.principal, *action, *sweep, self.terms.now)
            }
        }
    }

    /// What the permits that are meant for this lack, where none permits it.
    fn unmet(&self, policy: &AccessPolicy, decision: &Decision) -> Vec<UnmetPermit> {
        match &self.wish {
            Wish::Execution(action, facts) => {
                policy.unmet(decision, &self.principal, *action, &whole(facts), &self.terms)
            }
            Wish::Sweep(action, sweep) => {
                policy.unmet_sweep(decision, &self.principal, *action, *sweep, self.terms.now)
            }
        }
    }
}

impl fmt::Display for Situation {
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
                    facts.0.row.status
                )?;
            }
            Wish::Sweep(action, sweep) => write!(f, "{} {sweep}", action.as_str())?,
        }
        write!(f, ", dryRun {dry_run}, now {now}")
    }
}
