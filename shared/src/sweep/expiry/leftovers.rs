//! What a check left behind whose message comes again: records in the archive, and perhaps no word of what
//! came of them.

use object_store::Error as BucketError;
use serde::de::DeserializeOwned;

use super::Check;
use crate::archive::{self, ArchiveError, Record};
use crate::ports::{ReadJobs, SliceQueue};
use crate::sweep::act::Act;
use crate::sweep::results::OutcomeRow;
use crate::sweep::session::{Session, Stop};
use crate::sweep::slice::{SliceError, Worker};

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Looks what became of the records of this message's earlier deliveries, where nobody has told it.
    /// What is still there is judged again with everything else.
    pub(super) async fn settle_leftovers(
        &self,
        session: &mut Session<'_>,
        check: &Check<'_>,
    ) -> Result<(), Stop> {
        for received in 1..check.received {
            for pass in 0.. {
                let object = check.object(received, pass);
                let Some(records) = self.lines::<Record>(&check.key("archive", &object)).await? else {
                    break;
                };
                let settled = check.key("outcomes", &format!("{object}-settled"));
                let mut told =
                    self.lines::<OutcomeRow>(&check.key("outcomes", &object)).await?.unwrap_or_default();
                told.extend(self.lines::<OutcomeRow>(&settled).await?.unwrap_or_default());
                let mut found = Vec::new();
                for record in &records {
                    if told.iter().any(|row| row.identity == record.identity()) {
                        continue;
                    }
                    let outcome = self.settle(session, record).await?.filter(|outcome| outcome.moved());
                    found.extend(outcome.map(|outcome| OutcomeRow::of(record, outcome)));
                }
                self.write_outcomes(&settled, &found).await?;
            }
        }
        Ok(())
    }

    /// What an object holds, if it is there.
    async fn lines<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Vec<T>>, Stop> {
        match archive::read(self.bucket, key).await {
            Ok(lines) => Ok(Some(lines)),
            Err(ArchiveError::Bucket(BucketError::NotFound { .. })) => Ok(None),
            Err(error) => {
                let what = format!("`{key}`, which an earlier delivery may have written, could not be read");
                Err(Stop::Error(SliceError::Unavailable { what, source: Box::new(error) }))
            }
        }
    }
}
