//! How a command ends: its exit code, and the line that says what went wrong, where, and what to do.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes. Scripts go by them: a code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    No,
    Usage,
    NotFound,
    NotAllowed,
    NotServed,
    Refused,
    Stopped,
    Interrupted,
}

impl Exit {
    /// In the order of their codes.
    pub(crate) const ALL: [Self; 9] = [
        Self::Done,
        Self::No,
        Self::Usage,
        Self::NotFound,
        Self::NotAllowed,
        Self::NotServed,
        Self::Refused,
        Self::Stopped,
        Self::Interrupted,
    ];

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAllowed => 4,
            Self::NotServed => 5,
            Self::Refused => 6,
            Self::Stopped => 7,
            Self::Interrupted => 130,
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; nothing speaks against it",
            Self::No => {
                "the answer is no: a policy is wrong, a case fails, a decision changes, the request would be refused, the sweep failed"
            }
            Self::Usage => "the command line, or a file that it names, makes no sense",
            Self::NotFound => "there is no such sweep, report, job or execution",
            Self::NotAllowed => "no credentials, wrong ones, or the access policy refuses",
            Self::NotServed => {
                "the API or the bucket did not serve, or answered what this version cannot read"
            }
            Self::Refused => "the API refuses the request as it stands",
            Self::Stopped => "the breaker stopped the sweep before it did anything",
            Self::Interrupted => "interrupted; a sweep that was watched goes on",
        }
    }

    /// The table at the end of `--help`.
    pub(crate) fn table() -> String {
        let line = |exit: &Self| format!("  {:>3}  {}\n", exit.code(), exit.meaning());
        format!("Exit codes:\n{}", Self::ALL.iter().map(line).collect::<String>())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Empty where there is nobody left to read it.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The answer is no, for the reasons that are told.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::new(Exit::No, message)
    }

    /// The command line, or a file that it names, makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What came from outside cannot be read.
    pub(crate) fn unreadable(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        let message = format!("{what} cannot be read by this version of jobwarden: {error}");
        Self::new(Exit::NotServed, message)
    }
}

/// Whoever read what was written has seen enough, as `head` does; anything else is told.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::new(Exit::NotServed, format!("the output could not be written: {error}")),
        }
    }
}

/// The sentence of an error with those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_told = cause.to_string();
        if !told.ends_with(&cause_told) {
            told = format!("{told}: {cause_told}");
        }
        next = cause.source();
    }
    told
}
