//! The last successes of each thing: found by ranking what a scan has met with, and looked at afresh
//! before one behind them goes.
//!
//! A rule that says `keep_last = N` keeps, of the SUCCEEDED executions that it has on a thing, the N newest
//! whatever their age. The scan goes job by job and cannot rank what a thing has of several jobs: it
//! writes every success under such a rule into the bucket, parted by things. When it is through, one part
//! after the other is ranked, and what is not among the last is told to its jobs, segment by segment.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::PoisonError;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use object_store::PutMode;
use serde::{Deserialize, Serialize};

use super::act::{Act, Share};
use super::cursor::{Candidate, Phase};
use super::pace::IotOperation;
use super::ranking::Ranking;
use super::session::{Session, Stop};
use super::slice::{SliceError, Worker};
use super::store;
use crate::archive::{self, ArchiveError};
use crate::digest;
use crate::execution::{ExecutionOnThing, ExecutionRow, Identity, JobFacts, Status};
use crate::ids::{ExecutionNumber, JobId, ThingName};
use crate::listing::{self, NextPage, PagesSeen, REPEATED, row_number};
use crate::ports::{ReadJobs, SliceQueue};
use crate::retention::{KnownJob, NotKnown};

/// Into how many parts the successes of a scan are written. One of them is ranked in memory, or where they are many,
/// a share of one.
const PARTS: u64 = u64::BITS as u64;

/// How many successes are held in memory before they are written.
const HELD: usize = 6_144;

/// How many, about, are ranked at once. They take a quarter of the memory then.
const RANKED: usize = 8_192;

/// How many objects are written or read at once.
const AT_ONCE: usize = 8;

/// Of how many jobs the rule is remembered.
const MOST_RULES: usize = 256;

/// How long the rule of another job is believed. Longer than what is deleted itself: it has to last from one slice to
/// the next, and other work may lie between them.
const BELIEVED: SignedDuration = SignedDuration::from_mins(15);

/// A success under a rule that keeps the last ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Success {
    pub(super) rule: String,
    pub(super) thing_name: ThingName,
    #[serde(flatten)]
    pub(super) newness: Newness,
    /// The segment of its job.
    pub(super) segment: u64,
    /// Whether it goes unless it is among the last.
    pub(super) due: bool,
}

/// What has been written for a ranking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Written {
    /// How often.
    times: u64,
    /// How many, those that were met with twice counted twice.
    successes: u64,
    /// In which parts there is something: a bit for each.
    parts: u64,
}

impl Written {
    /// Whether there is anything to rank.
    pub(super) const fn any(self) -> bool {
        self.parts > 0
    }

    /// So many have been written into these parts.
    fn note(&mut self, successes: usize, parts: impl IntoIterator<Item = u64>) {
        self.times += 1;
        self.successes += successes as u64;
        self.parts = parts.into_iter().fold(self.parts, |noted, part| noted | 1 << part);
    }

    /// Into how many shares each part has to be taken, so that one of them can be held.
    const fn shares(self) -> u64 {
        let shares = self.successes.div_ceil(PARTS * RANKED as u64);
        if shares == 0 { 1 } else { shares }
    }

    /// What is ranked at once, one after the other from the `first` on: its place, a part in which there is
    /// something, and which share of it.
    fn shares_of_parts(self, first: u64) -> impl Iterator<Item = (u64, u64, u64)> {
        let shares = self.shares();
        let all = (first..PARTS * shares).map(move |nth| (nth, nth / shares, nth % shares));
        all.filter(move |(_, part, _)| self.parts >> part & 1 == 1)
    }
}

/// What orders the successes of a thing: the newest is the greatest. Times are to the second, the precision that
/// every report of AWS has: of two, each must not be newer than the other by what another report says of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Newness {
    pub(super) last_updated_at: Timestamp,
    pub(super) queued_at: Timestamp,
    pub(super) execution_number: ExecutionNumber,
    pub(super) job_id: JobId,
}

/// What a ranking has found due of a job under a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Behind {
    pub(super) job_id: JobId,
    pub(super) rule: String,
    pub(super) marks: Vec<u64>,
}

