//! Reading sweeps: the list, one sweep, its report.

use futures_util::future::join_all;
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::Value;

use super::id::SweepId;
use super::state::Sweep;
use super::store::{self, StoreError};
use crate::operation::Operation;

/// Why sweeps could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such sweep, or it has no report yet.
    #[error("{0}")]
    NotFound(String),
    /// The bucket did not serve.
    #[error("the bucket did not serve")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Which sweeps to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSweeps {
    /// Only sweeps of this operation.
    pub operation: Option<Operation>,
    /// At most this many.
    pub max_results: usize,
    /// After this one.
    pub after: Option<SweepId>,
}

/// One page of sweeps, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepPage {
    /// The sweeps.
    pub sweeps: Vec<Sweep>,
    /// Sweeps whose state another version has written.
    pub unreadable: Vec<SweepId>,
    /// After which one the next page begins, if there is one.
    pub next: Option<SweepId>,
}

/// Lists sweeps, newest first.
///
/// # Errors
/// When the bucket did not serve.
pub async fn list(bucket: &dyn ObjectStore, wanted: &ListSweeps) -> Result<SweepPage, ReadError> {
    let root = Path::from(store::ROOT);
    let listed = bucket
        .list_with_delimiter(Some(&root))
        .await
        .map_err(|error| ReadError::Unavailable(Box::new(error)))?;
    let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned));
    let mut ids: Vec<_> = names
        .filter_map(|name| SweepId::parse(&name).ok())
        .filter(|id| wanted.operation.is_none_or(|operation| id.operation() == operation))
        .filter(|id| wanted.after.as_ref().is_none_or(|after| id < after))
        .collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    let next =
        ids.get(wanted.max_results.saturating_sub(1)).filter(|_| ids.len() > wanted.max_results).cloned();
    ids.truncate(wanted.max_results);
    let read = join_all(ids.iter().map(|id| store::load(bucket, id))).await;
    let mut sweeps = Vec::new();
    let mut unreadable = Vec::new();
    for (id, read) in ids.into_iter().zip(read) {
        match read {
            Ok((sweep, _)) => sweeps.push(sweep),
            // The bucket's lifecycle removes a sweep's objects one by one.
            Err(StoreError::NotFound(_)) => {}
            Err(StoreError::Unreadable { .. }) => unreadable.push(id),
            Err(error) => return Err(ReadError::Unavailable(Box::new(error))),
        }
    }
    Ok(SweepPage { sweeps, unreadable, next })
}

/// Reads one sweep.
///
/// # Errors
/// When there is none of that name, or the bucket did not serve.
pub async fn read(bucket: &dyn ObjectStore, id: &SweepId) -> Result<Sweep, ReadError> {
    match store::load(bucket, id).await {
        Ok((sweep, _)) => Ok(sweep),
        Err(error) => Err(failed(error, format!("there is no sweep `{id}`"))),
    }
}

/// Reads the report of a sweep that has ended.
///
/// # Errors
/// When there is none, or the bucket did not serve.
pub async fn report(bucket: &dyn ObjectStore, id: &SweepId) -> Result<Value, ReadError> {
    let report = store::get(bucket, &store::report_key(id)).await;
    report.map(|(report, _)| report).map_err(|error| failed(error, format!("sweep `{id}` has no report yet")))
}

/// Where the page of the report of a sweep that has ended is, if it is there.
///
/// # Errors
/// When there is none, or the bucket did not serve.
pub async fn page_key(bucket: &dyn ObjectStore, id: &SweepId) -> Result<Path, ReadError> {
    let key = store::page_key(id);
    let missing = || format!("sweep `{id}` has no page of a report; ask for it as application/json");
    match store::is_there(bucket, &key).await {
        Ok(true) => Ok(Path::from(key)),
        Ok(false) => Err(ReadError::NotFound(missing())),
        Err(error) => Err(failed(error, missing())),
    }
}

fn failed(error: StoreError, missing: String) -> ReadError {
    match error {
        StoreError::NotFound(_) => ReadError::NotFound(missing),
        error
        @ (StoreError::Conflict(_) | StoreError::Unreadable { .. } | StoreError::Unavailable { .. }) => {
            ReadError::Unavailable(Box::new(error))
        }
    }
}
