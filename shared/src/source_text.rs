//! The texts that an operator writes: what may stand in one, and where in it something is wrong.

use std::fmt;

use crate::legible::{hides, shown};

/// The most bytes that an access policy, retention rules or a file of cases may have.
pub const MOST_BYTES: usize = 128 * 1024;

/// How many hidden characters are told of a text. A file that is no text has thousands.
const MOST_TOLD: usize = 10;

/// A text that is what an editor shows of it: of bearable length, without the byte order mark that it may
/// begin with, and without characters that steer or hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegibleText<'t>(&'t str);

impl<'t> LegibleText<'t> {
    /// Checks the text of a file. Nothing else takes a text from outside to a parser.
    ///
    /// # Errors
    /// Its length, or its hidden characters, each with line and column.
    pub fn of(file: &str, text: &'t str) -> Result<Self, Problems> {
        if text.len() > MOST_BYTES {
            let message = format!("has {} bytes; a document may have {MOST_BYTES} at most", text.len());
            return Err(Problem { file: file.to_owned(), line: None, message }.into());
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut problems = Vec::new();
        for (line, content) in (1..).zip(text.split('\n')) {
            let content =
                content.strip_suffix('\r').filter(|_| ends_a_line(text, content)).unwrap_or(content);
            let hidden = (1..).zip(content.chars()).filter(|(_, letter)| hides(*letter) && *letter != '\t');
            problems.extend(hidden.take(MOST_TOLD).map(|(column, letter)| Problem {
                file: file.to_owned(),
                line: Some(line),
                message: format!("column {column} has {}; remove it", hidden_name(letter)),
            }));
            if problems.len() >= MOST_TOLD {
                break;
            }
        }
        problems.truncate(MOST_TOLD);
        Problems::none_or(problems)?;
        Ok(Self(text))
    }

    /// The text.
    pub const fn as_str(self) -> &'t str {
        self.0
    }
}

/// What some editors put before a text.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Whether a line feed follows this line of a text.
fn ends_a_line(text: &str, line: &str) -> bool {
    line.as_bytes().as_ptr_range().end != text.as_bytes().as_ptr_range().end
}

/// A character that is not seen, and why it matters.
fn hidden_name(letter: char) -> String {
    let what = match letter {
        '\r' => "a carriage return that ends no line",
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "which turns the direction of writing"
        }
        '\u{85}' | '\u{2028}' | '\u{2029}' => "which some editors show as a new line",
        other if other.is_control() => "a control character",
        _ => "which cannot be seen",
    };
    format!("U+{:04X}, {what}", u32::from(letter))
}

/// What the parser of TOML says of a text. Of keys that nest too deep it does not say the line: it is one of many dots.
pub(crate) fn not_toml(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let dots = |line: &str| line.matches('.').count();
    let deepest = || (1..).zip(text.lines()).max_by_key(|(_, line)| dots(line)).map(|(line, _)| line);
    let line = error.span().map(|span| line_of(text, span.start)).or_else(deepest);
    let message = match error.message() {
        deep if deep.contains("recurs") => "is nested more than 80 deep; write it flatter".to_owned(),
        other => other.to_owned(),
    };
    Problem { file: file.to_owned(), line, message }
}

/// What is wrong with a name or a reason that answers, records and logs show as it is: the first hidden
/// character, or its length.
pub(crate) fn wrong_in_name(text: &str, most: usize) -> Option<String> {
    if let Some(letter) = text.chars().find(|letter| hides(*letter)) {
        return Some(format!("has {}; remove it", hidden_name(letter)));
    }
    let length = text.chars().count();
    (length > most).then(|| format!("has {length} characters; use {most} at most"))
}

/// One thing wrong in a file of the operator's: where, what, and the remedy where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1; `None` where the problem has no one place.
    pub line: Option<usize>,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, message) = (shown(&self.file), shown(&self.message));
        match self.line {
            Some(line) => write!(f, "{file}:{line}: {message}"),
            None => write!(f, "{file}: {message}"),
        }
    }
}

/// Everything wrong in a file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` when nothing is wrong, otherwise all of it.
    ///
    /// # Errors
    /// When there is at least one problem.
    pub fn none_or(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(|problem| problem.line);
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The line of a byte's place in a text, counted from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 1), 1);
        assert_eq!(line_of("a\nb\nc", 2), 2);
        assert_eq!(line_of("a\nb\nc", 99), 3);
    }

    fn wrong_with(text: &str) -> String {
        LegibleText::of("f", text).unwrap_err().to_string()
    }

    #[test]
    fn what_an_editor_does_not_show_is_refused_with_its_place() {
        assert_eq!(
            wrong_with("a\r"),
            "f:1: column 2 has U+000D, a carriage return that ends no line; remove it"
        );
        assert!(wrong_with("a\r\nb\rc\r\n").starts_with("f:2: column 2 has U+000D"));
        assert!(wrong_with("a\r\r\n").starts_with("f:1: column 2 has U+000D"));
        assert!(wrong_with("é\u{202e}").starts_with("f:1: column 2 has U+202E, which turns the direction"));
        let hidden = "\0\u{b}\u{c}\u{1b}\u{7f}\u{85}\u{ad}\u{34f}\u{61c}\u{115f}\u{17b4}\u{180e}\u{200b}\u{200e}\
                      \u{2028}\u{202a}\u{2065}\u{2069}\u{3164}\u{fe0f}\u{ffa0}\u{fff9}\u{e0001}\u{e0100}";
        for letter in hidden.chars() {
            assert!(wrong_with(&format!("\n{letter}")).starts_with("f:2: column 1 has U+"), "{letter:?}");
        }
        assert_eq!(wrong_with(&"\u{200b}\n".repeat(100)).matches("; f:").count(), MOST_TOLD - 1);
    }

    #[test]
    fn what_an_editor_shows_is_taken_as_it_is() {
        for text in ["", "a\tb\r\n\r\nc", "Grüße, 東京 😀 βόλτα, リング", "\u{3000}\u{a0}"] {
            assert_eq!(LegibleText::of("f", text).map(LegibleText::as_str), Ok(text));
            let marked = format!("{BYTE_ORDER_MARK}{text}");
            assert_eq!(LegibleText::of("f", &marked).map(LegibleText::as_str), Ok(text));
        }
        assert!(wrong_with("\u{feff}\u{feff}").starts_with("f:1: column 1 has U+FEFF"));
    }

    #[test]
    fn a_text_is_of_bearable_length() {
        LegibleText::of("f", &"a".repeat(MOST_BYTES)).unwrap();
        let told = "f: has 131073 bytes; a document may have 131072 at most";
        assert_eq!(wrong_with(&"a".repeat(MOST_BYTES + 1)), told);
    }

    #[test]
    fn problems_are_told_all_at_once_in_order() {
        let problem = |line| Problem { file: "f".into(), line, message: "m".into() };
        let problems =
            Problems::none_or(vec![problem(Some(9)), problem(Some(2)), problem(None)]).unwrap_err();
        assert_eq!(problems.to_string(), "f: m; f:2: m; f:9: m");
        assert_eq!(Problems::none_or(vec![]), Ok(()));
    }
}
