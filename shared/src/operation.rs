//! The two things a sweep can do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::access::ExecutionAction;

/// What a sweep does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Deletes terminal executions past their retention.
    DeleteExpired,
    /// Cancels queued executions that have waited too long.
    CancelStale,
}

impl Operation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DeleteExpired, Self::CancelStale];

    /// Its name: that of its function, its queue and its schedule.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeleteExpired => "delete-expired",
            Self::CancelStale => "cancel-stale",
        }
    }

    /// The operation of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name)
    }

    /// What it does to an execution.
    pub const fn action(self) -> ExecutionAction {
        match self {
            Self::DeleteExpired => ExecutionAction::Delete,
            Self::CancelStale => ExecutionAction::Cancel,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
