//! The readers of texts, by themselves.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use shared::access::{AccessPolicy, Principal, cases};
use shared::api::{CallerIdentity, Identified, principal};
use shared::retention::Retention;
use shared::source_text::Problems;
use shared::time::{self, Units};

use crate::{Outcome, assert_legible, fuzz};

/// The files of the policies, their examples and tests, and the hostile ones.
fn files(wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["policies", "policies/examples", "policies/tests", "tests/hostile"];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file() && wanted(path.strip_prefix(&root).unwrap().to_str().unwrap()));
    paths.sort();
    paths.iter().map(|path| json!(fs::read_to_string(path).unwrap())).collect()
}

fn text(event: &Value) -> String {
    event.as_str().map_or_else(|| event.to_string(), str::to_owned)
}

fn judge<T>(read: Result<T, Problems>) -> Outcome {
    match read {
        Ok(_) => Outcome { class: "valid", read: true },
        Err(problems) => {
            assert_legible(&problems.to_string(), false);
            Outcome { class: "invalid", read: false }
        }
    }
}

#[test]
fn every_text_is_an_access_policy_or_has_a_problem() {
    let mut seeds = files(|name| name.ends_with(".cedar"));
    // One policy is read in a tenth of the time.
    let whole: Vec<String> = seeds.iter().map(text).collect();
    let single = whole.iter().flat_map(|text| text.split_inclusive(";\n\n")).map(|policy| json!(policy));
    seeds.extend(single);
    fuzz("access policy", 10, &seeds, |event| judge(AccessPolicy::parse("policy", &text(&event))));
}

#[test]
fn every_text_is_a_set_of_retention_rules_or_has_a_problem() {
    let hostile = |name: &str| name.starts_with("tests/hostile") && !name.contains("cases");
    let seeds = files(|name| name.ends_with("retention.toml") || hostile(name) && name.ends_with(".toml"));
    fuzz("retention rules", 1, &seeds, |event| judge(Retention::parse("rules", &text(&event))));
}

#[test]
fn every_text_is_a_file_of_cases_or_has_a_problem() {
    let hostile = |name: &str| name.starts_with("tests/hostile") && name.contains("cases");
    let whole = files(|name| name.ends_with(".toml") && !name.ends_with("retention.toml"));
    let single = whole.iter().map(text).flat_map(|text| {
        let cases = text.split("[[case]]").skip(1).map(|case| json!(format!("[[case]]{case}")));
        cases.collect::<Vec<_>>()
    });
    let seeds: Vec<_> = single.chain(files(hostile)).collect();
    let policy = AccessPolicy::shipped().unwrap();
    fuzz("case files", 10, &seeds, |event| judge(cases::run(&policy, "cases", &text(&event))));
}

#[test]
fn every_text_is_a_duration_or_is_told_why_not() {
    let seeds =
        ["1w", "2w 3d 4h", "30d", "1d 1h", "36h", "59min", "1h 59min 59s", "0d", "1m", "P1D", "1 day ago"];
    let seeds = seeds.map(|text| json!(text));
    fuzz("durations", 1, &seeds, |event| {
        let text = text(&event);
        let read = [Units::ToHours, Units::ToSeconds].map(|units| time::duration(&text, units));
        for error in read.iter().filter_map(|read| read.as_ref().err()) {
            assert_legible(&error.to_string(), true);
        }
        let [to_hours, to_seconds] = read.map(Result::ok);
        assert!(to_hours.is_none() || to_hours == to_seconds, "{text}: {to_hours:?}, {to_seconds:?}");
        Outcome { class: if to_seconds.is_some() { "read" } else { "refused" }, read: to_seconds.is_some() }
    });
}

#[test]
fn groups_of_claims_are_those_that_are_written_there() {
    let claims = |groups: Value| json!({"iss": "https://issuer.test/pool", "sub": "5f3a", "cognito:groups": groups, "token_use": "id"});
    let seeds = [
        claims(json!("jobwarden-operators")),
        claims(json!("jobwarden-operators,jobwarden-force")),
        claims(json!("[jobwarden-operators jobwarden-force]")),
        claims(json!(["jobwarden-operators", "jobwarden-force"])),
        claims(json!([])),
    ];
    fuzz("group claims", 1, &seeds, |event| {
        let claims: HashMap<String, Value> =
            event.as_object().cloned().unwrap_or_default().into_iter().collect();
        let identified = Identified { claims: Some(claims), ..Identified::default() };
        match principal(CallerIdentity::Claims, &identified) {
            Ok(Principal::User(user)) => {
                let written = event.to_string();
                for group in &user.groups {
                    assert_legible(group, true);
                    assert!(written.contains(group.as_str()), "{group} in {event}");
                    assert!(!group.contains([',', ' ', '[', ']']), "{group} in {event}");
                }
                Outcome { class: if user.groups.is_empty() { "no group" } else { "groups" }, read: true }
            }
            Ok(other) => panic!("{event} is {other:?}"),
            Err(error) => {
                assert_legible(&error.message, true);
                Outcome { class: "nobody", read: false }
            }
        }
    });
}
