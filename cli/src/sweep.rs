//! `jobwarden sweep`: start, list, watch and report.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::legible::{grouped, shown};
use shared::listing::{NextPage, PagesSeen, REPEATED};
use shared::operation::Operation;
use shared::sweep::{SweepId, SweepStatus};
use signal_hook::consts::SIGINT;

use crate::connection::{Api, Connection, decoded};
use crate::failure::{Exit, Failure};
use crate::progress::{Progress, Sweep};
use crate::report;
use crate::screen::{Paint, Screen, cell, count};

/// How long a watch goes on asking an API that does not serve: eight times, up to half a minute apart.
const TRIES: u32 = 8;

/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(100);

/// What is redrawn, when a terminal watches, and told at least, when none does.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a sweep. Without --dry-run it is what the deployment's parameter DryRun says.
    Start {
        #[command(flatten)]
        start: Start,
    },
    /// Lists sweeps, the newest first.
    List {
        /// Only those that do this.
        #[arg(long, value_parser = operation)]
        operation: Option<Operation>,
        /// How many at most.
        #[arg(long, default_value_t = 25)]
        limit: usize,
    },
    /// Follows a sweep to its end. Ctrl-C ends the watching, not the sweep.
    Watch {
        /// The sweep's id.
        #[arg(value_parser = sweep_id)]
        id: SweepId,
        /// The seconds between two looks.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=300))]
        every: u64,
    },
    /// Shows what a sweep found and did.
    Report {
        /// The sweep's id.
        #[arg(value_parser = sweep_id)]
        id: SweepId,
        /// Writes it as a page into the folder for temporary files, and opens that in the browser.
        #[arg(long)]
        open: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// What it is to do: delete-expired or cancel-stale.
    #[arg(long, value_parser = operation)]
    operation: Operation,
    /// Only plans, whatever the deployment allows.
    #[arg(long)]
    dry_run: bool,
    /// Carries out the plan of this digest, which the breaker stopped.
    #[arg(long, value_name = "DIGEST")]
    release: Option<String>,
    /// The lane, if not the stack's own account and Region.
    #[arg(long)]
    lane: Option<String>,
    /// Follows it to its end.
    #[arg(long)]
    watch: bool,
}

pub(crate) fn operation(word: &str) -> Result<Operation, String> {
    Operation::parse(word).ok_or_else(|| "there are delete-expired and cancel-stale".to_owned())
}

pub(crate) fn sweep_id(text: &str) -> Result<SweepId, String> {
    SweepId::parse(text)
        .map_err(|_| "a sweep's id is such as 20261121T020000Z-delete-expired-1a2b3c4d".to_owned())
}

/// Does what a command says.
pub(crate) async fn run(
    command: &Command,
    connection: &Connection,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let api = connection.api().await?;
    match command {
        Command::Start { start } => begin(&api, start, connection, screen).await,
        Command::List { operation, limit } => list(&api, *operation, *limit, screen).await,
        Command::Watch { id, every } => {
            watch(&api, id, Duration::from_secs(*every), connection, screen).await
        }
        Command::Report { id, open } => report::report(&api, id, *open, screen).await,
    }
}

async fn begin(api: &Api, start: &Start, connection: &Connection, screen: &Screen) -> Result<Exit, Failure> {
    let mut body = json!({ "operation": start.operation });
    if let Some(body) = body.as_object_mut() {
        if start.dry_run {
            body.insert("dryRun".to_owned(), json!(true));
        }
        for (name, value) in [("releasePlan", &start.release), ("lane", &start.lane)] {
            if let Some(value) = value {
                body.insert(name.to_owned(), json!(value));
            }
        }
    }
    let answer = api.post("/sweeps", &body).await?;
    let sweep: Sweep = decoded("the answer", &answer)?;
    if start.watch {
        if !screen.is_json() {
            screen.line(&begun(&sweep))?;
        }
        return watch(api, &sweep.sweep_id, Duration::from_secs(2), connection, screen).await;
    }
    if screen.is_json() {
        screen.json_text(&answer)?;
    } else {
        screen.line(&begun(&sweep))?;
        screen.line(&format!("watch it: jobwarden{} sweep watch {}", connection.again(), sweep.sweep_id))?;
    }
    Ok(Exit::Done)
}

