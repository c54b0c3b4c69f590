//! The application: for each job with something due, a fresh page, judged again, archived, and
//! then acted on row by row.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info};

use super::act::{Act, Outcome};
use super::cursor::{ApplyCursor, Candidate, Phase};
use super::pace::IotOperation;
use super::scan::status_filter;
use super::slice::{Lack, Session, SliceError, Stop, Worker};
use super::state::{Pending, Sweep};
use super::store;
use crate::access::{DecidingPolicy, Decision};
use crate::archive::{self, ArchiveError, Content, Delete, Receipt, Record};
use crate::execution::{Execution, ExecutionRow, JobFacts, Status};
use crate::guard::{Look, look};
use crate::ids::{JobId, Version};
use crate::operation::Operation;
use crate::ports::{MutationError, ReadJobs, SliceQueue};
use crate::retention::Verdict;

/// How long a job and its tags are believed: a hold tag works after at most this long and a page.
const FACTS_KEPT: Duration = Duration::from_secs(60);

/// How often a cancelled execution is looked at before its cancellation counts as not seen yet.
const LOOKS: u32 = 3;

/// How often a mutation is sent whose answer is lost while the execution stays unchanged.
const SENDINGS: u32 = 2;

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Applies one segment of candidates from where the cursor stands.
    pub(super) async fn apply_segment(
        &self,
        session: &mut Session<'_>,
        mut cursor: ApplyCursor,
    ) -> Result<(), Stop> {
        self.settle_pending(session).await?;
        if self.dry_run_only {
            let message = "the deployment was set to dry runs only while the sweep ran; it stopped";
            return Err(Stop::Failed(message.to_owned()));
        }
        if cursor.segment >= session.sweep.jobs.segments {
            session.sweep.phase = Phase::Done;
            return Ok(());
        }
        let key = store::candidates_key(&session.sweep.sweep_id, cursor.segment);
        let (candidates, _): (Vec<Candidate>, _) = store::get(self.bucket, &key).await?;
        while let Some(candidate) = candidates.get(cursor.index) {
            self.apply_job(session, &mut cursor, &candidate.job_id).await?;
            cursor.next_candidate();
            session.sweep.phase = Phase::applying(&cursor);
            session.save().await?;
        }
        cursor.next_segment();
        session.sweep.phase = Phase::applying(&cursor);
        Ok(session.save().await?)
    }

    /// Passes over a job until a pass finds nothing more to do.
    async fn apply_job(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        job: &JobId,
    ) -> Result<(), Stop> {
        let mut facts: Option<(JobFacts, Instant)> = None;
        loop {
            let read = || {
                self.iot
                    .list_executions(job, status_filter(A::OPERATION), cursor.token.as_deref())
            };
            let page = match session.read(IotOperation::ListJobExecutionsForJob, read).await? {
                Ok(page) => page,
                Err(Lack::InvalidToken) => {
                    cursor.next_pass();
                    continue;
                }
                Err(Lack::NotFound | Lack::Unreadable(_)) => return Ok(()),
            };
            cursor.pages += 1;
            let rows = page.items.into_iter().flatten();
            let due: Vec<_> = rows.filter_map(|row| self.due(session, job, row)).collect();
            if !due.is_empty() {
                if facts
                    .as_ref()
                    .is_none_or(|(_, read)| read.elapsed() >= FACTS_KEPT)
                {
                    match self.job_facts(session, job).await? {
                        Ok(found) => facts = Some((found, Instant::now())),
                        Err(problem) => {
                            info!(event = "job_skipped", job_id = %job, problem);
                            due.iter()
                                .for_each(|_| session.sweep.count(Outcome::JobUnreadable));
                            return Ok(());
                        }
                    }
                }
                if let Some((facts, _)) = &facts {
                    self.apply_page(session, cursor, facts, due).await?;
                }
            }
            match page.next_token {
                Some(token) => cursor.token = Some(token),
                None if cursor.pages > 1 && cursor.acted > 0 => cursor.next_pass(),
                None => return Ok(()),
            }
            session.sweep.phase = Phase::applying(cursor);
            session.save_now_and_then().await?;
        }
    }

    fn due(&self, session: &Session<'_>, job: &JobId, row: ExecutionRow) -> Option<Candidacy> {
        match self.rules.judge(A::OPERATION, session.sweep.now, job, &row) {
            Verdict::Due(due) => Some(Candidacy {
                row,
                rule: due.rule,
                since: due.since,
            }),
            Verdict::Keep { .. } => None,
        }
    }

    /// Archives a page's candidates and acts on them.
    async fn apply_page(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        facts: &JobFacts,
        due: Vec<Candidacy>,
    ) -> Result<(), Stop> {
        let mut records = Vec::new();
        let mut refused = 0;
        for candidate in due {
            match self.decide(&session.sweep, facts, &candidate.row) {
                Decision::Allow(policies) => {
                    records.push(candidate.record(&session.sweep, facts, policies, self.access.digest()));
                }
                Decision::Deny(_) => refused += 1,
            }
        }
        // The plan's number is the most that is ever attempted, whatever became of the attempts.
        let planned = session.sweep.plan.as_ref().map_or(0, |plan| plan.due);
        let left = planned.saturating_sub(session.sweep.attempts);
        records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if !records.is_empty() {
            if !session.time_left() {
                return Err(Stop::OutOfTime);
            }
            let receipt = self.archive(session, records).await?;
            self.carry_out(session, cursor, &receipt).await?;
        }
        // Counted when the page is done, and in the first pass only: a page that is listed again
        // shows the same ones again.
        if cursor.pass == 0 {
            (0..refused).for_each(|_| session.sweep.count(Outcome::Refused));
        }
        Ok(())
    }

    async fn archive(&self, session: &mut Session<'_>, records: Vec<Record>) -> Result<Receipt, Stop> {
        let sweep = &mut session.sweep;
        // The attempt is part of the name: a slice that takes over writes its own objects.
        let name = format!(
            "{:05}-{:05}-{:06}",
            sweep.step, sweep.attempt, sweep.archive.objects
        );
        let count = records.len() as u64;
        let receipt = archive::write(self.bucket, sweep.sweep_id.as_str(), &name, sweep.now, records).await?;
        sweep.archive.objects += 1;
        sweep.archive.records += count;
        sweep.attempts += count;
        sweep.pending = Some(Pending {
            key: receipt.key().to_owned(),
            first: 0,
            count,
        });
        session.save().await?;
        Ok(receipt)
    }

    /// Acts on every record of an acknowledged page. However it ends, what was done is counted
    /// and what was not attempted is given back.
    async fn carry_out(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        receipt: &Receipt,
    ) -> Result<(), Stop> {
        let mut attempted = 0;
        let mut stopped = None;
        for (record, delete) in receipt.deletions() {
            match self.act_on(session, record, &delete).await {
                Ok(outcome) => {
                    attempted += 1;
                    session.sweep.count(outcome);
                    cursor.acted += u64::from(outcome.moved());
                }
                Err(stop) => {
                    stopped = Some(stop);
                    break;
                }
            }
        }
        // Only a mutation that was sent without a known effect stays in doubt.
        let in_doubt = u64::from(session.in_doubt);
        session.sweep.attempts -= receipt.records().len() as u64 - attempted as u64 - in_doubt;
        session.sweep.pending = session.in_doubt.then(|| Pending {
            key: receipt.key().to_owned(),
            first: attempted,
            count: in_doubt,
        });
        session.sweep.phase = Phase::applying(cursor);
        session.save().await?;
        stopped.map_or(Ok(()), Err)
    }

    async fn act_on(
        &self,
        session: &mut Session<'_>,
        record: &Record,
        delete: &Delete,
    ) -> Result<Outcome, Stop> {
        // Once more, now that the record is in the archive.
        if let Decision::Deny(_) = self.decide(&session.sweep, &record.job, record.row()) {
            return Ok(Outcome::Refused);
        }
        for _ in 0..SENDINGS {
            let version = match A::OPERATION {
                Operation::DeleteExpired => None,
                Operation::CancelStale => match self.pin(session, record).await? {
                    Ok(version) => Some(version),
                    Err(outcome) => return Ok(outcome),
                },
            };
            let operation = match A::OPERATION {
                Operation::DeleteExpired => IotOperation::DeleteJobExecution,
                Operation::CancelStale => IotOperation::CancelJobExecution,
            };
            match session
                .mutate(operation, || A::send(self.iot, record, delete, version))
                .await?
            {
                Ok(()) => return self.done(session, record).await,
                Err(MutationError::NotFound(_)) => return Ok(Outcome::AlreadyGone),
                Err(MutationError::InvalidState(_) | MutationError::VersionConflict(_)) => {
                    return Ok(Outcome::NoLongerEligible);
                }
                Err(MutationError::Invalid(message)) => {
                    error!(event = "refused_by_aws", message, record = ?record.identity());
                    return Ok(Outcome::RefusedByAws);
                }
                Err(
                    MutationError::Unknown(_) | MutationError::Throttled(_) | MutationError::RoleRefused(_),
                ) => {
                    // The answer was lost: look and compare before anything is sent again.
                    session.in_doubt = true;
                    let settled = self.settle(session, record).await?;
                    session.in_doubt = false;
                    if let Some(outcome) = settled {
                        return Ok(outcome.confirmed());
                    }
                }
            }
        }
        Ok(Outcome::NotConfirmed)
    }

    /// Reads the version to pin a cancel to, if the execution is still the one that was judged.
    async fn pin(
        &self,
        session: &mut Session<'_>,
        record: &Record,
    ) -> Result<Result<Version, Outcome>, Stop> {
        let current = || {
            self.iot
                .describe_execution(job_of(record), record.thing_name(), None)
        };
        Ok(
            match session.read(IotOperation::DescribeJobExecution, current).await? {
                Ok(seen) if seen.row.identity() != record.identity() => Err(Outcome::Replaced),
                Ok(seen) if seen.row.status != Status::Queued => Err(Outcome::NoLongerEligible),
                Ok(seen) => Ok(seen.version_number),
                Err(Lack::NotFound) => Err(Outcome::AlreadyGone),
                Err(Lack::InvalidToken | Lack::Unreadable(_)) => Err(Outcome::Unreadable),
            },
        )
    }

    /// AWS accepted. A delete is done; a cancel is looked at.
    async fn done(&self, session: &mut Session<'_>, record: &Record) -> Result<Outcome, Stop> {
        if A::OPERATION == Operation::DeleteExpired {
            return Ok(Outcome::Deleted);
        }
        for _ in 0..LOOKS {
            // It was cancelled; that it cannot be looked at does not undo it.
            let Ok(Ok(seen)) = self.describe(session, record).await else {
                return Ok(Outcome::CanceledNotSeenYet);
            };
            match look(record.identity(), &seen) {
                Look::Canceled => return Ok(Outcome::Canceled),
                Look::NotYet => {}
                Look::Mismatch(what) => {
                    error!(event = "identity_mismatch", what, record = ?record.identity());
                    return Ok(Outcome::Mismatch);
                }
            }
        }
        Ok(Outcome::CanceledNotSeenYet)
    }

    /// Looks what became of the page that a slice was acting on when it died.
    async fn settle_pending(&self, session: &mut Session<'_>) -> Result<(), Stop> {
        let Some(pending) = session.sweep.pending.clone() else {
            return Ok(());
        };
        let records = archive::read(self.bucket, &pending.key).await?;
        let mut settled = Vec::new();
        let in_doubt = usize::try_from(pending.count).unwrap_or(usize::MAX);
        for record in records.iter().skip(pending.first).take(in_doubt) {
            settled.extend(self.settle(session, record).await?);
        }
        let sweep = &mut session.sweep;
        sweep.attempts -= pending.count.min(sweep.attempts);
        sweep.attempts += settled.len() as u64;
        settled.into_iter().for_each(|outcome| sweep.count(outcome));
        sweep.pending = None;
        Ok(session.save().await?)
    }

    /// Whether a mutation that may have been sent has happened.
    async fn settle(&self, session: &mut Session<'_>, record: &Record) -> Result<Option<Outcome>, Stop> {
        let seen = self.describe(session, record).await?;
        Ok(match (A::OPERATION, seen) {
            (Operation::DeleteExpired, Ok(seen)) if seen.row.identity() == record.identity() => None,
            (Operation::DeleteExpired, Ok(_) | Err(Lack::NotFound)) => {
                Some(Outcome::DeletedByInterruptedSlice)
            }
            (Operation::CancelStale, Ok(seen)) => {
                let canceled = matches!(look(record.identity(), &seen), Look::Canceled);
                canceled.then_some(Outcome::CanceledByInterruptedSlice)
            }
            (Operation::CancelStale, Err(Lack::NotFound)) => Some(Outcome::AlreadyGone),
            (_, Err(Lack::InvalidToken | Lack::Unreadable(_))) => Some(Outcome::Unreadable),
        })
    }

    async fn describe(
        &self,
        session: &mut Session<'_>,
        record: &Record,
    ) -> Result<Result<Execution, Lack>, Stop> {
        let number = Some(record.identity().execution_number);
        let describe = || {
            self.iot
                .describe_execution(job_of(record), record.thing_name(), number)
        };
        session.read(IotOperation::DescribeJobExecution, describe).await
    }
}