impl Newness {
    fn of(job: &JobId, row: &ExecutionRow) -> Self {
        Self {
            last_updated_at: to_second(row.last_updated_at),
            queued_at: to_second(row.queued_at),
            execution_number: row.execution_number,
            job_id: job.clone(),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::new(self.execution_number, self.queued_at)
    }

    /// Which of its thing's.
    fn of_thing(&self) -> (JobId, ExecutionNumber) {
        (self.job_id.clone(), self.execution_number)
    }
}

impl Success {
    pub(super) fn of(job: &JobId, row: &ExecutionRow, rule: &str, segment: u64, due: bool) -> Self {
        let (rule, thing_name) = (rule.to_owned(), row.thing_name.clone());
        Self { rule, thing_name, newness: Newness::of(job, row), segment, due }
    }

    fn part(&self) -> u64 {
        number_of([self.thing_name.as_str()]) % PARTS
    }

    /// Its share of its part, of so many: all of a thing have the same.
    fn share(&self, of: u64) -> u64 {
        number_of([self.thing_name.as_str()]) / PARTS % of
    }
}

/// A number that tells texts from others, as good as by chance.
fn number_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let [number, _] = digest::numbers_of(texts);
    number
}

fn to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

pub(super) fn mark(thing: &ThingName, identity: Identity) -> u64 {
    let (number, queued) = (identity.execution_number.to_string(), identity.queued_at.to_string());
    number_of([thing.as_str(), &number, &queued])
}

/// Which successes of a job a plan holds, in a size that does not grow with them. Those that it holds it
/// always knows again; others it may take for one of them, which costs a call and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Marks(Vec<u64>);

/// Bits for each mark, as long as the words last.
const BITS: usize = 10;

/// The fewest words of 64 bits: a few marks have few places to be taken for.
const LEAST_WORDS: usize = 4;

/// The most, 16 kB: for some thirteen thousand successes of a job hardly any other is taken for one.
const MOST_WORDS: usize = 2_048;

/// From so many marks on there is no more room for each.
const FULL: usize = MOST_WORDS * 64 / BITS;

impl Marks {
    fn of(marks: &[u64]) -> Self {
        let words = (marks.len() * BITS).div_ceil(64).clamp(LEAST_WORDS, MOST_WORDS);
        let mut this = Self(vec![0; words]);
        marks.iter().for_each(|mark| this.set(*mark));
        this
    }

    fn set(&mut self, mark: u64) {
        for (word, bit) in self.places(mark) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn places(&self, mark: u64) -> [(usize, u64); 4] {
        let bits = self.0.len() as u64 * 64;
        let (first, step) = (mark >> 32, mark & 0xffff_ffff | 1);
        [0, 1, 2, 3].map(|nth| {
            let place = (first + nth * step) % bits;
            ((place / 64) as usize, 1 << (place % 64))
        })
    }

    fn has(&self, mark: u64) -> bool {
        let is_set = |(word, bit): (usize, u64)| self.0.get(word).is_some_and(|word| word & bit != 0);
        !self.0.is_empty() && self.places(mark).into_iter().all(is_set)
    }

    /// Whether the plan may hold it.
    pub(super) fn may_hold(&self, row: &ExecutionRow) -> bool {
        self.has(mark(&row.thing_name, row.identity()))
    }
}

/// What has been found due of a job. Its size, too, does not grow with that.
#[derive(Debug, Default)]
struct Gathered {
    by_rule: BTreeMap<String, u64>,
    /// As long as there is room for each.
    marks: Vec<u64>,
    full: Option<Marks>,
}

impl Gathered {
    fn add(&mut self, rule: String, found: Vec<u64>) {
        *self.by_rule.entry(rule).or_default() += found.len() as u64;
        for mark in found {
            match &mut self.full {
                Some(full) => full.set(mark),
                None => self.marks.push(mark),
            }
            if self.marks.len() > FULL {
                self.full = Some(Marks::of(&std::mem::take(&mut self.marks)));
            }
        }
    }

    fn marks(self) -> Marks {
        self.full.unwrap_or_else(|| Marks::of(&self.marks))
    }
}

impl Session<'_> {
    /// Notes a success for the ranking.
    pub(super) fn note_success(&self, success: Success) {
        self.successes.lock().unwrap_or_else(PoisonError::into_inner).push(success);
    }

    /// Writes what has been noted, if it is much.
    pub(super) async fn write_many_successes(&mut self) -> Result<(), SliceError> {
        let noted = self.successes.get_mut().unwrap_or_else(PoisonError::into_inner).len();
        if noted >= HELD { self.write_noted().await } else { Ok(()) }
    }

