//! JSON that others write, read strictly: no member is repeated, at any depth.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::ids::quoted;

/// Reads one JSON object in UTF-8.
///
/// # Errors
/// When it is none, begins with a byte order mark, has a member twice, or is no `T`. A list never passes for an object.
pub fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    unmarked(text)?;
    // Of two members of one name serde would keep the last, wherever names are the writer's own.
    serde_json::from_slice::<Unique>(text)?;
    serde_json::from_slice::<Object<T>>(text).map(|object| object.0)
}

/// Refuses a byte order mark, which JSON must not have (RFC 8259, section 8.1).
pub(crate) fn unmarked(text: &[u8]) -> Result<(), serde_json::Error> {
    if text.starts_with("\u{feff}".as_bytes()) {
        return Err(Error::custom("it begins with a byte order mark (U+FEFF); save it in UTF-8 without one"));
    }
    Ok(())
}

/// A value that is written as an object. What serde derives would take a list of the members' values, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Whole(PhantomData)).map(Self)
    }
}

/// The members of an object, none of them twice.
#[derive(Debug, Default)]
pub(crate) struct Members<V>(pub(crate) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once(PhantomData))
    }
}

struct Once<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Once<V> {
    type Value = Members<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<V>, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, V>()? {
            match members.entry(name) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(entry) => {
                    return Err(Error::custom(format!("the member {} is repeated", quoted(entry.key()))));
                }
            };
        }
        Ok(Members(members))
    }
}

/// Any value in which no member is repeated; nothing of it is kept.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtAnyDepth)
    }
}

struct AtAnyDepth;

impl<'de> Visitor<'de> for AtAnyDepth {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
        while list.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unique, A::Error> {
        Once::<Unique>(PhantomData).visit_map(map).map(|_| Unique)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn told(text: &str) -> String {
        object::<Map<String, Value>>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"b": {"a": 1, "c": 2, "a": null}}"#,
            r#"{"b": [1, [{"a": 1, "\u0061": 2}]]}"#,
        ] {
            assert!(told(text).starts_with("the member `a` is repeated at line 1 column "), "{}", told(text));
        }
        let text = r#"{"a": {"a": [{"a": 1}, {"a": 1.5e300}]}, "b": -1, "c": null, "d": true, "A": "a"}"#;
        let read: Map<String, Value> = object(text.as_bytes()).unwrap();
        assert_eq!(Value::from(read), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["null", "[]", "1", "\"{}\"", "{}{}", "", "{", &"[".repeat(10_000)] {
            assert!(object::<Map<String, Value>>(text.as_bytes()).is_err(), "{text}");
        }
        assert!(
            told("\u{feff}{}").starts_with("it begins with a byte order mark (U+FEFF)"),
            "{}",
            told("\u{feff}{}")
        );
    }
}
