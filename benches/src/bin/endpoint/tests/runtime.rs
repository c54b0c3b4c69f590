use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Served;

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next";

/// A process that answers one event with what it was given.
async fn answer_once(endpoint: &Served, end: &str) {
    let event = endpoint.send("runtime", NEXT, &[], "").await;
    let id = &event.headers["lambda-runtime-aws-request-id"];
    assert!(event.headers["lambda-runtime-deadline-ms"].parse::<u64>().is_ok());
    let path = format!("POST /2018-06-01/runtime/invocation/{id}/{end}");
    assert_eq!(endpoint.send("runtime", &path, &[], &event.text()).await.status, 202);
}

#[tokio::test]
async fn an_event_is_handed_over_and_its_answer_comes_back_with_its_time() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    for (end, member) in [("response", "answer"), ("error", "error")] {
        let invoked = endpoint.send("runtime", "POST /_invoke", &[], "{\"a\": 1}");
        let (invoked, ()) = tokio::join!(invoked, answer_once(&endpoint, end));
        assert_eq!(invoked.json()[member], json!({ "a": 1 }));
        assert!(invoked.json()["micros"].as_f64().is_some_and(|micros| micros > 0.0));
    }
}

#[tokio::test]
async fn the_first_poll_is_told_until_it_is_forgotten() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    let polled = endpoint.send("runtime", "GET /_polled", &[], "");
    let invoked = endpoint.send("runtime", "POST /_invoke", &[], "1");
    let (polled, _, ()) = tokio::join!(polled, invoked, answer_once(&endpoint, "response"));
    let at = polled.json()["at"].as_f64().expect("a time");
    assert_eq!(endpoint.send("runtime", "GET /_polled", &[], "").await.json()["at"], json!(at));
    endpoint.send("runtime", "POST /_forget", &[], "").await;
    let nothing = endpoint.send("runtime", "GET /_polled", &[], "");
    assert!(timeout(Duration::from_millis(200), nothing).await.is_err());
    endpoint.send("runtime", "POST /2018-06-01/runtime/init/error", &[], "{\"errorType\": \"E\"}").await;
    let polled = endpoint.send("runtime", "GET /_polled", &[], "").await;
    assert_eq!(polled.json(), json!({ "initError": { "errorType": "E" } }));
}

#[tokio::test]
async fn a_process_that_dies_while_it_waits_takes_no_event_with_it() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    let mut dies = TcpStream::connect(endpoint.port("runtime")).await.unwrap();
    dies.write_all(format!("{NEXT} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
    endpoint.send("runtime", "GET /_polled", &[], "").await;
    drop(dies);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let invoked = endpoint.send("runtime", "POST /_invoke", &[], "1");
    let both = async { tokio::join!(invoked, answer_once(&endpoint, "response")) };
    let (invoked, ()) = timeout(Duration::from_secs(10), both).await.expect("it was not lost");
    assert_eq!(invoked.json()["answer"], json!(1));
}

#[tokio::test]
async fn who_waits_for_a_process_that_is_forgotten_is_told() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    let invoked = endpoint.send("runtime", "POST /_invoke", &[], "1");
    let forgets = async {
        endpoint.send("runtime", NEXT, &[], "").await;
        endpoint.send("runtime", "POST /_forget", &[], "").await
    };
    let both = async { tokio::join!(invoked, forgets) };
    let (invoked, _) = timeout(Duration::from_secs(10), both).await.expect("it is told");
    assert_eq!(invoked.status, 400);
}
