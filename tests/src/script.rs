//! What goes wrong, and when: faults by operation, deaths by the number of a call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A call of any of the fakes, in the order they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The operation, in AWS's words, or `put`, `get`, `list` and `send`.
    pub operation: &'static str,
    /// What it was about.
    pub subject: String,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Throttled: nothing happens.
    Throttled,
    /// The call does not arrive: nothing happens, and the caller does not know.
    LostBefore,
    /// The call has its effect, and the answer does not arrive.
    LostAfter,
    /// The token of a page is not good any more.
    InvalidToken,
    /// The call has its effect, and its answer is that it conflicts: as when a client sends it
    /// again by itself after it lost the answer.
    Conflicts,
    /// AWS refuses the caller's own role.
    RoleRefused,
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    faults: Vec<(&'static str, usize, Fault)>,
    standing: Vec<(&'static str, &'static str, Fault)>,
    hooks: Vec<(&'static str, usize, Hook)>,
    counts: BTreeMap<&'static str, usize>,
    dies_before: Option<usize>,
    dies_after: Option<usize>,
}

/// The script, shared by all fakes of one world.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.calls()).finish()
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the `nth` call from now of an operation (from 1) go wrong.
    pub fn fault(&self, operation: &'static str, nth: usize, fault: Fault) {
        let mut state = self.state();
        let at = state.counts.get(operation).copied().unwrap_or_default() + nth;
        state.faults.push((operation, at, fault));
    }

    /// Lets every call of an operation on subjects that begin so go wrong, from now on.
    pub fn always(&self, operation: &'static str, subject: &'static str, fault: Fault) {
        self.state().standing.push((operation, subject, fault));
    }

    /// Lets something happen just before the `nth` call from now of an operation (from 1).
    pub fn before(&self, operation: &'static str, nth: usize, hook: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let at = state.counts.get(operation).copied().unwrap_or_default() + nth;
        state.hooks.push((operation, at, Box::new(hook)));
    }

    /// Lets the process die just before the `nth` call from now (from 1), whatever it is.
    pub fn die_before(&self, nth: usize) {
        let mut state = self.state();
        state.dies_before = Some(state.calls.len() + nth);
    }

    /// Lets the process die just after the `nth` call from now (from 1) has had its effect.
    pub fn die_after(&self, nth: usize) {
        let mut state = self.state();
        state.dies_after = Some(state.calls.len() + nth);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls of an operation there were.
    pub fn count(&self, operation: &str) -> usize {
        self.state().counts.get(operation).copied().unwrap_or_default()
    }

    /// A call begins: what goes wrong with it. Where the process dies, this never returns.
    pub(crate) async fn begin(&self, operation: &'static str, subject: &str) -> Option<Fault> {
        let (hooks, fault, dies) = {
            let mut state = self.state();
            state.calls.push(Call { operation, subject: subject.to_owned() });
            let number = state.calls.len();
            let count = state.counts.entry(operation).or_default();
            *count += 1;
            let count = *count;
            let mine = |of: &'static str, at: usize| of == operation && at == count;
            let standing =
                state.standing.iter().find(|(of, begin, _)| *of == operation && subject.starts_with(begin));
            let standing = standing.map(|(_, _, fault)| *fault);
            let fault = state
                .faults
                .iter()
                .find(|(of, at, _)| mine(of, *at))
                .map(|(_, _, fault)| *fault)
                .or(standing);
            let hooks: Vec<Hook> =
                state.hooks.extract_if(.., |(of, at, _)| mine(of, *at)).map(|(_, _, hook)| hook).collect();
            (hooks, fault, state.dies_before == Some(number))
        };
        if dies {
            std::future::pending::<()>().await;
        }
        hooks.into_iter().for_each(|hook| hook());
        fault
    }

    /// A call has had its effect. Where the process dies, this never returns.
    pub(crate) async fn end(&self) {
        let dies = {
            let state = self.state();
            state.dies_after == Some(state.calls.len())
        };
        if dies {
            std::future::pending::<()>().await;
        }
    }
}
