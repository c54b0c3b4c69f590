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
pub(crate) fn init() {
    let namespace = std::env::var_os("METRICS_NAMESPACE").and_then(|namespace| namespace.into_string().ok());
    let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return };
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
    let Some(collector) = COLLECTOR.get() else { return };
    let mut lines = Vec::new();
    if collector.flush(&mut lines).is_ok() && !lines.is_empty() {
        let _ = io::stdout().lock().write_all(&lines);
    }
}
