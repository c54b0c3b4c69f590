//! The scan: lists jobs into segments, then judges every execution of every job that can hold
//! something due. Memory holds one page and one segment, whatever the size of the fleet.

use jiff::{SignedDuration, Timestamp};
use object_store::PutMode;
use tracing::warn;

use super::act::Act;
use super::cursor::{Candidate, MOST_RESTARTS, Phase, ScanCursor, Seen};
use super::explain;
use super::pace::IotOperation;
use super::session::{Lack, Session, Stop};
use super::slice::Worker;
use super::state::{JobCounts, Sweep};
use super::store;
use super::successes::Success;
use super::tally::{Line, Tally};
use super::under_way::{Turn, UnderWay};
use crate::access::{AskedFacts, Decision, ExecutionFacts, Needs, Principal};
use crate::digest;
use crate::execution::{ExecutionRow, JobFacts, JobStatus, JobSummary, Status};
use crate::ids::JobId;
use crate::listing::{NextPage, PagesSeen, number_of, row_number};
use crate::operation::Operation;
use crate::ports::{Force, ListedExecution, ListedJob, Page, ReadJobs, SliceQueue};
use crate::retention::{Due, KeepReason, KnownJob, Limit, NotKnown, Verdict};

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Lists one page of jobs into a segment.
    pub(super) async fn list_jobs(
        &self,
        session: &mut Session<'_>,
        token: Option<String>,
        restarts: u8,
        mut listing: PagesSeen,
    ) -> Result<(), Stop> {
        let read = || self.iot.list_jobs(token.as_deref());
        let mut page = match session.read(IotOperation::ListJobs, read).await? {
            Ok(page) => page,
            Err(Lack::InvalidToken) if restarts < MOST_RESTARTS => {
                // Segments written so far are written over.
                session.sweep.jobs = JobCounts::default();
                let (restarts, listing) = (restarts + 1, PagesSeen::default());
                session.sweep.phase = Phase::Listing { token: None, restarts, listing };
                return Ok(session.save().await?);
            }
            Err(lack) => return Err(Stop::Failed(format!("jobs cannot be listed: {}", lack.problem()))),
        };
        let number = |job: &JobSummary| number_of((job.job_id.as_str(), job.created_at.as_second()));
        let numbers: Vec<_> = page.items.iter().flatten().map(number).collect();
        page.items.retain(|item| !item.as_ref().is_ok_and(|job| listing.stood_before(number(job))));
        if listing.repeats(&numbers) {
            page.items.clear();
        }
        let mut jobs = session.sweep.jobs;
        let old_enough = self.old_enough(session.sweep.now, &mut jobs, page.items);
        if !old_enough.is_empty() {
            let key = store::jobs_key(&session.sweep.sweep_id, jobs.segments);
            store::put(self.bucket, &key, &old_enough, PutMode::Overwrite).await?;
            jobs.segments += 1;
        }
        let next = listing.turn(numbers, page.next_token);
        if next == NextPage::Repeated {
            warn!(
                event = "listing_repeated",
                "the listing of jobs repeats itself; what it did not show is left alone"
            );
            jobs.repeated += 1;
        }
        session.sweep.jobs = jobs;
        session.sweep.phase = match next {
            NextPage::At(token) => Phase::Listing { token: Some(token), restarts, listing },
            NextPage::End | NextPage::Repeated => Phase::Scanning(ScanCursor::default()),
        };
        Ok(session.save().await?)
    }

    /// The jobs that can hold something due by the rule that each may have: one whose rule keeps
    /// everything holds nothing due, and an execution is never older than its job.
    fn old_enough(&self, now: Timestamp, jobs: &mut JobCounts, listed: Vec<ListedJob>) -> Vec<JobSummary> {
        let mut kept = Vec::new();
        for job in listed {
            jobs.seen += 1;
            let job = match job {
                Ok(job) => job,
                Err(error) => {
                    warn!(event = "job_unreadable", %error);
                    jobs.unreadable += 1;
                    continue;
                }
            };
            // AWS takes its executions away by itself.
            if job.status == Some(JobStatus::DeletionInProgress) {
                jobs.gone += 1;
                continue;
            }
            match self.rules.shortest(A::OPERATION, &KnownJob::listed(&job)) {
                Limit::Never => jobs.never += 1,
                Limit::After(limit) if is_old_enough(now, &job, limit) => kept.push(job),
                // Its successes are the newest of their things; nothing else of it is looked at.
                Limit::After(_)
                    if A::OPERATION == Operation::DeleteExpired
                        && self.rules.may_keep_last(&KnownJob::listed(&job)) =>
                {
                    kept.push(job);
                }
                Limit::After(_) => jobs.too_young += 1,
            }
        }
        kept
    }

    /// Which executions of a job of a segment the scan looks at: of one that is there for its successes alone,
    /// no others.
    fn scans(&self, now: Timestamp, job: &JobSummary) -> Option<Status> {
        let listed = KnownJob::listed(job);
        match self.rules.shortest(A::OPERATION, &listed) {
            Limit::After(limit) if is_old_enough(now, job, limit) => self.looks_at(&listed),
            Limit::After(_) | Limit::Never => Some(Status::Succeeded),
        }
    }

    /// Scans one segment of jobs from where the cursor stands.
    pub(super) async fn scan_segment(
        &self,
        session: &mut Session<'_>,
        mut cursor: ScanCursor,
    ) -> Result<(), Stop> {
        if cursor.segment >= session.sweep.jobs.segments {
            session.write_successes().await?;
            session.sweep.phase = if session.sweep.successes.any() {
                Phase::Ranking { next: 0 }
            } else {
                session.sweep.blockers.next_phase()
            };
            return Ok(session.save().await?);
        }
        let sweep_id = session.sweep.sweep_id.clone();
        let (jobs, _): (Vec<JobSummary>, _) =
            store::get(self.bucket, &store::jobs_key(&sweep_id, cursor.segment)).await?;
        while let Some(job) = jobs.get(cursor.index) {
            self.scan_job(session, &mut cursor, job).await?;
            cursor = ScanCursor {
                segment: cursor.segment,
                index: cursor.index + 1,
                candidates: cursor.candidates,
                ..ScanCursor::default()
            };
            session.sweep.phase = Phase::Scanning(cursor.clone());
            session.save_now_and_then().await?;
        }
        let key = store::candidates_key(&sweep_id, cursor.segment);
        store::put(self.bucket, &key, &cursor.candidates, PutMode::Overwrite).await?;
        session.sweep.phase =
            Phase::Scanning(ScanCursor { segment: cursor.segment + 1, ..ScanCursor::default() });
        Ok(session.save().await?)
    }

    async fn scan_job(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ScanCursor,
        job: &JobSummary,
    ) -> Result<(), Stop> {
        let listed = KnownJob::listed(job);
        let status = self.scans(session.sweep.now, job);
        let mut facts = None;
        let next = loop {
            let mut page =
                match self.list_executions(session, &job.job_id, status, cursor.token.as_deref()).await? {
                    Listed::Page(page) => page,
                    Listed::StartOver if cursor.restarts < MOST_RESTARTS => {
                        cursor.restarts += 1;
                        cursor.token = None;
                        cursor.listing = PagesSeen::default();
                        cursor.job = Tally::default();
                        cursor.pages = 0;
                        cursor.judged.clear();
                        continue;
                    }
                    Listed::NoSuchJob => {
                        session.sweep.jobs.gone += 1;
                        return Ok(());
                    }
                    Listed::StartOver | Listed::Unreadable => {
                        session.sweep.jobs.unreadable += 1;
                        return Ok(());
                    }
                };
            let numbers: Vec<_> = page.items.iter().flatten().map(row_number).collect();
            if cursor.listing.repeats(&numbers) {
                break NextPage::Repeated;
            }
            let mut of_rows = numbers.iter();
            let mut stood_before = || of_rows.next().is_some_and(|row| cursor.listing.stood_before(*row));
            page.items.retain(|item| item.is_err() || !stood_before());
            // Before anything of the page is counted: the slice may end here.
            let mut rows = page.items.iter().flatten();
            if facts.is_none() && rows.any(|row| !self.keeps(session.sweep.now, &listed, row)) {
                facts = Some(self.job_facts(session, &job.job_id).await?);
            }
            // Since it was listed.
            if facts.as_ref().is_some_and(is_being_deleted) {
                session.sweep.jobs.gone += 1;
                return Ok(());
            }
            self.note_stale(&mut session.sweep, facts.as_ref(), (job, &page.items));
            let token = page.next_token;
            let counted = self.count_page(session, cursor, facts.as_ref(), (job, page.items)).await;
            let unreadable = match counted {
                Ok(unreadable) => unreadable,
                Err(stop) => {
                    session.sweep.phase = Phase::Scanning(cursor.clone());
                    return Err(stop);
                }
            };
            // Behind the rest: they have no name by which they would be known again.
            unreadable.into_iter().for_each(|problem| cursor.job.unreadable(problem));
            cursor.judged.clear();
            cursor.pages += 1;
            match cursor.listing.turn(numbers, token) {
                NextPage::At(token) => cursor.token = Some(token),
                end @ (NextPage::End | NextPage::Repeated) => break end,
            }
            session.sweep.phase = Phase::Scanning(cursor.clone());
            session.save_now_and_then().await?;
            session.write_many_successes().await?;
        };
        if next == NextPage::Repeated {
            warn!(event = "listing_repeated", job_id = %job.job_id, "what the listing did not show is not judged");
            session.sweep.jobs.repeated += 1;
        }
        let tally = std::mem::take(&mut cursor.job);
        let (due, seen, among_last) = (tally.due_shares(), tally.total(), tally.among_last());
        let sweep = &mut session.sweep;
        sweep.jobs.scanned += 1;
        sweep.tally.merge(tally);
        let total = due.total();
        let whole = match facts {
            Some(Ok(facts)) if total > 0 && total == seen && next == NextPage::End => {
                self.plans_to_retire(&mut sweep.whole_jobs, &facts, total)
            }
            Some(_) | None => false,
        };
        if total > 0 {
            let count = total.to_string();
            let parts = [sweep.candidates_digest.as_str(), job.job_id.as_str(), &count];
            sweep.candidates_digest = digest::of(parts.into_iter().chain(whole.then_some("whole")));
            sweep.work.add(cursor.pages, whole.then_some(total));
        }
        // What may be among the last falls due when everything has been seen.
        if total + among_last > 0 {
            let (job_id, pages) = (job.job_id.clone(), cursor.pages);
            cursor.candidates.push(Candidate { job_id, due, whole, pages, behind: None });
        }
        Ok(session.write_many_successes().await?)
    }

    /// Which of a job's executions a sweep looks at. Cancelling looks at what waits only, unless a rule
    /// cancels what runs, too; deleting looks at everything, so that the report accounts for
    /// everything.
    pub(super) fn looks_at(&self, job: &KnownJob<'_>) -> Option<Status> {
        match A::OPERATION {
            Operation::DeleteExpired => None,
            Operation::CancelStale => (!self.rules.cancels_running(job)).then_some(Status::Queued),
        }
    }

    /// Lists a page of a job's executions, of one status where only this is looked at.
    pub(super) async fn list_executions(
        &self,
        session: &mut Session<'_>,
        job: &JobId,
        status: Option<Status>,
        token: Option<&str>,
    ) -> Result<Listed, Stop> {
        let read = || self.iot.list_executions(job, status, token);
        let lack = match session.read(IotOperation::ListJobExecutionsForJob, read).await? {
            Ok(page) => return Ok(Listed::Page(page)),
            Err(lack) => lack,
        };
        warn!(event = "job_not_listed", job_id = %job, problem = lack.problem());
        Ok(match lack {
            Lack::InvalidToken => Listed::StartOver,
            Lack::NotFound => Listed::NoSuchJob,
            Lack::Unreadable(_) => Listed::Unreadable,
        })
    }

    /// Whether an execution stays by what is known of its job, and nothing more need be read for it.
    pub(super) fn keeps(&self, now: Timestamp, job: &KnownJob<'_>, row: &ExecutionRow) -> bool {
        matches!(self.rules.judge(A::OPERATION, now, job, row), Ok(Verdict::Keep { .. }))
    }

    /// Judges the rows of a page that have not been judged before: retention proposes, the access policy
    /// disposes. What it asks for is read of several rows at once. Gives what is wrong with those that cannot
    /// be read.
    async fn count_page(
        &self,
        session: &Session<'_>,
        cursor: &mut ScanCursor,
        facts: Option<&Result<JobFacts, String>>,
        (job, rows): (&JobSummary, Vec<ListedExecution>),
    ) -> Result<Vec<String>, Stop> {
        let needs = self.needs();
        let now = session.sweep.now;
        let segment = cursor.segment;
        let note = |row: &ExecutionRow, rule: &str, due| {
            session.note_success(Success::of(&job.job_id, row, rule, segment, due));
        };
        let judged = |seen: &mut Vec<Seen>, row: &ExecutionRow| {
            if needs.any() {
                seen.push(Seen::of(row));
            }
        };
        let mut unreadable = Vec::new();
        let mut under_way = UnderWay::new(session, reads(needs));
        let mut rows = rows.into_iter();
        let mut ended = Ok(());
        loop {
            match under_way.turn((ended.is_ok() && rows.len() > 0).into()).await {
                None => break,
                Some(Turn::Begin) => {
                    let row = match rows.next() {
                        Some(Ok(row)) => row,
                        Some(Err(error)) => {
                            unreadable.push(error.to_string());
                            continue;
                        }
                        None => continue,
                    };
                    if cursor.judged.iter().any(|seen| seen.is(&row)) {
                        continue;
                    }
                    let verdict = self.rules.judge(A::OPERATION, now, &known(facts, job), &row);
                    let ranked = verdict.as_ref().ok().and_then(|verdict| self.ranked(&row, verdict));
                    let Some((due, facts)) =
                        propose(now, &mut cursor.job, facts, (verdict, &job.job_id, &row))
                    else {
                        ranked.into_iter().for_each(|rule| note(&row, &rule, false));
                        judged(&mut cursor.judged, &row);
                        continue;
                    };
                    under_way.begin(async move {
                        let asked = self.asked(session, &job.job_id, &row, needs).await;
                        (row, due, facts, asked)
                    });
                }
                Some(Turn::Ended((_, _, _, Err(stop)))) => ended = ended.and(Err(stop)),
                Some(Turn::Ended((row, due, facts, Ok(asked)))) => {
                    let line = Line::of(&due.rule, &job.job_id, &row, now);
                    let decided =
                        asked.map(|asked| self.decide(&session.sweep, facts, (&row, due.force), &asked));
                    if due.behind.is_some() {
                        note(&row, &due.rule, matches!(decided, Ok(Decision::Allow(_))));
                    }
                    match decided {
                        Ok(Decision::Allow(_)) if due.behind.is_some() => {
                            cursor.job.kept(line, KeepReason::AmongLast);
                        }
                        Ok(Decision::Allow(_)) => cursor.job.due(line, due.since),
                        Ok(Decision::Deny(refusal)) => cursor.job.refused(line, &refusal),
                        Err(problem) => cursor.job.unreadable(problem),
                    }
                    judged(&mut cursor.judged, &row);
                }
            }
        }
        ended.map(|()| unreadable)
    }

    /// The rule of an execution that counts among the successes of its thing of which the rule keeps the last.
    fn ranked(&self, row: &ExecutionRow, verdict: &Verdict) -> Option<String> {
        let rule = verdict.rule();
        let ranked = A::OPERATION == Operation::DeleteExpired
            && row.status == Status::Succeeded
            && self.rules.keeps_last(rule).is_some();
        ranked.then(|| rule.to_owned())
    }

    /// Reads a job and its tags. `Err` inside: they cannot be known, and what cannot be known
    /// is not acted on.
    pub(super) async fn job_facts(
        &self,
        session: &Session<'_>,
        job: &JobId,
    ) -> Result<Result<JobFacts, String>, Stop> {
        let described = match session.read(IotOperation::DescribeJob, || self.iot.describe_job(job)).await? {
            Ok(described) => described,
            Err(lack) => return Ok(Err(format!("job facts: {}", lack.problem()))),
        };
        match session.read(IotOperation::ListTagsForResource, || self.iot.job_tags(&described)).await? {
            Ok(tags) => Ok(Ok(JobFacts { job: described, tags })),
            Err(lack) => Ok(Err(format!("job tags: {}", lack.problem()))),
        }
    }

    /// Reads the facts that a listing does not tell and that are needed. `Err` inside: they cannot be
    /// known, and what cannot be known is not acted on.
    pub(super) async fn asked(
        &self,
        session: &Session<'_>,
        job: &JobId,
        row: &ExecutionRow,
        needs: Needs,
    ) -> Result<Result<AskedFacts, String>, Stop> {
        let thing = &row.thing_name;
        // A listing tells it, and leaves out zero.
        let retry_attempt = Some(row.retry_attempt.unwrap_or(0));
        let mut asked = AskedFacts { retry_attempt, ..AskedFacts::default() };
        if needs.description {
            let read = || self.iot.describe_execution(job, thing, Some(row.execution_number));
            match session.read(IotOperation::DescribeJobExecution, read).await? {
                Ok(mut seen) if is_unchanged(&seen.row, row) => {
                    // Only a listing tells it.
                    seen.row.retry_attempt = row.retry_attempt;
                    asked.description = Some(seen);
                }
                Ok(_) => return Ok(Err("execution: changed since it was listed".to_owned())),
                Err(lack) => return Ok(Err(format!("execution: {}", lack.problem()))),
            }
        }
        if needs.thing_groups {
            let read = || self.iot.thing_groups(thing);
            match session.read(IotOperation::ListThingGroupsForThing, read).await? {
                Ok(groups) => asked.thing_groups = Some(groups),
                Err(lack) => return Ok(Err(format!("thing groups: {}", lack.problem()))),
            }
        }
        if needs.thing_attributes {
            let read = || self.iot.thing_attributes(thing);
            match session.read(IotOperation::DescribeThing, read).await? {
                Ok(attributes) => asked.thing_attributes = Some(attributes),
                Err(lack) => return Ok(Err(format!("thing attributes: {}", lack.problem()))),
            }
        }
        Ok(Ok(asked))
    }

    /// What the policies ask for besides a listing's row and the job.
    pub(super) fn needs(&self) -> Needs {
        let needs = self.access.needs(&Principal::Sweeper(A::OPERATION), A::OPERATION.action());
        Needs { retry_attempt: false, ..needs }
    }

    /// What the access policy says of an execution that a rule has due.
    pub(super) fn decide(
        &self,
        sweep: &Sweep,
        job: &JobFacts,
        (row, force): (&ExecutionRow, Force),
        asked: &AskedFacts,
    ) -> Decision {
        let principal = Principal::Sweeper(A::OPERATION);
        let terms = explain::terms(A::OPERATION, force, sweep.dry_run, sweep.now);
        let facts = ExecutionFacts { job_id: &job.job.job_id, row, job, asked };
        self.access.decide(&principal, A::OPERATION.action(), &facts, &terms)
    }
}

