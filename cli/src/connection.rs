//! The API and the bucket: where they are, who calls, and what their answers mean for a command.

use std::env;

use aws::error_code::is_of_credentials_or_clock;
use aws::operator::{Answer, Operator, OperatorError};
use clap::Args;
use hyper::Method;
use object_store::aws::AmazonS3;
use serde::de::DeserializeOwned;
use serde_json::Value;

use shared::json;
use shared::legible::shown;

use crate::failure::{Exit, Failure, chain};

/// What to do where AWS does not accept the credentials or the clock.
const CREDENTIALS: &str = "; get new credentials, and check this machine's clock";

const API: &str = "JOBWARDEN_API";

/// Where the stack is, and as whom to call it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The API: the stack's output ApiUrl.
    #[arg(long, global = true, value_name = "URL", env = API)]
    api: Option<String>,
    /// The stack's Region. The API's address says it where it is API Gateway's own; otherwise AWS_REGION or the
    /// profile does.
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// The profile of ~/.aws/config whose credentials to use.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// The bucket with the archive: the stack's output BucketName.
    #[arg(long, global = true, value_name = "NAME", env = "JOBWARDEN_BUCKET")]
    bucket: Option<String>,
}

impl Connection {
    /// The options that were given, for a command that is to be run again. What the environment says it will say
    /// again.
    pub(crate) fn again(&self) -> String {
        let api = self.api.as_ref().filter(|api| env::var_os(API).is_none_or(|said| said != api.as_str()));
        let given =
            [("--api", api), ("--region", self.region.as_ref()), ("--profile", self.profile.as_ref())];
        given.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", value?))).collect()
    }

    async fn operator(&self) -> Operator {
        Operator::new(self.profile.as_deref(), self.region.as_deref(), self.api.as_deref()).await
    }

    pub(crate) async fn api(&self) -> Result<Api, Failure> {
        let missing =
            || Failure::usage("which API? give --api or set JOBWARDEN_API to the stack's output ApiUrl");
        let address = self.api.clone().filter(|address| !address.is_empty()).ok_or_else(missing)?;
        Ok(Api { operator: self.operator().await, address })
    }

    pub(crate) async fn bucket(&self) -> Result<AmazonS3, Failure> {
        let missing = || {
            Failure::usage(
                "which bucket? give --bucket or set JOBWARDEN_BUCKET to the stack's output BucketName",
            )
        };
        let name = self.bucket.as_deref().filter(|name| !name.is_empty()).ok_or_else(missing)?;
        self.operator().await.bucket(name).map_err(failed)
    }
}

/// The API of a stack.
#[derive(Debug)]
pub(crate) struct Api {
    operator: Operator,
    address: String,
}

