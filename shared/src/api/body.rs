//! JSON bodies, read strictly: a member that is unknown, repeated or of the wrong type is told.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::ids::{StatusDetails, Version, Violation, quoted};

/// The most a body may have; the largest legal one is about 45 KiB.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// A JSON object that refuses a repeated member instead of taking the last.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;
        impl<'de> Visitor<'de> for Unique {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if members.contains_key(&key) {
                        let message = format!("the member {} is repeated", quoted(&key));
                        return Err(serde::de::Error::custom(message));
                    }
                    // Objects inside go through the same reading.
                    let raw: Box<serde_json::value::RawValue> = map.next_value()?;
                    let value = if raw.get().starts_with('{') {
                        let inner: Members =
                            serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
                        Value::Object(inner.0.into_iter().collect())
                    } else {
                        serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?
                    };
                    members.insert(key, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Unique)
    }
}

impl Members {
    /// Reads a body; an empty one has no members.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Violation> {
        if body.len() > MAX_BODY {
            let problem = format!("has {} bytes, at most {MAX_BODY} are allowed", body.len());
            return Err(Violation::new("body", problem));
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let broken = |error: serde_json::Error| {
            // What a reader expected and found may be long and is the client's own: cut it.
            Violation::new("body", format!("must be one JSON object in UTF-8: {}", cut(&error.to_string())))
        };
        // First as a plain value, whose reading bounds the depth for everything after it.
        serde_json::from_slice::<Value>(body).map_err(broken)?;
        serde_json::from_slice(body).map_err(broken)
    }

    /// Takes a member out; `null` counts as absent, as in every AWS API.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn version(&mut self, violations: &mut Vec<Violation>) -> Option<Version> {
        let value = self.take("expectedVersion")?;
        match &value {
            Value::Number(number) => report(Version::parse(&number.to_string()), violations),
            _ => {
                violations.push(wrong_type("expectedVersion", "a whole number", &value));
                None
            }
        }
    }

    pub(super) fn status_details(&mut self, violations: &mut Vec<Violation>) -> Option<StatusDetails> {
        let value = self.take("statusDetails")?;
        let Value::Object(pairs) = value else {
            violations.push(wrong_type("statusDetails", "an object of texts", &value));
            return None;
        };
        let mut texts = BTreeMap::new();
        for (key, value) in pairs {
            match value {
                Value::String(text) => {
                    texts.insert(key, text);
                }
                other => {
                    let problem = format!("value of {} must be a text, not {}", quoted(&key), kind(&other));
                    violations.push(Violation::new("statusDetails", problem));
                }
            }
        }
        match StatusDetails::parse(texts) {
            Ok(details) => Some(details),
            Err(found) => {
                violations.extend(found);
                None
            }
        }
    }

    pub(super) fn text(&mut self, name: &'static str, violations: &mut Vec<Violation>) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => {
                violations.push(wrong_type(name, "a text", &other));
                None
            }
        }
    }

    pub(super) fn bool(&mut self, name: &'static str, violations: &mut Vec<Violation>) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => {
                violations.push(wrong_type(name, "true or false", &other));
                None
            }
        }
    }

    /// Refuses whatever has not been taken.
    pub(super) fn refuse_rest(self, known: &str, violations: &mut Vec<Violation>) {
        for name in self.0.keys() {
            let problem = format!("unknown member {}; it takes {known}", quoted(name));
            violations.push(Violation::new("body", problem));
        }
    }
}

pub(super) fn report<T>(parsed: Result<T, Violation>, violations: &mut Vec<Violation>) -> Option<T> {
    parsed.map_err(|violation| violations.push(violation)).ok()
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn wrong_type(member: &'static str, wanted: &str, value: &Value) -> Violation {
    Violation::new(member, format!("must be {wanted}, not {}", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
