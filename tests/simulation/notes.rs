//! What is noted while a case runs: who called when, what was hit, what was found wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use shared::operation::Operation;
use tokio::time::Instant;

use crate::case::Edition;
use crate::oracle::Key;

/// A sweep of the case.
#[derive(Debug, Clone)]
pub(crate) struct SweepNote {
    pub(crate) operation: Operation,
    pub(crate) now: Timestamp,
    pub(crate) dry_run: bool,
    /// How many cancels and deletes it has sent.
    pub(crate) sent: u64,
    /// How many of them had their effect.
    pub(crate) done: u64,
}

/// The tags of a job, and since when it has had them.
pub(crate) type Tagged = (Timestamp, BTreeMap<String, String>);

/// An invocation, or a start.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) sweep: usize,
    /// When it may not call AWS IoT any more.
    pub(crate) until: Instant,
    /// When its call that has arrived last was sent, by the account's clock.
    pub(crate) sent_at: Timestamp,
    /// The rules that it has read.
    pub(crate) edition: Edition,
    pub(crate) dead: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) sweeps: Vec<SweepNote>,
    pub(crate) invocations: BTreeMap<u32, Invocation>,
    /// What was found wrong.
    pub(crate) violations: Vec<String>,
    /// How often what happened.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The tags of each job, the latest last.
    pub(crate) tags: BTreeMap<String, Vec<Tagged>>,
    /// What came into being while the case ran.
    pub(crate) born: BTreeSet<Key>,
    /// What was cancelled or deleted by a sweep.
    pub(crate) hit: BTreeSet<Key>,
    /// Whether anything but a sweep has changed the world.
    pub(crate) world_changed: bool,
    /// Whether somebody else has deleted something.
    pub(crate) other_deleters: bool,
    /// Whether a sweep has hit another execution than the one it meant.
    pub(crate) hit_another: bool,
    /// Whether faults have ended.
    pub(crate) calm: bool,
    /// What happened, line by line, where it is asked for.
    pub(crate) trace: Option<Vec<String>>,
}

/// Notes that everybody writes into.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Notes>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: &str) {
        self.lock().count(what);
    }

    pub(crate) fn wrong(&self, what: String) {
        self.lock().wrong(what);
    }

    /// Notes what must hold and does not.
    pub(crate) fn must(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        self.lock().trace(line);
    }
}

impl Notes {
    pub(crate) fn count(&mut self, what: &str) {
        match self.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => _ = self.counts.insert(what.to_owned(), 1),
        }
    }

    pub(crate) fn wrong(&mut self, what: String) {
        self.trace(|| format!("!!! {what}"));
        self.violations.push(what);
    }

    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }
}
