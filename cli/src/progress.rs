//! How far a sweep is, how fast it goes, and how long it will take: told from what the API says of it, whenever
//! somebody begins to look.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use shared::legible::{grouped, length};
use shared::operation::Operation;
use shared::sweep::{Estimate, SweepId, SweepStatus};

/// The rate is that of so long a time past.
const WINDOW: SignedDuration = SignedDuration::from_mins(2);

/// How many columns a line may have: a longer one would wrap, and could not be drawn over.
const COLUMNS: usize = 79;

/// The columns of the bar itself.
const BAR: u64 = 20;

/// A sweep as the API shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sweep {
    pub(crate) sweep_id: SweepId,
    pub(crate) operation: Operation,
    #[serde(default)]
    pub(crate) lane: Option<String>,
    pub(crate) dry_run: bool,
    pub(crate) requested_by: String,
    pub(crate) status: SweepStatus,
    #[serde(default)]
    pub(crate) failure: Option<String>,
    pub(crate) updated_at: Timestamp,
    #[serde(default)]
    pub(crate) finished_at: Option<Timestamp>,
    jobs: Jobs,
    pub(crate) rows_seen: u64,
    pub(crate) due: u64,
    #[serde(default)]
    pub(crate) outcomes: BTreeMap<String, u64>,
    #[serde(default)]
    calls: BTreeMap<String, u64>,
    #[serde(default)]
    throttled: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) plan_digest: Option<String>,
    #[serde(default)]
    estimate: Option<Estimate>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Jobs {
    seen: u64,
    too_young: u64,
    #[serde(default)]
    never: u64,
    unreadable: u64,
    scanned: u64,
    gone: u64,
}

impl Sweep {
    /// What of the phase at hand is done, and of how many.
    fn done(&self) -> (u64, u64) {
        match self.status {
            SweepStatus::Queued => (0, 0),
            SweepStatus::Scanning => {
                let Jobs { seen, too_young, never, unreadable, scanned, gone } = self.jobs;
                ((too_young + never + unreadable + scanned + gone).min(seen), seen)
            }
            SweepStatus::Applying
            | SweepStatus::Succeeded
            | SweepStatus::StoppedByBreaker
            | SweepStatus::Failed => (self.settled(), self.due),
        }
    }

    /// How many executions of the plan it is known of what came of them.
    pub(crate) fn settled(&self) -> u64 {
        self.outcomes.values().sum()
    }
}

/// What has been seen of a sweep lately.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    status: Option<SweepStatus>,
    /// When the sweep had said so, and how much was done then.
    samples: VecDeque<(Timestamp, u64)>,
}

