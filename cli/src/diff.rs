//! `jobwarden policy diff`: which decisions would come out otherwise by other policies, told from what has been
//! decided before (records of the archive) or from a fleet that is described.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::access::{
    AccessPolicy, AskedFacts, Decision, ExecutionAction, HypotheticalExecution, Needs, Principal, Refusal,
    Terms, User, WholeFacts,
};
use shared::api::{CallerIdentity, Identified, principal};
use shared::archive::{Content, Record};
use shared::execution::{Execution, Status};
use shared::ids::Version;
use shared::json::{Object, object};
use shared::legible::grouped;
use shared::operation::Operation;
use shared::ports::Force;
use shared::retention::{Retention, Verdict};
use shared::sweep::Prognosis;
use shared::time::timestamp;

use crate::connection::Connection;
use crate::failure::{Exit, Failure};
use crate::policy::{self, Policies};
use crate::records::{self, Part, Source, numbered_lines};
use crate::screen::{Paint, Screen, cell, count};

/// What to compare, and by what.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The folder with the policies that may come.
    folder: PathBuf,
    /// The folder with those that are. The shipped ones if it is left out.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// A fleet that is described: a JSON object on each line, {"status": "FAILED", "execution": {"lastUpdatedAge":
    /// "91d"}, "count": 400}, and with "action" and "group" what somebody may do.
    #[arg(long, value_name = "FILE", conflicts_with = "records")]
    fleet: Option<PathBuf>,
    /// Records that were copied of the archive: a file or a folder. Without it and --fleet, the bucket's.
    #[arg(long, value_name = "PATH")]
    records: Option<PathBuf>,
    /// The first day of the records, in UTC.
    #[arg(long, value_name = "DAY", conflicts_with = "fleet")]
    from: Option<Date>,
    /// The last day.
    #[arg(long, value_name = "DAY", conflicts_with = "fleet")]
    to: Option<Date>,
    /// The time at which to decide. For records that of their own decision if it is left out; the present for a fleet.
    #[arg(long, value_parser = timestamp, value_name = "TIME")]
    now: Option<Timestamp>,
}

/// A line of a fleet that is described.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Described {
    status: Status,
    execution: Option<Object<HypotheticalExecution>>,
    /// So many of them; one if it is left out.
    count: Option<u64>,
    /// What somebody would do with it; left out, what both sweeps would.
    action: Option<ExecutionAction>,
    /// The group that somebody is in.
    group: Option<String>,
    force: Option<bool>,
}

/// Who would do what.
#[derive(Debug, Clone)]
enum Wish {
    Sweep(Operation),
    Request { by: Principal, action: ExecutionAction, force: Force },
}

impl Wish {
    fn words(&self) -> String {
        match self {
            Self::Sweep(operation) => operation.to_string(),
            Self::Request { action, force: Force::Never, .. } => action.as_str().to_owned(),
            Self::Request { action, force: Force::EvenInProgress, .. } => {
                format!("{} by force", action.as_str())
            }
        }
    }
}

/// What would come of it, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum Effect {
    Done,
    /// Done if enough newer successes are there; a record does not tell.
    DoneUnlessAmongLast,
    Kept,
    Refused,
    /// The policies ask for a fact that the record does not have.
    CannotBeTold,
}

/// What would come of it, and why in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    effect: Effect,
    why: String,
}

/// Executions of which the same is said before and after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    wish: String,
    status: &'static str,
    before: Said,
    after: Said,
}

#[derive(Debug, Default)]
struct Compared {
    decisions: u64,
    same: u64,
    /// The effect is the same, and its reason is another.
    otherwise: u64,
    cannot_be_told: u64,
    /// Each with how many there are and the first of them.
    changes: BTreeMap<Kind, (u64, String)>,
}

impl Compared {
    fn add(&mut self, kind: Kind, times: u64, example: String) {
        self.decisions += times;
        if kind.before.effect == Effect::CannotBeTold || kind.after.effect == Effect::CannotBeTold {
            self.cannot_be_told += times;
        } else if kind.before.effect != kind.after.effect {
            self.changes.entry(kind).or_insert((0, example)).0 += times;
        } else if kind.before.why == kind.after.why {
            self.same += times;
        } else {
            self.otherwise += times;
        }
    }

    fn changed(&self) -> u64 {
        self.changes.values().map(|(times, _)| times).sum()
    }
}

/// Compares, and tells the changes; the answer is no where there are some.
pub(crate) async fn diff(
    question: &Question,
    connection: &Connection,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let after = policy::read_all(&question.folder)?;
    let before = match &question.against {
        Some(folder) => policy::read_all(folder)?,
        None => shipped()?,
    };
    let mut compared = Compared::default();
    let both = Both { before: &before, after: &after };
    if let Some(fleet) = &question.fleet {
        both.described(fleet, question.now, &mut compared)?;
    } else {
        let part = Part { from: question.from, to: question.to, sweep: None };
        let see = async |source: &Source, records: Vec<Record>| {
            for record in &records {
                both.record(source, record, question.now, &mut compared)?;
            }
            Ok(ControlFlow::Continue(()))
        };
        match &question.records {
            Some(path) => records::in_files(path, &part, see).await?,
            None => records::in_bucket(&connection.bucket().await?, &part, see).await?,
        }
    }
    told(&compared, screen)?;
    Ok(if compared.changes.is_empty() { Exit::Done } else { Exit::No })
}

