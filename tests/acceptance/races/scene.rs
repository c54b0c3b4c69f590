//! Who takes part, and what each of them may do next.

use shared::execution::Status;
use stateright::{Model, Property};
use tests::QueuedDelete;

use super::claims::Claim;
use super::cloud::{Cloud, Execution, Moment, Report, Strength};
use super::protocol::{Job, Operation, Policy, Rules, Run, Safeguard};
use super::wire::{self, Call, Fate, Heard};

/// Who deletes besides us. It does so once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecondDeleter {
    /// Nobody.
    None,
    /// Somebody who deletes what has ended.
    Plain,
    /// Somebody who deletes anything, with force.
    Forces,
}

/// Whether a description may fail. It may always be late in showing a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// It may.
    MayFail,
    /// It shows something.
    Answer,
}

/// When our operations run, where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turns {
    /// At the same time.
    AtOnce,
    /// Each after the one before has its answer.
    OneAfterTheOther,
}

/// One step of one of those who take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// The next call of one of our operations.
    Ours(usize, Fate),
    /// A device's report on the execution of a number.
    Device(u8, Report),
    /// The job queues another execution after a failure.
    Retry(Moment),
    /// The thing joins the job again, which queues another execution.
    Requeue(Moment),
    /// Somebody else deletes the execution of a number.
    SecondDeleter(u8),
    /// The call lands that was held up as the nth of those under way.
    Lands(usize),
}

/// A cancel or delete of ours, and what it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    /// Which operation sent it.
    pub(super) by: usize,
    /// What it was decided on.
    pub(super) decided: Execution,
    /// The call.
    pub(super) call: Call,
}

/// An effect that a call of ours had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hit {
    /// What was sent.
    pub(super) sent: Sent,
    /// What it hit, as that was before.
    pub(super) was: Execution,
}

/// The world between two steps, with what an onlooker who sees everything has written down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// AWS's side.
    pub(super) cloud: Cloud,
    /// Our operations.
    pub(super) ours: Vec<Run>,
    /// What the archive holds.
    pub(super) archive: Vec<Execution>,
    /// What our calls hit.
    pub(super) hits: Vec<Hit>,
    held_up: Vec<Sent>,
    progress: u8,
    second_deleter_was_here: bool,
}

/// Who takes part in a model, and what is asked of it.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// What is there at the start: the states of its executions, in each of several worlds.
    pub(super) starts: Vec<Vec<Status>>,
    /// How many executions there ever are.
    pub(super) executions: u8,
    /// How many reports of progress there are.
    pub(super) progress: u8,
    /// Our operations.
    pub(super) ours: Vec<Operation>,
    /// When they run.
    pub(super) turns: Turns,
    /// What they go by.
    pub(super) rules: Rules,
    /// Who else deletes.
    pub(super) second_deleter: SecondDeleter,
    /// Whether reads fail.
    pub(super) reads: Reads,
    /// How AWS treats a plain delete of QUEUED.
    pub(super) queued_delete: QueuedDelete,
    /// What must hold.
    pub(super) claims: Vec<Claim>,
}

impl Scene {
    /// One guarded operation on an execution in any state, with us as the only deleter and under the
    /// shipped policy. Where another execution may come, it may be there already behind one that has
    /// ended.
    pub(super) fn of(operation: Operation, job: Job) -> Self {
        let statuses =
            [Status::Queued, Status::InProgress, Status::Succeeded, Status::Failed, Status::Canceled];
        let ended = |status: &&Status| status.is_terminal() && job != Job::Snapshot;
        let alone = statuses.iter().map(|status| vec![*status]);
        let followed = statuses.iter().filter(ended).map(|status| vec![*status, Status::Queued]);
        Self {
            starts: alone.chain(followed).collect(),
            executions: 3,
            progress: 2,
            ours: vec![operation],
            turns: Turns::AtOnce,
            rules: Rules { job, policy: Policy::Shipped, looks: 5, without: None },
            second_deleter: SecondDeleter::None,
            reads: Reads::MayFail,
            queued_delete: QueuedDelete::Refused,
            claims: Claim::ALL.to_vec(),
        }
    }

    /// The same with these executions at the start.
    pub(super) fn from(self, statuses: &[Status]) -> Self {
        Self { starts: vec![statuses.to_vec()], ..self }
    }

    /// The same with a second operation of ours.
    pub(super) fn and(mut self, operation: Operation, turns: Turns) -> Self {
        self.ours.push(operation);
        Self { turns, ..self }
    }

    /// The same with a second deleter.
    pub(super) fn beside(self, second_deleter: SecondDeleter) -> Self {
        Self { second_deleter, ..self }
    }

    /// The same under a policy that permits everything.
    pub(super) fn permitted(mut self) -> Self {
        self.rules.policy = Policy::PermitsAll;
        self
    }

    /// The same with a part of the protocol left out.
    pub(super) fn without(mut self, safeguard: Safeguard) -> Self {
        self.rules.without = Some(safeguard);
        self
    }

    /// The same with reads that always show something.
    pub(super) fn with_reads_answered(self) -> Self {
        Self { reads: Reads::Answer, ..self }
    }

