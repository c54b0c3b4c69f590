//! Several rows of a page at once: as many as the operation's rate takes, because a call takes its time and
//! the quota does not wait for its answer.

use std::future::{Future, poll_fn};
use std::task::Poll;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::pace::IotOperation;
use super::session::Session;

/// The most rows that are worked on at once. How many there are follows from the rate and from how long calls
/// take: 500 calls a second of 100 ms each are 50. Where calls take longer, more of them would be more
/// connections, and more rows in doubt when a slice dies, and would not make AWS any faster.
pub(super) const MOST: usize = 64;

/// How many may wait for a turn of what is not a row's first call: answers come in no order, so a few do
/// where an operation's rate is used up, and more where it is the slower one.
const MOST_WAITING: usize = 4;

/// Rows that are being worked on. Each makes one call after the other.
pub(super) struct UnderWay<'a, F> {
    session: &'a Session<'a>,
    /// What a row calls, one after the other. Who waits for a turn is served before another row is begun: no
    /// row grows old in a queue, and what has been begun is ended first.
    calls: Vec<IotOperation>,
    rows: FuturesUnordered<F>,
}

/// What there is to do next.
pub(super) enum Turn<T> {
    /// Another row may be begun.
    Begin,
    /// A row has ended so.
    Ended(T),
}

impl<'a, F: Future> UnderWay<'a, F> {
    /// Nothing yet, of rows that make these calls, if they make any.
    pub(super) fn new(session: &'a Session<'a>, calls: Vec<IotOperation>) -> Self {
        Self { session, calls, rows: FuturesUnordered::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn begin(&self, row: F) {
        self.rows.push(row);
    }

    /// Waits until a row has ended, or until another may be begun where `more` are wanted. `None` when there
    /// is nothing left of either.
    pub(super) async fn turn(&mut self, more: More) -> Option<Turn<F::Output>> {
        poll_fn(|context| match (self.rows.poll_next_unpin(context), more) {
            (Poll::Ready(Some(ended)), _) => Poll::Ready(Some(Turn::Ended(ended))),
            (Poll::Ready(None), More::No) => Poll::Ready(None),
            (Poll::Ready(None), More::Yes) => Poll::Ready(Some(Turn::Begin)),
            (Poll::Pending, More::Yes) if self.has_room() => Poll::Ready(Some(Turn::Begin)),
            (Poll::Pending, More::Yes | More::No) => Poll::Pending,
        })
        .await
    }

    fn has_room(&self) -> bool {
        let waiting = |(nth, call): (usize, &IotOperation)| {
            self.session.waiting(*call) > if nth == 0 { 0 } else { MOST_WAITING }
        };
        self.rows.len() < MOST && !self.calls.iter().enumerate().any(waiting)
    }
}

/// Whether more rows are to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    /// If there is room.
    Yes,
    /// What is under way is waited for, and that is all.
    No,
}

impl From<bool> for More {
    fn from(more: bool) -> Self {
        if more { Self::Yes } else { Self::No }
    }
}
