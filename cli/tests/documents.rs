//! The documents of `tests/hostile`: every way in says the same of each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's allowance for tests does not reach the functions that tests share"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use shared::access::{AccessPolicy, cases};
use shared::document::{Current, Document, Edition, Editions};
use shared::ports::Cause;
use shared::retention::Retention;
use shared::source_text::Problems;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    document: Vec<Entry>,
}

/// A document and what has to be said of it. Either a file, or what is made of the members after `name`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Entry {
    file: Option<String>,
    name: String,
    before: String,
    left: String,
    times: usize,
    within: String,
    right: String,
    after: String,
    /// How its first problem begins, behind the file's name and a colon.
    refused: Option<String>,
    accepted: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Entry {
    fn name(&self) -> &str {
        self.file.as_ref().unwrap_or(&self.name)
    }

    fn text(&self) -> String {
        match &self.file {
            Some(file) => fs::read_to_string(root().join("tests/hostile").join(file)).unwrap(),
            None => {
                let Self { before, left, times, within, right, after, .. } = self;
                format!("{before}{}{within}{}{after}", left.repeat(*times), right.repeat(*times))
            }
        }
    }
}

/// What is wrong with a document, without the name that each way gives it; nothing where it is accepted.
type Told = Option<String>;

fn told(said: Result<(), String>, name: &str) -> Told {
    said.err().map(|said| said.replace(&format!("{name}:"), ""))
}

const APPCONFIG: &str = "appconfig:application/profile 1";

/// What the validator says, which AWS AppConfig asks before it deploys a document.
fn validator<D: Document>(text: &str) -> Told {
    let said = aws::validation::validate::<D>(json!({
        "applicationId": "application",
        "configurationProfileId": "profile",
        "configurationVersion": "1",
        "content": STANDARD.encode(text),
    }));
    told(said.map(drop).map_err(|error| error.to_string()), APPCONFIG)
}

/// What a function says that starts with the document compiled in.
fn build<D: Document>(text: &str) -> Told {
    told(D::parse("policies/file", text).map(drop).map_err(in_words), "policies/file")
}

/// What a function says that starts with the document from where it is deployed.
fn cold_start<D: Document>(text: &str) -> Told {
    #[derive(Debug)]
    struct Deployed(String);

    impl Editions for Deployed {
        fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>> {
            let edition = Edition { source: APPCONFIG.to_owned(), text: self.0.clone() };
            Box::pin(async { Ok(Some(edition)) })
        }
    }

    let opened = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let opened = opened.block_on(Current::<D>::open(Deployed(text.to_owned()), jiff::Timestamp::UNIX_EPOCH));
    told(opened.map(drop).map_err(|error| error.to_string()), APPCONFIG)
}

fn in_words(problems: Problems) -> String {
    problems.to_string()
}

/// What the command line says of a folder in which this document takes the place of a shipped one.
fn command_line(command: &str, place: &str, text: &str) -> Told {
    let folder =
        std::env::temp_dir().join(format!("hostile-{}-{place}", std::process::id()).replace('/', "-"));
    fs::create_dir_all(folder.join("tests")).unwrap();
    for file in ["access.cedar", "retention.toml"] {
        fs::copy(root().join("policies").join(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join(place), text).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_jobwarden")).args(["policy", command]).arg(&folder).output();
    let run = run.unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    let name = folder.join(place).display().to_string();
    fs::remove_dir_all(&folder).unwrap();
    match run.status.code() {
        Some(0) => None,
        Some(_) => {
            let lines: Vec<_> = said.lines().filter(|line| !line.contains("cases failed")).collect();
            told(Err(lines.join("; ")), &name)
        }
        None => panic!("{place}: killed: {said}"),
    }
}

/// Each way in, by its name.
fn ways<D: Document>(place: &str, text: &str) -> Vec<(&'static str, Told)> {
    vec![
        ("policy check", command_line("check", place, text)),
        ("validator", validator::<D>(text)),
        ("build", build::<D>(text)),
        ("cold start", cold_start::<D>(text)),
    ]
}

#[test]
fn every_way_in_says_the_same_of_a_hostile_document_and_kills_nothing() {
    let corpus = fs::read_to_string(root().join("tests/hostile/expected.toml")).unwrap();
    let corpus: Corpus = toml::from_str(&corpus).unwrap();
    assert!(corpus.document.len() >= 40, "{}", corpus.document.len());
    let shipped = AccessPolicy::shipped().unwrap();
    let mut wrong = Vec::new();
    for entry in &corpus.document {
        let (name, text) = (entry.name(), entry.text());
        let told = if name.ends_with(".cedar") {
            ways::<AccessPolicy>("access.cedar", &text)
        } else if name.ends_with(".cases.toml") {
            let run = cases::run(&shipped, "cases", &text).map(drop).map_err(in_words);
            vec![
                ("policy test", command_line("test", "tests/cases.toml", &text)),
                ("run", self::told(run, "cases")),
            ]
        } else {
            ways::<Retention>("retention.toml", &text)
        };
        for (way, said) in &told {
            let right = match (&entry.refused, said) {
                (Some(expected), Some(said)) => !entry.accepted && said.starts_with(expected),
                (None, None) => entry.accepted,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !right {
                wrong.push(format!("{name}: {way}: {said:?}, not {:?}", entry.refused));
            }
        }
        let said: Vec<_> = told.iter().map(|(_, said)| said).collect();
        assert!(said.windows(2).all(|two| two.first() == two.last()), "{name}: {told:#?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file that is not named would never be run.
#[test]
fn every_hostile_file_is_named() {
    let corpus = fs::read_to_string(root().join("tests/hostile/expected.toml")).unwrap();
    let corpus: Corpus = toml::from_str(&corpus).unwrap();
    for file in fs::read_dir(root().join("tests/hostile")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let named = corpus.document.iter().any(|entry| entry.file.as_deref() == Some(name.as_str()));
        assert!(named || name == "expected.toml", "{name}");
    }
}
