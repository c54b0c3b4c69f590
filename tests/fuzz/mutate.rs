//! Events made from sample events by a few small changes. The same seed and index give the same event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::rng::Rng;

/// Members that no function reads much of: they are changed more seldom.
const SELDOM: [&str; 9] = [
    "headers",
    "multiValueHeaders",
    "stageVariables",
    "requestContext",
    "attributes",
    "messageAttributes",
    "resource",
    "path",
    "httpMethod",
];

/// How deep a change goes at most.
const DEPTH: usize = 12;

/// The event of an index.
pub(crate) fn event(seeds: &[Value], seed: u64, index: u64) -> Value {
    let mixed = Rng::new(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95)).next();
    let mut mutator = Mutator { seeds, rng: Rng::new(mixed) };
    let mut event = mutator.seed().clone();
    // From one to six, and few more often than many.
    for _ in 0..=mutator.rng.below(6).min(mutator.rng.below(6)) {
        mutator.change(&mut event, DEPTH);
    }
    event
}

struct Mutator<'a> {
    seeds: &'a [Value],
    rng: Rng,
}

impl Mutator<'_> {
    fn seed(&mut self) -> &Value {
        &self.seeds[self.rng.below(self.seeds.len())]
    }

    /// Changes the value or, more often, something in it.
    fn change(&mut self, value: &mut Value, depth: usize) {
        let inward = depth > 0 && !self.rng.chance(if depth == DEPTH { 3 } else { 15 });
        match value {
            Value::Object(members) if inward && !members.is_empty() => {
                if self.rng.chance(15) {
                    self.members(members);
                } else if let Some(key) = self.key(members)
                    && let Some(member) = members.get_mut(&key)
                {
                    if key == "content" || key == "body" {
                        self.document(member, depth - 1);
                    } else {
                        self.change(member, depth - 1);
                    }
                }
            }
            Value::Array(items) if inward && !items.is_empty() => {
                let at = self.rng.below(items.len());
                match self.rng.below(10) {
                    0 => drop(items.remove(at)),
                    1 => items.insert(at, items[at].clone()),
                    2 => items.push(self.nasty()),
                    _ => self.change(&mut items[at], depth - 1),
                }
            }
            Value::String(text) if inward => *text = self.within(text, depth),
            Value::Number(number) if inward && self.rng.chance(50) => {
                let near = number.as_i64().unwrap_or_default().wrapping_add(self.rng.between(-2, 2));
                *value = json!(near);
            }
            other => *other = self.instead(other),
        }
    }

    /// Another value in place of one.
    fn instead(&mut self, value: &Value) -> Value {
        match self.rng.below(10) {
            0 => self.garbled(value),
            1 => json!(value.to_string()),
            2 => json!([value]),
            3 | 4 => self.part(DEPTH),
            _ => self.nasty(),
        }
    }

    /// A member's name, seldom one that is hardly read.
    fn key(&mut self, members: &Map<String, Value>) -> Option<String> {
        let mut key = members.keys().nth(self.rng.below(members.len()))?;
        for _ in 0..3 {
            let dull = SELDOM.contains(&key.as_str()) || members.get(key).is_some_and(Value::is_null);
            if !dull || self.rng.chance(25) {
                break;
            }
            key = members.keys().nth(self.rng.below(members.len()))?;
        }
        Some(key.clone())
    }

    /// Drops, doubles, renames or adds a member.
    fn members(&mut self, members: &mut Map<String, Value>) {
        let Some(key) = self.key(members) else { return };
        match self.rng.below(4) {
            0 => drop(members.remove(&key)),
            1 => {
                let value = members.get(&key).cloned().unwrap_or_default();
                members.insert(self.text(&key), value);
            }
            2 => {
                let value = members.remove(&key).unwrap_or_default();
                members.insert(self.text(&key), value);
            }
            _ => {
                if let Value::Object(others) = self.seed().clone()
                    && let Some(other) = self.key(&others)
                {
                    members.insert(other.clone(), others.get(&other).cloned().unwrap_or_default());
                }
            }
        }
    }

    /// Some value of some seed.
    fn part(&mut self, depth: usize) -> Value {
        let mut part = self.seed().clone();
        for _ in 0..self.rng.below(depth) {
            part = match part {
                Value::Object(mut members) if !members.is_empty() => {
                    let key = self.key(&members).unwrap_or_default();
                    members.remove(&key).unwrap_or_default()
                }
                Value::Array(mut items) if !items.is_empty() => {
                    items.swap_remove(self.rng.below(items.len()))
                }
                Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                other => return other,
            }
        }
        part
    }

    /// A member that is a document of its own: JSON, or anything in Base64.
    fn document(&mut self, member: &mut Value, depth: usize) {
        let decoded = member.as_str().filter(|text| !text.starts_with('{'));
        let decoded = decoded.and_then(|text| STANDARD.decode(text).ok());
        match decoded.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.is_empty()) {
            Some(text) if self.rng.chance(90) => *member = json!(STANDARD.encode(self.within(&text, depth))),
            _ => self.change(member, depth),
        }
    }

    /// A text with a change: in the JSON that it is, or in its characters.
    fn within(&mut self, text: &str, depth: usize) -> String {
        if text.starts_with(['{', '['])
            && self.rng.chance(85)
            && let Ok(mut inner) = serde_json::from_str::<Value>(text)
        {
            self.change(&mut inner, depth);
            return inner.to_string();
        }
        self.text(text)
    }

    /// A text with a few characters or lines changed.
    fn text(&mut self, text: &str) -> String {
        if text.contains('\n') && self.rng.chance(50) {
            return self.lines(text);
        }
        let mut characters: Vec<char> = text.chars().collect();
        let at = self.rng.below(characters.len());
        let until = (at + 1 + self.rng.below(8)).min(characters.len());
        match self.rng.below(8) {
            0 if at < until => drop(characters.drain(at..until)),
            1 if at < until => {
                let again = characters[at..until].repeat(1 + self.rng.below(3));
                characters.splice(at..at, again);
            }
            2 => characters.truncate(at),
            3 if at < until => characters[at] = self.character(),
            4 => characters.splice(at..at, self.character().to_string().chars()).for_each(drop),
            5 if at < until => {
                let flipped = characters[at] as u32 ^ (1 << self.rng.below(7));
                characters[at] = char::from_u32(flipped).unwrap_or('?');
            }
            6 => match self.part(DEPTH) {
                Value::String(other) if other.len() < 500 => return other,
                _ => return self.nasty().to_string(),
            },
            _ => match self.nasty() {
                Value::String(other) => characters.splice(at..until, other.chars()).for_each(drop),
                other => characters.splice(at..until, other.to_string().chars()).for_each(drop),
            },
        }
        characters.into_iter().collect()
    }

    /// A text with a line dropped, doubled, moved, or taken from another text.
    fn lines(&mut self, text: &str) -> String {
        let mut lines: Vec<&str> = text.lines().collect();
        let (at, to) = (self.rng.below(lines.len()), self.rng.below(lines.len()));
        let other = self.seed().as_str().map(str::to_owned).unwrap_or_default();
        let others: Vec<&str> = other.lines().collect();
        match self.rng.below(4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[to]),
            2 => lines.swap(at, to),
            _ if !others.is_empty() => lines.insert(at, others[self.rng.below(others.len())]),
            _ => lines.truncate(at),
        }
        lines.join("\n")
    }

    fn character(&mut self) -> char {
        self.rng.pick(&[
            '\0',
            '\u{1b}',
            '\n',
            '\r',
            '\t',
            ' ',
            '"',
            '\'',
            '\\',
            '%',
            '/',
            '*',
            ':',
            '@',
            '#',
            '{',
            '[',
            ',',
            '-',
            '0',
            '9',
            'Z',
            '\u{7f}',
            '\u{85}',
            'é',
            '\u{202e}',
            '\u{2028}',
            '\u{feff}',
            '\u{10ffff}',
        ])
    }

    /// A byte of the JSON changed, if it is JSON still.
    fn garbled(&mut self, value: &Value) -> Value {
        let mut bytes = value.to_string().into_bytes();
        for _ in 0..=self.rng.below(3) {
            let at = self.rng.below(bytes.len());
            bytes[at] = (self.rng.next() & 0x7f) as u8;
        }
        serde_json::from_slice(&bytes).unwrap_or_else(|_| self.nasty())
    }

    /// A value that somebody may have forgotten.
    fn nasty(&mut self) -> Value {
        const TEXTS: [&str; 36] = [
            "",
            " ",
            "\0",
            "\u{202e}",
            "\u{feff}",
            "\u{1b}[31m",
            "\r\n",
            "null",
            "true",
            "0",
            "-1",
            "1e9",
            "9223372036854775808",
            "18446744073709551616",
            "%",
            "%00",
            "%2F..%2F",
            "../",
            "../../etc/passwd",
            "//",
            "$",
            "$next",
            "*",
            "{}",
            "[]",
            "{\"a\":",
            "AAAA",
            "////=",
            "0000-01-01T00:00:00Z",
            "+009999-12-31T23:59:60Z",
            "-009999-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-21T02:00:00+14:00",
            "99999999999999999999w",
            "1d 1d",
            "arn:aws:iam::123456789012:",
        ];
        match self.rng.below(24) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(false),
            3 => json!(-0.0),
            4 => json!(i64::MIN),
            5 => json!(i64::MAX),
            6 => json!(u64::MAX),
            7 => json!(1e308),
            8 => json!(0.1),
            9 => json!([]),
            10 => json!({}),
            11 => json!([[]]),
            12 => json!({"a": []}),
            13 => json!("x".repeat(1 + self.rng.below(3_000))),
            14 => (0..self.rng.below(200)).fold(json!(1), |inner, _| json!([inner])),
            15 => (0..self.rng.below(200)).fold(json!(1), |inner, _| json!({ "a": inner })),
            16 => json!(self.rng.between(-10, 1_000)),
            _ => json!(self.rng.pick(&TEXTS)),
        }
    }
}