fn shipped() -> Result<Policies, Failure> {
    let access = AccessPolicy::shipped().map_err(|problems| Failure::no(problems.to_string()))?;
    let rules = Retention::shipped().map_err(|problems| Failure::no(problems.to_string()))?;
    Ok(Policies { access, rules })
}

/// Two sets of policies.
struct Both<'a> {
    before: &'a Policies,
    after: &'a Policies,
}

impl Both<'_> {
    fn described(
        &self,
        fleet: &Path,
        now: Option<Timestamp>,
        compared: &mut Compared,
    ) -> Result<(), Failure> {
        let name = fleet.display();
        let now = now.unwrap_or_else(aws::clock::now);
        let file = File::open(fleet).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        for (nth, line) in numbered_lines(file) {
            let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("{name}:{nth}: {error}"));
            let line = line.map_err(|error| wrong(&error))?;
            if line.trim().is_empty() {
                continue;
            }
            let described: Described = object(line.as_bytes()).map_err(|error| wrong(&error))?;
            let execution = described.execution.unwrap_or_default().0;
            let facts = execution.facts(described.status, now).map_err(|error| wrong(&error))?;
            let force = if described.force == Some(true) { Force::EvenInProgress } else { Force::Never };
            let wishes = match described.action {
                Some(action) => vec![Wish::Request { by: member(described.group.as_deref()), action, force }],
                None if described.group.is_some() || described.force == Some(true) => {
                    return Err(wrong(&"`group` and `force` say nothing without an `action`"));
                }
                None => Operation::ALL.map(Wish::Sweep).to_vec(),
            };
            for wish in wishes {
                let example = format!("line {nth}");
                self.compare(&wish, &facts, now, described.count.unwrap_or(1), example, compared)?;
            }
        }
        Ok(())
    }

    fn record(
        &self,
        source: &Source,
        record: &Record,
        now: Option<Timestamp>,
        compared: &mut Compared,
    ) -> Result<(), Failure> {
        let unknown = |what: &str| Failure::unreadable(&source.name, what);
        let action = match record.action.as_str() {
            "DeleteJobExecution" | "DeleteJob" => ExecutionAction::Delete,
            "CancelJobExecution" => ExecutionAction::Cancel,
            other => return Err(unknown(&format!("an action `{other}`"))),
        };
        let wish = match &record.rule {
            Some(_) => Wish::Sweep(match action {
                ExecutionAction::Delete => Operation::DeleteExpired,
                ExecutionAction::Cancel => Operation::CancelStale,
            }),
            None => {
                let account = record.job.job.place().map(|(_, account)| account.to_owned());
                let user_arn = Some(record.principal.clone());
                let identified = Identified { api_account: account, user_arn, claims: None };
                // Of somebody who came with claims, a record does not keep the groups.
                let Ok(by) = principal(CallerIdentity::Iam, &identified) else {
                    compared.decisions += 1;
                    compared.cannot_be_told += 1;
                    return Ok(());
                };
                let force = if record.force { Force::EvenInProgress } else { Force::Never };
                Wish::Request { by, action, force }
            }
        };
        let facts = facts(record);
        let thing = record.thing_name();
        let example = format!("{} on {thing}", record.job.job.job_id);
        self.compare(&wish, &facts, now.unwrap_or(record.decided_at), 1, example, compared)
    }

    fn compare(
        &self,
        wish: &Wish,
        facts: &WholeFacts,
        now: Timestamp,
        times: u64,
        example: String,
        compared: &mut Compared,
    ) -> Result<(), Failure> {
        let kind = Kind {
            wish: wish.words(),
            status: facts.execution.row.status.as_str(),
            before: said(self.before, wish, facts, now)?,
            after: said(self.after, wish, facts, now)?,
        };
        compared.add(kind, times, example);
        Ok(())
    }
}

/// What a record has of an execution. Groups and attributes of things are in none.
fn facts(record: &Record) -> WholeFacts {
    let job = record.job.clone();
    let (execution, description) = match &record.content {
        Content::Full { execution } => (execution.clone(), Some(execution.clone())),
        Content::Summary { execution } => {
            let execution = Execution {
                job_id: job.job.job_id.clone(),
                row: execution.clone(),
                version_number: Version::new(1),
                force_canceled: false,
                status_details: BTreeMap::new(),
                approximate_seconds_before_timed_out: None,
            };
            (execution, None)
        }
    };
    let retry_attempt = execution.row.retry_attempt;
    let asked = AskedFacts { description, retry_attempt, thing_groups: None, thing_attributes: None };
    WholeFacts { execution, job, asked }
}

