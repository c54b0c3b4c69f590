//! Lambda's Runtime API for one function's process at a time, and what measures it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use crate::account::{Accounts, now};
use crate::request;
use crate::serve::{self, Answer};

/// How many seconds a function is given, where `/_invoke?seconds=` does not say.
const SECONDS: i64 = 900;

/// The Runtime API.
#[derive(Debug)]
pub struct Runtime {
    accounts: Arc<Accounts>,
    send: mpsc::UnboundedSender<Event>,
    waiting: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    /// By the request's id.
    under_way: Mutex<BTreeMap<String, UnderWay>>,
    /// What was the first to come of the process since it was forgotten.
    first: watch::Sender<Option<Value>>,
    number: Mutex<u64>,
}

#[derive(Debug)]
struct Event {
    body: Bytes,
    deadline_millis: i64,
    answer: oneshot::Sender<Value>,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    answer: oneshot::Sender<Value>,
}

impl Runtime {
    /// Without any process.
    pub fn new(accounts: Arc<Accounts>) -> Self {
        let (send, waiting) = mpsc::unbounded_channel();
        Self {
            accounts,
            send,
            waiting: AsyncMutex::new(waiting),
            under_way: Mutex::default(),
            first: watch::Sender::new(None),
            number: Mutex::default(),
        }
    }

    /// Answers the function's process, or the one that measures it.
    pub async fn answer(&self, request: Request<Bytes>) -> Answer {
        let path = request::path(request.uri());
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        match (request.method(), &path[..]) {
            (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => self.next().await,
            (&Method::POST, ["2018-06-01", "runtime", "invocation", id, end @ ("response" | "error")]) => {
                self.ended(id, end, request.body())
            }
            (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
                self.comes(json!({ "initError": parsed(request.body()) }));
                accepted()
            }
            (&Method::POST, ["_invoke"]) => {
                let seconds = request::query(request.uri()).get("seconds").map(|seconds| seconds.parse());
                match seconds.unwrap_or(Ok(SECONDS)) {
                    Ok(seconds) => self.invoke(request.into_body(), seconds).await,
                    Err(_) => refused("seconds must be a whole number"),
                }
            }
            (&Method::GET, ["_polled"]) => self.polled().await,
            (&Method::POST, ["_forget"]) => {
                self.first.send_replace(None);
                // Whoever waits for an answer of the process that is gone learns of it.
                self.under_way().clear();
                serve::json(StatusCode::OK, &json!({}))
            }
            _ => refused("there is no such path in the Runtime API"),
        }
    }

    /// The process asks for an event, and waits until there is one. A process that dies meanwhile takes none with
    /// it: its connection's end ends this too.
    async fn next(&self) -> Answer {
        self.comes(json!({ "at": now().as_microsecond() as f64 / 1e6 }));
        let mut waiting = self.waiting.lock().await;
        loop {
            let Some(event) = waiting.recv().await else { return refused("the endpoint is about to end") };
            if event.answer.is_closed() {
                continue;
            }
            let id = self.id();
            let mut answer = serve::answer(StatusCode::OK, event.body);
            for (name, value) in [
                ("content-type", "application/json"),
                ("lambda-runtime-aws-request-id", &id),
                ("lambda-runtime-deadline-ms", &event.deadline_millis.to_string()),
                (
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:eu-west-1:123456789012:function:measured",
                ),
                ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0"),
            ] {
                let value = HeaderValue::from_str(value).expect("a header of plain ASCII");
                answer.headers_mut().insert(name, value);
            }
            let under_way = UnderWay { since: Instant::now(), answer: event.answer };
            self.under_way().insert(id, under_way);
            return answer;
        }
    }

    fn ended(&self, id: &str, end: &str, body: &[u8]) -> Answer {
        let at = Instant::now();
        let Some(UnderWay { since, answer }) = self.under_way().remove(id) else {
            return refused("there is no such invocation");
        };
        let micros = at.duration_since(since).as_nanos() as f64 / 1e3;
        let member = if end == "error" { "error" } else { "answer" };
        // Whoever asked may have gone.
        let _ = answer.send(json!({ member: parsed(body), "micros": micros }));
        accepted()
    }

    /// Hands an event to the process, and waits for its answer.
    async fn invoke(&self, body: Bytes, seconds: i64) -> Answer {
        self.accounts.current().put_back(None);
        let (answer, answered) = oneshot::channel();
        let deadline_millis = now().as_millisecond().saturating_add(seconds.saturating_mul(1_000));
        if self.send.send(Event { body, deadline_millis, answer }).is_err() {
            return refused("the endpoint is about to end");
        }
        match answered.await {
            Ok(answer) => serve::json(StatusCode::OK, &answer),
            Err(_) => refused("the function's process was forgotten before it answered"),
        }
    }

    /// Waits for a process's first poll, or for its error at the start.
    async fn polled(&self) -> Answer {
        let mut first = self.first.subscribe();
        match first.wait_for(Option::is_some).await {
            Ok(first) => serve::json(StatusCode::OK, first.as_ref().unwrap_or(&Value::Null)),
            Err(_) => refused("the endpoint is about to end"),
        }
    }

    fn comes(&self, what: Value) {
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(what);
            }
            is_first
        });
    }

    fn id(&self) -> String {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        format!("00000000-0000-4000-8000-{:012x}", *number)
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<String, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// JSON if it is, or else the text.
fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body)))
}

fn accepted() -> Answer {
    serve::json(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn refused(problem: &str) -> Answer {
    serve::json(StatusCode::BAD_REQUEST, &json!({ "message": problem }))
}
