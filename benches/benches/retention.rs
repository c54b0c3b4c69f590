//! How long the retention rules take for one row: a scan judges every execution of every job that is old enough.

use std::collections::BTreeMap;

use divan::{Bencher, black_box};
use jiff::{SignedDuration, Timestamp};
use shared::execution::{ExecutionRow, RetryLimits, Status, TargetSelection};
use shared::ids::{ExecutionNumber, JobId, ThingName};
use shared::operation::Operation;
use shared::retention::{KnownJob, Retention, Verdict};

fn main() {
    divan::main();
}

/// Rules as shipped, and so many more before them, each by a pattern of ids and by a tag.
fn rules(more: usize) -> Retention {
    let shipped = include_str!("../../policies/retention.toml");
    let rule = |nth| {
        format!(
            "[[rule]]\nname = \"line-{nth}\"\njob_ids = [\"line-{nth}-*-rollout\"]\njob_tags = {{ ring = \"canary-*\" }}\n\
             delete_after = {{ SUCCEEDED = \"7d\", FAILED = \"9d\", TIMED_OUT = \"9d\", REJECTED = \"9d\", REMOVED = \"7d\", \
             CANCELED = \"7d\" }}\narchive = \"summary\"\n"
        )
    };
    let more: String = (0..more).map(rule).collect();
    Retention::parse("r.toml", &shipped.replacen("[[rule]]", &format!("{more}[[rule]]"), 1)).unwrap()
}

/// A row that is kept and one that is due, by the default that comes behind all other rules.
#[divan::bench(args = [0, 20])]
fn judge_a_row_by_the_shipped_rules_and(bencher: Bencher<'_, '_>, more: usize) {
    let rules = rules(more);
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let job_id = JobId::parse("line-7-firmware-1-6-0").unwrap();
    let tags = BTreeMap::from([("ring".to_owned(), "stable".to_owned())]);
    let job = KnownJob {
        job_id: &job_id,
        target_selection: Some(TargetSelection::Snapshot),
        tags: Some(&tags),
        retries: Some(RetryLimits::default()),
    };
    let row = |days: i64| ExecutionRow {
        thing_name: ThingName::parse("pump-7").unwrap(),
        execution_number: ExecutionNumber::new(1),
        status: Status::Failed,
        queued_at: now - SignedDuration::from_hours(24 * 200),
        started_at: None,
        last_updated_at: now - SignedDuration::from_hours(24 * days),
        retry_attempt: Some(0),
    };
    let judge =
        |row: &ExecutionRow| rules.judge(Operation::DeleteExpired, now, black_box(&job), row).unwrap();
    let rows = [row(89), row(91)];
    assert!(matches!(judge(&rows[0]), Verdict::Keep { .. }));
    assert!(matches!(judge(&rows[1]), Verdict::Due(_)));
    let mut nth = 0;
    bencher.bench_local(|| {
        nth ^= 1;
        judge(black_box(&rows[nth]))
    });
}
