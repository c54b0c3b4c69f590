//! What the fleet is like and how AWS IoT treats its callers, from the command line or a body of `/_reset`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;

use crate::limits::Limit;

/// A fleet, and how it is served.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Jobs in the fleet.
    #[arg(long, default_value_t = 10)]
    pub jobs: usize,
    /// Executions of each.
    #[arg(long, default_value_t = 1_000)]
    pub executions_per_job: usize,
    /// Which share of them is due by the shipped rules: every so manieth, from the first.
    #[arg(long, default_value = "0.1", value_parser = share)]
    pub due_share: f64,
    /// How long AWS IoT takes for an answer: milliseconds, or L..H for evenly between two.
    #[arg(long, default_value = "0")]
    pub latency_ms: Latency,
    /// Calls a second of an operation, with a second's worth of burst; RATE:BURST gives it another. The others have
    /// no limit.
    #[arg(long = "limit", value_name = "OPERATION=RATE", value_parser = limit)]
    pub limits: Vec<(String, Limit)>,
}

/// What a body of `/_reset` changes in the options of the command line.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Changes {
    jobs: Option<usize>,
    executions_per_job: Option<usize>,
    due_share: Option<f64>,
    latency_ms: Option<Told>,
    limits: Option<BTreeMap<String, Told>>,
}

/// A number, or what the command line would have.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told {
    Number(f64),
    Text(String),
}

impl Told {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Milliseconds from and to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency(pub f64, pub f64);

impl std::str::FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        match (from.parse::<f64>(), to.parse::<f64>()) {
            (Ok(from), Ok(to)) if from >= 0.0 && from <= to && to.is_finite() => Ok(Self(from, to)),
            _ => Err(format!("`{text}` must be milliseconds, or two with .. between them")),
        }
    }
}

impl Options {
    /// These, with the changes.
    pub fn with(&self, changes: Changes) -> Result<Self, String> {
        let limits = changes.limits.map(|limits| {
            let told = limits.into_iter().map(|(operation, told)| (operation, told.text()));
            told.map(|(operation, told)| Ok((operation, told.parse()?))).collect::<Result<_, String>>()
        });
        Ok(Self {
            jobs: changes.jobs.unwrap_or(self.jobs),
            executions_per_job: changes.executions_per_job.unwrap_or(self.executions_per_job),
            due_share: changes.due_share.map_or(Ok(self.due_share), |told| share(&told.to_string()))?,
            latency_ms: changes.latency_ms.map_or(Ok(self.latency_ms), |told| told.text().parse())?,
            limits: limits.unwrap_or_else(|| Ok(self.limits.clone()))?,
        })
    }

    /// One of so many is due; `None` if none is.
    pub fn due_every(&self) -> Option<usize> {
        (self.due_share > 0.0).then(|| (1.0 / self.due_share).round() as usize)
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("`{text}` must be a number from 0 to 1")),
    }
}

fn limit(text: &str) -> Result<(String, Limit), String> {
    let told = text.split_once('=').ok_or_else(|| format!("`{text}` must be OPERATION=RATE"));
    told.and_then(|(operation, limit)| Ok((operation.to_owned(), limit.parse()?)))
}