/// Whether something of the job can be due by a limit: an execution is never older than its job.
fn is_old_enough(now: Timestamp, job: &JobSummary, limit: SignedDuration) -> bool {
    now.checked_sub(limit).is_ok_and(|youngest| job.created_at <= youngest)
}

/// Counts a row that the retention rules have judged, unless they have it due. The job's facts have been read
/// where a row of it asks for them.
fn propose<'f>(
    now: Timestamp,
    tally: &mut Tally,
    facts: Option<&'f Result<JobFacts, String>>,
    (verdict, job, row): (Result<Verdict, NotKnown>, &JobId, &ExecutionRow),
) -> Option<(Due, &'f JobFacts)> {
    match (verdict, facts) {
        (Ok(Verdict::Keep { reason, rule, until }), _) => {
            tally.kept(Line::of(&rule, job, row, now), reason);
            until.into_iter().for_each(|until| tally.comes_due(now, until));
        }
        (Ok(Verdict::Due(due)), Some(Ok(facts))) => return Some((due, facts)),
        (Ok(Verdict::Due(_)) | Err(NotKnown), Some(Err(problem))) => tally.unreadable(problem.clone()),
        (Err(NotKnown), Some(Ok(_)) | None) | (Ok(Verdict::Due(_)), None) => {
            tally.unreadable(NotKnown.to_string());
        }
    }
    None
}

