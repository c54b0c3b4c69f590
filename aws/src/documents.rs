//! Where the access policy and the retention rules are kept: in the binary, in AWS AppConfig, or
//! in a bucket. A function is told one place, and never turns to another.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_appconfigdata::Client;
use aws_sdk_appconfigdata::operation::get_latest_configuration::GetLatestConfigurationOutput;
use futures_util::future::BoxFuture;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore};
use shared::document::{Current, Document, Edition, Editions};
use shared::ports::{Cause, chain};
use shared::source_text::MOST_BYTES;

use crate::{bucket, clock};

/// A function polls every half minute; AppConfig refuses polls that come sooner than it was told.
const SHORTEST_POLL_SECONDS: i32 = 15;

/// Where a document is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the binary: `compiled`.
    Compiled,
    /// One version of an object: `s3://BUCKET/KEY?versionId=ID`.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// The version of the object.
        version: String,
    },
    /// What is deployed of a configuration profile: `appconfig:APPLICATION/ENVIRONMENT/PROFILE`,
    /// each by its id or its name.
    AppConfig {
        /// The application.
        application: String,
        /// The environment.
        environment: String,
        /// The configuration profile.
        profile: String,
    },
}

impl Place {
    /// Reads a place.
    ///
    /// # Errors
    /// When it is none, with what it may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let place = if text == "compiled" {
            Some(Self::Compiled)
        } else if let Some(rest) = text.strip_prefix("appconfig:") {
            let parts: Vec<_> = rest.split('/').filter(|part| !part.trim().is_empty()).collect();
            match parts.as_slice() {
                [application, environment, profile] if rest.split('/').count() == 3 => {
                    Some(Self::AppConfig {
                        application: (*application).to_owned(),
                        environment: (*environment).to_owned(),
                        profile: (*profile).to_owned(),
                    })
                }
                _ => None,
            }
        } else {
            Self::bucket(text)
        };
        place.ok_or_else(|| {
            format!(
                "`{text}` must be compiled, appconfig:APPLICATION/ENVIRONMENT/PROFILE or \
                 s3://BUCKET/KEY?versionId=ID"
            )
        })
    }

    fn bucket(text: &str) -> Option<Self> {
        let (object, version) = text.strip_prefix("s3://")?.split_once("?versionId=")?;
        let (bucket, key) = object.split_once('/')?;
        let all_there = [bucket, key, version].iter().all(|part| !part.trim().is_empty());
        all_there.then(|| Self::Bucket {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: version.to_owned(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiled => f.write_str("compiled"),
            Self::Bucket { bucket, key, version } => write!(f, "s3://{bucket}/{key}?versionId={version}"),
            Self::AppConfig { application, environment, profile } => {
                write!(f, "appconfig:{application}/{environment}/{profile}")
            }
        }
    }
}

/// Opens the document that is kept there.
///
/// # Errors
/// When it cannot be read or is not valid. A function that has no valid document serves nothing.
pub async fn open<D: Document>(place: &Place, config: &SdkConfig) -> Result<Current<D>, Cause> {
    match place {
        Place::Compiled => Ok(Current::fixed(D::shipped()?)),
        Place::Bucket { bucket, key, version } => {
            let text = read_version(bucket, key, version).await;
            let text = text.map_err(|error| format!("{place} cannot be read: {error}"))?;
            Ok(Current::fixed(D::parse(&place.to_string(), &text)?))
        }
        Place::AppConfig { application, environment, profile } => {
            let deployed = Deployed {
                client: Client::new(config),
                application: application.clone(),
                environment: environment.clone(),
                profile: profile.clone(),
                next: Mutex::default(),
            };
            Current::open(deployed, clock::now()).await
        }
    }
}

/// A version of an object never changes, so it is read once.
async fn read_version(bucket: &str, key: &str, version: &str) -> Result<String, Cause> {
    let options = GetOptions { version: Some(version.to_owned()), ..GetOptions::default() };
    let found = bucket::open(bucket)?.get_opts(&Path::parse(key)?, options).await?;
    if found.meta.size > MOST_BYTES as u64 {
        return Err(format!("has {} bytes; a document may have {MOST_BYTES} at most", found.meta.size).into());
    }
    Ok(String::from_utf8(found.bytes().await?.to_vec())?)
}

/// What AppConfig has deployed of a configuration profile.
#[derive(Debug)]
struct Deployed {
    client: Client,
    application: String,
    environment: String,
    profile: String,
    /// The token of the next poll; each is good for one. None before the first poll, and after one
    /// that failed.
    next: Mutex<Option<String>>,
}

impl Editions for Deployed {
    fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>> {
        Box::pin(self.poll())
    }
}

impl Deployed {
    async fn poll(&self) -> Result<Option<Edition>, Cause> {
        let taken = self.next().take();
        let answer = match taken {
            None => self.latest(self.begin().await?).await?,
            // After a freeze the token may be older than the 24 hours for which it is good, and the kept connection
            // may be gone. A session that has just begun has neither.
            Some(token) => match self.latest(token).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::debug!(event = "session_begun_anew", error = chain(&*error));
                    self.latest(self.begin().await?).await?
                }
            },
        };
        *self.next() = answer.next_poll_configuration_token;
        // Empty when this session has been given it before.
        let Some(content) = answer.configuration.filter(|content| !content.as_ref().is_empty()) else {
            return Ok(None);
        };
        let label = answer.version_label.filter(|label| !label.is_empty());
        let Self { application, environment, profile, .. } = self;
        let label = label.as_deref().unwrap_or("(no label)");
        let source = format!("appconfig:{application}/{environment}/{profile} {label}");
        let text = String::from_utf8(content.into_inner()).map_err(|error| format!("{source}: {error}"))?;
        Ok(Some(Edition { source, text }))
    }

    async fn latest(&self, token: String) -> Result<GetLatestConfigurationOutput, Cause> {
        Ok(self.client.get_latest_configuration().configuration_token(token).send().await?)
    }

    async fn begin(&self) -> Result<String, Cause> {
        let session = self
            .client
            .start_configuration_session()
            .application_identifier(&self.application)
            .environment_identifier(&self.environment)
            .configuration_profile_identifier(&self.profile)
            .required_minimum_poll_interval_in_seconds(SHORTEST_POLL_SECONDS)
            .send()
            .await?;
        session.initial_configuration_token.ok_or_else(|| "AppConfig began a session without a token".into())
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_types::sdk_config::{SharedCredentialsProvider, SharedHttpClient};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::{Http, TIMEOUT};

    const SESSION: &str = "HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 37\r\n\r\n\
                           {\"InitialConfigurationToken\":\"first\"}";

    fn configuration(text: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\nnext-poll-configuration-token: next\r\n\
             content-length: {}\r\n\r\n{text}",
            text.len()
        )
    }

    /// An AppConfig that answers one request after the other so, and what it was asked; an empty answer is a
    /// connection that is closed.
    async fn appconfig(answers: Vec<String>) -> (Deployed, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = Vec::new();
                while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                    stream.read_buf(&mut read).await.unwrap();
                }
                let line = String::from_utf8_lossy(&read).lines().next().unwrap_or_default().to_owned();
                asked.push(line.trim_end_matches(" HTTP/1.1").to_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "c")))
            .region(Region::new("eu-west-1"))
            .endpoint_url(format!("http://{address}"))
            .http_client(SharedHttpClient::new(Http::new(TIMEOUT)))
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build();
        let names = ["app", "live", "access-policy"].map(str::to_owned);
        let [application, environment, profile] = names;
        let client = Client::new(&config);
        (Deployed { client, application, environment, profile, next: Mutex::default() }, server)
    }

    /// Lambda may have frozen the process for longer than the 24 hours of a token, and the other end closes
    /// connections on which nothing comes.
    #[tokio::test]
    async fn a_look_with_a_token_or_a_connection_of_before_a_freeze_begins_anew() {
        let expired = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
                       x-amzn-errortype: BadRequestException\r\ncontent-length: 2\r\n\r\n{}";
        for stale in [expired, ""] {
            let answers = [SESSION, &configuration("one"), stale, SESSION, &configuration("two")];
            let (deployed, server) = appconfig(answers.map(str::to_owned).to_vec()).await;
            assert_eq!(deployed.poll().await.unwrap().unwrap().text, "one");
            assert_eq!(deployed.poll().await.unwrap().unwrap().text, "two");
            let first = "GET /configuration?configuration_token=first";
            let next = "GET /configuration?configuration_token=next";
            let begin = "POST /configurationsessions";
            assert_eq!(server.await.unwrap(), [begin, first, next, begin, first]);
        }
    }

    /// Where AppConfig does not answer, a look costs it no more than a second try.
    #[tokio::test]
    async fn a_look_that_fails_twice_is_given_up() {
        let answers = [SESSION, &configuration("one"), "", ""].map(str::to_owned).to_vec();
        let (deployed, server) = appconfig(answers).await;
        deployed.poll().await.unwrap();
        deployed.poll().await.unwrap_err();
        assert_eq!(server.await.unwrap().len(), 4);
    }

    #[test]
    fn a_place_reads_back() {
        for place in
            ["compiled", "appconfig:app/live/access-policy", "s3://b/policies/access.cedar?versionId=3/L4.kq"]
        {
            assert_eq!(Place::parse(place).map(|place| place.to_string()), Ok(place.to_owned()));
        }
    }

    #[test]
    fn what_is_no_place_is_told_what_it_may_be() {
        for text in [
            "",
            "Compiled",
            "appconfig:",
            "appconfig:app/live",
            "appconfig:app//profile",
            "appconfig:a/b/c/d",
            "appconfig:a/b/c/",
            "s3://b/policies/access.cedar",
            "s3://b/policies/access.cedar?versionId=",
            "s3://b?versionId=3",
            "s3:///policies/access.cedar?versionId=3",
            "policies/access.cedar",
        ] {
            let error = Place::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` must be compiled, appconfig:")), "{error}");
        }
    }
}
