//! One page of an application: archived in one object, and then acted on row by row.

use tokio::time::Instant;
use tracing::{error, warn};

use super::act::{Act, Outcome, Share, calls_of_a_row};
use super::apply::BELIEVED;
use super::cursor::{ApplyCursor, Phase};
use super::pace::IotOperation;
use super::results;
use super::session::{Lack, Sent, Session, Stop};
use super::slice::{SliceError, Worker};
use super::state::{Pending, Sweep};
use crate::access::{AccessPolicy, DecidingPolicy, Decision, Needs, Principal};
use crate::archive::{self, ArchiveError, Content, Delete, Receipt, Record};
use crate::execution::{Execution, ExecutionRow, JobFacts};
use crate::guard::{Look, look};
use crate::ids::{JobId, Version};
use crate::operation::Operation;
use crate::ports::{Force, MutationError, ReadJobs, SliceQueue};
use crate::retention::{ArchiveKind, Due};

/// How often a cancelled execution is looked at before its cancellation counts as not seen yet.
const LOOKS: u32 = 3;

/// How often a mutation is sent whose answer is lost while the execution stays unchanged.
const SENDINGS: u32 = 2;

/// A row that is due.
pub(super) struct Candidacy {
    pub(super) row: ExecutionRow,
    pub(super) due: Due,
}

