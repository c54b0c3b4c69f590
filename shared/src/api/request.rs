//! Requests, parsed to the last parameter: everything wrong is told at once, before any call.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::ApiError;
use super::body::{Body, report};
use crate::guard::{CancelRequest, DeleteRequest};
use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version, Violation, quoted};
use crate::lane::LaneName;
use crate::operation::Operation;
use crate::ports::Force;
use crate::sweep::{ListSweeps, SweepId};

/// What the gateway passes on of a request.
#[derive(Debug, Clone, Default)]
pub struct ApiRequest {
    /// The path's parameters by name.
    pub path: BTreeMap<String, String>,
    /// The query's parameters by name, each with all its values.
    pub query: BTreeMap<String, Vec<String>>,
    /// The body's bytes; empty when there is none.
    pub body: Vec<u8>,
}

/// What a caller asks of `POST /sweeps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRequest {
    /// What the sweep is to do.
    pub operation: Operation,
    /// In which lane, if not the home lane.
    pub lane: Option<LaneName>,
    /// Whether it is to plan only; `None` takes the deployment's setting.
    pub dry_run: Option<bool>,
    /// The digest of a plan that the breaker stopped and this sweep may carry out.
    pub release_plan: Option<String>,
}

impl ApiRequest {
    /// Reads a CancelJobExecution.
    ///
    /// # Errors
    /// InvalidRequestException naming every member that breaks a limit.
    pub fn cancel(mut self) -> Result<CancelRequest, ApiError> {
        let mut violations = Vec::new();
        let job_id = self.path("jobId", JobId::parse, &mut violations);
        let thing_name = self.path("thingName", ThingName::parse, &mut violations);
        let force = self.flag("force", &mut violations);
        let dry_run = self.flag("dryRun", &mut violations);
        self.refuse_rest_of_query("force, dryRun", &mut violations);
        let mut expected_version = None;
        let mut status_details = None;
        if let Some(mut members) = report(Body::parse(&self.body), &mut violations) {
            expected_version = members.number("expectedVersion", Version::parse, &mut violations);
            status_details = members.status_details(&mut violations);
            members.refuse_rest("expectedVersion, statusDetails", &mut violations);
        }
        match (job_id, thing_name) {
            (Some(job_id), Some(thing_name)) if violations.is_empty() => {
                let force = force_of(force);
                Ok(CancelRequest { job_id, thing_name, force, expected_version, status_details, dry_run })
            }
            _ => Err(violations.into()),
        }
    }

    /// Reads a DeleteJobExecution.
    ///
    /// # Errors
    /// InvalidRequestException naming every member that breaks a limit.
    pub fn delete(mut self) -> Result<DeleteRequest, ApiError> {
        let mut violations = Vec::new();
        let job_id = self.path("jobId", JobId::parse, &mut violations);
        let thing_name = self.path("thingName", ThingName::parse, &mut violations);
        let number = self.path("executionNumber", ExecutionNumber::parse, &mut violations);
        let force = self.flag("force", &mut violations);
        let dry_run = self.flag("dryRun", &mut violations);
        let namespace_id = self.query("namespaceId", NamespaceId::parse, &mut violations);
        self.refuse_rest_of_query("force, namespaceId, dryRun", &mut violations);
        self.refuse_body("DeleteJobExecution", &mut violations);
        match (job_id, thing_name, number) {
            (Some(job_id), Some(thing_name), Some(execution_number)) if violations.is_empty() => {
                let force = force_of(force);
                Ok(DeleteRequest { job_id, thing_name, execution_number, force, namespace_id, dry_run })
            }
            _ => Err(violations.into()),
        }
    }

