//! The SDK's configuration, the same for every client.

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor};
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::sdk_config::{SharedCredentialsProvider, SharedHttpClient};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::http::{Http, TIMEOUT};

/// The configuration from Lambda's environment: its credentials, its Region, and the endpoint of
/// an emulator. The SDK's own chain of files, profiles and servers, which nobody asks for in a
/// Lambda function, is left out, and with it a tenth of the code.
///
/// Retries are off: for a cancel or a delete a retry would be a blind resend, and a sweep's reads
/// are paced and repeated by the sweep.
pub async fn config() -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .service_config(Environment)
        .http_client(SharedHttpClient::new(Http::new(TIMEOUT)))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build())
        // No answer is a stream: each is read whole under the timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Leaves headers out that the SDK writes anew for each call, and signs: an id of the call and the number of the
/// attempt, which tell AWS about retries, of which there are none, and a description of the SDK in two headers. The
/// client says who asks.
#[derive(Debug)]
pub(crate) struct Terse;

impl Intercept for Terse {
    fn name(&self) -> &'static str {
        "Terse"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let call = call.interceptor_state();
        call.store_put(disable_interceptor::<InvocationIdInterceptor>("nothing is sent again"));
        call.store_put(disable_interceptor::<RequestInfoInterceptor>("nothing is sent again"));
        call.store_put(disable_interceptor::<UserAgentInterceptor>("the client says who asks"));
        Ok(())
    }
}

/// The endpoints: `AWS_ENDPOINT_URL_IOT` and its like for one service, `AWS_ENDPOINT_URL` for all.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        endpoint(&key, |name| std::env::var_os(name)?.into_string().ok().filter(|url| !url.is_empty()))
    }
}

fn endpoint(key: &ServiceConfigKey<'_>, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let service = key.service_id().to_uppercase().replace(' ', "_");
    variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::Credentials;
    use aws_types::region::Region;
    use shared::ports::ReadJobs;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::iot::IotReader;

    #[tokio::test]
    async fn a_call_says_who_asks_and_nothing_of_the_sdk() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut read).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"jobs\":[]}").await.unwrap();
            String::from_utf8(read).unwrap()
        });
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "c")))
            .region(Region::new("eu-west-1"))
            .endpoint_url(format!("http://{address}"))
            .http_client(SharedHttpClient::new(Http::new(Duration::from_secs(1))))
            .build();
        IotReader::new(&config).list_jobs(None).await.unwrap();
        let asked = server.await.unwrap();
        assert!(
            asked.contains("user-agent: jobwarden/") && asked.contains("/eu-west-1/iot/aws4_request"),
            "{asked}"
        );
        for header in ["aws-sdk", "amz-sdk", "x-amz-user-agent"] {
            assert!(!asked.contains(header), "{header}: {asked}");
        }
    }

    #[test]
    fn an_endpoint_of_one_service_goes_before_the_one_of_all() {
        let endpoint = |service, set: &'static [(&str, &str)]| {
            let key = ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url")
                .build()
                .unwrap();
            endpoint(&key, |name| set.iter().find(|(of, _)| *of == name).map(|(_, url)| (*url).to_owned()))
        };
        let set = &[("AWS_ENDPOINT_URL", "http://all"), ("AWS_ENDPOINT_URL_IOT", "http://iot")];
        assert_eq!(endpoint("IoT", set).as_deref(), Some("http://iot"));
        assert_eq!(endpoint("SQS", set).as_deref(), Some("http://all"));
        assert_eq!(endpoint("SQS", &[]), None);
    }
}
