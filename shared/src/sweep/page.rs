//! One page of an application: archived in one object, and then acted on row by row.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, warn};

use super::act::{Act, Outcome, Share, calls_of_a_row};
use super::apply::BELIEVED;
use super::cursor::{ApplyCursor, Phase};
use super::pace::IotOperation;
use super::results;
use super::scan::reads;
use super::session::{Lack, Sent, Session, Stop};
use super::slice::{SliceError, Worker};
use super::state::{Pending, Sweep};
use super::under_way::{Turn, UnderWay};
use crate::access::{AccessPolicy, AskedFacts, DecidingPolicy, Decision, Needs, Principal, Refusal};
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

/// The leave to act on a page.
struct Leave {
    /// When what was read of it may not be believed any more.
    until: Instant,
    /// Whether something has stopped the page.
    withdrawn: AtomicBool,
}

impl Leave {
    fn is_over(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed) || Instant::now() >= self.until
    }
}

/// Why acting on a record came to nothing that could be told.
enum Unsettled {
    /// Whatever was sent of it has had no effect, as far as was looked.
    Unchanged(Stop),
    /// Something was sent of it, and whether it has had its effect could not be looked into.
    InDoubt(Stop),
}

/// What came of a page: of each record that has an outcome, in the page's order.
pub(super) struct Acted<'r> {
    pub(super) results: Vec<(&'r Record, Outcome)>,
    /// When each of them was known.
    pub(super) times: Vec<Timestamp>,
    /// The places of the records whose outcome is not known.
    pub(super) in_doubt: Vec<usize>,
    pub(super) ended: Result<PageEnd, Stop>,
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
        let (records, end) = self.read_page(session, cursor, left, (facts, due, since)).await?;
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

    /// Reads what is needed of a page's candidates, and decides on each. Gives the records of what the access
    /// policy allows, at most `left`, in the page's order.
    async fn read_page(
        &self,
        session: &Session<'_>,
        cursor: &mut ApplyCursor,
        left: u64,
        (facts, due, since): (&JobFacts, Vec<Candidacy>, Instant),
    ) -> Result<(Vec<Record>, PageEnd), Stop> {
        let asked_by_policies = self.needs();
        // Reading the facts of a row is a call, too.
        let calls = 1 + calls_of_a_row(A::OPERATION);
        let enough = (since + BELIEVED / calls).min(Instant::now() + session.left() / calls);
        let reads_of =
            |candidate: &Candidacy| calls_before(needs_of(asked_by_policies, &candidate.due), &candidate.due);
        // A page has one job, and its rule one kind of archive; but of successes it may ask for more.
        let most = due.iter().max_by_key(|candidate| candidate.due.behind.is_some());
        let mut under_way = UnderWay::new(session, most.map(reads_of).unwrap_or_default());
        let mut due = due.into_iter().enumerate();
        let (mut allowed, mut met) = (Vec::new(), Vec::new());
        let mut ended = Ok(PageEnd::Done);
        loop {
            // Whatever is under way may be allowed.
            let most = (allowed.len() + under_way.len()) as u64 >= left;
            let more = ended.as_ref().is_ok_and(|end| *end == PageEnd::Done) && !most && due.len() > 0;
            match under_way.turn(more.into()).await {
                None => break,
                Some(Turn::Begin) => {
                    let Some((place, candidate)) = due.next() else { continue };
                    let needs = needs_of(asked_by_policies, &candidate.due);
                    // Reading facts takes its time, and acting on what they allow needs some too.
                    let reads = reads_of(&candidate);
                    let next = reads.into_iter().map(|read| session.next_slot(read)).max();
                    if place > 0 && next.is_some_and(|next| next >= enough) {
                        ended = Ok(PageEnd::TooOld);
                        continue;
                    }
                    if cursor.is_out_of_reach(&candidate.row) {
                        let problem = "looking at its thing's successes takes too long";
                        warn!(event = "unreadable", problem, job_id = %facts.job.job_id, row = ?candidate.row);
                        met.push((place, candidate, Outcome::FactUnreadable));
                        continue;
                    }
                    under_way.begin(async move {
                        let asked = self.asked_of(session, facts, &candidate, needs).await;
                        (place, candidate, asked)
                    });
                }
                Some(Turn::Ended((_, candidate, Err(stop)))) => {
                    if matches!(stop, Stop::OutOfTime) && candidate.due.behind.is_some() {
                        cursor.cut_short(&candidate.row);
                    }
                    ended = ended.and(Err(stop));
                }
                Some(Turn::Ended((place, candidate, Ok(Err(outcome))))) => {
                    met.push((place, candidate, outcome))
                }
                Some(Turn::Ended((place, candidate, Ok(Ok(asked))))) => {
                    match self.decide(&session.sweep, facts, (&candidate.row, candidate.due.force), &asked) {
                        Decision::Allow(policies) => {
                            let described = asked.description;
                            let record =
                                candidate.record(&session.sweep, (facts, described), policies, self.access);
                            allowed.push((place, record));
                        }
                        Decision::Deny(refusal) => {
                            self.tell_refused(&refusal, &facts.job.job_id, &candidate.row);
                            met.push((place, candidate, Outcome::Refused));
                        }
                    }
                }
            }
        }
        met.sort_by_key(|(place, ..)| *place);
        for (_, candidate, outcome) in met {
            cursor.meet(&candidate.row, &candidate.due.rule, outcome);
        }
        allowed.sort_by_key(|(place, _)| *place);
        Ok((allowed.into_iter().map(|(_, record)| record).collect(), ended?))
    }

    /// Reads what has to be known of something due before it is decided on: whether it is behind the last
    /// successes of its thing, if it has to be, and what is needed of it. `Err` inside: what it comes to
    /// without a decision.
    pub(super) async fn asked_of(
        &self,
        session: &Session<'_>,
        facts: &JobFacts,
        candidate: &Candidacy,
        needs: Needs,
    ) -> Result<Result<AskedFacts, Outcome>, Stop> {
        let Candidacy { row, due } = candidate;
        let job_id = &facts.job.job_id;
        let asked = match due.behind {
            Some(last) => match self.is_behind(session, facts, (row, &due.rule), last).await? {
                Ok(true) => self.asked(session, job_id, row, needs).await?,
                Ok(false) => return Ok(Err(Outcome::AmongLast)),
                Err(problem) => Err(problem),
            },
            None => self.asked(session, job_id, row, needs).await?,
        };
        Ok(asked.map_err(|problem| {
            warn!(event = "unreadable", problem, %job_id, ?row);
            Outcome::FactUnreadable
        }))
    }

    /// The audit trail's line of what a rule has due and the access policy does not give up.
    pub(super) fn tell_refused(&self, refusal: &Refusal, job: &JobId, row: &ExecutionRow) {
        let policies = refusal.reason_key();
        warn!(
            event = "refused",
            policies,
            policy_source = self.access.source(),
            policy_digest = self.access.digest(),
            job_id = %job,
            row = ?row
        );
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
        sweep.pending = Pending::of(receipt.key(), 0..receipt.records().len());
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
        let Acted { results, times, in_doubt, ended } = self.act_on_all(session, receipt, since).await;
        // Told before it counts: if it cannot be told, the whole page is looked at again.
        results::write(self.bucket, &session.sweep, receipt.name(), &results).await?;
        for ((record, outcome), at) in results.iter().zip(times) {
            let share = Share::of(record);
            if outcome.moved() {
                session.sweep.came_of(record, *outcome, at);
                cursor.moved(share, record.row());
            } else {
                session.sweep.sample(record, *outcome);
                cursor.meet(record.row(), &share.rule, *outcome);
            }
        }
        let attempted = results.len() + in_doubt.len();
        if attempted == 0 && matches!(ended, Ok(PageEnd::TooOld)) {
            // Looking at their things took the whole minute.
            let looked_at = |record: &&Record| self.rules.keeps_last(&Share::of(record).rule).is_some();
            receipt.records().iter().filter(looked_at).for_each(|record| cursor.cut_short(record.row()));
        }
        session.sweep.attempts -= (receipt.records().len() - attempted) as u64;
        session.sweep.pending = Pending::of(receipt.key(), in_doubt);
        session.sweep.phase = Phase::applying(cursor);
        session.save().await?;
        ended
    }

    /// Acts on the records of a page, several at once. When something stops it, nothing more is sent, and what is
    /// under way is waited for: the time for that is kept free before the deadline.
    pub(super) async fn act_on_all<'r>(
        &self,
        session: &Session<'_>,
        receipt: &'r Receipt,
        since: Instant,
    ) -> Acted<'r> {
        let leave = Leave { until: since + BELIEVED, withdrawn: AtomicBool::new(false) };
        let calls = match A::OPERATION {
            Operation::DeleteExpired => vec![A::CALL],
            // For the version.
            Operation::CancelStale => vec![IotOperation::DescribeJobExecution, A::CALL],
        };
        let mut under_way = UnderWay::new(session, calls);
        let mut deletions = receipt.deletions().enumerate().peekable();
        let (mut results, mut in_doubt) = (Vec::new(), Vec::new());
        let mut ended = Ok(PageEnd::Done);
        // What stops a page first is what has stopped it; but that it has grown old is no reason to go on where
        // something else is.
        let mut stop = |with: Result<PageEnd, Stop>| {
            if !leave.withdrawn.swap(true, Ordering::Relaxed) || ended.is_ok() && with.is_err() {
                ended = with;
            }
        };
        loop {
            let more = deletions.peek().is_some() && !leave.withdrawn.load(Ordering::Relaxed);
            match under_way.turn(more.into()).await {
                None => break,
                Some(Turn::Begin) if leave.is_over() => stop(Ok(PageEnd::TooOld)),
                Some(Turn::Begin) => {
                    let Some((place, (record, delete))) = deletions.next() else { continue };
                    let leave = &leave;
                    under_way.begin(async move {
                        let came = self.act_on(session, record, &delete, leave).await;
                        (place, record, came)
                    });
                }
                Some(Turn::Ended((place, record, Ok(Some(outcome))))) => {
                    results.push((place, record, outcome, session.now()));
                }
                Some(Turn::Ended((_, _, Ok(None)))) => stop(Ok(PageEnd::TooOld)),
                Some(Turn::Ended((_, _, Err(Unsettled::Unchanged(why))))) => stop(Err(why)),
                Some(Turn::Ended((place, _, Err(Unsettled::InDoubt(why))))) => {
                    in_doubt.push(place);
                    stop(Err(why));
                }
            }
        }
        results.sort_by_key(|(place, ..)| *place);
        in_doubt.sort_unstable();
        let (results, times) =
            results.into_iter().map(|(_, record, outcome, at)| ((record, outcome), at)).unzip();
        Acted { results, times, in_doubt, ended }
    }

    /// Acts on one record. `None`: nothing was sent, because there is no leave to any more.
    async fn act_on(
        &self,
        session: &Session<'_>,
        record: &Record,
        delete: &Delete,
        leave: &Leave,
    ) -> Result<Option<Outcome>, Unsettled> {
        for sent in 0..SENDINGS {
            // What was sent before may have its effect yet.
            let unsettled = if sent == 0 { Unsettled::Unchanged } else { Unsettled::InDoubt };
            let version = match A::OPERATION {
                Operation::DeleteExpired => None,
                Operation::CancelStale => match self.pin(session, record).await.map_err(unsettled)? {
                    Ok(version) => Some(version),
                    Err(outcome) => return Ok(Some(outcome)),
                },
            };
            let send = || A::send(self.iot, record, delete, version);
            let sending = session.mutate(A::CALL, || !leave.is_over(), send).await;
            let answer = match sending.map_err(unsettled)? {
                Sent::Answered(answer) => answer,
                Sent::Withheld if sent == 0 => return Ok(None),
                Sent::Withheld => break,
            };
            let outcome = match answer {
                Ok(()) => self.done(session, record).await,
                Err(MutationError::NotFound(_)) => Outcome::AlreadyGone,
                Err(MutationError::InvalidState(_) | MutationError::VersionConflict(_)) => {
                    Outcome::NoLongerEligible
                }
                Err(MutationError::Invalid(message)) => {
                    error!(event = "refused_by_aws", message, record = ?record.identity());
                    Outcome::RefusedByAws
                }
                Err(
                    MutationError::Unknown(_)
                    | MutationError::Throttled(_)
                    | MutationError::RoleRefused(_)
                    | MutationError::Unauthenticated(_),
                ) => {
                    // The answer was lost: look and compare before anything is sent again.
                    match self.settle(session, record).await.map_err(Unsettled::InDoubt)? {
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
    async fn pin(&self, session: &Session<'_>, record: &Record) -> Result<Result<Version, Outcome>, Stop> {
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
    async fn done(&self, session: &Session<'_>, record: &Record) -> Outcome {
        if A::OPERATION == Operation::DeleteExpired {
            return Outcome::Deleted;
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
                Look::Canceled => return Outcome::Canceled,
                Look::NotYet => accepted = Outcome::CanceledNotSeenYet,
                Look::Mismatch(what) => {
                    error!(event = "identity_mismatch", what, record = ?record.identity());
                    return Outcome::Mismatch;
                }
            }
        }
        if accepted == Outcome::CanceledNotCompared {
            warn!(event = "cancel_not_compared", record = ?record.identity());
        }
        accepted
    }

    /// Looks what became of the page that a slice was acting on when it died. What has been
    /// looked at is kept, however the looking ends: a long page may take more than one slice.
    pub(super) async fn settle_pending(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
    ) -> Result<(), Stop> {
        self.settle_retirement(session, cursor).await?;
        let Some(pending) = session.sweep.pending.clone() else { return Ok(()) };
        let records: Vec<Record> = archive::read(self.bucket, &pending.key).await.map_err(|error| {
            let what = format!("`{}`, whose page is in doubt, could not be read", pending.key);
            Stop::Error(SliceError::Unavailable { what, source: Box::new(error) })
        })?;
        let (settled, ended) = self.settle_all(session, &pending, &records).await;
        let found: Vec<_> =
            settled.iter().filter_map(|(_, record, found)| Some((*record, (*found)?))).collect();
        let name = format!("{}-settled", page_name(&session.sweep));
        results::write(self.bucket, &session.sweep, &name, &found).await?;
        let now = session.now();
        let sweep = &mut session.sweep;
        for (_, record, found) in &settled {
            match found {
                Some(outcome) => {
                    sweep.came_of(record, *outcome, now);
                    cursor.moved(Share::of(record), record.row());
                }
                // Still in its place: it will be met with again.
                None => sweep.attempts -= 1.min(sweep.attempts),
            }
        }
        let is_settled = |place: &usize| settled.iter().any(|(settled, ..)| settled == place);
        let left = pending.places().filter(|place| *place < records.len() && !is_settled(place));
        sweep.pending = Pending::of(&pending.key, left);
        sweep.phase = Phase::applying(cursor);
        ended?;
        Ok(session.save().await?)
    }

    /// Looks what became of the records in doubt, several at once. Gives what was found of each that could be
    /// looked at, in their order.
    async fn settle_all<'r>(
        &self,
        session: &Session<'_>,
        pending: &Pending,
        records: &'r [Record],
    ) -> (Vec<(usize, &'r Record, Option<Outcome>)>, Result<(), Stop>) {
        let mut under_way = UnderWay::new(session, vec![IotOperation::DescribeJobExecution]);
        let in_doubt = pending.places().filter_map(|place| Some((place, records.get(place)?)));
        let mut in_doubt = in_doubt.peekable();
        let mut settled = Vec::new();
        let mut ended = Ok(());
        loop {
            let more = in_doubt.peek().is_some() && ended.is_ok();
            match under_way.turn(more.into()).await {
                None => break,
                Some(Turn::Begin) => {
                    let Some((place, record)) = in_doubt.next() else { continue };
                    let settle = async move { (place, record, self.settle(session, record).await) };
                    under_way.begin(settle);
                }
                Some(Turn::Ended((place, record, Ok(outcome)))) => {
                    settled.push((place, record, outcome.filter(|outcome| outcome.moved())));
                }
                Some(Turn::Ended((_, _, Err(stop)))) => ended = ended.and(Err(stop)),
            }
        }
        settled.sort_by_key(|(place, ..)| *place);
        (settled, ended)
    }

    /// Whether a mutation that may have been sent has happened.
    pub(super) async fn settle(
        &self,
        session: &Session<'_>,
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
        session: &Session<'_>,
        record: &Record,
    ) -> Result<Result<Execution, Lack>, Stop> {
        let number = Some(record.identity().execution_number);
        let describe = || self.iot.describe_execution(job_of(record), record.thing_name(), number);
        session.read(IotOperation::DescribeJobExecution, describe).await
    }
}

/// A name for the next page. The attempt is part of it: a slice that takes over writes its own objects.
pub(super) fn page_name(sweep: &Sweep) -> String {
    object_name(sweep.step, sweep.attempt, sweep.archive.objects)
}

pub(super) fn object_name(step: u64, attempt: u64, nth: u64) -> String {
    format!("{step:05}-{attempt:05}-{nth:06}")
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

/// What has to be read of something due: what the policies ask for, and what its record keeps.
pub(super) fn needs_of(policies: Needs, due: &Due) -> Needs {
    Needs { description: policies.description || due.archive == ArchiveKind::Full, ..policies }
}

/// What is called before something due is decided on, one after the other.
pub(super) fn calls_before(needs: Needs, due: &Due) -> Vec<IotOperation> {
    let behind = due.behind.map(|_| IotOperation::ListJobExecutionsForThing);
    behind.into_iter().chain(reads(needs)).collect()
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
