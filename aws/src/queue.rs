//! The FIFO queues of slices: one an operation, with a message group for each lane.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_sqs::Client;
use shared::lane::{LaneName, in_lane};
use shared::operation::Operation;
use shared::ports::{Cause, SliceQueue};
use shared::sweep::SliceMessage;

/// The queues that a function may send to.
#[derive(Debug, Clone)]
pub struct Queues {
    client: Client,
    urls: Vec<(Operation, String)>,
}

impl Queues {
    /// Queues by operation. Sending is idempotent by its deduplication id, so the SDK may retry.
    pub fn new(config: &SdkConfig, urls: Vec<(Operation, String)>) -> Self {
        let config = aws_sdk_sqs::config::Builder::from(config).retry_config(RetryConfig::standard()).build();
        Self { client: Client::from_conf(config), urls }
    }

    fn url(&self, operation: Operation) -> Result<&str, Cause> {
        let url = self.urls.iter().find(|(of, _)| *of == operation).map(|(_, url)| url.as_str());
        url.ok_or_else(|| format!("this function has no queue for {operation}").into())
    }
}

impl SliceQueue for Queues {
    async fn send(&self, slice: &SliceMessage, lane: Option<&LaneName>) -> Result<(), Cause> {
        let operation = slice.sweep_id.operation();
        self.client
            .send_message()
            .queue_url(self.url(operation)?)
            // A lane has one worker at a time, and waits for no other.
            .message_group_id(in_lane(operation, lane))
            .message_deduplication_id(slice.deduplication_id())
            .message_body(serde_json::to_string(slice)?)
            .send()
            .await?;
        Ok(())
    }

    async fn give_back(&self, operation: Operation, receipt: &str, wait: Duration) -> Result<(), Cause> {
        self.client
            .change_message_visibility()
            .queue_url(self.url(operation)?)
            .receipt_handle(receipt)
            .visibility_timeout(i32::try_from(wait.as_secs())?)
            .send()
            .await?;
        Ok(())
    }
}
