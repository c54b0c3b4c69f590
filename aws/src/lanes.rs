//! The further lanes: clients of other Regions, and of other accounts in a role that is assumed.

use std::error::Error;
use std::fmt;
use std::sync::OnceLock;

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::Client;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use serde_json::json;
use shared::lane::{Lane, LaneName, Lanes, RoleArn};
use shared::operation::Operation;
use shared::ports::{Cause, FurtherLanes};

use crate::error_code::{is_of_credentials_or_clock, is_of_quota};
use crate::http::cause;

/// What a function does in a role that it assumes, and may do there.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// What its sweeps do.
    pub operation: Operation,
    /// Whether they delete whole jobs.
    pub retire_jobs: bool,
}

/// Of the sweeps' role template, too: `docs/lane-role.yaml` lets a session of this name do no more.
impl Session {
    fn name(self) -> String {
        format!("jobwarden-{}", self.operation)
    }

    /// What the function's own role may do of AWS IoT in the home lane. A role that may do more, as one for both
    /// sweeps has to, gives its session no more than that.
    fn policy(self) -> String {
        let mut actions = vec![
            "iot:ListJobs",
            "iot:ListJobExecutionsForJob",
            "iot:DescribeJobExecution",
            "iot:DescribeJob",
            "iot:ListTagsForResource",
            "iot:ListJobExecutionsForThing",
            "iot:DescribeThing",
            "iot:ListThingGroupsForThing",
        ];
        actions.extend_from_slice(match self.operation {
            Operation::DeleteExpired if self.retire_jobs => {
                &["iot:DeleteJobExecution", "iot:GetJobDocument", "iot:DeleteJob"]
            }
            Operation::DeleteExpired => &["iot:DeleteJobExecution"],
            Operation::CancelStale => &["iot:CancelJobExecution"],
        });
        let statement = json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    }
}

/// Clients of the further lanes, each made when it is first used, and kept.
pub struct LaneClients<I> {
    config: SdkConfig,
    session: Session,
    open: fn(&SdkConfig) -> I,
    lanes: Vec<(Lane, OnceLock<I>)>,
}

impl<I> LaneClients<I> {
    /// Clients made by `open`. `config` is the home lane's.
    pub fn new(open: fn(&SdkConfig) -> I, config: &SdkConfig, lanes: &Lanes, session: Session) -> Self {
        let lanes = lanes.iter().map(|lane| (lane.clone(), OnceLock::new())).collect();
        Self { config: config.clone(), session, open, lanes }
    }

    fn config(&self, lane: &Lane) -> SdkConfig {
        let config = self.config.to_builder().region(Region::new(lane.region.clone()));
        match &lane.role {
            None => config.build(),
            Some(role) => {
                let role = AssumedRole {
                    // In the home Region: its tokens are good everywhere.
                    client: Client::new(&self.config),
                    role: role.clone(),
                    session: self.session,
                };
                config.credentials_provider(SharedCredentialsProvider::new(role)).build()
            }
        }
    }
}

impl<I> fmt::Debug for LaneClients<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lanes.iter().map(|(lane, _)| lane)).finish()
    }
}

impl<I: Send + Sync> FurtherLanes<I> for LaneClients<I> {
    fn iot(&self, name: &LaneName, place: &str) -> Option<&I> {
        let (lane, client) =
            self.lanes.iter().find(|(lane, _)| lane.name == *name && lane.place() == place)?;
        Some(client.get_or_init(|| (self.open)(&self.config(lane))))
    }

    fn is_live(&self, name: &LaneName) -> bool {
        self.lanes.iter().any(|(lane, _)| lane.name == *name && lane.live)
    }
}

/// Credentials of a role that is assumed. The client that has them keeps them, and asks again shortly before
/// they expire.
#[derive(Debug)]
struct AssumedRole {
    client: Client,
    role: RoleArn,
    session: Session,
}

impl AssumedRole {
    async fn credentials(&self) -> provider::Result {
        let assumed = self
            .client
            .assume_role()
            .role_arn(self.role.as_str())
            .role_session_name(self.session.name())
            .policy(self.session.policy())
            .send()
            .await
            .map_err(|error| CredentialsError::provider_error(NotAssumed::of(&self.role, error)))?;
        let given = assumed.credentials.ok_or_else(|| {
            CredentialsError::provider_error(format!("AWS STS gave no credentials for `{}`", self.role))
        })?;
        let expires = given.expiration.try_into().map_err(CredentialsError::unhandled)?;
        let token = Some(given.session_token);
        Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(expires), "lane"))
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// Why a role could not be assumed.
#[derive(Debug)]
struct NotAssumed {
    role: RoleArn,
    refused: bool,
    source: Cause,
}

impl NotAssumed {
    fn of<E>(role: &RoleArn, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let lasts = code.is_some_and(|code| !is_of_credentials_or_clock(code) && !is_of_quota(code));
        let refused = matches!(status, Some(400..=403)) && lasts;
        Self { role: role.clone(), refused, source: Box::new(error) }
    }
}

