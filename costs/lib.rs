//! Nothing but a bench; see `main.rs`, and `dev/costs.py`, which runs it.
