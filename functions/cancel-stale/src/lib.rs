//! The slices of a sweep that cancels queued executions that have waited too long.

use std::marker::PhantomData;

use aws::slices;
use aws_lambda_events::sqs::SqsBatchResponse;
use jiff::Timestamp;
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::ports::{CancelExecutions, Cause, ReadJobs, SliceQueue};
use shared::retention::Retention;
use shared::sweep::{CallRate, CancelStale as Right, Worker};

/// The function's parts.
#[derive(Debug)]
pub struct CancelStale<I, B, Q> {
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
}

impl<I: ReadJobs + CancelExecutions, B: object_store::ObjectStore, Q: SliceQueue> CancelStale<I, B, Q> {
    /// Does the slices of one event of the queue.
    ///
    /// # Errors
    /// When the event is none of the queue's.
    pub async fn handle(
        &self,
        event: Value,
        request_id: &str,
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
            act: PhantomData::<Right>,
        };
        slices::run(&worker, event, request_id, deadline, now).await
    }
}
