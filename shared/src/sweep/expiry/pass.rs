//! One pass of a check: what is listed, judged, decided, archived and deleted.

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use super::budget::Budget;
use super::{Check, FOLDER};
use crate::access::Decision;
use crate::archive::{self, Receipt, Record};
use crate::execution::{ExecutionRow, JobFacts};
use crate::listing::{NextPage, PagesSeen, REPEATED, row_number};
use crate::meter::{self, Source};
use crate::ports::{ReadJobs, SliceQueue};
use crate::retention::{Due, KnownJob, NotKnown, Verdict};
use crate::sweep::act::{Act, Outcome};
use crate::sweep::apply::BELIEVED;
use crate::sweep::pace::IotOperation;
use crate::sweep::page::{Acted, Candidacy, PageEnd, calls_before, needs_of};
use crate::sweep::results::OutcomeRow;
use crate::sweep::session::{Lack, Session, Stop};
use crate::sweep::slice::{SliceError, Worker};

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Deals with everything that is due. `TooOld`: what was read may not be believed any more before
    /// everything was dealt with.
    pub(super) async fn pass(
        &self,
        session: &mut Session<'_>,
        check: &mut Check<'_>,
        budget: &Budget<'_>,
    ) -> Result<PageEnd, Stop> {
        let job = &check.message.job_id;
        let since = Instant::now();
        let Some(rows) = self.rows(session, check).await? else { return Ok(PageEnd::Done) };
        let (now, named) = (session.sweep.now, KnownJob::named(job));
        let unmet: Vec<_> = rows.into_iter().filter(|row| !check.met.contains(&row.identity())).collect();
        check.kept.clear();
        if unmet.iter().all(|row| self.keeps(now, &named, row)) {
            unmet.iter().for_each(|row| drop(self.judge(check, &named, now, row)));
            return Ok(PageEnd::Done);
        }
        let facts = match self.job_facts(session, job).await? {
            Ok(facts) => facts,
            Err(problem) => {
                warn!(event = "job_skipped", job_id = %job, problem);
                return Ok(PageEnd::Done);
            }
        };
        if self.goes_whole(&facts) {
            info!(event = "expiry_left_to_sweep", name = check.name, job_id = %job, "its rule has it deleted whole");
            return Ok(PageEnd::Done);
        }
        let mut due = Vec::new();
        for row in unmet {
            if let Some(found) = self.judge(check, &KnownJob::read(&facts), now, &row) {
                due.push(Candidacy { row, due: found });
            }
        }
        let (mut records, end) = self.allowed(session, check, (&facts, due, since)).await?;
        if session.sweep.dry_run {
            for record in &records {
                let (rule, execution) = (&record.rule, record.identity());
                info!(event = "expiry_would_delete", name = check.name, job_id = %job, rule, ?execution);
                check.met.push(execution);
            }
            return Ok(end);
        }
        let wanted = records.len() as u64;
        if wanted > check.granted {
            let by = check.object(check.passes);
            check.granted += budget.take(wanted - check.granted, &by).await?;
        }
        if wanted > check.granted {
            check.stop(budget);
            records.truncate(usize::try_from(check.granted).unwrap_or(usize::MAX));
        }
        if records.is_empty() {
            // Another pass would find no more of the budget.
            return Ok(if check.over_budget { PageEnd::Done } else { end });
        }
        if session.left().is_zero() {
            return Err(Stop::OutOfTime);
        }
        let object = check.object(check.passes);
        let receipt = archive::write(self.bucket, FOLDER, &object, check.message.due_at, records).await?;
        match self.carry_out_check(session, check, &receipt, since).await? {
            PageEnd::Done if check.over_budget => Ok(PageEnd::Done),
            PageEnd::Done => Ok(end),
            PageEnd::TooOld => Ok(PageEnd::TooOld),
        }
    }

    /// The thing's executions of the job; `None` where they cannot be listed, which is told.
    async fn rows(
        &self,
        session: &mut Session<'_>,
        check: &Check<'_>,
    ) -> Result<Option<Vec<ExecutionRow>>, Stop> {
        let (job, thing) = (&check.message.job_id, &check.message.thing_name);
        let (mut rows, mut token, mut listing) = (Vec::new(), None, PagesSeen::default());
        loop {
            let read = || self.iot.list_executions_of_thing(job, thing, token.as_deref());
            let page = match session.read(IotOperation::ListJobExecutionsForThing, read).await? {
                Ok(page) => page,
                Err(Lack::NotFound) => return Ok(Some(rows)),
                Err(lack @ (Lack::InvalidToken | Lack::Unreadable(_))) => {
                    let problem = lack.problem();
                    warn!(event = "thing_not_listed", job_id = %job, thing_name = %thing, problem);
                    return Ok(None);
                }
            };
            let numbers: Vec<_> = page.items.iter().flatten().map(row_number).collect();
            for row in page.items {
                match row {
                    Ok(row) if listing.stood_before(row_number(&row)) => {}
                    Ok(row) => rows.push(row),
                    Err(problem) => {
                        warn!(event = "unreadable", %problem, job_id = %job, thing_name = %thing);
                    }
                }
            }
            match listing.turn(numbers, page.next_token) {
                NextPage::At(next) => token = Some(next),
                NextPage::End => return Ok(Some(rows)),
                NextPage::Repeated => {
                    warn!(event = "thing_not_listed", job_id = %job, thing_name = %thing, problem = REPEATED);
                    return Ok(None);
                }
            }
        }
    }

    /// Judges one row; what is kept is counted.
    fn judge(
        &self,
        check: &mut Check<'_>,
        job: &KnownJob<'_>,
        now: Timestamp,
        row: &ExecutionRow,
    ) -> Option<Due> {
        match self.rules.judge(A::OPERATION, now, job, row) {
            Ok(Verdict::Due(due)) => Some(due),
            Ok(Verdict::Keep { reason, .. }) => {
                *check.kept.entry(reason).or_default() += 1;
                None
            }
            Err(NotKnown) => None,
        }
    }

    /// Records of what the access policy lets be deleted. What it refuses is told, and met with.
    async fn allowed(
        &self,
        session: &mut Session<'_>,
        check: &mut Check<'_>,
        (facts, due, since): (&JobFacts, Vec<Candidacy>, Instant),
    ) -> Result<(Vec<Record>, PageEnd), Stop> {
        let job = &check.message.job_id;
        let asked_by_policies = self.needs();
        let mut records = Vec::new();
        for candidate in due {
            let needs = needs_of(asked_by_policies, &candidate.due);
            // What is read of many takes its time, and so does acting on it.
            let calls = calls_before(needs, &candidate.due);
            let next = calls.into_iter().map(|call| session.next_slot(call)).max();
            if next.is_some_and(|next| next >= since + BELIEVED / 2) && !records.is_empty() {
                return Ok((records, PageEnd::TooOld));
            }
            let asked = match self.asked_of(session, facts, &candidate, needs).await {
                Ok(asked) => asked,
                // It would take as long the next time; nothing has been sent for it.
                Err(Stop::OutOfTime) if candidate.due.behind.is_some() && records.is_empty() => {
                    warn!(event = "thing_not_looked_at", job_id = %job, row = ?candidate.row);
                    check.meet(candidate.row.identity(), Outcome::FactUnreadable);
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            let asked = match asked {
                Ok(asked) => asked,
                Err(outcome) => {
                    check.meet(candidate.row.identity(), outcome);
                    continue;
                }
            };
            match self.decide(&session.sweep, facts, (&candidate.row, candidate.due.force), &asked) {
                Decision::Allow(policies) => {
                    let described = (facts, asked.description);
                    let record = candidate.record(&session.sweep, described, policies, self.access);
                    let origin = format!("{FOLDER} {}", check.name);
                    records.push(Record { origin, ..record });
                }
                Decision::Deny(refusal) => {
                    self.tell_refused(&refusal, job, &candidate.row);
                    check.meet(candidate.row.identity(), Outcome::Refused);
                }
            }
        }
        Ok((records, PageEnd::Done))
    }

    /// Deletes every record of an acknowledged object. However it ends, what came of them is written.
    async fn carry_out_check(
        &self,
        session: &mut Session<'_>,
        check: &mut Check<'_>,
        receipt: &Receipt,
        since: Instant,
    ) -> Result<PageEnd, Stop> {
        // What is in doubt has no row: the message comes again, and has it looked at.
        let Acted { results, in_doubt, mut ended, .. } = self.act_on_all(session, receipt, since).await;
        if let (false, Err(Stop::Failed(what))) = (in_doubt.is_empty(), &mut ended) {
            let (what, source) = (std::mem::take(what), "what was sent is in doubt".into());
            ended = Err(Stop::Error(SliceError::Unavailable { what, source }));
        }
        let mut outcomes = Vec::new();
        for (record, outcome) in results {
            outcomes.push(OutcomeRow::of(record, None, outcome));
            check.meet(record.identity(), outcome);
            let rule = record.rule.as_deref().unwrap_or_default();
            meter::came_of(Source::Expiry, A::OPERATION, rule, outcome, 1);
            check.granted -= 1.min(check.granted);
        }
        self.write_outcomes(&check.key("outcomes", receipt.name()), &outcomes).await?;
        ended
    }

    /// Writes what came of records. If the bucket does not take it, the message comes again and has it
    /// looked for.
    pub(super) async fn write_outcomes(&self, key: &str, outcomes: &[OutcomeRow]) -> Result<(), Stop> {
        if outcomes.is_empty() {
            return Ok(());
        }
        archive::write_lines(self.bucket, key, outcomes).await.map_err(|error| {
            let what =
                "the bucket did not take what came of a check, so it will be looked at again".to_owned();
            Stop::Error(SliceError::Unavailable { what, source: Box::new(error) })
        })
    }
}