/// How a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageEnd {
    /// Everything on it has been dealt with.
    Done,
    /// It is too old to be believed, and has to be listed again.
    TooOld,
}

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Archives a page's candidates and acts on them: no more than the job's plan has left.
    pub(super) async fn apply_page(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        planned: u64,
        (facts, due, since): (&JobFacts, Vec<Candidacy>, Instant),
    ) -> Result<PageEnd, Stop> {
        let left = planned.saturating_sub(cursor.moved.total() + cursor.stayed_attempts());
        let asked_by_policies = self.needs();
        let needs_of = |due: &Due| {
            let description = asked_by_policies.description || due.archive == ArchiveKind::Full;
            Needs { description, ..asked_by_policies }
        };
        // Reading the facts of a row is a call, too.
        let calls = 1 + calls_of_a_row(A::OPERATION);
        let enough = (since + BELIEVED / calls).min(Instant::now() + session.left() / calls);
        let met_before = cursor.met.len();
        let mut records = Vec::new();
        let mut end = PageEnd::Done;
        for candidate in due {
            if records.len() as u64 >= left {
                break;
            }
            let needs = needs_of(&candidate.due);
            // Reading facts takes its time, and acting on what they allow needs some too.
            let begun = !records.is_empty() || cursor.met.len() > met_before;
            let next = session.next_slot(IotOperation::DescribeJobExecution);
            if needs.any() && begun && next >= enough {
                end = PageEnd::TooOld;
                break;
            }
            let asked = match self.asked(session, &facts.job.job_id, &candidate.row, needs).await? {
                Ok(asked) => asked,
                Err(problem) => {
                    warn!(event = "unreadable", problem, job_id = %facts.job.job_id, row = ?candidate.row);
                    cursor.meet(&candidate.row, &candidate.due.rule, Outcome::FactUnreadable);
                    continue;
                }
            };
            match self.decide(&session.sweep, facts, (&candidate.row, candidate.due.force), &asked) {
                Decision::Allow(policies) => {
                    let described = asked.description;
                    records.push(candidate.record(&session.sweep, (facts, described), policies, self.access));
                }
                Decision::Deny(refusal) => {
                    let policies = refusal.reason_key();
                    warn!(
                        event = "refused",
                        policies,
                        policy_source = self.access.source(),
                        policy_digest = self.access.digest(),
                        job_id = %facts.job.job_id,
                        row = ?candidate.row
                    );
                    cursor.meet(&candidate.row, &candidate.due.rule, Outcome::Refused);
                }
            }
        }
        if !records.is_empty() {
            if session.left().is_zero() {
                return Err(Stop::OutOfTime);
            }
            let receipt = self.archive(session, records).await?;
            if self.carry_out(session, cursor, &receipt, since).await? == PageEnd::TooOld {
                return Ok(PageEnd::TooOld);
            }
        }
        Ok(end)
    }

    /// Archives a page, and notes in the state that it is about to be acted on.
    async fn archive(&self, session: &mut Session<'_>, records: Vec<Record>) -> Result<Receipt, Stop> {
        let sweep = &mut session.sweep;
        let name = page_name(sweep);
        let count = records.len() as u64;
        let origin = sweep.sweep_id.as_str();
        let receipt = archive::write(self.bucket, origin, &name, sweep.now, records).await?;
        sweep.archive.objects += 1;
        sweep.archive.records += count;
        sweep.attempts += count;
        sweep.pending = Some(Pending { key: receipt.key().to_owned(), first: 0, count });
        session.save().await?;
        Ok(receipt)
    }

    /// Acts on every record of an acknowledged page. However it ends, what was done is counted,
    /// what was not attempted is given back, and what is in doubt stays pending.
    async fn carry_out(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        receipt: &Receipt,
        since: Instant,
    ) -> Result<PageEnd, Stop> {
        let mut results = Vec::new();
        let mut ended = Ok(PageEnd::Done);
        for (record, delete) in receipt.deletions() {
            if since.elapsed() >= BELIEVED {
                ended = Ok(PageEnd::TooOld);
                break;
            }
            match self.act_on(session, record, &delete, since + BELIEVED).await {
                Ok(Some(outcome)) => results.push((record, outcome)),
                Ok(None) => {
                    ended = Ok(PageEnd::TooOld);
                    break;
                }
                Err(stop) => {
                    ended = Err(stop);
                    break;
                }
            }
        }
        // Told before it counts: if it cannot be told, the whole page is looked at again.
        results::write(self.bucket, &session.sweep, receipt.name(), &results).await?;
        for (record, outcome) in &results {
            let share = Share::of(record);
            if outcome.moved() {
                session.sweep.count(&share, *outcome, 1);
                cursor.moved(share, record.row());
            } else {
                cursor.meet(record.row(), &share.rule, *outcome);
            }
        }
        let met = results.len();
        let in_doubt = u64::from(session.in_doubt);
        session.sweep.attempts -= receipt.records().len() as u64 - met as u64 - in_doubt;
        session.sweep.pending =
            session.in_doubt.then(|| Pending { key: receipt.key().to_owned(), first: met, count: in_doubt });
        session.sweep.phase = Phase::applying(cursor);
        session.save().await?;
        ended
    }

    /// Acts on one record. `None`: what was read of it may not be believed any more.
    pub(super) async fn act_on(
        &self,
        session: &mut Session<'_>,
        record: &Record,
        delete: &Delete,
        believed_until: Instant,
    ) -> Result<Option<Outcome>, Stop> {
        for sent in 0..SENDINGS {
            let version = match A::OPERATION {
                Operation::DeleteExpired => None,
                Operation::CancelStale => match self.pin(session, record).await? {
                    Ok(version) => Some(version),
                    Err(outcome) => return Ok(Some(outcome)),
                },
            };
            let send = || A::send(self.iot, record, delete, version);
            let answer = match session.mutate(A::CALL, believed_until, send).await? {
                Sent::Answered(answer) => answer,
                Sent::TooOld if sent == 0 => return Ok(None),
                // It was sent before, and may have its effect yet.
                Sent::TooOld => break,
            };
            let outcome = match answer {
                Ok(()) => self.done(session, record).await?,
                Err(MutationError::NotFound(_)) => Outcome::AlreadyGone,
                Err(MutationError::InvalidState(_) | MutationError::VersionConflict(_)) => {
                    Outcome::NoLongerEligible
                }
                Err(MutationError::Invalid(message)) => {
                    error!(event = "refused_by_aws", message, record = ?record.identity());
                    Outcome::RefusedByAws
                }
                Err(
                    MutationError::Unknown(_) | MutationError::Throttled(_) | MutationError::RoleRefused(_),
                ) => {
                    // The answer was lost: look and compare before anything is sent again.
                    session.in_doubt = true;
                    let settled = self.settle(session, record).await?;
                    session.in_doubt = false;
                    match settled {
                        Some(outcome) => outcome.confirmed(),
                        None => continue,
                    }
                }
            };
            return Ok(Some(outcome));
        }
        Ok(Some(Outcome::NotConfirmed))
    }

    /// Reads the version to pin a cancel to, if the execution is still the one that was judged: what
    /// was described then has the version that it had.
    async fn pin(
        &self,
        session: &mut Session<'_>,
        record: &Record,
    ) -> Result<Result<Version, Outcome>, Stop> {
        let current = || self.iot.describe_execution(job_of(record), record.thing_name(), None);
        Ok(match session.read(IotOperation::DescribeJobExecution, current).await? {
            Ok(seen) if seen.row.identity() != record.identity() => Err(Outcome::Replaced),
            Ok(seen) if seen.row.status != record.row().status => Err(Outcome::NoLongerEligible),
            Ok(seen) if record.version().is_some_and(|judged| judged != seen.version_number) => {
                Err(Outcome::NoLongerEligible)
            }
            Ok(seen) => Ok(seen.version_number),
            Err(Lack::NotFound) => Err(Outcome::AlreadyGone),
            Err(Lack::InvalidToken | Lack::Unreadable(_)) => Err(Outcome::Unreadable),
        })
    }

    /// AWS accepted. A delete is done; a cancel is looked at.
    async fn done(&self, session: &mut Session<'_>, record: &Record) -> Result<Outcome, Stop> {
        if A::OPERATION == Operation::DeleteExpired {
            return Ok(Outcome::Deleted);
        }
        let mut accepted = if record.job.job.may_queue_another() {
            Outcome::CanceledNotCompared
        } else {
            Outcome::CanceledNotSeenYet
        };
        for _ in 0..LOOKS {
            // AWS accepted; that it cannot be looked at does not undo it.
            let Ok(Ok(seen)) = self.describe(session, record).await else { break };
            match look(record.identity(), &seen) {
                Look::Canceled => return Ok(Outcome::Canceled),
                Look::NotYet => accepted = Outcome::CanceledNotSeenYet,
                Look::Mismatch(what) => {
                    error!(event = "identity_mismatch", what, record = ?record.identity());
                    return Ok(Outcome::Mismatch);
                }
            }
        }
        if accepted == Outcome::CanceledNotCompared {
            warn!(event = "cancel_not_compared", record = ?record.identity());
        }
        Ok(accepted)
    }

    /// Looks what became of the page that a slice was acting on when it died. What has been
    /// looked at is kept, however the looking ends: a long page may take more than one slice.
    pub(super) async fn settle_pending(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
    ) -> Result<(), Stop> {
        let Some(pending) = session.sweep.pending.clone() else { return Ok(()) };
        let records: Vec<Record> = archive::read(self.bucket, &pending.key).await.map_err(|error| {
            let what = format!("`{}`, whose page is in doubt, could not be read", pending.key);
            Stop::Error(SliceError::Unavailable { what, source: Box::new(error) })
        })?;
        let in_doubt = usize::try_from(pending.count).unwrap_or(usize::MAX);
        let mut settled = Vec::new();
        let mut ended = Ok(());
        for record in records.iter().skip(pending.first).take(in_doubt) {
            match self.settle(session, record).await {
                Ok(outcome) => settled.push((record, outcome.filter(|outcome| outcome.moved()))),
                Err(stop) => {
                    ended = Err(stop);
                    break;
                }
            }
        }
        let found: Vec<_> = settled.iter().filter_map(|(record, found)| Some((*record, (*found)?))).collect();
        let name = format!("{}-settled", page_name(&session.sweep));
        results::write(self.bucket, &session.sweep, &name, &found).await?;
        let sweep = &mut session.sweep;
        for (record, found) in &settled {
            match found {
                Some(outcome) => {
                    let share = Share::of(record);
                    sweep.count(&share, *outcome, 1);
                    cursor.moved(share, record.row());
                }
                // Still in its place: it will be met with again.
                None => sweep.attempts -= 1.min(sweep.attempts),
            }
        }
        if let Some(pending) = &mut sweep.pending {
            pending.first += settled.len();
            pending.count -= settled.len() as u64;
        }
        sweep.phase = Phase::applying(cursor);
        ended?;
        session.sweep.pending = None;
        Ok(session.save().await?)
    }

    /// Whether a mutation that may have been sent has happened.
    pub(super) async fn settle(
        &self,
        session: &mut Session<'_>,
        record: &Record,
    ) -> Result<Option<Outcome>, Stop> {
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
        let describe = || self.iot.describe_execution(job_of(record), record.thing_name(), number);
        session.read(IotOperation::DescribeJobExecution, describe).await
    }
}

