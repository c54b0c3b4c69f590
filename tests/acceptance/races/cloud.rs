//! AWS IoT Jobs in small: the executions of one job on one thing.

use shared::execution::Status;
use tests::QueuedDelete;

/// One execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Execution {
    /// Which one it really is. Only those who judge a run may look at it: AWS shows no such thing.
    pub(super) birth: u8,
    /// Its number, which may belong to another when it is deleted.
    pub(super) number: u8,
    /// The second in which it was queued.
    pub(super) queued_at: u8,
    /// Its version, which starts at 1 with each execution.
    pub(super) version: u8,
    /// Its status.
    pub(super) status: Status,
}

impl Execution {
    /// What the product recognises it by.
    pub(super) fn identity(self) -> (u8, u8) {
        (self.number, self.queued_at)
    }

    /// Whether a device has reported how it ended.
    pub(super) fn holds_a_result(self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Failed | Status::Rejected)
    }
}

/// Whether AWS is asked to end what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Strength {
    /// Without `force`.
    Plain,
    /// With `force`.
    Forced,
}

/// Which execution a description is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Which {
    /// The thing's current one.
    Current,
    /// The one of a number.
    Numbered(u8),
}

/// What a device tells of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Report {
    /// It takes it up.
    Starts,
    /// It is still at it.
    Progresses,
    /// It is done.
    Succeeds,
    /// It could not do it.
    Fails,
    /// It is not heard of any more, and AWS says so in its stead.
    TimesOut,
}

/// When an execution is queued, to the precision of AWS's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    /// In the second of the one before.
    SameSecond,
    /// In a second of its own.
    Later,
}

/// Why AWS did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    /// There is no such execution.
    NotFound,
    /// Its status does not allow it.
    InvalidState,
    /// It has another version.
    VersionConflict,
}

/// What AWS holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Cloud {
    /// The executions that are there, in the order in which they were queued.
    pub(super) executions: Vec<Execution>,
    /// How many were ever queued.
    pub(super) births: u8,
    /// Whether the job is about to queue another because one failed.
    pub(super) retry_due: bool,
    second: u8,
    before_cancel: Option<Execution>,
}

impl Cloud {
    /// A job with executions in these states, queued one after the other.
    pub(super) fn with(statuses: &[Status]) -> Self {
        let mut cloud =
            Self { executions: Vec::new(), births: 0, retry_due: false, second: 0, before_cancel: None };
        for status in statuses {
            cloud.queue(Moment::Later);
            if let Some(execution) = cloud.executions.last_mut() {
                execution.status = *status;
                execution.version = match status {
                    Status::Queued => 1,
                    Status::InProgress | Status::Canceled | Status::Removed | Status::Rejected => 2,
                    Status::Succeeded | Status::Failed | Status::TimedOut => 3,
                };
            }
        }
        cloud
    }

    /// The execution that is really this one, if it is still there.
    pub(super) fn born(&self, birth: u8) -> Option<Execution> {
        self.executions.iter().copied().find(|execution| execution.birth == birth)
    }

    /// Whether nothing is under way. Only then does AWS queue another execution of the job.
    pub(super) fn is_idle(&self) -> bool {
        self.executions.iter().all(|execution| execution.status.is_terminal())
    }

    /// What a description shows.
    pub(super) fn show(&self, which: Which) -> Option<Execution> {
        match which {
            Which::Current => self.executions.last().copied(),
            Which::Numbered(number) => {
                self.executions.iter().copied().find(|execution| execution.number == number)
            }
        }
    }

    /// What a description may show instead for a while: a cancellation takes its time to show.
    pub(super) fn show_late(&self, which: Which) -> Option<Execution> {
        let shown = self.show(which)?;
        self.before_cancel.filter(|before| before.birth == shown.birth)
    }

    /// CancelJobExecution: the execution as it was before.
    pub(super) fn cancel(&mut self, version: Option<u8>, strength: Strength) -> Result<Execution, Refusal> {
        let execution = self.executions.last_mut().ok_or(Refusal::NotFound)?;
        if version.is_some_and(|version| version != execution.version) {
            return Err(Refusal::VersionConflict);
        }
        match (execution.status, strength) {
            (Status::Queued, _) | (Status::InProgress, Strength::Forced) => {}
            _ => return Err(Refusal::InvalidState),
        }
        let before = *execution;
        execution.status = Status::Canceled;
        execution.version += 1;
        self.before_cancel = Some(before);
        Ok(before)
    }

    /// DeleteJobExecution: the execution as it was.
    pub(super) fn delete(
        &mut self,
        number: u8,
        strength: Strength,
        queued_delete: QueuedDelete,
    ) -> Result<Execution, Refusal> {
        let found = self.show(Which::Numbered(number)).ok_or(Refusal::NotFound)?;
        match (found.status, strength, queued_delete) {
            (Status::InProgress, Strength::Plain, _)
            | (Status::Queued, Strength::Plain, QueuedDelete::Refused) => return Err(Refusal::InvalidState),
            _ => {}
        }
        self.executions.retain(|execution| *execution != found);
        self.before_cancel = self.before_cancel.filter(|before| before.birth != found.birth);
        Ok(found)
    }

    /// A device's report, if it may make it: every one that is taken is a new version.
    pub(super) fn report(&mut self, number: u8, report: Report) -> Option<()> {
        let execution = self.executions.iter_mut().find(|execution| execution.number == number)?;
        execution.status = match (execution.status, report) {
            (Status::Queued, Report::Starts) | (Status::InProgress, Report::Progresses) => Status::InProgress,
            (Status::InProgress, Report::Succeeds) => Status::Succeeded,
            (Status::InProgress, Report::Fails) => Status::Failed,
            (Status::InProgress, Report::TimesOut) => Status::TimedOut,
            _ => return None,
        };
        execution.version += 1;
        Some(())
    }

    /// Another execution: it takes the lowest free number.
    pub(super) fn queue(&mut self, moment: Moment) {
        match moment {
            Moment::SameSecond => {}
            Moment::Later => self.second += 1,
        }
        let taken = |number: &u8| self.executions.iter().any(|execution| execution.number == *number);
        let number = (1..=u8::MAX).find(|number| !taken(number)).unwrap_or(u8::MAX);
        self.executions.push(Execution {
            birth: self.births,
            number,
            queued_at: self.second,
            version: 1,
            status: Status::Queued,
        });
        self.births += 1;
    }
}
