//! Listings of AWS that repeat themselves for ever.

use shared::execution::Status;
use shared::operation::Operation;
use tests::{JobSetup, Repeats};

use crate::stage::{Stage, days_ago};
use crate::sweep_stage::{Sweeps, count, outcomes};

fn stage(repeats: Repeats, status: Status) -> Stage {
    let stage = Stage::new();
    stage.iot.page_size(2);
    stage.iot.job("fw", days_ago(200), JobSetup::default());
    for thing in ["a", "b", "c"] {
        stage.iot.execution("fw", thing, status, days_ago(150), days_ago(100));
    }
    stage.iot.repeat_listings(repeats);
    stage
}

#[tokio::test(start_paused = true)]
async fn each_row_of_a_listing_that_repeats_itself_counts_and_goes_once() {
    for repeats in [Repeats::Tokens, Repeats::Rows] {
        for (operation, status, outcome) in [
            (Operation::DeleteExpired, Status::Succeeded, "deleted"),
            (Operation::CancelStale, Status::Queued, "canceled"),
        ] {
            let stage = stage(repeats, status);
            let sweeps = Sweeps::of_everything(&stage);
            let id = sweeps.started(operation, "a").await;
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            assert_eq!(report["status"], "SUCCEEDED", "{repeats:?}: {report}");
            assert_eq!(
                (&report["rowsSeen"], &report["due"]),
                (&3.into(), &3.into()),
                "{repeats:?}: {report}"
            );
            assert_eq!((count(&report, outcome), outcomes(&report)), (3, 3), "{repeats:?}: {report}");
            assert_eq!(report["jobs"]["seen"], 1, "{repeats:?}: {report}");
            // The listing of jobs, and that of the job.
            assert_eq!(report["jobs"]["repeated"], 2, "{repeats:?}: {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_in_a_listing_that_repeats_itself_is_met_with_once() {
    for repeats in [Repeats::Tokens, Repeats::Rows] {
        let stage = stage(repeats, Status::Succeeded);
        let iot = stage.iot.clone();
        // Behind the scan's calls.
        stage.script.before("DescribeJob", 2, move || iot.tag("fw", "jobwarden:hold", ""));
        let sweeps = Sweeps::of_everything(&stage);
        let id = sweeps.started(Operation::DeleteExpired, "a").await;
        sweeps.deliver_all().await;
        let report = sweeps.report(&id).await;
        assert_eq!((count(&report, "refused"), outcomes(&report)), (3, 3), "{repeats:?}: {report}");
        assert_eq!(stage.mutations(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_listing_repeats_itself_is_not_deleted_whole() {
    for repeats in [Repeats::Tokens, Repeats::Rows] {
        let check = async |scanned: bool| {
            let stage = Stage::new();
            stage.iot.page_size(2);
            let finished = Some(shared::execution::JobStatus::Completed);
            stage.iot.job("fw", days_ago(200), JobSetup { status: finished, ..JobSetup::default() });
            for thing in ["a", "b", "c"] {
                stage.iot.execution("fw", thing, Status::Succeeded, days_ago(150), days_ago(100));
            }
            let iot = stage.iot.clone();
            if scanned {
                iot.repeat_listings(repeats);
            } else {
                // Behind the scan's two.
                stage.script.before("ListJobExecutionsForJob", 3, move || iot.repeat_listings(repeats));
            }
            let rules = |shipped: &str| shipped.replace("[default]\n", "[default]\nretire_jobs = true\n");
            let sweeps = Sweeps { retire_jobs: true, ..Sweeps::with_rules(&stage, rules) };
            let id = sweeps.started(Operation::DeleteExpired, "a").await;
            sweeps.deliver_all().await;
            let report = sweeps.report(&id).await;
            assert_eq!(
                (count(&report, "deleted"), outcomes(&report)),
                (3, 3),
                "{repeats:?} {scanned}: {report}"
            );
            assert_eq!(stage.script.count("DeleteJob"), 0, "{repeats:?} {scanned}: {report}");
        };
        check(true).await;
        check(false).await;
    }
}