/// Somebody who is in a group, or in none.
fn member(group: Option<&str>) -> Principal {
    let account = "123456789012";
    Principal::User(User {
        id: format!("arn:aws:sts::{account}:assumed-role/{}/somebody", group.unwrap_or("nobody")),
        account: account.to_owned(),
        groups: group.filter(|group| !group.is_empty()).map(str::to_owned).into_iter().collect(),
        claims: BTreeMap::new(),
    })
}

/// What a set of policies says.
fn said(policies: &Policies, wish: &Wish, facts: &WholeFacts, now: Timestamp) -> Result<Said, Failure> {
    let Policies { access, rules } = policies;
    match wish {
        Wish::Sweep(operation) => {
            let prognosis = Prognosis::of((rules, access), *operation, facts, now);
            let prognosis = prognosis.map_err(|error| Failure::usage(error.to_string()))?;
            let done = match prognosis.verdict() {
                Verdict::Keep { reason, rule, .. } => {
                    let why = format!("kept by rule `{rule}`: {}", reason.as_str());
                    return Ok(Said { effect: Effect::Kept, why });
                }
                Verdict::Due(due) if due.behind.is_some() => Effect::DoneUnlessAmongLast,
                Verdict::Due(_) => Effect::Done,
            };
            let needs = || access.needs(&Principal::Sweeper(*operation), operation.action());
            let rule = format!("due by rule `{}`", prognosis.verdict().rule());
            Ok(prognosis.decision().map_or(Said { effect: done, why: rule.clone() }, |decision| {
                of_decision(decision, done, Some(&rule), needs, facts)
            }))
        }
        Wish::Request { by, action, force } => {
            let archived = *action == ExecutionAction::Delete;
            let pinned = *action == ExecutionAction::Cancel;
            let terms = Terms { force: *force, pinned, dry_run: false, archived, past_retention: false, now };
            let decision = access.decide(by, *action, &facts.facts(), &terms);
            Ok(of_decision(&decision, Effect::Done, None, || access.needs(by, *action), facts))
        }
    }
}

fn of_decision(
    decision: &Decision,
    done: Effect,
    rule: Option<&str>,
    needs: impl FnOnce() -> Needs,
    facts: &WholeFacts,
) -> Said {
    match decision {
        Decision::Allow(_) => Said { effect: done, why: rule.unwrap_or("permitted").to_owned() },
        Decision::Deny(Refusal::EvaluationError(_)) if lacks(needs(), &facts.asked) => {
            let why = "the record lacks a fact that the policies ask for".to_owned();
            Said { effect: Effect::CannotBeTold, why }
        }
        Decision::Deny(refusal) => {
            Said { effect: Effect::Refused, why: format!("refused: {}", refusal.reason_key()) }
        }
    }
}

fn lacks(needs: Needs, asked: &AskedFacts) -> bool {
    needs.description && asked.description.is_none()
        || needs.retry_attempt && asked.retry_attempt.is_none()
        || needs.thing_groups && asked.thing_groups.is_none()
        || needs.thing_attributes && asked.thing_attributes.is_none()
}

fn told(compared: &Compared, screen: &Screen) -> Result<(), Failure> {
    let Compared { decisions, same, otherwise, cannot_be_told, changes } = compared;
    let changed = compared.changed();
    if screen.is_json() {
        let told = |said: &Said| json!({ "effect": said.effect, "why": said.why });
        let change = |(kind, (times, example)): (&Kind, &(u64, String))| {
            json!({
                "decision": kind.wish, "status": kind.status, "before": told(&kind.before), "after": told(&kind.after),
                "count": times, "example": example,
            })
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        screen.json(&json!({
            "decisions": decisions, "changed": changed, "same": same, "forAnotherReason": otherwise,
            "cannotBeTold": cannot_be_told, "changes": changes,
        }))?;
        return Ok(());
    }
    let row = |(kind, (times, example)): (&Kind, &(u64, String))| {
        let paint = match kind.after.effect {
            Effect::Done | Effect::DoneUnlessAmongLast => Paint::Bad,
            Effect::Kept | Effect::Refused | Effect::CannotBeTold => Paint::Good,
        };
        vec![
            count(*times),
            cell(&kind.wish),
            cell(kind.status),
            cell(&kind.before.why),
            cell(&kind.after.why).painted(Some(paint)),
            cell(example),
        ]
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    screen.table(&["COUNT", "DECISION", "STATUS", "BEFORE", "AFTER", "SUCH AS"], &rows)?;
    screen.line(&format!(
        "{} decisions: {} change, {} are the same, {} are the same for another reason",
        grouped(*decisions),
        grouped(changed),
        grouped(*same),
        grouped(*otherwise)
    ))?;
    if *cannot_be_told > 0 {
        screen.line(&format!(
            "{} cannot be told: a record does not keep what the policies ask for, or whose request it was",
            grouped(*cannot_be_told)
        ))?;
    }
    Ok(())
}
