//! The bucket, over `object_store` with conditional writes.

use std::time::Duration;

use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use shared::ports::{Cause, SignLinks, SignedLink};

use crate::http::{Http, TIMEOUT};

/// Opens the bucket with Lambda's own credentials, Region and endpoint.
///
/// # Errors
/// When the name or the endpoint is none.
pub fn open(name: &str) -> Result<AmazonS3, Cause> {
    Ok(build(AmazonS3Builder::from_env().with_bucket_name(name), Http::new(TIMEOUT))?)
}

/// A bucket with conditional writes, behind our own HTTP client.
pub(crate) fn build(builder: AmazonS3Builder, http: Http) -> object_store::Result<AmazonS3> {
    let retry =
        RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(6), ..RetryConfig::default() };
    builder
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(http)
        .with_retry(retry)
        .build()
}

/// Links to the bucket's objects, which have the rights of the function that signs them.
#[derive(Debug, Clone)]
pub struct Links(pub AmazonS3);

impl SignLinks for Links {
    async fn sign(&self, object: &Path, works_for: Duration) -> Result<SignedLink, Cause> {
        let link = self.0.signed_url(Method::GET, object, works_for).await?;
        Ok(SignedLink::new(link.into()))
    }
}

#[cfg(test)]
mod tests {
    use object_store::{
        Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
    };
    use shared::ports::chain;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\netag: \"e1\"\r\ncontent-length: 0\r\n\r\n";
    const THERE_ALREADY: &str = "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n";
    const OBJECT: &str = "HTTP/1.1 200 OK\r\netag: \"e1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                          content-length: 5\r\n\r\nhello";
    const HALF_AN_OBJECT: &str = "HTTP/1.1 200 OK\r\netag: \"e1\"\r\n\
                                  last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                                  content-length: 5\r\n\r\nhe";
    const SILENCE: &str = "silence";
    const HANGS_UP: &str = "";

