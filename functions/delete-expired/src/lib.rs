//! The slices of a sweep that deletes terminal executions past their retention.

use aws::slices::SliceFunction;

/// The function's parts, and the one right it has.
pub type DeleteExpired<I, B, Q> = SliceFunction<I, B, Q, shared::sweep::DeleteExpired>;
