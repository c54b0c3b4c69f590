//! Jobwarden's domain: what may be cancelled and deleted, when, and why.
//!
//! Nothing here names an AWS SDK, reads a clock or looks at the environment: facts come through
//! the [`ports`], and time is an argument.

pub mod access;
pub mod age;
pub mod api;
pub mod archive;
pub mod digest;
pub mod document;
pub mod execution;
pub mod guard;
pub mod ids;
pub mod json;
pub mod lane;
pub mod legible;
pub mod listing;
pub mod meter;
pub mod operation;
pub mod ports;
pub mod report_page;
pub mod retention;
pub mod source_text;
pub mod sweep;
pub mod time;
