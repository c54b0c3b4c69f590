use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Served;

const DUE: &str = "DELETE /things/thing-000000000/jobs/job-000000/executionNumber/1";
const NOT_DUE: &str = "/things/thing-000000001/jobs/job-000000";

/// Every row of a job, page by page.
async fn rows(endpoint: &Served, job: &str, size: &str) -> (usize, Vec<Value>) {
    let (mut pages, mut rows, mut token) = (0, Vec::new(), String::new());
    loop {
        let page = endpoint.iot(&format!("GET /jobs/{job}/things?{size}{token}"), "").await.json();
        pages += 1;
        rows.extend(page["executionSummaries"].as_array().expect("rows").clone());
        match page["nextToken"].as_str() {
            Some(next) => token = format!("&nextToken={next}"),
            None => return (pages, rows),
        }
    }
}

#[tokio::test]
async fn a_throttled_call_is_told_in_awss_form_and_does_nothing() {
    let endpoint = Served::with(&["--jobs", "1", "--limit", "DeleteJobExecution=0.001:1"]).await;
    assert_eq!(endpoint.iot(DUE, "").await.status, 200);
    let second = "DELETE /things/thing-000000010/jobs/job-000000/executionNumber/1";
    let refused = endpoint.iot(second, "").await;
    assert_eq!(refused.error(), (400, "ThrottlingException", json!("Rate exceeded")));
    let there = endpoint.iot("GET /things/thing-000000010/jobs/job-000000", "").await;
    assert_eq!(there.status, 200);
    let calls = endpoint.iot("GET /_calls", "").await.json();
    let deletes = &calls["DeleteJobExecution"];
    assert_eq!((&deletes["answered"], &deletes["throttled"]), (&json!(1), &json!(1)));
    assert_eq!(calls["DescribeJobExecution"]["throttled"], json!(0));
}

#[tokio::test]
async fn calls_are_counted_by_operation_error_and_second() {
    let endpoint = Served::with(&["--jobs", "1"]).await;
    for _ in 0..3 {
        endpoint.iot(DUE, "").await;
    }
    let calls = endpoint.iot("GET /_calls", "").await.json();
    let deletes = &calls["DeleteJobExecution"];
    assert_eq!(
        (&deletes["answered"], &deletes["errors"]),
        (&json!(3), &json!({"ResourceNotFoundException": 2}))
    );
    let seconds = deletes["seconds"].as_array().expect("pairs");
    assert_eq!(seconds.iter().map(|pair| pair[1].as_u64().expect("a count")).sum::<u64>(), 3);
    endpoint.iot("POST /_reset", "").await;
    assert_eq!(endpoint.iot("GET /_calls", "").await.json(), json!({}));
    assert_eq!(endpoint.iot(DUE, "").await.status, 200, "the fleet is new");
}

#[tokio::test]
async fn a_listing_has_pages_of_250_or_of_as_many_as_are_wanted() {
    let endpoint = Served::with(&["--jobs", "1", "--executions-per-job", "600"]).await;
    for (size, pages) in [("", 3), ("maxResults=250", 3), ("maxResults=100", 6)] {
        let (seen, rows) = rows(&endpoint, "job-000000", size).await;
        let things: BTreeSet<_> = rows.iter().map(|row| row["thingArn"].to_string()).collect();
        assert_eq!((seen, rows.len(), things.len()), (pages, 600, 600), "{size}");
    }
    for wrong in ["maxResults=251", "maxResults=0", "nextToken=x", "statuss=QUEUED", "status=PAUSED"] {
        let refused = endpoint.iot(&format!("GET /jobs/job-000000/things?{wrong}"), "").await;
        assert_eq!((refused.error().0, refused.error().1), (400, "InvalidRequestException"), "{wrong}");
    }
}

