//! `jobwarden archive search`: who deleted or cancelled what, when, and under which rule.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::Date;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;
use shared::archive::Record;
use shared::execution::Identity;
use shared::ids::{JobId, ThingName};
use shared::legible::grouped;
use shared::sweep::{Outcome, OutcomeRow, SweepId};

use crate::connection::{Connection, bucket_failed};
use crate::failure::{Exit, Failure};
use crate::records::{self, Part, Source};
use crate::screen::Screen;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Finds records of the archive: who deleted or cancelled what, when, under which rule, and what came of it.
    Search {
        #[command(flatten)]
        wanted: Wanted,
    },
}

/// What a record has to fit, all of it.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// The job.
    #[arg(long)]
    job: Option<JobIdOf>,
    /// The thing.
    #[arg(long)]
    thing: Option<ThingNameOf>,
    /// What asked for it: a sweep's id, or `api` for calls of the API.
    #[arg(long, value_name = "ID")]
    sweep: Option<Folder>,
    /// The retention rule.
    #[arg(long)]
    rule: Option<String>,
    /// The first day, in UTC, such as 2026-11-01.
    #[arg(long, value_name = "DAY")]
    from: Option<Date>,
    /// The last day.
    #[arg(long, value_name = "DAY")]
    to: Option<Date>,
    /// How many at most.
    #[arg(long)]
    limit: Option<u64>,
    /// Looks into a file or a folder that was copied of the archive, not into the bucket.
    #[arg(long, value_name = "PATH")]
    records: Option<PathBuf>,
}

/// A name that was checked, and has to be equal.
type JobIdOf = Checked<JobId>;
type ThingNameOf = Checked<ThingName>;

#[derive(Debug, Clone)]
pub(crate) struct Checked<T>(T);

impl std::str::FromStr for Checked<JobId> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        JobId::parse(text).map(Self).map_err(|violation| violation.to_string())
    }
}

impl std::str::FromStr for Checked<ThingName> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ThingName::parse(text).map(Self).map_err(|violation| violation.to_string())
    }
}

/// A folder of a day in the archive. It goes into keys, so it has to be one of those that there are.
#[derive(Debug, Clone)]
struct Folder(String);

impl std::str::FromStr for Folder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "api" || SweepId::parse(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err("it has to be a sweep's id or api".to_owned())
    }
}

impl Wanted {
    fn part(&self) -> Part {
        Part { from: self.from, to: self.to, sweep: self.sweep.as_ref().map(|Folder(name)| name.clone()) }
    }

    fn fits(&self, record: &Record) -> bool {
        self.job.as_ref().is_none_or(|job| record.job.job.job_id == job.0)
            && self.thing.as_ref().is_none_or(|thing| *record.thing_name() == thing.0)
            && self.rule.as_ref().is_none_or(|rule| record.rule.as_ref() == Some(rule))
    }
}

/// What tells an execution's outcome from another's.
type Execution = (JobId, ThingName, i64, Timestamp);

fn execution(job: &JobId, thing: &ThingName, identity: Identity) -> Execution {
    (job.clone(), thing.clone(), identity.execution_number.get(), identity.queued_at)
}

fn of_record(record: &Record) -> Execution {
    execution(&record.job.job.job_id, record.thing_name(), record.identity())
}

