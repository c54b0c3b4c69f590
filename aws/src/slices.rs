//! The queue's events: one slice after the other, and back into the queue what did not go.

use std::marker::PhantomData;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::aws::AmazonS3;
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::ports::{Cause, ReadJobs, SliceQueue, chain};
use shared::retention::Retention;
use shared::sweep::{Act, CallRate, SliceMessage, SliceTime, Worker};

use crate::queue::Queues;
use crate::settings::Settings;
use crate::{bucket, sdk};

/// A function that does the slices of one operation, and what it does them with.
#[derive(Debug)]
pub struct SliceFunction<I, B, Q, A> {
    /// AWS IoT Jobs.
    pub iot: I,
    /// The bucket of states, reports and archives.
    pub bucket: B,
    /// The function's own queue.
    pub queue: Q,
    /// When something is due.
    pub rules: Retention,
    /// Who may do what.
    pub access: AccessPolicy,
    /// Calls a second for each operation.
    pub rate: CallRate,
    /// Whether the deployment allows dry runs only.
    pub dry_run_only: bool,
    /// The one right that it has.
    pub act: PhantomData<A>,
}

impl<I, A: Act<I>> SliceFunction<I, AmazonS3, Queues, A> {
    /// The function as its environment says, with the shipped rules and policies.
    ///
    /// # Errors
    /// When a setting is missing or wrong, or the rules or policies are.
    pub async fn open(iot: impl FnOnce(&SdkConfig) -> I) -> Result<Self, Cause> {
        let (bucket, queue_url, rate, dry_run_only) = Settings::read(|vars| {
            (vars.bucket(), vars.queue_url(), vars.calls_per_second(), vars.dry_run())
        })?;
        let config = sdk::config().await;
        Ok(Self {
            iot: iot(&config),
            bucket: bucket::open(&bucket)?,
            queue: Queues::new(&config, vec![(A::OPERATION, queue_url)]),
            rules: Retention::shipped()?,
            access: AccessPolicy::shipped()?,
            rate,
            dry_run_only,
            act: PhantomData,
        })
    }
}

impl<I: ReadJobs, B: ObjectStore, Q: SliceQueue, A: Act<I>> SliceFunction<I, B, Q, A> {
    /// Does every slice of an event of the queue. After the first that fails the rest is left
    /// alone too: their order in the lane must not change.
    ///
    /// # Errors
    /// When the event is none of the queue's.
    pub async fn handle(
        &self,
        event: Value,
        holder: &str,
        deadline: Timestamp,
        now: impl Fn() -> Timestamp,
    ) -> Result<SqsBatchResponse, Cause> {
        let worker = Worker {
            iot: &self.iot,
            bucket: &self.bucket,
            queue: &self.queue,
            rules: &self.rules,
            access: &self.access,
            rate: self.rate,
            dry_run_only: self.dry_run_only,
            act: self.act,
        };
        let event: SqsEvent = serde_json::from_value(event)?;
        let mut response = SqsBatchResponse::default();
        for record in event.records {
            let done = match response.batch_item_failures.is_empty() {
                true => {
                    one(&worker, record.body.as_deref(), holder, SliceTime { now: now(), deadline }).await
                }
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
