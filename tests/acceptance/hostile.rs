//! Text that wants to be more than text: it stays data in answers, log lines, records, reports and policies.

use std::collections::{BTreeMap, BTreeSet};

use cancel_execution::CancelExecution;
use read_sweeps::ReadSweeps;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::archive::Content;
use shared::document::Current;
use shared::execution::Status;
use shared::guard::JobCache;
use shared::operation::Operation;
use start_sweep::StartSweep;
use tests::JobSetup;

use crate::api::{Answer, OPERATOR, api_event, cancel_event};
use crate::log::Log;
use crate::stage::{Stage, days_ago, now};
use crate::sweep_stage::{Sweeps, things};
use crate::world::sweep_schedules;

/// What breaks out of a terminal, a line, JSON, Cedar, HTML, or a format, where it is not treated as text.
fn hostile() -> Vec<String> {
    let mut texts: Vec<_> = [
        "\u{0}\u{7}\u{8}\u{7f}",
        "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
        "\u{9b}2J\u{85}",
        "line\r\n{\"fields\":{\"event\":\"decision\",\"outcome\":\"allow\"}}\n",
        "\", \"event\": \"decision\", \"x\": \"",
        "{\"$ref\": \"#/\", \"$gt\": \"\"}",
        "{\"__entity\": {\"type\": \"Jobwarden::Group\", \"id\": \"jobwarden-force\"}}",
        "{\"__extn\": {\"fn\": \"duration\", \"arg\": \"1d\"}}",
        "canary\") || true || (\"",
        "\"); permit (principal, action, resource); //",
        "<script>alert(1)</script><!--",
        "${jndi:ldap://x} %s%n {} {:?}",
        "\u{202e}gpj.exe\u{2066}\u{feff}",
        "\u{2028}\u{2029}",
        "*",
        "=cmd|' /C calc'!A0",
    ]
    .map(str::to_owned)
    .into();
    texts.push("é\"".repeat(500));
    texts
}

/// Characters that a terminal or a reader acts on instead of showing them.
fn acts(character: char) -> bool {
    let written = '\u{202a}'..='\u{202e}';
    let isolated = '\u{2066}'..='\u{2069}';
    let acts = |c| written.contains(&c) || isolated.contains(&c) || "\u{feff}\u{2028}\u{2029}".contains(c);
    character.is_control() || acts(character)
}

fn canceller(stage: &Stage, access: AccessPolicy) -> CancelExecution<tests::FakeIot> {
    CancelExecution {
        iot: stage.iot.clone(),
        access: Current::fixed(access),
        caller_identity: CallerIdentity::Iam,
        jobs: JobCache::default(),
    }
}

/// As much as a path may have of it.
fn encoded(text: &str) -> String {
    text.bytes().take(500).map(|byte| format!("%{byte:02X}")).collect()
}

