//! What a check left behind whose message comes again: records in the archive, and perhaps no word of what
//! came of them.

use serde::de::DeserializeOwned;

use super::Check;
use crate::archive::{self, Record};
use crate::ports::{Cause, ReadJobs, SliceQueue};
use crate::sweep::act::Act;
use crate::sweep::results::OutcomeRow;
use crate::sweep::session::{Session, Stop};
use crate::sweep::slice::{SliceError, Worker};
use crate::sweep::store;

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Looks what became of the records of this message's earlier deliveries, where nobody has told that they
    /// are gone. What is still there is judged again with everything else.
    pub(super) async fn settle_leftovers(
        &self,
        session: &mut Session<'_>,
        check: &Check<'_>,
    ) -> Result<(), Stop> {
        let records: Vec<Record> = self.lines(&check.folder("archive")).await?;
        if records.is_empty() {
            return Ok(());
        }
        let told: Vec<OutcomeRow> = self.lines(&check.folder("outcomes")).await?;
        let mut known: Vec<_> =
            told.iter().filter(|row| row.kind.outcome.moved()).map(|row| row.identity).collect();
        let mut found = Vec::new();
        let mut ended = Ok(());
        for record in &records {
            if known.contains(&record.identity()) {
                continue;
            }
            known.push(record.identity());
            match self.settle(session, record).await {
                Ok(outcome) => {
                    let gone = outcome.filter(|outcome| outcome.moved());
                    found.extend(gone.map(|outcome| OutcomeRow::of(record, None, outcome)));
                }
                Err(stop) => {
                    ended = Err(stop);
                    break;
                }
            }
        }
        // However the looking has ended: the next delivery need not look at these.
        self.write_outcomes(&check.key("outcomes", &check.object("settled")), &found).await?;
        ended
    }

    /// What the objects of a folder hold.
    async fn lines<T: DeserializeOwned>(&self, folder: &str) -> Result<Vec<T>, Stop> {
        let failed = |source: Cause| {
            let what = format!("`{folder}`, where earlier deliveries may have written, could not be read");
            Stop::Error(SliceError::Unavailable { what, source })
        };
        let listed = store::list(self.bucket, folder).await.map_err(|error| failed(Box::new(error)))?;
        let mut lines = Vec::new();
        for object in listed {
            let read = archive::read(self.bucket, &object).await;
            lines.extend(read.map_err(|error| failed(Box::new(error)))?);
        }
        Ok(lines)
    }
}
