//! SQS as far as the functions use it: messages are sent, come once, and come again when they are given back.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::account::now;
use crate::serve::{self, Answer};

/// The queues of an account as one, in the order of sending.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Messages>);

#[derive(Debug, Default)]
struct Messages {
    waiting: Vec<Message>,
    /// Taken, and perhaps given back.
    taken: Vec<Message>,
    seen: BTreeSet<(String, String)>,
    sent: u64,
}

#[derive(Debug, Clone)]
struct Message {
    id: String,
    queue: String,
    group: String,
    deduplication: String,
    body: String,
    sent_millis: i64,
    received: u32,
    visible: Instant,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: String,
    message_body: String,
    #[serde(default)]
    message_group_id: String,
    #[serde(default)]
    message_deduplication_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeMessageVisibility {
    receipt_handle: String,
    visibility_timeout: u64,
}

impl Queue {
    /// Answers a call of SQS.
    pub fn answer(&self, request: &Request<Bytes>) -> Answer {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let answered = match target {
            Some("AmazonSQS.SendMessage") => {
                serde_json::from_slice(request.body()).map(|sent| self.send(sent))
            }
            Some("AmazonSQS.ChangeMessageVisibility") => {
                serde_json::from_slice(request.body()).map(|change| self.give_back(&change))
            }
            _ => return refused("com.amazonaws.sqs#UnsupportedOperation", "it is not served here"),
        };
        answered
            .unwrap_or_else(|error| refused("com.amazonaws.sqs#InvalidParameterValue", &error.to_string()))
    }

    fn send(&self, sent: SendMessage) -> Answer {
        let mut messages = self.messages();
        let known = (sent.queue_url.clone(), sent.message_deduplication_id.clone());
        messages.sent += 1;
        let id = format!("00000000-0000-4000-9000-{:012x}", messages.sent);
        // A queue without deduplication takes everything.
        if messages.seen.insert(known) || sent.message_deduplication_id.is_empty() {
            messages.waiting.push(Message {
                id: id.clone(),
                queue: sent.queue_url,
                group: sent.message_group_id,
                deduplication: sent.message_deduplication_id,
                body: sent.message_body,
                sent_millis: now().as_millisecond(),
                received: 0,
                visible: Instant::now(),
            });
        }
        serve::json(StatusCode::OK, &json!({ "MessageId": id }))
    }

    fn give_back(&self, change: &ChangeMessageVisibility) -> Answer {
        let mut messages = self.messages();
        let found = messages.taken.iter().position(|message| message.id == change.receipt_handle);
        let Some(found) = found else {
            return refused("com.amazonaws.sqs#ReceiptHandleIsInvalid", "no such message is under way");
        };
        let message = messages.taken.remove(found);
        let visible = Instant::now() + Duration::from_secs(change.visibility_timeout);
        // It keeps its turn.
        messages.waiting.insert(0, Message { visible, ..message });
        serve::json(StatusCode::OK, &json!({}))
    }

    /// The messages that are due, each as an event of a function, which has them from now on.
    pub fn take(&self) -> Value {
        let mut messages = self.messages();
        let now = Instant::now();
        let due: Vec<_> = messages.waiting.extract_if(.., |message| message.visible <= now).collect();
        let due: Vec<_> =
            due.into_iter().map(|message| Message { received: message.received + 1, ..message }).collect();
        messages.taken.extend(due.iter().cloned());
        due.iter().map(Message::event).collect()
    }

    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Message {
    fn event(&self) -> Value {
        let name = self.queue.rsplit('/').next().unwrap_or_default();
        json!({ "Records": [{
            "messageId": self.id,
            "receiptHandle": self.id,
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": self.received.to_string(),
                "SentTimestamp": self.sent_millis.to_string(),
                "MessageGroupId": self.group,
                "MessageDeduplicationId": self.deduplication,
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:eu-west-1:123456789012:{name}"),
            "awsRegion": "eu-west-1",
        }] })
    }
}

fn refused(name: &str, problem: &str) -> Answer {
    serve::json(StatusCode::BAD_REQUEST, &json!({ "__type": name, "message": problem }))
}
