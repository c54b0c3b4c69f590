//! What goes wrong, and when: faults by operation, deaths by the number of a call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

/// A call of any of the fakes, in the order they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The operation, in AWS's words, or `put`, `get`, `list` and `send`.
    pub operation: &'static str,
    /// What it was about.
    pub subject: String,
    /// Which invocation made it, where they are told apart.
    pub by: u32,
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
    /// AWS does not accept the caller's credentials: nothing happens.
    Unauthenticated,
}

/// At which moment of a call its process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Before it has its effect.
    Before,
    /// After it has had its effect, and before the answer arrives.
    After,
}

/// What comes of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate {
    /// What goes wrong with it.
    pub fault: Option<Fault>,
    /// Whether its process dies of it.
    pub death: Option<Death>,
}

/// Says of every call how long it takes and what comes of it, in place of faults by number.
pub trait Director: Send {
    /// A call is sent: how long it takes to arrive.
    fn sent(&mut self, call: &Call) -> Duration;

    /// It arrives. Whatever happens to the world just before it can be done here.
    fn arrives(&mut self, call: &Call) -> Fate;

    /// The process of a call that was sent and has not arrived is dead. Whether the call arrives all the same.
    fn abandoned(&mut self, _: &Call) -> bool {
        false
    }
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Whether calls are only counted.
    forgetful: bool,
    faults: Vec<(&'static str, usize, Fault)>,
    standing: Vec<(&'static str, String, Fault)>,
    hooks: Vec<(&'static str, usize, Hook)>,
    counts: BTreeMap<&'static str, usize>,
    dies_before: Option<usize>,
    dies_after: Option<usize>,
    director: Option<Box<dyn Director>>,
    /// Whether the director lets the process of the latest call die after it.
    directed_death: bool,
    /// Whether the process has died, as it was told to: nothing that it has under way goes on.
    dead: bool,
}

/// The script, shared by all fakes of one world.
#[derive(Clone, Default)]
pub struct Script {
    state: Arc<Mutex<State>>,
    by: u32,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.calls()).finish()
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same script, for the calls of one invocation.
    #[must_use]
    pub fn of(&self, by: u32) -> Self {
        Self { state: Arc::clone(&self.state), by }
    }

    /// Which invocation's calls these are.
    pub(crate) fn by(&self) -> u32 {
        self.by
    }

    /// Counts calls without keeping them: millions would fill the memory. No death by a call's number then.
    pub fn forget_calls(&self) {
        self.state().forgetful = true;
    }

    /// Lets a director say what comes of every call from now on.
    pub fn direct(&self, director: impl Director + 'static) {
        self.state().director = Some(Box::new(director));
    }

    /// Sends the director away. It may know the fakes, and they would keep each other alive for ever.
    pub fn dismiss_director(&self) {
        let director = self.state().director.take();
        drop(director);
    }

    /// Lets the `nth` call from now of an operation (from 1) go wrong.
    pub fn fault(&self, operation: &'static str, nth: usize, fault: Fault) {
        let mut state = self.state();
        let at = state.counts.get(operation).copied().unwrap_or_default() + nth;
        state.faults.push((operation, at, fault));
    }

    /// Lets every call of an operation on subjects that begin so go wrong, from now on.
    pub fn always(&self, operation: &'static str, subject: impl Into<String>, fault: Fault) {
        self.state().standing.push((operation, subject.into(), fault));
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

    /// Another process takes the place of the one that has died.
    pub fn revive(&self) {
        self.state().dead = false;
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
        let call = Call { operation, subject: subject.to_owned(), by: self.by };
        self.while_alive().await;
        let takes = self.state().director.as_mut().map_or(Duration::ZERO, |director| director.sent(&call));
        if !takes.is_zero() {
            sleep(takes).await;
        }
        self.while_alive().await;
        let (hooks, fault, dies) = {
            let mut state = self.state();
            let fate = state.director.as_mut().map(|director| director.arrives(&call)).unwrap_or_default();
            state.directed_death = fate.death == Some(Death::After);
            if !state.forgetful {
                state.calls.push(call);
            }
            let number = state.calls.len();
            let count = state.counts.entry(operation).or_default();
            *count += 1;
            let count = *count;
            let mine = |of: &'static str, at: usize| of == operation && at == count;
            let standing = state
                .standing
                .iter()
                .find(|(of, begin, _)| *of == operation && subject.starts_with(begin.as_str()));
            let standing = standing.map(|(_, _, fault)| *fault);
            let fault = state
                .faults
                .iter()
                .find(|(of, at, _)| mine(of, *at))
                .map(|(_, _, fault)| *fault)
                .or(standing)
                .or(fate.fault);
            let hooks: Vec<Hook> =
                state.hooks.extract_if(.., |(of, at, _)| mine(of, *at)).map(|(_, _, hook)| hook).collect();
            state.dead = state.dies_before == Some(number);
            let dies = state.dead || fate.death == Some(Death::Before);
            (hooks, fault, dies)
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
            let mut state = self.state();
            state.dead = state.dies_after == Some(state.calls.len());
            state.directed_death || state.dead
        };
        if dies {
            std::future::pending::<()>().await;
        }
    }

    /// Where the process is dead, this never returns.
    async fn while_alive(&self) {
        let dead = self.state().dead;
        if dead {
            std::future::pending::<()>().await;
        }
    }

    /// Whether a call that was under way when its process died arrives all the same.
    pub(crate) fn abandoned(&self, operation: &'static str, subject: &str) -> bool {
        let call = Call { operation, subject: subject.to_owned(), by: self.by };
        self.state().director.as_mut().is_some_and(|director| director.abandoned(&call))
    }
}
