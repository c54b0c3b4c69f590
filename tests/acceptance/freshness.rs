//! How long an edition is believed, and from when on it is an alarm that none can be looked for.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;
use shared::document::{Current, Edition, Editions, LOOK_EVERY, STALE_AFTER};
use shared::ports::Cause;
use shared::retention::Retention;

use crate::log::Log;
use crate::stage::now;

/// Finds the shipped rules at the first look; after that the looks fail, unless `answers` says otherwise.
#[derive(Debug, Default)]
struct Unreachable {
    looks: Mutex<usize>,
    answers: &'static [usize],
}

impl Editions for Unreachable {
    fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>> {
        let mut looks = self.looks.lock().unwrap();
        let look = *looks;
        *looks += 1;
        let text = include_str!("../../policies/retention.toml").to_owned();
        let found = if look == 0 {
            Ok(Some(Edition { source: "first".to_owned(), text }))
        } else if self.answers.contains(&look) {
            Ok(None)
        } else {
            Err("no network".into())
        };
        Box::pin(async { found })
    }
}

/// A function whose looks fail, and its clocks.
struct Scene {
    rules: Current<Retention>,
    wall: Timestamp,
}

impl Scene {
    async fn open(answers: &'static [usize]) -> Self {
        let editions = Unreachable { answers, ..Unreachable::default() };
        Self { rules: Current::open(editions, now()).await.unwrap(), wall: now() }
    }

    /// A call after a time in which nobody called: the monotonic clock went on, or stood still.
    async fn call_after(&mut self, time: Duration, monotonic: bool) {
        self.wall += time;
        if monotonic {
            tokio::time::advance(time).await;
        }
        self.rules.get(self.wall).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_look_that_fails_after_a_pause_is_no_alarm() {
    for monotonic in [true, false] {
        let (log, _guard) = Log::begin();
        let mut scene = Scene::open(&[2]).await;
        // Failed, went well, and failed again: no two in a row.
        for _ in 0..3 {
            scene.call_after(STALE_AFTER * 4, monotonic).await;
        }
        assert_eq!(log.of("document_unavailable").len(), 2);
        assert_eq!(log.of("document_stale").len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn looks_that_have_failed_for_a_quarter_of_an_hour_are_an_alarm_until_one_goes_well() {
    for monotonic in [true, false] {
        let (log, _guard) = Log::begin();
        // The first failed look is that after 30 seconds, so the 31st is a quarter of an hour later.
        let mut scene = Scene::open(&[33]).await;
        for _ in 0..30 {
            scene.call_after(LOOK_EVERY, monotonic).await;
        }
        assert_eq!(log.of("document_stale").len(), 0);
        scene.call_after(LOOK_EVERY, monotonic).await;
        let told = log.of("document_stale");
        assert_eq!((&told[0]["failing_seconds"], &told[0]["since_seconds"]), (&json!(900), &json!(930)));
        scene.call_after(LOOK_EVERY, monotonic).await;
        assert_eq!(log.of("document_stale").len(), 2);
        for _ in 0..3 {
            scene.call_after(LOOK_EVERY, monotonic).await;
        }
        assert_eq!(log.of("document_stale").len(), 2);
    }
}