/// A row that is due.
struct Candidacy {
    row: ExecutionRow,
    rule: String,
    since: Timestamp,
}

impl Candidacy {
    fn record(
        self,
        sweep: &Sweep,
        facts: &JobFacts,
        policies: Vec<DecidingPolicy>,
        policy_digest: &str,
    ) -> Record {
        Record {
            format: Record::format(),
            action: sweep.operation.action().as_str().to_owned(),
            principal: format!("sweeper {}", sweep.operation),
            origin: sweep.sweep_id.to_string(),
            decided_at: sweep.now,
            rule: Some(self.rule),
            due_since: Some(self.since),
            policies,
            policy_digest: policy_digest.to_owned(),
            job: facts.clone(),
            content: Content::Summary { execution: self.row },
        }
    }
}

fn job_of(record: &Record) -> &JobId {
    &record.job.job.job_id
}

impl Outcome {
    /// What was found by looking after a lost answer is as good as an answer.
    const fn confirmed(self) -> Self {
        match self {
            Self::DeletedByInterruptedSlice => Self::Deleted,
            Self::CanceledByInterruptedSlice => Self::Canceled,
            Self::Deleted
            | Self::Canceled
            | Self::CanceledNotSeenYet
            | Self::AlreadyGone
            | Self::NoLongerEligible
            | Self::Replaced
            | Self::Refused
            | Self::JobUnreadable
            | Self::RefusedByAws
            | Self::Unreadable
            | Self::NotConfirmed
            | Self::Mismatch => self,
        }
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        let what = "the archive did not take or give a page, so nothing of it was acted on".to_owned();
        Self::Error(SliceError::Unavailable {
            what,
            source: Box::new(error),
        })
    }
}