#[tokio::test]
async fn one_in_so_many_is_due_and_is_told_until_it_is_deleted() {
    let endpoint = Served::with(&["--jobs", "2", "--executions-per-job", "100", "--due-share", "0.25"]).await;
    let due = endpoint.iot("GET /_due", "").await.json();
    assert_eq!(due.as_array().expect("a list").len(), 50);
    assert_eq!(due[1], json!(["job-000000", "thing-000000004", 1]));
    endpoint.iot(DUE, "").await;
    let due = endpoint.iot("GET /_due?limit=2", "").await.json();
    assert_eq!(due, json!([["job-000000", "thing-000000004", 1], ["job-000000", "thing-000000008", 1]]));
    let (_, rows) = rows(&endpoint, "job-000000", "").await;
    let by_age =
        |at: u64| rows.iter().filter(|row| row["jobExecutionSummary"]["lastUpdatedAt"] == json!(at)).count();
    let ages: BTreeSet<_> =
        rows.iter().filter_map(|row| row["jobExecutionSummary"]["lastUpdatedAt"].as_u64()).collect();
    assert_eq!(ages.into_iter().map(by_age).collect::<Vec<_>>(), [24, 75]);
}

#[tokio::test]
async fn it_answers_over_tls_as_it_does_without() {
    let endpoint = Served::with(&["--jobs", "1"]).await;
    let what = format!("GET {NOT_DUE}");
    let (plain, tls) = (endpoint.iot(&what, "").await, endpoint.iot_over_tls(&what).await);
    assert_eq!((plain.status, plain.json()), (200, tls.json()));
    let execution = &tls.json()["execution"];
    assert_eq!(execution["status"], json!("SUCCEEDED"));
    assert_eq!(execution["thingArn"], json!("arn:aws:iot:eu-west-1:123456789012:thing/thing-000000001"));
}

#[tokio::test]
async fn what_the_state_machine_refuses_has_awss_names() {
    let endpoint = Served::with(&["--jobs", "1"]).await;
    let stale = "/things/stale-000000/jobs/cancel-me";
    for (what, body, expected) in [
        (format!("PUT {NOT_DUE}/cancel"), "", (409, "InvalidStateTransitionException")),
        (format!("PUT {stale}/cancel"), "{\"expectedVersion\": 7}", (409, "VersionConflictException")),
        (format!("PUT {stale}/cancel"), "{\"force\": true}", (400, "InvalidRequestException")),
        (format!("DELETE {stale}/executionNumber/1"), "", (409, "InvalidStateTransitionException")),
        (format!("DELETE {stale}/executionNumber/2"), "", (404, "ResourceNotFoundException")),
        (format!("DELETE {stale}/executionNumber/x"), "", (400, "InvalidRequestException")),
        ("DELETE /jobs/job-000000".to_owned(), "", (409, "InvalidStateTransitionException")),
        ("GET /jobs/job-000009".to_owned(), "", (404, "ResourceNotFoundException")),
        ("POST /jobs/job-000009".to_owned(), "", (404, "UnknownOperationException")),
    ] {
        let refused = endpoint.iot(&what, body).await;
        assert_eq!((refused.error().0, refused.error().1), expected, "{what}");
    }
    assert_eq!(endpoint.iot(&format!("DELETE {stale}/executionNumber/1?force=true"), "").await.status, 200);
}

#[tokio::test]
async fn what_is_cancelled_shows_and_can_be_cancelled_again() {
    let endpoint = Served::with(&["--jobs", "1"]).await;
    let stale = "/things/stale-000007/jobs/cancel-me";
    for _ in 0..3 {
        let cancelled = endpoint.iot(&format!("PUT {stale}/cancel"), "{\"expectedVersion\": 1}").await;
        assert_eq!(cancelled.status, 200);
        let shown = endpoint.iot(&format!("GET {stale}"), "").await.json();
        assert_eq!(shown["execution"]["status"], json!("CANCELED"));
    }
    let job = endpoint.iot("GET /jobs/cancel-me", "").await.json();
    let tags =
        endpoint.iot(&format!("GET /tags?resourceArn={}", job["job"]["jobArn"].as_str().unwrap()), "").await;
    assert_eq!((tags.status, tags.json()), (200, json!({ "tags": [] })));
}

#[tokio::test]
async fn an_answer_takes_its_time() {
    let endpoint = Served::with(&["--jobs", "1"]).await;
    let reset =
        endpoint.iot("POST /_reset", "{\"latencyMs\": \"80..90\", \"limits\": {\"ListJobs\": 5}}").await;
    assert_eq!(reset.status, 200);
    let begun = std::time::Instant::now();
    let jobs = endpoint.iot("GET /jobs", "").await.json();
    assert!(begun.elapsed().as_millis() >= 80);
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2));
    let wrong = endpoint.iot("POST /_reset", "{\"latency\": 80}").await;
    assert_eq!(wrong.status, 400);
}
