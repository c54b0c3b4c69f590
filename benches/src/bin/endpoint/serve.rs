//! HTTP/1.1 on a port, with TLS or without.

use std::convert::Infallible;
use std::future::Future;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// An answer, whole.
pub type Answer = Response<Full<Bytes>>;

/// Answers every request on a port for ever, each connection in a task of its own.
pub async fn serve<S, F>(listener: TcpListener, tls: Option<TlsAcceptor>, service: S)
where
    S: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (tls, service) = (tls.clone(), service.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, service).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, service).await;
                    }
                }
            }
        });
    }
}

/// Answers the requests of one connection, one after the other. Whoever hangs up is not told anything.
async fn connection<S, F>(stream: impl AsyncRead + AsyncWrite + Unpin, service: S)
where
    S: Fn(Request<Bytes>) -> F,
    F: Future<Output = Answer>,
{
    let service = service_fn(|request: Request<Incoming>| async {
        let (parts, body) = request.into_parts();
        let answer = match body.collect().await {
            Ok(body) => service(Request::from_parts(parts, body.to_bytes())).await,
            Err(_) => answer(StatusCode::BAD_REQUEST, "the body broke off"),
        };
        Ok::<_, Infallible>(answer)
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An answer without any header of its own.
pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// JSON.
pub fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    json_text(status, body.to_string())
}

/// JSON that has been written.
pub fn json_text(status: StatusCode, body: String) -> Answer {
    let mut answer = answer(status, body);
    let json = hyper::header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    answer
}
