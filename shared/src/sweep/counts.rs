//! How many of each kind. JSON has only texts for keys, so a kind of several members is written as a
//! row: its members, and the count.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many of each kind `K`. Its size depends on the kinds, not on the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts<K>(BTreeMap<K, u64>);

/// A kind, and how many there are of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "K: Clone + DeserializeOwned"))]
struct Row<'a, K: Clone> {
    #[serde(flatten)]
    kind: Cow<'a, K>,
    count: u64,
}

impl<K: Ord> Counts<K> {
    /// Counts so many more of a kind.
    pub(super) fn add(&mut self, kind: K, count: u64) {
        if count > 0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Takes others in.
    pub(super) fn merge(&mut self, others: Self) {
        others.0.into_iter().for_each(|(kind, count)| self.add(kind, count));
    }

    /// How many there are of a kind.
    pub(super) fn of(&self, kind: &K) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// Takes so many of a kind out, or as many as there are. Tells how many.
    pub(super) fn take(&mut self, kind: &K, count: u64) -> u64 {
        let Some(left) = self.0.get_mut(kind) else { return 0 };
        let taken = count.min(*left);
        *left -= taken;
        taken
    }
}

impl<K> Counts<K> {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The kinds in their order, each with how many there are of it.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.0.iter().map(|(kind, count)| (kind, *count))
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Clone + Serialize> Serialize for Counts<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(kind, count)| Row { kind: Cow::Borrowed(kind), count }))
    }
}

impl<'de, K: Clone + Ord + DeserializeOwned> Deserialize<'de> for Counts<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = Vec::<Row<'_, K>>::deserialize(deserializer)?;
        let mut counts = Self::default();
        for Row { kind, count } in rows {
            counts.add(kind.into_owned(), count);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Kind {
        colour: String,
        size: u8,
    }

    fn kind(colour: &str, size: u8) -> Kind {
        Kind { colour: colour.to_owned(), size }
    }

    #[test]
    fn rows_hold_the_members_of_a_kind_and_read_back() {
        let mut counts = Counts::default();
        counts.add(kind("red", 2), 3);
        counts.add(kind("blue", 1), 1);
        counts.add(kind("red", 2), 1);
        counts.add(kind("green", 1), 0);
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(text, r#"[{"colour":"blue","size":1,"count":1},{"colour":"red","size":2,"count":4}]"#);
        assert_eq!(serde_json::from_str::<Counts<Kind>>(&text).unwrap(), counts);
        assert_eq!(counts.total(), 5);
    }

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut counts = Counts::default();
        counts.add(kind("red", 2), 3);
        assert_eq!((counts.take(&kind("red", 2), 2), counts.total()), (2, 1));
        assert_eq!((counts.take(&kind("red", 2), 2), counts.total()), (1, 0));
        assert_eq!((counts.take(&kind("blue", 2), 2), counts.total()), (0, 0));
    }
}
