//! Digests that tell one set of rules, policies or counts from another.

use sha2::{Digest, Sha256};

/// The SHA-256 of the parts, in hexadecimal. Each part's length goes in, so that parts cannot
/// flow into one another.
pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 128 bits of the same digest, as two numbers.
pub(crate) fn numbers_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u64; 2] {
    let digest = of(parts);
    let number = |digits: Option<&str>| digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    [0, 16].map(|from| number(digest.get(from..from + 16)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_flow_into_one_another() {
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_eq!(of(["a"]).len(), 64);
    }
}
