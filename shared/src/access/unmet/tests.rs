use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, Policy, PolicySet};
use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::access::limits::{DEEPEST, MOST_OPERATORS};
use crate::access::{AskedFacts, User};
use crate::execution::{Execution, ExecutionRow, Job, JobFacts, Status};
use crate::ids::{ExecutionNumber, JobId, ThingName, Version};
use crate::operation::Operation;
use crate::ports::Force;

const CANCEL: &str = "action == Jobwarden::Action::\"CancelJobExecution\"";
const EITHER: &str =
    "action in [Jobwarden::Action::\"CancelJobExecution\", Jobwarden::Action::\"DeleteJobExecution\"]";

/// Who wants what, of an execution of a job tagged `ring: canary` that has no `startedAt`.
#[derive(Debug, Clone, Copy)]
struct Scene {
    group: &'static str,
    action: ExecutionAction,
    status: Status,
    force: Force,
}

/// An operator who cancels what is IN_PROGRESS without force.
const SCENE: Scene = Scene {
    group: "operators",
    action: ExecutionAction::Cancel,
    status: Status::InProgress,
    force: Force::Never,
};

impl Scene {
    fn principal(&self) -> Principal {
        let groups = vec![self.group.to_owned()];
        let claims = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        Principal::User(User { id: "anna".to_owned(), account: String::new(), groups, claims })
    }

