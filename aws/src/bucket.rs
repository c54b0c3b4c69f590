//! The bucket, over `object_store` with conditional writes.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::{ClientOptions, RetryConfig};
use shared::ports::Cause;

/// Opens the bucket with Lambda's own credentials, Region and endpoint.
///
/// # Errors
/// When the name or the endpoint is none.
pub fn open(name: &str) -> Result<AmazonS3, Cause> {
    // A second installation is refused, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientOptions::new()
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(5))
        // For an emulator; AWS itself is reached by https in any case.
        .with_allow_http(true);
    let retry =
        RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(6), ..RetryConfig::default() };
    let bucket = AmazonS3Builder::from_env()
        .with_bucket_name(name)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(client)
        .with_retry(retry)
        .build()?;
    Ok(bucket)
}