fn begun(sweep: &Sweep) -> String {
    let kind = if sweep.dry_run { "a dry run" } else { "for real" };
    format!("{} has been started, {kind}", sweep.sweep_id)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    sweeps: Vec<Value>,
    #[serde(default)]
    written_by_another_version: Vec<String>,
    #[serde(default)]
    next_token: Option<String>,
}

/// Goes from page to page until there are as many as were asked for.
async fn list(
    api: &Api,
    operation: Option<Operation>,
    limit: usize,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let (mut sweeps, mut others, mut next, mut pages) = (Vec::new(), Vec::new(), None, PagesSeen::default());
    while sweeps.len() < limit {
        let mut path = format!("/sweeps?maxResults={}", (limit - sweeps.len()).min(100));
        if let Some(token) = &next {
            path.push_str(&format!("&nextToken={token}"));
        }
        if let Some(operation) = operation {
            path.push_str(&format!("&operation={operation}"));
        }
        let page: Page = decoded("the list of sweeps", &api.get(&path).await?)?;
        sweeps.extend(page.sweeps);
        others.extend(page.written_by_another_version);
        next = match pages.turn(Vec::new(), page.next_token) {
            // The token is a sweep's id, and goes into the address as it is.
            NextPage::At(token) if SweepId::parse(&token).is_ok() => Some(token),
            NextPage::At(token) => {
                return Err(Failure::unreadable(
                    "the list of sweeps",
                    format!("a token `{}`", shown(&token)),
                ));
            }
            NextPage::Repeated => return Err(Failure::unreadable("the list of sweeps", REPEATED)),
            NextPage::End => break,
        };
    }
    if screen.is_json() {
        screen.json(&json!({ "sweeps": sweeps, "writtenByAnotherVersion": others }))?;
        return Ok(Exit::Done);
    }
    let sweeps: Vec<Sweep> = sweeps
        .into_iter()
        .map(serde_json::from_value)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::unreadable("the list of sweeps", error))?;
    let row = |sweep: &Sweep| {
        vec![
            cell(sweep.sweep_id.as_str()),
            cell(sweep.lane.as_deref().unwrap_or("-")),
            cell(if sweep.dry_run { "dry run" } else { "real" }),
            cell(sweep.status.as_str()).painted(Some(paint_of(sweep.status))),
            count(sweep.rows_seen),
            count(sweep.due),
            count(sweep.settled()),
            cell(&sweep.requested_by),
        ]
    };
    let rows: Vec<_> = sweeps.iter().map(row).collect();
    screen.table(&["SWEEP", "LANE", "KIND", "STATUS", "SEEN", "DUE", "SETTLED", "STARTED BY"], &rows)?;
    if rows.is_empty() {
        screen.line("there are no sweeps")?;
    }
    for id in others {
        screen.line(&format!("{id} was written by another version of Jobwarden"))?;
    }
    Ok(Exit::Done)
}

pub(crate) const fn paint_of(status: SweepStatus) -> Paint {
    match status {
        SweepStatus::Queued | SweepStatus::Scanning | SweepStatus::Applying => Paint::Wary,
        SweepStatus::Succeeded => Paint::Good,
        SweepStatus::StoppedByBreaker | SweepStatus::Failed => Paint::Bad,
    }
}

/// Follows a sweep. The progress goes to the standard error, drawn over and over where that is a terminal, so
/// that the standard output has the result alone.
async fn watch(
    api: &Api,
    id: &SweepId,
    every: Duration,
    connection: &Connection,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // A second one ends the process at once, should the first not be looked at.
    let _ = signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&interrupted));
    let _ = signal_hook::flag::register(SIGINT, Arc::clone(&interrupted));
    let resume = format!("jobwarden{} sweep watch {id}", connection.again());
    let mut bar = Bar::new();
    let mut progress = Progress::default();
    let mut failures = 0;
    let goes_on =
        || Failure::new(Exit::Interrupted, format!("the sweep goes on; to watch it again: {resume}"));
    loop {
        let path = format!("/sweeps/{id}");
        let looked = tokio::select! {
            looked = api.get(&path) => looked,
            () = set(&interrupted) => {
                bar.clear()?;
                return Err(goes_on());
            }
        };
        let wait = match looked {
            Ok(answer) => {
                failures = 0;
                let sweep: Sweep = decoded("the sweep", &answer)?;
                progress.note(&sweep);
                if sweep.status.is_final() {
                    bar.clear()?;
                    return ended(&sweep, &answer, connection, screen);
                }
                bar.show(&progress.line(&sweep))?;
                every
            }
            Err(failure) if failure.exit == Exit::NotServed && failures + 1 < TRIES => {
                failures += 1;
                bar.show(&format!("no answer for the time being ({failures})"))?;
                Duration::from_secs(1 << failures.min(5)).min(Duration::from_secs(30))
            }
            Err(failure) => {
                bar.clear()?;
                let message = format!(
                    "{}\nthe sweep does not depend on being watched; go on with: {resume}",
                    failure.message
                );
                return Err(if failure.exit == Exit::NotServed {
                    Failure { message, ..failure }
                } else {
                    failure
                });
            }
        };
        if tokio::time::timeout(wait, set(&interrupted)).await.is_ok() {
            bar.clear()?;
            return Err(goes_on());
        }
    }
}

