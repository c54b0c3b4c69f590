//! Jobwarden's command line.

mod explain;
mod policy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use explain::Question;

/// Policy for AWS IoT job executions.
#[derive(Debug, Parser)]
#[command(name = "jobwarden", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks and tests the access policy and the retention rules.
    #[command(subcommand)]
    Policy(Policy),
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
        question: Question,
        /// The folder.
        #[arg(default_value = "policies")]
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Policy(Policy::Check { folder }) => policy::check(&folder).map(|_| ()),
        Command::Policy(Policy::Test { folder }) => policy::test(&folder),
        Command::Policy(Policy::Explain { question, folder }) => explain::explain(&folder, &question),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}
