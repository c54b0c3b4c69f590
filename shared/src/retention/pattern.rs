//! Patterns of job ids: `*` stands for any run of characters, everything else for itself.

/// A pattern of job ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a pattern of `[a-zA-Z0-9_*-]`, 1 to 64 characters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(input: &str) -> Result<Self, String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-*".contains(&byte);
        if (1..=64).contains(&input.len()) && input.bytes().all(legal) {
            Ok(Self(input.to_owned()))
        } else {
            Err(format!("`{input}` can match no job id; use 1 to 64 characters of [a-zA-Z0-9_-] and *"))
        }
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
            return false;
        };
        let mut parts: Vec<_> = parts.collect();
        // Without a star there is one part, and nothing may be left.
        let Some(last) = parts.pop() else {
            return rest.is_empty();
        };
        let mut rest = rest;
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
    }

    #[test]
    fn a_pattern_matches_the_whole_job_id() {
        check("job", "job", true);
        check("job", "job-1", false);
        check("job-*", "job-1", true);
        check("job-*", "a-job-1", false);
        check("*-fw-*", "eu-fw-7", true);
        check("*", "anything", true);
        check("a*a", "a", false);
        check("a*b*c", "a-c-b", false);
        check("a**b", "ab", true);
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        assert!(Pattern::parse("").is_err());
        assert!(Pattern::parse("fw.*").is_err());
    }

    proptest! {
        /// The textbook recursion, slow and plain, as the oracle.
        #[test]
        fn matching_agrees_with_the_plain_recursion(pattern in "[ab*]{1,6}", text in "[ab]{0,8}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => plain(rest, text) || !text.is_empty() && plain(pattern, &text[1..]),
                    (Some((p, rest)), Some((t, tail))) => p == t && plain(rest, tail),
                    _ => false,
                }
            }
            let expected = plain(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(Pattern::parse(&pattern).unwrap().matches(&text), expected);
        }
    }
}
