//! docs/openapi.yaml beside `shared`: every limit, member, name and status that it states is the one that the code has.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::{Strategy, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::access::{ExecutionAction, HypotheticalExecution, Refusal};
use shared::api::{ApiError, ApiRequest, ErrorCode, Sizes};
use shared::execution::Status;
use shared::operation::Operation;
use shared::retention::KeepReason;
use shared::sweep::{Age, CheckResult, Hindrance, IotOperation, Limit, Outcome, SweepStatus};

use crate::stage::now;

/// The document, whole.
struct Document(Value);

impl Document {
    fn read() -> Self {
        Self(serde_saphyr::from_str(include_str!("../../docs/openapi.yaml")).unwrap())
    }

    /// A part of it, wherever that is written.
    fn at(&self, pointer: &str) -> &Value {
        let part = self.0.pointer(pointer).unwrap_or_else(|| panic!("there is no {pointer}"));
        self.resolved(part)
    }

    fn schema(&self, name: &str) -> &Value {
        self.at(&format!("/components/schemas/{name}"))
    }

    /// The schema of a member, without the null that stands for its absence.
    fn member(&self, of: &str, name: &str) -> &Value {
        let member = self.at(&format!("/components/schemas/{of}/properties/{name}"));
        let either = member["anyOf"].as_array().and_then(|either| either.first());
        self.resolved(either.unwrap_or(member))
    }

    fn resolved<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part["$ref"].as_str() {
            Some(place) => self.at(place.trim_start_matches('#')),
            None => part,
        }
    }

    /// The schemas of an operation's parameters of one kind, by name.
    fn parameters(&self, path: &str, method: &str, kind: &str) -> BTreeMap<String, &Value> {
        let path = path.replace('/', "~1");
        let Some(parameters) = self.0.pointer(&format!("/paths/{path}/{method}/parameters")) else {
            return BTreeMap::new();
        };
        let parameters = parameters.as_array().unwrap().iter().map(|part| self.resolved(part));
        let of_kind = parameters.filter(|parameter| parameter["in"] == kind);
        of_kind.map(|parameter| (text(&parameter["name"]), self.resolved(&parameter["schema"]))).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn texts(values: &Value) -> BTreeSet<String> {
    values.as_array().unwrap_or_else(|| panic!("{values} is no list")).iter().map(text).collect()
}

fn names(members: &Value) -> BTreeSet<String> {
    members.as_object().unwrap().keys().cloned().collect()
}

/// The words in backticks behind `expected`, by which serde tells of an enum's or a struct's names.
fn expected<T: DeserializeOwned + std::fmt::Debug>(wrong: &str) -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(wrong).unwrap_err().to_string();
    let (_, words) = error.split_once("expected").unwrap_or_else(|| panic!("{error}"));
    words.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn words<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    expected::<T>("\"?\"")
}

/// Texts at and beyond every limit of a schema, each with whether it fits.
fn probes(schema: &Value) -> Vec<(String, bool)> {
    if let Some(words) = schema["enum"].as_array() {
        let legal: Vec<_> = words.iter().map(text).collect();
        let others =
            legal.iter().flat_map(|word| [word.to_uppercase(), format!("{word} "), word[1..].to_owned()]);
        let others: Vec<_> = others.filter(|word| !legal.contains(word)).chain([String::new()]).collect();
        return legal
            .into_iter()
            .map(|word| (word, true))
            .chain(others.into_iter().map(|word| (word, false)))
            .collect();
    }
    match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
        Some("boolean") => {
            [("true", true), ("false", true), ("TRUE", false), ("1", false), ("", false), ("null", false)]
                .map(|(text, fits)| (text.to_owned(), fits))
                .into()
        }
        Some("integer") => {
            let limit = |name: &str| {
                i128::from(schema[name].as_i64().unwrap_or_else(|| panic!("no {name}: {schema}")))
            };
            let (least, most) = (limit("minimum"), limit("maximum"));
            let numbers = [(least - 1, false), (least, true), (most, true), (most + 1, false)];
            let others = ["1.0", "1e0", "x"].map(|text| (text.to_owned(), false));
            numbers.into_iter().map(|(number, fits)| (number.to_string(), fits)).chain(others).collect()
        }
        Some("string") => strings(schema),
        other => panic!("{other:?} has no probes: {schema}"),
    }
}

