//! The facts of a decision, as Cedar entities and context.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ExecutionAction, Principal, ServiceAction};
use crate::execution::{Execution, ExecutionRow, JobFacts, Status};
use crate::ids::JobId;
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
    /// Facts that are read only where a policy asks for them.
    pub asked: &'a AskedFacts,
}

/// Facts that cost a call, as far as they have been read. What has not been read is not in the
/// entity: a policy that names it all the same cannot be evaluated, and the answer is a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedFacts {
    /// The execution as DescribeJobExecution shows it.
    pub description: Option<Execution>,
    /// How many retries came before it.
    pub retry_attempt: Option<i64>,
    /// The names of the groups that the thing is in.
    pub thing_groups: Option<BTreeSet<String>>,
    /// The thing's attributes.
    pub thing_attributes: Option<BTreeMap<String, String>>,
}

/// Everything that is known of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeFacts {
    /// The execution.
    pub execution: Execution,
    /// The job and its tags.
    pub job: JobFacts,
    /// Facts that are read only where a policy asks for them.
    pub asked: AskedFacts,
}

impl WholeFacts {
    /// The facts, for a decision.
    pub fn facts(&self) -> ExecutionFacts<'_> {
        let Self { execution, job, asked } = self;
        ExecutionFacts { job_id: &execution.job_id, row: &execution.row, job, asked }
    }
}

/// The terms of a request: what is asked, from where and when.
#[derive(Debug, Clone, Copy, PartialEq)]
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

fn member(kind: &str, id: &str) -> Result<RestrictedExpression, FactsError> {
    Ok(RestrictedExpression::new_entity_uid(uid(kind, id)?))
}

/// The value of a fact: for Cedar, and in words for people.
#[derive(Debug, PartialEq)]
pub(super) enum Fact<'a> {
    Text(Cow<'a, str>),
    Long(i64),
    Bool(bool),
    Status(Status),
    Time(Timestamp),
    Age(SignedDuration),
    /// What operators and devices wrote by hand: it may be nobody's business.
    Written(Vec<String>),
}

impl<'a> Fact<'a> {
    fn text(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }

