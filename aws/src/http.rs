//! The one HTTP stack: the SDK's calls and the bucket's requests go out by the same client.
//!
//! It speaks HTTP/1.1 alone. The SDK's own client would bring HTTP/2, and the bucket's a whole
//! stack besides.

use std::error::Error;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http as sdk;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest as SdkRequest, HttpResponse as SdkResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client, connect};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use rustls::ClientConfig;

use crate::trust;

/// How long an exchange may take, from the connection to the last byte of the answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What AWS is told about who asks; CloudTrail has it, too.
const JOBWARDEN: HeaderValue = HeaderValue::from_static(concat!("jobwarden/", env!("CARGO_PKG_VERSION")));

/// Made once, for all clients.
static TLS: LazyLock<ClientConfig> = LazyLock::new(trust::tls);

/// Sends requests. A clone has the same connections.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<connect::HttpConnector>, SdkBody>,
    timeout: Duration,
}

impl Http {
    /// A client without connections; each exchange of the bucket may take so long. The SDK has a
    /// timeout of its own.
    pub(crate) fn new(timeout: Duration) -> Self {
        let mut tcp = connect::HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT.min(timeout)));
        let tls = HttpsConnectorBuilder::new().with_tls_config(TLS.clone());
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Self { client, timeout }
    }
}

impl sdk::HttpClient for Http {
    fn http_connector(
        &self,
        _: &sdk::HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> sdk::SharedHttpConnector {
        sdk::SharedHttpConnector::new(self.clone())
    }
}

impl sdk::HttpConnector for Http {
    fn call(&self, request: SdkRequest) -> sdk::HttpConnectorFuture {
        let client = self.client.clone();
        sdk::HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x();
            let mut request = request.map_err(|error| ConnectorError::user(error.into()))?;
            request.headers_mut().insert(USER_AGENT, JOBWARDEN);
            let answer = client.request(request).await.map_err(|error| match kind(&error) {
                HttpErrorKind::Timeout => ConnectorError::timeout(error.into()),
                HttpErrorKind::Unknown => ConnectorError::other(error.into(), None),
                _ => ConnectorError::io(error.into()),
            })?;
            let answer = SdkResponse::try_from(answer.map(SdkBody::from_body_1_x));
            answer.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        answer.unwrap_or_else(|elapsed| Err(HttpError::new(HttpErrorKind::Timeout, elapsed)))
    }
}

impl Http {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut request = request.map(SdkBody::from_body_1_x);
        request.headers_mut().insert(USER_AGENT, JOBWARDEN);
        let answer = self.client.request(request).await;
        let (parts, body) = answer.map_err(|error| HttpError::new(kind(&error), error))?.into_parts();
        // Objects are small. Read whole, the body is under the timeout and the retries as well.
        let body = body.collect().await;
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
        Ok(HttpResponse::from_parts(parts, body.to_bytes().into()))
    }
}

/// Whether the bucket's client may send again: after `Connect` and `Request` it does, after
/// `Timeout` and `Interrupted` only what may be done twice, after `Unknown` never.
fn kind(error: &legacy::Error) -> HttpErrorKind {
    let io = cause::<io::Error>(error).map(io::Error::kind);
    let unanswered = cause::<hyper::Error>(error)
        .is_some_and(|error| error.is_canceled() || error.is_closed() || error.is_incomplete_message());
    match io {
        Some(io::ErrorKind::TimedOut) => HttpErrorKind::Timeout,
        _ if error.is_connect() => HttpErrorKind::Connect,
        // The connection was closed before there was any answer, as S3 does it with one that was
        // idle. A write that was carried out all the same meets with itself when it is sent again.
        _ if unanswered => HttpErrorKind::Request,
        Some(_) => HttpErrorKind::Interrupted,
        None => HttpErrorKind::Unknown,
    }
}

/// The first cause of a type.
pub(crate) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::byte_stream::ByteStream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn call(address: std::net::SocketAddr) -> Result<SdkResponse, ConnectorError> {
        let mut request = SdkRequest::new(SdkBody::from("asked"));
        request.set_method("POST").unwrap();
        request.set_uri(format!("http://{address}/")).unwrap();
        sdk::HttpConnector::call(&Http::new(Duration::from_secs(1)), request).await
    }

    #[tokio::test]
    async fn a_call_of_the_sdk_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"asked") {
                stream.read_buf(&mut read).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 429 Slow\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
            String::from_utf8(read).unwrap()
        });
        let answer = call(address).await.unwrap();
        assert_eq!(answer.status().as_u16(), 429);
        assert_eq!(ByteStream::new(answer.into_body()).collect().await.unwrap().into_bytes(), "body");
        let asked = server.await.unwrap();
        assert!(asked.contains("user-agent: jobwarden/"), "{asked}");
    }

    #[tokio::test]
    async fn a_call_of_the_sdk_that_is_refused_or_hung_up_on_may_be_repeated() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        assert!(call(address).await.unwrap_err().is_io());
        server.await.unwrap();
        assert!(call(address).await.unwrap_err().is_io());
    }
}
