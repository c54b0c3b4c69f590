//! What is made of AWS's answers as they are on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::sdk_config::SharedHttpClient;
use jiff::Timestamp;
use object_store::memory::InMemory;
use serde_json::json;
use shared::archive::{self, JobRecord, Record};
use shared::ids::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::http::Http;

const JOB: &str = "fw";
const THING: &str = "pump:1";

/// A server on the loopback that gives its answers in turn, and the last one from then on.
async fn server(answers: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut nth = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = Vec::new();
            while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                stream.read_buf(&mut read).await.unwrap();
            }
            let answer = &answers[nth.min(answers.len() - 1)];
            nth += 1;
            assert!(nth < 50, "a listing is followed for ever");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// An answer of AWS.
fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn ok(body: &str) -> String {
    answer(200, "", body)
}

async fn iot<R>(answers: Vec<String>) -> Iot<R> {
    let address = server(answers).await;
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("AKIA", "s", None, None, "t")))
        .region(Region::new("eu-west-1"))
        .endpoint_url(format!("http://{address}"))
        .http_client(SharedHttpClient::new(Http::new(Duration::from_secs(1))))
        .retry_config(RetryConfig::disabled())
        .build();
    Iot::new(&config)
}

fn job_id() -> JobId {
    JobId::parse(JOB).unwrap()
}

fn thing_name() -> ThingName {
    ThingName::parse(THING).unwrap()
}

/// A read, by what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Execution,
    Job,
    ToldJob,
    Document,
    Tags,
    ListedExecution,
    ExecutionsOfThing,
    OnThing,
    Groups,
    Attributes,
    Jobs,
    Executions,
}

impl Read {
    const ALL: [Self; 12] = [
        Self::Execution,
        Self::Job,
        Self::ToldJob,
        Self::Document,
        Self::Tags,
        Self::ListedExecution,
        Self::ExecutionsOfThing,
        Self::OnThing,
        Self::Groups,
        Self::Attributes,
        Self::Jobs,
        Self::Executions,
    ];

    /// Carries it out, and tells what was read. Rows that cannot be read are errors, too.
    async fn of(self, answers: Vec<String>) -> Result<String, ReadError> {
        fn rows<T: fmt::Debug>(operation: &'static str, page: Page<Result<T, UnreadableRow>>) -> Told {
            let rows = page.items.into_iter().collect::<Result<Vec<_>, _>>();
            Ok(format!("{:?}", rows.map_err(|error| unreadable(operation, error))?))
        }
        type Told = Result<String, ReadError>;
        let iot: IotReader = iot(answers).await;
        let (job, thing, number) = (job_id(), thing_name(), ExecutionNumber::new(1));
        let told = |told: &dyn fmt::Debug| format!("{told:?}");
        Ok(match self {
            Self::Execution => told(&iot.describe_execution(&job, &thing, Some(number)).await?),
            Self::Job => told(&iot.describe_job(&job).await?),
            Self::ToldJob => told(&iot.told_job(&job).await?),
            Self::Document => told(&iot.job_document(&job).await?),
            Self::Tags => {
                let arn = "arn:aws:iot:eu-west-1:1:job/fw".to_owned();
                let (namespace_id, status) = (None, None);
                let retry_limits = shared::execution::RetryLimits::default();
                let (retries, continuous) = (false, false);
                let job = Job { job_id: job, arn, namespace_id, retries, retry_limits, status, continuous };
                told(&iot.job_tags(&job).await?)
            }
            Self::ListedExecution => told(&iot.listed_execution(&job, &thing, number).await?),
            Self::ExecutionsOfThing => {
                return rows("list", iot.list_executions_of_thing(&job, &thing, None).await?);
            }
            Self::OnThing => {
                return rows("list", iot.list_on_thing(&thing, Status::Succeeded, None).await?);
            }
            Self::Groups => told(&iot.thing_groups(&thing).await?),
            Self::Attributes => told(&iot.thing_attributes(&thing).await?),
            Self::Jobs => return rows("list", iot.list_jobs(None).await?),
            Self::Executions => return rows("list", iot.list_executions(&job, None, None).await?),
        })
    }

    /// The member without which it cannot be read.
    fn member(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Job => "job",
            // Its first member that is looked at.
            Self::ToldJob => "createdAt",
            Self::Document => "document",
            Self::Tags => "tags",
            Self::ListedExecution | Self::ExecutionsOfThing | Self::OnThing | Self::Executions => {
                "executionSummaries"
            }
            Self::Groups => "thingGroups",
            Self::Attributes => "thingName",
            Self::Jobs => "jobs",
        }
    }
}