    /// A server on the loopback that has one answer for each connection, and a bucket behind it.
    /// When it has given all its answers, it tells what it was asked.
    async fn server(answers: &'static [&'static str]) -> (AmazonS3, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bucket = bucket(&format!("http://{}", listener.local_addr().unwrap()));
        let asked = tokio::spawn(async move {
            let (mut asked, mut silent) = (Vec::new(), Vec::new());
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.push(request(&mut stream).await);
                if *answer == SILENCE {
                    silent.push(stream);
                } else {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            asked
        });
        (bucket, asked)
    }

    /// Reads a request; those here end with their headers or with `body`.
    async fn request(stream: &mut TcpStream) -> String {
        let mut read = Vec::new();
        loop {
            stream.read_buf(&mut read).await.unwrap();
            let text = String::from_utf8_lossy(&read).into_owned();
            if text.ends_with("\r\n\r\n") && !text.starts_with("PUT") || text.ends_with("body") {
                return text;
            }
        }
    }

    fn bucket(endpoint: &str) -> AmazonS3 {
        let builder = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_region("eu-west-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_bucket_name("b");
        build(builder, Http::new(Duration::from_millis(200))).unwrap()
    }

    async fn get(bucket: &AmazonS3) -> Result<Vec<u8>, Error> {
        Ok(bucket.get(&Path::from("a/key")).await?.bytes().await?.to_vec())
    }

    async fn create(bucket: &AmazonS3) -> Result<PutResult, Error> {
        put(bucket, PutMode::Create).await
    }

    async fn put(bucket: &AmazonS3, mode: PutMode) -> Result<PutResult, Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        bucket.put_opts(&Path::from("a/key"), PutPayload::from_static(b"body"), options).await
    }

    #[tokio::test]
    async fn an_object_is_created_and_read() {
        let (bucket, asked) = server(&[OK, OBJECT]).await;
        assert_eq!(create(&bucket).await.unwrap().e_tag.as_deref(), Some("\"e1\""));
        assert_eq!(get(&bucket).await.unwrap(), b"hello");
        let asked = asked.await.unwrap();
        let (put, get) = (asked[0].to_lowercase(), asked[1].to_lowercase());
        assert!(put.starts_with("put /b/a/key http/1.1\r\n") && put.ends_with("\r\n\r\nbody"), "{put}");
        assert!(get.starts_with("get /b/a/key http/1.1\r\n"), "{get}");
        for header in ["if-none-match: *\r\n", "content-length: 4\r\n"] {
            assert!(put.contains(header), "{header} is missing: {put}");
        }
        for header in ["authorization: aws4-hmac-sha256 credential=test/", "user-agent: jobwarden/"] {
            assert!(put.contains(header) && get.contains(header), "{header} is missing: {put}{get}");
        }
    }

    #[tokio::test]
    async fn a_link_reads_one_object_for_as_long_as_was_said() {
        let links = Links(bucket("http://127.0.0.1:9"));
        let link = links.sign(&Path::from("sweeps/a/report.html"), Duration::from_secs(300)).await.unwrap();
        assert_eq!(format!("{link:?}"), "SignedLink(..)");
        let link = link.reveal();
        assert!(link.starts_with("http://127.0.0.1:9/b/sweeps/a/report.html?"), "{link}");
        for part in
            ["X-Amz-Expires=300", "X-Amz-SignedHeaders=host", "X-Amz-Signature=", "X-Amz-Credential=test%2F"]
        {
            assert!(link.contains(part), "{part} is missing: {link}");
        }
    }

    #[tokio::test]
    async fn what_is_there_already_is_not_created_again() {
        let (bucket, asked) = server(&[THERE_ALREADY]).await;
        assert!(matches!(create(&bucket).await, Err(Error::AlreadyExists { .. })));
        assert_eq!(asked.await.unwrap().len(), 1);
    }

    /// What the store makes of one of these is "unavailable", and the message or the call comes again.
    #[tokio::test]
    async fn troubles_of_credentials_and_clock_say_nothing_of_an_object_and_are_named() {
        for (status, code) in [
            (400, "ExpiredToken"),
            (400, "InvalidToken"),
            (403, "RequestTimeTooSkewed"),
            (403, "InvalidAccessKeyId"),
            (403, "SignatureDoesNotMatch"),
        ] {
            let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let answer: &'static str = answer.leak();
            let (bucket, asked) = server(vec![answer; 3].leak()).await;
            let version = UpdateVersion { e_tag: Some("\"e1\"".to_owned()), version: None };
            let told = [
                get(&bucket).await.map(drop),
                create(&bucket).await.map(drop),
                put(&bucket, PutMode::Update(version)).await.map(drop),
            ];
            for told in told {
                let error = told.unwrap_err();
                assert!(
                    matches!(error, Error::Generic { .. } | Error::PermissionDenied { .. }),
                    "{status} {code}: {error:?}"
                );
                assert!(chain(&error).contains(code), "{status} {code}: {error:?}");
            }
            assert_eq!(asked.await.unwrap().len(), 3, "nothing of it is sent again at once");
        }
    }

    #[tokio::test]
    async fn a_read_is_repeated_when_its_answer_stays_out_or_breaks_off() {
        let (bucket, asked) = server(&[SILENCE, HALF_AN_OBJECT, OBJECT]).await;
        assert_eq!(get(&bucket).await.unwrap(), b"hello");
        assert_eq!(asked.await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_create_is_not_sent_again_when_its_answer_stays_out() {
        let (bucket, asked) = server(&[SILENCE, OBJECT]).await;
        let error = chain(&create(&bucket).await.unwrap_err());
        assert!(error.contains("deadline has elapsed"), "{error}");
        // The second answer is still there for the read.
        assert_eq!(get(&bucket).await.unwrap(), b"hello");
        assert_eq!(asked.await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_without_an_answer_is_tried_again() {
        let (bucket, asked) = server(&[HANGS_UP, OK]).await;
        create(&bucket).await.unwrap();
        assert_eq!(asked.await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_refused_connection_is_tried_again_and_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = chain(&create(&bucket(&format!("http://{address}"))).await.unwrap_err());
        assert!(error.contains("after 2 retries") && error.contains("onnection refused"), "{error}");
    }
}
