//! Digests that tell one set of rules, policies or counts from another.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The SHA-256 of the parts, in hexadecimal. Each part's length goes in, so that parts cannot
/// flow into one another.
pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digits = String::with_capacity(64);
    for byte in hash(parts) {
        // Writing to a String does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The first 128 bits of the same digest, as two numbers.
pub(crate) fn numbers_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u64; 2] {
    let hash = hash(parts);
    let number =
        |place| hash.iter().skip(place).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    [0, 8].map(number)
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_flow_into_one_another() {
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_eq!(of(["a"]).len(), 64);
    }

    #[test]
    fn numbers_are_the_first_digits() {
        let [first, second] = numbers_of(["a", "b"]);
        assert!(of(["a", "b"]).starts_with(&format!("{first:016x}{second:016x}")));
    }
}
