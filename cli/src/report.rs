//! `jobwarden sweep report`: what a sweep found and did, in tables or as a page.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use serde_json::json;
use shared::legible::grouped;
use shared::operation::Operation;
use shared::report_page::{check_word, limit_word, page, summary, word};
use shared::sweep::{Report, SweepId};

use crate::connection::{Api, decoded};
use crate::failure::{Exit, Failure};
use crate::screen::{Cell, Screen, cell, count};
use crate::sweep::paint_of;

/// Shows the report of a sweep that has ended.
pub(crate) async fn report(api: &Api, id: &SweepId, open: bool, screen: &Screen) -> Result<Exit, Failure> {
    let answer = api.get(&format!("/sweeps/{id}/report")).await?;
    if open {
        let report: Report = decoded("the report", &answer)?;
        return opened(&report, screen);
    }
    if screen.is_json() {
        screen.json_text(&answer)?;
    } else {
        told(&decoded("the report", &answer)?, screen)?;
    }
    Ok(Exit::Done)
}

/// Writes the page and has the system show it. Where nothing can, the path is told all the same.
fn opened(report: &Report, screen: &Screen) -> Result<Exit, Failure> {
    let path = env::temp_dir().join(format!("jobwarden-{}.html", report.sweep_id));
    let failed = |error| Failure::new(Exit::NotServed, format!("{}: {error}", path.display()));
    write_anew(&path, &page(report)).map_err(failed)?;
    let browser = env::var_os("BROWSER").filter(|browser| !browser.is_empty());
    let browser =
        browser.unwrap_or_else(|| if cfg!(target_os = "macos") { "open" } else { "xdg-open" }.into());
    let mut command = Command::new(browser);
    command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let shows = command.status().is_ok_and(|status| status.success());
    let path = path.display().to_string();
    if screen.is_json() {
        screen.json(&json!({ "page": path, "opened": shows }))?;
    } else if shows {
        screen.line(&path)?;
    } else {
        screen.line(&format!("{path} (no browser could be started; set BROWSER to one)"))?;
    }
    Ok(Exit::Done)
}

/// Replaces what was there. A name in a folder that others may write to could be a link to something else.
fn write_anew(path: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

fn told(report: &Report, screen: &Screen) -> Result<(), Failure> {
    let line = |(name, text): &(&str, String)| {
        let paint = (*name == "status").then(|| paint_of(report.status));
        vec![cell(name), cell(text).painted(paint)]
    };
    screen.table(&["", ""], &summary(report).iter().map(line).collect::<Vec<_>>())?;
    if let Some(failure) = &report.failure {
        screen.line(failure)?;
    }
    let section = |title: &str, heads: &[&str], rows: Vec<Vec<Cell>>| {
        if rows.is_empty() {
            return Ok(());
        }
        screen.heading(title)?;
        screen.table(heads, &rows)
    };
    let verdict = |(kind, times): (&shared::sweep::VerdictKind, u64)| {
        vec![cell(&kind.share.rule), cell(kind.share.status.as_str()), cell(&kind.verdict), count(times)]
    };
    let heads = ["RULE", "STATUS", "VERDICT", "COUNT"];
    section("Plan", &heads, report.plan.iter().map(verdict).collect())?;
    section("Kept", &heads, report.kept.iter().map(verdict).collect())?;
    let result = |(kind, times): (&shared::sweep::OutcomeKind, u64)| {
        vec![
            cell(&kind.share.rule),
            cell(kind.share.status.as_str()),
            cell(word(&kind.outcome)),
            count(times),
        ]
    };
    section(
        "What came of it",
        &["RULE", "STATUS", "OUTCOME", "COUNT"],
        report.results.iter().map(result).collect(),
    )?;
    let unreadable = report.unreadable.iter().map(|(problem, times)| vec![cell(problem), count(*times)]);
    section("Not judged", &["PROBLEM", "COUNT"], unreadable.collect())?;
    let checks =
        report.breaker.iter().flat_map(|checked| checked.checks.iter().map(move |check| (checked, check)));
    let check = |(checked, check): (&shared::sweep::Checked, &shared::sweep::Check)| {
        let most = check.most.map_or("-".to_owned(), grouped);
        vec![cell(limit_word(check.limit)), cell(most), count(checked.due), cell(check_word(check.result))]
    };
    section("Breaker", &["LIMIT", "MOST", "DUE", "RESULT"], checks.map(check).collect())?;
    let calls = report.calls.iter().map(|(operation, calls)| {
        let throttled = report.throttled.get(operation).copied().unwrap_or_default();
        vec![cell(operation.to_string()), count(*calls), count(throttled)]
    });
    section("Calls of AWS IoT", &["OPERATION", "CALLS", "THROTTLED"], calls.collect())?;
    if report.operation == Operation::CancelStale {
        let blocker = |blocker: &shared::sweep::Blocker| {
            let more = if blocker.behind_is_at_least { " at least" } else { "" };
            vec![
                cell(blocker.thing_name.as_str()),
                cell(blocker.job_id.as_str()),
                cell(blocker.status.as_str()),
                cell(blocker.since.to_string()),
                cell(format!("{}{more}", grouped(blocker.behind))),
            ]
        };
        let blockers = report.blockers.iter().flatten().map(blocker);
        section(
            "Who is blocked",
            &["THING", "HELD UP BY", "STATUS", "SINCE", "BEHIND IT"],
            blockers.collect(),
        )?;
    }
    Ok(())
}
