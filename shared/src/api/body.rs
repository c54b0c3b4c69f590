//! JSON bodies, read strictly: a member that is unknown, repeated or of the wrong type is told.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::limits::too_large;
use crate::ids::{StatusDetails, Violation, quoted};
use crate::json::{self, Members};

/// The most a body may have; the largest legal one is about 45 KiB.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// The members of a JSON object as they were written. No value is read before its type is known, so none can be too deep
/// or large.
#[derive(Debug, Default)]
pub(super) struct Body(Members<Box<RawValue>>);

impl Body {
    /// Reads a body; an empty one has no members.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Violation> {
        if body.len() > MAX_BODY {
            return Err(too_large("body", body.len(), MAX_BODY));
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let members = json::unmarked(body).and_then(|()| serde_json::from_slice(body));
        members.map(Self).map_err(|error| {
            // What a reader expected and found may be long and is the client's own: cut it.
            Violation::new("body", format!("must be one JSON object in UTF-8: {}", cut(&error.to_string())))
        })
    }

    /// Whether it has no members.
    pub(super) fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Takes a member out; `null` counts as absent, as in every AWS API.
    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.0.remove(name).filter(|value| Kind::of(value) != Kind::Null)
    }

    pub(super) fn number<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Violation>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        let value = self.take(name)?;
        match Kind::of(&value) {
            Kind::Number => report(parse(value.get()), violations),
            kind => {
                violations.push(wrong_type(name, "a whole number", kind.as_str()));
                None
            }
        }
    }

    /// A member that is an object of a form of its own, with what it is in words.
    pub(super) fn object<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        what: &str,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        self.read_object(name, what, json::object, violations)
    }

    fn read_object<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl Fn(&[u8]) -> Result<T, serde_json::Error>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let kind = Kind::of(&value);
        let read = match kind {
            Kind::Object => {
                read(value.get().as_bytes()).map_err(|error| Violation::new(name, cut(&error.to_string())))
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::List => {
                Err(wrong_type(name, what, kind.as_str()))
            }
        };
        report(read, violations)
    }

    /// A member that is a text with a meaning.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Violation>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        let text = self.text(name, violations)?;
        report(parse(&text), violations)
    }

    pub(super) fn status_details(&mut self, violations: &mut Vec<Violation>) -> Option<StatusDetails> {
        let read = |text: &[u8]| serde_json::from_slice::<Members<Box<RawValue>>>(text);
        let pairs = self.read_object("statusDetails", "an object of texts", read, violations)?;
        let mut texts = BTreeMap::new();
        for (key, value) in pairs.0 {
            match text(&value) {
                Ok(text) => {
                    texts.insert(key, text);
                }
                Err(what) => {
                    let problem = format!("value of {} must be a text, not {what}", quoted(&key));
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
        let text = text(&self.take(name)?);
        report(text.map_err(|what| wrong_type(name, "a text", what)), violations)
    }

    /// A member that has to be there, with what it is in words.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, Violation>,
        violations: &mut Vec<Violation>,
    ) -> Option<T> {
        let known = violations.len();
        let parsed = self.parsed(name, parse, violations);
        if parsed.is_none() && violations.len() == known {
            violations.push(Violation::new(name, format!("is required: {what}")));
        }
        parsed
    }

    pub(super) fn bool(&mut self, name: &'static str, violations: &mut Vec<Violation>) -> Option<bool> {
        let value = self.take(name)?;
        let value =
            value.get().parse().map_err(|_| wrong_type(name, "true or false", Kind::of(&value).as_str()));
        report(value, violations)
    }

    /// Takes members out that have no meaning beside the others, where they are `null`: that counts as absent.
    pub(super) fn without(&mut self, names: &[&str]) {
        self.0.0.retain(|name, value| !names.contains(&name.as_str()) || Kind::of(value) != Kind::Null);
    }

    /// Refuses whatever has not been taken.
    pub(super) fn refuse_rest(self, known: &str, violations: &mut Vec<Violation>) {
        for name in self.0.0.keys() {
            let problem = format!("unknown member {}; it takes {known}", quoted(name));
            violations.push(Violation::new("body", problem));
        }
    }
}

pub(super) fn report<T>(parsed: Result<T, Violation>, violations: &mut Vec<Violation>) -> Option<T> {
    parsed.map_err(|violation| violations.push(violation)).ok()
}

/// The beginning of a reader's message, which may have the client's own text in it.
fn cut(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().take(200).map(shown).collect()
}

fn wrong_type(member: &'static str, wanted: &str, given: &str) -> Violation {
    Violation::new(member, format!("must be {wanted}, not {given}"))
}

/// A text, or what it is instead.
fn text(value: &RawValue) -> Result<String, &'static str> {
    serde_json::from_str(value.get()).map_err(|_| match Kind::of(value) {
        Kind::Text => "a text of illegal characters",
        kind => kind.as_str(),
    })
}

/// The kind of a JSON value, which its first character tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::Text,
            Some(b'[') => Self::List,
            Some(b'{') => Self::Object,
            _ => Self::Number,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}
