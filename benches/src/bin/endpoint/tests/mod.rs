//! The endpoint over HTTP, as its callers have it.

mod bucket;
mod iot;
mod queue;
mod runtime;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Arguments;

/// An endpoint that serves.
struct Served {
    at: Value,
    folder: PathBuf,
}

/// What was answered.
struct Answered {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    /// An error of AWS, as clients read it: status, name and message.
    fn error(&self) -> (u16, &str, Value) {
        let name = self.headers.get("x-amzn-errortype").map(String::as_str).unwrap_or_default();
        (self.status, name, self.json()["message"].clone())
    }
}

impl Served {
    /// One with these options.
    async fn with(options: &[&str]) -> Self {
        let name = std::thread::current().name().map(|name| name.replace(':', "-")).unwrap_or_default();
        let folder = std::env::temp_dir().join(format!("jobwarden-endpoint-{}-{name}", std::process::id()));
        let folder_told = folder.to_str().expect("a path of text");
        let line = ["endpoint", "--certificates", folder_told].into_iter().chain(options.iter().copied());
        let at = crate::start(Arguments::parse_from(line)).await.expect("it starts");
        Self { at, folder }
    }

    /// The address of one of its parts.
    fn port(&self, of: &str) -> &str {
        self.at[of].as_str().and_then(|url| url.rsplit("://").next()).expect("an address")
    }

    /// Sends a request to one of its parts.
    async fn send(&self, of: &str, what: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        exchange(TcpStream::connect(self.port(of)).await.expect("it listens"), what, headers, body).await
    }

    /// Sends a request to AWS IoT, or of its control.
    async fn iot(&self, what: &str, body: &str) -> Answered {
        self.send("iotPlain", what, &[], body).await
    }

    /// Sends a request to AWS IoT over TLS, trusting the authority that was written, and no other.
    async fn iot_over_tls(&self, what: &str) -> Answered {
        let mut roots = RootCertStore::empty();
        let ca = self.at["ca"].as_str().expect("a path");
        roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("an authority");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let port = self.port("iot").strip_prefix("localhost:").expect("a host and a port");
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("it is trusted");
        exchange(stream, what, &[], "").await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One request by a connection: `GET /path`.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    what: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let (method, path) = what.split_once(' ').expect("a method and a path");
    let method: Method = method.parse().expect("a method");
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
    let (parts, body) = send.send_request(request).await.expect("an answer").into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    Answered {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: body.collect().await.expect("a body").to_bytes(),
    }
}