impl fmt::Display for NotAssumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.refused { "may not" } else { "could not" };
        write!(f, "the function {verb} assume the lane's role `{}`", self.role)
    }
}

impl Error for NotAssumed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Why a call was not sent.
pub(crate) enum Unsent {
    /// AWS STS refuses the role of its lane: trying again does not help.
    RoleRefused,
    /// There are no credentials just now.
    NoCredentials,
}

/// Why a call was not sent, if that is for want of credentials.
pub(crate) fn why_unsent(error: &(dyn Error + 'static)) -> Option<Unsent> {
    match cause::<NotAssumed>(error) {
        Some(NotAssumed { refused: true, .. }) => Some(Unsent::RoleRefused),
        Some(_) => Some(Unsent::NoCredentials),
        None => cause::<CredentialsError>(error).map(|_| Unsent::NoCredentials),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use aws_config::BehaviorVersion;
    use aws_config::retry::RetryConfig;
    use aws_types::sdk_config::SharedHttpClient;
    use jiff::SignedDuration;
    use shared::ports::{ReadError, ReadJobs, chain};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::clock;
    use crate::http::Http;
    use crate::iot::IotDeleter;

    const ROLE: &str = "arn:aws:iam::111122223333:role/jobwarden-lane";

    /// AWS in one place: what it was asked, and what AssumeRole is answered with.
    #[derive(Clone, Default)]
    struct Cloud {
        asked: Arc<Mutex<Vec<String>>>,
        assumed: Arc<Mutex<(u16, String)>>,
    }

    impl Cloud {
        fn answer(&self, status: u16, body: String) {
            *self.assumed.lock().unwrap() = (status, body);
        }

        /// Answers with credentials that are good for so long.
        fn assumed(&self, token: &str, left: SignedDuration) {
            let expires = clock::now() + left;
            let body = format!(
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
                 <SecretAccessKey>s</SecretAccessKey><SessionToken>{token}</SessionToken>\
                 <Expiration>{expires:.0}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
            );
            self.answer(200, body);
        }

        fn refuse(&self, status: u16, code: &str) {
            let body = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>not authorized</Message>\
                 </Error></ErrorResponse>"
            );
            self.answer(status, body);
        }

        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut *self.asked.lock().unwrap())
        }

        async fn open(&self) -> SocketAddr {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let cloud = self.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(cloud.clone().serve(stream));
                }
            });
            address
        }

        async fn serve(self, mut stream: TcpStream) {
            let mut read = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&read).to_lowercase();
                let length =
                    text.split_once("content-length: ").map(|(_, rest)| rest.lines().next().unwrap());
                let length = length.map_or(0, |length| length.parse().unwrap());
                if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
                    break;
                }
                if stream.read_buf(&mut read).await.unwrap() == 0 {
                    return;
                }
            }
            let asked = String::from_utf8(read).unwrap();
            let (status, body) = if asked.starts_with("GET /jobs") {
                (200, r#"{"jobs":[]}"#.to_owned())
            } else {
                self.assumed.lock().unwrap().clone()
            };
            self.asked.lock().unwrap().push(asked);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn clients(address: SocketAddr, retire_jobs: bool) -> LaneClients<IotDeleter> {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKIA", "s", None, None, "t",
            )))
            .region(Region::new("eu-west-1"))
            .endpoint_url(format!("http://{address}"))
            .http_client(SharedHttpClient::new(Http::new(Duration::from_secs(1))))
            .retry_config(RetryConfig::disabled())
            .build();
        let lanes =
            Lanes::parse(&format!("us=us-east-1,plant=ap-south-1@{ROLE}"), Some("eu-west-1")).unwrap();
        let session = Session { operation: Operation::DeleteExpired, retire_jobs };
        LaneClients::new(IotDeleter::new, &config, &lanes, session)
    }

    fn lane(name: &str) -> LaneName {
        LaneName::parse(name).unwrap()
    }

    #[tokio::test]
    async fn another_region_is_called_with_the_functions_own_credentials() {
        let cloud = Cloud::default();
        let clients = clients(cloud.open().await, false);
        for (name, place) in [
            ("eu", "us-east-1"),
            ("us", "us-west-2"),
            ("us", "us-east-1@111122223333"),
            ("plant", "ap-south-1"),
        ] {
            assert!(clients.iot(&lane(name), place).is_none(), "{name} of {place}");
        }
        let iot = clients.iot(&lane("us"), "us-east-1").unwrap();
        assert!(std::ptr::eq(iot, clients.iot(&lane("us"), "us-east-1").unwrap()), "it is kept");
        iot.list_jobs(None).await.unwrap();
        let asked = cloud.asked();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].contains("Credential=AKIA/") && asked[0].contains("/us-east-1/iot/"), "{asked:?}");
    }

    #[tokio::test]
    async fn another_account_is_called_in_its_role_which_is_assumed_again_before_it_expires() {
        let cloud = Cloud::default();
        let clients = clients(cloud.open().await, false);
        assert!(cloud.asked().is_empty(), "nothing is assumed before it is used");
        let iot = clients.iot(&lane("plant"), "ap-south-1@111122223333").unwrap();
        cloud.assumed("first", SignedDuration::from_hours(1));
        iot.list_jobs(None).await.unwrap();
        iot.list_jobs(None).await.unwrap();
        let asked = cloud.asked();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked[0].contains("Credential=AKIA/") && asked[0].contains("/eu-west-1/sts/"), "{asked:?}");
        assert!(asked[0].contains("RoleSessionName=jobwarden-delete-expired"), "{asked:?}");
        assert!(asked[0].contains("arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fjobwarden-lane"), "{asked:?}");
        assert!(asked[0].contains("Policy=") && asked[0].contains("iot%3ADeleteJobExecution"), "{asked:?}");
        for asked in &asked[1..] {
            assert!(asked.contains("Credential=ASIA/") && asked.contains("/ap-south-1/iot/"), "{asked}");
            assert!(asked.contains("x-amz-security-token: first"), "{asked}");
        }

        // Ten seconds before they expire they are not used any more.
        let clients = self::clients(cloud.open().await, false);
        let iot = clients.iot(&lane("plant"), "ap-south-1@111122223333").unwrap();
        cloud.assumed("short", SignedDuration::from_secs(5));
        iot.list_jobs(None).await.unwrap();
        cloud.assumed("next", SignedDuration::from_hours(1));
        iot.list_jobs(None).await.unwrap();
        let asked = cloud.asked();
        assert!(asked.last().unwrap().contains("x-amz-security-token: next"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_role_that_is_refused_is_told_from_one_that_cannot_be_had_just_now() {
        let cloud = Cloud::default();
        let clients = clients(cloud.open().await, false);
        let iot = clients.iot(&lane("plant"), "ap-south-1@111122223333").unwrap();
        for (status, code) in
            [(403, "AccessDenied"), (403, "RegionDisabledException"), (400, "ValidationError")]
        {
            cloud.refuse(status, code);
            let Err(ReadError::RoleRefused { source, .. }) = iot.list_jobs(None).await else {
                panic!("{code}")
            };
            let told = chain(&*source);
            assert!(
                told.contains(&format!("the function may not assume the lane's role `{ROLE}`")),
                "{told}"
            );
            assert!(told.contains(code), "{told}");
        }
        for (status, code) in [
            (400, "Throttling"),
            (403, "ExpiredTokenException"),
            (403, "InvalidClientTokenId"),
            (400, "RequestExpired"),
            (400, "IncompleteSignature"),
            (503, "ServiceUnavailable"),
        ] {
            cloud.refuse(status, code);
            let failed = iot.list_jobs(None).await;
            assert!(matches!(failed, Err(ReadError::Unavailable { .. })), "{code}: {failed:?}");
        }
        assert!(cloud.asked().iter().all(|asked| !asked.starts_with("GET /jobs")));
        // And then it goes on.
        cloud.assumed("first", SignedDuration::from_hours(1));
        iot.list_jobs(None).await.unwrap();
    }

    /// The functions' own roles are in the template, and that of a lane beside it.
    #[test]
    fn a_session_may_do_what_the_functions_role_may_and_no_more() {
        let policy = |operation, retire_jobs| Session { operation, retire_jobs }.policy();
        let delete = policy(Operation::DeleteExpired, false);
        let retire = policy(Operation::DeleteExpired, true);
        let cancel = policy(Operation::CancelStale, false);
        assert!(!delete.contains("Cancel") && !delete.contains("\"iot:DeleteJob\""), "{delete}");
        assert!(!retire.contains("Cancel") && retire.contains("\"iot:DeleteJob\""), "{retire}");
        assert!(!cancel.contains("Delete"), "{cancel}");
        let actions = |policy: &str| -> BTreeSet<String> {
            policy.split('"').filter(|text| text.starts_with("iot:")).map(str::to_owned).collect()
        };
        for policy in [&delete, &retire, &cancel] {
            assert!(policy.len() <= 2048, "AWS takes no more");
            for action in actions(policy) {
                assert!(include_str!("../../docs/lane-role.yaml").contains(&action), "{action}");
            }
        }
        // As in other Regions of the same account; ListJobs knows no Region.
        let template = include_str!("../../template.yaml");
        let roles = template.split("PolicyName: executions-in-other-regions").skip(1);
        for (role, policy) in roles.zip([delete, cancel]) {
            let statement = role.split_once("Resource:").unwrap().0;
            let listed = statement.lines().filter_map(|line| line.trim().strip_prefix("- iot:"));
            let mut listed: BTreeSet<_> = listed.map(|action| format!("iot:{action}")).collect();
            listed.insert("iot:ListJobs".to_owned());
            assert_eq!(actions(&policy), listed);
        }
    }
}
