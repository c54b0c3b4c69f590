//! Acceptance tests in process: whole functions against a world with a state.

mod access;
mod guard;
mod stage;
mod sweeps;