#[track_caller]
fn assert_unreadable(read: Result<String, ReadError>, member: &str, of: impl fmt::Debug) {
    let told = format!("missing or malformed `{member}`");
    match read {
        Err(ReadError::Unreadable { problem, .. }) => assert_eq!(problem, told, "{of:?}"),
        other => panic!("{of:?}: {other:?} instead of {told}"),
    }
}

#[tokio::test]
async fn an_answer_without_what_was_asked_for_is_never_taken_for_none() {
    for read in Read::ALL {
        let null = format!(r#"{{"{}":null}}"#, read.member());
        for body in ["{}", "", &null, r#"{"__type":"UnknownOperationException","message":"no"}"#] {
            assert_unreadable(read.of(vec![ok(body)]).await, read.member(), (read, body));
        }
    }
}

const ROW: &str = r#"{"status":"SUCCEEDED","queuedAt":10,"lastUpdatedAt":20,"executionNumber":1}"#;

/// What AWS answers where there is nothing, and the least that it answers otherwise.
fn least(read: Read) -> String {
    match read {
        Read::Execution => concat!(
            r#"{"execution":{"jobId":"fw","status":"SUCCEEDED","thingArn":"arn:aws:iot:eu-west-1:1:thing/pump:1","#,
            r#""queuedAt":10,"lastUpdatedAt":20,"executionNumber":1,"versionNumber":2}}"#
        )
        .to_owned(),
        Read::Job | Read::ToldJob => concat!(
            r#"{"job":{"jobId":"fw","jobArn":"arn:aws:iot:eu-west-1:1:job/fw","targetSelection":"SNAPSHOT","#,
            r#""status":"COMPLETED","createdAt":5,"jobProcessDetails":{}}}"#
        )
        .to_owned(),
        Read::Document => r#"{"document":""}"#.to_owned(),
        Read::Tags => r#"{"tags":[]}"#.to_owned(),
        Read::ListedExecution | Read::ExecutionsOfThing | Read::OnThing => {
            format!(r#"{{"executionSummaries":[{{"jobId":"fw","jobExecutionSummary":{ROW}}}]}}"#)
        }
        Read::Groups => r#"{"thingGroups":[]}"#.to_owned(),
        Read::Attributes => r#"{"thingName":"pump:1","attributes":{}}"#.to_owned(),
        Read::Jobs => r#"{"jobs":[{"jobId":"fw","createdAt":5}]}"#.to_owned(),
        Read::Executions => {
            let thing = "arn:aws:iot:eu-west-1:1:thing/pump:1";
            format!(
                r#"{{"executionSummaries":[{{"thingArn":"{thing}","jobExecutionSummary":{ROW}}}],"nextToken":""}}"#
            )
        }
    }
}

#[tokio::test]
async fn what_aws_may_leave_out_is_read_without_it() {
    for read in Read::ALL {
        let told = read.of(vec![ok(&least(read))]).await;
        assert!(told.is_ok(), "{read:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_member_that_is_missing_or_of_something_else_is_told() {
    use Read::*;
    let cases = [
        (Execution, r#""jobId":"fw","#, "", "jobId"),
        (Execution, r#""jobId":"fw""#, r#""jobId":"fw-2""#, "jobId"),
        (Execution, "thing/pump:1", "thing/pump:2", "thingArn"),
        (Execution, r#""executionNumber":1"#, r#""executionNumber":2"#, "executionNumber"),
        (Execution, r#","versionNumber":2"#, "", "versionNumber"),
        (Execution, r#""status":"SUCCEEDED","#, "", "status"),
        (Execution, r#""lastUpdatedAt":20,"#, "", "lastUpdatedAt"),
        (Job, r#""jobId":"fw""#, r#""jobId":"fw-2""#, "jobId"),
        (Job, r#""jobId":"fw","#, "", "jobId"),
        (Job, "job/fw", "job/fw-2", "jobArn"),
        (Job, r#""targetSelection":"SNAPSHOT","#, "", "targetSelection"),
        (Job, "SNAPSHOT", "ROLLING", "targetSelection"),
        (Job, r#""status":"COMPLETED","#, "", "status"),
        (Job, "COMPLETED", "DONE", "status"),
        (Job, r#""createdAt":5"#, r#""namespaceId":"","createdAt":5"#, "namespaceId"),
        (Job, r#""createdAt":5"#, r#""jobExecutionsRetryConfig":{},"createdAt":5"#, "criteriaList"),
        (
            Job,
            r#""createdAt":5"#,
            r#""jobExecutionsRetryConfig":{"criteriaList":[{"numberOfRetries":2}]},"createdAt":5"#,
            "failureType",
        ),
        (ToldJob, r#""jobId":"fw""#, r#""jobId":"fw-2""#, "jobId"),
        (ToldJob, r#""createdAt":5,"#, "", "createdAt"),
        (ToldJob, r#","jobProcessDetails":{}"#, "", "jobProcessDetails"),
        (Tags, "[]", r#"[{"Key":"hold"}]"#, "Value"),
        (Tags, "[]", r#"[{"Value":"hold"}]"#, "Key"),
        (Tags, "[]", r#"[{"Key":"hold","Value":"yes"},{"Key":"hold","Value":"no"}]"#, "Key"),
        (ListedExecution, r#""status":"SUCCEEDED","#, "", "status"),
        (ListedExecution, r#""jobId":"fw""#, r#""jobId":"fw-2""#, "jobId"),
        (ExecutionsOfThing, r#""jobId":"fw""#, r#""jobId":"fw-2""#, "jobId"),
        (ExecutionsOfThing, r#""queuedAt":10,"#, "", "queuedAt"),
        (OnThing, r#""jobId":"fw","#, "", "jobId"),
        (OnThing, r#""executionNumber":1"#, r#""retryAttempt":1"#, "executionNumber"),
        (Groups, "[]", r#"[{"groupArn":"arn"}]"#, "groupName"),
        (Groups, "[]", r#"[{"groupName":"","groupArn":"arn"}]"#, "groupName"),
        (Attributes, r#""thingName":"pump:1","#, "", "thingName"),
        (Attributes, "pump:1", "pump:2", "thingName"),
        (Attributes, r#","attributes":{}"#, "", "attributes"),
        (Jobs, r#""jobId":"fw","#, "", "jobId"),
        (Jobs, r#","createdAt":5"#, "", "createdAt"),
        (Executions, "thing/pump:1", "", "thingArn"),
        (Executions, r#""lastUpdatedAt":20,"#, "", "lastUpdatedAt"),
    ];
    for (read, from, to, member) in cases {
        let body = least(read);
        let changed = body.replacen(from, to, 1);
        assert_ne!(body, changed, "{from}");
        assert_unreadable(read.of(vec![ok(&changed)]).await, member, (read, changed));
    }
}

#[tokio::test]
async fn a_jobs_active_executions_are_counted() {
    let counts = r#"{"numberOfQueuedThings":2,"numberOfInProgressThings":3,"numberOfSucceededThings":9}"#;
    for (counts, active) in [("{}", 0), (counts, 5)] {
        let iot: IotReader = iot(vec![ok(&least(Read::ToldJob).replace("{}", counts))]).await;
        assert_eq!(iot.told_job(&job_id()).await.unwrap().active, active);
    }
}

#[tokio::test]
async fn facts_of_several_pages_are_whole_or_cannot_be_read() {
    for (read, member, item, other) in [
        (Read::Tags, "tags", r#"{"Key":"a","Value":"1"}"#, r#"{"Key":"b","Value":"2"}"#),
        (Read::Groups, "thingGroups", r#"{"groupName":"a"}"#, r#"{"groupName":"b"}"#),
    ] {
        let page = |item: &str, token: &str| ok(&format!(r#"{{"{member}":[{item}],"nextToken":"{token}"}}"#));
        let told = read.of(vec![page(item, "1"), page("", "2"), page(other, "")]).await.unwrap();
        assert!(told.contains("\"a\"") && told.contains("\"b\""), "{told}");
        // The second page was an error that came as a success.
        let cut = read.of(vec![page(item, "1"), ok("{}")]).await;
        assert_unreadable(cut, member, read);
        for answers in [
            vec![page(item, "1"), page("", "1")],
            vec![page(item, "1"), page("", "2"), page("", "1"), page("", "2")],
        ] {
            assert_unreadable(read.of(answers).await, "nextToken", read);
        }
    }
    // The one that is looked for is never listed.
    let none = least(Read::ListedExecution).replace(r#""executionNumber":1"#, r#""executionNumber":2"#);
    let none = none.replace("]}", r#"],"nextToken":"again"}"#);
    assert_unreadable(Read::ListedExecution.of(vec![ok(&none)]).await, "nextToken", "listed");
}

/// A call that changes something.
#[derive(Debug, Clone, Copy)]
enum Mutate {
    Cancel,
    Delete,
    DeleteJob,
}

impl Mutate {
    const ALL: [Self; 3] = [Self::Cancel, Self::Delete, Self::DeleteJob];

    /// Sends it, and tells what came of it.
    async fn of(self, answer: String) -> Result<(), MutationError> {
        let bucket = InMemory::new();
        let now = Timestamp::UNIX_EPOCH;
        let job = json!({
            "jobId": JOB, "arn": "arn:aws:iot:eu-west-1:1:job/fw", "retries": false, "continuous": false, "tags": {},
        });
        match self {
            Self::Cancel => {
                let (force, expected_version) = (Force::Never, Version::new(1));
                let (job_id, thing_name, status_details) = (job_id(), thing_name(), None);
                let cancel = Cancel { job_id, thing_name, expected_version, force, status_details };
                iot::<ToCancel>(vec![answer]).await.cancel(&cancel).await
            }
            Self::Delete => {
                let execution = json!({
                    "thingName": THING, "executionNumber": 1, "status": "SUCCEEDED", "queuedAt": now,
                    "lastUpdatedAt": now,
                });
                let record: Record = serde_json::from_value(json!({
                    "format": 1, "action": "", "principal": "", "origin": "", "decidedAt": now, "policies": [],
                    "policyDigest": "", "job": job, "archive": "summary", "execution": execution,
                }))
                .unwrap();
                let receipt = archive::write(&bucket, "o", "n", now, vec![record]).await.unwrap();
                let (_, delete) = receipt.deletions().next().unwrap();
                iot::<ToDelete>(vec![answer]).await.delete(&delete).await
            }
            Self::DeleteJob => {
                let record: JobRecord = serde_json::from_value(json!({
                    "format": 1, "action": "", "principal": "", "origin": "", "decidedAt": now, "rule": "",
                    "policySource": "", "policyDigest": "", "job": job, "executions": 1, "description": {},
                    "document": "",
                }))
                .unwrap();
                let receipt = archive::write_job(&bucket, "n", &record).await.unwrap();
                iot::<ToDelete>(vec![answer]).await.delete_job(&receipt.deletion()).await
            }
        }
    }
}

#[tokio::test]
async fn only_awss_own_success_says_that_something_was_cancelled_or_deleted() {
    for mutate in Mutate::ALL {
        for body in ["", "{}", " \r\n{ }\n"] {
            let told = mutate.of(ok(body)).await;
            assert!(told.is_ok(), "{mutate:?} {body}: {told:?}");
        }
        let named = "x-amzn-errortype: ThrottlingException\r\n";
        for (status, headers, body) in [
            (200, "", r#"{"__type":"UnknownOperationException"}"#),
            (200, "", r#"{"message":"Rate exceeded"}"#),
            (200, "", "<html>come back later</html>"),
            (200, "", "null"),
            (200, "", "[]"),
            (200, "", "{} {}"),
            (200, named, "{}"),
            (200, named, ""),
            (202, "", "{}"),
            (203, "", ""),
        ] {
            let told = mutate.of(answer(status, headers, body)).await;
            assert!(
                matches!(told, Err(MutationError::Unknown(_))),
                "{mutate:?} {status} {headers}{body}: {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_line_of_a_call_says_what_a_proxy_answered_with_success() {
    let told = Mutate::Delete.of(ok(r#"{"__type":"com.amazon#ThrottlingException"}"#)).await;
    let told = shared::ports::chain(&told.unwrap_err());
    assert!(told.contains("ThrottlingException"), "{told}");
    let told = shared::ports::chain(&Mutate::Delete.of(ok("<html>\u{1b}[2J")).await.unwrap_err());
    assert!(told.contains(r"`<html>\u{1b}[2J`"), "{told}");
}

#[tokio::test]
async fn troubles_of_our_own_credentials_and_clock_are_never_the_callers() {
    for code in [
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "TokenRefreshRequired",
    ] {
        for status in [400, 401, 403] {
            let answer = || answer(status, &format!("x-amzn-errortype: {code}\r\n"), r#"{"message":"m"}"#);
            for read in Read::ALL {
                let told = read.of(vec![answer()]).await;
                let told = format!("{:?}", told.unwrap_err());
                assert!(told.starts_with("Unavailable"), "{read:?} {status} {code}: {told}");
            }
            for mutate in Mutate::ALL {
                let told = format!("{:?}", mutate.of(answer()).await.unwrap_err());
                assert!(told.starts_with("Unauthenticated"), "{mutate:?} {status} {code}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_that_does_not_say_whose_it_is_is_not_taken_for_awss() {
    for status in [400, 401, 403] {
        let told = Read::Jobs.of(vec![answer(status, "", "<html>no</html>")]).await;
        assert!(matches!(told, Err(ReadError::Unavailable { .. })), "{status}: {told:?}");
        let told = Mutate::Delete.of(answer(status, "", "<html>no</html>")).await;
        assert!(matches!(told, Err(MutationError::Unknown(_))), "{status}: {told:?}");
    }
}
