//! Jobs and their tags, kept for a moment: a burst of calls on one job reads it once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::age::Moment;
use crate::execution::JobFacts;
use crate::ids::JobId;
use crate::ports::{ReadError, ReadJobs};

/// How long a job and its tags are believed: a hold tag works after at most this long.
const KEPT: Duration = Duration::from_secs(5);

/// How many jobs are kept at most.
const CAPACITY: usize = 256;

/// The jobs read lately.
#[derive(Debug, Default)]
pub struct JobCache {
    read: Mutex<HashMap<JobId, (Moment, JobFacts)>>,
}

impl JobCache {
    /// The job and its tags, at most five seconds old. Failures are not kept.
    pub(super) async fn get<I: ReadJobs>(
        &self,
        iot: &I,
        job: &JobId,
        now: Timestamp,
    ) -> Result<JobFacts, ReadError> {
        let now = Moment::at(now);
        {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, facts)) = read.get(job).filter(|(at, _)| !at.is_past(KEPT, now)) {
                tracing::debug!(job_id = %job, age_ms = at.age(now).as_millis() as u64, "job taken from cache");
                return Ok(facts.clone());
            }
        }
        let described = iot.describe_job(job).await?;
        let tags = iot.job_tags(&described).await?;
        let facts = JobFacts { job: described, tags };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() >= CAPACITY {
            read.clear();
        }
        read.insert(job.clone(), (now, facts.clone()));
        Ok(facts)
    }
}
