//! A member that is repeated or `null` means the same in every body of the API.

use serde_json::{Map, Value, json};
use shared::api::{ApiError, ApiRequest};

use crate::stage::now;

/// A body with every member that it may have.
struct Body {
    name: &'static str,
    full: Value,
    read: fn(ApiRequest) -> Result<String, ApiError>,
}

fn bodies() -> Vec<Body> {
    let decide: fn(ApiRequest) -> Result<String, ApiError> =
        |request| request.decision(now()).map(|read| format!("{read:?}"));
    let execution = json!({
        "jobId": "fw", "thingName": "pump", "executionNumber": 2, "account": "123456789012", "region": "eu-west-1",
        "queuedAge": "4h", "startedAge": "3h", "lastUpdatedAge": "2h", "jobTags": {"ring": "canary", "owner": "anna"},
        "jobNamespaceId": "ns", "jobRetries": true, "jobRetryLimits": {"failed": 2, "timedOut": 1},
        "jobContinuous": true, "versionNumber": 3, "statusDetails": {"step": "one"},
        "approximateSecondsBeforeTimedOut": 60, "retryAttempt": 1, "thingGroups": ["pumps"],
        "thingAttributes": {"site": "north"},
    });
    let of = |name, full, read| Body { name, full, read };
    vec![
        of(
            "cancel",
            json!({"expectedVersion": 7, "statusDetails": {"step": "one", "why": "x"}}),
            |request| request.cancel().map(|read| format!("{read:?}")),
        ),
        of(
            "start",
            json!({"operation": "delete-expired", "lane": "eu", "dryRun": true, "releasePlan": "0".repeat(64)}),
            |request| request.start_sweep().map(|read| format!("{read:?}")),
        ),
        of(
            "decision on a cancel",
            json!({"action": "CancelJobExecution", "jobId": "fw", "thingName": "pump", "force": true, "expectedVersion": 7,
                   "executionNumber": null, "status": null, "execution": null, "now": null}),
            decide,
        ),
        of(
            "decision on a delete",
            json!({"action": "DeleteJobExecution", "jobId": "fw", "thingName": "pump", "force": true, "executionNumber": 7,
                   "expectedVersion": null, "status": null, "execution": null, "now": null}),
            decide,
        ),
        of(
            "decision on what is made up",
            json!({"action": "CancelJobExecution", "status": "IN_PROGRESS", "force": true, "expectedVersion": 7,
                   "execution": execution, "now": "2026-11-23T07:00:00Z",
                   "jobId": null, "thingName": null, "executionNumber": null}),
            decide,
        ),
    ]
}

impl Body {
    fn reads(&self, text: &str) -> Result<String, String> {
        let path = [("thingName", "pump"), ("jobId", "fw")];
        let path = path.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let request = ApiRequest { path, body: text.as_bytes().to_vec(), ..ApiRequest::default() };
        (self.read)(request).map_err(|error| error.message)
    }
}

/// Members whose value has names of the caller's own.
const MAPS: [&str; 3] = ["jobTags", "statusDetails", "thingAttributes"];

/// The value with one member of it changed, for each member of it and of the objects in it: its place, and the text.
fn changed(value: &Value, change: &impl Fn(&str, &Map<String, Value>) -> String) -> Vec<(String, String)> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let mut texts = Vec::new();
    for (name, inner) in members {
        texts.push((name.clone(), change(name, members)));
        for (place, text) in changed(inner, change) {
            let others = members.iter().filter(|(other, _)| *other != name);
            let others =
                others.map(|(other, value)| format!("{}:{value},", json!(other))).collect::<String>();
            texts.push((format!("{name}.{place}"), format!("{{{others}{}:{text}}}", json!(name))));
        }
    }
    texts
}

fn is_in_a_map(place: &str) -> bool {
    place.rsplit('.').nth(1).is_some_and(|of| MAPS.contains(&of))
}

#[test]
fn every_full_body_is_read() {
    for body in bodies() {
        body.reads(&body.full.to_string()).unwrap_or_else(|error| panic!("{}: {error}", body.name));
    }
}

#[test]
fn a_repeated_member_is_refused_in_every_body_and_in_whatever_is_in_it() {
    for body in bodies() {
        let twice = changed(&body.full, &|name, members| {
            let whole = Value::from(members.clone()).to_string();
            // The second is written with escapes: it is the same name.
            let escaped: String = name.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
            format!("{},\"{escaped}\":{}}}", &whole[..whole.len() - 1], members[name])
        });
        for (place, text) in twice {
            serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let told = body.reads(&text);
            let name = place.rsplit('.').next().unwrap();
            let told = told.expect_err(&format!("{}: {place}: {text}", body.name));
            assert!(
                told.contains(&format!("the member `{name}` is repeated")),
                "{}: {place}: {told}",
                body.name
            );
        }
    }
}

#[test]
fn null_is_as_good_as_absent_in_every_body() {
    for body in bodies() {
        let with_null = changed(&body.full, &|name, members| {
            let mut members = members.clone();
            members[name] = Value::Null;
            Value::from(members).to_string()
        });
        let without = changed(&body.full, &|name, members| {
            let mut members = members.clone();
            members.remove(name);
            Value::from(members).to_string()
        });
        for ((place, with_null), (_, without)) in with_null.iter().zip(&without) {
            let read = body.reads(with_null);
            if is_in_a_map(place) {
                let told = read.expect_err(&format!("{}: {place}", body.name));
                assert!(told.contains("null"), "{}: {place}: {told}", body.name);
            } else {
                assert_eq!(read, body.reads(without), "{}: {place}", body.name);
            }
        }
    }
}

#[test]
fn null_is_an_error_in_a_list_for_a_whole_body_and_under_a_name_that_is_not_known() {
    for body in bodies() {
        let told = body.reads("null").unwrap_err();
        assert!(told.contains("body: must be one JSON object"), "{}: {told}", body.name);
        let mut unknown = body.full.clone();
        unknown["colour"] = Value::Null;
        let told = body.reads(&unknown.to_string()).unwrap_err();
        assert!(told.contains("unknown member `colour`"), "{}: {told}", body.name);
    }
    let made_up = bodies().pop().unwrap();
    for (member, value) in [("thingGroups", json!([null])), ("colour", Value::Null)] {
        let mut body = made_up.full.clone();
        body["execution"][member] = value;
        assert!(made_up.reads(&body.to_string()).is_err(), "{member}");
    }
}

#[test]
fn a_byte_order_mark_before_a_body_is_named() {
    for body in bodies() {
        let told = body.reads(&format!("\u{feff}{}", body.full)).unwrap_err();
        assert!(told.contains("begins with a byte order mark"), "{}: {told}", body.name);
    }
}
