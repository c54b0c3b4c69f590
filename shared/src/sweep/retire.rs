//! Deleting a finished job whole: once every execution of it is due, permitted and archived, one DeleteJob
//! stands for the deletions of all of them.
//!
//! A finished job is given no execution any more, and what has ended does not change: what was archived an
//! hour ago is what is there now. What may still change, the job's tags among it, is read within the minute
//! before the call. A job of more than one page is listed twice, because somebody else's deletions shift
//! pages: what the second listing shows has to be what the archive has.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::act::{Act, Outcome, Share};
use super::apply::BELIEVED;
use super::cursor::{ApplyCursor, Candidate, MOST_RESTARTS, Phase, Seen};
use super::pace::IotOperation;
use super::page::{needs_of, object_name, page_name};
use super::results;
use super::scan::Listed;
use super::session::{Lack, Sent, Session, Stop};
use super::slice::{SliceError, Worker};
use super::state::Sweep;
use crate::access::{Decision, Principal};
use crate::archive::{self, JobReceipt, JobRecord, Record};
use crate::digest;
use crate::execution::{ExecutionRow, JobFacts, JobStatus, ToldJob};
use crate::ids::JobId;
use crate::listing::{NextPage, PagesSeen, row_number};
use crate::operation::Operation;
use crate::ports::{ListedExecution, MutationError, Page, ReadJobs, SliceQueue};
use crate::retention::KnownJob;

/// DeleteJob, in AWS's words.
const ACTION: &str = "DeleteJob";

/// How often DeleteJob is sent whose answer is lost while the job stays as it is.
const SENDINGS: u8 = 5;

/// How long AWS may have no room for another job that is being deleted: it takes ten at a time.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// The same, once a job has waited so long in vain.
const NEXT_WAIT: SignedDuration = SignedDuration::from_mins(1);

/// The finished jobs whose rule has them deleted whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WholeJobs {
    /// How many the plan has, once everything of them is due.
    pub planned: u64,
    /// How many executions they have.
    pub executions: u64,
    /// How many have been deleted.
    pub deleted: u64,
    /// How many somebody else had deleted.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// How many could not be, and why: what is due of them is deleted one by one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub singly: BTreeMap<Hindrance, u64>,
}

/// Why a job is not deleted whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hindrance {
    /// The deployment does not allow it (`RetireJobs` in the template).
    NotAllowed,
    /// The access policy asks for groups or attributes of things, which may change from one minute to the next.
    FactsOfThings,
    /// The job is not finished any more, or has changed since its executions were archived.
    JobChanged,
    /// Its executions are not those that were planned or archived.
    ExecutionsChanged,
    /// Not everything of it is due and permitted any more.
    NotAllDue,
    /// Something of it could not be read.
    Unreadable,
    /// AWS refused, and said why.
    RefusedByAws,
    /// AWS was busy with deleting other jobs for too long.
    NoRoom,
    /// The answer was lost, and the job is still there.
    NotConfirmed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl WholeJobs {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn hindered(&mut self, hindrance: Hindrance) {
        *self.singly.entry(hindrance).or_default() += 1;
    }
}

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Retirement {
    job: Option<RetiringJob>,
    stage: Stage,
    /// The archive's objects.
    batches: Vec<Batch>,
    /// What they hold.
    archived: Fingerprint,
    /// Those of them that are on the page at hand: it may be listed again before its end.
    here: Vec<Seen>,
    /// How many pages have been listed for them.
    listings: u64,
    sendings: u8,
    /// Since when DeleteJob has waited for its turn.
    waits_since: Option<Timestamp>,
}

/// Which job, and what was known of it when its first execution was archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetiringJob {
    job_id: JobId,
    /// A job that is deleted leaves its name to another.
    created_at: Timestamp,
    facts_digest: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    /// Its executions are archived, page by page.
    #[default]
    Archiving,
    /// They are listed once more, and what has been listed so far is this.
    Comparing(Fingerprint),
    /// DeleteJob may be sent.
    Deleting,
    /// It was, or is about to be.
    Sent,
    /// What came of each execution is told; so many of the archive's objects have been gone through.
    #[serde(rename_all = "camelCase")]
    Telling { outcome: Outcome, objects: u64 },
    /// All is told.
    Told,
}

/// Objects of the archive that one slice wrote, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    step: u64,
    attempt: u64,
    first: u64,
    count: u64,
}

