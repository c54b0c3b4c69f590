//! The application: for each job with something due, page after fresh page, judged again.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::act::{Act, Outcome, Share};
use super::counts::Counts;
use super::cursor::{ApplyCursor, Candidate, MOST_RESTARTS, Phase};
use super::page::{Candidacy, PageEnd};
use super::scan::Listed;
use super::session::{Session, Stop};
use super::slice::Worker;
use super::store;
use crate::execution::{ExecutionRow, JobFacts};
use crate::listing::{NextPage, row_number};
use crate::operation::Operation;
use crate::ports::{ReadJobs, SliceQueue};
use crate::retention::{KnownJob, NotKnown, Verdict};

/// How long what was read is believed: a page and its job's facts are read again after this long,
/// so a hold tag works after a minute at the latest.
pub(super) const BELIEVED: Duration = Duration::from_secs(60);

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Applies one segment of candidates from where the cursor stands.
    pub(super) async fn apply_segment(
        &self,
        session: &mut Session<'_>,
        mut cursor: ApplyCursor,
    ) -> Result<(), Stop> {
        self.settle_pending(session, &mut cursor).await?;
        if self.dry_run_only {
            let message = "the deployment was set to dry runs only while the sweep ran; it stopped";
            return Err(Stop::Failed(message.to_owned()));
        }
        if cursor.segment >= session.sweep.jobs.segments {
            session.sweep.phase = Phase::Done;
            return Ok(());
        }
        let planned_by = session.sweep.planned_by();
        let ranked = session.sweep.successes.any();
        let key = if ranked { store::planned_key } else { store::candidates_key };
        let key = key(planned_by, cursor.segment);
        let (candidates, _): (Vec<Candidate>, _) = store::get(self.bucket, &key).await?;
        while let Some(candidate) = candidates.get(cursor.index) {
            let rest = match self.apply_job(session, &mut cursor, candidate).await {
                Ok(rest) => rest,
                Err(stop) => {
                    // What has been met with so far need not be met with again.
                    session.sweep.phase = Phase::applying(&cursor);
                    return Err(stop);
                }
            };
            cursor.end_page();
            account(session, &cursor, candidate, rest);
            cursor.next_candidate();
            session.sweep.phase = Phase::applying(&cursor);
            session.save().await?;
        }
        cursor.next_segment();
        session.sweep.phase = Phase::applying(&cursor);
        Ok(session.save().await?)
    }

    /// Passes over a job until a pass finds nothing more to do. Tells what to count the rest of
    /// its plan as: what was planned and has not been met with.
    async fn apply_job(
        &self,
        session: &mut Session<'_>,
        cursor: &mut ApplyCursor,
        candidate: &Candidate,
    ) -> Result<Outcome, Stop> {
        let job = &candidate.job_id;
        let named = KnownJob::named(job);
        // What is deleted, or cancelled where only what waits is listed, leaves its listing.
        let status = self.looks_at(&named);
        let leaves = A::OPERATION == Operation::DeleteExpired || status.is_some();
        if self.retire(session, cursor, candidate).await? {
            return Ok(Outcome::NotSeenAgain);
        }
        let mut facts: Option<(JobFacts, Instant)> = None;
        loop {
            let page = match self.list_executions(session, job, status, cursor.token.as_deref()).await? {
                Listed::Page(page) => page,
                Listed::StartOver if cursor.restarts < MOST_RESTARTS => {
                    cursor.restarts += 1;
                    session.next_pass(cursor);
                    continue;
                }
                Listed::NoSuchJob => return Ok(Outcome::NotSeenAgain),
                Listed::StartOver | Listed::Unreadable => return Ok(Outcome::JobUnreadable),
            };
            let listed = Instant::now();
            let length = page.items.len() as u64;
            let now = session.sweep.now;
            let numbers: Vec<_> = page.items.iter().flatten().map(row_number).collect();
            let repeats = cursor.listing.repeats(&numbers);
            let rows = cursor.listed(page.items.into_iter().flatten()).into_iter();
            let shown_before = |row: &ExecutionRow| repeats || cursor.listing.stood_before(row_number(row));
            let rows = rows.filter(|row| !shown_before(row) && !cursor.has_met(row));
            let unmet = rows.filter(|row| !self.keeps(now, &named, row));
            let unmet: Vec<_> = unmet.collect();
            if !unmet.is_empty() {
                // Well before they are too old: what is acted on must not be.
                let fresh = facts.take().filter(|(_, read)| read.elapsed() < BELIEVED / 2);
                let (known, read) = match fresh {
                    Some(fresh) => fresh,
                    None => match self.job_facts(session, job).await? {
                        Ok(found) => (found, Instant::now()),
                        Err(problem) => {
                            warn!(event = "job_skipped", job_id = %job, problem);
                            return Ok(Outcome::JobUnreadable);
                        }
                    },
                };
                if known.job.is_being_deleted() {
                    return Ok(Outcome::NotSeenAgain);
                }
                // By fresh tags: those of the scan may be hours old.
                let rows = unmet.into_iter();
                let due = rows.filter_map(|row| self.due(now, &KnownJob::read(&known), row));
                let due = due.filter(|due| due.is_planned(candidate)).collect();
                // Both grow old, and the older one counts.
                let since = listed.min(read);
                let planned = candidate.due.total();
                let end = self.apply_page(session, cursor, planned, (&known, due, since)).await?;
                facts = Some((known, read));
                if end == PageEnd::TooOld {
                    continue;
                }
            }
            if cursor.moved.total() >= candidate.due.total() {
                return Ok(Outcome::NotSeenAgain);
            }
            // What was behind has moved up: the page shows it, and costs no more than the next.
            let stays = leaves && cursor.moved_here > 0 && cursor.moved_here * 2 >= length;
            if !(stays && page.next_token.is_some()) {
                match cursor.listing.turn(numbers, page.next_token) {
                    NextPage::At(token) => {
                        cursor.end_page();
                        cursor.next_page(token);
                    }
                    NextPage::End | NextPage::Repeated if leaves && cursor.left_behind > 0 => {
                        session.next_pass(cursor);
                    }
                    NextPage::End | NextPage::Repeated => return Ok(Outcome::NotSeenAgain),
                }
            }
            session.sweep.phase = Phase::applying(cursor);
            session.save_now_and_then().await?;
        }
    }

    pub(super) fn due(&self, now: Timestamp, job: &KnownJob<'_>, row: ExecutionRow) -> Option<Candidacy> {
        match self.rules.judge(A::OPERATION, now, job, &row) {
            Ok(Verdict::Due(due)) => Some(Candidacy { row, due }),
            Ok(Verdict::Keep { .. }) | Err(NotKnown) => None,
        }
    }
}