    /// Writes what has been noted, when nothing more will be. What a slice that died has written is met with again,
    /// and counts once.
    pub(super) async fn write_successes(&mut self) -> Result<(), SliceError> {
        self.write_noted().await?;
        *self.successes.get_mut().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        Ok(())
    }

    /// Writes what has been noted, and keeps the room that it took for what comes next.
    async fn write_noted(&mut self) -> Result<(), SliceError> {
        let mut noted = std::mem::take(self.successes.get_mut().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() {
            return Ok(());
        }
        let mut parts: BTreeMap<u64, Vec<&Success>> = BTreeMap::new();
        for success in &noted {
            parts.entry(success.part()).or_default().push(success);
        }
        // A slice that takes over writes its own objects, and what is written again has another name.
        let name = format!("{:05}-{:06}", self.sweep.attempt, self.sweep.successes.times);
        self.sweep.successes.note(noted.len(), parts.keys().copied());
        let (bucket, id) = (self.bucket, &self.sweep.sweep_id);
        let writings = parts.into_iter().map(|(part, successes)| {
            let key = format!("{}{name}.jsonl.gz", store::successes_prefix(id, part));
            async move { archive::put_lines(bucket, &key, &successes).await.map(|_| ()) }
        });
        let written = stream::iter(writings).buffer_unordered(AT_ONCE).try_collect::<()>().await;
        // Not before they are there may the state say that they have been seen.
        if written.is_ok() {
            noted.clear();
        }
        *self.successes.get_mut().unwrap_or_else(PoisonError::into_inner) = noted;
        written.map_err(not_taken)
    }
}

fn not_taken(error: ArchiveError) -> SliceError {
    let what = "the bucket did not take or give the successes of a scan".to_owned();
    SliceError::Unavailable { what, source: Box::new(error) }
}

impl<I: ReadJobs, Q: SliceQueue, A: Act<I>> Worker<'_, I, Q, A> {
    /// Ranks the successes of a scan, from a share of a part on.
    pub(super) async fn rank_successes(&self, session: &mut Session<'_>, first: u64) -> Result<(), Stop> {
        let shares = session.sweep.successes.shares();
        for (nth, part, share) in session.sweep.successes.shares_of_parts(first) {
            let id = session.sweep.sweep_id.clone();
            let keys = store::list(self.bucket, &store::successes_prefix(&id, part)).await?;
            let read = |key: String| async move {
                archive::read::<Success>(self.bucket, &key).await.map_err(not_taken)
            };
            let ranking = in_time(session, stream::iter(keys).map(read))
                .try_fold(Ranking::default(), async |mut ranking, found| {
                    let of_share = found.into_iter().filter(|success| success.share(shares) == share);
                    of_share.for_each(|success| ranking.add(success));
                    Ok(ranking)
                })
                .await?;
            let ranked = ranking.behind(|rule| self.rules.keeps_last(rule));
            let write = |(segment, behind): (u64, Vec<Behind>)| {
                let key = store::behind_key(&id, segment, nth);
                async move { store::put(self.bucket, &key, &behind, PutMode::Overwrite).await }
            };
            in_time(session, stream::iter(ranked).map(write)).try_for_each(async |_| Ok(())).await?;
            session.sweep.phase = Phase::Ranking { next: nth + 1 };
            session.save_now_and_then().await?;
        }
        session.sweep.phase = Phase::Planning { segment: 0 };
        Ok(session.save().await?)
    }

