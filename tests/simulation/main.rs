//! Sweeps under everything that can go wrong at once: small made-up worlds, rules and faults, each told by one
//! seed, and judged by a second opinion that shares nothing with the code under test.
//!
//! `SIMULATION_SEED=123 cargo test -p tests --test simulation -- --nocapture` runs one case and tells every call of it;
//! `SIMULATION_CASES=200000` runs more of them, `SIMULATION_FROM=5000000` or `SIMULATION_FROM=random` others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's allowance for tests does not reach the functions that tests share"
)]

mod case;
mod coverage;
mod director;
mod faults;
mod fleet;
mod life;
mod notes;
mod oracle;
mod rng;
mod rules;
mod stage;
mod verdict;
mod witness;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use case::Case;
use life::{Trace, live};

/// The first seed, unless another is asked for. Fixed, so that no change fails for a bug that was there before.
const FROM: u64 = 1_000_000;

/// How many cases; fewer where they take ten times as long, without optimisation.
const CASES: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };

/// After so many failures there is no use in going on.
const ENOUGH: usize = 3;

#[expect(clippy::disallowed_methods, reason = "whoever replays a seed says so in the environment")]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    asked(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// A case that fails, made smaller: whatever can be left out without its passing is.
fn shrink(mut case: Case) -> Case {
    let fails = |case: &Case| !live(case, Trace::Off).violations.is_empty();
    loop {
        let mut smaller = case.without();
        match smaller.find(fails) {
            Some(found) => case = found,
            None => return case,
        }
    }
}

fn tell(seed: u64) -> String {
    let case = shrink(Case::of(seed));
    let lived = live(&case, Trace::On);
    let trace = lived.trace.join("\n");
    format!(
        "=== seed {seed}, made as small as it still fails\n{case}--- calls\n{trace}\n--- what is wrong\n{}\n\
         --- replay it\nSIMULATION_SEED={seed} cargo test -p tests --test simulation -- --nocapture\n",
        lived.violations.join("\n")
    )
}

#[test]
fn sweeps_keep_their_promises_whatever_goes_wrong() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let told = live(&Case::of(seed), Trace::On);
        println!("=== seed {seed}\n{}{}\n{:#?}", Case::of(seed), told.trace.join("\n"), told.counts);
        assert!(told.violations.is_empty(), "{}", tell(seed));
        return;
    }
    let from = match asked("SIMULATION_FROM").as_deref() {
        None => FROM,
        Some("random") => RandomState::new().build_hasher().finish() >> 24,
        Some(text) => text.parse().unwrap_or_else(|_| panic!("SIMULATION_FROM must be a number or `random`")),
    };
    let cases = number("SIMULATION_CASES").unwrap_or(CASES);
    println!("{cases} cases from seed {from}");
    let next = AtomicU64::new(0);
    let counts = Mutex::new(BTreeMap::new());
    let failed = Mutex::new(Vec::new());
    let work = || {
        let mut mine = BTreeMap::<String, u64>::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= cases || failed.lock().unwrap_or_else(PoisonError::into_inner).len() >= ENOUGH {
                break;
            }
            let lived = live(&Case::of(from + nth), Trace::Off);
            for (what, count) in lived.counts {
                *mine.entry(what).or_default() += count;
            }
            if !lived.violations.is_empty() {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(from + nth);
            }
        }
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, count) in mine {
            *counts.entry(what).or_default() += count;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{counts:#?}");
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let told: Vec<_> = failed.iter().map(|seed| tell(*seed)).collect();
    assert!(told.is_empty(), "{}\nfailed: {failed:?}", told.join("\n"));
    coverage::enough_happened(&counts, cases);
}
