//! A connection by TLS or without, and signed requests over it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why a call did not go through.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where calls go, and who signs them.
pub struct Client {
    authority: String,
    host: String,
    tls: Option<TlsConnector>,
    credentials: Credentials,
}

/// What was answered.
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body, whole.
    pub body: Bytes,
}

/// A connection.
pub struct Connection<'a> {
    client: &'a Client,
    send: SendRequest<Full<Bytes>>,
}

impl Client {
    /// A client of an endpoint that trusts an authority, or those that the system does.
    ///
    /// # Errors
    /// When the endpoint is none or the authority cannot be read.
    pub fn new(endpoint: &str, ca: Option<&Path>) -> Result<Self, Error> {
        let (scheme, authority) = endpoint.split_once("://").ok_or("the endpoint has no scheme")?;
        let (host, _) = authority.split_once(':').ok_or("the endpoint has no port")?;
        let tls = match scheme {
            "http" => None,
            "https" => Some(TlsConnector::from(Arc::new(trusting(ca)?))),
            _ => return Err("the endpoint's scheme is neither http nor https".into()),
        };
        let credentials = Credentials::new("test", "test", None, None, "floor");
        Ok(Self { authority: authority.to_owned(), host: host.to_owned(), tls, credentials })
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or is not trusted.
    pub async fn connect(&self) -> Result<Connection<'_>, Error> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let send = match &self.tls {
            None => {
                let (send, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                send
            }
            Some(tls) => {
                let stream = tls.connect(ServerName::try_from(self.host.clone())?, stream).await?;
                let (send, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                send
            }
        };
        Ok(Connection { client: self, send })
    }

    #[expect(clippy::disallowed_methods, reason = "a signature has its time")]
    fn signed(&self, method: &Method, path: &str, body: &'static str) -> Result<Request<Full<Bytes>>, Error> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("iot")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [(HOST.as_str(), self.authority.as_str())].into_iter();
        let body_bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new(method.as_str(), path, headers, body_bytes)?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        let mut request = request.body(Full::new(Bytes::from_static(body.as_bytes())))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

impl Connection<'_> {
    /// Signs a request, sends it, and reads its answer whole.
    ///
    /// # Errors
    /// When the connection breaks off.
    pub async fn send(&mut self, method: &Method, path: &str, body: &'static str) -> Result<Answered, Error> {
        let request = self.client.signed(method, path, body)?;
        self.send.ready().await?;
        let (parts, body) = self.send.send_request(request).await?.into_parts();
        Ok(Answered { status: parts.status.as_u16(), body: body.collect().await?.to_bytes() })
    }

    /// Whether it has been closed.
    pub fn is_closed(&self) -> bool {
        self.send.is_closed()
    }
}

fn trusting(ca: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(ca) => roots.add(CertificateDer::from_pem_file(ca)?)?,
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