/// How many executions, and a sum over them that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    count: u64,
    sum: [u64; 2],
}

impl Fingerprint {
    fn add(&mut self, row: &ExecutionRow) {
        let parts = [
            row.thing_name.as_str(),
            &row.execution_number.to_string(),
            row.status.as_str(),
            // To the second: the precision that every report of AWS has.
            &row.queued_at.as_second().to_string(),
            &row.last_updated_at.as_second().to_string(),
        ];
        self.count += 1;
        let [high, low] = digest::numbers_of(parts);
        let [sum_high, sum_low] = &mut self.sum;
        *sum_high = sum_high.wrapping_add(high);
        *sum_low = sum_low.wrapping_add(low);
    }
}

impl Retirement {
    /// Whether it has not begun.
    pub(super) fn is_unbegun(&self) -> bool {
        self.job.is_none()
    }

    /// Notes which job it is, or compares: whether it is still the same, as it was.
    fn is_of(&mut self, fresh: &Fresh) -> bool {
        let job = RetiringJob {
            job_id: fresh.facts.job.job_id.clone(),
            created_at: fresh.told.created_at,
            facts_digest: digest::of([serde_json::to_string(&fresh.facts).unwrap_or_default().as_str()]),
        };
        *self.job.get_or_insert_with(|| job.clone()) == job
    }

    /// Notes an object of the archive.
    fn keep(&mut self, sweep: &Sweep, records: &[Record]) {
        let nth = sweep.archive.objects;
        match self.batches.last_mut() {
            Some(last) if (last.step, last.attempt) == (sweep.step, sweep.attempt) => last.count += 1,
            Some(_) | None => {
                let Sweep { step, attempt, .. } = *sweep;
                self.batches.push(Batch { step, attempt, first: nth, count: 1 });
            }
        }
        for record in records {
            self.archived.add(record.row());
            self.here.push(Seen::of(record.row()));
        }
    }

    /// The name of the archive's nth object of the job.
    fn object(&self, mut nth: u64) -> Option<String> {
        for Batch { step, attempt, first, count } in self.batches.iter().copied() {
            if nth < count {
                return Some(object_name(step, attempt, first + nth));
            }
            nth -= count;
        }
        None
    }
}

/// A job as it has just been read.
struct Fresh {
    facts: JobFacts,
    told: ToldJob,
    read: Instant,
}

/// Why a step did not come to its end.
enum End {
    Stop(Stop),
    Hindered(Hindrance),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<SliceError> for End {
    fn from(error: SliceError) -> Self {
        Self::Stop(error.into())
    }
}

impl From<Hindrance> for End {
    fn from(hindrance: Hindrance) -> Self {
        Self::Hindered(hindrance)
    }
}

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Whether a job of which everything is due is to be deleted whole. Counts it if it is, and why not if
    /// only its rule has it so.
    pub(super) fn plans_to_retire(&self, jobs: &mut WholeJobs, facts: &JobFacts, executions: u64) -> bool {
        if !self.is_to_go_whole(facts) {
            return false;
        }
        if let Err(hindrance) = self.may_retire() {
            jobs.hindered(hindrance);
            return false;
        }
        jobs.planned += 1;
        jobs.executions += executions;
        true
    }

    fn is_to_go_whole(&self, facts: &JobFacts) -> bool {
        A::OPERATION == Operation::DeleteExpired
            && facts.job.is_finished()
            && self.rules.retires(&KnownJob::read(facts))
    }

    fn may_retire(&self) -> Result<(), Hindrance> {
        let needs = self.needs();
        if !self.retire_jobs {
            Err(Hindrance::NotAllowed)
        } else if needs.thing_groups || needs.thing_attributes {
            Err(Hindrance::FactsOfThings)
        } else {
            Ok(())
        }
    }

    /// Deletes a job whole that is planned to be, and tells what came of its executions. Tells whether it
    /// has: otherwise they are deleted one by one.
    pub(super) async fn retire(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        candidate: &Candidate,
    ) -> Result<bool, Stop> {
        if !candidate.whole || cursor.singly {
            return Ok(false);
        }
        match self.steps(session, cursor, candidate).await {
            Ok(()) => Ok(true),
            Err(End::Stop(stop)) => Err(stop),
            Err(End::Hindered(hindrance)) => {
                self.go_singly(session, cursor, &candidate.job_id, hindrance);
                Ok(false)
            }
        }
    }

