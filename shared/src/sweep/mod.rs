//! Sweeps: scan everything, check the plan, apply it slice by slice, report.
//!
//! One slice is one invocation. A sweep's state lies in the bucket and moves only by conditional
//! writes, so that a second delivery of a message finds the step taken and does nothing.

mod act;
mod ages;
mod apply;
mod blockers;
mod counts;
mod cursor;
mod estimate;
mod explain;
mod history;
mod id;
mod pace;
mod page;
mod plan;
mod ranking;
mod read;
mod report;
mod results;
mod retire;
mod samples;
mod scan;
mod session;
mod slice;
mod start;
mod state;
mod store;
mod successes;
mod tally;
mod under_way;

pub use act::{Act, CancelStale, DeleteExpired, Outcome, OutcomeKind, Share};
pub use ages::{Age, Ages, AgesOfRules, FORECAST_DAYS, Forecast, ForecastDay};
pub use blockers::{Blocker, Blockers, NotLookedAt};
pub use counts::Counts;
pub use estimate::Estimate;
pub use explain::Prognosis;
pub use history::{History, Span};
pub use id::SweepId;
pub use pace::{CallRate, IotOperation};
pub use plan::{Check, CheckResult, Checked, Limit, Plan};
pub use read::{ListSweeps, ReadError, SweepPage, list, page_key, read, report};
pub use report::Report;
pub use results::OutcomeRow;
pub use retire::{Hindrance, WholeJobs};
pub use samples::{Sample, Samples};
pub use slice::{SliceEnd, SliceError, SliceTime, Worker};
pub use start::{StartError, Starter, Trigger};
pub use state::{Sweep, SweepStatus, SweepView};
pub use tally::{Line, Tally, VerdictKind, Verdicts};

use serde::{Deserialize, Serialize};

/// The message that brings a slice about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceMessage {
    /// Which sweep.
    pub sweep_id: SweepId,
    /// Which step of it.
    pub step: u64,
}

impl SliceMessage {
    /// What makes two sendings of one step the same message.
    pub fn deduplication_id(&self) -> String {
        format!("{}-{}", self.sweep_id, self.step)
    }
}