    /// Tells the jobs of a scan, segment by segment, what of their successes is not among the last.
    pub(super) async fn plan_successes(&self, session: &mut Session<'_>, first: u64) -> Result<(), Stop> {
        for segment in first..session.sweep.jobs.segments {
            if session.left().is_zero() {
                return Err(Stop::OutOfTime);
            }
            let id = session.sweep.sweep_id.clone();
            let keys = store::list(self.bucket, &store::behind_prefix(&id, segment)).await?;
            let read = |key: String| async move { store::get::<Vec<Behind>>(self.bucket, &key).await };
            let mut gathered = in_time(session, stream::iter(keys).map(read))
                .try_fold(BTreeMap::<JobId, Gathered>::new(), async |mut gathered, (behind, _)| {
                    for Behind { job_id, rule, marks } in behind {
                        gathered.entry(job_id).or_default().add(rule, marks);
                    }
                    Ok(gathered)
                })
                .await?;
            let key = store::candidates_key(&id, segment);
            let (mut candidates, _): (Vec<Candidate>, _) = store::get(self.bucket, &key).await?;
            let mut sweep = session.sweep.clone();
            for candidate in &mut candidates {
                let before = candidate.due.total();
                let of_job = gathered.remove(&candidate.job_id).unwrap_or_default();
                for (rule, found) in &of_job.by_rule {
                    let share = Share { rule: rule.clone(), status: Status::Succeeded };
                    let count = sweep.tally.fall_due(&share, *found);
                    candidate.due.add(share, count);
                }
                candidate.behind = Some(of_job.marks());
                let total = candidate.due.total();
                if total == before {
                    continue;
                }
                let digest = [&*sweep.candidates_digest, candidate.job_id.as_str(), &total.to_string()];
                sweep.candidates_digest = digest::of(digest);
                if before == 0 {
                    // A rule that keeps the last ones deletes no job whole.
                    sweep.work.add(candidate.pages, None);
                }
            }
            candidates.retain(|candidate| candidate.due.total() > 0);
            let key = store::planned_key(&id, segment);
            store::put(self.bucket, &key, &candidates, PutMode::Overwrite).await?;
            session.sweep = sweep;
            session.sweep.phase = Phase::Planning { segment: segment + 1 };
            session.save().await?;
        }
        session.sweep.phase = Phase::Checking;
        Ok(session.save().await?)
    }

    /// Whether so many newer successes are on the thing under the same rule now that this one may go.
    /// `Err` inside: it cannot be known, and what cannot be known is not acted on.
    pub(super) async fn is_behind(
        &self,
        session: &Session<'_>,
        facts: &JobFacts,
        (row, rule): (&ExecutionRow, &str),
        last: NonZeroU32,
    ) -> Result<Result<bool, String>, Stop> {
        let last = last.get() as usize;
        let own = Newness::of(&facts.job.job_id, row);
        // A listing under way may show one twice, and no two listings have to tell the same time of one.
        let mut newer = BTreeSet::from([own.of_thing()]);
        let (mut token, mut pages) = (None, PagesSeen::default());
        loop {
            let read = || self.iot.list_on_thing(&row.thing_name, Status::Succeeded, token.as_deref());
            let page = match session.read(IotOperation::ListJobExecutionsForThing, read).await? {
                Ok(page) => page,
                Err(lack) => return Ok(Err(format!("the thing's successes: {}", lack.problem()))),
            };
            let number = |found: &ExecutionOnThing| {
                listing::number_of((found.job_id.as_str(), row_number(&found.row)))
            };
            let numbers = page.items.iter().flatten().map(number).collect();
            // What cannot be read is not counted.
            let shown = page.items.into_iter().flatten().map(|found| Newness::of(&found.job_id, &found.row));
            let mut others: Vec<_> = shown.filter(|other| other.cmp(&own).is_gt()).collect();
            // The newest first, and before all those of whose jobs all is known: as few jobs are read as may be.
            others.sort_unstable_by(|one, other| other.cmp(one));
            let mut unknown = Vec::new();
            for other in others {
                match self.known_to_have(session, &own, &other.job_id, rule).await {
                    Some(true) => drop(newer.insert(other.of_thing())),
                    Some(false) => {}
                    None => unknown.push(other),
                }
            }
            for other in unknown {
                if newer.len() > last {
                    break;
                }
                if self.has_rule(session, &other.job_id, rule).await? {
                    newer.insert(other.of_thing());
                }
            }
            // Its own is among them.
            let enough = newer.len() > last;
            if enough {
                return Ok(Ok(true));
            }
            match pages.turn(numbers, page.next_token) {
                NextPage::At(next) => token = Some(next),
                NextPage::End => return Ok(Ok(false)),
                NextPage::Repeated => return Ok(Err(format!("the thing's successes: {REPEATED}"))),
            }
        }
    }

    /// Whether a job has the rule and will not be gone with its executions, as far as nothing has to be read for
    /// it.
    async fn known_to_have(
        &self,
        session: &Session<'_>,
        own: &Newness,
        job: &JobId,
        rule: &str,
    ) -> Option<bool> {
        if *job == own.job_id {
            return Some(true);
        }
        if !self.rules.may_have(&KnownJob::named(job), rule) {
            return Some(false);
        }
        let known = session.rules_of_jobs.lock().await;
        known.told(job, session.now()).map(|found| found == Some(rule))
    }