/// Waits for Ctrl-C.
async fn set(interrupted: &AtomicBool) {
    while !interrupted.load(Ordering::Relaxed) {
        tokio::time::sleep(TICK).await;
    }
}

fn ended(sweep: &Sweep, answer: &str, connection: &Connection, screen: &Screen) -> Result<Exit, Failure> {
    let exit = match sweep.status {
        SweepStatus::StoppedByBreaker => Exit::Stopped,
        SweepStatus::Failed => Exit::No,
        SweepStatus::Succeeded | SweepStatus::Queued | SweepStatus::Scanning | SweepStatus::Applying => {
            Exit::Done
        }
    };
    if screen.is_json() {
        screen.json_text(answer)?;
        return Ok(exit);
    }
    let kind = if sweep.dry_run { "dry run" } else { "real" };
    let finished = sweep.finished_at.map(|at| format!("{at:.0}")).unwrap_or_default();
    let mut rows = vec![
        vec![cell("sweep"), cell(sweep.sweep_id.as_str())],
        vec![cell("status"), cell(sweep.status.as_str()).painted(Some(paint_of(sweep.status)))],
        vec![cell("kind"), cell(kind)],
        vec![cell("ended"), cell(finished)],
        vec![cell("seen"), cell(grouped(sweep.rows_seen))],
        vec![cell("due"), cell(grouped(sweep.due))],
    ];
    rows.extend(sweep.outcomes.iter().map(|(outcome, times)| vec![cell(outcome), cell(grouped(*times))]));
    screen.table(&["", ""], &rows)?;
    if let Some(failure) = &sweep.failure {
        screen.line(failure)?;
    }
    if let (SweepStatus::StoppedByBreaker, Some(digest)) = (sweep.status, &sweep.plan_digest) {
        let lane = sweep.lane.as_ref().map(|lane| format!(" --lane {lane}")).unwrap_or_default();
        let operation = sweep.operation;
        let again = connection.again();
        screen.line(&format!(
            "to carry the plan out: jobwarden{again} sweep start --operation {operation}{lane} --release {digest}"
        ))?;
    }
    screen.line(&format!("the report: jobwarden{} sweep report {}", connection.again(), sweep.sweep_id))?;
    Ok(exit)
}

/// A line on the standard error: drawn over on a terminal, elsewhere written when it has changed, and not more
/// than every ten seconds.
struct Bar {
    terminal: bool,
    last: Option<(tokio::time::Instant, String)>,
}

impl Bar {
    fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { terminal: io::stderr().is_terminal() && !dumb, last: None }
    }

    fn show(&mut self, line: &str) -> io::Result<()> {
        let now = tokio::time::Instant::now();
        if self.terminal {
            write!(io::stderr(), "\r\u{1b}[K{}", shown(line))?;
            return io::stderr().flush();
        }
        let phase = |line: &str| line.split(' ').next().map(str::to_owned);
        let due = self.last.as_ref().is_none_or(|(at, last)| {
            last != line && (now.duration_since(*at) >= QUIET || phase(last) != phase(line))
        });
        if due {
            writeln!(io::stderr(), "{}", shown(line))?;
            self.last = Some((now, line.to_owned()));
        }
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        if self.terminal { write!(io::stderr(), "\r\u{1b}[K") } else { Ok(()) }
    }
}