impl Progress {
    /// Takes in what the API says now. By the sweep's own time: it tells of itself when a page is done, not when
    /// somebody asks.
    pub(crate) fn note(&mut self, sweep: &Sweep) {
        if self.status != Some(sweep.status) {
            self.samples.clear();
            self.status = Some(sweep.status);
        }
        let (done, _) = sweep.done();
        if self.samples.back().is_none_or(|(at, _)| *at < sweep.updated_at) {
            self.samples.push_back((sweep.updated_at, done));
        }
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|(at, _)| sweep.updated_at.duration_since(*at) >= WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// How many a second, once two looks have told different times.
    fn rate(&self) -> Option<f64> {
        let ((began, before), (ended, after)) = self.samples.front().zip(self.samples.back())?;
        let seconds = ended.duration_since(*began).as_secs_f64();
        (seconds >= 1.0 && after > before).then(|| (after - before) as f64 / seconds)
    }

    /// How many seconds are left: at the rate that was seen, or by the plan's estimate before there is one.
    fn left(&self, sweep: &Sweep) -> Option<u64> {
        let (done, of) = sweep.done();
        if sweep.status != SweepStatus::Applying || of == 0 {
            return None;
        }
        let open = of.saturating_sub(done) as f64;
        let estimated = || Some(sweep.estimate.as_ref()?.seconds as f64 * open / of as f64);
        let seconds = self.rate().map(|rate| open / rate).or_else(estimated)?;
        Some(seconds.ceil() as u64)
    }

    /// It all on one line.
    pub(crate) fn line(&self, sweep: &Sweep) -> String {
        let (done, of) = sweep.done();
        let mut line = format!("{:<9}", sweep.status.as_str().to_lowercase());
        match sweep.status {
            SweepStatus::Queued => line.push_str(" waits for its lane"),
            SweepStatus::Scanning => {
                let _ = write!(line, " {} {}/{} jobs", bar(done, of), grouped(done), grouped(of));
                let _ = write!(line, "  {} seen, {} due", grouped(sweep.rows_seen), grouped(sweep.due));
            }
            SweepStatus::Applying => {
                let _ = write!(line, " {} {}/{}", bar(done, of), grouped(done), grouped(of));
            }
            SweepStatus::Succeeded | SweepStatus::StoppedByBreaker | SweepStatus::Failed => {}
        }
        if sweep.status == SweepStatus::Applying {
            if let Some(rate) = self.rate() {
                let _ = write!(line, "  {rate:.1}/s");
            }
            if let Some(left) = self.left(sweep) {
                let _ = write!(line, "  {} left", length(left));
            }
        }
        let (calls, throttled): (u64, u64) = (sweep.calls.values().sum(), sweep.throttled.values().sum());
        if calls > 0 {
            let _ = write!(line, "  {} throttled", grouped(throttled));
        }
        line.chars().take(COLUMNS).collect()
    }
}

fn bar(done: u64, of: u64) -> String {
    let share = |whole: u64| (done.min(of) * whole).checked_div(of).unwrap_or_default();
    let filled = usize::try_from(share(BAR)).unwrap_or_default();
    let empty = usize::try_from(BAR).unwrap_or_default().saturating_sub(filled);
    format!("[{}{}] {:>3}%", "#".repeat(filled), ".".repeat(empty), share(100))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sweep(status: &str, second: i64, done: u64) -> Sweep {
        serde_json::from_value(json!({
            "sweepId": "20261121T020000Z-delete-expired-1a2b3c4d",
            "operation": "delete-expired",
            "dryRun": false,
            "requestedBy": "anna",
            "status": status,
            "updatedAt": Timestamp::from_second(second).unwrap(),
            "jobs": {"seen": 40, "tooYoung": 3, "never": 2, "unreadable": 0, "scanned": 5, "gone": 0},
            "rowsSeen": 3000,
            "due": 2000,
            "outcomes": {"deleted": done},
            "calls": {"DeleteJobExecution": done + 2},
            "throttled": {"DeleteJobExecution": 2},
            "estimate": {"calls": {}, "seconds": 400},
        }))
        .unwrap()
    }

    #[test]
    fn a_sweep_at_work_tells_its_share_rate_throttles_and_time_left() {
        let mut progress = Progress::default();
        progress.note(&sweep("APPLYING", 1000, 500));
        let first = progress.line(&sweep("APPLYING", 1000, 500));
        assert_eq!(first, "applying  [#####...............]  25% 500/2,000  5m00s left  2 throttled");
        progress.note(&sweep("APPLYING", 1010, 580));
        let second = progress.line(&sweep("APPLYING", 1010, 580));
        assert_eq!(second, "applying  [#####...............]  29% 580/2,000  8.0/s  2m58s left  2 throttled");
    }

    #[test]
    fn a_scan_tells_jobs_and_a_line_never_wraps() {
        let mut progress = Progress::default();
        progress.note(&sweep("SCANNING", 1000, 0));
        let line = progress.line(&sweep("SCANNING", 1000, 0));
        assert!(
            line.starts_with("scanning  [#####...............]  25% 10/40 jobs  3,000 seen, 2,000 due"),
            "{line}"
        );
        assert!(line.chars().count() <= COLUMNS);
        let waits = Progress::default().line(&sweep("QUEUED", 0, 0));
        assert!(waits.starts_with("queued    waits for its lane"), "{waits}");
    }

    #[test]
    fn the_rate_is_that_of_the_last_two_minutes_and_of_one_phase() {
        let mut progress = Progress::default();
        for (second, done) in [(0, 0), (100, 100), (200, 900), (300, 1700)] {
            progress.note(&sweep("APPLYING", second, done));
        }
        assert_eq!(progress.rate(), Some(8.0));
        progress.note(&sweep("APPLYING", 300, 1700));
        assert_eq!(progress.rate(), Some(8.0), "the same word twice is one");
        progress.note(&sweep("SUCCEEDED", 310, 2000));
        assert_eq!(progress.rate(), None);
    }
}