    pub(super) fn into_owned(self) -> Fact<'static> {
        match self {
            Self::Text(value) => Fact::Text(Cow::Owned(value.into_owned())),
            Self::Long(value) => Fact::Long(value),
            Self::Bool(value) => Fact::Bool(value),
            Self::Status(status) => Fact::Status(status),
            Self::Time(at) => Fact::Time(at),
            Self::Age(length) => Fact::Age(length),
            Self::Written(values) => Fact::Written(values),
        }
    }

    fn pairs(map: &BTreeMap<String, String>) -> Self {
        Self::Written(map.iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    fn expression(self) -> Result<RestrictedExpression, FactsError> {
        Ok(match self {
            Self::Text(value) => text(&value),
            Self::Long(value) => RestrictedExpression::new_long(value),
            Self::Bool(value) => RestrictedExpression::new_bool(value),
            Self::Status(status) => member("Status", status.as_str())?,
            Self::Time(at) => {
                RestrictedExpression::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
            }
            Self::Age(length) => {
                let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
                RestrictedExpression::new_duration(format!("{millis}ms"))
            }
            Self::Written(values) => {
                RestrictedExpression::new_set(values.into_iter().map(RestrictedExpression::new_string))
            }
        })
    }

    /// It in words, where it may be told and says something: no text is empty, nothing endless.
    fn told(self) -> Option<Value> {
        match self {
            Self::Long(i64::MAX) | Self::Written(_) => None,
            Self::Text(value) if value.is_empty() => None,
            Self::Text(value) => Some(json!(value)),
            Self::Long(value) => Some(json!(value)),
            Self::Bool(value) => Some(json!(value)),
            Self::Status(status) => Some(json!(status)),
            Self::Time(at) => Some(json!(at)),
            Self::Age(length) => Some(json!(length.as_secs())),
        }
    }
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
                let attributes = [("id", text(&user.id)), ("account", text(&user.account))];
                let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
                let claims = user.claims.iter().map(|(name, value)| (name.clone(), text(value)));
                let entity = Entity::new_with_tags(self.uid()?, attributes, groups.iter().cloned(), claims)
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

    fn facts(&self, now: Timestamp) -> Vec<(&'static str, Fact<'_>)> {
        let Self { job_id, row, job, asked } = self;
        let job = &job.job;
        let age = |since: Timestamp| Fact::Age(now.duration_since(since));
        let mut facts = vec![
            ("jobId", Fact::text(job_id.as_str())),
            ("thingName", Fact::text(row.thing_name.as_str())),
            ("executionNumber", Fact::Long(row.execution_number.get())),
            ("status", Fact::Status(row.status)),
            ("queuedAt", Fact::Time(row.queued_at)),
            ("queuedAge", age(row.queued_at)),
            ("lastUpdatedAt", Fact::Time(row.last_updated_at)),
            ("lastUpdatedAge", age(row.last_updated_at)),
            ("jobNamespaced", Fact::Bool(job.namespace_id.is_some())),
            ("jobNamespaceId", Fact::text(job.namespace_id.as_ref().map_or("", |id| id.as_str()))),
            ("jobRetries", Fact::Bool(job.retries)),
            ("jobContinuous", Fact::Bool(job.continuous)),
        ];
        if let Some((region, account)) = job.place() {
            facts.extend([("region", Fact::text(region)), ("account", Fact::text(account))]);
        }
        if let Some(started_at) = row.started_at {
            facts.extend([("startedAt", Fact::Time(started_at)), ("startedAge", age(started_at))]);
        }
        if let Some(description) = &asked.description {
            let left = description.approximate_seconds_before_timed_out.unwrap_or(i64::MAX);
            facts.extend([
                ("versionNumber", Fact::Long(description.version_number.get())),
                ("statusDetails", Fact::pairs(&description.status_details)),
                ("approximateSecondsBeforeTimedOut", Fact::Long(left)),
            ]);
        }
        if let Some(retry_attempt) = asked.retry_attempt.or(row.retry_attempt) {
            facts.push(("retryAttempt", Fact::Long(retry_attempt)));
        }
        if let Some(groups) = &asked.thing_groups {
            facts.push(("thingGroups", Fact::Written(groups.iter().cloned().collect())));
        }
        if let Some(found) = &asked.thing_attributes {
            facts.push(("thingAttributes", Fact::pairs(found)));
        }
        facts
    }

    /// The facts of these names. Where they are those that policies name, no other can change a decision: a policy
    /// has no way to ask for an entity's attributes but by their names.
    pub(super) fn named(&self, now: Timestamp, names: &BTreeSet<String>) -> Vec<(&'static str, Fact<'_>)> {
        let mut facts = self.facts(now);
        facts.retain(|(name, _)| names.contains(*name));
        facts
    }

    /// The execution with the facts of these names.
    pub(super) fn entity(&self, now: Timestamp, names: &BTreeSet<String>) -> Result<Entity, FactsError> {
        let facts = self.named(now, names).into_iter();
        let attributes = facts.map(|(name, fact)| Ok((name.to_owned(), fact.expression()?)));
        let attributes: Vec<_> = attributes.collect::<Result<_, FactsError>>()?;
        let tags = self.job.tags.iter().map(|(key, value)| (key.clone(), text(value)));
        Entity::new_with_tags(self.uid()?, attributes, [], tags).map_err(FactsError::new)
    }

    /// The names of all that is known.
    #[cfg(test)]
    pub(super) fn names(&self, now: Timestamp) -> BTreeSet<String> {
        self.facts(now).into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// The facts of these names that may be told.
    pub(super) fn told(&self, terms: &Terms, names: &BTreeSet<&str>) -> BTreeMap<&'static str, Value> {
        let facts = self.facts(terms.now).into_iter().chain(terms.facts());
        let named = facts.filter(|(name, _)| names.contains(name));
        named.filter_map(|(name, fact)| Some((name, fact.told()?))).collect()
    }
}

impl Terms {
    fn facts(&self) -> [(&'static str, Fact<'static>); 6] {
        [
            ("force", Fact::Bool(self.force == Force::EvenInProgress)),
            ("hasExpectedVersion", Fact::Bool(self.pinned)),
            ("dryRun", Fact::Bool(self.dry_run)),
            ("archived", Fact::Bool(self.archived)),
            ("pastRetention", Fact::Bool(self.past_retention)),
            ("now", Fact::Time(self.now)),
        ]
    }

    pub(super) fn context(&self, principal: &Principal) -> Result<Context, FactsError> {
        context(self.facts(), Some(("source", member("Source", principal.source())?)))
    }
}

impl ExecutionAction {
    pub(super) fn uid(self) -> Result<EntityUid, FactsError> {
        uid("Action", self.as_str())
    }
}

impl ServiceAction<'_> {
    pub(super) fn uid(self) -> Result<EntityUid, FactsError> {
        uid("Action", self.as_str())
    }

    pub(super) fn resource(self) -> Result<EntityUid, FactsError> {
        let kind = match self {
            Self::StartSweep { .. } | Self::ReadSweep { .. } => "Sweep",
            Self::ReadDecision { .. } => "Decision",
        };
        uid(kind, self.about())
    }

    pub(super) fn context(self, now: Timestamp) -> Result<Context, FactsError> {
        let now = ("now", Fact::Time(now));
        match self {
            Self::StartSweep { lane, dry_run, releases_plan, .. } => {
                let lane = ("lane", Fact::text(lane));
                let (dry_run, releases_plan) = (Fact::Bool(dry_run), Fact::Bool(releases_plan));
                context([lane, ("dryRun", dry_run), ("releasesPlan", releases_plan), now], None)
            }
            Self::ReadSweep { .. } => context([now], None),
            Self::ReadDecision { hypothetical, .. } => {
                context([("hypothetical", Fact::Bool(hypothetical)), now], None)
            }
        }
    }
}

