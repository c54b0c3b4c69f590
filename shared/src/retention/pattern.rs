//! Patterns of job ids and of tags' values: `*` stands for any run of characters, everything else
//! for itself.

/// A pattern of job ids, or of a tag's values. Neither can have a `*` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a pattern of `[a-zA-Z0-9_*-]`, 1 to 64 characters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_job_id(input: &str) -> Result<Self, String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-*".contains(&byte);
        if (1..=64).contains(&input.len()) && input.bytes().all(legal) {
            Ok(Self(input.to_owned()))
        } else {
            Err(format!("`{input}` can match no job id; use 1 to 64 characters of [a-zA-Z0-9_-] and *"))
        }
    }

    /// Takes a pattern of what a tag's value may be: at most 256 characters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_tag_value(input: &str) -> Result<Self, String> {
        if input.chars().count() <= 256
            && input.chars().all(|letter| letter == '*' || is_tag_character(letter))
        {
            Ok(Self(input.to_owned()))
        } else {
            Err(format!(
                "`{input}` can match no tag's value; use at most 256 letters, digits, blanks, _.:/=+-@ and *"
            ))
        }
    }

    /// The pattern that everything fits.
    pub(super) fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether whatever fits `other` fits this one. Only a `*` of this one takes in a `*` of the other, which is therefore
    /// matched as a character of its own.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, more)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let (middle, last) = more.rsplit_once('*').unwrap_or(("", more));
        let Some(mut rest) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
            return false;
        };
        for part in middle.split('*') {
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
        true
    }
}

/// Whether a tag's key or value may have it: AWS's `[\p{L}\p{Z}\p{N}_.:/=+\-@]`.
pub(super) fn is_tag_character(letter: char) -> bool {
    let blank = letter.is_whitespace() && !letter.is_control();
    letter.is_alphanumeric() || blank || "_.:/=+-@".contains(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Pattern::of_job_id(pattern).unwrap().matches(text), expected, "{pattern} {text}");
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
    fn a_tag_may_have_no_value_or_blanks_and_signs_in_it() {
        for (pattern, value) in [("", ""), ("*", ""), ("*", "a b"), ("a:*/é", "a:b c/é")] {
            assert!(Pattern::of_tag_value(pattern).unwrap().matches(value), "{pattern} {value}");
        }
        assert!(!Pattern::of_tag_value("").unwrap().matches("x"));
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        assert!(Pattern::of_job_id("").is_err());
        assert!(Pattern::of_job_id("fw.*").is_err());
        assert!(Pattern::of_tag_value("a,b").is_err());
        assert!(Pattern::of_tag_value(&"x".repeat(257)).is_err());
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
            prop_assert_eq!(Pattern::of_job_id(&pattern).unwrap().matches(&text), expected);
        }

        /// A pattern that does not cover another misses a text that the other matches. For a run of other characters
        /// it takes one that the first has not.
        #[test]
        fn a_pattern_covers_those_whose_texts_it_all_matches(first in "[ab*]{1,6}", second in "[ab*]{1,6}") {
            let (first, second) = (Pattern::of_job_id(&first).unwrap(), Pattern::of_job_id(&second).unwrap());
            let texts = ["", "a", "b", "ab", "ba", "c", "ccc"].map(|run| second.0.replace('*', run));
            prop_assert_eq!(first.covers(&second), texts.iter().all(|text| first.matches(text)));
        }
    }
}
