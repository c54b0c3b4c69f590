//! How large and how deep an access policy may be, found out before Cedar parses it: Cedar follows every bracket,
//! `if` and chain of operators by recursion, and a stack that is used up ends the process.
//!
//! The numbers, and what was measured for them, are in `docs/decisions/2026-12-01-limits-of-documents.md`.

use crate::source_text::{Problem, Problems, line_of};

/// The most policies that a document may have. A decision evaluates each of them.
pub(super) const MOST_POLICIES: usize = 200;

/// How deep brackets and `if`s of a policy may nest.
pub(super) const DEEPEST: usize = 16;

/// The most operators and clauses that a policy may have; a chain of them is a tree as deep.
pub(super) const MOST_OPERATORS: usize = 200;

/// A policy of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it begins, in bytes.
    pub(super) start: usize,
    /// Where the ids of entities stand in it that have a letter beyond ASCII or an escape.
    pub(super) unusual_ids: Vec<usize>,
}

/// The places of the policies of a text, in order, if it keeps within the limits.
///
/// # Errors
/// What is too large or too deep, and brackets that do not match: Cedar would go on behind those, and read a tree
/// of another depth.
pub(super) fn places(file: &str, text: &str) -> Result<Vec<Place>, Problems> {
    let mut scan = Scan::default();
    for lexeme in lexemes(text) {
        if let Err(message) = scan.take(&lexeme) {
            let line = Some(line_of(text, lexeme.start));
            return Err(Problem { file: file.to_owned(), line, message }.into());
        }
    }
    Ok(scan.places)
}

#[derive(Debug, Default)]
struct Scan<'t> {
    places: Vec<Place>,
    within: bool,
    /// The brackets and `if`s that are open.
    open: Vec<&'t str>,
    operators: usize,
    after_colons: bool,
}

impl<'t> Scan<'t> {
    fn take(&mut self, lexeme: &Lexeme<'t>) -> Result<(), String> {
        if !self.within {
            self.within = true;
            self.operators = 0;
            if self.places.len() == MOST_POLICIES {
                return Err(format!("has more than {MOST_POLICIES} policies; say more by each of them"));
            }
            self.places.push(Place { start: lexeme.start, unusual_ids: Vec::new() });
        }
        let text = lexeme.text;
        let is_id = std::mem::replace(&mut self.after_colons, text == "::") && text.starts_with('"');
        if is_id && (!text.is_ascii() || text.contains('\\')) {
            self.places.last_mut().into_iter().for_each(|place| place.unusual_ids.push(lexeme.start));
        }
        match text {
            "(" | "[" | "{" | "if" => self.open.push(text),
            ")" | "]" | "}" => self.close(text)?,
            "," => self.end_ifs(),
            ";" if self.open.iter().any(|open| *open != "if") => {
                let open = self.open.iter().rfind(|open| **open != "if").unwrap_or(&"(");
                return Err(format!("`;` stands within a bracket; close the `{open}` before it"));
            }
            ";" => {
                self.open.clear();
                self.within = false;
            }
            _ => {}
        }
        if self.open.len() > DEEPEST {
            return Err(format!(
                "the policy is nested more than {DEEPEST} deep (brackets and `if`); write it flatter, or as several policies"
            ));
        }
        self.operators += usize::from(is_operator(text));
        if self.operators > MOST_OPERATORS {
            return Err(format!(
                "the policy has more than {MOST_OPERATORS} operators; write lists as [..].contains(..), or several policies"
            ));
        }
        Ok(())
    }

    fn end_ifs(&mut self) {
        while self.open.last() == Some(&"if") {
            self.open.pop();
        }
    }

    fn close(&mut self, closing: &str) -> Result<(), String> {
        self.end_ifs();
        match (self.open.pop(), closing) {
            (Some("("), ")") | (Some("["), "]") | (Some("{"), "}") => Ok(()),
            (Some(open), _) => Err(format!("`{closing}` does not close the `{open}` before it")),
            (None, _) => Err(format!("`{closing}` closes nothing")),
        }
    }
}

