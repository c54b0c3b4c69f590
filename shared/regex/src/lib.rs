//! Stands in for the crate of this name, whose engines and tables of Unicode would be 0.19 MB of every function that
//! decides. Cedar has a few uses for it: what a time, a length of time, a decimal and a name look like. For those
//! `regex-lite`, by the same authors, says the same.
//!
//! What differs: `\d` is 0 to 9 here. In a decimal the other crate takes the digits of all scripts, which Cedar then
//! cannot read as a number: both refuse it.

pub use regex_lite::*;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::meta;

    use super::Regex;

    /// Cedar's patterns of texts that callers, devices and policies write, its formatter's, and what such a text may
    /// be made of.
    const PATTERNS: &[(&str, &str)] = &[
        (
            r"^-?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?$",
            "-?([0-9]{0,3}(d|h|m|s|ms|٣|\n)?){0,6}",
        ),
        (r"^([0-9]{4})-([0-9]{2})-([0-9]{2})", "[0-9٣]{3,5}[-/][0-9]{1,3}-[0-9]{1,3}(T|\n|é)?"),
        (r"^T([0-9]{2}):([0-9]{2}):([0-9]{2})", "[Tt]?[0-9]{1,3}:[0-9٣]{2}:[0-9]{1,3}[Z.\n]?"),
        (r"^(\.([0-9]{3}))?(Z|((\+|-)([0-9]{2})([0-9]{2})))$", "(\\.[0-9]{2,4})?(Z|z|[+-][0-9]{3,5})?\n?"),
        (r"^(-?\d+)\.(\d+)$", "-?[0-9]{0,4}\\.?[0-9]{0,4}[e\n]?"),
        ("^[_a-zA-Z][_a-zA-Z0-9]*$", "[_a-zA-Z0-9é-]{0,6}\n?"),
        ("^[_a-zA-Z][_a-zA-Z0-9]*(?:::[_a-zA-Z][_a-zA-Z0-9]*)*$", "([_a-zé0]{0,3}(:|::)?){0,4}\n?"),
        (r"//[^\n\r]*", "[/a\"\n\ré]{0,12}"),
        (r#""(\\.|[^"\\])*""#, "[\"\\\\a/\né]{0,12}"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn both_find_the_same(
            (pattern, text) in (0..PATTERNS.len())
                .prop_flat_map(|nth| (Just(PATTERNS[nth].0), prop_oneof![PATTERNS[nth].1, "\\PC{0,8}"]))
                .prop_filter("digits of all scripts", |(pattern, text)| !pattern.contains(r"\d") || text.is_ascii())
        ) {
            let (ours, theirs) = (Regex::new(pattern).unwrap(), meta::Regex::new(pattern).unwrap());
            let found = ours.captures(&text).map(|found| {
                found.iter().map(|group| group.map(|group| group.range())).collect::<Vec<_>>()
            });
            let mut captures = theirs.create_captures();
            theirs.captures(&text, &mut captures);
            let expected = captures.is_match().then(|| {
                captures.iter().map(|group| group.map(|group| group.range())).collect::<Vec<_>>()
            });
            prop_assert_eq!(found, expected, "{:?} in {:?}", pattern, text);
        }
    }

    #[test]
    fn each_pattern_is_met_with_and_missed() {
        for (pattern, met, missed) in [
            (PATTERNS[0].0, "1d2h3m4s5ms", "1h2d"),
            (PATTERNS[1].0, "2026-11-23T", "2026-1-23"),
            (PATTERNS[2].0, "T01:02:03", "T01:02"),
            (PATTERNS[3].0, ".123+0100", ".12Z"),
            (PATTERNS[4].0, "-1.25", "٣.٠"),
            (PATTERNS[5].0, "_a9", "9a"),
            (PATTERNS[6].0, "A::b", "A:::b"),
            (PATTERNS[7].0, "// a", "/ a"),
            (PATTERNS[8].0, r#""a\"b""#, r#""a\""#),
        ] {
            let pattern = Regex::new(pattern).unwrap();
            assert!(pattern.is_match(met) && !pattern.is_match(missed), "{pattern}: {met} {missed}");
        }
    }
}
