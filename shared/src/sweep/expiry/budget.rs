//! What exact expiry may do in a day. It has no plan that a breaker could look at, so it counts: before
//! anything is sent, in one object for each day.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::{ObjectStore, PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};

use crate::sweep::session::Stop;
use crate::sweep::slice::SliceError;
use crate::sweep::store::{self, StoreError};

/// How often a count that somebody else changed meanwhile is tried. A lane has one worker.
const TRIES: u32 = 4;

/// What has been taken of a day's budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    /// Executions that were, or may have been, deleted.
    attempts: u64,
    /// Who took last: tells a write whose answer was lost from somebody else's.
    by: String,
}

/// The budget of a day.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    bucket: &'a dyn ObjectStore,
    key: String,
    most: u64,
}

impl<'a> Budget<'a> {
    /// That of the day of `now`, in UTC: at most `most` executions.
    pub(super) fn of(bucket: &'a dyn ObjectStore, now: Timestamp, most: u64) -> Self {
        let day = now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string();
        Self { bucket, key: store::expiry_budget_key(&day), most }
    }

    /// How many are left. What cannot be read is not taken for nothing.
    pub(super) async fn left(&self) -> Result<u64, Stop> {
        let (taken, _) = self.taken().await?;
        Ok(self.most.saturating_sub(taken.attempts))
    }

    /// Why nothing more is deleted.
    pub(super) fn refusal(&self) -> String {
        format!(
            "exact expiry has acted on as many executions today as `max_actions` ({}) allows; the next sweep sees \
             to the rest",
            self.most
        )
    }

    /// Takes `wanted` of it, or what is left. `by` names who takes, a new name each time.
    pub(super) async fn take(&self, wanted: u64, by: &str) -> Result<u64, Stop> {
        for _ in 0..TRIES {
            let (before, version) = self.taken().await?;
            let granted = wanted.min(self.most.saturating_sub(before.attempts));
            if granted == 0 {
                return Ok(0);
            }
            let after = Taken { attempts: before.attempts + granted, by: by.to_owned() };
            let mode = version.map_or(PutMode::Create, PutMode::Update);
            match store::put(self.bucket, &self.key, &after, mode).await {
                Ok(_) => return Ok(granted),
                Err(StoreError::Conflict(_)) => {
                    let (there, _) = self.taken().await?;
                    if there == after {
                        return Ok(granted);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        let conflict = StoreError::Conflict(self.key.clone());
        Err(Stop::Error(SliceError::Store(conflict)))
    }

    async fn taken(&self) -> Result<(Taken, Option<UpdateVersion>), Stop> {
        match store::get(self.bucket, &self.key).await {
            Ok((taken, version)) => Ok((taken, Some(version))),
            Err(StoreError::NotFound(_)) => Ok((Taken::default(), None)),
            Err(error) => Err(error.into()),
        }
    }
}
