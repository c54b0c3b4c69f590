//! The account: its fleet, its quotas, its bucket and its queue. A reset puts another in its place.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use shared::execution::Status;
use shared::ids::ThingName;
use tests::FakeIot;

use crate::bucket::Bucket;
use crate::calls::{Calls, Came};
use crate::fleet::{self, CANCEL_ME};
use crate::limits::Limits;
use crate::options::{Changes, Options};
use crate::queue::Queue;

/// An account with everything in it.
#[derive(Debug)]
pub struct Account {
    /// What its fleet is like.
    pub options: Options,
    /// AWS IoT Jobs.
    pub iot: FakeIot,
    /// What was called.
    pub calls: Calls,
    /// The bucket.
    pub bucket: Bucket,
    /// The queue.
    pub queue: Queue,
    limits: Limits,
    /// Things on which `cancel-me` has been cancelled.
    canceled: Mutex<BTreeSet<ThingName>>,
    /// What the next latency is drawn with.
    drawn: AtomicU64,
}

impl Account {
    fn new(options: Options) -> Self {
        Self {
            iot: fleet::make(&options, now()),
            calls: Calls::default(),
            bucket: Bucket::default(),
            queue: Queue::default(),
            limits: Limits::new(&options.limits, Instant::now()),
            canceled: Mutex::default(),
            drawn: AtomicU64::new(0),
            options,
        }
    }

    /// Whether a call of an operation goes through its quota; one that does not is counted.
    pub fn admits(&self, operation: &'static str) -> bool {
        let through = self.limits.take(operation, Instant::now());
        if !through {
            self.calls.count(operation, Came::Throttled, now());
        }
        through
    }

    /// How long the next answer takes.
    pub fn latency(&self) -> Duration {
        let (from, to) = (self.options.latency_ms.0, self.options.latency_ms.1);
        // The golden ratio spreads its multiples evenly; chance of another kind is not needed.
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let share = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64((from + (to - from) * share) / 1_000.0)
    }

    /// Remembers that `cancel-me` was cancelled on a thing.
    pub fn canceled(&self, thing: &ThingName) {
        self.set().insert(thing.clone());
    }

    /// Puts `cancel-me` back where it was cancelled, on one thing or on every thing.
    pub fn put_back(&self, only: Option<&ThingName>) {
        let taken: Vec<_> = match only {
            Some(thing) => self.set().take(thing).into_iter().collect(),
            None => std::mem::take(&mut *self.set()).into_iter().collect(),
        };
        for thing in taken {
            self.iot.change(CANCEL_ME, thing.as_str(), |execution| {
                execution.row.status = Status::Queued;
                execution.row.last_updated_at = execution.row.queued_at;
                execution.version = 1;
                execution.force_canceled = false;
                execution.details.clear();
            });
        }
    }

    fn set(&self) -> std::sync::MutexGuard<'_, BTreeSet<ThingName>> {
        self.canceled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of the moment.
#[derive(Debug)]
pub struct Accounts {
    options: Options,
    current: RwLock<Arc<Account>>,
}

impl Accounts {
    /// The first one.
    pub fn new(options: Options) -> Self {
        Self { current: RwLock::new(Arc::new(Account::new(options.clone()))), options }
    }

    /// The one that calls reach now. What is under way stays with the one that it reached.
    pub fn current(&self) -> Arc<Account> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in its place: the options of the command line with changes.
    pub fn reset(&self, changes: Changes) -> Result<(), String> {
        let account = Arc::new(Account::new(self.options.with(changes)?));
        let old =
            std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), account);
        drop(old);
        Ok(())
    }
}

/// Now.
#[expect(clippy::disallowed_methods, reason = "the endpoint's one clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
