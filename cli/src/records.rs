//! Records of the archive, one after the other: from the stack's bucket, or from what was copied of it.
//!
//! Memory holds a few objects at a time, however large the archive is.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use futures_util::{TryStreamExt, stream};
use jiff::civil::Date;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::de::DeserializeOwned;
use shared::archive::Record;
use shared::json;
use shared::legible::shown;
use shared::source_text::BYTE_ORDER_MARK;
use shared::sweep::SweepId;

use crate::connection::bucket_failed;
use crate::failure::{Exit, Failure};

/// How many objects are fetched at once.
const AHEAD: usize = 8;

/// The folder of records in the bucket.
pub(crate) const ARCHIVE: &str = "archive";

/// Which part of the archive to read: what its folders tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// The first day, in UTC.
    pub(crate) from: Option<Date>,
    /// The last day.
    pub(crate) to: Option<Date>,
    /// One folder of each day: a sweep's id or `api`.
    pub(crate) sweep: Option<String>,
}

impl Part {
    fn has_day(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    /// Whether a path is in it. What a path does not tell speaks for it.
    fn has(&self, path: &str) -> bool {
        let part = |name: &str| path.split('/').find_map(|folder| folder.strip_prefix(name));
        let day = part("date=").and_then(|day| day.parse().ok());
        day.is_none_or(|day| self.has_day(day))
            && self.sweep.as_deref().is_none_or(|sweep| part("sweep=").is_none_or(|folder| folder == sweep))
    }
}

/// An object or a file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its key or path.
    pub(crate) name: String,
}

/// What is done with the records of a source; it says when it has seen enough.
pub(crate) type Seen = Result<ControlFlow<()>, Failure>;

/// Goes through records in a bucket, day by day, object by object.
pub(crate) async fn in_bucket<F>(bucket: &dyn ObjectStore, part: &Part, mut see: F) -> Result<(), Failure>
where
    F: AsyncFnMut(&Source, Vec<Record>) -> Seen,
{
    for folder in folders(bucket, part).await? {
        let listed = bucket.list(Some(&folder)).map_err(|error| bucket_failed(&error));
        let fetched = listed.map_ok(|object| async move {
            let name = object.location.to_string();
            let bytes = match bucket.get(&object.location).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            Ok((name, bytes.map_err(|error| bucket_failed(&error))?))
        });
        let mut fetched = std::pin::pin!(fetched.try_buffered(AHEAD));
        while let Some((name, bytes)) = fetched.try_next().await? {
            let records = lines(&name, &*bytes)?;
            if see(&Source { name }, records).await?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The folders to list: of each day in the part, or that of the sweep.
async fn folders(bucket: &dyn ObjectStore, part: &Part) -> Result<Vec<Key>, Failure> {
    let days = bucket.list_with_delimiter(Some(&Key::from(ARCHIVE))).await;
    let days = days.map_err(|error| bucket_failed(&error))?.common_prefixes;
    let day = |folder: &Key| folder.filename()?.strip_prefix("date=")?.parse::<Date>().ok();
    let mut days: Vec<_> = days.iter().filter_map(day).filter(|day| part.has_day(*day)).collect();
    days.sort_unstable();
    let Some(sweep) = &part.sweep else {
        return Ok(days.into_iter().map(|day| Key::from(format!("{ARCHIVE}/date={day}"))).collect());
    };
    let folder = |day: &Date| Key::from(format!("{ARCHIVE}/date={day}/sweep={sweep}"));
    if SweepId::parse(sweep).is_err() {
        return Ok(days.iter().map(folder).collect());
    }
    // All of a sweep is in one folder: of the day in its id, or of an earlier one if it carried out a plan of then.
    for day in days.iter().rev().filter(|day| started(sweep).is_none_or(|started| **day <= started)) {
        let first = stream::StreamExt::next(&mut bucket.list(Some(&folder(day)))).await;
        if first.transpose().map_err(|error| bucket_failed(&error))?.is_some() {
            return Ok(vec![folder(day)]);
        }
    }
    Ok(Vec::new())
}

/// The day that is in a sweep's id.
fn started(sweep: &str) -> Option<Date> {
    let digits = sweep.get(..8)?;
    Date::strptime("%Y%m%d", digits).ok()
}

/// Goes through records in a file, or in a folder with all that is below it, in the order of the names.
pub(crate) async fn in_files<F>(path: &Path, part: &Part, mut see: F) -> Result<(), Failure>
where
    F: AsyncFnMut(&Source, Vec<Record>) -> Seen,
{
    for file in files(path)? {
        let name = file.display().to_string();
        if file != path && !part.has(&name.replace('\\', "/")) {
            continue;
        }
        let opened = File::open(&file).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        let records = lines(&name, opened)?;
        if see(&Source { name }, records).await?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<_> = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort_unstable();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if entry.to_str().is_some_and(|name| name.ends_with(".jsonl") || name.ends_with(".jsonl.gz")) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// What an object has on its lines. It is compressed if its name says so.
pub(crate) fn lines<T: DeserializeOwned>(name: &str, bytes: impl Read) -> Result<Vec<T>, Failure> {
    let unreadable = |line: usize, error: &dyn std::fmt::Display| {
        let place = format!("{}, line {line},", shown(name));
        Failure::new(Exit::NotServed, Failure::unreadable(place, error).message)
    };
    let bytes: Box<dyn Read + '_> =
        if name.ends_with(".gz") { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let mut read = Vec::new();
    for (nth, line) in numbered_lines(bytes) {
        let line = line.map_err(|error| unreadable(nth, &error))?;
        if !line.trim().is_empty() {
            read.push(json::object(line.as_bytes()).map_err(|error| unreadable(nth, &error))?);
        }
    }
    Ok(read)
}

/// The lines of a file, numbered from 1. A byte order mark in front of the first is no part of it.
pub(crate) fn numbered_lines(file: impl Read) -> impl Iterator<Item = (usize, io::Result<String>)> {
    (1..).zip(BufReader::new(file).lines()).map(|(number, line)| {
        let line = line.map(|line| match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if number == 1 => rest.to_owned(),
            Some(_) | None => line,
        });
        (number, line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_by_days_and_folders() {
        let part = Part {
            from: Some("2026-11-02".parse().unwrap()),
            to: Some("2026-11-03".parse().unwrap()),
            sweep: Some("api".to_owned()),
        };
        let has = |day: &str, sweep: &str| part.has(&format!("x/date={day}/sweep={sweep}/a.jsonl.gz"));
        assert!(has("2026-11-02", "api") && has("2026-11-03", "api"));
        assert!(!has("2026-11-01", "api") && !has("2026-11-04", "api") && !has("2026-11-02", "other"));
        assert!(part.has("records.jsonl"), "a path that tells nothing is looked into");
        assert_eq!(started("20261121T020000Z-delete-expired-1a2b3c4d"), Some("2026-11-21".parse().unwrap()));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_with_its_place() {
        type Line = std::collections::BTreeMap<String, u8>;
        let failure = lines::<Line>("a.jsonl", &b"{\"a\":1}\n\n{}\nx\n"[..]).unwrap_err();
        assert_eq!(failure.exit, Exit::NotServed);
        assert!(failure.message.starts_with("a.jsonl, line 4, cannot be read"), "{}", failure.message);
        assert_eq!(lines::<Line>("a.jsonl", &b"{}\n{}"[..]).unwrap(), [Line::new(), Line::new()]);
        assert!(lines::<Line>("a.jsonl.gz", &b"{}\n"[..]).is_err());
    }
}
