//! Acceptance tests in process: whole functions against a world with a state.

mod access;
mod events;
mod guard;
mod stage;
mod sweeps;
