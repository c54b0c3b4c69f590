//! A request's address, taken apart.

use std::collections::BTreeMap;

use hyper::Uri;
use percent_encoding::percent_decode_str;

/// The parts of a path, decoded: `/things/a%3Ab` is `things` and `a:b`.
pub fn path(uri: &Uri) -> Vec<String> {
    uri.path().split('/').skip(1).map(decoded).collect()
}

/// The query, decoded.
pub fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decoded(name), decoded(&value.replace('+', " ")))).collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
