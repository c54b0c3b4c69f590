//! A report as one page that needs nothing else: charts of ages and of what comes due, and the tables.

use std::fmt::{Display, Write};

use shared::sweep::Report;

use crate::report::{check_word, limit_word, summary, word};
use crate::screen::{grouped, shown};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2430}\
h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #dde2ea;vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bar{background:#4673c8;height:.7rem;min-width:1px}\
td.b{width:50%}.failure{background:#fbe9e7;padding:.6rem}.days{display:flex;align-items:flex-end;height:8rem;gap:2px}\
.days div{flex:1;background:#4673c8;min-height:1px}\
@media(prefers-color-scheme:dark){body{background:#161b22;color:#d8dee8}th,td{border-color:#333c48}\
.failure{background:#4a211d}}";

/// Text for a page: nothing in it is markup, and nothing turns or hides what is there.
fn text(value: impl Display) -> String {
    let mut safe = String::new();
    for letter in shown(&value.to_string()).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A report as a page. It has no script, and its policy lets none in.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = text(format!("Sweep {}", report.sweep_id));
    let _ = writeln!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><meta name=\"viewport\" \
         content=\"width=device-width\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\"><style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    if let Some(failure) = &report.failure {
        let _ = writeln!(page, "<p class=\"failure\">{}</p>", text(failure));
    }
    page.push_str("<table>\n");
    for (name, value) in summary(report) {
        let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", text(name), text(value));
    }
    page.push_str("</table>\n");
    let verdicts = |rows: &shared::sweep::Verdicts| -> Vec<Vec<String>> {
        let row = |(kind, times): (&shared::sweep::VerdictKind, u64)| {
            vec![
                text(&kind.share.rule),
                text(kind.share.status.as_str()),
                text(&kind.verdict),
                grouped(times),
            ]
        };
        rows.iter().map(row).collect()
    };
    table(&mut page, "Plan", &["Rule", "Status", "Verdict", "Count"], &verdicts(&report.plan));
    table(&mut page, "Kept", &["Rule", "Status", "Verdict", "Count"], &verdicts(&report.kept));
    let results = report.results.iter().map(|(kind, times)| {
        vec![
            text(&kind.share.rule),
            text(kind.share.status.as_str()),
            text(word(&kind.outcome)),
            grouped(times),
        ]
    });
    table(
        &mut page,
        "What came of it",
        &["Rule", "Status", "Outcome", "Count"],
        &results.collect::<Vec<_>>(),
    );
    ages(&mut page, report);
    forecast(&mut page, report);
    let checks = report.breaker.iter().flat_map(|checked| &checked.checks).map(|check| {
        let most = check.most.map_or("–".to_owned(), grouped);
        vec![text(limit_word(check.limit)), text(check_word(check.result)), most]
    });
    table(&mut page, "Breaker", &["Limit", "Result", "Most"], &checks.collect::<Vec<_>>());
    let calls = report.calls.iter().map(|(operation, calls)| {
        let throttled = report.throttled.get(operation).copied().unwrap_or_default();
        vec![text(operation), text(format!("{} throttled", grouped(throttled))), grouped(*calls)]
    });
    table(&mut page, "Calls of AWS IoT", &["Operation", "Throttled", "Calls"], &calls.collect::<Vec<_>>());
    let blockers = report.blockers.iter().flatten().map(|blocker| {
        let job = format!("{} ({})", blocker.job_id, blocker.status.as_str());
        vec![text(&blocker.thing_name), text(job), text(blocker.since), grouped(blocker.behind)]
    });
    let heads = ["Thing", "Held up by", "Since", "Behind it"];
    table(&mut page, "Who is blocked", &heads, &blockers.collect::<Vec<_>>());
    page.push_str("</body></html>\n");
    page
}

/// A table whose last column are numbers. Its cells are text for a page already.
fn table(page: &mut String, title: &str, heads: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let class = |place: usize, of: usize| if place + 1 == of { " class=\"n\"" } else { "" };
    let _ = writeln!(page, "<h2>{title}</h2><table><tr>");
    for (place, head) in heads.iter().enumerate() {
        let _ = write!(page, "<th{}>{head}</th>", class(place, heads.len()));
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let _ = write!(page, "<td{}>{cell}</td>", class(place, row.len()));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn ages(page: &mut String, report: &Report) {
    let most = report.ages.values().flat_map(|ages| ages.values()).copied().max().unwrap_or_default();
    if most == 0 {
        return;
    }
    page.push_str("<h2>Ages</h2><table>\n");
    for (status, ages) in &report.ages {
        for (age, times) in ages {
            let percent = times * 100 / most;
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td class=\"b\"><div class=\"bar\" style=\"width:{percent}%\"></div></td>\
                 <td class=\"n\">{}</td></tr>",
                text(status.as_str()),
                text(word(age)),
                grouped(*times)
            );
        }
    }
    page.push_str("</table>\n");
}

fn forecast(page: &mut String, report: &Report) {
    let most = report.forecast.iter().map(|day| day.due).max().unwrap_or_default();
    if most == 0 {
        return;
    }
    page.push_str("<h2>What comes due in the next 30 days</h2><div class=\"days\">\n");
    for day in &report.forecast {
        let (percent, told) = (day.due * 100 / most, text(format!("{}: {}", day.date, grouped(day.due))));
        let _ = writeln!(page, "<div title=\"{told}\" style=\"height:{percent}%\"></div>");
    }
    page.push_str("</div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(text("<b a='1' c=\"2\">&\u{1b}"), "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\\u{1b}");
    }

    #[test]
    fn a_report_is_a_page_with_what_it_says() {
        let text =
            include_str!("../../events/bucket/sweeps/20261121T020000Z-delete-expired-22935c8c/report.json");
        let mut report: Report = serde_json::from_str(text).unwrap();
        report.requested_by = "<script>alert(1)</script>".to_owned();
        report.failure = Some("\u{1b}[2J".to_owned());
        let page = page(&report);
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"),
            "{page}"
        );
        assert!(page.contains("\\u{1b}[2J") && !page.contains('\u{1b}'), "{page}");
        assert!(page.contains("20261121T020000Z-delete-expired-22935c8c"), "{page}");
    }
}