    /// Reads a `POST /sweeps`.
    ///
    /// # Errors
    /// InvalidRequestException naming every member that breaks a limit.
    pub fn start_sweep(mut self) -> Result<StartRequest, ApiError> {
        let mut violations = Vec::new();
        self.refuse_rest_of_query("none", &mut violations);
        let Some(mut members) = report(Body::parse(&self.body), &mut violations) else {
            return Err(violations.into());
        };
        let what = "delete-expired or cancel-stale";
        let operation = members.required("operation", what, operation, &mut violations);
        let lane = members.parsed("lane", LaneName::parse, &mut violations);
        let dry_run = members.bool("dryRun", &mut violations);
        let release_plan = members
            .text("releasePlan", &mut violations)
            .and_then(|digest| report(plan_digest(digest), &mut violations));
        members.refuse_rest("operation, lane, dryRun, releasePlan", &mut violations);
        match operation {
            Some(operation) if violations.is_empty() => {
                Ok(StartRequest { operation, lane, dry_run, release_plan })
            }
            _ => Err(violations.into()),
        }
    }

    /// Reads a `GET /sweeps`.
    ///
    /// # Errors
    /// InvalidRequestException naming every member that breaks a limit.
    pub fn list_sweeps(mut self) -> Result<ListSweeps, ApiError> {
        let mut violations = Vec::new();
        let operation = self.query("operation", operation, &mut violations);
        let max_results = self.query("maxResults", max_results, &mut violations).unwrap_or(25);
        let after = self.query("nextToken", next_token, &mut violations);
        self.refuse_rest_of_query("operation, maxResults, nextToken", &mut violations);
        self.refuse_body("GET /sweeps", &mut violations);
        if violations.is_empty() {
            Ok(ListSweeps { operation, max_results, after })
        } else {
            Err(violations.into())
        }
    }

    /// Reads the sweep's id from the path of `GET /sweeps/{sweepId}` and what is below it.
    ///
    /// # Errors
    /// InvalidRequestException naming every member that breaks a limit.
    pub fn sweep_id(mut self) -> Result<SweepId, ApiError> {
        let mut violations = Vec::new();
        let id = self.path("sweepId", SweepId::parse, &mut violations);
        self.refuse_rest_of_query("none", &mut violations);
        self.refuse_body("GET /sweeps", &mut violations);
        match id {
            Some(id) if violations.is_empty() => Ok(id),
            _ => Err(violations.into()),
        }
    }

    /// A parameter of the path. Gateways differ in whether they decode it; no legal value has
    /// a percent sign, so decoding is right either way.
    fn path<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Violation>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        let value = self.path.remove(name).unwrap_or_default();
        let decoded = percent_decode_str(&value).decode_utf8_lossy();
        report(parse(&decoded), violations)
    }

    fn query<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Violation>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        match self.query.remove(name)?.as_slice() {
            [value] => report(parse(value), violations),
            values => {
                let problem = format!("is given {} times; give it once", values.len());
                violations.push(Violation::new(name, problem));
                None
            }
        }
    }

    fn flag(&mut self, name: &'static str, violations: &mut Vec<Violation>) -> bool {
        let parse = |value: &str| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(Violation::new(name, format!("{} must be true or false", quoted(other)))),
        };
        self.query(name, parse, violations).unwrap_or(false)
    }

    pub(super) fn refuse_rest_of_query(&mut self, known: &str, violations: &mut Vec<Violation>) {
        for name in self.query.keys() {
            let problem = format!("unknown parameter {}; it takes {known}", quoted(name));
            violations.push(Violation::new("query", problem));
        }
    }

    fn refuse_body(&self, operation: &str, violations: &mut Vec<Violation>) {
        // SDKs may send an empty object where an operation has no body.
        if !Body::parse(&self.body).is_ok_and(|body| body.is_empty()) {
            violations.push(Violation::new("body", format!("{operation} takes no body")));
        }
    }
}

pub(super) fn force_of(force: bool) -> Force {
    if force { Force::EvenInProgress } else { Force::Never }
}

fn operation(name: &str) -> Result<Operation, Violation> {
    Operation::parse(name).ok_or_else(|| {
        Violation::new("operation", format!("{} must be delete-expired or cancel-stale", quoted(name)))
    })
}

