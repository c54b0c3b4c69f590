//! Acceptance tests in process: whole functions against a world with a state.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's allowance for tests does not reach the functions that tests share"
)]

mod access;
#[cfg(feature = "functions")]
mod api;
#[cfg(feature = "functions")]
mod audit;
mod blockers;
mod bodies;
#[cfg(feature = "functions")]
mod decisions;
mod durations;
#[cfg(feature = "functions")]
mod events;
#[cfg(feature = "functions")]
mod facts;
mod freshness;
#[cfg(feature = "functions")]
mod guard;
#[cfg(feature = "functions")]
mod hostile;
mod keep_last;
#[cfg(feature = "functions")]
mod lanes;
mod log;
#[cfg(feature = "functions")]
mod meters;
mod openapi;
mod pages;
mod races;
mod repeated_listings;
#[cfg(feature = "functions")]
mod report_links;
mod retire;
mod stage;
mod sweep_concurrency;
mod sweep_faults;
mod sweep_stage;
mod sweep_terms;
mod sweeps;
#[cfg(feature = "functions")]
mod world;