/// Texts that the pattern makes, each of them spoilt in every place, and those of the least and greatest lengths.
fn strings(schema: &Value) -> Vec<(String, bool)> {
    let pattern = text(&schema["pattern"]);
    let legal = Regex::new(&pattern).unwrap();
    let length = |name: &str, ordinary| {
        schema[name].as_u64().map_or(ordinary, |length| usize::try_from(length).unwrap())
    };
    let lengths = length("minLength", 0)..=length("maxLength", usize::MAX);
    let mut runner = TestRunner::deterministic();
    let made = string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).unwrap();
    let mut texts = vec![String::new()];
    for _ in 0..50 {
        let made = made.new_tree(&mut runner).unwrap().current();
        for (at, _) in made.char_indices().take(70) {
            let (before, after) = made.split_at(at);
            let rest = after.chars().skip(1).collect::<String>();
            texts.push(format!("{before}{rest}"));
            for other in ['a', 'Z', '0', ':', '_', '-', '.', '/', ' ', '\n', 'é', '\u{7f}', '\u{85}'] {
                texts.push(format!("{before}{other}{rest}"));
                texts.push(format!("{before}{other}{after}"));
            }
        }
        texts.push(made);
    }
    if schema["maxLength"].is_u64() {
        texts.extend(
            [lengths.start() - 1, *lengths.start(), *lengths.end(), lengths.end() + 1].map(|n| "a".repeat(n)),
        );
    }
    let fits = |text: &String| legal.is_match(text) && lengths.contains(&text.chars().count());
    let probes: Vec<_> = texts.into_iter().map(|text| (text.clone(), fits(&text))).collect();
    assert!(probes.iter().any(|(_, fits)| *fits) && probes.iter().any(|(_, fits)| !fits), "{pattern}");
    probes
}

fn request(path: &[(&str, &str)], query: &[(&str, &str)], body: &Value) -> ApiRequest {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    // A path comes percent-encoded; a legal value has nothing that needs it.
    let encoded = |value: String| value.replace('%', "%25");
    ApiRequest {
        path: path.iter().map(own).map(|(name, value)| (name, encoded(value))).collect(),
        query: query.iter().map(own).map(|(name, value)| (name, vec![value])).collect(),
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
    }
}

type Reads = fn(ApiRequest) -> Result<(), ApiError>;

const SWEEP: &str = "20261121T020000Z-delete-expired-1a2b3c4d";

/// An operation as it is read, with the path and the body of a request that is fine.
struct Operated {
    path: &'static str,
    method: &'static str,
    fine: Vec<(&'static str, &'static str)>,
    body: Value,
    read: Reads,
}

fn operations() -> Vec<Operated> {
    let execution = vec![("thingName", "pump"), ("jobId", "fw")];
    let numbered = [execution.clone(), vec![("executionNumber", "1")]].concat();
    let sweep = vec![("sweepId", SWEEP)];
    let question = json!({"action": "CancelJobExecution", "jobId": "fw", "thingName": "pump"});
    let of = |path, method, fine, body, read| Operated { path, method, fine, body, read };
    vec![
        of("/things/{thingName}/jobs/{jobId}/cancel", "put", execution, json!({}), |r| r.cancel().map(drop)),
        of(
            "/things/{thingName}/jobs/{jobId}/executionNumber/{executionNumber}",
            "delete",
            numbered,
            Value::Null,
            |r| r.delete().map(drop),
        ),
        of("/sweeps", "post", vec![], json!({"operation": "delete-expired"}), |r| r.start_sweep().map(drop)),
        of("/sweeps", "get", vec![], Value::Null, |r| r.list_sweeps().map(drop)),
        of("/sweeps/{sweepId}", "get", sweep.clone(), Value::Null, |r| r.sweep_id().map(drop)),
        of("/sweeps/{sweepId}/report", "get", sweep, Value::Null, |r| r.sweep_id().map(drop)),
        of("/decisions", "post", vec![], question, |r| r.decision(now()).map(drop)),
    ]
}

