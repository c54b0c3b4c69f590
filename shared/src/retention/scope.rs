//! Which jobs a rule is for.

use std::collections::BTreeMap;

use super::Pattern;
use crate::execution::{JobFacts, JobSummary, RetryLimits, TargetSelection};
use crate::ids::JobId;

/// Which jobs a rule is for: those that fit everything it names. One that names nothing is for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The job's id fits one of these; empty names no id.
    pub(super) job_ids: Vec<Pattern>,
    /// The job has each of these tags, with a value that fits.
    pub(super) job_tags: BTreeMap<String, Pattern>,
    pub(super) target_selection: Option<TargetSelection>,
}

/// What is known of a job when its executions are judged. What has not been read is `None`, and is
/// never taken for absent.
#[derive(Debug, Clone, Copy)]
pub struct KnownJob<'a> {
    /// Its name.
    pub job_id: &'a JobId,
    /// Whether it takes in new members of its target groups.
    pub target_selection: Option<TargetSelection>,
    /// Its tags, all of them.
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// The retries that it still gives to what fails or times out.
    pub retries: Option<RetryLimits>,
}

impl<'a> KnownJob<'a> {
    /// A job of which nothing has been read.
    pub fn named(job_id: &'a JobId) -> Self {
        Self { job_id, target_selection: None, tags: None, retries: None }
    }

    /// A job as it was listed: without its tags.
    pub fn listed(job: &'a JobSummary) -> Self {
        Self { target_selection: job.target_selection, ..Self::named(&job.job_id) }
    }

    /// A job that has been read.
    pub fn read(facts: &'a JobFacts) -> Self {
        let target_selection = Some(facts.job.target_selection());
        let retries = Some(facts.job.open_retries());
        Self { job_id: &facts.job.job_id, target_selection, tags: Some(&facts.tags), retries }
    }
}

/// Whether a rule is for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// It depends on what has not been read.
    Open,
}

impl Scope {
    /// Whether it is for every job that `later` is for.
    pub(super) fn covers(&self, later: &Self) -> bool {
        let covers = |id: &Pattern| self.job_ids.iter().any(|pattern| pattern.covers(id));
        let by_ids = match later.job_ids.as_slice() {
            _ if self.job_ids.is_empty() => true,
            [] => covers(&Pattern::any()),
            ids => ids.iter().all(covers),
        };
        let tag =
            |(key, value): (&String, &Pattern)| later.job_tags.get(key).is_some_and(|tag| value.covers(tag));
        let by_target = self.target_selection.is_none() || self.target_selection == later.target_selection;
        by_ids && by_target && self.job_tags.iter().all(tag)
    }

    /// Whether it is for a job. What is known decides where it can: a job whose id does not fit
    /// needs no tags.
    pub(super) fn fits(&self, job: &KnownJob<'_>) -> Fit {
        let job_id = job.job_id.as_str();
        if !self.job_ids.is_empty() && !self.job_ids.iter().any(|pattern| pattern.matches(job_id)) {
            return Fit::No;
        }
        let by_tags = || job.tags.map(|tags| self.fits_tags(tags));
        let by_tags = if self.job_tags.is_empty() { Some(true) } else { by_tags() };
        let by_target = match (self.target_selection, job.target_selection) {
            (None, _) => Some(true),
            (Some(_), None) => None,
            (Some(named), Some(is)) => Some(named == is),
        };
        match (by_target, by_tags) {
            (Some(false), _) | (_, Some(false)) => Fit::No,
            (Some(true), Some(true)) => Fit::Yes,
            (None, _) | (_, None) => Fit::Open,
        }
    }

    fn fits_tags(&self, tags: &BTreeMap<String, String>) -> bool {
        self.job_tags.iter().all(|(key, pattern)| tags.get(key).is_some_and(|value| pattern.matches(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn tags(pairs: Pairs<'_>) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn scope(
        job_ids: &[&str],
        job_tags: &[(&str, &str)],
        target_selection: Option<TargetSelection>,
    ) -> Scope {
        Scope {
            job_ids: job_ids.iter().map(|pattern| Pattern::of_job_id(pattern).unwrap()).collect(),
            job_tags: job_tags
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Pattern::of_tag_value(value).unwrap()))
                .collect(),
            target_selection,
        }
    }

    #[track_caller]
    fn check(scope: &Scope, known: (Option<TargetSelection>, Option<Pairs<'_>>), expected: Fit) {
        let (target_selection, pairs) = known;
        let tags = pairs.map(tags);
        let job_id = JobId::parse("fw-1").unwrap();
        let known = KnownJob { job_id: &job_id, target_selection, tags: tags.as_ref(), retries: None };
        assert_eq!(scope.fits(&known), expected);
    }

    #[test]
    fn a_rule_is_for_the_jobs_that_fit_everything_it_names() {
        use TargetSelection::{Continuous, Snapshot};
        let all = scope(&["x", "fw-*"], &[("ring", "canary"), ("owner", "*")], Some(Snapshot));
        let fitting = [("ring", "canary"), ("owner", ""), ("more", "x")];
        check(&all, (Some(Snapshot), Some(&fitting)), Fit::Yes);
        check(&all, (Some(Continuous), Some(&fitting)), Fit::No);
        check(&all, (Some(Snapshot), Some(&[("ring", "canary")])), Fit::No);
        check(&all, (Some(Snapshot), Some(&[("ring", "canary-2"), ("owner", "a")])), Fit::No);
        check(&scope(&["y"], &[], None), (Some(Snapshot), Some(&fitting)), Fit::No);
        check(&Scope::default(), (None, None), Fit::Yes);
    }

    #[test]
    fn what_has_not_been_read_is_open_unless_what_is_known_excludes_it() {
        use TargetSelection::{Continuous, Snapshot};
        let ring: &[_] = &[("ring", "canary")];
        check(&scope(&["fw-*"], ring, None), (Some(Snapshot), None), Fit::Open);
        check(&scope(&["other"], ring, None), (Some(Snapshot), None), Fit::No);
        check(&scope(&[], ring, Some(Continuous)), (Some(Snapshot), None), Fit::No);
        check(&scope(&[], &[], Some(Continuous)), (None, Some(ring)), Fit::Open);
        check(&scope(&[], ring, Some(Continuous)), (None, Some(&[])), Fit::No);
    }

    #[test]
    fn a_listing_tells_of_a_job_its_target_selection_and_nothing_else() {
        let job_id = JobId::parse("fw-1").unwrap();
        let created_at = jiff::Timestamp::UNIX_EPOCH;
        for target_selection in [None, Some(TargetSelection::Snapshot), Some(TargetSelection::Continuous)] {
            let job = JobSummary { job_id: job_id.clone(), created_at, target_selection, status: None };
            let known = KnownJob::listed(&job);
            assert_eq!((known.job_id, known.target_selection), (&job_id, target_selection));
            assert!(known.tags.is_none() && known.retries.is_none());
        }
    }
}