/// Whether Cedar makes a level of its tree of each of these.
fn is_operator(text: &str) -> bool {
    const SIGNS: [&str; 17] =
        ["||", "&&", "==", "!=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "%", "!", ".", "["];
    const WORDS: [&str; 7] = ["in", "has", "like", "is", "if", "when", "unless"];
    SIGNS.contains(&text) || WORDS.contains(&text)
}

/// A word, a text in quotes, or a sign, outside of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lexeme<'t> {
    pub(super) start: usize,
    pub(super) text: &'t str,
}

impl Lexeme<'_> {
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The lexemes of a text as Cedar's lexer tells them apart, as far as that matters here.
pub(super) fn lexemes(text: &str) -> impl Iterator<Item = Lexeme<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let first = rest.chars().next()?;
            let length = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if first.is_whitespace() {
                first.len_utf8()
            } else {
                let length = lexeme_length(rest, first);
                let lexeme = Lexeme { start: at, text: rest.get(..length)? };
                at += length;
                return Some(lexeme);
            };
            at += length;
        }
    })
}

fn lexeme_length(rest: &str, first: char) -> usize {
    if first == '"' {
        let mut escaped = false;
        let closing = rest.char_indices().skip(1).find(|(_, letter)| {
            let closes = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            closes
        });
        return closing.map_or(rest.len(), |(place, _)| place + 1);
    }
    let in_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if in_word(first) {
        return rest.find(|letter| !in_word(letter)).unwrap_or(rest.len());
    }
    let double = ["||", "&&", "==", "!=", "<=", ">=", "::"].iter().any(|sign| rest.starts_with(sign));
    if double { 2 } else { first.len_utf8() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(lexemes(text).map(|lexeme| lexeme.text).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn comments_are_none_and_texts_are_one() {
        check("a // (b\nc", &["a", "c"]);
        check("a / b", &["a", "/", "b"]);
        check(r#"a "// (b" // c"#, &["a", r#""// (b""#]);
        check("\"b\n// c\" // d", &["\"b\n// c\""]);
        check(r#""a\" ( b" c"#, &[r#""a\" ( b""#, "c"]);
        check(r#""a\\" b"#, &[r#""a\\""#, "b"]);
        check(r#"A::B::"é" "#, &["A", "::", "B", "::", "\"é\""]);
        check("!!a<=-1", &["!", "!", "a", "<=", "-", "1"]);
        check("\"open", &["\"open"]);
    }

    fn of(condition: &str) -> Result<Vec<Place>, String> {
        let text = format!("@id(\"p\") permit(principal, action, resource) when {{ {condition} }};");
        places("p", &text).map_err(|problems| problems.to_string())
    }

    #[test]
    fn each_limit_may_be_met_and_not_passed() {
        let deep = |times: usize| format!("{}a{}", "(".repeat(times), ")".repeat(times));
        of(&deep(DEEPEST - 1)).unwrap();
        assert!(of(&deep(DEEPEST)).unwrap_err().starts_with("p:1: the policy is nested more than 16 deep"));
        let ifs = |times: usize| format!("{}b", "if a then b else ".repeat(times));
        of(&ifs(DEEPEST - 1)).unwrap();
        of(&ifs(DEEPEST)).unwrap_err();
        // Beside each other they are not deeper.
        of(&format!("[{}a]", format!("({}), {}, ", ifs(9), ifs(9)).repeat(5))).unwrap();
        let long = |times: usize| format!("{}a", "a||".repeat(times));
        of(&long(MOST_OPERATORS - 1)).unwrap();
        assert!(of(&long(MOST_OPERATORS)).unwrap_err().contains("more than 200 operators"));
        let many = |times: usize| places("p", &"permit(principal, action, resource);\n".repeat(times));
        assert_eq!(many(MOST_POLICIES).unwrap().len(), MOST_POLICIES);
        assert!(many(MOST_POLICIES + 1).unwrap_err().to_string().starts_with("p:201: has more than 200"));
    }

    #[test]
    fn a_place_is_where_the_policy_begins() {
        let places =
            places("p", "// a\n@id(\"a\") permit(b == C::\"д\");\n forbid(\"д\", A::\"b\");").unwrap();
        assert_eq!(places.iter().map(|place| place.start).collect::<Vec<_>>(), [5, 37]);
        assert_eq!(
            places.iter().map(|place| place.unusual_ids.clone()).collect::<Vec<_>>(),
            [vec![29], vec![]]
        );
    }

    #[test]
    fn brackets_match() {
        for (condition, told) in [("(]", "`]` does not close the `(`"), ("a)", "`)` does not close the `{`")]
        {
            assert!(of(condition).unwrap_err().contains(told), "{condition}");
        }
        assert!(of("((a;)||(b").unwrap_err().contains("`;` stands within a bracket"));
    }
}
