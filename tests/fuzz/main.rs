//! Made-up events for each function, and made-up texts for each reader: sample events with a few changes. None may
//! panic, hang, or answer outside the contract.
//!
//! `FUZZ_RUNS` says how many; `FUZZ_SEED=1 FUZZ_FROM=123 FUZZ_RUNS=1` sends the one again that failed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's allowance for tests does not reach the functions that tests share"
)]

mod functions;
mod mutate;
#[expect(dead_code, reason = "the simulation needs more of it")]
#[path = "../simulation/rng.rs"]
mod rng;
#[expect(dead_code, reason = "the acceptance tests need more of it")]
#[path = "../acceptance/stage.rs"]
mod stage;
mod texts;
#[path = "../acceptance/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How many events for each target; fewer where they take ten times as long, without optimisation.
const RUNS: u64 = if cfg!(debug_assertions) { 500 } else { 10_000 };

/// An execution that takes longer than this hangs, on the slowest machine there is.
const HANGS: Duration = Duration::from_secs(30);

/// What came of an execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// `2xx`, `400`, `Err` and the like.
    pub(crate) class: &'static str,
    /// Whether the event was read, and something was decided or done.
    pub(crate) read: bool,
}

#[expect(clippy::disallowed_methods, reason = "whoever replays an event says so in the environment")]
fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`"))
}

/// Runs a target; one whose executions are dear gets one of `share`.
pub(crate) fn fuzz(name: &str, share: u64, seeds: &[Value], mut run: impl FnMut(Value) -> Outcome) {
    let (seed, from) = (number("FUZZ_SEED", 1), number("FUZZ_FROM", 0));
    let runs = number("FUZZ_RUNS", RUNS).div_ceil(share);
    let begun = Instant::now();
    let (mut classes, mut read, mut slowest) = (BTreeMap::<_, u64>::new(), 0_u64, (Duration::ZERO, 0));
    for index in from..from + runs {
        let event = mutate::event(seeds, seed, index);
        let before = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let outcome = run(event);
            assert!(before.elapsed() < HANGS, "this took {:?}", before.elapsed());
            outcome
        }));
        let outcome = outcome.unwrap_or_else(|panic| {
            let event = mutate::event(seeds, seed, index);
            eprintln!("{name}: replay with FUZZ_SEED={seed} FUZZ_FROM={index} FUZZ_RUNS=1\n{event}");
            resume_unwind(panic)
        });
        slowest = slowest.max((before.elapsed(), index));
        *classes.entry(outcome.class).or_default() += 1;
        read += u64::from(outcome.read);
    }
    let took = begun.elapsed();
    let told: String = classes.iter().map(|(class, count)| format!(", {class} {count}")).collect();
    println!(
        "{name}: {runs} executions, {:.0}/s, {:.1} % read{told}; the slowest took {:.1} ms (index {})",
        runs as f64 / took.as_secs_f64(),
        100.0 * read as f64 / runs as f64,
        slowest.0.as_secs_f64() * 1e3,
        slowest.1,
    );
    assert!(runs < 500 || read * 100 >= runs, "{name}: only {read} of {runs} events were read");
}

/// Whether a message may stand in a log: not empty, and no character that acts on a terminal.
pub(crate) fn assert_legible(message: &str, one_line: bool) {
    let bad = |c: char| c.is_control() && (one_line || c != '\n');
    assert!(!message.trim().is_empty() && !message.contains(bad), "not legible: {message:?}");
}
