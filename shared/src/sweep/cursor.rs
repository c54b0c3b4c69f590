//! Where a sweep stands: enough to go on after any end of a slice, and no more.

use serde::{Deserialize, Serialize};

use super::act::{Outcome, OutcomeKind, Share};
use super::counts::Counts;
use super::retire::Retirement;
use super::successes::Marks;
use super::tally::Tally;
use crate::execution::{ExecutionRow, Identity, Status};
use crate::ids::{JobId, ThingName};
use crate::listing::PagesSeen;

/// What the sweep does next, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub(super) enum Phase {
    /// Lists jobs, page by page, into segments.
    Listing {
        /// The next page.
        token: Option<String>,
        /// How often it was started over because its token went bad.
        #[serde(default)]
        restarts: u8,
        /// What has been listed.
        #[serde(default)]
        listing: PagesSeen,
    },
    /// Judges the executions of the jobs of the segments.
    Scanning(ScanCursor),
    /// Ranks successes, share by share of their parts.
    Ranking {
        /// The next share.
        next: u64,
    },
    /// Tells jobs which of their successes are due.
    Planning {
        /// The next segment of jobs.
        segment: u64,
    },
    /// Looks who is blocked on the things on which something is stale.
    LookingAtThings {
        /// The next of them.
        next: usize,
    },
    /// Checks the plan against the breaker.
    Checking,
    /// Acts on what is due.
    Applying(ApplyCursor),
    /// Has ended.
    Done,
}

/// Where the scan stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScanCursor {
    /// The segment of jobs.
    pub(super) segment: u64,
    /// The job within the segment.
    pub(super) index: usize,
    /// The next page of the job's executions.
    pub(super) token: Option<String>,
    /// What has been listed of the job before the page at hand.
    #[serde(default, skip_serializing_if = "PagesSeen::is_empty")]
    pub(super) listing: PagesSeen,
    /// How often the job was started over because its token went bad.
    #[serde(default)]
    pub(super) restarts: u8,
    /// How many pages of the job have been judged.
    #[serde(default)]
    pub(super) pages: u64,
    /// What the job's earlier pages had. Apart from the sweep's tally, so that the job can be
    /// started over when its token goes bad.
    pub(super) job: Tally,
    /// What has been judged of the page at hand, where judging costs calls: a slice may end
    /// within the page, and the next one goes on behind these.
    #[serde(default)]
    pub(super) judged: Vec<Seen>,
    /// The segment's jobs with something due.
    pub(super) candidates: Vec<Candidate>,
}

/// A job with something due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    /// The job.
    pub(super) job_id: JobId,
    /// How many of its executions are due.
    pub(super) due: Counts<Share>,
    /// Whether these are all that it has, and it may be deleted whole.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) whole: bool,
    /// How many pages its executions filled.
    #[serde(default)]
    pub(super) pages: u64,
    /// Which of its successes are behind the last ones, where its rule keeps these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) behind: Option<Marks>,
}

/// Where the application stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApplyCursor {
    /// The segment of candidates.
    pub(super) segment: u64,
    /// The candidate within the segment.
    pub(super) index: usize,
    /// The next page of the job's executions.
    pub(super) token: Option<String>,
    /// What this pass has listed of the job before the page at hand.
    #[serde(skip_serializing_if = "PagesSeen::is_empty")]
    pub(super) listing: PagesSeen,
    /// How many executions have been moved since the page at hand was listed.
    pub(super) moved_here: u64,
    /// Those of them, and those of before that the listing has shown again since: it may lag behind.
    pub(super) gone: Vec<Seen>,
    /// How many of a page this pass had moved, as far as the listing has not caught up with it, when it
    /// went on to the next. They may have shifted what was behind into the page that was left, so
    /// another pass follows.
    pub(super) left_behind: u64,
    /// How many executions of the job all passes have moved; they are counted already.
    pub(super) moved: Counts<Share>,
    /// What this pass has met with and left in its place; counted when no other pass follows.
    pub(super) stayed: Counts<OutcomeKind>,
    /// The same of the page at hand, one by one: it may be listed again before its end.
    pub(super) met: Vec<Met>,
    /// How often the job was started over because its token went bad.
    pub(super) restarts: u8,
    /// Of what it took too long to look at the things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut_short: Vec<CutShort>,
    /// How far it has come on its way to be deleted whole.
    #[serde(skip_serializing_if = "Retirement::is_unbegun")]
    pub(super) retirement: Retirement,
    /// Whether its executions are deleted one by one, because it could not be deleted whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) singly: bool,
}

/// Which execution of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    thing_name: ThingName,
    identity: Identity,
}

impl Seen {
    pub(super) fn of(row: &ExecutionRow) -> Self {
        Self { thing_name: row.thing_name.clone(), identity: row.identity() }
    }