/// What is known of a job whose facts have been read where a row of it asks for them.
pub(super) fn known<'k>(facts: Option<&'k Result<JobFacts, String>>, job: &'k JobSummary) -> KnownJob<'k> {
    match facts {
        Some(Ok(facts)) => KnownJob::read(facts),
        Some(Err(_)) | None => KnownJob::listed(job),
    }
}

/// Whether AWS is deleting a job that could be read.
fn is_being_deleted(facts: &Result<JobFacts, String>) -> bool {
    facts.as_ref().is_ok_and(|facts| facts.job.is_being_deleted())
}

/// What is called where this is needed of a row, one after the other.
pub(super) fn reads(needs: Needs) -> Vec<IotOperation> {
    let reads = [
        (needs.description, IotOperation::DescribeJobExecution),
        (needs.thing_groups, IotOperation::ListThingGroupsForThing),
        (needs.thing_attributes, IotOperation::DescribeThing),
    ];
    reads.into_iter().filter(|(needed, _)| *needed).map(|(_, operation)| operation).collect()
}

/// Whether a description shows an execution as it was listed: the same one, of which nothing has
/// been heard since.
fn is_unchanged(described: &ExecutionRow, listed: &ExecutionRow) -> bool {
    described.identity() == listed.identity()
        && described.status == listed.status
        // To the second: the precision that every report of AWS has.
        && described.last_updated_at.as_second() == listed.last_updated_at.as_second()
}

/// What listing a job's executions gave.
#[derive(Debug)]
pub(super) enum Listed {
    /// A page.
    Page(Page<ListedExecution>),
    /// The token is not good any more: the listing has to begin again.
    StartOver,
    /// There is no such job any more.
    NoSuchJob,
    /// AWS's answer makes no sense.
    Unreadable,
}
