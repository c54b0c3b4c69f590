//! What sweeps cost: scanning and deleting pages of 250 rows, and the memory of a whole sweep.

use std::marker::PhantomData;

use jiff::SignedDuration;
use shared::access::AccessPolicy;
use shared::operation::Operation;
use shared::retention::Retention;
use shared::sweep::{
    self, CallRate, DeleteExpired, SliceMessage, SliceTime, Starter, SweepId, SweepStatus, Trigger, Worker,
};
use tokio::runtime::Runtime;

use crate::fleet::{Bucket, Fleet, PAGE, Queue, now};
use crate::{heap, measured, runtime};

/// What the rows of a page are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// Too young for their rule, which is all that has to be found out.
    Kept,
    /// Past their retention, so that the access policy is asked about each.
    Due,
}

/// Where memory is measured, one in so many executions of a job is due.
const DUE: usize = 10;

/// Measures a dry run over a job of so many pages.
pub(crate) fn scan(pages: usize, rows: Rows) {
    let scene = Scene::new(fleet(pages, rows));
    let (id, first) = scene.started(true);
    scene.fleet.make_ready();
    measured(&mut || scene.deliver(&first));
    let due = if matches!(rows, Rows::Due) { pages * PAGE } else { 0 };
    scene.assert_seen(&id, pages * PAGE, due);
}

/// Measures a sweep that deletes all rows of a job of so many pages.
pub(crate) fn delete(pages: usize, rows: Rows) {
    let scene = Scene::new(fleet(pages, rows));
    let (id, first) = scene.started(false);
    scene.fleet.make_ready();
    measured(&mut || scene.deliver(&first));
    scene.assert_seen(&id, pages * PAGE, pages * PAGE);
    assert_eq!(scene.fleet.deleted(), pages * PAGE);
}

/// The most bytes that a sweep of so many executions has in use at once. The smallest fleet, of 10,000, fills a segment
/// of jobs and a page already.
pub(crate) fn peak(executions: usize) -> usize {
    let scene = Scene::new(Fleet::new((executions / 40, 30), executions, Some(DUE)));
    let mut id = None;
    let peak = heap::peak(|| {
        let (started, first) = scene.started(false);
        scene.deliver(&first);
        id = Some(started);
    });
    scene.assert_seen(&id.unwrap(), executions, executions / DUE);
    assert_eq!(scene.fleet.deleted(), executions / DUE);
    peak
}

fn fleet(pages: usize, rows: Rows) -> Fleet {
    let due = match rows {
        Rows::Kept => None,
        Rows::Due => Some(1),
    };
    Fleet::new((1, 0), pages * PAGE, due)
}

/// A deployment of what deletes, with a fleet.
struct Scene {
    fleet: Fleet,
    bucket: Bucket,
    queue: Queue,
    rules: Retention,
    access: AccessPolicy,
    runtime: Runtime,
}

impl Scene {
    /// By the shipped rules and policies, where a whole fleet may go.
    fn new(fleet: Fleet) -> Self {
        let shipped = include_str!("../policies/retention.toml");
        let text = shipped.replace("max_actions = 10000", "max_actions = 9999999");
        let text = text.replace("max_percent = 90", "max_percent = 100");
        Self {
            fleet,
            bucket: Bucket::new(),
            queue: Queue::default(),
            rules: Retention::parse("r.toml", &text).unwrap(),
            access: AccessPolicy::shipped().unwrap(),
            runtime: runtime(),
        }
    }

    fn started(&self, dry_run: bool) -> (SweepId, SliceMessage) {
        let starter = Starter { bucket: &self.bucket, queue: &self.queue, dry_run_only: false };
        let trigger = Trigger {
            operation: Operation::DeleteExpired,
            lane: None,
            dry_run: Some(dry_run),
            release_plan: None,
            requested_by: "costs".to_owned(),
            now: now(),
            id: "costs".to_owned(),
        };
        let sweep = self.runtime.block_on(starter.start(&trigger, now())).unwrap();
        (sweep.sweep_id, self.queue.take().unwrap())
    }

    /// Delivers a message and those that come of it.
    fn deliver(&self, first: &SliceMessage) {
        let mut message = Some(first.clone());
        let mut at = now();
        while let Some(slice) = message {
            let worker = Worker {
                iot: &self.fleet,
                lanes: &(),
                bucket: &self.bucket,
                queue: &self.queue,
                rules: &self.rules,
                access: &self.access,
                rate: CallRate::parse("100").unwrap(),
                dry_run_only: false,
                retire_jobs: true,
                act: PhantomData::<DeleteExpired>,
            };
            let time = SliceTime { now: at, deadline: at + SignedDuration::from_mins(15) };
            self.runtime.block_on(worker.run(&slice, "one", time)).unwrap();
            at += SignedDuration::from_mins(16);
            message = self.queue.take();
        }
    }

    /// Whether it was all done, and nothing else was measured.
    fn assert_seen(&self, id: &SweepId, rows: usize, due: usize) {
        let sweep = self.runtime.block_on(sweep::read(&self.bucket, id)).unwrap();
        assert_eq!(sweep.status, SweepStatus::Succeeded, "{:?}", sweep.failure);
        let report = self.runtime.block_on(sweep::report(&self.bucket, id)).unwrap();
        assert_eq!(
            (report["rowsSeen"].as_u64(), report["due"].as_u64()),
            (Some(rows as u64), Some(due as u64))
        );
    }
}