    pub(super) fn is(&self, row: &ExecutionRow) -> bool {
        self.identity == row.identity() && self.thing_name == row.thing_name
    }
}

/// An execution that was acted on and has stayed in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Met {
    #[serde(flatten)]
    seen: Seen,
    rule: String,
    status: Status,
    outcome: Outcome,
}

/// An execution whose thing it took too long to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CutShort {
    #[serde(flatten)]
    seen: Seen,
    times: u8,
}

impl CutShort {
    fn is_given_up(&self) -> bool {
        self.times >= MOST_CUT_SHORT
    }
}

/// How often a slice may have too little time to look at a thing, or take so long that nothing is believed any more,
/// before it is given up. The next slice begins with it, and knows what the last one has read of other jobs.
const MOST_CUT_SHORT: u8 = 8;

/// How often a listing is started over because its token goes bad, before it is given up.
pub(super) const MOST_RESTARTS: u8 = 3;

impl Phase {
    pub(super) fn applying(cursor: &ApplyCursor) -> Self {
        Self::Applying(cursor.clone())
    }
}

impl ApplyCursor {
    /// Notes what was acted on under a rule and has stayed in its place.
    pub(super) fn meet(&mut self, row: &ExecutionRow, rule: &str, outcome: Outcome) {
        let rule = rule.to_owned();
        self.met.push(Met { seen: Seen::of(row), rule, status: row.status, outcome });
    }

    /// Notes what was acted on and may have left its place.
    pub(super) fn moved(&mut self, share: Share, row: &ExecutionRow) {
        self.moved.add(share, 1);
        self.moved_here += 1;
        self.gone.push(Seen::of(row));
    }

    /// A page has been listed. Gives what is on it and has not been moved before.
    pub(super) fn listed(&mut self, rows: impl Iterator<Item = ExecutionRow>) -> Vec<ExecutionRow> {
        self.moved_here = 0;
        let gone = std::mem::take(&mut self.gone);
        let (shown_again, rows): (Vec<_>, Vec<_>) =
            rows.partition(|row| gone.iter().any(|seen| seen.is(row)));
        self.gone = shown_again.iter().map(Seen::of).collect();
        rows
    }

    /// Goes on to the next page.
    pub(super) fn next_page(&mut self, token: String) {
        self.token = Some(token);
        self.left_behind += self.gone.len() as u64;
    }

    /// Whether this pass has acted on it since the page at hand was begun.
    pub(super) fn has_met(&self, row: &ExecutionRow) -> bool {
        self.met.iter().any(|met| met.seen.is(row))
    }

    /// How many of those that stayed in place count as attempted.
    pub(super) fn stayed_attempts(&self) -> u64 {
        let earlier = self.stayed.iter().filter(|(kind, _)| kind.outcome.attempted());
        let here = self.met.iter().filter(|met| met.outcome.attempted()).count();
        earlier.map(|(_, count)| count).sum::<u64>() + here as u64
    }

    /// The job cannot be deleted whole: its executions are gone through one by one, from the first page on.
    pub(super) fn go_singly(&mut self) {
        let Self { segment, index, .. } = *self;
        let moved = std::mem::take(&mut self.moved);
        *self = Self { segment, index, moved, singly: true, ..Self::default() };
    }

    /// Notes that it took too long to look at its thing.
    pub(super) fn cut_short(&mut self, row: &ExecutionRow) {
        match self.cut_short.iter_mut().find(|cut| cut.seen.is(row)) {
            Some(cut) => cut.times += 1,
            None => self.cut_short.push(CutShort { seen: Seen::of(row), times: 1 }),
        }
    }

    /// Whether it has taken too long too often.
    pub(super) fn is_out_of_reach(&self, row: &ExecutionRow) -> bool {
        self.cut_short.iter().any(|cut| cut.is_given_up() && cut.seen.is(row))
    }

    /// Everything on the page at hand has been dealt with.
    pub(super) fn end_page(&mut self) {
        self.cut_short.retain(CutShort::is_given_up);
        for met in self.met.drain(..) {
            let share = Share { rule: met.rule, status: met.status };
            self.stayed.add(OutcomeKind { share, outcome: met.outcome }, 1);
        }
    }

    pub(super) fn next_candidate(&mut self) {
        *self = Self { segment: self.segment, index: self.index + 1, ..Self::default() };
    }

    pub(super) fn next_segment(&mut self) {
        *self = Self { segment: self.segment + 1, ..Self::default() };
    }

    pub(super) fn next_pass(&mut self) {
        let Self { segment, index, restarts, singly, .. } = *self;
        let moved = std::mem::take(&mut self.moved);
        let mut cut_short = std::mem::take(&mut self.cut_short);
        cut_short.retain(CutShort::is_given_up);
        *self = Self { segment, index, moved, restarts, cut_short, singly, ..Self::default() };
    }
}