    /// The same in a world that deletes QUEUED without force.
    pub(super) fn with_queued_deleted(self) -> Self {
        Self { queued_delete: QueuedDelete::Deletes, ..self }
    }

    /// The same with other claims.
    pub(super) fn claiming(self, claims: &[Claim]) -> Self {
        Self { claims: claims.to_vec(), ..self }
    }

    /// Makes the next call of an operation, with its fate: what it was, and what the operation hears.
    pub(super) fn exchange(&self, state: &mut State, by: usize, fate: Fate) -> Option<(Call, Heard)> {
        let call = state.ours[by].call(self.rules)?;
        let heard = match call {
            Call::Describe(which) => wire::describe(&state.cloud, which, fate),
            Call::Archive(record) => {
                // Nobody waits for a write that is held up, so it counts as lost.
                if fate != Fate::HeldUp && !state.archive.contains(&record) {
                    state.archive.push(record);
                }
                Heard::Accepted
            }
            Call::Cancel(..) | Call::Delete(..) => {
                let decided = state.ours[by].decided?;
                let sent = Sent { by, decided, call };
                if fate == Fate::HeldUp {
                    state.held_up.push(sent);
                    Heard::Nothing
                } else {
                    self.land(state, sent)?
                }
            }
        };
        let heard = match fate {
            Fate::Answered | Fate::AnsweredLate => heard,
            Fate::AnswerLost | Fate::HeldUp => Heard::Nothing,
        };
        state.ours[by].hear(self.rules, heard);
        Some((call, heard))
    }

    /// A cancel or delete of ours arrives at AWS, and the onlooker sees what it hits.
    fn land(&self, state: &mut State, sent: Sent) -> Option<Heard> {
        let effect = wire::land(&mut state.cloud, sent.call, self.queued_delete)?;
        Some(match effect {
            Ok(was) => {
                state.hits.push(Hit { sent, was });
                Heard::Accepted
            }
            Err(refusal) => Heard::Refused(refusal),
        })
    }
}

impl Model for Scene {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let start = |statuses: &Vec<Status>| {
            let mut cloud = Cloud::with(statuses);
            cloud.retry_due = self.rules.job.retries() && **statuses == [Status::Failed];
            State {
                cloud,
                ours: self.ours.iter().map(|operation| Run::new(*operation)).collect(),
                archive: Vec::new(),
                hits: Vec::new(),
                held_up: Vec::new(),
                progress: 0,
                second_deleter_was_here: false,
            }
        };
        self.starts.iter().map(start).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (by, run) in state.ours.iter().enumerate() {
            let waits = self.turns == Turns::OneAfterTheOther
                && state.ours[..by].iter().any(|earlier| earlier.answer().is_none());
            if let Some(call) = run.call(self.rules).filter(|_| !waits) {
                let fates = wire::fates(&state.cloud, call, self.reads == Reads::MayFail);
                actions.extend(fates.into_iter().map(|fate| Action::Ours(by, fate)));
            }
        }
        for execution in &state.cloud.executions {
            let reports = match execution.status {
                Status::Queued => [Report::Starts].as_slice(),
                Status::InProgress if state.progress < self.progress => {
                    &[Report::Succeeds, Report::Fails, Report::TimesOut, Report::Progresses]
                }
                Status::InProgress => &[Report::Succeeds, Report::Fails, Report::TimesOut],
                _ => &[],
            };
            let number = execution.number;
            actions.extend(reports.iter().map(|report| Action::Device(number, *report)));
            let deletes = match self.second_deleter {
                SecondDeleter::None => false,
                SecondDeleter::Plain => execution.status.is_terminal(),
                SecondDeleter::Forces => true,
            };
            if deletes && !state.second_deleter_was_here {
                actions.push(Action::SecondDeleter(number));
            }
        }
        if state.cloud.births < self.executions && state.cloud.is_idle() {
            let moments = [Moment::SameSecond, Moment::Later];
            if state.cloud.retry_due {
                actions.extend(moments.map(Action::Retry));
            }
            if self.rules.job.continuous() {
                actions.extend(moments.map(Action::Requeue));
            }
        }
        actions.extend((0..state.held_up.len()).map(Action::Lands));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Ours(by, fate) => {
                self.exchange(&mut state, by, fate)?;
            }
            Action::Device(number, report) => {
                state.cloud.report(number, report)?;
                match report {
                    Report::Progresses => state.progress += 1,
                    Report::Fails | Report::TimesOut => state.cloud.retry_due = self.rules.job.retries(),
                    Report::Starts | Report::Succeeds => {}
                }
            }
            Action::Retry(moment) => {
                state.cloud.retry_due = false;
                state.cloud.queue(moment);
            }
            Action::Requeue(moment) => state.cloud.queue(moment),
            Action::SecondDeleter(number) => {
                let strength = match self.second_deleter {
                    SecondDeleter::None => return None,
                    SecondDeleter::Plain => Strength::Plain,
                    SecondDeleter::Forces => Strength::Forced,
                };
                state.cloud.delete(number, strength, self.queued_delete).ok()?;
                state.second_deleter_was_here = true;
            }
            Action::Lands(nth) => {
                let sent = state.held_up.remove(nth);
                self.land(&mut state, sent)?;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.claims.iter().map(|claim| claim.property()).collect()
    }
}
