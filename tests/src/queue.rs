//! The queue: keeps what was sent, once for each deduplication id.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::lane::{LaneName, in_lane};
use shared::operation::Operation;
use shared::ports::{Cause, SliceQueue};
use shared::sweep::SliceMessage;

use crate::script::{Fault, Script};

/// A queue in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeQueue {
    /// With the message group of each.
    sent: Arc<Mutex<Vec<(String, SliceMessage)>>>,
    script: Script,
}

impl FakeQueue {
    /// An empty queue.
    pub fn new(script: Script) -> Self {
        Self { sent: Arc::default(), script }
    }

    /// The same queue, as one invocation reaches it.
    #[must_use]
    pub fn of(&self, by: u32) -> Self {
        Self { sent: Arc::clone(&self.sent), script: self.script.of(by) }
    }

    /// What was sent so far.
    pub fn sent(&self) -> Vec<SliceMessage> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().map(|(_, slice)| slice.clone()).collect()
    }

    /// What was sent so far in a message group, which is delivered one after the other.
    pub fn group(&self, group: &str) -> Vec<SliceMessage> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().filter(|(of, _)| of == group).map(|(_, slice)| slice.clone()).collect()
    }
}

impl SliceQueue for FakeQueue {
    async fn send(&self, slice: &SliceMessage, lane: Option<&LaneName>) -> Result<(), Cause> {
        let fault = self.script.begin("send", &slice.deduplication_id()).await;
        if matches!(fault, None | Some(Fault::LostAfter)) {
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            if !sent.iter().any(|(_, there)| there == slice) {
                sent.push((in_lane(slice.sweep_id.operation(), lane), slice.clone()));
            }
        }
        if fault.is_some() {
            return Err("the queue did not answer".into());
        }
        self.script.end().await;
        Ok(())
    }

    async fn give_back(&self, operation: Operation, receipt: &str, wait: Duration) -> Result<(), Cause> {
        let subject = format!("{operation}: {receipt} after {} s", wait.as_secs());
        match self.script.begin("give back", &subject).await {
            None => Ok(()),
            Some(_) => Err("the queue did not answer".into()),
        }
    }
}
