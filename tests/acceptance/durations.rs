//! Durations are accepted as docs/retention.md and docs/openapi.yaml write their form, and in no other.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use regex::Regex;
use serde_json::json;
use shared::api::ApiRequest;
use shared::retention::Retention;

use crate::stage::now;

/// The form that the cookbook writes in one line, as a pattern.
fn of_rules() -> Regex {
    let page = include_str!("../../docs/retention.md");
    let line = page.lines().find_map(|line| line.strip_prefix("DURATION = ")).unwrap();
    let forms: Vec<_> =
        line.split(" | ").map(|form| form.trim().replace('[', "(").replace(']', ")?")).collect();
    Regex::new(&format!("^({})$", forms.join("|").replace('N', "(0|[1-9][0-9]*)"))).unwrap()
}

/// The pattern of ages in the API's document.
fn of_ages() -> Regex {
    let document: serde_json::Value =
        serde_saphyr::from_str(include_str!("../../docs/openapi.yaml")).unwrap();
    let pattern =
        document["components"]["schemas"]["MadeUpExecution"]["properties"]["queuedAge"]["pattern"].as_str();
    Regex::new(pattern.unwrap()).unwrap()
}

/// What a rule says of a duration.
fn in_a_rule(text: &str) -> Result<(), String> {
    let shipped = include_str!("../../policies/retention.toml");
    let (before, default) = shipped.split_once("[default]").unwrap();
    let default = default.replacen("\"30d\"", &json!(text).to_string(), 1);
    let read = Retention::parse("r.toml", &format!("{before}[default]{default}"));
    read.map(drop).map_err(|problems| problems.to_string())
}

/// What an execution that is made up says of an age.
fn as_an_age(text: &str) -> Result<(), String> {
    let body = json!({"action": "CancelJobExecution", "status": "QUEUED", "execution": {"queuedAge": text}});
    let request = ApiRequest { body: body.to_string().into_bytes(), ..ApiRequest::default() };
    request.decision(now()).map(drop).map_err(|error| error.message)
}

/// Parts of durations in the documented form and in the many that it resembles.
const PARTS: [&str; 30] = [
    "0", "1", "2", "9", "10", "365", "01", "w", "d", "h", "min", "s", "m", "mo", "y", " ", " ", " ", "  ",
    "-", "+", ".", ",", ":", "P", "T", "ms", "ago", "\t", "\n",
];

/// Every text that has the form is accepted but for its length, and no other.
#[test]
fn the_documented_form_of_a_duration_is_the_one_that_is_accepted() {
    let parts = prop::collection::vec(select(&PARTS[..]), 0..9).prop_map(|parts: Vec<&str>| parts.concat());
    let number = "(0|[1-9][0-9]{0,2})";
    let formed = format!("({number}w )?({number}d )?({number}h )?({number}min )?({number}s)?");
    let formed =
        || proptest::string::string_regex(&formed).unwrap().prop_map(|text| text.trim_end().to_owned());
    let near = (formed(), 0_usize..40, select(&PARTS[..])).prop_map(|(text, at, part)| {
        let (before, after) = text.split_at(at.min(text.len()));
        format!("{before}{part}{after}")
    });
    let texts = prop_oneof![parts, formed(), near, "[0-9wdhmins ]{0,10}"];
    let (rules, ages) = (of_rules(), of_ages());
    let mut accepted = (0, 0);
    let mut runner = TestRunner::new(Config { cases: 30_000, ..Config::default() });
    let seen = std::cell::RefCell::new(&mut accepted);
    let outcome = runner.run(&texts, |text: String| {
        match in_a_rule(&text) {
            Ok(()) => {
                prop_assert!(rules.is_match(&text), "a rule takes {:?}", text);
                seen.borrow_mut().0 += 1;
            }
            Err(told) if rules.is_match(&text) => {
                prop_assert!(
                    told.contains("the least is one hour") || told.contains("the most is ten years"),
                    "{}",
                    told
                );
            }
            Err(told) => prop_assert!(told.contains("write weeks, days and hours"), "{}", told),
        }
        match as_an_age(&text) {
            Ok(()) => {
                prop_assert!(ages.is_match(&text), "{:?} is an age", text);
                seen.borrow_mut().1 += 1;
            }
            Err(told) if ages.is_match(&text) => {
                prop_assert!(told.contains("is before the year 0"), "{}", told)
            }
            Err(told) => prop_assert!(told.contains("is no age"), "{}", told),
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted.0 > 1_000 && accepted.1 > 3_000, "{accepted:?}");
}