fn max_results(value: &str) -> Result<usize, Violation> {
    value
        .parse()
        .ok()
        .filter(|number| (1..=100).contains(number))
        .ok_or_else(|| Violation::new("maxResults", format!("{} must be from 1 to 100", quoted(value))))
}

/// The token of a page is the last sweep's id.
fn next_token(value: &str) -> Result<SweepId, Violation> {
    SweepId::parse(value).map_err(|_| {
        Violation::new("nextToken", format!("{} must be the nextToken of the page before", quoted(value)))
    })
}

fn plan_digest(digest: String) -> Result<String, Violation> {
    let legal = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if legal {
        return Ok(digest);
    }
    let problem = format!("{} must be the planDigest of a stopped sweep's report", quoted(&digest));
    Err(Violation::new("releasePlan", problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ErrorCode;

    fn request(query: &[(&str, &str)], body: &str) -> ApiRequest {
        let mut request = ApiRequest { body: body.as_bytes().to_vec(), ..ApiRequest::default() };
        let path = [("thingName", "pump%3A7"), ("jobId", "fw-1"), ("executionNumber", "3")];
        request.path = path.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        for (name, value) in query {
            request.query.entry((*name).to_owned()).or_default().push((*value).to_owned());
        }
        request
    }

    fn refused(query: &[(&str, &str)], body: &str) -> String {
        let error = request(query, body).cancel().unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        error.message
    }

    #[test]
    fn a_full_cancel_is_read() {
        let body = r#"{"expectedVersion": 7, "statusDetails": {"step": "x"}}"#;
        let cancel = request(&[("force", "true"), ("dryRun", "false")], body).cancel().unwrap();
        assert_eq!(cancel.thing_name.as_str(), "pump:7");
        assert_eq!(cancel.force, Force::EvenInProgress);
        assert_eq!(cancel.expected_version.unwrap().get(), 7);
        assert_eq!(cancel.status_details.unwrap().pairs()["step"], "x");
        assert!(!cancel.dry_run);
    }

    #[test]
    fn a_name_that_is_decoded_already_is_read_alike() {
        let mut decoded = request(&[], "");
        decoded.path.insert("thingName".into(), "pump:7".into());
        assert_eq!(decoded.cancel().unwrap(), request(&[], "").cancel().unwrap());
    }

    #[test]
    fn an_empty_body_and_null_members_ask_for_nothing() {
        for body in ["", "  ", "{}", r#"{"expectedVersion": null, "statusDetails": null}"#] {
            let cancel = request(&[], body).cancel().unwrap();
            assert_eq!((cancel.expected_version, cancel.status_details), (None, None));
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut bad = request(&[("force", "yes"), ("colour", "red")], r#"{"expectedVersion": "1", "x": 2}"#);
        bad.path.insert("jobId".into(), "a b".into());
        let message = bad.cancel().unwrap_err().message;
        for expected in [
            "5 validation errors detected: ",
            "jobId: `a b` must be 1 to 64 characters",
            "force: `yes` must be true or false",
            "query: unknown parameter `colour`; it takes force, dryRun",
            "expectedVersion: must be a whole number, not a text",
            "body: unknown member `x`; it takes expectedVersion, statusDetails",
        ] {
            assert!(message.contains(expected), "{expected} in {message}");
        }
    }

    #[test]
    fn repeated_and_empty_parameters_are_refused() {
        assert!(refused(&[("force", "true"), ("force", "true")], "").contains("force: is given 2 times"));
        assert!(refused(&[("force", "")], "").contains("force: `` must be true or false"));
        assert!(refused(&[], r#"{"expectedVersion":1,"expectedVersion":2}"#).contains("is repeated"));
        assert!(refused(&[], r#"{"statusDetails":{"a":"b","a":"c"}}"#).contains("is repeated"));
    }

    #[test]
    fn bodies_that_are_no_object_are_refused() {
        for body in ["[]", "1", "nonsense", "{", "\"{}\"", "{}{}", "{\"a\":", "\u{feff}{}"] {
            assert!(refused(&[], body).contains("body: must be one JSON object"), "{body}");
        }
        let deep = format!("{{\"statusDetails\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert!(refused(&[], &deep).contains("statusDetails: must be an object of texts, not a list"));
        let deep = format!("{}1{}", "{\"statusDetails\":".repeat(3_400), "}".repeat(3_400));
        assert!(refused(&[], &deep).contains("value of `statusDetails` must be a text, not an object"));
        let half = refused(&[], r#"{"statusDetails":{"k":"\ud800"}}"#);
        assert!(half.contains("value of `k` must be a text, not a text of illegal characters"), "{half}");
        let long = refused(&[], &format!("\"{}\"", "x".repeat(60_000)));
        assert!(long.len() < 500, "{}", long.len());
        let many: Vec<_> = (0..5_000).map(|n| format!("\"m{n}\":1")).collect();
        let many = refused(&[], &format!("{{{}}}", many.join(",")));
        assert!(
            many.contains("5000 validation errors") && many.contains("and 4980 more") && many.len() < 3000
        );
        assert!(refused(&[], &" ".repeat(70_000)).contains("at most 65536"));
        let mut invalid = request(&[], "");
        invalid.body = vec![b'{', 0xff, b'}'];
        assert!(invalid.cancel().unwrap_err().message.contains("body: must be one JSON object in UTF-8"));
    }

    #[test]
    fn versions_outside_64_bits_or_below_one_are_refused() {
        let long = "9".repeat(400);
        for version in ["0", "-1", "1.0", "1e3", "9223372036854775808", "1e999", "true", "[]", "{}", &long] {
            let message = refused(&[], &format!("{{\"expectedVersion\":{version}}}"));
            assert!(message.starts_with("1 validation error detected: expectedVersion: "), "{message}");
            assert!(message.contains("must be a whole number"), "{message}");
            assert!(message.len() < 300, "{message}");
        }
    }

    #[test]
    fn a_delete_takes_no_body() {
        assert!(request(&[], "{}").delete().is_ok());
        let message = request(&[], "{\"force\":true}").delete().unwrap_err().message;
        assert!(message.contains("body: DeleteJobExecution takes no body"), "{message}");
    }

    #[test]
    fn a_page_of_sweeps_names_what_is_wrong_with_it() {
        let message = |query| request(query, "").list_sweeps().unwrap_err().message;
        assert!(message(&[("nextToken", "\0")]).contains("nextToken: `\\0` must be the nextToken"));
        assert!(message(&[("maxResults", "101")]).contains("maxResults: `101` must be from 1 to 100"));
        assert!(
            message(&[("operation", "")]).contains("operation: `` must be delete-expired or cancel-stale")
        );
    }

    #[test]
    fn a_sweep_needs_an_operation_that_exists() {
        let message = |body| request(&[], body).start_sweep().unwrap_err().message;
        assert!(message("{}").contains("operation: is required"));
        assert!(message(r#"{"operation":"drop"}"#).contains("`drop` must be delete-expired or cancel-stale"));
        assert!(message(r#"{"operation":1}"#).contains("operation: must be a text"));
        assert!(message(r#"{"operation":"cancel-stale","dryRun":"no"}"#).contains("dryRun"));
        assert!(message(r#"{"operation":"cancel-stale","releasePlan":"x"}"#).contains("releasePlan"));
        assert!(message(r#"{"operation":"cancel-stale","lane":""}"#).contains("lane: `` must be 1 to 32"));
        let start = request(&[], r#"{"operation":"cancel-stale","dryRun":false}"#).start_sweep().unwrap();
        assert_eq!((start.operation, start.dry_run), (Operation::CancelStale, Some(false)));
    }
}
