//! What the access module says of decisions, and how it loads policies.

use cedar_policy::{Request, Schema};
use serde_json::json;

use super::*;
use crate::digest;
use crate::execution::{Execution, ExecutionRow, Job, JobFacts, Status};
use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};
use crate::ports::Force;

const PERMIT: &str = "@id(\"all\") @reason(\"all may\") permit (principal, action, resource);\n";

/// A policy on executions under this condition.
fn forbid(id: &str, condition: &str) -> String {
    format!(
        "@id(\"{id}\") @reason(\"{id} says so\") \
         forbid (principal, action, resource is Jobwarden::JobExecution) when {{ {condition} }};\n"
    )
}

fn load(policies: &str) -> AccessPolicy {
    AccessPolicy::parse("p.cedar", policies).unwrap()
}

fn problems(policies: &str) -> String {
    AccessPolicy::parse("p.cedar", policies).unwrap_err().to_string()
}

fn terms(force: Force) -> Terms {
    let now = "2026-11-21T12:00:00.007Z".parse().unwrap();
    Terms { force, pinned: true, dry_run: false, archived: true, past_retention: true, now }
}

/// An execution of which everything has been read but the groups of its thing.
fn with_facts<T>(tell: impl FnOnce(&ExecutionFacts<'_>) -> T) -> T {
    let job_id = JobId::parse("fw").unwrap();
    let row = ExecutionRow {
        thing_name: ThingName::parse("pump").unwrap(),
        execution_number: ExecutionNumber::new(3),
        status: Status::InProgress,
        queued_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        started_at: Some("2026-11-21T11:00:00Z".parse().unwrap()),
        last_updated_at: "2026-11-21T11:59:00Z".parse().unwrap(),
        retry_attempt: None,
    };
    let job = Job {
        job_id: job_id.clone(),
        arn: "arn".to_owned(),
        namespace_id: NamespaceId::parse("ours").ok(),
        retries: true,
        retry_limits: Default::default(),
        status: None,
        continuous: false,
    };
    let job = JobFacts { job, tags: [("ring".to_owned(), "canary".to_owned())].into() };
    let description = Execution {
        job_id: job_id.clone(),
        row: row.clone(),
        version_number: Version::new(7),
        force_canceled: false,
        status_details: [("step".to_owned(), "flashing".to_owned())].into(),
        approximate_seconds_before_timed_out: None,
    };
    let asked = AskedFacts {
        description: Some(description),
        retry_attempt: Some(2),
        thing_attributes: Some([("site".to_owned(), "berlin".to_owned())].into()),
        ..AskedFacts::default()
    };
    tell(&ExecutionFacts { job_id: &job_id, row: &row, job: &job, asked: &asked })
}

/// What a set of policies says of a forced cancel of it, and how it explains it.
fn cancel(policy: &AccessPolicy) -> (Decision, Explanation) {
    with_facts(|facts| {
        let terms = terms(Force::EvenInProgress);
        let sweeper = Principal::Sweeper(Operation::CancelStale);
        let decision = policy.decide(&sweeper, ExecutionAction::Cancel, facts, &terms);
        let explanation = policy.explain(&decision, Some((facts, &terms)));
        (decision, explanation)
    })
}

/// At run time nothing is held against the schema, which would have to be read for it. What may be asked is few
/// kinds of questions: each fits.
#[test]
fn every_question_fits_the_schema() {
    let (schema, _) = Schema::from_cedarschema_str(policy::SHIPPED_SCHEMA).unwrap();
    let user = User {
        id: "anna".to_owned(),
        account: String::new(),
        groups: Vec::new(),
        claims: Default::default(),
    };
    let access = AccessPolicy::shipped().unwrap();
    let terms = terms(Force::Never);
    let mut questions = Vec::new();
    for on in [ExecutionAction::Cancel, ExecutionAction::Delete] {
        for principal in [Principal::User(user.clone()), Principal::Sweeper(on_sweep(on))] {
            questions.push(with_facts(|facts| access.question(&principal, on, facts, &terms)).unwrap());
        }
        for hypothetical in [false, true] {
            let action = ServiceAction::ReadDecision { on, hypothetical };
            questions
                .push(access.service_question(&Principal::User(user.clone()), action, terms.now).unwrap());
        }
        let operation = on_sweep(on);
        for action in [
            ServiceAction::StartSweep { operation, lane: "", dry_run: true, releases_plan: false },
            ServiceAction::ReadSweep { operation },
        ] {
            questions
                .push(access.service_question(&Principal::User(user.clone()), action, terms.now).unwrap());
        }
    }
    for policy::Question { request, .. } in questions {
        let [principal, action, resource] = [request.principal(), request.action(), request.resource()];
        let [principal, action, resource] = [principal, action, resource].map(|uid| uid.unwrap().clone());
        let context = request.context().unwrap().clone();
        let told = format!("{principal} {action} {resource}");
        Request::new(principal, action, resource, context, Some(&schema))
            .unwrap_or_else(|error| panic!("{told}: {error}"));
    }
}

fn on_sweep(on: ExecutionAction) -> Operation {
    match on {
        ExecutionAction::Cancel => Operation::CancelStale,
        ExecutionAction::Delete => Operation::DeleteExpired,
    }
}

#[test]
fn a_refusal_names_every_policy_that_forbids_it_and_why() {
    let policy = load(&[PERMIT, &forbid("late", "context.force"), &forbid("early", "true")].concat());
    let (decision, explanation) = cancel(&policy);
    let Decision::Deny(refusal) = decision else { panic!("{decision:?}") };
    let told = "refused by policy `early`: early says so; policy `late`: late says so";
    assert_eq!((refusal.to_string().as_str(), refusal.reason_key().as_str()), (told, "early+late"));
    assert_eq!((explanation.outcome, explanation.policy_ids().as_str()), ("forbidden", "early,late"));
}

#[test]
fn a_refusal_that_no_policy_decided_says_so() {
    let (decision, explanation) = cancel(&load(&forbid("never", "!context.force")));
    assert_eq!(decision, Decision::Deny(Refusal::NoPermit));
    assert_eq!(Refusal::NoPermit.to_string(), "no policy permits it");
    assert_eq!(Refusal::NoPermit.reason_key(), "noPermit");
    assert_eq!((explanation.outcome, explanation.policy_ids().as_str()), ("noPermit", ""));
    assert!(explanation.facts.is_empty(), "{explanation:?}");
}

/// Cedar would skip the `forbid` and allow.
#[test]
fn a_policy_that_cannot_be_evaluated_refuses_and_keeps_its_cause_to_the_log() {
    let (decision, explanation) =
        cancel(&load(&[PERMIT, &forbid("x", "resource.thingGroups.isEmpty()")].concat()));
    let Decision::Deny(refusal @ Refusal::EvaluationError(_)) = decision else { panic!("{decision:?}") };
    let told = "the access policy could not be evaluated, so nothing is allowed; see the log";
    assert_eq!((refusal.to_string().as_str(), refusal.reason_key().as_str()), (told, "policyError"));
    assert_eq!((explanation.outcome, explanation.policies), ("policyError", Vec::new()));
}

#[test]
fn every_fact_of_an_execution_is_its_own() {
    for condition in [
        "resource == Jobwarden::JobExecution::\"fw/pump/3\"",
        "resource.jobId == \"fw\" && resource.thingName == \"pump\" && resource.executionNumber == 3",
        "resource.queuedAt == datetime(\"2026-11-21T10:00:00Z\")",
        "resource.queuedAge == duration(\"2h7ms\")",
        "resource has startedAt && resource.startedAt == datetime(\"2026-11-21T11:00:00Z\")",
        "resource has startedAge && resource.startedAge == duration(\"1h7ms\")",
        "resource.lastUpdatedAt == datetime(\"2026-11-21T11:59:00Z\")",
        "resource.lastUpdatedAge == duration(\"60s7ms\")",
        "resource.jobNamespaced && resource.jobNamespaceId == \"ours\"",
        "resource.jobRetries && !resource.jobContinuous",
        "resource.hasTag(\"ring\") && resource.getTag(\"ring\") == \"canary\"",
        "resource.versionNumber == 7 && resource.retryAttempt == 2",
        "resource.statusDetails == [\"step=flashing\"]",
        "resource.approximateSecondsBeforeTimedOut == 9223372036854775807",
        "resource.thingAttributes == [\"site=berlin\"]",
        "context.now == datetime(\"2026-11-21T12:00:00.007Z\")",
        "context.source == Jobwarden::Source::\"sweep\"",
    ] {
        let (decision, _) = cancel(&load(&[PERMIT, &forbid("x", condition)].concat()));
        assert_eq!(decision.code(), "forbidden", "{condition}: {decision:?}");
    }
}

#[test]
fn every_fact_of_who_calls_and_of_a_start_is_its_own() {
    let claims = [("team".to_owned(), "red".to_owned())].into();
    let groups = vec!["g".to_owned(), "h".to_owned()];
    let anna = Principal::User(User { id: "anna".to_owned(), account: "12".to_owned(), groups, claims });
    let operation = Operation::CancelStale;
    let start = ServiceAction::StartSweep { operation, lane: "us", dry_run: true, releases_plan: false };
    for condition in [
        "principal == Jobwarden::User::\"anna\" && principal.id == \"anna\" && principal.account == \"12\"",
        "principal in Jobwarden::Group::\"g\" && principal in Jobwarden::Group::\"h\"",
        "principal.hasTag(\"team\") && principal.getTag(\"team\") == \"red\"",
        "resource == Jobwarden::Sweep::\"cancel-stale\"",
        "context.lane == \"us\"",
        "context.dryRun && !context.releasesPlan",
        "context.now == datetime(\"2026-11-21T12:00:00.007Z\")",
    ] {
        let policy = load(&format!(
            "@id(\"x\") @reason(\"r\") permit (principal, action == Jobwarden::Action::\"StartSweep\", \
             resource) when {{ {condition} }};"
        ));
        let now = terms(Force::Never).now;
        let decision = policy.decide_service(&anna, start, now);
        assert_eq!(decision.code(), "allow", "{condition}: {decision:?}");
    }
}

#[test]
fn every_fact_of_a_question_is_its_own() {
    let anna = Principal::User(User {
        id: "anna".to_owned(),
        account: String::new(),
        groups: Vec::new(),
        claims: BTreeMap::new(),
    });
    let now = terms(Force::Never).now;
    for (on, hypothetical) in [(ExecutionAction::Cancel, true), (ExecutionAction::Delete, false)] {
        let not = if hypothetical { "" } else { "!" };
        let policy = load(&format!(
            "@id(\"x\") @reason(\"r\") permit (principal, action == Jobwarden::Action::\"ReadDecision\", \
             resource == Jobwarden::Decision::\"{}\") when {{ {not}context.hypothetical && \
             context.now == datetime(\"2026-11-21T12:00:00.007Z\") }};",
            on.as_str()
        ));
        for (asked, made_up) in [(on, hypothetical), (on, !hypothetical)] {
            let action = ServiceAction::ReadDecision { on: asked, hypothetical: made_up };
            let allowed = policy.decide_service(&anna, action, now).code() == "allow";
            assert_eq!(allowed, made_up == hypothetical);
        }
        let other =
            if on == ExecutionAction::Cancel { ExecutionAction::Delete } else { ExecutionAction::Cancel };
        let action = ServiceAction::ReadDecision { on: other, hypothetical };
        assert_eq!(policy.decide_service(&anna, action, now).code(), "noPermit");
    }
}

#[test]
fn a_problem_is_told_where_it_stands_and_not_in_a_comment_like_it() {
    let bare = "permit (principal, // anybody\n action, resource);";
    let text = format!(
        "// permit (principal,\n// action, resource);\n@id(\"a\") @reason(\"https://x\") {bare}\n{bare}\n"
    );
    assert_eq!(
        problems(&text),
        "p.cedar:5: a policy needs @id(\"...\") and @reason(\"...\"), both with a text"
    );
}

#[test]
fn every_term_of_a_request_is_its_own() {
    let terms = ["force", "hasExpectedVersion", "dryRun", "archived", "pastRetention"];
    for term in terms {
        let only = terms.map(|name| format!("{}context.{name}", if name == term { "" } else { "!" }));
        let condition = format!("context.source == Jobwarden::Source::\"api\" && {}", only.join(" && "));
        assert_eq!(failures(&condition, &[&format!("status = \"QUEUED\"\n{term} = true")]), [""; 0]);
    }
}

#[test]
fn an_explanation_tells_the_facts_that_the_deciding_policies_name_and_no_other() {
    let told = |condition: &str| {
        let another = forbid("another", "resource.jobContinuous");
        cancel(&load(&[PERMIT, &another, &forbid("x", condition)].concat())).1.facts
    };
    for (condition, expected) in [
        ("context.force && !context.dryRun", json!({"force": true, "dryRun": false})),
        ("resource.jobId == \"fw\"", json!({"jobId": "fw"})),
        ("resource.status == Jobwarden::Status::\"IN_PROGRESS\"", json!({"status": "IN_PROGRESS"})),
        ("resource.versionNumber == 7", json!({"versionNumber": 7})),
        ("resource.retryAttempt == 2", json!({"retryAttempt": 2})),
        ("resource.queuedAge == duration(\"2h7ms\")", json!({"queuedAge": 7200})),
        (
            "context.now > resource.queuedAt",
            json!({"now": "2026-11-21T12:00:00.007Z", "queuedAt": "2026-11-21T10:00:00Z"}),
        ),
        // What people and devices wrote may be nobody's business, and what is endless says nothing.
        ("resource.statusDetails.contains(\"step=flashing\")", json!({})),
        ("resource.hasTag(\"ring\") && resource.getTag(\"ring\") == \"canary\"", json!({})),
        ("resource.approximateSecondsBeforeTimedOut > 600", json!({})),
    ] {
        assert_eq!(json!(told(condition)), expected, "{condition}");
    }
}

#[test]
fn a_set_of_policies_is_told_from_another_by_its_digest() {
    let [one, other] = [PERMIT.to_owned(), forbid("x", "true")].map(|policies| load(&policies));
    assert_eq!(one.digest(), load(PERMIT).digest());
    assert_ne!(one.digest(), other.digest());
    assert_eq!(one.digest().len(), 64);
    assert_ne!(one.digest(), digest::of([PERMIT]), "the schema counts too");
    assert_eq!(cancel(&one).1.policy_digest, one.digest());
}

#[test]
fn a_set_of_policies_knows_the_ids_of_its_policies() {
    let policy = load(&[&forbid("b", "true"), PERMIT].concat());
    assert_eq!(policy.ids().collect::<Vec<_>>(), ["all", "b"]);
}

/// Two policies may have the same words; each is told at its own place.
#[test]
fn every_policy_without_an_id_or_a_reason_is_told_with_its_line() {
    let nameless = "permit (principal, action, resource);\n";
    let blank = "@id(\"x\") @reason(\" \") permit (principal, action, resource);\n";
    let found = problems(&[PERMIT, nameless, blank, nameless, PERMIT, nameless].concat());
    let expected = [2, 3, 4, 5, 6].map(|line| match line {
        5 => "p.cedar:5: @id(\"all\") is used twice; give each policy an id of its own".to_owned(),
        _ => format!("p.cedar:{line}: a policy needs @id(\"...\") and @reason(\"...\"), both with a text"),
    });
    assert_eq!(found, expected.join("; "));
}

/// Cedar's own order is that of names: its tenth policy comes before its second.
#[test]
fn more_than_ten_policies_are_told_in_the_order_of_their_file() {
    let nameless = |line| format!("permit (principal, action, resource) when {{ {line} == {line} }};\n");
    let found = AccessPolicy::parse("p.cedar", &(1..=12).map(nameless).collect::<String>()).unwrap_err();
    let lines: Vec<_> = found.iter().filter_map(|problem| problem.line).collect();
    assert_eq!(lines, (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_template_is_told() {
    let found = problems("@id(\"x\") @reason(\"r\") permit (principal == ?principal, action, resource);");
    assert!(found.contains("p.cedar: has a template with a slot"), "{found}");
}

#[test]
fn a_problem_of_cedar_s_is_told_with_its_line_and_its_remedy() {
    let found = problems(&[PERMIT, &forbid("x", "resource.statsu == 1")].concat());
    assert!(found.starts_with("p.cedar:2: "), "{found}");
    assert!(found.contains("(did you mean `status`?)"), "{found}");
}

/// What is told of cases of cancelling that ought to be allowed, where it is permitted under this condition.
fn failures(condition: &str, cases: &[&str]) -> Vec<String> {
    let permit = format!(
        "@id(\"x\") @reason(\"r\") permit (principal, action == Jobwarden::Action::\"CancelJobExecution\", \
         resource) when {{ {condition} }};"
    );
    let case =
        "[[case]]\nname = \"n\"\ngroup = \"g\"\naction = \"CancelJobExecution\"\ndecision = \"allow\"\n";
    let cases: String = cases.iter().map(|rest| format!("{case}{rest}\n")).collect();
    let run = cases::run(&load(&permit), "cases.toml", &cases).unwrap();
    run.failures.iter().map(ToString::to_string).collect()
}

#[test]
fn the_ages_of_a_case_are_those_given_or_ordinary_ones() {
    let given = "status = \"QUEUED\"\nexecution = { queuedAge = \"90d\", lastUpdatedAge = \"59min 1s\" }";
    let condition =
        "resource.queuedAge == duration(\"90d\") && resource.lastUpdatedAge == duration(\"59m1s\")";
    assert_eq!(failures(condition, &[given]), [""; 0]);
    let ordinary = "status = \"SUCCEEDED\"";
    let condition = "resource.queuedAge == duration(\"3h\") && resource.lastUpdatedAge == duration(\"1h\")";
    assert_eq!(failures(condition, &[ordinary]), [""; 0]);
}

#[test]
fn an_execution_of_a_case_has_started_unless_it_waits() {
    let started = ["status = \"IN_PROGRESS\"", "status = \"FAILED\"\nexecution = { startedAge = \"2h\" }"];
    let condition = "resource has startedAge && resource.startedAge == duration(\"2h\")";
    assert_eq!(failures(condition, &started), [""; 0]);
    assert_eq!(failures("!(resource has startedAge)", &["status = \"QUEUED\""]), [""; 0]);
}

#[test]
fn a_case_that_fails_is_told_with_the_values_that_its_lists_had() {
    let lists = "status = \"QUEUED\"\nforce = [false, true]\narchived = [true, false]";
    let found = failures("!context.force || context.archived", &[lists]);
    let [failure] = &found[..] else { panic!("{found:?}") };
    let told = "CancelJobExecution of QUEUED, force true, hasExpectedVersion false, archived false";
    assert!(failure.starts_with("cases.toml:2: ") && failure.contains(told), "{failure}");
}

#[test]
fn a_set_says_where_it_is_from() {
    let set = load(PERMIT);
    assert_eq!(set.source(), "p.cedar");
    assert_eq!(cancel(&set).1.policy_source, "p.cedar");
}

#[test]
fn cases_tell_lanes_apart_by_their_name_and_by_the_place_of_an_execution() {
    let policy = load(
        "@id(\"home\") @reason(\"r\") permit (principal, action == Jobwarden::Action::\"StartSweep\", resource) \
         when { context.lane == \"\" };\
         @id(\"there\") @reason(\"r\") permit (principal, action == Jobwarden::Action::\"CancelJobExecution\", resource) \
         when { resource.region == \"us-east-1\" && resource.account == \"111122223333\" };",
    );
    let cases = "[[case]]\nname = \"a\"\ngroup = \"\"\naction = \"StartSweep\"\ndecision = \"allow\"\n\
                 [[case]]\nname = \"b\"\ngroup = \"\"\naction = \"StartSweep\"\nlane = [\"us\", \"eu\"]\n\
                 decision = \"noPermit\"\n\
                 [[case]]\nname = \"c\"\ngroup = \"\"\naction = \"CancelJobExecution\"\nstatus = \"QUEUED\"\n\
                 execution = { region = \"us-east-1\", account = \"111122223333\" }\ndecision = \"allow\"\n\
                 [[case]]\nname = \"d\"\ngroup = \"\"\naction = \"CancelJobExecution\"\nstatus = \"QUEUED\"\n\
                 decision = \"noPermit\"\n";
    let run = cases::run(&policy, "cases.toml", cases).unwrap();
    assert_eq!((run.cases, run.failures), (2 + 4 + 1 + 1, Vec::new()));
    let wrong = "[[case]]\nname = \"b\"\ngroup = \"\"\naction = \"StartSweep\"\nsweep = \"cancel-stale\"\n\
                 lane = \"us\"\ndecision = \"allow\"\n";
    let failure = cases::run(&policy, "cases.toml", wrong).unwrap().failures.remove(0).to_string();
    assert!(failure.contains("StartSweep cancel-stale in us"), "{failure}");
}
