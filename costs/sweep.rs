//! What sweeps cost: scanning and deleting pages of 250 rows, and the memory of a whole sweep.

use std::marker::PhantomData;

use jiff::SignedDuration;
use shared::access::AccessPolicy;
use shared::operation::Operation;
use shared::retention::Retention;
use shared::sweep::{
    self, CallRate, DeleteExpired, SliceTime, Starter, SweepId, SweepStatus, Trigger, Worker,
};
use tests::{FakeQueue, MADE_UP_AT, MadeUpFleet, PassingBucket};
use tokio::runtime::Runtime;

use crate::{heap, measured, runtime};

/// What the rows of a page are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// Too young for their rule, which is all that has to be found out.
    Kept,
    /// Past their retention, so that the access policy is asked about each.
    Due,
}

/// Rows of a page, AWS's most.
const PAGE: usize = 250;

/// Where memory is measured, one in so many executions of a job is due.
const DUE: usize = 10;

/// Measures a dry run over a job of so many pages.
pub(crate) fn scan(pages: usize, rows: Rows) {
    let scene = Scene::new(fleet(pages, rows));
    let id = scene.started(true);
    scene.fleet.make_ready();
    measured(&mut || scene.deliver());
    let due = if matches!(rows, Rows::Due) { pages * PAGE } else { 0 };
    scene.assert_seen(&id, pages * PAGE, due);
}

/// Measures a sweep that deletes all rows of a job of so many pages.
pub(crate) fn delete(pages: usize, rows: Rows) {
    let scene = Scene::new(fleet(pages, rows));
    let id = scene.started(false);
    scene.fleet.make_ready();
    measured(&mut || scene.deliver());
    scene.assert_seen(&id, pages * PAGE, pages * PAGE);
    assert_eq!(scene.fleet.deleted(), pages * PAGE);
}

/// The most bytes that a sweep of so many executions has in use at once. The smallest fleet, of 10,000, fills a segment
/// of jobs and a page already.
pub(crate) fn peak(executions: usize) -> usize {
    let scene = Scene::new(MadeUpFleet::new((executions / 40, 30), executions, Some(DUE)));
    let mut id = None;
    let peak = heap::peak(|| {
        id = Some(scene.started(false));
        scene.deliver();
    });
    scene.assert_seen(&id.unwrap(), executions, executions / DUE);
    assert_eq!(scene.fleet.deleted(), executions / DUE);
    peak
}

fn fleet(pages: usize, rows: Rows) -> MadeUpFleet {
    let due = match rows {
        Rows::Kept => None,
        Rows::Due => Some(1),
    };
    MadeUpFleet::new((1, 0), pages * PAGE, due)
}

/// A deployment of what deletes, with a fleet.
struct Scene {
    fleet: MadeUpFleet,
    bucket: PassingBucket,
    queue: FakeQueue,
    rules: Retention,
    access: AccessPolicy,
    runtime: Runtime,
}

impl Scene {
    /// By the shipped rules and policies, where a whole fleet may go.
    fn new(fleet: MadeUpFleet) -> Self {
        let shipped = include_str!("../policies/retention.toml");
        let text = shipped.replace("max_actions = 10000", "max_actions = 9999999");
        let text = text.replace("max_percent = 90", "max_percent = 100");
        Self {
            fleet,
            bucket: PassingBucket::new(),
            queue: FakeQueue::default(),
            rules: Retention::parse("r.toml", &text).unwrap(),
            access: AccessPolicy::shipped().unwrap(),
            runtime: runtime(),
        }
    }

    fn started(&self, dry_run: bool) -> SweepId {
        let starter = Starter { bucket: &self.bucket, queue: &self.queue, dry_run_only: false };
        let trigger = Trigger {
            operation: Operation::DeleteExpired,
            lane: None,
            dry_run: Some(dry_run),
            release_plan: None,
            requested_by: "costs".to_owned(),
            now: MADE_UP_AT,
            id: "costs".to_owned(),
        };
        self.runtime.block_on(starter.start(&trigger, MADE_UP_AT)).unwrap().sweep_id
    }

    /// Delivers the messages, one after the other.
    fn deliver(&self) {
        let mut at = MADE_UP_AT;
        let mut delivered = 0;
        while let Some(slice) = self.queue.sent().get(delivered) {
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
            self.runtime.block_on(worker.run(slice, "one", time)).unwrap();
            at += SignedDuration::from_mins(16);
            delivered += 1;
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
