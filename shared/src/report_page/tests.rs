use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::legible::hides;
use crate::sweep::SweepStatus;

/// A report with something of everything, and a text from outside wherever one can be.
fn report(text: &str) -> Report {
    let share = |rule: &str, status: &str, more: Value| {
        let mut row = json!({"rule": rule, "status": status, "count": 2500});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let sample = |told: &str, job: &str| {
        json!({
            "rule": text, "told": told, "since": "2026-01-01T00:00:00Z", "jobId": job,
            "thingName": "pump:7", "executionNumber": 3, "status": "FAILED",
        })
    };
    let mut report = json!({
        "sweepId": "20261121T020000Z-cancel-stale-22935c8c",
        "operation": "cancel-stale",
        "lane": "us",
        "place": text,
        "dryRun": false,
        "requestedBy": text,
        "status": "STOPPED_BY_BREAKER",
        "failure": text,
        "now": "2026-11-21T02:00:00Z",
        "startedAt": "2026-11-21T02:00:01Z",
        "finishedAt": "2026-11-21T02:10:01Z",
        "durationSeconds": 600,
        "slices": 3,
        "rulesSource": format!("s3://{text}/{text}?versionId={text}"),
        "rulesDigest": text,
        "policySource": format!("appconfig:{text}"),
        "policyDigest": text,
        "jobs": {"seen": 9, "tooYoung": 1, "never": 1, "unreadable": 1, "scanned": 6, "gone": 0, "segments": 1},
        "rowsSeen": 7507,
        "due": 2500,
        "plan": [share(text, "QUEUED", json!({"verdict": "due"}))],
        "kept": [
            share(text, "QUEUED", json!({"verdict": "notYet"})),
            share("z", "QUEUED", json!({"verdict": format!("refused: {text}")})),
        ],
        "unreadable": {text: 7},
    });
    let more = json!({
        "ages": {"QUEUED": {"<1d": 2500, ">=1y": 5000}},
        "agesOfRules": {text: {"<1d": 2500, ">=1y": 5000}},
        "samples": [sample("due", "fw-1"), sample(text, "fw-2")],
        "outcomeSamples": [sample("canceled", "fw-3")],
        "forecast": [{"date": "2026-11-22", "due": 0}, {"date": "2026-11-23", "due": 31}],
        "blockers": [{
            "thingName": "pump:7", "jobId": "fw-1", "executionNumber": 1, "status": "IN_PROGRESS",
            "since": "2026-08-02T10:15:00Z", "lastUpdatedAt": "2026-08-02T10:16:12Z", "behind": 3,
            "behindIsAtLeast": true,
        }],
        "thingsNotLookedAt": [{"thingName": "pump:8", "problem": text}],
        "wholeJobs": {"planned": 1, "executions": 5, "deleted": 0},
        "attempts": 2500,
        "outcomes": {"canceled": 2400, "mismatch": 60, "notConfirmed": 40},
        "results": [
            {"rule": text, "status": "QUEUED", "outcome": "canceled", "count": 2400},
            {"rule": text, "status": "QUEUED", "outcome": "mismatch", "count": 60},
            {"rule": text, "status": "QUEUED", "outcome": "notConfirmed", "count": 40},
        ],
        "history": {"from": "2026-11-21T02:00:01Z", "seconds": 60, "counts": [1400, 0, 1000]},
        "callsPerHour": 28800,
        "calls": {"CancelJobExecution": 2500, "ListJobs": 1},
        "throttled": {"CancelJobExecution": 4},
        "planDigest": text,
        "breaker": {
            "maxActions": 1000, "maxPercent": 90, "maxGrowth": 10, "due": 2500, "tripped": true,
            "checks": [
                {"limit": "maxActions", "of": null, "most": 1000, "result": "tripped"},
                {"limit": "maxGrowth", "of": null, "most": null, "result": "noSweepBefore"},
            ],
        },
        "archive": {"objects": 10, "records": 2500, "prefix": text},
        "outcomesPrefix": text,
    });
    report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(report).unwrap()
}

/// The numbers in the last column of the table with this caption.
fn sum_of(page: &str, caption: &str) -> u64 {
    let (_, table) = page.split_once(&format!("<caption>{caption}</caption>")).unwrap();
    let (table, _) = table.split_once("</table>").unwrap();
    let counts = table.split("<td class=\"n\">").skip(1).map(|cell| cell.split('<').next().unwrap());
    counts.map(|count| count.replace(',', "").parse::<u64>().unwrap()).sum()
}

/// Everything between `<` and `>`, which is all that a browser takes for markup.
fn tags(page: &str) -> Vec<&str> {
    let (_, body) = page.split_once("</style>").unwrap();
    let (body, _) = body.split_once("<script>").unwrap();
    body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()).collect()
}