    fn go_singly(&self, session: &mut Session<'_>, cursor: &mut ApplyCursor, job_id: &JobId, why: Hindrance) {
        warn!(event = "job_not_deleted_whole", %job_id, reason = ?why);
        session.sweep.whole_jobs.hindered(why);
        cursor.go_singly();
        // A slice that dies behind this leaves it to its successor.
        session.sweep.phase = Phase::applying(cursor);
    }

    async fn steps(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        candidate: &Candidate,
    ) -> Result<(), End> {
        if cursor.retirement.stage == Stage::Told {
            return Ok(());
        }
        self.may_retire()?;
        let job = &candidate.job_id;
        let fresh = self.fresh(session, cursor, job).await?;
        if cursor.retirement.stage == Stage::Archiving {
            self.archive_executions(session, cursor, candidate, &fresh.facts).await?;
        }
        if let Stage::Comparing(seen) = cursor.retirement.stage {
            self.compare_executions(session, cursor, &fresh.facts, seen).await?;
        }
        let outcome = self.delete_job(session, cursor, job, fresh).await?;
        Ok(self.deleted(session, cursor, outcome).await?)
    }

    /// Reads a job that is finished, and still the one that it was.
    async fn fresh(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        job: &JobId,
    ) -> Result<Fresh, End> {
        let told = session.read(IotOperation::DescribeJob, || self.iot.told_job(job)).await?;
        let told = match told {
            Err(Lack::NotFound) => return Err(Hindrance::JobChanged.into()),
            told => told.map_err(unreadable(job))?,
        };
        let read = Instant::now();
        let tags = session.read(IotOperation::ListTagsForResource, || self.iot.job_tags(&told.job)).await?;
        let facts = JobFacts { job: told.job.clone(), tags: tags.map_err(unreadable(job))? };
        let fresh = Fresh { facts, told, read };
        let finished = fresh.facts.job.is_finished() && fresh.told.active == 0;
        let retires = self.rules.retires(&KnownJob::read(&fresh.facts));
        if finished && retires && cursor.retirement.is_of(&fresh) {
            Ok(fresh)
        } else {
            Err(Hindrance::JobChanged.into())
        }
    }

    /// Archives every execution of the job, all of which have to be due and permitted.
    async fn archive_executions(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        candidate: &Candidate,
        facts: &JobFacts,
    ) -> Result<(), End> {
        let planned = candidate.due.total();
        loop {
            let page = match self.list_whole(session, cursor, facts).await? {
                Some(page) => page,
                None => {
                    cursor.retirement.archived = Fingerprint::default();
                    cursor.retirement.batches.clear();
                    cursor.retirement.here.clear();
                    continue;
                }
            };
            cursor.retirement.listings += 1;
            let numbers = numbers_of(&page);
            let mut records = Vec::new();
            let mut out_of_time = false;
            for row in page.items {
                let row = row.map_err(|_| Hindrance::Unreadable)?;
                if cursor.retirement.here.iter().any(|seen| seen.is(&row)) {
                    continue;
                }
                match self.record_of(session, facts, row).await {
                    Ok(record) => records.push(record),
                    // What has been described so far need not be described again.
                    Err(End::Stop(Stop::OutOfTime)) if !records.is_empty() => {
                        out_of_time = true;
                        break;
                    }
                    Err(end) => return Err(end),
                }
            }
            if cursor.retirement.archived.count + records.len() as u64 > planned {
                return Err(Hindrance::ExecutionsChanged.into());
            }
            self.keep(session, cursor, records).await?;
            if out_of_time {
                return Err(Stop::OutOfTime.into());
            }
            cursor.retirement.here.clear();
            if turn(cursor, numbers, page.next_token)? {
                break;
            }
            session.sweep.phase = Phase::applying(cursor);
            session.save_now_and_then().await?;
        }
        // One answer of AWS is a whole; several may have missed what shifted between them.
        let once = cursor.retirement.listings == 1;
        cursor.retirement.stage =
            if once { Stage::Deleting } else { Stage::Comparing(Fingerprint::default()) };
        Ok(())
    }

