//! What has been counted, as lines of CloudWatch's embedded metric format on standard output: CloudWatch makes metrics
//! of the log, so that counting takes no call and no right.

use std::io::{self, Write};
use std::sync::OnceLock;

use metrics::{SharedString, describe_counter};
use metrics_cloudwatch_embedded::{Builder, Collector};
use shared::meter;

/// The process has one recorder.
static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// Starts to count, into the namespace that the stack gives its functions. Without one nothing is counted.
pub fn init() {
    let namespace = std::env::var_os("METRICS_NAMESPACE").and_then(|namespace| namespace.into_string().ok());
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        start(namespace);
    }
}

fn start(namespace: String) {
    // Only a second one is an error, and the first goes on.
    let Ok(collector) = Builder::new().cloudwatch_namespace(namespace).init() else { return };
    for metric in meter::ALL {
        // Whatever kind of metric it is: the unit goes by the name.
        describe_counter!(metric.name, metric.unit, SharedString::const_str(""));
    }
    let _ = COLLECTOR.set(collector);
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
    let mut lines = Vec::new();
    match COLLECTOR.get().map(|collector| collector.flush(&mut lines)) {
        Some(Ok(())) => lines,
        Some(Err(_)) | None => Vec::new(),
    }
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
        let written_now = written();
        let [line] = &written_now[..] else { panic!("{written_now:?}") };
        assert!(line["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        let mut metrics = line["_aws"]["CloudWatchMetrics"].clone();
        metrics[0]["Metrics"].as_array_mut().unwrap().sort_by_key(|metric| metric["Name"].to_string());
        assert_eq!(
            metrics,
            json!([{
                "Namespace": "Jobwarden/test",
                "Dimensions": [["Operation"]],
                "Metrics": [{"Name": "Calls", "Unit": "Count"}, {"Name": "Throttles", "Unit": "Count"}],
            }])
        );
        assert_eq!((&line["Calls"], &line["Throttles"]), (&json!(2), &json!(1)));
        assert_eq!(written(), Vec::<Value>::new());
    }
}
