//! The page of a sweep's report: what is written beside the report when a sweep ends, whole sweeps long. With
//! `JOBWARDEN_PAGES` set to a folder the pages are put there, too, for a browser to draw (`make test-browser`).

use std::path::PathBuf;

use object_store::path::Path;
use object_store::{Attribute, ObjectStoreExt};
use serde_json::Value;
use shared::execution::Status;
use shared::operation::Operation;
use shared::report_page;
use shared::sweep::{SweepId, SweepStatus, Trigger};
use tests::{Fault, JobSetup};

use crate::stage::{Stage, days_ago};
use crate::sweep_stage::{Sweeps, rule, staged, trigger};

async fn page_of(stage: &Stage, id: &SweepId) -> String {
    String::from_utf8(stage.bucket.bytes(&format!("sweeps/{id}/report.html")).await).unwrap()
}

fn keep(name: &str, page: &str) {
    let Some(folder) = std::env::var_os("JOBWARDEN_PAGES").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), page).unwrap();
}

/// Firmware and configuration of several hundred pumps over more than a year, spread by arithmetic.
fn years_of_pumps(stage: &Stage) {
    stage.iot.page_size(250);
    for (nth, (job, age)) in
        [("firmware-1-4-0", 420), ("firmware-1-5-0", 260), ("firmware-1-6-0", 70), ("config-eu", 400)]
            .into_iter()
            .enumerate()
    {
        let tags =
            if nth == 1 { [("jobwarden:hold".to_owned(), "audit".to_owned())].into() } else { [].into() };
        stage.iot.job(job, days_ago(age), JobSetup { tags, ..JobSetup::default() });
        let things = [700, 60, 500, 900][nth];
        for thing in 0..things {
            let status = match thing * 7 % 20 {
                0 | 1 => Status::Failed,
                2 => Status::TimedOut,
                3 => Status::Rejected,
                4 if nth == 2 => Status::Queued,
                5 if nth == 2 => Status::InProgress,
                _ => Status::Succeeded,
            };
            let ended = 1 + (thing * thing * 13 + thing * 31) % (age - 2);
            let queued = days_ago(ended + 1);
            stage.iot.execution(job, &format!("pump-{thing:04}"), status, queued, days_ago(ended));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_leaves_its_page_beside_its_report() {
    let stage = Stage::new();
    years_of_pumps(&stage);
    let configuration = rule("configuration", "job_ids = [\"config-*\"]", "60d");
    let sweeps = Sweeps { rate: "8", ..Sweeps::with_rule(&stage, &format!("{configuration}\n")) };
    let id = sweeps.started(Operation::DeleteExpired, "pumps").await;
    sweeps.deliver_all().await;
    let sweep = sweeps.sweep(&id).await;
    assert_eq!(sweep.status, SweepStatus::Succeeded, "{:?}", sweep.failure);
    let page = page_of(&stage, &id).await;
    keep("deleted.html", &page);
    let report: Value = sweeps.report(&id).await;
    assert_eq!(page, report_page::page(&serde_json::from_value(report.clone()).unwrap()));
    let found = stage.bucket.get(&Path::from(format!("sweeps/{id}/report.html"))).await.unwrap();
    assert_eq!(found.attributes.get(&Attribute::ContentType).unwrap().as_ref(), "text/html; charset=utf-8");

    // What was done when adds up to what was done, at the rate that the deployment allows.
    let deleted = report["outcomes"]["deleted"].as_u64().unwrap();
    let counts = report["history"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), deleted);
    assert!(counts.iter().all(|count| count.as_u64().unwrap() <= 8 * 60 + 16), "{counts:?}");
    assert_eq!(report["callsPerHour"], 8 * 3600);
    // Each status and each rule tells of everything that was judged.
    let sum = |ages: &Value| -> u64 {
        let rows = ages.as_object().unwrap().values();
        rows.flat_map(|ages| ages.as_object().unwrap().values()).map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!((sum(&report["ages"]), sum(&report["agesOfRules"])), (2160, 2160));
    for (samples, counts, told) in [("samples", "plan", "verdict"), ("outcomeSamples", "results", "outcome")]
    {
        let samples = report[samples].as_array().unwrap();
        assert!(samples.len() <= 99);
        for kind in report[counts].as_array().unwrap() {
            let is = |sample: &&Value| sample["rule"] == kind["rule"] && sample["told"] == kind[told];
            assert!((1..=3).contains(&samples.iter().filter(is).count()), "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_of_a_stopped_sweep_says_how_to_release_it() {
    let stage = staged();
    let sweeps = Sweeps::with_breaker(&stage, 1);
    let id = sweeps.started(Operation::CancelStale, "stopped").await;
    sweeps.deliver_all().await;
    let digest = sweeps.sweep(&id).await.plan.unwrap().digest;
    let page = page_of(&stage, &id).await;
    keep("stopped.html", &page);
    let command = format!("jobwarden sweep start --operation cancel-stale --release {digest}</code>");
    assert!(page.contains(&command), "{page}");
    assert!(page.contains("<h2>Who is blocked</h2>"), "{page}");
}

/// Who starts a sweep, and what a policy is named, are texts of somebody else.
#[tokio::test(start_paused = true)]
async fn what_others_have_written_is_text_on_the_page() {
    let stage = staged();
    let sweeps = Sweeps::with_breaker(&stage, 1);
    let hostile = "<script>window.hacked = 1</script><img src=x onerror=\"window.hacked=1\">\u{202e}\u{9b}";
    let trigger =
        Trigger { requested_by: hostile.repeat(20), ..trigger(Operation::DeleteExpired, "hostile") };
    let id = sweeps.start(&trigger).await.unwrap().sweep_id;
    sweeps.deliver_all().await;
    let page = page_of(&stage, &id).await;
    keep("hostile.html", &page);
    assert_eq!((page.matches("<script").count(), page.matches("<img").count()), (1, 0), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_written_takes_nothing_from_the_sweep() {
    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "pageless").await;
    stage.script.always("put", format!("sweeps/{id}/report.html"), Fault::LostBefore);
    sweeps.deliver_all().await;
    sweeps.assert_deleted("without its page").await;
    assert_eq!(sweeps.sweep(&id).await.status, SweepStatus::Succeeded);
    assert_eq!(sweeps.report(&id).await["status"], "SUCCEEDED");
    assert_eq!(page_of(&stage, &id).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_writing_was_lost_once_is_there_all_the_same() {
    let rehearsed = staged();
    let sweeps = Sweeps::new(&rehearsed);
    sweeps.started(Operation::DeleteExpired, "twice").await;
    let before = rehearsed.script.count("put");
    sweeps.deliver_all().await;
    let puts = rehearsed.script.calls().into_iter().filter(|call| call.operation == "put").skip(before);
    let nth = puts.map(|call| call.subject).position(|subject| subject.ends_with("/report.html")).unwrap();

    let stage = staged();
    let sweeps = Sweeps::new(&stage);
    let id = sweeps.started(Operation::DeleteExpired, "twice").await;
    stage.script.fault("put", nth + 1, Fault::LostBefore);
    sweeps.deliver_all().await;
    assert!(page_of(&stage, &id).await.contains("<h2>What was done</h2>"));
}
