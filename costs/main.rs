//! What the hot parts cost, in numbers that are the same on every machine: one part for each process, whose instructions
//! callgrind counts where [`measured`] says, and whose memory it counts itself.
//!
//! Run by `dev/costs.py`, which compares what it is told with `recorded.toml`.

mod cancel;
mod heap;
mod seeds;
mod sweep;

use std::hint::black_box;

use sweep::Rows;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["scan-of-kept"] => logged(|| sweep::scan(10, Rows::Kept)),
        ["scan-of-due"] => logged(|| sweep::scan(1, Rows::Due)),
        ["deletion-of-due"] => logged(|| sweep::delete(1, Rows::Due)),
        ["cancel"] => logged(cancel::warm),
        ["memory", executions] => println!("{}", sweep::peak(executions.parse().unwrap())),
        _ => panic!("not told what to measure: {arguments:?}"),
    }
}

/// Callgrind counts what happens in here, by this function's name, and nothing else. Called once.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // A call in the last place would be a jump, and this function would seem not to have returned.
    black_box(());
}

/// Measures with the log of a function, on standard output, because every decision leaves a line there.
fn logged(part: impl FnOnce()) {
    aws::logging::init();
    aws::counting::init();
    part();
}

/// What the functions run in, at a time that stands still.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}
