//! The charts of the page: drawn as SVG, each with a text that says what it shows and its numbers in a table.

use std::collections::BTreeMap;

use super::html::Html;
use super::tables::{Cell, Head, table, text};
use super::words::word;
use crate::legible::{grouped, length};
use crate::sweep::{Age, Report};

/// Every age, the youngest first.
const AGES: [Age; 8] = [
    Age::Future,
    Age::UnderADay,
    Age::Days,
    Age::Weeks,
    Age::Months,
    Age::Quarter,
    Age::HalfAYear,
    Age::Years,
];

/// How high bars are drawn, in the chart's own units.
const HEIGHT: u64 = 100;

/// How high the bar of a count is: what is there at all can be seen.
fn height(count: u64, most: u64) -> u64 {
    let share = u128::from(count) * u128::from(HEIGHT) / u128::from(most.max(1));
    let share = u64::try_from(share).unwrap_or(HEIGHT).min(HEIGHT);
    if count == 0 { 0 } else { share.max(1) }
}

/// A number short enough for a bar's head.
fn short(count: u64) -> String {
    match count {
        ..10_000 => grouped(count),
        10_000..1_000_000 => format!("{}k", count / 1000),
        1_000_000.. => format!("{}M", grouped(count / 1_000_000)),
    }
}

/// An age short enough to stand below its bar.
const fn short_age(age: Age) -> &'static str {
    match age {
        Age::Future => "future",
        Age::UnderADay => "<1d",
        Age::Days => "1d+",
        Age::Weeks => "7d+",
        Age::Months => "30d+",
        Age::Quarter => "90d+",
        Age::HalfAYear => "180d+",
        Age::Years => "1y+",
    }
}

/// How old what was judged is, by status and by rule.
pub(super) fn ages(html: &mut Html, report: &Report) {
    let statuses = report.ages.iter().map(|(status, ages)| (status.as_str(), ages)).collect::<Vec<_>>();
    of_each(html, "Ages by status", "Executions by status and age", "Status", &statuses);
    let rules = report.ages_of_rules.iter().map(|(rule, ages)| (rule.as_str(), ages)).collect::<Vec<_>>();
    of_each(html, "Ages by rule", "Executions by rule and age", "Rule", &rules);
}

fn of_each(
    html: &mut Html,
    title: &'static str,
    caption: &'static str,
    head: &'static str,
    kinds: &[(&str, &BTreeMap<Age, u64>)],
) {
    let most = kinds.iter().flat_map(|(_, ages)| ages.values()).copied().max().unwrap_or_default();
    if most == 0 {
        return;
    }
    html.ours("<h2>").ours(title).ours("</h2>\n<div class=\"charts\">\n");
    for (name, ages) in kinds {
        let total: u64 = ages.values().sum();
        html.ours("<figure><h3>").text(name).ours(" <span class=\"faint\">").number(total);
        html.ours("</span></h3>\n<svg viewBox=\"0 0 328 136\" role=\"img\" aria-label=\"").text(name);
        for (age, count) in ages.iter() {
            html.ours(", ").text(word(age)).ours(": ").number(*count);
        }
        html.ours("\"><line x1=\"4\" y1=\"118\" x2=\"324\" y2=\"118\"/>\n");
        for (age, left) in AGES.iter().zip((4_u64..).step_by(40)) {
            let count = ages.get(age).copied().unwrap_or_default();
            let height = height(count, most);
            if count > 0 {
                html.ours("<rect x=\"").text(left + 4).ours("\" width=\"32\" y=\"").text(118 - height);
                html.ours("\" height=\"").text(height).ours("\"/><text x=\"").text(left + 20);
                html.ours("\" y=\"").text(114 - height).ours("\">").text(short(count)).ours("</text>");
            }
            html.ours("<text x=\"")
                .text(left + 20)
                .ours("\" y=\"131\">")
                .text(short_age(*age))
                .ours("</text>\n");
        }
        html.ours("</svg></figure>\n");
    }
    html.ours("</div>\n");
    let rows = kinds.iter().flat_map(|(name, ages)| {
        ages.iter().map(move |(age, count)| vec![text(name), text(word(age)), Cell::Number(*count)])
    });
    numbers(html, caption, &[Head::Text(head), Head::Text("Age"), Head::Number("Executions")], rows);
}

