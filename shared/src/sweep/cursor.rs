//! Where a sweep stands: enough to go on after any end of a slice, and no more.

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::ids::JobId;

/// What the sweep does next, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub(super) enum Phase {
    /// Lists jobs, page by page, into segments.
    Listing {
        /// The next page.
        token: Option<String>,
    },
    /// Judges the executions of the jobs of the segments.
    Scanning(ScanCursor),
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
    /// What the job's earlier pages had. Apart from the sweep's tally, so that the job can be
    /// started over when its token goes bad.
    pub(super) job: Tally,
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
    pub(super) due: u64,
}

/// Where the application stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplyCursor {
    /// The segment of candidates.
    pub(super) segment: u64,
    /// The candidate within the segment.
    pub(super) index: usize,
    /// The next page of the job's executions.
    pub(super) token: Option<String>,
    /// How many passes over the job came before this one.
    pub(super) pass: u64,
    /// How many pages this pass has had.
    pub(super) pages: u64,
    /// How many executions this pass has acted on. Deleting may shift the pages behind, so a pass
    /// that acted on a job of several pages is followed by another.
    pub(super) acted: u64,
}

impl ApplyCursor {
    pub(super) fn next_candidate(&mut self) {
        *self = Self {
            segment: self.segment,
            index: self.index + 1,
            ..Self::default()
        };
    }

    pub(super) fn next_segment(&mut self) {
        *self = Self {
            segment: self.segment + 1,
            ..Self::default()
        };
    }

    pub(super) fn next_pass(&mut self) {
        *self = Self {
            segment: self.segment,
            index: self.index,
            pass: self.pass + 1,
            ..Self::default()
        };
    }
}