fn context<const N: usize>(
    facts: [(&str, Fact<'_>); N],
    besides: Option<(&str, RestrictedExpression)>,
) -> Result<Context, FactsError> {
    let facts = facts.into_iter().map(|(name, fact)| Ok((name, fact.expression()?)));
    let pairs = facts.chain(besides.map(Ok)).map(|pair| pair.map(|(name, value)| (name.to_owned(), value)));
    let pairs: Vec<_> = pairs.collect::<Result<_, FactsError>>()?;
    Context::from_pairs(pairs).map_err(FactsError::new)
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Entities, Schema};

    use super::*;
    use crate::access::User;
    use crate::execution::Job;
    use crate::ids::{ExecutionNumber, JobId, NamespaceId, ThingName, Version};

    /// At run time entities are not checked against the schema, so that what was not read can be
    /// left out. Whole ones fit it in every status.
    #[test]
    fn whole_entities_fit_the_schema() {
        let schema = include_str!("../../../policies/access.cedarschema");
        let (schema, _) = Schema::from_cedarschema_str(schema).unwrap();
        let job_id = JobId::parse("fw").unwrap();
        let map = || BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let job = Job {
            job_id: job_id.clone(),
            arn: "arn:aws:iot:eu-west-1:123456789012:job/fw".to_owned(),
            namespace_id: NamespaceId::parse("ours").ok(),
            retries: true,
            retry_limits: Default::default(),
            status: None,
            continuous: true,
        };
        let job = JobFacts { job, tags: map() };
        for (status, seconds_left) in Status::ALL.into_iter().zip([Some(5), None].into_iter().cycle()) {
            let row = ExecutionRow {
                thing_name: ThingName::parse("pump:7").unwrap(),
                execution_number: ExecutionNumber::new(3),
                status,
                queued_at: now,
                started_at: (status != Status::Queued).then_some(now),
                // The clocks of two services may differ: an age may be negative.
                last_updated_at: now + SignedDuration::from_secs(1),
                retry_attempt: Some(1),
            };
            let description = Execution {
                job_id: job_id.clone(),
                row: row.clone(),
                version_number: Version::new(7),
                force_canceled: false,
                status_details: map(),
                approximate_seconds_before_timed_out: seconds_left,
            };
            let asked = AskedFacts {
                description: Some(description),
                retry_attempt: None,
                thing_groups: Some(["line-2".to_owned()].into()),
                thing_attributes: Some(map()),
            };
            let facts = ExecutionFacts { job_id: &job_id, row: &row, job: &job, asked: &asked };
            let user = User {
                id: "anna".to_owned(),
                account: "123456789012".to_owned(),
                groups: vec!["g".to_owned()],
                claims: map(),
            };
            let mut entities = Principal::User(user).entities().unwrap();
            entities.push(facts.entity(now, &facts.names(now)).unwrap());
            Entities::from_entities(entities, Some(&schema)).unwrap();
        }
    }
}
