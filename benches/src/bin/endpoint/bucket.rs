//! S3 as far as object_store's client uses it: get, put with conditions, and list.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED};
use hyper::{Method, Request, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::account::now;
use crate::request;
use crate::serve::{self, Answer};

/// How many keys and common prefixes S3 lists at once.
const PAGE: usize = 1_000;

/// Every bucket of an account, by `BUCKET/KEY`.
#[derive(Debug, Default)]
pub struct Bucket(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    there: BTreeMap<String, Object>,
    written: u64,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    tag: String,
    modified: Timestamp,
}

impl Bucket {
    /// Answers a call of S3, in path style.
    pub fn answer(&self, request: &Request<Bytes>) -> Answer {
        let path = request::path(request.uri()).join("/");
        let is_bucket = path.split_once('/').is_none_or(|(_, key)| key.is_empty());
        match *request.method() {
            Method::GET if is_bucket => self.list(path.trim_end_matches('/'), &request::query(request.uri())),
            Method::GET => match self.objects().there.get(&path) {
                Some(object) => object.answer(),
                None => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
            },
            Method::PUT if !is_bucket => self.put(path, request),
            _ => refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    fn put(&self, path: String, request: &Request<Bytes>) -> Answer {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let mut objects = self.objects();
        let there = objects.there.get(&path);
        match (header(IF_NONE_MATCH), header(IF_MATCH), there) {
            (Some(_), _, Some(_)) => return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            (_, Some(_), None) => return refused(StatusCode::NOT_FOUND, "NoSuchKey"),
            (_, Some(tag), Some(there)) if tag != there.tag => {
                return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            }
            _ => {}
        }
        objects.written += 1;
        let tag = format!("\"{:032x}\"", objects.written);
        let object = Object { bytes: request.body().clone(), tag: tag.clone(), modified: now() };
        objects.there.insert(path, object);
        tagged(serve::answer(StatusCode::OK, ""), &tag)
    }

    /// ListObjectsV2, whose tokens are the last key or common prefix that was shown.
    fn list(&self, bucket: &str, query: &BTreeMap<String, String>) -> Answer {
        let parameter = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
        let after = parameter("continuation-token").max(parameter("start-after"));
        let root = format!("{bucket}/");
        let from = format!("{root}{}", prefix.max(after));
        let objects = self.objects();
        let found = objects.there.range::<String, _>((Bound::Included(from), Bound::Unbounded));
        let found = found.map_while(|(path, object)| {
            let key = path.strip_prefix(&root)?;
            key.starts_with(prefix).then_some((key, object))
        });
        let (mut contents, mut prefixes) = (String::new(), BTreeSet::new());
        let (mut shown, mut last, mut more) = (0, String::new(), false);
        for (key, object) in found.filter(|(key, _)| *key > after) {
            let rest = key.strip_prefix(prefix).unwrap_or_default();
            let cut = if delimiter.is_empty() { None } else { rest.find(delimiter) };
            let folder = cut.map(|cut| &key[..prefix.len() + cut + delimiter.len()]);
            // A folder that was shown on the page before, or is on this one already.
            if folder.is_some_and(|folder| folder == after || prefixes.contains(folder)) {
                continue;
            }
            if shown == PAGE {
                more = true;
                break;
            }
            shown += 1;
            last = folder.unwrap_or(key).to_owned();
            match folder {
                Some(folder) => drop(prefixes.insert(folder)),
                None => contents.push_str(&object.listed(key)),
            }
        }
        let folder =
            |prefix: &&str| format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(prefix));
        let prefixes: String = prefixes.iter().map(folder).collect();
        let token = format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last));
        let token = if more { token } else { String::new() };
        xml(
            StatusCode::OK,
            format!(
                "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name>\
                 <Prefix>{}</Prefix><KeyCount>{shown}</KeyCount><MaxKeys>{PAGE}</MaxKeys>\
                 <IsTruncated>{more}</IsTruncated>{token}{contents}{prefixes}</ListBucketResult>",
                escaped(bucket),
                escaped(prefix),
            ),
        )
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object {
    fn answer(&self) -> Answer {
        let mut answer = tagged(serve::answer(StatusCode::OK, self.bytes.clone()), &self.tag);
        let modified = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.modified);
        if let Some(modified) = modified.ok().and_then(|modified| HeaderValue::from_str(&modified).ok()) {
            answer.headers_mut().insert(LAST_MODIFIED, modified);
        }
        answer
    }

    fn listed(&self, key: &str) -> String {
        format!(
            "<Contents><Key>{}</Key><LastModified>{:.3}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            escaped(key),
            self.modified,
            escaped(&self.tag),
            self.bytes.len(),
        )
    }
}

fn tagged(mut answer: Answer, tag: &str) -> Answer {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

fn refused(status: StatusCode, code: &str) -> Answer {
    xml(status, format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}

fn xml(status: StatusCode, body: String) -> Answer {
    serve::answer(status, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
