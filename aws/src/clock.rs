//! The one clock.

use jiff::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The time of a Lambda deadline, in milliseconds since the epoch.
///
/// # Errors
/// When it is no time.
pub fn at(millis: u64) -> Result<Timestamp, shared::ports::Cause> {
    Ok(Timestamp::from_millisecond(i64::try_from(millis)?)?)
}