#[test]
fn the_page_lets_its_own_style_and_script_in_and_nothing_else() {
    let hash = |text: &str| format!("sha256-{}", STANDARD.encode(Sha256::digest(text)));
    assert_eq!(STYLE_HASH, hash(STYLE), "the style was changed");
    assert_eq!(SCRIPT_HASH, hash(SCRIPT), "the script was changed");
    let page = page(&report("x"));
    let policy = format!(
        "content=\"default-src 'none'; style-src '{STYLE_HASH}'; script-src '{SCRIPT_HASH}'; base-uri 'none'; \
         form-action 'none'\""
    );
    assert!(page.find(&policy).unwrap() < page.find("<style>").unwrap());
    for tag in tags(&page) {
        let attribute = |part: &str| ["on", "src=", "style="].iter().any(|name| part.starts_with(name));
        assert!(!tag.split(' ').any(|part| part.contains('=') && attribute(part)), "{tag}");
        assert!(
            !["link", "img", "iframe", "object", "embed"].iter().any(|name| tag.starts_with(name)),
            "{tag}"
        );
    }
}

#[test]
fn the_sums_of_the_page_are_the_reports() {
    let report = report("a rule");
    let page = page(&report);
    for (caption, expected) in [
        ("What is due, by rule and status", report.plan.total()),
        ("What is kept, by rule, status and reason", report.kept.total()),
        ("What could not be judged", 7),
        ("What came of the plan, by rule and status", report.outcomes.values().sum()),
        ("Executions by status and age", 7500),
        ("Executions by rule and age", 7500),
        ("Executions by time", report.history.total()),
        ("Executions by the day on which they come due", 31),
    ] {
        assert_eq!(sum_of(&page, caption), expected, "{caption}");
    }
    assert!(page.contains("<dt>due</dt><dd>2,500</dd>") && page.contains("<dt>cancelled</dt><dd>2,400</dd>"));
    assert!(page.contains("<dt>due, and not done</dt><dd>100</dd>"));
}

#[test]
fn a_stopped_plan_is_told_with_the_command_that_releases_it() {
    let page = page(&report("0123abc"));
    let command = "jobwarden sweep start --operation cancel-stale --release 0123abc --lane us</code>";
    assert!(page.contains(command), "{page}");
    assert!(page.contains("<a href=\"https://console.aws.amazon.com/s3/object/0123abc?prefix=0123abc&amp;"));
}

#[test]
fn a_dry_run_is_told_with_what_makes_it_real() {
    let mut report = report("x");
    (report.dry_run, report.status, report.lane) = (true, SweepStatus::Succeeded, None);
    let told = page(&report);
    assert!(told.contains("<code>DryRun</code> to <code>false</code>"), "{told}");
    assert!(told.contains("jobwarden sweep start --operation cancel-stale</code>"), "{told}");
    report.dry_run = false;
    assert!(!page(&report).contains("sweep start"));
}

#[test]
fn a_report_of_an_earlier_version_has_a_page_too() {
    let text =
        include_str!("../../../events/bucket/sweeps/20261121T020000Z-delete-expired-22935c8c/report.json");
    let page = page(&serde_json::from_str(text).unwrap());
    assert!(page.contains("<h1>Sweep 20261121T020000Z-delete-expired-22935c8c</h1>"), "{page}");
    assert!(page.contains("<p>Nothing is due.</p>") && !page.contains("id=\"samples\""), "{page}");
}

#[test]
fn every_count_there_can_be_is_drawn() {
    let mut report = report("x");
    report.calls_per_hour = Some(u64::MAX);
    report.ages = [(crate::execution::Status::Queued, [(crate::sweep::Age::Future, u64::MAX)].into())].into();
    report.forecast.iter_mut().for_each(|day| day.due = u64::MAX / 2);
    assert!(page(&report).contains("18,446,744,073,709,551,615"));
}

#[test]
fn hostile_texts_are_told_and_do_nothing() {
    let hostile =
        "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='x\u{202e}\u{9b}2J\u{1b}";
    let told = page(&report(hostile));
    assert_eq!(told.matches("<script").count(), 1, "{told}");
    assert!(!told.contains("<img") && !told.contains("<script>alert"), "{told}");
    assert!(
        told.contains("&lt;/script&gt;&lt;script&gt;alert(1)") && told.contains("\\u{202e}\\u{9b}2J\\u{1b}")
    );
    let long = "x".repeat(100_000);
    assert!(page(&report(&long)).contains(&long));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in a report, the page's markup is the same.
    #[test]
    fn no_text_from_outside_becomes_markup(text in "[a-z<>\"'&;/=\\PC\\pC]{0,40}") {
        let (plain, told) = (page(&report("x")), page(&report(&text)));
        let names = |page: &str| -> Vec<String> {
            let name = |tag: &str| tag.split(' ').next().unwrap().to_owned();
            tags(page).into_iter().map(name).collect()
        };
        prop_assert_eq!(names(&told), names(&plain));
        let (_, body) = told.split_once("</style>").unwrap();
        prop_assert!(!body.chars().any(|letter| hides(letter) && letter != '\n'));
    }
}
