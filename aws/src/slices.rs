//! The queue's events: one slice after the other, and back into the queue what did not go.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use serde_json::Value;
use shared::ports::{Cause, ReadJobs, SliceQueue, chain};
use shared::sweep::{Act, SliceMessage, SliceTime, Worker};

/// Does every slice of a batch. After the first that fails the rest is left alone too: their
/// order in the lane must not change.
///
/// # Errors
/// When the event is none of the queue's.
pub async fn run<I: ReadJobs, Q: SliceQueue, A: Act<I>>(
    worker: &Worker<'_, I, Q, A>,
    event: Value,
    holder: &str,
    deadline: Timestamp,
    now: impl Fn() -> Timestamp,
) -> Result<SqsBatchResponse, Cause> {
    let event: SqsEvent = serde_json::from_value(event)?;
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        let done = match response.batch_item_failures.is_empty() {
            true => one(worker, record.body.as_deref(), holder, SliceTime { now: now(), deadline }).await,
            false => false,
        };
        if !done {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record.message_id.unwrap_or_default();
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}

async fn one<I: ReadJobs, Q: SliceQueue, A: Act<I>>(
    worker: &Worker<'_, I, Q, A>,
    body: Option<&str>,
    holder: &str,
    time: SliceTime,
) -> bool {
    let message: SliceMessage = match serde_json::from_str(body.unwrap_or_default()) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(event = "slice_unreadable", error = chain(&error), "the message is no slice");
            return false;
        }
    };
    // Boxed: nested whole, the futures of a slice overflow the compiler's depth.
    match Box::pin(worker.run(&message, holder, time)).await {
        Ok(end) => {
            tracing::info!(event = "slice_ended", sweep_id = %message.sweep_id, step = message.step, ?end);
            true
        }
        Err(error) => {
            tracing::error!(
                event = "slice_failed", sweep_id = %message.sweep_id, step = message.step,
                error = chain(&error), "the slice has to be delivered again"
            );
            false
        }
    }
}
