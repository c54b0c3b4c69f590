//! The facts of a decision, as Cedar entities and context.

use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use jiff::Timestamp;

use super::{ExecutionAction, Principal, SweepAction};
use crate::execution::{ExecutionRow, JobFacts};
use crate::ids::JobId;
use crate::operation::Operation;
use crate::ports::Force;

/// What is known of an execution and its job.
#[derive(Debug, Clone, Copy)]
pub struct ExecutionFacts<'a> {
    /// The job's name.
    pub job_id: &'a JobId,
    /// The execution.
    pub row: &'a ExecutionRow,
    /// The job and its tags.
    pub job: &'a JobFacts,
}

/// The terms of a request: what is asked, from where and when.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whether a running execution may be hit.
    pub force: Force,
    /// Whether the request is pinned to a version.
    pub pinned: bool,
    /// Whether to decide and report only.
    pub dry_run: bool,
    /// Whether the call is made only once its record is in the archive.
    pub archived: bool,
    /// Whether a retention rule says that it is due.
    pub past_retention: bool,
    /// The time of the request.
    pub now: Timestamp,
}

/// Why facts could not be put to Cedar. It has no cause that an input could bring about; the
/// decision is a denial all the same.
#[derive(Debug, thiserror::Error)]
#[error("cannot put the facts to the access policy: {0}")]
pub(super) struct FactsError(pub(super) String);

impl FactsError {
    pub(super) fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, FactsError> {
    let name: EntityTypeName = format!("Jobwarden::{kind}").parse().map_err(FactsError::new)?;
    Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn datetime(at: Timestamp) -> RestrictedExpression {
    RestrictedExpression::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

fn member(kind: &str, id: &str) -> Result<RestrictedExpression, FactsError> {
    Ok(RestrictedExpression::new_entity_uid(uid(kind, id)?))
}

impl Principal {
    pub(super) fn uid(&self) -> Result<EntityUid, FactsError> {
        match self {
            Self::User(user) => uid("User", &user.id),
            Self::Sweeper(operation) => uid("Sweeper", operation.as_str()),
        }
    }

    /// The principal's own entity and those of its groups.
    pub(super) fn entities(&self) -> Result<Vec<Entity>, FactsError> {
        match self {
            Self::Sweeper(_) => Ok(Vec::new()),
            Self::User(user) => {
                let groups: Vec<_> =
                    user.groups.iter().map(|group| uid("Group", group)).collect::<Result<_, _>>()?;
                let attributes = [("account".to_owned(), text(&user.account))].into_iter().collect();
                let entity = Entity::new(self.uid()?, attributes, groups.iter().cloned().collect())
                    .map_err(FactsError::new)?;
                Ok(groups.into_iter().map(Entity::with_uid).chain([entity]).collect())
            }
        }
    }

    const fn source(&self) -> &'static str {
        match self {
            Self::User(_) => "api",
            Self::Sweeper(_) => "sweep",
        }
    }
}

impl ExecutionFacts<'_> {
    pub(super) fn uid(&self) -> Result<EntityUid, FactsError> {
        let Self { job_id, row, .. } = self;
        uid("JobExecution", &format!("{job_id}/{}/{}", row.thing_name, row.execution_number))
    }

    pub(super) fn entity(&self) -> Result<Entity, FactsError> {
        let Self { job_id, row, job } = self;
        let attributes = [
            ("jobId", text(job_id.as_str())),
            ("thingName", text(row.thing_name.as_str())),
            ("executionNumber", RestrictedExpression::new_long(row.execution_number.get())),
            ("status", member("Status", row.status.as_str())?),
            ("queuedAt", datetime(row.queued_at)),
            ("lastUpdatedAt", datetime(row.last_updated_at)),
            ("jobNamespaced", RestrictedExpression::new_bool(job.job.namespace_id.is_some())),
            ("jobRetries", RestrictedExpression::new_bool(job.job.retries)),
            ("jobContinuous", RestrictedExpression::new_bool(job.job.continuous)),
        ];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        let tags = job.tags.iter().map(|(key, value)| (key.clone(), text(value)));
        Entity::new_with_tags(self.uid()?, attributes, [], tags).map_err(FactsError::new)
    }
}

impl Terms {
    pub(super) fn context(&self, principal: &Principal) -> Result<Context, FactsError> {
        let pairs = [
            ("force", RestrictedExpression::new_bool(self.force == Force::EvenInProgress)),
            ("hasExpectedVersion", RestrictedExpression::new_bool(self.pinned)),
            ("dryRun", RestrictedExpression::new_bool(self.dry_run)),
            ("source", member("Source", principal.source())?),
            ("archived", RestrictedExpression::new_bool(self.archived)),
            ("pastRetention", RestrictedExpression::new_bool(self.past_retention)),
            ("now", datetime(self.now)),
        ];
        context(pairs)
    }
}

impl ExecutionAction {
    pub(super) fn uid(self) -> Result<EntityUid, FactsError> {
        uid("Action", self.as_str())
    }
}

impl SweepAction {
    pub(super) fn uid(self) -> Result<EntityUid, FactsError> {
        uid("Action", self.as_str())
    }

    pub(super) fn context(self, now: Timestamp) -> Result<Context, FactsError> {
        match self {
            Self::Start { dry_run, releases_plan } => context([
                ("dryRun", RestrictedExpression::new_bool(dry_run)),
                ("releasesPlan", RestrictedExpression::new_bool(releases_plan)),
                ("now", datetime(now)),
            ]),
            Self::Read => context([("now", datetime(now))]),
        }
    }
}

pub(super) fn sweep_uid(operation: Operation) -> Result<EntityUid, FactsError> {
    uid("Sweep", operation.as_str())
}

fn context<const N: usize>(pairs: [(&str, RestrictedExpression); N]) -> Result<Context, FactsError> {
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
    Context::from_pairs(pairs).map_err(FactsError::new)
}
