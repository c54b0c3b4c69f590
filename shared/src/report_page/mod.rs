//! The report of a sweep as one page that needs nothing else: no other file, no network, and no script for reading
//! it. Whoever has the report can draw it: the sweep puts it into the bucket, and the command line draws the same.

mod advice;
mod charts;
mod html;
mod tables;
mod words;

pub use words::{check_word, limit_word, summary, word};

use html::Html;

use crate::legible::grouped;
use crate::operation::Operation;
use crate::sweep::{Outcome, Report};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What tells the style and the script, so that the page's own policy lets them in and nothing else. A test compares
/// them, and says what they have to be.
const STYLE_HASH: &str = "sha256-WDPAURVSLJx2bRFIYiJDk4iR1YoPGRKpUUTLM0sfGgk=";
const SCRIPT_HASH: &str = "sha256-IZ55Mta4liWcWgOg5GutRRgvaGghcOe7Bav9YZMu7MA=";

/// The page of a report.
pub fn page(report: &Report) -> String {
    let mut html = Html::default();
    head(&mut html, report);
    html.ours("<body><main>\n<h1>Sweep ").text(&report.sweep_id).ours("</h1>\n");
    if let Some(failure) = &report.failure {
        html.ours("<p class=\"bad\">").text(failure).ours("</p>\n");
    }
    figures(&mut html, report);
    advice::next(&mut html, report);
    tables::planned(&mut html, report);
    tables::results(&mut html, report);
    charts::history(&mut html, report);
    tables::kept(&mut html, report);
    tables::not_judged(&mut html, report);
    charts::ages(&mut html, report);
    charts::forecast(&mut html, report);
    tables::samples(&mut html, report);
    tables::blockers(&mut html, report);
    tables::breaker(&mut html, report);
    tables::calls(&mut html, report);
    tables::summary(&mut html, report);
    html.ours("</main><script>").ours(SCRIPT).ours("</script></body></html>\n");
    html.finish()
}

fn head(html: &mut Html, report: &Report) {
    html.ours("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    html.ours("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '");
    html.ours(STYLE_HASH).ours("'; script-src '").ours(SCRIPT_HASH);
    html.ours("'; base-uri 'none'; form-action 'none'\">\n");
    html.ours("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.ours("<meta name=\"referrer\" content=\"no-referrer\">\n<title>Sweep ").text(&report.sweep_id);
    html.ours("</title>\n<style>").ours(STYLE).ours("</style></head>\n");
}

/// What there is to say in a glance.
fn figures(html: &mut Html, report: &Report) {
    let kind = match (report.operation, report.dry_run) {
        (Operation::DeleteExpired, true) => "What a deletion of expired executions would do: a dry run",
        (Operation::DeleteExpired, false) => "A deletion of expired executions",
        (Operation::CancelStale, true) => "What a cancelling of stale executions would do: a dry run",
        (Operation::CancelStale, false) => "A cancelling of stale executions",
    };
    html.ours("<p>").ours(kind).ours(", started by ").text(&report.requested_by);
    if let Some(lane) = &report.lane {
        html.ours(" in the lane ").text(lane);
        html.ours(" (").text(report.place.as_deref().unwrap_or_default()).ours(")");
    }
    html.ours(". Ages are counted to ").text(report.now).ours(".</p>\n<dl class=\"facts\">\n");
    let done = report.outcomes.iter().filter(|(outcome, _)| outcome.done());
    let done: u64 = done.map(|(_, count)| *count).sum();
    let name = match report.operation {
        Operation::DeleteExpired => "deleted",
        Operation::CancelStale => "cancelled",
    };
    for (name, figure) in [
        ("status", report.status.as_str().to_owned()),
        ("seen", grouped(report.rows_seen)),
        ("due", grouped(report.due)),
        (name, grouped(done)),
        ("due, and not done", grouped(report.due.saturating_sub(done))),
        ("kept", grouped(report.kept.total())),
        ("not judged", grouped(report.unreadable.values().sum())),
    ] {
        html.ours("<div><dt>").ours(name).ours("</dt><dd>").text(figure).ours("</dd></div>\n");
    }
    html.ours("</dl>\n");
}

/// Whether something came to this.
fn has(report: &Report, outcome: Outcome) -> bool {
    report.outcomes.get(&outcome).is_some_and(|count| *count > 0)
}

#[cfg(test)]
mod tests;
