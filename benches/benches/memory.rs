//! How much memory a sweep takes: whole sweeps over fleets of three sizes, by the shipped rules and by one that keeps
//! the last success of each thing, each in a process of its own, whose peak the system tells (VmHWM, the program's own
//! pages included).
//!
//! The fleet is made up row by row as it is listed, and the bucket keeps next to nothing in memory: what grows would
//! be the sweep.

use std::marker::PhantomData;
use std::process::Command;

use jiff::SignedDuration;
use shared::access::AccessPolicy;
use shared::operation::Operation;
use shared::retention::Retention;
use shared::sweep::{self, CallRate, DeleteExpired, SliceTime, Starter, SweepStatus, Trigger, Worker};
use tests::{FakeQueue, MADE_UP_AT, MadeUpFleet, PassingBucket};

/// What a child process is told before the size of its fleet.
const OF_FLEET: &str = "--of-fleet";

const FLEETS: [usize; 3] = [10_000, 100_000, 1_000_000];

/// Executions of each job.
const OF_A_JOB: usize = 1_000;

/// One in so many is due.
const DUE: usize = 10;

/// What a rule says beside the shipped ones.
const TERMS: [&str; 2] = ["", "keep_last = 1"];

fn main() {
    let arguments: Vec<_> = std::env::args().skip_while(|argument| argument != OF_FLEET).collect();
    if let [_, executions, terms] = &arguments[..] {
        return sweep(executions.parse().unwrap(), terms);
    }
    for terms in TERMS {
        println!("executions   peak of a sweep, MiB   {terms}");
        let peaks = FLEETS.map(|executions| {
            let program = std::env::current_exe().unwrap();
            let done =
                Command::new(program).args([OF_FLEET, &executions.to_string(), terms]).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let kibibytes: f64 = String::from_utf8(done.stdout).unwrap().trim().parse().unwrap();
            println!("{executions:>10}   {:.1}", kibibytes / 1024.0);
            kibibytes
        });
        let [small, .., large] = peaks;
        println!("the largest takes {:.1} % more than the smallest", 100.0 * (large / small - 1.0));
    }
}

/// Sweeps a fleet of so many by rules with these terms, slice by slice, and prints the peak in KiB.
fn sweep(executions: usize, terms: &str) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fleet = MadeUpFleet::new((executions / OF_A_JOB, OF_A_JOB), executions, Some(DUE)).with_looks();
        let bucket = PassingBucket::new();
        let queue = FakeQueue::default();
        let text = include_str!("../../policies/retention.toml")
            .replace("max_actions = 10000", "max_actions = 9999999")
            .replace("[default]\n", &format!("[default]\n{terms}\n"));
        let rules = Retention::parse("r.toml", &text).unwrap();
        let access = AccessPolicy::shipped().unwrap();
        let starter = Starter { bucket: &bucket, queue: &queue, dry_run_only: false };
        let trigger = Trigger {
            operation: Operation::DeleteExpired,
            lane: None,
            dry_run: Some(false),
            release_plan: None,
            requested_by: "a benchmark".to_owned(),
            now: MADE_UP_AT,
            id: "memory".to_owned(),
        };
        let id = starter.start(&trigger, MADE_UP_AT).await.unwrap().sweep_id;
        let mut at = MADE_UP_AT;
        let mut delivered = 0;
        while let Some(message) = queue.sent().get(delivered) {
            let worker = Worker {
                iot: &fleet,
                lanes: &(),
                bucket: &bucket,
                queue: &queue,
                rules: &rules,
                access: &access,
                rate: CallRate::parse("100").unwrap(),
                dry_run_only: false,
                retire_jobs: true,
                act: PhantomData::<DeleteExpired>,
            };
            let time = SliceTime { now: at, deadline: at + SignedDuration::from_mins(15) };
            worker.run(message, "one", time).await.unwrap();
            at += SignedDuration::from_mins(16);
            delivered += 1;
        }
        let ended = sweep::read(&bucket, &id).await.unwrap();
        assert_eq!(ended.status, SweepStatus::Succeeded, "{:?}", ended.failure);
        // Of the last job, what is due is the last success of its thing.
        let kept = if terms.is_empty() { 0 } else { OF_A_JOB / DUE };
        assert_eq!(ended.attempts, (executions / DUE - kept) as u64);
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{}", peak.trim().trim_end_matches(" kB"));
}
