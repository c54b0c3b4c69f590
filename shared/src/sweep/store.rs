//! A sweep's objects in the bucket: its state by conditional writes, its segments, its report.

use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::id::SweepId;
use super::state::Sweep;
use crate::ids::JobId;
use crate::lane::{self, LaneName};
use crate::operation::Operation;

/// The folder of all sweeps.
pub(super) const ROOT: &str = "sweeps";

/// Why the bucket did not serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("the bucket has no `{0}`")]
    NotFound(String),
    /// Somebody else wrote the object first.
    #[error("`{0}` was written by somebody else")]
    Conflict(String),
    /// The object is not what this version writes.
    #[error("`{key}` cannot be read by this version")]
    Unreadable {
        /// The object.
        key: String,
        /// What it could not read.
        source: serde_json::Error,
    },
    /// The bucket did not answer as it should.
    #[error("the bucket did not take or give `{key}`")]
    Unavailable {
        /// The object.
        key: String,
        /// What went wrong.
        source: object_store::Error,
    },
}

pub(super) fn state_key(id: &SweepId) -> String {
    format!("{ROOT}/{id}/state.json")
}

pub(super) fn report_key(id: &SweepId) -> String {
    format!("{ROOT}/{id}/report.json")
}

/// The report as a page.
pub(super) fn page_key(id: &SweepId) -> String {
    format!("{ROOT}/{id}/report.html")
}

/// Segments of jobs, as listed.
pub(super) fn jobs_key(id: &SweepId, segment: u64) -> String {
    format!("{ROOT}/{id}/jobs/{segment:06}.json")
}

/// Segments of jobs with something due.
pub(super) fn candidates_key(id: &SweepId, segment: u64) -> String {
    format!("{ROOT}/{id}/candidates/{segment:06}.json")
}

/// Successes under rules that keep the last ones, a part of them all.
pub(super) fn successes_prefix(id: &SweepId, part: u64) -> String {
    format!("{ROOT}/{id}/successes/{part:02}/")
}

/// What of a share of the successes is not among the last, of a segment's jobs.
pub(super) fn behind_key(id: &SweepId, segment: u64, share: u64) -> String {
    format!("{}{share:05}.json", behind_prefix(id, segment))
}

/// What of the successes of a segment's jobs is not among the last.
pub(super) fn behind_prefix(id: &SweepId, segment: u64) -> String {
    format!("{ROOT}/{id}/behind/{segment:06}/")
}

/// Segments of jobs with something due, where successes have been ranked.
pub(super) fn planned_key(id: &SweepId, segment: u64) -> String {
    format!("{ROOT}/{id}/planned/{segment:06}.json")
}

/// Things from which a job's executions were taken, as CreateJob takes them.
pub(super) fn reissue_key(id: &SweepId, job: &JobId, name: &str) -> String {
    format!("{ROOT}/{id}/reissue/{job}/{name}.json")
}

/// A plan that the breaker stopped, by its digest.
pub(super) fn stopped_plan_key(digest: &str) -> String {
    format!("{ROOT}/stopped-plans/{digest}.json")
}

/// What the last real sweep of an operation in a lane had due.
pub(super) fn last_sweep_key(operation: Operation, lane: Option<&LaneName>) -> String {
    format!("{ROOT}/last/{}.json", lane::in_lane(operation, lane))
}

/// Which sweep a stopped plan was released to.
pub(super) fn release_key(digest: &str) -> String {
    format!("{ROOT}/stopped-plans/{digest}.released.json")
}

/// The objects of a folder.
pub(super) async fn list(bucket: &dyn ObjectStore, folder: &str) -> Result<Vec<String>, StoreError> {
    let listed = bucket.list_with_delimiter(Some(&Path::from(folder))).await;
    let listed = listed.map_err(|source| StoreError::Unavailable { key: folder.to_owned(), source })?;
    let mut keys: Vec<_> = listed.objects.into_iter().map(|object| object.location.to_string()).collect();
    // A listing that shows an object twice has it read once.
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// Reads an object.
pub(super) async fn get<T: DeserializeOwned>(
    bucket: &dyn ObjectStore,
    key: &str,
) -> Result<(T, UpdateVersion), StoreError> {
    let failed = |source| match source {
        object_store::Error::NotFound { .. } => StoreError::NotFound(key.to_owned()),
        source => StoreError::Unavailable { key: key.to_owned(), source },
    };
    let found = bucket.get_opts(&Path::from(key), GetOptions::default()).await.map_err(failed)?;
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let bytes = found.bytes().await.map_err(failed)?;
    let value = serde_json::from_slice(&bytes)
        .map_err(|source| StoreError::Unreadable { key: key.to_owned(), source })?;
    Ok((value, version))
}

/// Writes an object; the mode says what must be there before.
pub(super) async fn put(
    bucket: &dyn ObjectStore,
    key: &str,
    value: &impl Serialize,
    mode: PutMode,
) -> Result<UpdateVersion, StoreError> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| StoreError::Unreadable { key: key.to_owned(), source })?;
    put_bytes(bucket, key, bytes, PutOptions { mode, ..PutOptions::default() }).await
}

/// Writes the page of a sweep's report.
pub(super) async fn put_page(bucket: &dyn ObjectStore, id: &SweepId, page: String) -> Result<(), StoreError> {
    let kind = (Attribute::ContentType, "text/html; charset=utf-8");
    let options = PutOptions { attributes: Attributes::from_iter([kind]), ..PutOptions::default() };
    put_bytes(bucket, &page_key(id), page.into_bytes(), options).await.map(drop)
}

async fn put_bytes(
    bucket: &dyn ObjectStore,
    key: &str,
    bytes: Vec<u8>,
    options: PutOptions,
) -> Result<UpdateVersion, StoreError> {
    match bucket.put_opts(&Path::from(key), PutPayload::from(bytes), options).await {
        Ok(put) => Ok(put.into()),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            Err(StoreError::Conflict(key.to_owned()))
        }
        Err(source) => Err(StoreError::Unavailable { key: key.to_owned(), source }),
    }
}

/// Whether an object is there.
pub(super) async fn is_there(bucket: &dyn ObjectStore, key: &str) -> Result<bool, StoreError> {
    match bucket.head(&Path::from(key)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(source) => Err(StoreError::Unavailable { key: key.to_owned(), source }),
    }
}

/// Reads a sweep's state.
pub(super) async fn load(
    bucket: &dyn ObjectStore,
    id: &SweepId,
) -> Result<(Sweep, UpdateVersion), StoreError> {
    get(bucket, &state_key(id)).await
}
