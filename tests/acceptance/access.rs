//! The access policy: strict loading, and Cedar's two ways of failing open.

use shared::access::{
    AccessPolicy, AskedFacts, Decision, ExecutionAction, ExecutionFacts, Principal, Refusal, ServiceAction,
    Terms, User,
};
use shared::execution::{ExecutionRow, Job, JobFacts, Status};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::operation::Operation;
use shared::ports::Force;

use crate::stage::{days_ago, now};

const PERMIT: &str = "@id(\"all\") @reason(\"all\") permit (principal, action, resource);\n";

fn user(group: &str) -> Principal {
    Principal::User(User {
        id: "u".into(),
        account: "1".into(),
        groups: vec![group.into()],
        claims: Default::default(),
    })
}

fn terms() -> Terms {
    Terms {
        force: Force::Never,
        pinned: true,
        dry_run: false,
        archived: true,
        past_retention: true,
        now: now(),
    }
}

fn decide(
    policy: &AccessPolicy,
    principal: &Principal,
    action: ExecutionAction,
    status: Status,
    terms: Terms,
) -> Decision {
    let job_id = JobId::parse("fw").unwrap();
    let job = Job {
        job_id: job_id.clone(),
        arn: "arn".into(),
        namespace_id: None,
        retries: false,
        retry_limits: Default::default(),
        status: None,
        continuous: false,
    };
    let job = JobFacts { job, tags: Default::default() };
    let row = ExecutionRow {
        thing_name: ThingName::parse("a:b").unwrap(),
        execution_number: ExecutionNumber::new(i64::MAX),
        status,
        queued_at: days_ago(9),
        started_at: None,
        last_updated_at: days_ago(8),
        retry_attempt: None,
    };
    policy.decide(
        principal,
        action,
        &ExecutionFacts { job_id: &job_id, row: &row, job: &job, asked: &AskedFacts::default() },
        &terms,
    )
}

fn problems(text: &str) -> String {
    AccessPolicy::parse("p.cedar", text).unwrap_err().to_string()
}

#[test]
fn the_shipped_policies_have_no_problem_and_no_warning() {
    AccessPolicy::shipped().unwrap();
}

#[test]
fn a_policy_without_id_or_reason_is_told_with_its_line() {
    let found = problems(&format!(
        "{PERMIT}\npermit (principal, action, resource);\n@id(\"x\") @reason(\" \") permit (principal, action, resource);"
    ));
    assert!(found.contains("p.cedar:3: a policy needs @id"), "{found}");
    assert!(found.contains("p.cedar:4: a policy needs @id"), "{found}");
    let found = problems(&format!("{PERMIT}{PERMIT}"));
    assert!(found.contains("@id(\"all\") is used twice"), "{found}");
}

#[test]
fn a_policy_that_cannot_be_right_is_told_with_its_line() {
    let with = |condition: &str| {
        problems(&format!(
            "{PERMIT}\n\n@id(\"x\") @reason(\"x\")\nforbid (principal, action, resource) when {{ {condition} }};"
        ))
    };
    for (condition, expected) in [
        ("resource.colour == \"red\"", "p.cedar:5: "),
        ("context.nonsense", "p.cedar:5: "),
        ("resource.status == Jobwarden::Status::\"QUEUD\"", "p.cedar:5: "),
        ("principal in Jobwarden::Grp::\"x\"", "p.cedar:5: "),
        ("resource.getTag(\"a\") == \"b\"", "p.cedar:5: "),
        ("false && context.now < context.now", "p.cedar:"),
    ] {
        let found = with(condition);
        assert!(found.contains(expected), "{condition}: {found}");
    }
    let found = problems(&format!("{PERMIT}\npermit (principal, action, resource"));
    assert!(found.starts_with("p.cedar:3: "), "{found}");
}

/// Cedar skips a `forbid` that raises an error. We refuse instead.
#[test]
fn a_forbid_that_cannot_be_evaluated_refuses_everything() {
    let overflow = format!(
        "{PERMIT}@id(\"overflow\") @reason(\"r\") forbid (principal, action == Jobwarden::Action::\"DeleteJobExecution\", resource) \
         when {{ resource.executionNumber + 1 > 5 }};"
    );
    let policy = AccessPolicy::parse("p.cedar", &overflow).unwrap();
    let decision = decide(&policy, &user("x"), ExecutionAction::Delete, Status::Failed, terms());
    let Decision::Deny(refusal @ Refusal::EvaluationError(_)) = decision else { panic!("{decision:?}") };
    assert_eq!(refusal.code(), "policyError");
    // The same set allows what the erring policy does not concern.
    let decision = decide(&policy, &user("x"), ExecutionAction::Cancel, Status::Queued, terms());
    assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
}

