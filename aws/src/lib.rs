//! Jobwarden's adapters: AWS IoT, SQS, the bucket, the gateway's events, settings and the clock.
//! The only crate that names an SDK.

pub mod bucket;
pub mod clock;
#[cfg(feature = "functions")]
pub mod counting;
#[cfg(feature = "functions")]
pub mod documents;
pub mod error_code;
#[cfg(feature = "functions")]
pub mod gateway;
mod http;
#[cfg(feature = "functions")]
pub mod iot;
#[cfg(feature = "functions")]
pub mod lanes;
#[cfg(feature = "functions")]
pub mod logging;
pub mod operator;
#[cfg(feature = "functions")]
pub mod queue;
#[cfg(feature = "functions")]
pub mod scheduled;
#[cfg(feature = "functions")]
pub mod sdk;
#[cfg(feature = "functions")]
pub mod settings;
#[cfg(feature = "functions")]
pub mod slices;
mod trust;
#[cfg(feature = "functions")]
pub mod validation;