    fn with<T>(&self, use_facts: impl FnOnce(&ExecutionFacts<'_>, &Terms) -> T) -> T {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let pairs = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let job_id = JobId::parse("fw-1").unwrap();
        let row = ExecutionRow {
            thing_name: ThingName::parse("pump").unwrap(),
            execution_number: ExecutionNumber::new(1),
            status: self.status,
            queued_at: now - SignedDuration::from_hours(1),
            started_at: None,
            last_updated_at: now - SignedDuration::from_hours(1),
            retry_attempt: Some(0),
        };
        let description = Execution {
            job_id: job_id.clone(),
            row: row.clone(),
            version_number: Version::new(1),
            force_canceled: false,
            status_details: pairs("step", "secret"),
            approximate_seconds_before_timed_out: Some(60),
        };
        let asked = AskedFacts {
            description: Some(description),
            retry_attempt: None,
            thing_groups: Some(["secret".to_owned()].into()),
            thing_attributes: Some(pairs("site", "secret")),
        };
        let arn = "arn".to_owned();
        let job = Job {
            job_id: job_id.clone(),
            arn,
            namespace_id: None,
            retries: false,
            retry_limits: Default::default(),
            status: None,
            continuous: false,
        };
        let job = JobFacts { job, tags: pairs("ring", "canary") };
        let facts = ExecutionFacts { job_id: &job_id, row: &row, job: &job, asked: &asked };
        let (pinned, dry_run, archived, past_retention) = (false, false, false, false);
        use_facts(&facts, &Terms { force: self.force, pinned, dry_run, archived, past_retention, now })
    }

    fn ask(&self, access: &AccessPolicy) -> (Decision, Vec<UnmetPermit>) {
        let principal = self.principal();
        self.with(|facts, terms| {
            let decision = access.decide(&principal, self.action, facts, terms);
            let unmet = access.unmet(&decision, &principal, self.action, facts, terms);
            (decision, unmet)
        })
    }
}

fn policy(id: &str, head: &str, conditions: &str) -> String {
    format!("@id(\"{id}\") @reason(\"because\") {head} {conditions};\n")
}

/// A permit for operators who cancel.
fn permit(id: &str, conditions: &str) -> String {
    let head = format!("permit (principal in Jobwarden::Group::\"operators\", {CANCEL}, resource)");
    policy(id, &head, conditions)
}

fn ask(policies: &str) -> (Decision, Vec<UnmetPermit>) {
    SCENE.ask(&AccessPolicy::parse("p.cedar", policies).unwrap())
}

/// The ids and conditions that are told where no policy permits it.
fn told(policies: &str) -> Vec<(String, Option<String>)> {
    let (decision, unmet) = ask(policies);
    assert_eq!(decision, Decision::Deny(Refusal::NoPermit), "{policies}");
    unmet.into_iter().map(|permit| (permit.id, permit.condition)).collect()
}

#[test]
fn the_first_condition_that_is_not_met_is_told_as_cedar_writes_it() {
    for (conditions, expected) in [
        ("when { context.force }", "context.force"),
        (
            "when { !context.force && resource.status == Jobwarden::Status::\"QUEUED\" && context.force }",
            "resource.status == Jobwarden::Status::\"QUEUED\"",
        ),
        // Parentheses are no border, and neither are clauses.
        (
            "when { (!context.force && (resource.jobId like \"fw-*\" && resource.jobRetries)) && context.force }",
            "resource.jobRetries",
        ),
        (
            "when { !context.force } unless { context.archived } when { resource.jobContinuous }",
            "resource.jobContinuous",
        ),
        // Nothing else comes apart.
        ("when { resource.jobRetries || context.force }", "resource.jobRetries || context.force"),
        (
            "when { if context.force then resource.jobRetries else context.force && context.archived }",
            "if context.force then resource.jobRetries else context.force && context.archived",
        ),
        ("when { !(context.archived || !context.force) }", "!(context.archived || (!context.force))"),
        // What stands under `unless` is negated, and comes apart where each part refuses alone.
        (
            "unless { resource.status == Jobwarden::Status::\"IN_PROGRESS\" }",
            "!(resource.status == Jobwarden::Status::\"IN_PROGRESS\")",
        ),
        ("unless { resource.jobRetries || (context.force || !context.archived) }", "!(!context.archived)"),
        ("unless { !context.force && !context.archived }", "!((!context.force) && (!context.archived))"),
        // What comes after the first need not even be evaluated.
        (
            "when { resource has startedAge && resource.startedAge > duration(\"1h\") }",
            "resource has startedAge",
        ),
        // A line of its own, whatever the author wrote.
        (
            "when {\n  resource.jobId == \"a && b };\\n\" // a note && more\n  && context.force }",
            "resource.jobId == \"a && b };\\n\"",
        ),
        (
            "when { [ \"a\",\n \"b\" ] . contains( resource[\"jobId\"] ) }",
            "[\"a\", \"b\"].contains(resource.jobId)",
        ),
    ] {
        let expected = vec![("p".to_owned(), Some(expected.to_owned()))];
        assert_eq!(told(&permit("p", conditions)), expected, "{conditions}");
    }
}

#[test]
fn each_permit_that_fits_is_told_with_its_reason_in_the_order_of_ids() {
    let policies = [
        permit("b", "when { context.archived }"),
        permit("a", "when { context.force }"),
        policy("any", &format!("permit (principal, {EITHER}, resource)"), "unless { !context.force }"),
    ];
    let (_, unmet) = ask(&policies.concat());
    let unmet: Vec<_> = unmet.iter().map(|permit| (permit.id.as_str(), permit.reason.as_str())).collect();
    assert_eq!(unmet, [("a", "because"), ("any", "because"), ("b", "because")]);
}

#[test]
fn of_permits_for_others_and_for_something_else_nothing_is_told() {
    let delete = "action == Jobwarden::Action::\"DeleteJobExecution\"";
    for head in [
        format!("permit (principal in Jobwarden::Group::\"admins\", {CANCEL}, resource)"),
        format!("permit (principal == Jobwarden::User::\"bert\", {CANCEL}, resource)"),
        format!("permit (principal is Jobwarden::Sweeper, {CANCEL}, resource)"),
        format!("permit (principal in Jobwarden::Group::\"operators\", {delete}, resource)"),
        format!("permit (principal, {CANCEL}, resource == Jobwarden::JobExecution::\"fw-2/pump/1\")"),
    ] {
        assert_eq!(told(&policy("p", &head, "when { context.force }")), [], "{head}");
    }
}

/// Who is meant may stand among the conditions too, wherever, and must not be learned from them.
#[test]
fn a_condition_that_names_another_principal_is_like_a_scope_that_does() {
    let head = format!("permit (principal is Jobwarden::User, {CANCEL}, resource)");
    let admin = "principal in Jobwarden::Group::\"admins\"";
    for conditions in [
        format!("when {{ {admin} }}"),
        format!("when {{ {admin} && context.force }}"),
        format!("when {{ context.force && {admin} }}"),
        format!("when {{ context.force }} unless {{ context.archived || !({admin}) }}"),
        format!("when {{ context.force || {admin} }}"),
        "when { context.force && principal.id like \"b*\" }".to_owned(),
        "when { context.force && principal.hasTag(\"team\") && principal.getTag(\"team\") == \"red\" }"
            .to_owned(),
    ] {
        assert_eq!(told(&policy("p", &head, &conditions)), [], "{conditions}");
    }
    let mine = "when { context.force && principal.hasTag(\"team\") && principal.getTag(\"team\") == \"blue\" } \
                when { principal in Jobwarden::Group::\"operators\" || principal in Jobwarden::Group::\"admins\" }";
    assert_eq!(told(&policy("p", &head, mine)), [("p".to_owned(), Some("context.force".to_owned()))]);
}

#[test]
fn a_condition_on_what_people_or_devices_wrote_is_not_shown() {
    for condition in [
        "resource.statusDetails.contains(\"step=done\")",
        "resource.thingGroups.contains(\"line-2\")",
        "resource[\"thingAttributes\"].contains(\"site=berlin\")",
        "resource.hasTag(\"owner\")",
        "resource.hasTag(\"ring\") && resource.getTag(\"ring\") == \"stable\"",
        "context.force || resource.hasTag(\"owner\")",
        "!(resource has thingGroups)",
        "{ a: [resource.statusDetails] }.a.contains([\"step=done\"])",
    ] {
        let policies = permit("p", &format!("when {{ !context.force && ({condition}) && context.force }}"));
        assert_eq!(told(&policies), [("p".to_owned(), None)], "{condition}");
        let (decision, unmet) = ask(&policies);
        let message = format!("{}{}", Refusal::NoPermit, UnmetPermit::in_words(&unmet));
        let expected =
            "no policy permits it; policy `p` would, but for a condition on what people or devices wrote";
        assert_eq!((decision.code(), message.as_str()), ("noPermit", expected));
        let shown = json!({ "id": "p", "reason": "because", "condition": null });
        assert_eq!(serde_json::to_value(&unmet).unwrap(), json!([shown]));
    }
    let first = "when { context.force && resource.hasTag(\"owner\") }";
    assert_eq!(told(&permit("p", first)), [("p".to_owned(), Some("context.force".to_owned()))]);
}

/// The list of what is kept back is that of the facts that no answer tells.
#[test]
fn what_is_kept_back_is_what_no_answer_tells() {
    SCENE.with(|facts, terms| {
        let all = facts.names(terms.now);
        let names: BTreeSet<_> = all.iter().map(String::as_str).collect();
        let told: BTreeSet<_> = facts.told(terms, &names).into_keys().collect();
        // An empty text says nothing.
        let kept: Vec<_> = names.difference(&told).filter(|name| **name != "jobNamespaceId").collect();
        assert_eq!(kept, WRITTEN.iter().collect::<Vec<_>>());
    });
}

#[test]
fn only_where_no_policy_permits_it_is_anything_told() {
    let lacking = permit("p", "when { context.force }");
    let overflow = "when { context.now.offset(duration(\"106751991167d\")) > context.now }";
    for (other, expected) in [
        (permit("yes", "when { !context.force }"), "allow"),
        (policy("no", &format!("forbid (principal, {CANCEL}, resource)"), ""), "forbidden"),
        (permit("broken", overflow), "policyError"),
    ] {
        let (decision, unmet) = ask(&format!("{lacking}{other}"));
        assert_eq!((decision.code(), unmet), (expected, Vec::new()));
    }
}

#[test]
fn a_permit_that_cannot_be_explained_is_left_out_and_changes_nothing() {
    // Whether its principal fits is asked by itself, and then the other condition guards nothing.
    let guarded = "when { resource has startedAge && principal.id == \"anna\" && \
                   (resource.startedAge > duration(\"1h\") || principal.id like \"a*\") }";
    let policies = [permit("guarded", guarded), permit("p", "when { context.force }")].concat();
    assert_eq!(told(&policies), [("p".to_owned(), Some("context.force".to_owned()))]);
}

#[test]
fn a_message_stays_a_line() {
    let condition = Some(format!("resource.jobId == \"{}\"", "é".repeat(300)));
    let unmet = ["a", "b", "c", "d"].map(|id| {
        let condition = condition.clone().filter(|_| id != "b");
        UnmetPermit { id: id.to_owned(), reason: String::new(), condition }
    });
    let words = UnmetPermit::in_words(&unmet);
    let shown =
        format!("; policy `a` would, but for its condition `resource.jobId == \"{}…`", "é".repeat(181));
    assert!(words.starts_with(&shown), "{words}");
    assert!(words.ends_with("wrote; and 2 more, each but for a condition of its own"), "{words}");
    assert_eq!(UnmetPermit::in_words(&[]), "");
}

#[test]
fn what_a_permit_on_sweeps_lacks_is_told_too() {
    let head = "permit (principal, action == Jobwarden::Action::\"StartSweep\", resource)";
    let of = "resource == Jobwarden::Sweep::\"delete-expired\" && context.dryRun";
    let access = AccessPolicy::parse("p.cedar", &policy("p", head, &format!("when {{ {of} }}"))).unwrap();
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let principal = SCENE.principal();
    let told = |action| {
        let decision = access.decide_service(&principal, action, now);
        let unmet = access.unmet_service(&decision, &principal, action, now);
        unmet.into_iter().filter_map(|permit| permit.condition).collect::<Vec<_>>()
    };
    let start =
        |operation, dry_run| ServiceAction::StartSweep { operation, lane: "", dry_run, releases_plan: false };
    assert_eq!(told(start(Operation::DeleteExpired, false)), ["context.dryRun"]);
    let other = "resource == Jobwarden::Sweep::\"delete-expired\"";
    assert_eq!(told(start(Operation::CancelStale, true)), [other]);
    assert!(told(start(Operation::DeleteExpired, true)).is_empty());
    let read = ServiceAction::ReadSweep { operation: Operation::CancelStale };
    assert!(told(read).is_empty());

    // The shipped permit says among its conditions who may: that is not for everybody.
    let access = AccessPolicy::shipped().unwrap();
    let decision = ServiceAction::ReadDecision { on: ExecutionAction::Cancel, hypothetical: true };
    for action in [start(Operation::CancelStale, true), start(Operation::CancelStale, false), read, decision]
    {
        let decision = access.decide_service(&principal, action, now);
        let unmet = access.unmet_service(&decision, &principal, action, now);
        assert_eq!((decision, unmet), (Decision::Deny(Refusal::NoPermit), Vec::new()));
    }
}

/// Every status, action, group, and force, asked of the shipped policies beside permits that ask
/// for more, with and without what forbids: as shipped, what a permit lacks is mostly forbidden.
#[test]
fn every_permit_that_fits_is_told_and_every_told_condition_is_false() {
    let shipped = include_str!("../../../../policies/access.cedar");
    let more = [
        include_str!("../../../../policies/examples/two-fleets.cedar").to_owned(),
        format!(
            "@id(\"waiting\") @reason(\"r\") permit (\n principal is Jobwarden::User, {EITHER}, resource\n) when \
             {{ resource.status == Jobwarden::Status::\"QUEUED\" }} unless {{ context.force || resource.jobRetries }};"
        ),
    ];
    let permitting: Vec<_> =
        permits_of(shipped).iter().map(ToString::to_string).chain(more.clone()).collect();
    let all = format!("{shipped}\n{}", more.join("\n"));
    let mut answers = Answers::default();
    for (policies, least) in [(permitting.join("\n"), 100), (all, 50)] {
        let access = AccessPolicy::parse("p.cedar", &policies).unwrap();
        let permits = permits_of(&policies);
        let mut fitting = BTreeMap::<_, BTreeSet<_>>::new();
        let mut conditions = 0;
        for scene in scenes() {
            let (decision, unmet) = scene.ask(&access);
            let ids: BTreeSet<_> = unmet.iter().map(|permit| permit.id.clone()).collect();
            if decision != Decision::Deny(Refusal::NoPermit) {
                assert!(ids.is_empty(), "{scene:?} {decision:?} {ids:?}");
                continue;
            }
            let fit = fitting.entry((scene.group, scene.action.as_str())).or_insert_with(|| {
                let fit = permits.iter().filter(|policy| answers.allows(&scope(policy), scene));
                fit.filter_map(|policy| Some(policy.annotation("id")?.to_owned())).collect()
            });
            assert_eq!(ids, *fit, "{scene:?}");
            for condition in unmet.iter().filter_map(|permit| permit.condition.as_ref()) {
                conditions += 1;
                let not = policy(
                    "p",
                    &format!("permit (principal, {EITHER}, resource)"),
                    &format!("when {{ !({condition}) }}"),
                );
                assert!(answers.allows(&not, scene), "{scene:?} {condition}");
            }
        }
        assert!(conditions >= least, "{conditions}");
    }
}

fn scenes() -> impl Iterator<Item = Scene> {
    let groups = ["x", "jobwarden-operators", "jobwarden-force", "pump-operators", "valve-operators"];
    let of = |group| {
        [ExecutionAction::Cancel, ExecutionAction::Delete].into_iter().flat_map(move |action| {
            let forces = [Force::Never, Force::EvenInProgress].into_iter();
            forces.flat_map(move |force| {
                Status::ALL.into_iter().map(move |status| Scene { group, action, status, force })
            })
        })
    };
    groups.into_iter().flat_map(of)
}

fn permits_of(policies: &str) -> Vec<Policy> {
    let parsed: PolicySet = policies.parse().unwrap();
    parsed.policies().filter(|policy| policy.effect() == Effect::Permit).cloned().collect()
}

/// A policy as it is written, without its conditions.
fn scope(policy: &Policy) -> String {
    let text = policy.to_string();
    let (scope, _) = text.split_once("\n)").unwrap();
    format!("{scope});")
}

/// Policies asked by themselves, each read once.
#[derive(Default)]
struct Answers(BTreeMap<String, AccessPolicy>);

impl Answers {
    fn allows(&mut self, policies: &str, scene: Scene) -> bool {
        let access = self.0.entry(policies.to_owned());
        let access = access.or_insert_with(|| AccessPolicy::parse("one.cedar", policies).unwrap());
        matches!(scene.ask(access).0, Decision::Allow(_))
    }
}

thread_local! {
    /// How many policies were evaluated to explain refusals.
    pub(super) static EVALUATED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A permit with as many terms as it may have has had its conditions evaluated anew for each before, at 13 s of a
/// processor for a thousand of them.
#[test]
fn an_explanation_evaluates_each_scope_and_each_condition_once() {
    let all = vec!["resource.jobContinuous"; 90];
    for (condition, evaluated) in [
        (all.join(" || "), 1 + 1),
        (format!("context.force && {}", vec!["resource.jobRetries"; 50].join(" && ")), 1 + 51),
    ] {
        let text = permit("p", &format!("when {{ {condition} }}"));
        let access = AccessPolicy::parse("p.cedar", &text).unwrap();
        EVALUATED.set(0);
        let (decision, unmet) = SCENE.ask(&access);
        assert_eq!((decision, unmet.len()), (Decision::Deny(Refusal::NoPermit), 1));
        assert_eq!(EVALUATED.get(), evaluated);
    }
    // Of permits for others only the scopes are.
    let other = |nth| {
        let head = format!("permit (principal in Jobwarden::Group::\"g{nth}\", {CANCEL}, resource)");
        policy(&format!("p{nth}"), &head, "when { context.force && resource.jobRetries }")
    };
    let access = AccessPolicy::parse("p.cedar", &(0..100).map(other).collect::<String>()).unwrap();
    EVALUATED.set(0);
    SCENE.ask(&access);
    assert_eq!(EVALUATED.get(), 100);
}

/// Cedar follows all of these by recursion. The main thread of a function has 8 MiB, and these are read, decided by
/// and explained in a quarter of that: see docs/decisions/2026-12-01-limits-of-documents.md.
#[test]
fn what_is_within_the_limits_survives_a_stack_of_two_mebibytes() {
    let around = |left: &str, within: &str, right: &str, times: usize| {
        format!("{}{within}{}", left.repeat(times), right.repeat(times))
    };
    let (deep, many) = (DEEPEST - 1, MOST_OPERATORS - 4);
    let conditions = [
        around("(", "context.force", ")", deep),
        around("!!!!(", "context.force", ")", deep),
        around("if !context.force then ", "context.force", " else true", deep),
        around("if context.force then true else ", "context.force", "", deep),
        around("if !context.force then (", "context.force", ") else true", deep / 2),
        format!("{} == [[]]", around("[", "context.force", "]", deep).replace("context.force", "")),
        around("[true].contains(", "context.force", ")", deep),
        around("{a: ", "context.force", "}.a", deep),
        format!("{}context.force", "context.force || ".repeat(many / 2 - 1)),
        format!("{}context.force", "!context.force && ".repeat(many / 3 - 1)),
        format!("1{} < resource.executionNumber", " + 0".repeat(many - 2)),
        format!("context.now{} < context.now", ".offset(duration(\"1h\"))".repeat(many - 4)),
        around("(", &format!("{}context.force", "context.force || ".repeat(many / 2 - 1)), ")", deep),
        around("(context.force || ", "context.force", ")", deep),
    ];
    for condition in conditions {
        let text = permit("p", &format!("when {{ {condition} }}"));
        let read = move || {
            let access = AccessPolicy::parse("p.cedar", &text);
            access.map(|access| SCENE.ask(&access)).map_err(|problems| (text, problems))
        };
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap();
        // What is impossible by its types is refused by the validator, which has followed it as far.
        match thread.join().unwrap() {
            Ok((decision, _)) => assert_eq!(decision, Decision::Deny(Refusal::NoPermit), "{condition}"),
            Err((_, problems)) => assert!(!problems.to_string().contains("more than"), "{problems}"),
        }
    }
}