impl Candidacy {
    /// Whether the plan may hold it: of successes, it holds those that were not among the last.
    fn is_planned(&self, candidate: &Candidate) -> bool {
        self.due.behind.is_none()
            || candidate.behind.as_ref().is_some_and(|behind| behind.may_hold(&self.row))
    }
}

impl Session<'_> {
    /// Begins another pass over a job. What stayed in place is met with again: it is counted, and
    /// counts as attempted, when the last pass has met with it.
    fn next_pass(&mut self, cursor: &mut ApplyCursor) {
        self.sweep.attempts -= cursor.stayed_attempts().min(self.sweep.attempts);
        cursor.next_pass();
    }
}

/// Counts what stayed in place, and the rest of what was planned: outcomes add up to the plan.
fn account(session: &mut Session<'_>, cursor: &ApplyCursor, candidate: &Candidate, rest: Outcome) {
    let mut left = candidate.due.total().saturating_sub(cursor.moved.total());
    let mut met: Vec<_> = cursor.moved.iter().map(|(share, count)| (share.clone(), count)).collect();
    // What was not attempted may never have been planned, but have come to the job since; and of what is among
    // the last, the plan only tells which may be its.
    let mut stayed: Vec<_> = cursor.stayed.iter().collect();
    stayed.sort_by_key(|(kind, _)| (!kind.outcome.attempted(), kind.outcome == Outcome::AmongLast));
    for (kind, count) in stayed {
        let count = left.min(count);
        session.sweep.count(&kind.share, kind.outcome, count);
        met.push((kind.share.clone(), count));
        left -= count;
    }
    for (share, count) in not_met(candidate.due.clone(), met).iter() {
        let count = left.min(count);
        session.sweep.count(share, rest, count);
        left -= count;
    }
}

/// What of a plan has not been met with. What had another rule when it was met with than when it was
/// planned, is taken for one of the same status.
fn not_met(mut planned: Counts<Share>, mut met: Vec<(Share, u64)>) -> Counts<Share> {
    for (share, count) in &mut met {
        *count -= planned.take(share, *count);
    }
    for (share, mut count) in met {
        let of_status = |other: &&Share| other.status == share.status;
        let alike: Vec<_> = planned.iter().map(|(share, _)| share).filter(of_status).cloned().collect();
        for other in alike {
            count -= planned.take(&other, count);
        }
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Status;

    #[test]
    fn what_was_met_with_under_another_rule_is_taken_for_one_of_the_same_status() {
        let share = |rule: &str, status| Share { rule: rule.to_owned(), status };
        let mut planned = Counts::default();
        planned.add(share("a", Status::Failed), 3);
        planned.add(share("b", Status::Failed), 2);
        planned.add(share("a", Status::Succeeded), 4);
        let check = |met: &[(&str, Status, u64)], expected: [u64; 3]| {
            let met = met.iter().map(|(rule, status, count)| (share(rule, *status), *count)).collect();
            let left = not_met(planned.clone(), met);
            let statuses = [("a", Status::Succeeded), ("a", Status::Failed), ("b", Status::Failed)];
            let told = statuses.map(|(rule, status)| {
                left.iter().find(|(of, _)| **of == share(rule, status)).map_or(0, |(_, count)| count)
            });
            assert_eq!(told, expected, "{left:?}");
        };
        check(&[], [4, 3, 2]);
        check(&[("a", Status::Failed, 2), ("a", Status::Succeeded, 1)], [3, 1, 2]);
        check(&[("a", Status::Failed, 2), ("c", Status::Failed, 2), ("a", Status::Succeeded, 1)], [3, 0, 1]);
        // More than was planned is no less than nothing.
        check(&[("b", Status::Failed, 9)], [4, 0, 0]);
    }
}
