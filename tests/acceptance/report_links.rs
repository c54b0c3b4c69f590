//! `GET /sweeps/{sweepId}/report`: JSON for clients, and for a browser a link to the page that works for a while.

use read_sweeps::ReadSweeps;
use serde_json::{Value, json};
use shared::access::AccessPolicy;
use shared::api::CallerIdentity;
use shared::document::Current;
use shared::operation::Operation;
use shared::sweep::SweepId;
use tests::Fault;

use crate::api::{Answer, NOBODY, OPERATOR, api_event};
use crate::log::Log;
use crate::stage::{Stage, now};
use crate::sweep_stage::{Sweeps, staged};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// What comes of asking for a report, with the headers `location` and `cache-control`.
async fn asked(stage: &Stage, id: &SweepId, caller: &str, accept: Option<&str>) -> (Answer, Vec<String>) {
    let function = ReadSweeps {
        bucket: stage.bucket.clone(),
        links: stage.bucket.clone(),
        access: Current::fixed(AccessPolicy::shipped().unwrap()),
        caller_identity: CallerIdentity::Iam,
    };
    let path = json!({"sweepId": id.as_str()});
    let mut event = api_event("GET", "/sweeps/{sweepId}/report", caller, path, &[], "");
    if let Some(accept) = accept {
        event["headers"]["aCCept"] = json!(accept);
    }
    let response = function.handle(event, now()).await;
    let header = |name| response.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let headers = ["location", "cache-control"].into_iter().filter_map(header).collect();
    (response.into(), headers)
}

#[tokio::test(start_paused = true)]
async fn a_browser_is_sent_to_the_page_for_five_minutes_and_nobody_keeps_the_link() {
    let (log, _guard) = Log::begin();
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "linked").await;
    sweeps.deliver_all().await;

    let (answer, headers) = asked(&stage, &id, OPERATOR, Some(BROWSER)).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let link = format!("https://bucket.test/sweeps/{id}/report.html?signed-for=300");
    assert_eq!(headers, [link.as_str(), "no-store"]);
    assert!(!answer.body.to_string().contains("signed-for") && !log.text().contains("signed-for"));

    for accept in [None, Some("*/*"), Some("application/json"), Some("application/json, text/html")] {
        let (answer, headers) = asked(&stage, &id, OPERATOR, accept).await;
        answer.is_ok();
        assert_eq!((answer.body, headers), (sweeps.report(&id).await, vec![]), "{accept:?}");
    }
    assert_eq!(stage.script.count("sign"), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_read_sweeps_gets_no_link() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "refused").await;
    sweeps.deliver_all().await;
    let (answer, headers) = asked(&stage, &id, NOBODY, Some(BROWSER)).await;
    answer.is(403, "AccessDeniedException");
    assert_eq!((headers, stage.script.count("sign")), (Vec::<String>::new(), 0));
}

#[tokio::test(start_paused = true)]
async fn no_link_is_given_to_a_page_that_is_not_there_or_cannot_be_signed_for() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "early").await;
    let (answer, headers) = asked(&stage, &id, OPERATOR, Some(BROWSER)).await;
    answer.is(404, "ResourceNotFoundException");
    assert!(answer.message().contains("has no page of a report"), "{answer:?}");
    assert_eq!((headers, stage.script.count("sign")), (Vec::<String>::new(), 0));

    sweeps.deliver_all().await;
    stage.script.fault("sign", 1, Fault::LostBefore);
    let (answer, headers) = asked(&stage, &id, OPERATOR, Some(BROWSER)).await;
    answer.is(503, "ServiceUnavailableException");
    assert_eq!(headers, Vec::<String>::new());
    let (answer, _) = asked(&stage, &id, OPERATOR, None).await;
    assert_eq!(answer.body["sweepId"], Value::from(id.as_str()));
}
