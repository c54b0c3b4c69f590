//! JSON lines on standard output, as Lambda's JSON log format has them.

use std::process::ExitCode;

use shared::ports::{Cause, chain};
use tracing::Level;

/// Starts logging at the level that Lambda's logging configuration names; INFO without one.
pub fn init() {
    let level = std::env::var_os("AWS_LAMBDA_LOG_LEVEL")
        .and_then(|level| level.to_str()?.parse().ok())
        .unwrap_or(Level::INFO);
    tracing_subscriber::fmt().json().with_max_level(level).init();
}

/// Ends the process: a function that cannot start serves nothing, and says why.
pub fn exit(served: Result<(), Cause>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "start_failed", error = chain(&*error), "the function cannot start");
            ExitCode::FAILURE
        }
    }
}
