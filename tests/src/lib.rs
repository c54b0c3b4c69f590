//! The world that acceptance tests run in: AWS IoT Jobs, the bucket and the queue, in memory and
//! with a state, and the script of what goes wrong in them.

mod bare;
mod bucket;
mod executions;
mod iot;
mod made_up;
mod passing;
mod queue;
mod script;

pub use bare::BareCancel;
pub use bucket::FakeBucket;
pub use iot::{Device, FakeExecution, FakeIot, FakeThing, JobSetup, Mutation, QueuedDelete, Repeats};
pub use made_up::{MADE_UP_AT, MadeUpFleet};
pub use passing::PassingBucket;
pub use queue::FakeQueue;
pub use script::{Call, Death, Director, Fate, Fault, Script};