/// How many were deleted or cancelled when, beside what the deployment's rate allows.
pub(super) fn history(html: &mut Html, report: &Report) {
    let spans: Vec<_> = report.history.spans().collect();
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return };
    let seconds = report.history.span_seconds();
    let budget = report.calls_per_hour.map(|calls| {
        let calls = u128::from(calls) * u128::from(seconds) / 3600;
        u64::try_from(calls).unwrap_or(u64::MAX)
    });
    let peak = spans.iter().map(|span| span.done).max().unwrap_or_default();
    let most = peak.max(budget.unwrap_or_default());
    html.ours("<h2>When it was done</h2>\n<figure><svg class=\"long\" viewBox=\"0 0 1000 100\" ");
    html.ours("preserveAspectRatio=\"none\" role=\"img\" aria-label=\"");
    html.number(report.history.total()).ours(" executions between ").text(first.from).ours(" and ");
    html.text(last.from).ours(", at most ").number(peak).ours(" in ").text(length(seconds));
    html.ours("\">\n");
    bars(html, &spans.iter().map(|span| span.done).collect::<Vec<_>>(), most);
    if let Some(budget) = budget {
        html.ours("<line class=\"budget\" vector-effect=\"non-scaling-stroke\" x1=\"0\" x2=\"1000\" y1=\"");
        let line = HEIGHT.saturating_sub(height(budget, most)).max(1);
        html.text(line).ours("\" y2=\"").text(line).ours("\"/>");
    }
    html.ours("</svg>\n<div class=\"axis\"><span>").text(first.from).ours("</span><span>").text(last.from);
    html.ours("</span></div>\n<p class=\"faint\">Each bar is ").text(length(seconds)).ours(".");
    if let Some(budget) = budget {
        html.ours(" <span class=\"key\">The dashed line is the budget: ").number(budget);
        html.ours(" calls of the operation, which <code>CallsPerSecond</code> allows in that time.</span>");
    }
    html.ours("</p></figure>\n");
    let rows = spans.iter().map(|span| vec![text(span.from), Cell::Number(span.done)]);
    numbers(html, "Executions by time", &[Head::Text("From"), Head::Number("Executions")], rows);
}

/// What comes due on each of the next days.
pub(super) fn forecast(html: &mut Html, report: &Report) {
    let (Some(first), Some(last)) = (report.forecast.first(), report.forecast.last()) else { return };
    let total: u64 = report.forecast.iter().map(|day| day.due).sum();
    html.ours("<h2>What comes due in the next 30 days</h2>\n");
    let Some(most) = report.forecast.iter().rev().max_by_key(|day| day.due).filter(|_| total > 0) else {
        html.ours("<p>Nothing of what was judged, by these rules.</p>\n");
        return;
    };
    html.ours(
        "<figure><svg class=\"long\" viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\" ",
    );
    html.ours("aria-label=\"").number(total).ours(" executions between ").text(first.date).ours(" and ");
    html.text(last.date).ours(", most of them on ").text(most.date).ours(": ").number(most.due);
    html.ours("\">\n");
    bars(html, &report.forecast.iter().map(|day| day.due).collect::<Vec<_>>(), most.due);
    html.ours("</svg>\n<div class=\"axis\"><span>").text(first.date).ours("</span><span>").text(last.date);
    html.ours("</span></div>\n<p class=\"faint\">").number(total).ours(" in all; most on ").text(most.date);
    html.ours(": ").number(most.due);
    html.ours(". By these rules, if nothing else changes; access policies are not asked.</p></figure>\n");
    let rows = report.forecast.iter().map(|day| vec![text(day.date), Cell::Number(day.due)]);
    numbers(
        html,
        "Executions by the day on which they come due",
        &[Head::Text("Day"), Head::Number("Due")],
        rows,
    );
}

/// Bars side by side, as wide as the chart: 1000 units.
fn bars(html: &mut Html, counts: &[u64], most: u64) {
    // A few bars are not drawn as broad as a wall.
    let of = counts.len().max(12) as u64;
    for (count, nth) in counts.iter().zip(0_u64..).filter(|(count, _)| **count > 0) {
        let (left, right) = (nth * 1000 / of, (nth + 1) * 1000 / of);
        let height = height(*count, most);
        html.ours("<rect x=\"").text(left).ours("\" width=\"").text((right - left).saturating_sub(2).max(1));
        html.ours("\" y=\"").text(HEIGHT - height).ours("\" height=\"").text(height).ours("\"/>\n");
    }
}

/// The numbers of a chart, for whoever cannot see it or wants them exactly.
fn numbers(
    html: &mut Html,
    caption: &'static str,
    heads: &[Head],
    rows: impl IntoIterator<Item = Vec<Cell>>,
) {
    html.ours("<details><summary>").ours(caption).ours(", in numbers</summary>\n");
    table(html, caption, heads, rows);
    html.ours("</details>\n");
}