    /// Lists a page. `None`: the listing has to begin again, and what was listed so far is forgotten.
    async fn list_whole(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        facts: &JobFacts,
    ) -> Result<Option<Page<ListedExecution>>, End> {
        match self.list_executions(session, &facts.job.job_id, None, cursor.token.as_deref()).await? {
            Listed::Page(page) => Ok(Some(page)),
            Listed::StartOver if cursor.restarts < MOST_RESTARTS => {
                cursor.restarts += 1;
                cursor.token = None;
                cursor.listing = PagesSeen::default();
                Ok(None)
            }
            Listed::StartOver | Listed::NoSuchJob | Listed::Unreadable => Err(Hindrance::Unreadable.into()),
        }
    }

    /// The record of an execution that is due and that the policies give up.
    async fn record_of(
        &self,
        session: &mut Session<'_>,
        facts: &JobFacts,
        row: ExecutionRow,
    ) -> Result<Record, End> {
        let known = KnownJob::read(facts);
        let candidacy = self.due(session.sweep.now, &known, row).ok_or(Hindrance::NotAllDue)?;
        let needs = needs_of(self.needs(), &candidacy.due);
        let asked = self.asked(session, &facts.job.job_id, &candidacy.row, needs).await?;
        let asked = asked.map_err(|problem| {
            warn!(event = "unreadable", problem, job_id = %facts.job.job_id, row = ?candidacy.row);
            Hindrance::Unreadable
        })?;
        match self.decide(&session.sweep, facts, (&candidacy.row, candidacy.due.force), &asked) {
            Decision::Allow(policies) => {
                let known = (facts, asked.description);
                let record = candidacy.record(&session.sweep, known, policies, self.access);
                Ok(Record { action: ACTION.to_owned(), ..record })
            }
            Decision::Deny(_) => Err(Hindrance::NotAllDue.into()),
        }
    }

    /// Archives executions of a page.
    async fn keep(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        records: Vec<Record>,
    ) -> Result<(), Stop> {
        if !records.is_empty() {
            let sweep = &mut session.sweep;
            let origin = sweep.sweep_id.as_str();
            let receipt = archive::write(self.bucket, origin, &page_name(sweep), sweep.now, records).await?;
            cursor.retirement.keep(sweep, receipt.records());
            sweep.archive.objects += 1;
            sweep.archive.records += receipt.records().len() as u64;
        }
        session.sweep.phase = Phase::applying(cursor);
        Ok(())
    }

    /// Lists the job's executions once more: they have to be those that are in the archive.
    async fn compare_executions(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        facts: &JobFacts,
        mut seen: Fingerprint,
    ) -> Result<(), End> {
        loop {
            match self.list_whole(session, cursor, facts).await? {
                Some(page) => {
                    let numbers = numbers_of(&page);
                    for row in page.items {
                        seen.add(&row.map_err(|_| Hindrance::Unreadable)?);
                    }
                    if turn(cursor, numbers, page.next_token)? {
                        break;
                    }
                }
                None => seen = Fingerprint::default(),
            }
            cursor.retirement.stage = Stage::Comparing(seen);
            session.sweep.phase = Phase::applying(cursor);
            session.save_now_and_then().await?;
        }
        if seen != cursor.retirement.archived {
            return Err(Hindrance::ExecutionsChanged.into());
        }
        cursor.retirement.stage = Stage::Deleting;
        Ok(())
    }