/// A name for the next page. The attempt is part of it: a slice that takes over writes its own objects.
fn page_name(sweep: &Sweep) -> String {
    format!("{:05}-{:05}-{:06}", sweep.step, sweep.attempt, sweep.archive.objects)
}

impl Candidacy {
    pub(super) fn record(
        self,
        sweep: &Sweep,
        (facts, described): (&JobFacts, Option<Execution>),
        policies: Vec<DecidingPolicy>,
        access: &AccessPolicy,
    ) -> Record {
        // What the policies asked for is kept, too: it is there.
        let content = match described {
            Some(execution) => Content::Full { execution },
            None => Content::Summary { execution: self.row },
        };
        Record {
            format: Record::FORMAT,
            action: sweep.operation.action().as_str().to_owned(),
            force: self.due.force == Force::EvenInProgress,
            principal: Principal::Sweeper(sweep.operation).to_string(),
            origin: sweep.sweep_id.to_string(),
            decided_at: sweep.now,
            rule: Some(self.due.rule),
            due_since: Some(self.due.since),
            policies,
            policy_source: access.source().to_owned(),
            policy_digest: access.digest().to_owned(),
            job: facts.clone(),
            content,
        }
    }
}

fn job_of(record: &Record) -> &JobId {
    &record.job.job.job_id
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        let what = "the archive did not take a page, so nothing of it was acted on".to_owned();
        Self::Error(SliceError::Unavailable { what, source: Box::new(error) })
    }
}
