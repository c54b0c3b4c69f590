//! What the command line calls AWS with: the ordinary chain of credentials, the API, and the bucket.
//!
//! No function names any of it, so none has it in its binary.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings, sign};
use aws_sigv4::sign::v4;
use hyper::http::request::Builder;
use hyper::{Method, Request, Uri};
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::client::{HttpRequest, HttpService};
use shared::ports::Cause;
use tokio::sync::Mutex;

use crate::bucket;
use crate::clock;
use crate::http::Http;

/// How long an exchange may take. API Gateway waits 29 seconds for a function.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Credentials are asked for again when they are good for less than this.
const STALE: Duration = Duration::from_mins(5);

/// The service that requests are signed for.
const SERVICE: &str = "execute-api";

/// Why AWS could not be called.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The address of the API is none.
    #[error("`{0}` is no address of an API; give the stack's output ApiUrl")]
    Address(String),
    /// Nothing says which Region it is.
    #[error("the Region is not known; give --region, or set AWS_REGION or the profile's region")]
    NoRegion,
    /// Nobody gives credentials.
    #[error("there are no credentials")]
    NoCredentials(#[source] Cause),
    /// The request was not signed, which has no cause that an input could bring about.
    #[error("the request could not be signed")]
    Unsigned(#[source] Cause),
    /// There was no answer.
    #[error("no answer came from {url}")]
    NoAnswer {
        /// What was called.
        url: String,
        /// What went wrong.
        source: Cause,
    },
    /// The bucket's name, or an endpoint, is none.
    #[error("the bucket cannot be opened")]
    Bucket(#[source] Cause),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The error that the header `x-amzn-ErrorType` names.
    pub error: Option<String>,
    /// The body. What is no UTF-8 is replaced.
    pub body: String,
}

/// Somebody with credentials. A clone has the same.
#[derive(Clone)]
pub struct Operator {
    chain: Option<SharedCredentialsProvider>,
    known: Arc<Mutex<Option<Credentials>>>,
    region: Option<Region>,
    http: Http,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Operator {
    /// Who the environment, a profile, or the machine's or container's role says it is, in this order. The
    /// features of the SDK that this takes are those of the functions: profiles of SSO and of processes are
    /// not among them.
    ///
    /// The Region is the one that is given, or the one that the API's address tells, or what the chain says.
    pub async fn new(profile: Option<&str>, region: Option<&str>, api: Option<&str>) -> Self {
        let http = Http::new(TIMEOUT);
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        let of_api = || api.and_then(parsed).as_ref().and_then(Uri::host).and_then(region_of);
        // Where it is known, no machine is asked for it.
        if let Some(region) = region.map(|region| Region::new(region.to_owned())).or_else(of_api) {
            loader = loader.region(region);
        }
        let config = loader.load().await;
        let chain = config.credentials_provider();
        Self { chain, known: Arc::default(), region: config.region().cloned(), http }
    }

    fn region(&self) -> Result<&Region, OperatorError> {
        self.region.as_ref().ok_or(OperatorError::NoRegion)
    }

    async fn credentials(&self) -> Result<Credentials, OperatorError> {
        let mut known = self.known.lock().await;
        let soon = now() + STALE;
        if let Some(good) = known.as_ref().filter(|good| good.expiry().is_none_or(|until| until > soon)) {
            return Ok(good.clone());
        }
        let none = || OperatorError::NoCredentials("nothing provides any".into());
        let got = self.chain.as_ref().ok_or_else(none)?.provide_credentials().await;
        let got = got.map_err(|error| OperatorError::NoCredentials(Box::new(error)))?;
        *known = Some(got.clone());
        Ok(got)
    }

    /// Sends a signed request. `address` is the API's, `path` begins with a slash and is legal in a URL as it stands.
    ///
    /// # Errors
    /// When it could not be sent, or no answer came. An answer that tells of an error is an answer.
    pub async fn send(
        &self,
        method: &Method,
        address: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer, OperatorError> {
        let url = format!("{}{path}", address.trim_end_matches('/'));
        let uri = parsed(&url).ok_or_else(|| OperatorError::Address(address.to_owned()))?;
        let region = self.region()?;
        let credentials = self.credentials().await?;
        let body = body.unwrap_or_default();
        let request = signed(Request::builder().method(method).uri(uri), &url, body, credentials, region)
            .map_err(OperatorError::Unsigned)?;
        let answer = self.http.call(request).await;
        let answer =
            answer.map_err(|error| OperatorError::NoAnswer { url: url.clone(), source: Box::new(error) })?;
        let error = answer.headers().get("x-amzn-errortype").and_then(|name| name.to_str().ok());
        let error = error.map(|name| name.split(':').next().unwrap_or(name).to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().bytes().await;
        let body = body.map_err(|error| OperatorError::NoAnswer { url, source: Box::new(error) })?;
        Ok(Answer { status, error, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Opens the stack's bucket, which is in the Region of its API.
    ///
    /// # Errors
    /// When the Region is not known, or the name is none.
    pub fn bucket(&self, name: &str) -> Result<AmazonS3, OperatorError> {
        let region = self.region()?;
        let builder = AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .with_region(region.as_ref())
            .with_credentials(Arc::new(self.clone()));
        bucket::build(builder, self.http.clone()).map_err(|error| OperatorError::Bucket(Box::new(error)))
    }
}

#[async_trait]
impl CredentialProvider for Operator {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials = self.credentials().await.map_err(|error| object_store::Error::Unauthenticated {
            path: String::new(),
            source: Box::new(error),
        })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}

fn now() -> SystemTime {
    clock::now().into()
}

fn parsed(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    (http && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// The Region of an API that has the name that API Gateway gave it.
fn region_of(host: &str) -> Option<Region> {
    let mut parts = host.split('.').skip(1);
    let (service, region, domain) = (parts.next()?, parts.next()?, parts.next()?);
    (service == SERVICE && domain == "amazonaws").then(|| Region::new(region.to_owned()))
}

fn signed(
    request: Builder,
    url: &str,
    body: String,
    credentials: Credentials,
    region: &Region,
) -> Result<HttpRequest, Cause> {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let identity = credentials.into();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name(SERVICE)
        .time(now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let mut request: HttpRequest = request.header(JSON.0, JSON.1).body(body.clone().into())?;
    let signable = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new(request.method().as_str(), url, [JSON].into_iter(), signable)?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_its_region_only_where_api_gateway_named_it() {
        let region = |host: &str| region_of(host).map(|region| region.to_string());
        let ours = "a1b2c3.execute-api.eu-west-1.amazonaws.com";
        assert_eq!(region(ours).as_deref(), Some("eu-west-1"));
        assert_eq!(region(&format!("{ours}.cn")).as_deref(), Some("eu-west-1"));
        for host in ["jobs.example.com", "localhost", "x.execute-api.localhost", "a.execute-api.b.example"] {
            assert_eq!(region(host), None, "{host}");
        }
    }

    #[test]
    fn an_address_is_a_url_with_a_host() {
        assert!(parsed("https://h/v1").is_some() && parsed("http://127.0.0.1:4566/x").is_some());
        for bad in ["", "h", "ftp://h/", "https://", "/v1", "https://a b/"] {
            assert!(parsed(bad).is_none(), "{bad}");
        }
    }
}
