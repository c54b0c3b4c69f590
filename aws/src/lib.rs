//! Jobwarden's adapters: AWS IoT, SQS, the bucket, the gateway's events, settings and the clock.
//! The only crate that names an SDK.

pub mod bucket;
pub mod clock;
pub mod documents;
pub mod gateway;
mod http;
pub mod iot;
pub mod lanes;
pub mod logging;
pub mod queue;
pub mod schedules;
pub mod sdk;
pub mod settings;
pub mod slices;
pub mod validation;
