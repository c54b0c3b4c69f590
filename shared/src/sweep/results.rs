//! What came of each record of a page, row by row, written before it counts: beside the archive, which
//! says what was meant to happen. And for cancels, the lists that CreateJob takes to send a job again.

use object_store::{ObjectStore, PutMode};
use serde::{Deserialize, Serialize};

use super::act::{Outcome, OutcomeKind, Share};
use super::session::Stop;
use super::slice::SliceError;
use super::state::Sweep;
use super::store;
use crate::archive::{self, Record};
use crate::execution::Identity;
use crate::ids::{JobId, ThingName};
use crate::lane::LaneName;

/// The most targets that one CreateJob takes (service quotas of AWS IoT Device Management).
const MOST_TARGETS: usize = 100;

/// What came of one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeRow {
    /// The form of this row.
    pub format: u8,
    /// What was asked for, in AWS's words.
    pub action: String,
    /// The sweep.
    pub origin: String,
    /// The lane that it is in, if not the home lane. A record tells it by the ARN of its job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lane: Option<LaneName>,
    /// The execution's job.
    pub job_id: JobId,
    /// Its thing.
    pub thing_name: ThingName,
    /// Which of them it was.
    #[serde(flatten)]
    pub identity: Identity,
    /// The rule, the status that it was judged with, and what came of it.
    #[serde(flatten)]
    pub kind: OutcomeKind,
}

impl OutcomeRow {
    /// The form that this version writes; grows when a reader would have to change.
    pub const FORMAT: u8 = 1;

    pub(super) fn of(record: &Record, lane: Option<&LaneName>, outcome: Outcome) -> Self {
        Self {
            format: Self::FORMAT,
            action: record.action.clone(),
            origin: record.origin.clone(),
            lane: lane.cloned(),
            job_id: record.job.job.job_id.clone(),
            thing_name: record.thing_name().clone(),
            identity: record.identity(),
            kind: OutcomeKind { share: Share::of(record), outcome },
        }
    }
}

/// Writes what came of records, under a name that nobody else gives.
///
/// # Errors
/// When the bucket did not acknowledge it. Nothing of it may be counted then: it is looked at again.
pub(super) async fn write(
    bucket: &dyn ObjectStore,
    sweep: &Sweep,
    name: &str,
    results: &[(&Record, Outcome)],
) -> Result<(), Stop> {
    if results.is_empty() {
        return Ok(());
    }
    let row = |(record, outcome): &(&Record, Outcome)| OutcomeRow::of(record, sweep.lane.as_ref(), *outcome);
    let rows: Vec<_> = results.iter().map(row).collect();
    let key = format!("{}{name}.jsonl.gz", prefix(sweep));
    archive::write_lines(bucket, &key, &rows).await.map_err(|error| {
        let what = "the bucket did not take what came of a page, so it will be looked at again".to_owned();
        Stop::Error(SliceError::Unavailable { what, source: Box::new(error) })
    })?;
    let canceled: Vec<_> = results.iter().filter(|(_, outcome)| outcome.canceled()).collect();
    for (nth, targets) in canceled.chunks(MOST_TARGETS).enumerate() {
        // A page is of one job.
        let Some((first, _)) = targets.first() else { continue };
        let arns: Vec<_> = targets.iter().map(|(record, _)| thing_arn(record)).collect();
        let key = store::reissue_key(&sweep.sweep_id, &first.job.job.job_id, &format!("{name}-{nth}"));
        store::put(bucket, &key, &arns, PutMode::Overwrite).await?;
    }
    Ok(())
}

/// Where the outcomes of one sweep lie.
pub(super) fn prefix(sweep: &Sweep) -> String {
    archive::partition("outcomes", sweep.sweep_id.as_str(), sweep.now)
}

/// The thing's ARN: of the job's partition, Region and account.
fn thing_arn(record: &Record) -> String {
    let arn = &record.job.job.arn;
    let account = arn.split_once(":job/").map_or(arn.as_str(), |(account, _)| account);
    format!("{account}:thing/{}", record.thing_name())
}