    /// Whether a rule decides for a job. One whose rule cannot be told is not counted as having it.
    async fn has_rule(&self, session: &Session<'_>, job: &JobId, rule: &str) -> Result<bool, Stop> {
        // One after the other: looks at several things at once ask for the same few jobs.
        let mut known = session.rules_of_jobs.lock().await;
        let now = session.now();
        if let Some(found) = known.told(job, now) {
            return Ok(found == Some(rule));
        }
        let read = || self.iot.describe_job(job);
        let described = session.read(IotOperation::DescribeJob, read).await?.ok();
        // AWS takes away by itself what it is deleting.
        let described = described.filter(|described| !described.is_being_deleted());
        let found = match described {
            None => None,
            Some(described) => match self.rules.rule_name(&KnownJob::named(job)) {
                Ok(found) => Some(found),
                Err(NotKnown) => {
                    let tags = || self.iot.job_tags(&described);
                    let tags = session.read(IotOperation::ListTagsForResource, tags).await?.ok();
                    let facts = tags.map(|tags| JobFacts { job: described.clone(), tags });
                    facts.and_then(|facts| self.rules.rule_name(&KnownJob::read(&facts)).ok())
                }
            },
        };
        let fits = found == Some(rule);
        known.learn(job.clone(), found, now);
        Ok(fits)
    }
}

/// Which rule decides for jobs, where they had to be read for it. It is saved with the state: slices too short to
/// read all the jobs of a thing have it at last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RulesOfJobs(BTreeMap<JobId, RuleOfJob>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleOfJob {
    /// `None`: it could not be told.
    rule: Option<String>,
    read_at: Timestamp,
}

impl RuleOfJob {
    /// Slices run on several machines: what a clock that was ahead has written is not believed for longer.
    fn is_fresh(&self, now: Timestamp) -> bool {
        (SignedDuration::ZERO..BELIEVED).contains(&now.duration_since(self.read_at))
    }
}

impl RulesOfJobs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is believed of a job; `Some(None)` of one whose rule could not be told.
    fn told(&self, job: &JobId, now: Timestamp) -> Option<Option<&str>> {
        self.0.get(job).filter(|of_job| of_job.is_fresh(now)).map(|of_job| of_job.rule.as_deref())
    }

    fn learn(&mut self, job: JobId, rule: Option<&str>, now: Timestamp) {
        self.forget(now);
        if self.0.len() >= MOST_RULES
            && let Some(oldest) = self.0.iter().min_by_key(|(_, of_job)| of_job.read_at)
        {
            let oldest = oldest.0.clone();
            self.0.remove(&oldest);
        }
        self.0.insert(job, RuleOfJob { rule: rule.map(str::to_owned), read_at: now });
    }

    /// Forgets what is not believed any more.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, of_job| of_job.is_fresh(now));
    }
}

