//! The schedules of exact expiry: keeps what was scheduled, once for each name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use shared::expiry::ExpiryCheck;
use shared::ports::{Cause, ExpirySchedules, Scheduled};

use crate::script::{Fault, Script};

/// What a name is scheduled for.
pub type FakeSchedule = (Timestamp, ExpiryCheck);

/// Schedules in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeSchedules {
    made: Arc<Mutex<BTreeMap<String, FakeSchedule>>>,
    script: Script,
}

impl FakeSchedules {
    /// No schedules.
    pub fn new(script: Script) -> Self {
        Self { made: Arc::default(), script }
    }

    /// What is scheduled, the soonest first.
    pub fn made(&self) -> Vec<FakeSchedule> {
        let mut made: Vec<_> =
            self.made.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        made.sort_by_key(|(at, _)| *at);
        made
    }
}

impl ExpirySchedules for FakeSchedules {
    async fn schedule(&self, check: &ExpiryCheck, at: Timestamp) -> Result<Scheduled, Cause> {
        let fault = self.script.begin("CreateSchedule", &check.name()).await;
        let mut scheduled = Scheduled::Before;
        if matches!(fault, None | Some(Fault::LostAfter)) {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry(check.name()).or_insert_with(|| {
                scheduled = Scheduled::Now;
                (at, check.clone())
            });
        }
        if fault.is_some() {
            return Err("Scheduler did not answer".into());
        }
        self.script.end().await;
        Ok(scheduled)
    }
}
