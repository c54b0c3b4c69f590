//! What has been counted, as lines of CloudWatch's embedded metric format on standard output: CloudWatch makes metrics
//! of the log, so that counting takes no call and no right.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use shared::meter;

use crate::clock;

/// The process has one recorder.
static COUNTED: OnceLock<Arc<Counted>> = OnceLock::new();

/// Starts to count, into the namespace that the stack gives its functions. Without one nothing is counted.
pub fn init() {
    let namespace = std::env::var_os("METRICS_NAMESPACE").and_then(|namespace| namespace.into_string().ok());
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        start(namespace);
    }
}

fn start(namespace: String) {
    let counted = Arc::new(Counted { namespace, numbers: Mutex::default() });
    // Only a second one is an error, and the first goes on.
    if metrics::set_global_recorder(Arc::clone(&counted)).is_ok() {
        let _ = COUNTED.set(counted);
    }
}

/// Writes what has been counted since the last time, at the end of an invocation and at once. What cannot be written
/// is dropped: nobody's request fails for it.
pub fn flush() {
    let lines = lines();
    if !lines.is_empty() {
        let _ = io::stdout().lock().write_all(&lines);
    }
}

fn lines() -> Vec<u8> {
    COUNTED.get().map(|counted| counted.lines(clock::now().as_millisecond())).unwrap_or_default()
}

/// What has been counted since it was written last, in the order in which it was met with. An invocation counts some
/// twenty numbers, so that looking through them is the fastest way to find one.
#[derive(Debug)]
struct Counted {
    namespace: String,
    numbers: Mutex<Vec<(Key, Arc<Number>)>>,
}

/// A metric under its labels. Who counts asks for it each time: nobody keeps one beyond the line.
#[derive(Debug, Default)]
struct Number {
    count: AtomicU64,
    values: Mutex<Vec<f64>>,
}

impl Counted {
    fn number(&self, key: &Key) -> Arc<Number> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, number)) = numbers.iter().find(|(known, _)| known == key) {
            return Arc::clone(number);
        }
        let number = Arc::new(Number::default());
        numbers.push((key.clone(), Arc::clone(&number)));
        number
    }

    /// A line for each set of labels, because a line has one value for a dimension.
    fn lines(&self, now: i64) -> Vec<u8> {
        let numbers = std::mem::take(&mut *self.numbers.lock().unwrap_or_else(PoisonError::into_inner));
        let told = numbers.iter().filter_map(|(key, number)| Some((key, number.told()?)));
        let mut groups: Vec<Vec<(&Key, Told)>> = Vec::new();
        for (key, told) in told {
            let same = |group: &&mut Vec<(&Key, Told)>| {
                group.first().is_some_and(|(first, _)| first.labels().eq(key.labels()))
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push((key, told)),
                None => groups.push(vec![(key, told)]),
            }
        }
        let mut lines = Vec::new();
        for group in &groups {
            let from = lines.len();
            match serde_json::to_writer(&mut lines, &Line { namespace: &self.namespace, now, group }) {
                Ok(()) => lines.push(b'\n'),
                Err(_) => lines.truncate(from),
            }
        }
        lines
    }
}

impl Number {
    /// Nothing where nothing has been counted.
    fn told(&self) -> Option<Told> {
        let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        match self.count.load(Ordering::Relaxed) {
            0 if values.is_empty() => None,
            0 => Some(Told::Values(values)),
            count => Some(Told::Count(count)),
        }
    }
}

impl CounterFn for Number {
    fn increment(&self, value: u64) {
        self.count.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.count.fetch_max(value, Ordering::Relaxed);
    }
}

impl HistogramFn for Number {
    /// CloudWatch takes a hundred values in a line, which is more than an invocation has.
    fn record(&self, value: f64) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() < 100 {
            values.push(value);
        }
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    /// There are none: a gauge has a value at all times, and a function only while it serves.
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.number(key))
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Told {
    Count(u64),
    Values(Vec<f64>),
}

/// A line, whose members are the dimensions and the metrics, and what says which is which.
struct Line<'a> {
    namespace: &'a str,
    now: i64,
    group: &'a [(&'a Key, Told)],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aws<'a> {
    timestamp: i64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [Vec<&'a str>; 1],
    metrics: Vec<Definition<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let labels = || self.group.first().into_iter().flat_map(|(key, _)| key.labels());
        let metrics =
            self.group.iter().map(|(key, _)| Definition { name: key.name(), unit: unit(key.name()) });
        let directive = Directive {
            namespace: self.namespace,
            dimensions: [labels().map(metrics::Label::key).collect()],
            metrics: metrics.collect(),
        };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("_aws", &Aws { timestamp: self.now, cloud_watch_metrics: [directive] })?;
        for label in labels() {
            line.serialize_entry(label.key(), label.value())?;
        }
        for (key, told) in self.group {
            line.serialize_entry(key.name(), told)?;
        }
        line.end()
    }
}

fn unit(name: &str) -> Option<&'static str> {
    meter::ALL.iter().find(|metric| metric.name == name).map(|metric| metric.unit.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is written now, line by line, of what this test counts.
    fn written() -> Vec<Value> {
        let text = String::from_utf8(lines()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["Operation"] == "OfThisTest").collect()
    }

    #[test]
    fn what_is_counted_is_written_once_as_cloudwatch_reads_it() {
        meter::called("OfThisTest");
        assert_eq!(lines(), b"", "without a namespace nothing is counted");
        start("Jobwarden/test".to_owned());
        start("Jobwarden/other".to_owned());
        meter::called("OfThisTest");
        meter::called("OfThisTest");
        meter::throttled("OfThisTest");
        metrics::histogram!("PolicyAge", "Operation" => "OfThisTest").record(0.5);
        metrics::counter!("NotListed", "Operation" => "OfThisTest").increment(0);
        let written_now = written();
        let [line] = &written_now[..] else { panic!("{written_now:?}") };
        assert!(line["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"],
            json!([{
                "Namespace": "Jobwarden/test",
                "Dimensions": [["Operation"]],
                "Metrics": [
                    {"Name": "Calls", "Unit": "Count"},
                    {"Name": "Throttles", "Unit": "Count"},
                    {"Name": "PolicyAge", "Unit": "Seconds"},
                ],
            }])
        );
        assert_eq!((&line["Calls"], &line["Throttles"]), (&json!(2), &json!(1)));
        assert_eq!(line["PolicyAge"], json!([0.5]));
        assert_eq!(written(), Vec::<Value>::new());
    }
}