/// A fact that was not read is missing, and missing is not false.
#[test]
fn a_fact_that_was_not_read_refuses() {
    for fact in ["versionNumber > 0", "statusDetails.isEmpty()", "thingGroups.contains(\"x\")"] {
        let forbid = format!(
            "{PERMIT}@id(\"late\") @reason(\"r\") forbid (principal, action == \
             Jobwarden::Action::\"DeleteJobExecution\", resource) when {{ resource.{fact} }};"
        );
        let policy = AccessPolicy::parse("p.cedar", &forbid).unwrap();
        let decision = decide(&policy, &user("x"), ExecutionAction::Delete, Status::Failed, terms());
        assert!(matches!(decision, Decision::Deny(Refusal::EvaluationError(_))), "{fact}: {decision:?}");
    }
}

/// A `forbid` that reaches for another entity is skipped when that entity is missing. Facts are
/// attributes of the resource and the context, so the schema leaves no such reach.
#[test]
fn a_policy_cannot_reach_for_facts_in_other_entities() {
    for reach in ["resource.job.held", "resource.thing.group == \"x\"", "principal.team.locked"] {
        let found = problems(&format!(
            "@id(\"x\") @reason(\"x\") forbid (principal is Jobwarden::User, action == \
             Jobwarden::Action::\"CancelJobExecution\", resource) when {{ {reach} }};"
        ));
        assert!(found.contains("p.cedar:1: "), "{reach}: {found}");
    }
}

#[test]
fn a_sweeper_deletes_only_what_has_ended_is_past_retention_and_is_archived() {
    let policy = AccessPolicy::shipped().unwrap();
    let sweeper = Principal::Sweeper(Operation::DeleteExpired);
    for status in Status::ALL {
        for (archived, past_retention, force) in [
            (true, true, Force::Never),
            (false, true, Force::Never),
            (true, false, Force::Never),
            (true, true, Force::EvenInProgress),
        ] {
            let terms = Terms { archived, past_retention, force, ..terms() };
            let decision = decide(&policy, &sweeper, ExecutionAction::Delete, status, terms);
            let expected = status.is_terminal() && archived && past_retention && force == Force::Never;
            assert_eq!(matches!(decision, Decision::Allow(_)), expected, "{status} {terms:?}: {decision:?}");
            let decision = decide(&policy, &sweeper, ExecutionAction::Cancel, status, terms);
            assert!(matches!(decision, Decision::Deny(_)), "{decision:?}");
        }
    }
}

#[test]
fn a_sweeper_cancels_only_what_waits_and_is_pinned() {
    let policy = AccessPolicy::shipped().unwrap();
    let sweeper = Principal::Sweeper(Operation::CancelStale);
    for status in Status::ALL {
        let decision = decide(&policy, &sweeper, ExecutionAction::Cancel, status, terms());
        assert_eq!(matches!(decision, Decision::Allow(_)), status == Status::Queued, "{decision:?}");
        let unpinned = Terms { pinned: false, ..terms() };
        let decision = decide(&policy, &sweeper, ExecutionAction::Cancel, status, unpinned);
        assert!(matches!(decision, Decision::Deny(_)), "{decision:?}");
        let decision = decide(&policy, &sweeper, ExecutionAction::Delete, status, terms());
        assert!(matches!(decision, Decision::Deny(_)), "{decision:?}");
    }
}

#[test]
fn sweeps_and_decisions_are_for_operators_and_the_force_group() {
    let policy = AccessPolicy::shipped().unwrap();
    let sweeps = Operation::ALL.into_iter().flat_map(|operation| {
        let start = ServiceAction::StartSweep { operation, lane: "", dry_run: false, releases_plan: true };
        [start, ServiceAction::ReadSweep { operation }]
    });
    let on = [ExecutionAction::Cancel, ExecutionAction::Delete];
    let decisions =
        on.map(|on| ServiceAction::ReadDecision { on, hypothetical: on == ExecutionAction::Cancel });
    let actions: Vec<_> = sweeps.chain(decisions).collect();
    for (group, allowed) in [
        ("jobwarden-operators", true),
        ("jobwarden-force", true),
        ("999/jobwarden-force", false),
        ("", false),
    ] {
        for action in &actions {
            let decision = policy.decide_service(&user(group), *action, now());
            assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{group}: {decision:?}");
        }
    }
}

#[test]
fn odd_names_and_tags_are_data_and_nothing_else() {
    let policy = AccessPolicy::shipped().unwrap();
    for odd in ["\"", "\\", "\u{0}", "x\"; permit(principal,action,resource);", "jobwarden-force\n", "*", ""]
    {
        let decision = decide(&policy, &user(odd), ExecutionAction::Cancel, Status::Queued, terms());
        assert_eq!(decision, Decision::Deny(Refusal::NoPermit), "{odd}");
    }
}
