//! Retention rules: when an execution is due, and under which rule.

mod breaker;
mod judge;
mod limits;
mod parse;
mod parse_scope;
mod pattern;
mod scope;

pub use breaker::{Breaker, Hundredths, SMALL_PLAN};
pub use judge::{Due, KeepReason, NotKnown, Verdict};
pub use pattern::Pattern;
pub use scope::KnownJob;

use std::collections::{BTreeMap, BTreeSet};

use std::num::NonZeroU32;

use jiff::SignedDuration;

use crate::execution::Status;
use crate::operation::Operation;
use scope::{Fit, Scope};

const SHIPPED: &str = include_str!("../../../policies/retention.toml");

/// How long something may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Due when it is this old. INVARIANT: whole hours, from one to ten years. Written as
    /// `DURATION = Nw[ Nd][ Nh] | Nd[ Nh] | Nh`.
    After(SignedDuration),
    /// Never due.
    Never,
}

/// How much of an execution its archive record keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// What a listing tells; costs no call.
    Summary,
    /// What a description tells, its status details among it; costs a call.
    Full,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    name: String,
    scope: Scope,
    terms: Terms,
}

/// What a rule has come of the executions that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Terms {
    /// INVARIANT: names every terminal status.
    delete_after: BTreeMap<Status, Limit>,
    /// For what waits.
    cancel_after: Limit,
    /// For what runs: by force, which the rule has said aloud.
    cancel_running_after: Limit,
    /// How many of its newest successes a thing keeps, whatever their age. INVARIANT: at most 100.
    keep_last: Option<NonZeroU32>,
    archive: ArchiveKind,
    /// Whether a finished job of which everything is due is deleted whole.
    retire_jobs: bool,
}

/// All rules, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    rules: Vec<Rule>,
    default: Rule,
    breaker: Breaker,
    source: String,
    digest: String,
}

impl Retention {
    /// The rules compiled in.
    ///
    /// # Errors
    /// As [`Retention::parse`]; a test holds that the shipped file has no problem.
    pub fn shipped() -> Result<Self, crate::source_text::Problems> {
        Self::parse("policies/retention.toml", SHIPPED)
    }

    /// What a plan may hold.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Where they are from, and which edition of them this is.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What tells one set of rules from another, in every report and archive record.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The shortest limit that the job's rule has for `operation`: nothing younger can be due, and
    /// with `Never` nothing ever is. Where what is known does not tell the rule, the shortest of
    /// those that it may be.
    pub fn shortest(&self, operation: Operation, job: &KnownJob<'_>) -> Limit {
        let limits = self.possible(job).flat_map(|rule| rule.limits(operation));
        limits.filter_map(Limit::duration).min().map_or(Limit::Never, Limit::After)
    }

    /// The times after which the rules that the job may have delete what ended with `status`, the shortest
    /// first. A rule that says never has none.
    pub fn limits_of(&self, status: Status, job: &KnownJob<'_>) -> BTreeSet<SignedDuration> {
        let limits = self.possible(job).filter_map(|rule| rule.terms.delete_after.get(&status));
        limits.filter_map(|limit| limit.duration()).collect()
    }

    /// Whether a rule that the job may have cancels what runs.
    pub fn cancels_running(&self, job: &KnownJob<'_>) -> bool {
        self.possible(job).any(|rule| rule.terms.cancel_running_after != Limit::Never)
    }

    /// Whether the job's rule has it deleted whole once everything of it is due. What is known of the job has
    /// to tell its rule.
    pub fn retires(&self, job: &KnownJob<'_>) -> bool {
        self.rule_for(job).is_ok_and(|rule| rule.terms.retire_jobs)
    }

    /// Whether a rule that the job may have keeps the last successes of a thing.
    pub fn may_keep_last(&self, job: &KnownJob<'_>) -> bool {
        self.possible(job).any(|rule| rule.terms.keep_last.is_some())
    }

    /// Whether the job may have the rule of this name, by what is known of it.
    pub fn may_have(&self, job: &KnownJob<'_>, rule: &str) -> bool {
        self.possible(job).any(|possible| possible.name == rule)
    }

    /// How many of its newest successes the rule of this name leaves each thing.
    pub fn keeps_last(&self, rule: &str) -> Option<NonZeroU32> {
        self.named(rule).and_then(|rule| rule.terms.keep_last)
    }

    fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().chain([&self.default]).find(|rule| rule.name == name)
    }

    /// Whether the rule of this name keeps everything of what is due by it in a status.
    pub fn archives_in_full(&self, rule: &str, status: Status) -> bool {
        self.named(rule).is_some_and(|named| named.archive(status) == ArchiveKind::Full)
    }

    /// The rules that may decide for a job, in their order: the last one does unless one before
    /// it does, which what is known leaves open.
    fn possible(&self, job: &KnownJob<'_>) -> impl Iterator<Item = &Rule> {
        let mut told = false;
        self.rules.iter().chain([&self.default]).filter(move |rule| {
            let fit = if told { Fit::No } else { rule.scope.fits(job) };
            told |= fit == Fit::Yes;
            fit != Fit::No
        })
    }
}

impl Rule {
    fn archive(&self, status: Status) -> ArchiveKind {
        match status {
            // Whoever takes a running execution from its device keeps all that is known of it.
            Status::InProgress => ArchiveKind::Full,
            Status::Queued
            | Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Rejected
            | Status::Removed
            | Status::Canceled => self.terms.archive,
        }
    }

    fn limits(&self, operation: Operation) -> Vec<Limit> {
        match operation {
            Operation::DeleteExpired => self.terms.delete_after.values().copied().collect(),
            Operation::CancelStale => vec![self.terms.cancel_after, self.terms.cancel_running_after],
        }
    }
}

impl Limit {
    fn duration(self) -> Option<SignedDuration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }
}
