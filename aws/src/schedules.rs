//! The one-time schedules of EventBridge Scheduler that bring looks into the lane of `delete-expired`.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::BuildError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, SqsParameters, Target,
};
use jiff::Timestamp;
use shared::expiry::ExpiryCheck;
use shared::operation::Operation;
use shared::ports::{Cause, ExpirySchedules, Scheduled};

/// Where schedules are made, and what they send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryLane {
    /// The group of all schedules of exact expiry.
    pub group: String,
    /// The queue of `delete-expired`.
    pub queue_arn: String,
    /// The role in which Scheduler sends to it.
    pub role_arn: String,
}

/// The schedules of exact expiry.
#[derive(Debug, Clone)]
pub struct Schedules {
    client: Client,
    lane: ExpiryLane,
}

impl Schedules {
    /// Schedules of a group. Making one is idempotent by its name, so the SDK may retry.
    pub fn new(config: &SdkConfig, lane: ExpiryLane) -> Self {
        let config =
            aws_sdk_scheduler::config::Builder::from(config).retry_config(RetryConfig::standard()).build();
        Self { client: Client::from_conf(config), lane }
    }

    fn target(&self, check: &ExpiryCheck) -> Result<Target, Cause> {
        // In one group with the slices: one account and Region is one lane, and has one worker at a time.
        let lane = SqsParameters::builder().message_group_id(Operation::DeleteExpired.as_str()).build();
        let target = Target::builder().arn(&self.lane.queue_arn).role_arn(&self.lane.role_arn);
        Ok(target.sqs_parameters(lane).input(serde_json::to_string(check)?).build()?)
    }
}

/// To the second when it is for: Scheduler may add a minute, and nothing else.
fn punctually() -> Result<FlexibleTimeWindow, BuildError> {
    FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build()
}

fn once(at: Timestamp) -> String {
    format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S"))
}

impl ExpirySchedules for Schedules {
    async fn schedule(&self, check: &ExpiryCheck, at: Timestamp) -> Result<Scheduled, Cause> {
        let made = self
            .client
            .create_schedule()
            .group_name(&self.lane.group)
            .name(check.name())
            .schedule_expression(once(at))
            .schedule_expression_timezone("UTC")
            .flexible_time_window(punctually()?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(self.target(check)?)
            .send()
            .await;
        match made {
            Ok(_) => Ok(Scheduled::Now),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_conflict_exception()) => {
                Ok(Scheduled::Before)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_for_a_second_in_utc() {
        let at: Timestamp = "2026-11-21T02:00:09Z".parse().unwrap();
        assert_eq!(once(at), "at(2026-11-21T02:00:09)");
    }
}