    /// Archives the job itself, and sends DeleteJob.
    async fn delete_job(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        job: &JobId,
        mut fresh: Fresh,
    ) -> Result<Outcome, End> {
        if cursor.retirement.archived.count == 0 {
            return Err(Hindrance::ExecutionsChanged.into());
        }
        let document = session.read(IotOperation::GetJobDocument, || self.iot.job_document(job)).await?;
        let document = document.map_err(unreadable(job))?;
        let delete = self.archive_job(session, cursor, &fresh, document).await?.deletion();
        loop {
            if fresh.read.elapsed() >= BELIEVED / 2 {
                fresh = self.fresh(session, cursor, job).await?;
            }
            // What is gone although nothing was sent before, somebody else has deleted.
            let sent_before = cursor.retirement.sendings > 0;
            let gone = if sent_before { Outcome::DeletedWithJob } else { Outcome::AlreadyGone };
            let waits_since = *cursor.retirement.waits_since.get_or_insert(session.now());
            session.sweep.attempts += cursor.retirement.archived.count;
            cursor.retirement.stage = Stage::Sent;
            session.sweep.phase = Phase::applying(cursor);
            session.save().await?;
            let send = || A::retire(self.iot, &delete);
            let believed = || fresh.read.elapsed() < BELIEVED;
            let answer = match session.mutate(IotOperation::DeleteJob, believed, send).await {
                Ok(answer) => answer,
                Err(stop) => {
                    session.not_sent(cursor);
                    if matches!(stop, Stop::OutOfTime) {
                        session.has_room(waits_since)?;
                    }
                    return Err(stop.into());
                }
            };
            match answer {
                Sent::Answered(Ok(())) => return Ok(Outcome::DeletedWithJob),
                Sent::Answered(Err(MutationError::NotFound(_))) => return Ok(gone),
                Sent::Answered(Err(
                    MutationError::InvalidState(problem)
                    | MutationError::VersionConflict(problem)
                    | MutationError::Invalid(problem),
                )) => {
                    // So does AWS where it is at it already: a call before this one may have arrived late.
                    match self.look(session, cursor).await? {
                        Some(Outcome::DeletedByInterruptedSlice) => return Ok(gone),
                        Some(outcome) => return Ok(outcome),
                        None => {}
                    }
                    warn!(event = "refused_by_aws", %job, problem);
                    session.not_sent(cursor);
                    return Err(Hindrance::RefusedByAws.into());
                }
                Sent::Answered(Err(
                    MutationError::Unknown(_)
                    | MutationError::Throttled(_)
                    | MutationError::RoleRefused(_)
                    | MutationError::Unauthenticated(_),
                )) => match self.look(session, cursor).await? {
                    Some(outcome) => return Ok(outcome.confirmed_with_job()),
                    None => {
                        session.not_sent(cursor);
                        cursor.retirement.sendings += 1;
                        if cursor.retirement.sendings >= SENDINGS {
                            return Err(Hindrance::NotConfirmed.into());
                        }
                        sleep(Duration::from_millis(200) * 2_u32.pow(cursor.retirement.sendings.into()))
                            .await;
                    }
                },
                Sent::Withheld => {
                    session.not_sent(cursor);
                    session.has_room(waits_since)?;
                }
            }
        }
    }

    async fn archive_job(
        &self,
        session: &Session<'_>,
        cursor: &ApplyCursor,
        fresh: &Fresh,
        document: String,
    ) -> Result<JobReceipt, Stop> {
        let sweep = &session.sweep;
        let record = JobRecord {
            format: JobRecord::FORMAT,
            action: ACTION.to_owned(),
            principal: Principal::Sweeper(sweep.operation).to_string(),
            origin: sweep.sweep_id.to_string(),
            decided_at: sweep.now,
            rule: self.rules.rule_name(&KnownJob::read(&fresh.facts)).unwrap_or_default().to_owned(),
            policy_source: self.access.source().to_owned(),
            policy_digest: self.access.digest().to_owned(),
            job: fresh.facts.clone(),
            executions: cursor.retirement.archived.count,
            description: fresh.told.told.clone(),
            document,
        };
        // A job has been archived page by page before, so no other has this name.
        let name = format!("{}-{}", fresh.facts.job.job_id, page_name(sweep));
        Ok(archive::write_job(self.bucket, &name, &record).await?)
    }

    /// Looks what became of a DeleteJob that may have been sent. `None`: nothing.
    async fn look(&self, session: &mut Session<'_>, cursor: &ApplyCursor) -> Result<Option<Outcome>, Stop> {
        let Some(RetiringJob { job_id, created_at, .. }) = &cursor.retirement.job else { return Ok(None) };
        let seen = session.read(IotOperation::DescribeJob, || self.iot.told_job(job_id)).await?;
        Ok(match seen {
            Ok(seen)
                if seen.created_at == *created_at
                    && seen.job.status != Some(JobStatus::DeletionInProgress) =>
            {
                None
            }
            Ok(_) | Err(Lack::NotFound) => Some(Outcome::DeletedByInterruptedSlice),
            Err(Lack::InvalidToken | Lack::Unreadable(_)) => Some(Outcome::Unreadable),
        })
    }

    /// Looks what became of the DeleteJob that a slice may have sent when it died, and tells what has not
    /// been told of the job's executions.
    pub(super) async fn settle_retirement(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
    ) -> Result<(), Stop> {
        match cursor.retirement.stage {
            Stage::Sent => match self.look(session, cursor).await? {
                Some(outcome) => self.deleted(session, cursor, outcome).await,
                None => {
                    session.not_sent(cursor);
                    cursor.retirement.sendings += 1;
                    if cursor.retirement.sendings >= SENDINGS
                        && let Some(job) = cursor.retirement.job.take()
                    {
                        self.go_singly(session, cursor, &job.job_id, Hindrance::NotConfirmed);
                    }
                    session.sweep.phase = Phase::applying(cursor);
                    Ok(session.save().await?)
                }
            },
            Stage::Telling { .. } => self.tell(session, cursor).await,
            Stage::Archiving | Stage::Comparing(_) | Stage::Deleting | Stage::Told => Ok(()),
        }
    }

