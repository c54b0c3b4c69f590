//! What every scene needs: a world at a time.

use jiff::{SignedDuration, Timestamp};
use tests::{FakeBucket, FakeIot, FakeQueue, Script};

/// The world's time: 2026-11-21T02:00:00Z.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T02:00:00Z".parse().unwrap()
}

pub(crate) fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

/// An account, a bucket and a queue under one script.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) script: Script,
    pub(crate) iot: FakeIot,
    pub(crate) bucket: FakeBucket,
    pub(crate) queue: FakeQueue,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let script = Script::default();
        Self {
            iot: FakeIot::new(script.clone(), now()),
            bucket: FakeBucket::new(script.clone()),
            queue: FakeQueue::new(script.clone()),
            script,
        }
    }

    /// What calls of an operation were about.
    pub(crate) fn calls_of(&self, operation: &str) -> std::collections::BTreeSet<String> {
        let calls = self.script.calls().into_iter();
        calls.filter(|call| call.operation == operation).map(|call| call.subject).collect()
    }

    /// How many calls of each operation AWS IoT was sent.
    pub(crate) fn sent(&self) -> serde_json::Value {
        let mut sent = std::collections::BTreeMap::<_, u64>::new();
        let calls = self.script.calls().into_iter().map(|call| call.operation);
        // What is not AWS's word is the bucket's or the queue's.
        calls
            .filter(|call| call.starts_with(char::is_uppercase))
            .for_each(|call| *sent.entry(call).or_default() += 1);
        serde_json::json!(sent)
    }

    /// How many cancels and deletes were sent.
    pub(crate) fn mutations(&self) -> usize {
        self.script.count("CancelJobExecution") + self.script.count("DeleteJobExecution")
    }
}