impl Api {
    /// The body of an answer that tells of success.
    pub(crate) async fn get(&self, path: &str) -> Result<String, Failure> {
        self.call(&Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<String, Failure> {
        self.call(&Method::POST, path, Some(body.to_string())).await
    }

    async fn call(&self, method: &Method, path: &str, body: Option<String>) -> Result<String, Failure> {
        let answer = self.operator.send(method, &self.address, path, body).await.map_err(failed)?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        Err(refused(&answer, &format!("{method} {path}")))
    }
}

/// What a body says, in types.
pub(crate) fn decoded<T: DeserializeOwned>(what: &str, body: &str) -> Result<T, Failure> {
    json::object(body.as_bytes()).map_err(|error| Failure::unreadable(what, error))
}

/// Errors on the way to an answer.
fn failed(error: OperatorError) -> Failure {
    let exit = match &error {
        OperatorError::Address(_) | OperatorError::NoRegion | OperatorError::Bucket(_) => Exit::Usage,
        OperatorError::NoCredentials(_) => Exit::NotAllowed,
        OperatorError::Unsigned(_) | OperatorError::NoAnswer { .. } => Exit::NotServed,
    };
    let remedy = match &error {
        OperatorError::NoCredentials(_) => {
            "; set some, or name a profile with --profile (for one that signs in by SSO or a process: `eval \"$(aws \
             configure export-credentials --profile NAME --format env)\"`)"
        }
        OperatorError::NoAnswer { .. } => "; is the address right, and can it be reached from here?",
        _ => "",
    };
    let told = match &error {
        // The chain tells at length what there is not.
        OperatorError::NoCredentials(cause) if cause.to_string().contains("not enabled") => {
            "there are no credentials in the environment, the profile, or the machine's or container's role"
                .to_owned()
        }
        _ => chain(&error),
    };
    Failure::new(exit, format!("{}{remedy}", shown(&told)))
}

/// An error of the bucket.
pub(crate) fn bucket_failed(error: &object_store::Error) -> Failure {
    const RIGHTS: &str = "; it takes s3:ListBucket and s3:GetObject on the stack's bucket";
    let told = chain(error);
    // What S3 answers to a listing comes as a generic error, with S3's own words in it.
    let of_s3 = element(&told, "Code").unwrap_or_default();
    let (exit, remedy) = match error {
        _ if of_s3 == "NoSuchBucket" => (Exit::NotFound, "; is the bucket's name right?"),
        _ if is_of_credentials_or_clock(of_s3) => (Exit::NotAllowed, CREDENTIALS),
        _ if of_s3 == "AccessDenied" => (Exit::NotAllowed, RIGHTS),
        object_store::Error::NotFound { .. } => (Exit::NotFound, "; is the bucket's name right?"),
        object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
            (Exit::NotAllowed, RIGHTS)
        }
        _ => (Exit::NotServed, ""),
    };
    let told = match element(&told, "Message") {
        Some(message) => format!("{of_s3}: {message}"),
        None => told,
    };
    Failure::new(exit, shown(&format!("the bucket: {told}{remedy}")))
}

/// What an element of XML has in it.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

/// An answer in the wire form of AWS's errors: what, where, and what to do about it.
fn refused(answer: &Answer, request: &str) -> Failure {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let member = |names: [&str; 2]| names.iter().find_map(|name| body.get(name)?.as_str().map(str::to_owned));
    let name = answer.error.clone().or_else(|| member(["__type", "code"])).unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    let message = member(["message", "Message"]).unwrap_or_else(|| answer.body.chars().take(200).collect());
    let (exit, remedy) = meaning(answer.status, name, request);
    let name = if name.is_empty() { "an error without a name" } else { name };
    let told = format!("{request}: {name} ({}): {message}{remedy}", answer.status);
    Failure::new(exit, shown(&told))
}

fn meaning(status: u16, name: &str, request: &str) -> (Exit, &'static str) {
    match (status, name) {
        (_, "ResourceNotFoundException") if request.contains("/report") => {
            (Exit::NotFound, "; `jobwarden sweep watch` tells how far the sweep is")
        }
        (_, "ResourceNotFoundException") if request.contains(" /sweeps/") => {
            (Exit::NotFound, "; `jobwarden sweep list` tells which there are")
        }
        (_, "ResourceNotFoundException") => (Exit::NotFound, ""),
        // API Gateway's words for a path that it does not know.
        (_, "MissingAuthenticationTokenException") => {
            (Exit::Usage, "; is --api the stack's output ApiUrl, with its stage at the end?")
        }
        (404, _) => (Exit::Usage, "; is --api the stack's output ApiUrl, with its stage at the end?"),
        (_, "AccessDeniedException") => (Exit::NotAllowed, ""),
        (_, code) if is_of_credentials_or_clock(code) => (Exit::NotAllowed, CREDENTIALS),
        (401 | 403, _) => {
            (Exit::NotAllowed, "; `aws sts get-caller-identity` tells whose credentials these are")
        }
        (429, _) | (_, "ThrottlingException" | "TooManyRequestsException") => {
            (Exit::NotServed, "; try again in a while")
        }
        (500.., _) | (_, "ServiceUnavailableException") => {
            (Exit::NotServed, "; if it stays so, the functions' logs say why")
        }
        _ => (Exit::Refused, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, header: Option<&str>, body: &str, exit: Exit, told: &str) {
        let answer = Answer { status, error: header.map(str::to_owned), body: body.to_owned() };
        let failure = refused(&answer, "GET /sweeps/x");
        assert_eq!((failure.exit, failure.message.as_str()), (exit, told));
    }

    #[test]
    fn an_error_of_the_bucket_is_told_in_s3s_words() {
        let failed = |code: &str| {
            let xml =
                format!("<?xml?>\n<Error><Code>{code}</Code><Message>it says so\u{1b}</Message></Error>");
            bucket_failed(&object_store::Error::Generic { store: "S3", source: xml.into() })
        };
        let missing = failed("NoSuchBucket");
        assert_eq!(missing.exit, Exit::NotFound);
        let told = "the bucket: NoSuchBucket: it says so\\u{1b}; is the bucket's name right?";
        assert_eq!(missing.message, told);
        assert_eq!(failed("AccessDenied").exit, Exit::NotAllowed);
        assert_eq!(failed("RequestTimeTooSkewed").exit, Exit::NotAllowed);
        assert_eq!(failed("SlowDown").exit, Exit::NotServed);
    }

    #[test]
    fn an_error_of_the_api_is_one_line_with_its_name_and_what_to_do() {
        check(
            404,
            Some("ResourceNotFoundException"),
            r#"{"message": "there is no sweep `x`"}"#,
            Exit::NotFound,
            "GET /sweeps/x: ResourceNotFoundException (404): there is no sweep `x`; `jobwarden sweep list` tells which \
             there are",
        );
        check(
            403,
            None,
            r#"{"__type": "AccessDeniedException", "message": "no"}"#,
            Exit::NotAllowed,
            "GET /sweeps/x: AccessDeniedException (403): no",
        );
        check(
            403,
            Some("InvalidSignatureException"),
            r#"{"Message": "bad"}"#,
            Exit::NotAllowed,
            "GET /sweeps/x: InvalidSignatureException (403): bad; get new credentials, and check this machine's clock",
        );
        check(
            400,
            Some("ExpiredTokenException"),
            r#"{"message": "old"}"#,
            Exit::NotAllowed,
            "GET /sweeps/x: ExpiredTokenException (400): old; get new credentials, and check this machine's clock",
        );
        check(
            400,
            Some("ThrottlingException"),
            r#"{"message": "slow"}"#,
            Exit::NotServed,
            "GET /sweeps/x: ThrottlingException (400): slow; try again in a while",
        );
        check(
            502,
            None,
            "<html>\n\u{1b}[2J",
            Exit::NotServed,
            "GET /sweeps/x: an error without a name (502): <html>\\u{a}\\u{1b}[2J; if it stays so, the functions' logs \
             say why",
        );
        check(
            400,
            Some("InvalidRequestException"),
            r#"{"message": "m"}"#,
            Exit::Refused,
            "GET /sweeps/x: InvalidRequestException (400): m",
        );
    }
}
