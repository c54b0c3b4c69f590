//! The tables of the page: what was planned, what came of it, what is kept and why.

use super::html::Html;
use super::words::{self, check_word, limit_word, meaning, outcome_meaning};
use crate::operation::Operation;
use crate::sweep::{Report, Sample, Verdicts};

/// What a cell holds.
pub(super) enum Cell {
    /// A text, whoever's.
    Text(String),
    /// A count, on the right of its column.
    Number(u64),
}

pub(super) fn text(value: impl ToString) -> Cell {
    Cell::Text(value.to_string())
}

/// The head of a column.
pub(super) enum Head {
    Text(&'static str),
    Number(&'static str),
}

/// A table that may be wider than a phone: then it is moved by itself.
pub(super) fn table(
    html: &mut Html,
    caption: &'static str,
    heads: &[Head],
    rows: impl IntoIterator<Item = Vec<Cell>>,
) {
    html.ours("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"").ours(caption);
    html.ours("\"><table><caption>").ours(caption).ours("</caption>\n<thead><tr>");
    for head in heads {
        match head {
            Head::Text(name) => html.ours("<th scope=\"col\">").ours(name).ours("</th>"),
            Head::Number(name) => html.ours("<th scope=\"col\" class=\"n\">").ours(name).ours("</th>"),
        };
    }
    html.ours("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.ours("<tr>");
        for cell in row {
            match cell {
                Cell::Text(text) => html.ours("<td>").text(text).ours("</td>"),
                Cell::Number(number) => html.ours("<td class=\"n\">").number(number).ours("</td>"),
            };
        }
        html.ours("</tr>\n");
    }
    html.ours("</tbody></table></div>\n");
}

fn heading(html: &mut Html, title: &'static str) {
    html.ours("<h2>").ours(title).ours("</h2>\n");
}

fn verdicts(html: &mut Html, caption: &'static str, report: &Report, verdicts: &Verdicts) {
    use Head::{Number, Text};
    let rows = verdicts.iter().map(|(kind, count)| {
        let meaning = meaning(&kind.verdict, report.operation);
        let status = kind.share.status.as_str();
        vec![text(&kind.share.rule), text(status), text(&kind.verdict), text(meaning), Cell::Number(count)]
    });
    let heads = [Text("Rule"), Text("Status"), Text("Verdict"), Text("Why"), Number("Executions")];
    table(html, caption, &heads, rows);
}

/// What is due.
pub(super) fn planned(html: &mut Html, report: &Report) {
    heading(html, "What was planned");
    if report.plan.total() == 0 {
        html.ours("<p>Nothing is due.</p>\n");
        return;
    }
    verdicts(html, "What is due, by rule and status", report, &report.plan);
    let jobs = &report.whole_jobs;
    if jobs.planned > 0 {
        html.ours("<p>Jobs to be deleted whole: ").number(jobs.planned).ours(", with ");
        html.number(jobs.executions).ours(" executions. So deleted: ").number(jobs.deleted).ours(".</p>\n");
    }
}

/// What came of the plan.
pub(super) fn results(html: &mut Html, report: &Report) {
    use Head::{Number, Text};
    heading(html, "What was done");
    if report.results.total() == 0 {
        html.ours(if report.dry_run { "<p>Nothing: this was a dry run.</p>\n" } else { "<p>Nothing.</p>\n" });
        return;
    }
    let rows = report.results.iter().map(|(kind, count)| {
        let (status, meaning) = (kind.share.status.as_str(), outcome_meaning(kind.outcome));
        let outcome = kind.outcome.as_str();
        vec![text(&kind.share.rule), text(status), text(outcome), text(meaning), Cell::Number(count)]
    });
    let heads = [Text("Rule"), Text("Status"), Text("Outcome"), Text("What it means"), Number("Executions")];
    table(html, "What came of the plan, by rule and status", &heads, rows);
}

/// What stays, and why.
pub(super) fn kept(html: &mut Html, report: &Report) {
    heading(html, "What is kept, and why");
    if report.kept.total() == 0 {
        html.ours("<p>Nothing of what was judged.</p>\n");
        return;
    }
    verdicts(html, "What is kept, by rule, status and reason", report, &report.kept);
}

/// What could not be judged.
pub(super) fn not_judged(html: &mut Html, report: &Report) {
    if report.unreadable.is_empty() {
        return;
    }
    heading(html, "What could not be judged, and therefore stays");
    let rows = report.unreadable.iter().map(|(problem, count)| vec![text(problem), Cell::Number(*count)]);
    let heads = [Head::Text("Problem"), Head::Number("Executions")];
    table(html, "What could not be judged", &heads, rows);
}

/// A few executions of each kind, to look up.
pub(super) fn samples(html: &mut Html, report: &Report) {
    use Head::{Number, Text};
    if report.samples.is_empty() && report.outcome_samples.is_empty() {
        return;
    }
    heading(html, "Samples");
    html.ours("<p>The oldest few of each rule and verdict, and of each rule and outcome.</p>\n");
    html.ours("<form class=\"find\" role=\"search\" hidden><label for=\"find\">Search the samples</label>");
    html.ours("<input id=\"find\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\">");
    html.ours("<output for=\"find\"></output></form>\n<div id=\"samples\">\n");
    let row = |sample: &Sample| {
        let age = report.now.duration_since(sample.since).as_hours() / 24;
        vec![
            text(&sample.job_id),
            text(&sample.thing_name),
            text(sample.execution_number),
            text(sample.status.as_str()),
            text(&sample.rule),
            text(&sample.told),
            text(sample.since),
            Cell::Number(u64::try_from(age).unwrap_or_default()),
        ]
    };
    let heads = [
        Text("Job"),
        Text("Thing"),
        Text("Number"),
        Text("Status"),
        Text("Rule"),
        Text("Verdict or outcome"),
        Text("Age counts from"),
        Number("Days"),
    ];
    table(html, "Samples", &heads, report.samples.iter().chain(report.outcome_samples.iter()).map(row));
    html.ours("</div>\n");
}

/// What holds others up.
pub(super) fn blockers(html: &mut Html, report: &Report) {
    use Head::{Number, Text};
    let Some(blockers) = report.blockers.as_ref().filter(|_| report.operation == Operation::CancelStale)
    else {
        return;
    };
    heading(html, "Who is blocked");
    if blockers.is_empty() {
        html.ours("<p>Nobody, on the things on which something has been stale for longest.</p>\n");
    } else {
        let rows = blockers.iter().map(|blocker| {
            let least = if blocker.behind_is_at_least { "at least" } else { "exactly" };
            vec![
                text(&blocker.thing_name),
                text(&blocker.job_id),
                text(blocker.status.as_str()),
                text(blocker.since),
                text(least),
                Cell::Number(blocker.behind),
            ]
        });
        let heads = [
            Text("Thing"),
            Text("Held up by"),
            Text("Status"),
            Text("Since"),
            Text("How many"),
            Number("Behind it"),
        ];
        table(html, "What holds others up on its thing", &heads, rows);
    }
    if !report.things_not_looked_at.is_empty() {
        let rows = report.things_not_looked_at.iter();
        let rows = rows.map(|thing| vec![text(&thing.thing_name), text(&thing.problem)]);
        table(html, "Things that could not be looked at", &[Text("Thing"), Text("Problem")], rows);
    }
}

/// What the breaker said.
pub(super) fn breaker(html: &mut Html, report: &Report) {
    use Head::{Number, Text};
    let Some(checked) = &report.breaker else { return };
    heading(html, "The breaker");
    let rows = checked.checks.iter().map(|check| {
        let most = check.most.map_or_else(|| text("any"), Cell::Number);
        vec![text(limit_word(check.limit)), text(check_word(check.result)), Cell::Number(checked.due), most]
    });
    let heads = [Text("Limit"), Text("Result"), Number("Due"), Number("Most")];
    table(html, "What the plan was compared with", &heads, rows);
}

/// Calls of AWS IoT.
pub(super) fn calls(html: &mut Html, report: &Report) {
    use Head::{Number, Text};
    if report.calls.is_empty() {
        return;
    }
    heading(html, "Calls of AWS IoT");
    let rows = report.calls.iter().map(|(operation, calls)| {
        let throttled = report.throttled.get(operation).copied().unwrap_or_default();
        vec![text(operation), Cell::Number(*calls), Cell::Number(throttled)]
    });
    table(html, "Calls by operation", &[Text("Operation"), Number("Calls"), Number("Throttled")], rows);
}

/// Everything else there is to know of the sweep.
pub(super) fn summary(html: &mut Html, report: &Report) {
    heading(html, "The sweep");
    let rows = words::summary(report).into_iter().map(|(name, value)| vec![text(name), text(value)]);
    table(html, "Facts of the sweep", &[Head::Text("What"), Head::Text("Value")], rows);
}
