//! How long the access policy takes: to read it at a function's start, and to ask it.

use std::collections::BTreeMap;

use divan::{Bencher, black_box};
use jiff::{SignedDuration, Timestamp};
use shared::access::{
    AccessPolicy, AskedFacts, Decision, ExecutionAction, ExecutionFacts, Principal, Refusal, Terms, User,
};
use shared::execution::{ExecutionRow, Job, JobFacts, Status};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::ports::Force;

fn main() {
    divan::main();
}

/// The shipped policies, and examples to make twenty.
const TWENTY: &str = concat!(
    include_str!("../../policies/access.cedar"),
    include_str!("../../policies/examples/accounts.cedar"),
    include_str!("../../policies/examples/maintenance-window.cedar"),
    include_str!("../../policies/examples/point-of-no-return.cedar"),
    include_str!("../../policies/examples/times-out-by-itself.cedar"),
    include_str!("../../policies/examples/two-fleets.cedar"),
);

#[divan::bench]
fn read_the_shipped_policies() -> AccessPolicy {
    AccessPolicy::shipped().unwrap()
}

#[divan::bench]
fn read_twenty_policies() -> AccessPolicy {
    AccessPolicy::parse("twenty.cedar", black_box(TWENTY)).unwrap()
}

/// A decision with everything that belongs to it: entities and context are made anew.
#[divan::bench(args = [14, 20])]
fn decide_with_policies(bencher: Bencher<'_, '_>, policies: usize) {
    let access = match policies {
        14 => AccessPolicy::shipped().unwrap(),
        _ => AccessPolicy::parse("twenty.cedar", TWENTY).unwrap(),
    };
    assert_eq!(access.ids().count(), policies);
    asked_by("jobwarden-operators", |principal, facts, terms| {
        let decide = || access.decide(black_box(principal), ExecutionAction::Cancel, black_box(facts), terms);
        assert!(matches!(decide(), Decision::Allow(_)), "{:?}", decide());
        bencher.bench_local(decide);
    });
}

/// What a refusal costs besides its decision: somebody in no group that a policy names, and
/// somebody whom a permit fits.
#[divan::bench(args = ["nobody", "pump-operators"])]
fn explain_a_refusal_by_twenty_policies(bencher: Bencher<'_, '_>, group: &str) {
    let access = AccessPolicy::parse("twenty.cedar", TWENTY).unwrap();
    asked_by(group, |principal, facts, terms| {
        let decision = access.decide(principal, ExecutionAction::Cancel, facts, terms);
        assert_eq!(decision, Decision::Deny(Refusal::NoPermit));
        let unmet = || {
            access.unmet(black_box(&decision), principal, ExecutionAction::Cancel, black_box(facts), terms)
        };
        assert_eq!(unmet().len(), usize::from(group != "nobody"));
        bencher.bench_local(unmet);
    });
}

/// Somebody of a group, and an execution that waits.
fn asked_by(group: &str, ask: impl FnOnce(&Principal, &ExecutionFacts<'_>, &Terms)) {
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let job_id = JobId::parse("firmware-1-6-0").unwrap();
    let tags =
        [("ring", "canary"), ("owner", "fleet")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let job = Job {
        job_id: job_id.clone(),
        arn: "arn:aws:iot:eu-west-1:123456789012:job/firmware-1-6-0".to_owned(),
        namespace_id: None,
        retries: false,
        retry_limits: Default::default(),
        status: None,
        continuous: false,
    };
    let job = JobFacts { job, tags: tags.into() };
    let row = ExecutionRow {
        thing_name: ThingName::parse("pump-7").unwrap(),
        execution_number: ExecutionNumber::new(1),
        status: Status::Queued,
        queued_at: now - SignedDuration::from_hours(50),
        started_at: None,
        last_updated_at: now - SignedDuration::from_hours(50),
        retry_attempt: Some(0),
    };
    let asked = AskedFacts { thing_groups: Some(["berlin".to_owned()].into()), ..AskedFacts::default() };
    let facts = ExecutionFacts { job_id: &job_id, row: &row, job: &job, asked: &asked };
    let principal = Principal::User(User {
        id: "arn:aws:sts::123456789012:assumed-role/a-role/anna".to_owned(),
        account: "123456789012".to_owned(),
        groups: vec![group.to_owned()],
        claims: BTreeMap::new(),
    });
    let terms = Terms {
        force: Force::Never,
        pinned: true,
        dry_run: false,
        archived: false,
        past_retention: false,
        now,
    };
    ask(&principal, &facts, &terms);
}
