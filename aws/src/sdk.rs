//! The SDK's configuration, the same for every client.

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
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
        .build()
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
    use super::*;

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