/// Searches, and writes what fits as it is found.
pub(crate) async fn search(
    wanted: &Wanted,
    connection: &Connection,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut found = 0;
    let most = wanted.limit.unwrap_or(u64::MAX);
    let part = wanted.part();
    if let Some(path) = &wanted.records {
        let see = async |source: &Source, records: Vec<Record>| {
            tell(screen, source, &fitting(wanted, records, most - found), &HashMap::new(), &mut found)?;
            Ok(if found < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        records::in_files(path, &part, see).await?;
    } else {
        let bucket = connection.bucket().await?;
        let see = async |source: &Source, records: Vec<Record>| {
            let fitting = fitting(wanted, records, most - found);
            let outcomes = outcomes(&bucket, source, &fitting).await?;
            tell(screen, source, &fitting, &outcomes, &mut found)?;
            Ok(if found < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        records::in_bucket(&bucket, &part, see).await?;
    }
    if !screen.is_json() {
        let noun = if found == 1 { "record" } else { "records" };
        screen.line(&format!("{} {noun}", grouped(found)))?;
    }
    Ok(Exit::Done)
}

fn fitting(wanted: &Wanted, records: Vec<Record>, most: u64) -> Vec<Record> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    records.into_iter().filter(|record| wanted.fits(record)).take(most).collect()
}

/// What came of records: it is told in an object of the same name beside them, or, where a slice has died, in one
/// of its successor's.
async fn outcomes(
    bucket: &dyn ObjectStore,
    source: &Source,
    records: &[Record],
) -> Result<HashMap<Execution, Outcome>, Failure> {
    let mut open: HashMap<_, _> = records.iter().map(|record| (of_record(record), None)).collect();
    let Some(rest) = source.name.strip_prefix(records::ARCHIVE).filter(|_| !open.is_empty()) else {
        return Ok(HashMap::new());
    };
    // Calls of the API tell their callers.
    if rest.contains("/sweep=api/") {
        return Ok(HashMap::new());
    }
    let beside = format!("outcomes{rest}");
    take(bucket, &Key::from(beside.as_str()), &mut open).await?;
    if open.values().any(Option::is_none)
        && let Some((folder, _)) = beside.rsplit_once('/')
    {
        let folder = Key::from(folder);
        let mut listed = bucket.list(Some(&folder));
        while let Some(object) = listed.try_next().await.map_err(|error| bucket_failed(&error))? {
            if object.location.as_ref().ends_with("settled.jsonl.gz") {
                take(bucket, &object.location, &mut open).await?;
            }
        }
    }
    Ok(open.into_iter().filter_map(|(execution, outcome)| Some((execution, outcome?))).collect())
}

async fn take(
    bucket: &dyn ObjectStore,
    key: &Key,
    open: &mut HashMap<Execution, Option<Outcome>>,
) -> Result<(), Failure> {
    let bytes = match bucket.get(key).await {
        Ok(found) => found.bytes().await.map_err(|error| bucket_failed(&error))?,
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(bucket_failed(&error)),
    };
    for row in records::lines::<OutcomeRow>(key.as_ref(), &*bytes)? {
        if let Some(outcome) = open.get_mut(&execution(&row.job_id, &row.thing_name, row.identity)) {
            *outcome = Some(row.kind.outcome);
        }
    }
    Ok(())
}

/// Writes each record as it is found, so that nothing is kept: the columns have fixed widths.
fn tell(
    screen: &Screen,
    source: &Source,
    records: &[Record],
    outcomes: &HashMap<Execution, Outcome>,
    found: &mut u64,
) -> Result<(), Failure> {
    for record in records {
        let outcome = outcomes.get(&of_record(record));
        if screen.is_json() {
            screen.json(&json!({ "key": source.name, "outcome": outcome, "record": record }))?;
        } else {
            if *found == 0 {
                let heads = ["WHEN", "ACTION", "OUTCOME", "STATUS", "RULE", "JOB", "THING", "NO.", "BY"];
                screen.columns(&heads, &WIDTHS)?;
            }
            let outcome = outcome.and_then(|outcome| json!(outcome).as_str().map(str::to_owned));
            let columns = [
                &record.decided_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                record.action.as_str(),
                outcome.as_deref().unwrap_or("-"),
                record.row().status.as_str(),
                record.rule.as_deref().unwrap_or("-"),
                record.job.job.job_id.as_str(),
                record.thing_name().as_str(),
                &record.identity().execution_number.to_string(),
                &by(record),
            ];
            screen.columns(&columns, &WIDTHS)?;
        }
        *found += 1;
    }
    Ok(())
}

const WIDTHS: [usize; 9] = [20, 18, 12, 9, 12, 24, 24, 4, 0];

/// Who asked: a sweep by its id, a caller by name.
fn by(record: &Record) -> String {
    if record.rule.is_some() { record.origin.clone() } else { record.principal.clone() }
}
