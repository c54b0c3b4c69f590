//! What to do next: what is worth doing after a sweep that ended as this one did, with the commands for it.

use super::has;
use super::html::Html;
use crate::sweep::{Outcome, Report, SweepStatus};

/// What to do next.
pub(super) fn next(html: &mut Html, report: &Report) {
    html.ours("<h2>What to do next</h2>\n<ul>\n");
    match report.status {
        SweepStatus::StoppedByBreaker => {
            html.ours("<li>Nothing was done. See whether the plan below is what you want; if it is, release it:<br>");
            start(html, report, report.plan_digest.as_deref());
            html.ours("</li>\n<li>If it is not, correct the rules or the policy first.</li>\n");
        }
        SweepStatus::Failed => {
            html.ours(
                "<li>The sweep could not go on. What it did is told below; see to what is said above, and ",
            );
            html.ours("start another:<br>");
            start(html, report, None);
            html.ours("</li>\n");
        }
        SweepStatus::Succeeded if report.dry_run && report.due > 0 => {
            html.ours("<li>This was a dry run. If the plan below is what you want, set the parameter ");
            html.ours("<code>DryRun</code> to <code>false</code> and start a real one:<br>");
            start(html, report, None);
            html.ours("</li>\n");
        }
        SweepStatus::Succeeded | SweepStatus::Queued | SweepStatus::Scanning | SweepStatus::Applying => {}
    }
    left(html, report);
    if report.archive.totals.records > 0 {
        html.ours("<li>What it acted on is in the archive:<br><code>jobwarden archive search --sweep ");
        html.text(&report.sweep_id).ours("</code></li>\n");
    }
    if report.blockers.as_ref().is_some_and(|blockers| !blockers.is_empty()) {
        html.ours("<li>Some things are held up by one execution: see <em>Who is blocked</em>.</li>\n");
    }
    document(
        html,
        "The retention rules are ",
        report.rules_source.as_deref(),
        report.rules_digest.as_deref(),
    );
    document(html, "The access policy is ", report.policy_source.as_deref(), report.policy_digest.as_deref());
    html.ours("</ul>\n");
}

/// What the sweep left that somebody should know of.
fn left(html: &mut Html, report: &Report) {
    if has(report, Outcome::Mismatch) {
        html.ours(
            "<li>A cancel hit another execution than the one it was meant for: the function's log has ",
        );
        html.ours("<code>identity_mismatch</code>, with which.</li>\n");
    }
    if has(report, Outcome::RefusedByAws) {
        html.ours(
            "<li>AWS found a request malformed: the function's log has <code>refused_by_aws</code>.</li>\n",
        );
    }
    let confirmed =
        [Outcome::NotConfirmed, Outcome::FactUnreadable, Outcome::Unreadable, Outcome::JobUnreadable];
    if confirmed.iter().any(|outcome| has(report, *outcome)) {
        html.ours("<li>Some could not be read or confirmed and were left alone: the next sweep sees to them.</li>\n");
    }
    if !report.unreadable.is_empty() {
        html.ours("<li>Some could not be judged; why is told below.</li>\n");
    }
}

/// The command that starts a sweep like this one.
fn start(html: &mut Html, report: &Report, release: Option<&str>) {
    html.ours("<code>jobwarden sweep start --operation ").text(report.operation);
    if let Some(digest) = release {
        html.ours(" --release ").text(digest);
    }
    if let Some(lane) = &report.lane {
        html.ours(" --lane ").text(lane);
    }
    html.ours("</code>");
}

/// Where a document is that the sweep went by, with a link where there is a place to look at.
fn document(html: &mut Html, name: &'static str, source: Option<&str>, digest: Option<&str>) {
    let Some(source) = source else { return };
    html.ours("<li>").ours(name);
    let object = source.strip_prefix("s3://").and_then(|place| place.split_once('/'));
    if let Some((bucket, key)) = object {
        let (key, version) = key.split_once("?versionId=").unwrap_or((key, ""));
        html.ours("<a href=\"https://console.aws.amazon.com/s3/object/").in_link(bucket).ours("?prefix=");
        html.in_link(key).ours("&amp;versionId=").in_link(version).ours("\">").text(source).ours("</a>");
    } else if source.starts_with("appconfig:") {
        html.ours("<a href=\"https://console.aws.amazon.com/systems-manager/appconfig/applications\">");
        html.text(source).ours("</a>");
    } else {
        html.ours("<code>").text(source).ours("</code>, compiled into the functions");
    }
    if let Some(digest) = digest {
        html.ours(" <span class=\"faint\">(").text(digest).ours(")</span>");
    }
    html.ours(".</li>\n");
}
