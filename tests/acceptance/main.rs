//! Acceptance tests in process: whole functions against a world with a state.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's allowance for tests does not reach the functions that tests share"
)]

mod access;
mod audit;
mod blockers;
mod decisions;
mod events;
mod expiry;
mod facts;
mod guard;
mod keep_last;
mod lanes;
mod races;
mod retire;
mod stage;
mod sweep_concurrency;
mod sweep_faults;
mod sweep_stage;
mod sweep_terms;
mod sweeps;
