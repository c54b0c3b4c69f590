//! The answer to a question that was asked just before. The rows of a page hardly ever differ in what policies ask
//! for, and a sweep asks twice for each of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::facts::{Fact, Terms};
use super::{Decision, ExecutionAction, Refusal};
use crate::operation::Operation;

/// Everything that a sweep's decision on an execution follows from, where no policy names an execution by its
/// identity.
#[derive(Debug, PartialEq)]
pub(super) struct Premises<'a> {
    pub(super) sweeper: Operation,
    pub(super) action: ExecutionAction,
    /// The facts that policies name.
    pub(super) facts: Vec<(&'static str, Fact<'a>)>,
    pub(super) tags: Cow<'a, BTreeMap<String, String>>,
    pub(super) terms: Terms,
}

impl Premises<'_> {
    fn into_owned(self) -> Premises<'static> {
        let Self { sweeper, action, facts, tags, terms } = self;
        let facts = facts.into_iter().map(|(name, fact)| (name, fact.into_owned())).collect();
        Premises { sweeper, action, facts, tags: Cow::Owned(tags.into_owned()), terms }
    }
}

/// The last question, and its answer.
#[derive(Debug, Default)]
pub(super) struct Repeated(Mutex<Option<(Premises<'static>, Decision)>>);

impl Repeated {
    /// The answer of before, if the premises are the same; the new one otherwise.
    pub(super) fn or_decide(&self, premises: Premises<'_>, decide: impl FnOnce() -> Decision) -> Decision {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((same, decision)) = &*last
            && *same == premises
        {
            return decision.clone();
        }
        let decision = decide();
        *last = match &decision {
            // Its words may be about this very execution, and it is an alarm each time.
            Decision::Deny(Refusal::EvaluationError(_)) => None,
            Decision::Allow(_) | Decision::Deny(Refusal::Forbidden(_) | Refusal::NoPermit) => {
                Some((premises.into_owned(), decision.clone()))
            }
        };
        decision
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;
    use crate::access::{AccessPolicy, AskedFacts, ExecutionFacts, Principal};
    use crate::execution::scenes::row;
    use crate::execution::{ExecutionRow, Job, JobFacts, Status};
    use crate::ids::{ExecutionNumber, JobId, ThingName};
    use crate::ports::Force;

    /// What one more policy may ask for. The first asks for nothing of the row.
    const CONDITIONS: [&str; 8] = [
        "context.dryRun",
        "resource.thingName == \"pump-1\"",
        "resource.executionNumber == 2",
        "resource.lastUpdatedAge > duration(\"20s\")",
        "resource.jobRetries",
        "resource.thingGroups.isEmpty()",
        "context.now > datetime(\"1970-01-01T00:01:00Z\")",
        "resource == Jobwarden::JobExecution::\"job/pump-1/1\"",
    ];

    #[derive(Debug, Clone)]
    struct Asked {
        sweeper: Operation,
        row: ExecutionRow,
        retries: bool,
        held: bool,
        read: bool,
        terms: Terms,
    }

    /// A thing, a number, and when it ended.
    type Place = (&'static str, i64, i64);

    fn place() -> impl Strategy<Value = Place> {
        (select(vec!["pump-1", "pump-2"]), 1..3_i64, select(vec![10, 90]))
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let status = select(vec![Status::Queued, Status::InProgress, Status::Failed]);
        let sweeper = select(vec![Operation::DeleteExpired, Operation::CancelStale]);
        let terms = (any::<bool>(), any::<bool>(), any::<bool>(), select(vec![50, 100]));
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        (sweeper, status, flags, terms).prop_map(|(sweeper, status, flags, terms)| {
            let row = row(status, 5, 5);
            let (retries, held, read) = flags;
            let (forced, archived, past_retention, second) = terms;
            let force = if forced { Force::EvenInProgress } else { Force::Never };
            let now = Timestamp::from_second(second).unwrap();
            let terms = Terms { force, pinned: true, dry_run: false, archived, past_retention, now };
            Asked { sweeper, row, retries, held, read, terms }
        })
    }

    type Decide<'a> = &'a dyn Fn(&Principal, ExecutionAction, &ExecutionFacts<'_>, &Terms) -> Decision;

    fn put(asked: &Asked, (thing, number, ended): Place, decide: Decide<'_>) -> Decision {
        let row = ExecutionRow {
            thing_name: ThingName::parse(thing).unwrap(),
            execution_number: ExecutionNumber::new(number),
            last_updated_at: Timestamp::from_second(ended).unwrap(),
            ..asked.row.clone()
        };
        let job_id = JobId::parse("job").unwrap();
        let job = Job {
            job_id: job_id.clone(),
            arn: "arn:aws:iot:eu-west-1:123456789012:job/job".to_owned(),
            namespace_id: None,
            retries: asked.retries,
            retry_limits: Default::default(),
            status: None,
            continuous: false,
        };
        let tags = asked.held.then(|| ("jobwarden:hold".to_owned(), String::new())).into_iter().collect();
        let job = JobFacts { job, tags };
        let read = AskedFacts { thing_groups: asked.read.then(Default::default), ..AskedFacts::default() };
        let facts = ExecutionFacts { job_id: &job_id, row: &row, job: &job, asked: &read };
        decide(&Principal::Sweeper(asked.sweeper), asked.sweeper.action(), &facts, &asked.terms)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Question after question about a few kinds of rows, to a set of policies that remembers.
        #[test]
        fn an_answer_is_the_one_that_there_would_be_without_those_before(
            condition in select(CONDITIONS.to_vec()),
            kinds in proptest::collection::vec(asked(), 1..4),
            questions in proptest::collection::vec((any::<Index>(), place()), 1..40),
        ) {
            let shipped = include_str!("../../../policies/access.cedar");
            let policies = format!(
                "{shipped} @id(\"one-more\") @reason(\"r\") \
                 forbid (principal, action, resource is Jobwarden::JobExecution) when {{ {condition} }};"
            );
            let access = AccessPolicy::parse("p.cedar", &policies).unwrap();
            for (kind, place) in questions {
                let kind = kind.get(&kinds);
                let told = put(kind, place, &|of, action, facts, terms| access.decide(of, action, facts, terms));
                let anew =
                    put(kind, place, &|of, action, facts, terms| access.decide_anew(of, action, facts, terms));
                prop_assert_eq!(told, anew);
            }
        }
    }

    #[test]
    fn only_the_last_answer_is_remembered_and_none_that_could_not_be_had() {
        let repeated = Repeated::default();
        let tags = BTreeMap::new();
        let ask = |past_retention: bool, answer: Decision| {
            let now = Timestamp::from_second(100).unwrap();
            let (force, sweeper) = (Force::Never, Operation::DeleteExpired);
            let terms = Terms { force, pinned: true, dry_run: false, archived: true, past_retention, now };
            let (action, facts, tags) = (sweeper.action(), Vec::new(), Cow::Borrowed(&tags));
            repeated.or_decide(Premises { sweeper, action, facts, tags, terms }, || answer)
        };
        let allow = || Decision::Allow(Vec::new());
        let no_permit = || Decision::Deny(Refusal::NoPermit);
        let error = || Decision::Deny(Refusal::EvaluationError(Vec::new()));
        assert_eq!(ask(true, allow()), allow());
        assert_eq!(ask(true, no_permit()), allow());
        assert_eq!(ask(false, no_permit()), no_permit());
        assert_eq!(ask(true, error()), error());
        assert_eq!(ask(true, no_permit()), no_permit());
    }
}
