//! The slices of a sweep that cancels queued executions that have waited too long.

use aws::slices::SliceFunction;

/// The function's parts, and the one right it has.
pub type CancelStale<I, B, Q> = SliceFunction<I, B, Q, shared::sweep::CancelStale>;