/// Reads or writes objects, several at once, as long as there is time.
fn in_time<T, E: Into<Stop>>(
    session: &Session<'_>,
    objects: impl Stream<Item: Future<Output = Result<T, E>>>,
) -> impl Stream<Item = Result<T, Stop>> {
    objects.buffer_unordered(AT_ONCE).map(|done| {
        let done = done.map_err(Into::into)?;
        if session.left().is_zero() { Err(Stop::OutOfTime) } else { Ok(done) }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::execution::scenes::row;

    #[test]
    fn what_was_read_by_a_clock_that_was_ahead_is_read_again() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let read = RuleOfJob { rule: None, read_at: at(0) };
        let fresh = [-3600, -1, 0, 899, 900].map(|seconds| read.is_fresh(at(seconds)));
        assert_eq!(fresh, [false, false, true, true, false]);
    }

    /// A success of a job on a thing, ended at a second.
    fn success((job, thing): (u32, u32), ended: i64, due: bool) -> Success {
        let job = JobId::parse(&format!("job-{job}")).unwrap();
        let thing_name = ThingName::parse(&format!("thing-{thing}")).unwrap();
        let row = ExecutionRow { thing_name, ..row(Status::Succeeded, ended, ended) };
        Success::of(&job, &row, "rule", 7, due)
    }

    /// What is behind the last `last`, by segment and job.
    fn ranked(successes: Vec<Success>, last: u32) -> BTreeMap<(u64, String), Vec<u64>> {
        let mut ranking = Ranking::default();
        successes.into_iter().for_each(|success| ranking.add(success));
        let ranked = ranking.behind(|_| NonZeroU32::new(last));
        let flat = ranked.into_iter().flat_map(|(segment, behind)| {
            behind.into_iter().map(move |behind| ((segment, behind.job_id.to_string()), behind.marks))
        });
        flat.collect()
    }

    #[test]
    fn the_newest_stay_and_what_is_due_behind_them_goes() {
        let successes =
            || vec![success((1, 1), 10, true), success((2, 1), 20, true), success((3, 1), 30, true)];
        let jobs = |last| ranked(successes(), last).into_keys().map(|(_, job)| job).collect::<Vec<_>>();
        assert_eq!(jobs(1), ["job-1", "job-2"]);
        assert_eq!(jobs(2), ["job-1"]);
        assert!(jobs(3).is_empty());
    }

    #[test]
    fn what_is_ranked_at_once_does_not_grow_with_the_fleet_and_has_all_of_a_thing() {
        let shares = |successes| Written { successes, ..Written::default() }.shares();
        let fits = PARTS * RANKED as u64;
        assert_eq!([0, 1, fits, fits + 1, 10 * fits].map(shares), [1, 1, 1, 2, 10]);
        let share = |job, thing| success((job, thing), 10, true).share(4);
        assert!((0..100).all(|thing| share(1, thing) == share(2, thing)));
        let used: BTreeSet<_> = (0..100).map(|thing| share(1, thing)).collect();
        assert_eq!(used.len(), 4);
    }

    #[test]
    fn a_ranking_goes_through_every_share_of_each_part_that_has_something() {
        let mut written = Written::default();
        assert!(!written.any());
        written.note(1, [63]);
        assert!(written.any());
        assert_eq!(written.shares_of_parts(0).collect::<Vec<_>>(), [(63, 63, 0)]);
        written.note(2 * PARTS as usize * RANKED, [0, 5, 63]);
        assert_eq!((written.times, written.shares()), (2, 3));
        let places: Vec<_> = written.shares_of_parts(0).collect();
        let of_part = |part: u64| [0, 1, 2].map(|share| (part * 3 + share, part, share));
        assert_eq!(places, [of_part(0), of_part(5), of_part(63)].concat());
        // One that ended in the middle goes on.
        assert_eq!(written.shares_of_parts(16).collect::<Vec<_>>(), places[4..]);
    }

    #[test]
    fn a_thing_is_in_one_part_and_one_share_and_things_are_spread_over_all() {
        let things = || (0..2_000).map(|thing| success((1, thing), 10, true));
        let mut shares: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for one in things() {
            let other = Success { segment: 8, ..one.clone() };
            assert_eq!((one.part(), one.share(3)), (other.part(), other.share(3)));
            shares.entry(one.part()).or_default().insert(one.share(3));
        }
        assert!(shares.keys().copied().eq(0..PARTS));
        assert!(shares.values().all(|shares| shares.iter().copied().eq(0..3)), "{shares:?}");
    }

    #[test]
    fn a_plan_holds_executions_by_their_identity() {
        let held = row(Status::Succeeded, 5, 9);
        let marks = Marks::of(&[mark(&held.thing_name, held.identity())]);
        assert!(marks.may_hold(&held));
        let thing_name = ThingName::parse("another").unwrap();
        let number = ExecutionNumber::new(held.execution_number.get() + 1);
        for other in [
            ExecutionRow { thing_name, ..held.clone() },
            ExecutionRow { execution_number: number, ..held.clone() },
            row(Status::Succeeded, 6, 9),
        ] {
            assert!(!marks.may_hold(&other), "{other:?}");
        }
    }

    #[test]
    fn times_count_to_the_second_as_every_report_has_them() {
        let [one, other] = [(10_100, 1), (10_900, 2)].map(|(millisecond, job)| {
            let ended = Timestamp::from_millisecond(millisecond).unwrap();
            let row = ExecutionRow { last_updated_at: ended, ..row(Status::Succeeded, 5, 5) };
            Newness::of(&JobId::parse(&format!("job-{job}")).unwrap(), &row)
        });
        assert_eq!([one.last_updated_at, other.last_updated_at].map(Timestamp::as_second), [10, 10]);
        assert_eq!(one.last_updated_at, other.last_updated_at);
        assert!(one < other);
    }

    #[test]
    fn what_is_known_of_jobs_is_believed_for_a_while_and_has_its_bounds() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let job = |nth: usize| JobId::parse(&format!("job-{nth}")).unwrap();
        let mut known = RulesOfJobs::default();
        known.learn(job(0), Some("fw"), at(0));
        known.learn(job(1), None, at(1));
        assert_eq!(known.told(&job(0), at(899)), Some(Some("fw")));
        assert_eq!((known.told(&job(1), at(899)), known.told(&job(2), at(899))), (Some(None), None));
        assert_eq!(known.told(&job(0), at(900)), None);
        known.forget(at(900));
        assert_eq!(known.0.len(), 1);
        (2..=MOST_RULES + 1).for_each(|nth| known.learn(job(nth), Some("fw"), at(2)));
        // The oldest makes room.
        assert_eq!((known.0.len(), known.told(&job(1), at(3))), (MOST_RULES, None));
        assert_eq!(known.told(&job(2), at(3)), Some(Some("fw")));
    }

    #[test]
    fn a_rule_that_says_no_number_has_nothing_behind() {
        let mut ranking = Ranking::default();
        (0..200).for_each(|ended| ranking.add(success((1, 1), ended, true)));
        assert!(ranking.behind(|_| None).is_empty());
    }

    #[test]
    fn what_has_been_met_with_twice_is_one_and_not_its_own_successor() {
        let twice = vec![success((1, 1), 10, true), success((1, 1), 10, true)];
        assert!(ranked(twice, 1).is_empty());
        // Of two tellings the careful one counts.
        let told = |due| vec![success((1, 1), 10, due), success((1, 1), 10, true), success((2, 1), 20, true)];
        assert_eq!((ranked(told(true), 1).len(), ranked(told(false), 1).len()), (1, 0));
    }

    proptest! {
        /// Counting for each how many are newer is the plain way to find out.
        #[test]
        fn what_has_enough_newer_ones_is_behind(
            made in proptest::collection::btree_map((0..6_u32, 0..4_u32), (0..20_i64, any::<bool>()), 0..24),
            last in 1..4_u32,
        ) {
            let successes: Vec<_> =
                made.iter().map(|(place, (ended, due))| success(*place, *ended, *due)).collect();
            let mut expected: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
            for one in &successes {
                let newer = successes.iter().filter(|other| {
                    let ended = |of: &Success| (of.newness.last_updated_at, of.newness.job_id.clone());
                    other.thing_name == one.thing_name && ended(other) > ended(one)
                });
                if one.due && newer.count() >= last as usize {
                    let mark = mark(&one.thing_name, one.newness.identity());
                    expected.entry((7, one.newness.job_id.to_string())).or_default().insert(mark);
                }
            }
            let found = ranked(successes, last).into_iter();
            let found: BTreeMap<_, BTreeSet<_>> =
                found.map(|(job, marks)| (job, marks.into_iter().collect())).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn marks_know_again_whatever_they_hold(marks in proptest::collection::vec(any::<u64>(), 1..500)) {
            let held = Marks::of(&marks);
            prop_assert!(marks.iter().all(|mark| held.has(*mark)));
        }
    }

    #[test]
    fn marks_hardly_ever_know_what_they_do_not_hold_and_do_not_grow_for_ever() {
        let number = |nth: u64| number_of([nth.to_string().as_str()]);
        let marks: Vec<_> = (0..3_000).map(number).collect();
        let held = Marks::of(&marks);
        let taken = (10_000..20_000).map(number).filter(|mark| held.has(*mark)).count();
        assert!(taken < 300, "{taken}");
        let many: Vec<_> = (0..100_000).map(number).collect();
        assert_eq!(Marks::of(&many).0.len(), MOST_WORDS);
        // Gathered bit by bit, they are the same, and are not all held.
        for count in [5, FULL, FULL + 1, 100_000] {
            let marks = &many[..count];
            let mut gathered = Gathered::default();
            for (nth, some) in marks.chunks(777).enumerate() {
                gathered.add(format!("rule-{}", nth % 2), some.to_vec());
                assert!(gathered.marks.len() <= FULL + 777);
            }
            assert_eq!(gathered.by_rule.values().sum::<u64>(), count as u64);
            assert_eq!(gathered.marks(), Marks::of(marks));
        }
        assert!(!Marks::of(&[]).has(7));
    }
}