    /// The job is gone, or will be: that is kept before anything is told of it.
    async fn deleted(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        outcome: Outcome,
    ) -> Result<(), Stop> {
        cursor.retirement.stage = Stage::Telling { outcome, objects: 0 };
        session.sweep.phase = Phase::applying(cursor);
        session.save().await?;
        self.tell(session, cursor).await
    }

    /// Tells row by row what came of the job's executions, and counts it.
    async fn tell(&self, session: &mut Session<'_>, cursor: &mut ApplyCursor) -> Result<(), Stop> {
        let origin = session.sweep.sweep_id.clone();
        while let Stage::Telling { outcome, objects } = cursor.retirement.stage {
            let Some(name) = cursor.retirement.object(objects) else {
                let jobs = &mut session.sweep.whole_jobs;
                if outcome.with_job() {
                    jobs.deleted += 1;
                } else if outcome == Outcome::AlreadyGone {
                    jobs.gone += 1;
                } else {
                    jobs.hindered(Hindrance::Unreadable);
                }
                cursor.retirement.stage = Stage::Told;
                break;
            };
            if session.left().is_zero() {
                return Err(Stop::OutOfTime);
            }
            let key = archive::key(origin.as_str(), session.sweep.now, &name);
            let records: Vec<Record> = archive::read(self.bucket, &key).await.map_err(|error| {
                let what = format!("`{key}`, whose executions are deleted, could not be read");
                Stop::Error(SliceError::Unavailable { what, source: Box::new(error) })
            })?;
            let told: Vec<_> = records.iter().map(|record| (record, outcome)).collect();
            results::write(self.bucket, &session.sweep, &name, &told).await?;
            let now = session.now();
            for record in &records {
                session.sweep.came_of(record, outcome, now);
                cursor.moved.add(Share::of(record), 1);
            }
            cursor.retirement.stage = Stage::Telling { outcome, objects: objects + 1 };
            session.sweep.phase = Phase::applying(cursor);
            session.save_now_and_then().await?;
        }
        session.sweep.phase = Phase::applying(cursor);
        Ok(session.save().await?)
    }
}

impl Session<'_> {
    /// DeleteJob was not sent, or has had no effect: the job's executions do not count as attempted.
    fn not_sent(&mut self, cursor: &mut ApplyCursor) {
        self.sweep.attempts -= cursor.retirement.archived.count.min(self.sweep.attempts);
        cursor.retirement.stage = Stage::Deleting;
    }

    /// Whether DeleteJob may wait on for its turn.
    fn has_room(&self, waits_since: Timestamp) -> Result<(), Hindrance> {
        let in_vain = self.sweep.whole_jobs.singly.contains_key(&Hindrance::NoRoom);
        let most = if in_vain { NEXT_WAIT } else { LONGEST_WAIT };
        if self.now().duration_since(waits_since) < most { Ok(()) } else { Err(Hindrance::NoRoom) }
    }
}

fn numbers_of(page: &Page<ListedExecution>) -> Vec<u64> {
    page.items.iter().flatten().map(row_number).collect()
}

/// Goes on to the next page. Tells whether that was the last one: a listing that repeats itself is not whole.
fn turn(cursor: &mut ApplyCursor, rows: Vec<u64>, next_token: Option<String>) -> Result<bool, Hindrance> {
    match cursor.listing.turn(rows, next_token) {
        NextPage::At(token) => {
            cursor.token = Some(token);
            Ok(false)
        }
        NextPage::End => {
            cursor.token = None;
            cursor.listing = PagesSeen::default();
            Ok(true)
        }
        NextPage::Repeated => Err(Hindrance::Unreadable),
    }
}

/// What stands in the way when something of a job cannot be read.
fn unreadable(job: &JobId) -> impl Fn(Lack) -> Hindrance {
    move |lack| {
        warn!(event = "unreadable", problem = lack.problem(), job_id = %job);
        Hindrance::Unreadable
    }
}
