use serde_json::{Value, json};

use super::Served;

async fn call(endpoint: &Served, operation: &str, body: Value) -> Value {
    let target = format!("AmazonSQS.{operation}");
    endpoint.send("sqs", "POST /", &[("x-amz-target", &target)], &body.to_string()).await.json()
}

#[tokio::test]
async fn a_message_is_queued_once_taken_once_and_comes_again_when_it_is_given_back() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    let message = json!({
        "QueueUrl": "http://q/123456789012/delete-expired.fifo",
        "MessageBody": "{\"step\": 0}",
        "MessageGroupId": "delete-expired",
        "MessageDeduplicationId": "sweep-0",
    });
    for _ in 0..2 {
        assert!(call(&endpoint, "SendMessage", message.clone()).await["MessageId"].is_string());
    }
    let events = endpoint.iot("GET /_messages", "").await.json();
    assert_eq!(events.as_array().map(Vec::len), Some(1));
    let record = &events[0]["Records"][0];
    assert_eq!(record["body"], message["MessageBody"]);
    assert_eq!(record["attributes"]["MessageGroupId"], json!("delete-expired"));
    assert_eq!(endpoint.iot("GET /_messages", "").await.json(), json!([]));

    let change = json!({ "QueueUrl": "q", "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": 0 });
    call(&endpoint, "ChangeMessageVisibility", change.clone()).await;
    let again = endpoint.iot("GET /_messages", "").await.json();
    assert_eq!(again[0]["Records"][0]["attributes"]["ApproximateReceiveCount"], json!("2"));
    let later = json!({ "VisibilityTimeout": 900, "ReceiptHandle": record["receiptHandle"] });
    call(&endpoint, "ChangeMessageVisibility", later).await;
    assert_eq!(endpoint.iot("GET /_messages", "").await.json(), json!([]));
}