#[track_caller]
fn check(what: &str, probe: &str, fits: bool, read: Result<(), ApiError>) {
    assert_eq!(read.is_ok(), fits, "{what} = {probe:?}: {read:?}");
}

#[test]
fn every_parameter_has_the_limits_that_its_reader_has() {
    let document = Document::read();
    for Operated { path, method, fine, body, read } in operations() {
        for (name, schema) in document.parameters(path, method, "path") {
            for (probe, fits) in probes(schema) {
                let others = fine.iter().copied().filter(|(other, _)| *other != name);
                let with: Vec<_> = others.chain([(name.as_str(), probe.as_str())]).collect();
                check(&name, &probe, fits, read(request(&with, &[], &body)));
            }
        }
        for (name, schema) in document.parameters(path, method, "query") {
            for (probe, fits) in probes(schema) {
                check(&name, &probe, fits, read(request(&fine, &[(&name, &probe)], &body)));
            }
        }
    }
}

#[test]
fn every_parameter_of_a_query_is_in_it_and_no_other() {
    let document = Document::read();
    for Operated { path, method, fine, body, read } in operations() {
        let message = read(request(&fine, &[("?", "")], &body)).unwrap_err().message;
        let (_, takes) = message.split_once("it takes ").unwrap();
        let takes: BTreeSet<_> =
            takes.split(", ").filter(|name| *name != "none").map(str::to_owned).collect();
        let documented: BTreeSet<_> = document.parameters(path, method, "query").into_keys().collect();
        assert_eq!(documented, takes, "{method} {path}");
    }
}

#[test]
fn every_member_of_a_body_has_the_limits_that_its_reader_has() {
    let document = Document::read();
    let (cancel, delete) = (json!({}), json!({"operation": "delete-expired"}));
    let about = |action: &str| json!({"action": action, "jobId": "fw", "thingName": "pump"});
    let mut numbered = about("DeleteJobExecution");
    numbered["executionNumber"] = json!(1);
    let made_up = json!({"action": "CancelJobExecution", "status": "QUEUED"});
    let decide: Reads = |r| r.decision(now()).map(drop);
    let cases: [(&str, &[&str], Value, Reads); 5] = [
        ("CancelRequest", &["expectedVersion"], cancel, |r| r.cancel().map(drop)),
        ("StartSweepRequest", &["operation", "lane", "dryRun", "releasePlan"], delete, |r| {
            r.start_sweep().map(drop)
        }),
        (
            "CancelQuestion",
            &["jobId", "thingName", "force", "expectedVersion"],
            about("CancelJobExecution"),
            decide,
        ),
        ("DeleteQuestion", &["jobId", "thingName", "force", "executionNumber"], numbered, decide),
        ("MadeUpCancelQuestion", &["status", "force", "expectedVersion"], made_up, decide),
    ];
    let path = [("thingName", "pump"), ("jobId", "fw")];
    for (of, members, fine, read) in cases {
        for member in members {
            let schema = document.member(of, member);
            let is_text = schema["type"] == "string";
            for (probe, fits) in probes(schema) {
                // What is no JSON is no probe of a number; the wire's own tests have it.
                let Some(value) =
                    (if is_text { Some(json!(probe)) } else { serde_json::from_str(&probe).ok() })
                else {
                    continue;
                };
                let may_be_absent =
                    value.is_null() && !texts_or_none(&document.schema(of)["required"]).contains(*member);
                let mut body = fine.clone();
                body[*member] = value;
                check(
                    &format!("{of}.{member}"),
                    &probe,
                    fits || may_be_absent,
                    read(request(&path, &[], &body)),
                );
            }
        }
    }
}

