//! Exact expiry: when an execution ends, the moments are known at which a rule may have it due. It is
//! looked at again then, without a scan.

mod check;
mod ended;

pub use check::ExpiryCheck;
pub use ended::Ended;
