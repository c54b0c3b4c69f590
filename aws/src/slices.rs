//! The queue's events: one slice after the other, and back into the queue what did not go.

use std::marker::PhantomData;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::aws::AmazonS3;
use serde_json::Value;
use shared::access::AccessPolicy;
use shared::document::Current;
use shared::operation::Operation;
use shared::ports::{Cause, FurtherLanes, ReadJobs, SliceQueue, chain};
use shared::retention::Retention;
use shared::sweep::{Act, CallRate, SliceError, SliceMessage, SliceTime, Worker};
use tracing::Instrument;

use crate::lanes::{LaneClients, Session};
use crate::queue::Queues;
use crate::settings::Settings;
use crate::{bucket, counting, documents, sdk};

/// How long a message waits after its first failure; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);

/// The longest that a message waits: as long as the longest invocation.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// A function that does the slices of one operation, and what it does them with.
#[derive(Debug)]
pub struct SliceFunction<I, B, Q, A> {
    /// AWS IoT Jobs, in the home lane.
    pub iot: I,
    /// AWS IoT Jobs, in the others.
    pub lanes: Box<dyn FurtherLanes<I>>,
    /// The bucket of states, reports and archives.
    pub bucket: B,
    /// The function's own queue.
    pub queue: Q,
    /// When something is due.
    pub rules: Current<Retention>,
    /// Who may do what.
    pub access: Current<AccessPolicy>,
    /// Calls a second for each operation.
    pub rate: CallRate,
    /// Whether the deployment allows dry runs only.
    pub dry_run_only: bool,
    /// Whether it allows whole jobs to be deleted.
    pub retire_jobs: bool,
    /// The one right that it has.
    pub act: PhantomData<A>,
}

impl<I: Send + Sync + 'static, A: Act<I>> SliceFunction<I, AmazonS3, Queues, A> {
    /// The function as its environment says.
    ///
    /// # Errors
    /// When a setting is missing or wrong, or the rules or policies are.
    pub async fn open(iot: fn(&SdkConfig) -> I) -> Result<Self, Cause> {
        let ((rules, access), (bucket, queue_url), (rate, dry_run_only), retire_jobs, lanes) =
            Settings::read(|vars| {
                let documents = (vars.retention_rules(), vars.access_policy());
                let retire_jobs = A::OPERATION == Operation::DeleteExpired && vars.retire_jobs();
                let limits = (vars.calls_per_second(), vars.dry_run());
                (documents, (vars.bucket(), vars.queue_url()), limits, retire_jobs, vars.lanes())
            })?;
        let config = sdk::config().await;
        Ok(Self {
            iot: iot(&config),
            lanes: Box::new(LaneClients::new(
                iot,
                &config,
                &lanes,
                Session { operation: A::OPERATION, retire_jobs },
            )),
            bucket: bucket::open(&bucket)?,
            queue: Queues::new(&config, vec![(A::OPERATION, queue_url)]),
            rules: documents::open(&rules, &config).await?,
            access: documents::open(&access, &config).await?,
            rate,
            dry_run_only,
            retire_jobs,
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
        // A slice goes by one edition of each; the sweep stops where that is not its plan's.
        let (rules, access) = (self.rules.get(now()).await, self.access.get(now()).await);
        let worker = Worker {
            iot: &self.iot,
            lanes: &*self.lanes,
            bucket: &self.bucket,
            queue: &self.queue,
            rules: &rules,
            access: &access,
            rate: self.rate,
            dry_run_only: self.dry_run_only,
            retire_jobs: self.retire_jobs,
            act: self.act,
        };
        let event: SqsEvent = serde_json::from_value(event)?;
        let mut response = SqsBatchResponse::default();
        for record in event.records {
            if response.batch_item_failures.is_empty() {
                let time = SliceTime { now: now(), deadline };
                match one(&worker, &record, holder, time).await {
                    Ok(()) => continue,
                    Err(failed) => self.give_back(&record, failed, now()).await,
                }
            }
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record.message_id.unwrap_or_default();
            response.batch_item_failures.push(failure);
        }
        counting::flush();
        Ok(response)
    }

    /// Lets a message come again as soon as that has a chance.
    async fn give_back(&self, record: &SqsMessage, failed: Failed, now: Timestamp) {
        let wait = failed.wait(received(record), now);
        let receipt = record.receipt_handle.as_deref().unwrap_or_default();
        if let Err(error) = self.queue.give_back(A::OPERATION, receipt, wait).await {
            tracing::warn!(event = "message_not_given_back", error = chain(&*error));
        }
    }
}

/// How often a message has been received, this time counted.
fn received(message: &SqsMessage) -> u32 {
    let count = message.attributes.get("ApproximateReceiveCount");
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Why a message has to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// It is no slice, and will not become one: the sooner it is a dead letter, the better.
    Unreadable,
    /// Another invocation may be at it until then.
    HeldUntil(Timestamp),
    /// Something underneath did not serve.
    Unavailable,
}

impl Failed {
    /// How long to wait, given how often the message has been received.
    fn wait(self, received: u32, now: Timestamp) -> Duration {
        match self {
            Self::Unreadable => Duration::ZERO,
            Self::HeldUntil(until) => {
                let left = until.duration_since(now).as_secs() + 1;
                Duration::from_secs(u64::try_from(left).unwrap_or_default()).min(LONGEST_WAIT)
            }
            Self::Unavailable => {
                let doublings = received.saturating_sub(1).min(8);
                (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
            }
        }
    }
}

async fn one<I: ReadJobs, Q: SliceQueue, A: Act<I>>(
    worker: &Worker<'_, I, Q, A>,
    record: &SqsMessage,
    holder: &str,
    time: SliceTime,
) -> Result<(), Failed> {
    let body = record.body.as_deref().unwrap_or_default();
    let message: SliceMessage = match serde_json::from_str(body) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(event = "slice_unreadable", error = chain(&error), "the message is no slice");
            return Err(Failed::Unreadable);
        }
    };
    // Whatever is logged in between can be told to belong to the sweep.
    let span = tracing::info_span!("slice", sweep_id = %message.sweep_id, step = message.step);
    // Boxed: nested whole, the futures of a slice overflow the compiler's depth.
    match Box::pin(worker.run(&message, holder, time)).instrument(span).await {
        Ok(end) => {
            tracing::info!(event = "slice_ended", sweep_id = %message.sweep_id, step = message.step, ?end);
            Ok(())
        }
        Err(error) => {
            tracing::error!(
                event = "slice_failed", sweep_id = %message.sweep_id, step = message.step,
                error = chain(&error), "the slice has to be delivered again"
            );
            Err(match error {
                SliceError::Held { until } => Failed::HeldUntil(until),
                SliceError::Superseded | SliceError::Store(_) | SliceError::Unavailable { .. } => {
                    Failed::Unavailable
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_waits_as_long_as_it_takes_and_no_longer() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let wait = |failed: Failed, received| failed.wait(received, now).as_secs();
        assert_eq!(wait(Failed::Unreadable, 3), 0);
        let waits = [0, 1, 2, 3, 4, 5, u32::MAX].map(|received| wait(Failed::Unavailable, received));
        assert_eq!(waits, [30, 30, 60, 120, 240, 480, 900]);
        let held = |seconds| wait(Failed::HeldUntil(Timestamp::from_second(seconds).unwrap()), 1);
        assert_eq!((held(1_800_000_100), held(1_799_999_000), held(1_900_000_000)), (101, 0, 900));
    }
}
