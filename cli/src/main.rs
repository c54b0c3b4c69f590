//! Jobwarden's command line.

mod archive;
mod connection;
mod decide;
mod diff;
mod explain;
mod failure;
mod policy;
mod progress;
mod records;
mod report;
mod screen;
mod sweep;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use connection::Connection;
use failure::{Exit, Failure};
use screen::{Format, Screen, shown_lines};

/// Policy for AWS IoT job executions: sweeps, decisions, the archive, and policies before they are deployed.
///
/// Cancel and delete need no command here: they are AWS IoT's own, called at Jobwarden's address.
#[derive(Debug, Parser)]
#[command(name = "jobwarden", version, after_help = Exit::table())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How results are written.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts, lists and follows sweeps, and shows their reports.
    #[command(subcommand)]
    Sweep(sweep::Command),
    /// Says what would come of a cancel or a delete, and why, without making it.
    Decide {
        #[command(flatten)]
        question: decide::Question,
    },
    /// Checks, tests and compares the access policy and the retention rules.
    #[command(subcommand)]
    Policy(Policy),
    /// Looks into the archive.
    #[command(subcommand)]
    Archive(archive::Command),
    /// Writes what a shell needs to complete commands.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Reads access.cedar and retention.toml of a folder as the functions do at their start.
    Check {
        /// The folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
    },
    /// Checks a folder, and runs the cases in its tests/*.toml against its access.cedar.
    Test {
        /// The folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
    },
    /// Tells what the sweeps would make of one execution by the policies of a folder: which rule has it
    /// due since when, or why and until when it is kept, and what the access policy says.
    Explain {
        #[command(flatten)]
        question: explain::Question,
        /// The folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
    },
    /// Tells which decisions would come out otherwise by the policies of a folder: of what the archive has, or of
    /// a fleet that is described.
    Diff {
        #[command(flatten)]
        question: diff::Question,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            if !message.is_empty() {
                eprintln!("{}", shown_lines(&message));
            }
            exit.into()
        }
    }
}

async fn run(Arguments { command, output, connection }: &Arguments) -> Result<Exit, Failure> {
    let screen = Screen::new(*output);
    let done = |()| Exit::Done;
    match command {
        Command::Sweep(command) => sweep::run(command, connection, &screen).await,
        Command::Decide { question } => decide::decide(question, connection, &screen).await,
        Command::Policy(Policy::Check { folder }) => policy::check(folder, &screen).map(done),
        Command::Policy(Policy::Test { folder }) => policy::test(folder, &screen).map(done),
        Command::Policy(Policy::Explain { question, folder }) => {
            explain::explain(folder, question, &screen).map(done)
        }
        Command::Policy(Policy::Diff { question }) => diff::diff(question, connection, &screen).await,
        Command::Archive(archive::Command::Search { wanted }) => {
            archive::search(wanted, connection, &screen).await
        }
        Command::Completions { shell } => {
            let mut completions = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "jobwarden", &mut completions);
            io::Write::write_all(&mut io::stdout(), &completions)?;
            Ok(Exit::Done)
        }
    }
}