fn texts_or_none(values: &Value) -> BTreeSet<String> {
    if values.is_null() { BTreeSet::new() } else { texts(values) }
}

#[test]
fn every_member_of_a_body_is_in_it_and_no_other() {
    let document = Document::read();
    let told = |read: Reads| {
        let path = [("thingName", "pump"), ("jobId", "fw")];
        let message = read(request(&path, &[], &json!({"?": 1}))).unwrap_err().message;
        let (_, takes) = message.split_once("it takes ").unwrap();
        let words = takes.split([' ', ',', ';']).filter(|word| !["", "and", "or", "either"].contains(word));
        words.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let members = |of: &str| names(&document.schema(of)["properties"]);
    assert_eq!(members("CancelRequest"), told(|r| r.cancel().map(drop)));
    assert_eq!(members("StartSweepRequest"), told(|r| r.start_sweep().map(drop)));
    let questions = document.schema("DecisionRequest")["oneOf"].as_array().unwrap();
    let questions = questions.iter().flat_map(|of| names(&document.resolved(of)["properties"]));
    assert_eq!(questions.collect::<BTreeSet<_>>(), told(|r| r.decision(now()).map(drop)));
    assert_eq!(members("MadeUpExecution"), expected::<HypotheticalExecution>(r#"{"?": 1}"#));
    let limits = names(&document.member("MadeUpExecution", "jobRetryLimits")["properties"]);
    assert_eq!(limits, expected::<HypotheticalExecution>(r#"{"jobRetryLimits": {"?": 1}}"#));
}

#[test]
fn status_details_have_the_limits_that_their_reader_has() {
    let document = Document::read();
    let schema = document.schema("StatusDetails");
    let read = |details: Value| {
        let path = [("thingName", "pump"), ("jobId", "fw")];
        request(&path, &[], &json!({ "statusDetails": details })).cancel().map(drop)
    };
    let mut key = schema["propertyNames"].clone();
    key["type"] = json!("string");
    for (probe, fits) in probes(&key) {
        check("a key", &probe, fits, read(json!({ probe.as_str(): "v" })));
    }
    for (probe, fits) in probes(&schema["additionalProperties"]) {
        // `format` has the rest of category C; of what is probed, unassigned and private characters are in it.
        let rest = probe.chars().any(|c| !c.is_ascii() && !c.is_alphanumeric());
        if !rest {
            check("a value", &probe, fits, read(json!({ "k": probe })));
        }
    }
    let most = schema["maxProperties"].as_u64().unwrap();
    for (count, fits) in [(most, true), (most + 1, false)] {
        let details: serde_json::Map<_, _> = (0..count).map(|n| (format!("k{n}"), json!("v"))).collect();
        check("pairs", &count.to_string(), fits, read(details.into()));
    }
}

#[test]
fn the_sizes_that_it_states_are_those_that_are_checked() {
    let document = Document::read();
    let told = text(document.at("/info/description")).replace(',', "");
    let pattern = r"path may have (\d+) bytes with its parameters\s+the query (\d+)\s+the headers (\d+) and the body (\d+)";
    let found = Regex::new(pattern).unwrap();
    let found = found.captures(&told).unwrap_or_else(|| panic!("no sizes: {told}"));
    let most = |nth: usize| found[nth].parse::<usize>().unwrap();
    let fits = Sizes { path: most(1), query: most(2), headers: most(3), body: most(4) };
    assert!(fits.check().is_ok());
    for beyond in [
        Sizes { path: fits.path + 1, ..fits },
        Sizes { query: fits.query + 1, ..fits },
        Sizes { headers: fits.headers + 1, ..fits },
        Sizes { body: fits.body + 1, ..fits },
    ] {
        assert!(beyond.check().is_err(), "{beyond:?}");
    }
}

/// Where an error stands in the list of all: one that is not in the list does not compile here.
const fn place(code: ErrorCode) -> usize {
    match code {
        ErrorCode::InvalidRequest => 0,
        ErrorCode::AccessDenied => 1,
        ErrorCode::ResourceNotFound => 2,
        ErrorCode::InvalidStateTransition => 3,
        ErrorCode::VersionConflict => 4,
        ErrorCode::Throttling => 5,
        ErrorCode::ServiceUnavailable => 6,
    }
}

#[test]
fn every_error_is_in_it_with_its_status() {
    assert_eq!(ErrorCode::ALL.map(place), [0, 1, 2, 3, 4, 5, 6]);
    let document = Document::read();
    let ours: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(texts(&document.schema("Error")["properties"]["__type"]["enum"]), ours);
    let mut documented = BTreeMap::new();
    for item in document.at("/paths").as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = document.resolved(response);
                let Some(header) = response["headers"].get("x-amzn-errortype") else { continue };
                for name in texts(&document.resolved(header)["schema"]["enum"]) {
                    documented.entry(name).or_insert_with(BTreeSet::new).insert(status.clone());
                }
            }
        }
    }
    for code in ErrorCode::ALL {
        let statuses = BTreeSet::from([code.http_status().to_string()]);
        assert_eq!(documented.remove(code.as_str()), Some(statuses), "{}", code.as_str());
    }
    // The rest is API Gateway's, for callers that it does not know.
    for (name, statuses) in documented {
        assert!(
            statuses.iter().all(|status| ["401", "403"].contains(&status.as_str())),
            "{name}: {statuses:?}"
        );
    }
}

#[test]
fn every_word_of_a_list_is_one_that_the_code_has() {
    let document = Document::read();
    let list = |of: &str| texts(&document.schema(of)["enum"]);
    assert_eq!(list("Operation"), words::<Operation>());
    assert_eq!(list("ExecutionStatus"), words::<Status>());
    assert_eq!(list("IotOperation"), words::<IotOperation>());
    assert_eq!(list("Age"), words::<Age>());
    assert_eq!(list("SweepStatus"), words::<SweepStatus>());
    assert_eq!(list("Outcome"), words::<Outcome>());
    let hindrances = document.at("/components/schemas/WholeJobs/properties/singly/propertyNames/enum");
    assert_eq!(texts(hindrances), words::<Hindrance>());
    let of_a_check = |member: &str| {
        texts(&document.at("/components/schemas/Breaker/properties/checks/items/properties")[member]["enum"])
    };
    assert_eq!(of_a_check("limit"), words::<Limit>());
    assert_eq!(of_a_check("result"), words::<CheckResult>());
    let actions = texts(&document.schema("DecisionAnswer")["properties"]["action"]["enum"]);
    assert_eq!(actions, words::<ExecutionAction>());

    let refusals = [Refusal::Forbidden(vec![]), Refusal::NoPermit, Refusal::EvaluationError(vec![])];
    let outcomes =
        ["allow"].into_iter().chain(refusals.iter().map(Refusal::code)).map(str::to_owned).collect();
    assert_eq!(texts(&document.schema("Decision")["properties"]["outcome"]["enum"]), outcomes);
    let verdict = Regex::new(&text(&document.schema("Verdict")["properties"]["verdict"]["pattern"])).unwrap();
    let kept = [
        KeepReason::Active,
        KeepReason::Running,
        KeepReason::Ended,
        KeepReason::Never,
        KeepReason::NotYet,
        KeepReason::RetriesLeft,
        KeepReason::FutureTimestamp,
        KeepReason::AmongLast,
    ];
    assert!(kept.iter().all(|reason| verdict.is_match(reason.as_str())));
}