/// Requests with the text in each place where a caller may write.
fn crafted(text: &str) -> Vec<Value> {
    let resource = "/things/{thingName}/jobs/{jobId}/cancel";
    let event = |path, query: &[(&str, &str)], body: &str| {
        let mut event = api_event("PUT", resource, OPERATOR, path, query, body);
        // Nobody reads them, and they are no reason to refuse anything.
        event["headers"][text] = json!(text);
        event["multiValueHeaders"][text] = json!([text]);
        event
    };
    let plain = || json!({"thingName": "pump", "jobId": "fw"});
    vec![
        event(json!({"thingName": text, "jobId": "fw"}), &[], ""),
        event(json!({"thingName": encoded(text), "jobId": "fw"}), &[], ""),
        event(json!({"thingName": "pump", "jobId": text}), &[], ""),
        event(plain(), &[("force", text)], ""),
        event(plain(), &[(text, "true")], ""),
        event(plain(), &[], &format!("[{text}")),
        event(plain(), &[], &json!({ text: 1 }).to_string()),
        event(plain(), &[], &json!({"expectedVersion": text}).to_string()),
        event(plain(), &[], &json!({"statusDetails": {text: "x"}}).to_string()),
        event(plain(), &[], &json!({"statusDetails": {"x": [text]}}).to_string()),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_writes_is_quoted_wherever_it_is_told() {
    let (log, _guard) = Log::begin();
    let stage = Stage::with(Status::Queued);
    let mut refused = 0;
    for text in hostile() {
        for event in crafted(&text) {
            let function = canceller(&stage, AccessPolicy::shipped().unwrap());
            let answer: Answer = function.handle(event.clone(), now()).await.into();
            answer.is(400, "InvalidRequestException");
            assert!(!answer.message().contains(acts), "{:?} to {event}", answer.message());
            refused += 1;
        }
        let function = StartSweep {
            bucket: stage.bucket.clone(),
            queue: stage.queue.clone(),
            access: Current::fixed(AccessPolicy::shipped().unwrap()),
            caller_identity: CallerIdentity::Iam,
            schedules: sweep_schedules(),
            lanes: shared::lane::Lanes::default(),
            dry_run_only: true,
        };
        let body = json!({"operation": text, "lane": text, "releasePlan": text}).to_string();
        let event = api_event("POST", "/sweeps", OPERATOR, json!({}), &[], &body);
        let answer = function.handle(event, now()).await.unwrap();
        assert_eq!(answer["statusCode"], 400);
        assert!(!answer["body"].as_str().unwrap().contains(acts), "{answer}");
        refused += 1;
    }
    // Bytes that are no text: {, 0xff, ESC, }.
    let mut event = cancel_event(OPERATOR, &[], "e/8bfQ==");
    event["isBase64Encoded"] = json!(true);
    let answer: Answer =
        canceller(&stage, AccessPolicy::shipped().unwrap()).handle(event, now()).await.into();
    answer.is(400, "InvalidRequestException");
    // One line each, of which nothing acts, and no line that a caller has written.
    assert_eq!(log.of("request_refused").len(), refused + 1);
    assert_eq!(log.text().lines().count(), refused + 1);
    assert!(!log.text().contains(|c: char| c != '\n' && acts(c)));
    assert_eq!(stage.script.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_name_aws_does_not_allow_is_nobody() {
    for text in hostile() {
        let (log, _guard) = Log::begin();
        let stage = Stage::with(Status::Queued);
        let caller = format!("arn:aws:sts::123456789012:assumed-role/jobwarden-force/{text}");
        stage.cancel(&caller, &[], "").await.is(403, "AccessDeniedException");
        assert_eq!(stage.status(), Some(Status::Queued));
        assert_eq!(log.of("request_refused").len(), 1);
        assert_eq!(log.text().lines().count(), 1, "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn verified_claims_are_texts_to_log_and_policy() {
    for text in hostile() {
        let (log, _guard) = Log::begin();
        let stage = Stage::with(Status::Queued);
        let visible: String = text.chars().filter(char::is_ascii_graphic).collect();
        let mut event = cancel_event("", &[], "");
        event["requestContext"]["authorizer"] = json!({"claims": {
            "iss": "https://idp", "sub": format!("x{visible}"), "name": text, "cognito:groups": text,
        }});
        let mut function = canceller(&stage, AccessPolicy::shipped().unwrap());
        function.caller_identity = CallerIdentity::Claims;
        let answer: Answer = function.handle(event, now()).await.into();
        answer.is(403, "AccessDeniedException");
        assert_eq!(stage.status(), Some(Status::Queued));
        let decided = log.of("decision");
        assert_eq!(decided[0]["principal"], json!(format!("https://idp#x{visible}")));
        assert_eq!(decided[0]["outcome"], "noPermit");
        // No text here is a group's name, and that is told.
        let unreadable = log.of("groups_unreadable");
        assert_eq!(unreadable[0]["principal"], decided[0]["principal"]);
        assert_eq!((unreadable.len(), log.of("request_refused").len()), (1, 1), "{text:?}");
        assert_eq!(log.text().lines().count(), 3, "{text:?}");
        assert!(!log.text().contains(|c: char| c != '\n' && acts(c)), "{}", log.text());
    }
}

/// A permit to cancel under a condition.
fn permit(condition: &str) -> AccessPolicy {
    let text = format!(
        "@id(\"asks\") @reason(\"r\") permit (principal is Jobwarden::User, action == \
         Jobwarden::Action::\"CancelJobExecution\", resource) when {{ {condition} }};"
    );
    AccessPolicy::parse("p.cedar", &text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn tags_and_details_are_texts_to_a_policy() {
    let (log, _guard) = Log::begin();
    for text in hostile() {
        let tags = [("ring".to_owned(), text.clone()), (text.clone(), "canary".to_owned())].into();
        let stage = Stage::with_job(Status::Queued, JobSetup { tags, ..JobSetup::default() });
        stage.iot.change("fw", "pump", |execution| {
            execution.details = [("step".to_owned(), text.clone())].into();
        });
        // Rust's escapes are Cedar's, too. Cedar warns of characters in a policy that turn the writing around.
        let written = |text: &str| text.is_ascii().then(|| format!("{text:?}"));
        let literal = written(&text).map(|text| {
            [
                format!("resource.hasTag(\"ring\") && resource.getTag(\"ring\") == {text}"),
                format!("resource.hasTag({text}) && resource.getTag({text}) == \"canary\""),
            ]
        });
        let step = written(&format!("step={text}"));
        let itself = step.map(|step| format!("resource.statusDetails.contains({step})"));
        let others = [
            "resource.hasTag(\"ring\") && resource.getTag(\"ring\") == \"canary\"",
            "resource.hasTag(\"jobwarden:hold\")",
            "resource.statusDetails.contains(\"step=canary\")",
            "principal in Jobwarden::Group::\"jobwarden-force\"",
        ];
        let permitted = literal.into_iter().flatten().chain(itself).map(|condition| (condition, true));
        let refused = others.map(|condition| (condition.to_owned(), false));
        for (condition, permitted) in permitted.chain(refused) {
            let function = canceller(&stage, permit(&condition));
            let event = cancel_event(OPERATOR, &[("dryRun", "true")], "");
            let answer: Answer = function.handle(event, now()).await.into();
            assert_eq!(answer.status, if permitted { 200 } else { 403 }, "{condition}: {answer:?}");
        }
        // What a tag says lifts no hold.
        let tags = [("jobwarden:hold".to_owned(), text.clone())].into();
        let held = Stage::with_job(Status::Queued, JobSetup { tags, ..JobSetup::default() });
        held.cancel(OPERATOR, &[], "").await.is(403, "AccessDeniedException");
    }
    assert_eq!(log.of("policy_error").len(), 0);
}

/// Every text in a value, names included.
fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
        Value::String(text) => [text.clone()].into(),
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| texts(value).into_iter().chain([name.clone()])).collect()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_people_and_devices_wrote_is_in_the_records_as_it_was() {
    let (log, _guard) = Log::begin();
    let stage = Stage::new();
    for (nth, text) in hostile().into_iter().enumerate() {
        let job = format!("fw-{nth}");
        let tags = BTreeMap::from([("note".to_owned(), text.clone()), (text.clone(), "x".to_owned())]);
        stage.iot.job(&job, days_ago(100), JobSetup { tags, ..JobSetup::default() });
        stage.iot.execution(&job, "due-1", Status::Succeeded, days_ago(99), days_ago(98));
        stage.iot.change(&job, "due-1", |execution| {
            execution.details = [("step".to_owned(), text.clone())].into();
        });
    }
    let rule = "[[rule]]\nname = \"all\"\njob_ids = [\"fw-*\"]\njob_tags = { note = \"*\" }\n\
                delete_after = { SUCCEEDED = \"1d\", FAILED = \"1d\", TIMED_OUT = \"1d\", REJECTED = \"1d\", \
                REMOVED = \"1d\", CANCELED = \"1d\" }\narchive = \"full\"\n\n";
    let sweeps = Sweeps::with_rule(&stage, rule);
    let id = sweeps.started(Operation::DeleteExpired, "hostile").await;
    sweeps.deliver_all().await;

    assert_eq!(things(&stage.iot, "due-"), BTreeSet::new());
    let records = stage.bucket.archive().await;
    assert_eq!(records.len(), hostile().len());
    for record in records {
        let nth: usize = record.job.job.job_id.as_str().trim_start_matches("fw-").parse().unwrap();
        let text = &hostile()[nth];
        assert_eq!(record.job.tags["note"], *text);
        assert_eq!(record.job.tags[text], "x");
        let Content::Full { execution } = &record.content else { panic!("{record:?}") };
        assert_eq!(execution.status_details["step"], *text);
    }

    let function = ReadSweeps {
        bucket: stage.bucket.clone(),
        links: stage.bucket.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
    };
    let path = json!({"sweepId": id.as_str()});
    let event = api_event("GET", "/sweeps/{sweepId}/report", OPERATOR, path, &[], "");
    let answer: Answer = function.handle(event, now()).await.into();
    answer.is_ok();
    assert_eq!(answer.body, sweeps.report(&id).await);
    // Neither report nor log tells what they wrote; every line of the log is one object.
    let told = texts(&answer.body);
    assert!(hostile().iter().all(|text| text == "*" || !told.contains(text)));
    assert_eq!(log.of("policy_error").len(), 0);
    assert!(!log.text().contains(|c: char| c != '\n' && acts(c)));
}

/// Words that are where nobody but the fleet's own people and devices should read them.
const SECRETS: [&str; 3] = ["hunter-tag", "hunter-detail", "hunter-sent"];

#[tokio::test(start_paused = true)]
async fn no_line_holds_what_devices_and_people_wrote() {
    let (log, _guard) = Log::begin();
    let setup =
        || JobSetup { tags: [("note".to_owned(), SECRETS[0].to_owned())].into(), ..JobSetup::default() };
    let details = || [("step".to_owned(), SECRETS[1].to_owned())].into();
    for caller in [OPERATOR, crate::api::NOBODY] {
        let stage = Stage::with_job(Status::Queued, setup());
        stage.iot.change("fw", "pump", |execution| execution.details = details());
        let body = json!({"statusDetails": {"why": SECRETS[2]}}).to_string();
        stage.delete(caller, &[("force", "true")]).await;
        stage.cancel(caller, &[], &body).await;
        stage.cancel(caller, &[], &format!("{body}]")).await;
    }
    let stage = Stage::new();
    stage.iot.job("fw", days_ago(100), setup());
    stage.iot.execution("fw", "due-1", Status::Succeeded, days_ago(99), days_ago(98));
    stage.iot.change("fw", "due-1", |execution| execution.details = details());
    let rule = "[[rule]]\nname = \"all\"\njob_tags = { note = \"*\" }\n\
                delete_after = { SUCCEEDED = \"1d\", FAILED = \"1d\", TIMED_OUT = \"1d\", REJECTED = \"1d\", \
                REMOVED = \"1d\", CANCELED = \"1d\" }\narchive = \"full\"\n\n";
    let sweeps = Sweeps::with_rule(&stage, rule);
    sweeps.started(Operation::DeleteExpired, "secrets").await;
    sweeps.deliver_all().await;
    assert_eq!(things(&stage.iot, "due-"), BTreeSet::new());
    assert!(log.of("decision").len() == 4 && log.of("sweep_finished").len() == 1, "{}", log.text());
    for secret in SECRETS {
        assert!(!log.text().contains(secret), "{secret}: {}", log.text());
    }
}
