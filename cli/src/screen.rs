//! What is written: tables for people, JSON for scripts, and nothing that could steer a terminal.
//!
//! Names, details and messages come from things, from people and from AWS. A character that a terminal would
//! obey, or that would hide what is there, is shown as its code.

use std::env;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;
use shared::legible::{grouped, hides, shown};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Tables, for people.
    #[default]
    Table,
    /// JSON, for scripts; `archive search` writes an object on each line.
    Json,
}

/// A colour of the terminal's own palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Wary,
    Bad,
    Head,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Wary => "33",
            Self::Bad => "31",
            Self::Head => "1",
        }
    }
}

/// A text of several lines of ours, with what comes from outside in it.
pub(crate) fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// JSON that is harmless, too. JSON has its own escapes for what is below a blank; what else a terminal obeys
/// can stand only within a text of it, where an escape means the same.
pub(crate) fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for letter in json.chars() {
        if hides(letter) && !matches!(letter, '\n' | '\r' | '\t') {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
    number: bool,
}

/// A text from outside.
pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell { text: shown(text.as_ref()), paint: None, number: false }
}

/// A count, on the right of its column.
pub(crate) fn count(number: u64) -> Cell {
    Cell { text: grouped(number), paint: None, number: true }
}

impl Cell {
    pub(crate) fn painted(self, paint: Option<Paint>) -> Self {
        Self { paint, ..self }
    }
}

/// Where results go.
#[derive(Debug)]
pub(crate) struct Screen {
    format: Format,
    colour: bool,
}

impl Screen {
    /// The standard output. It has colours if it is a terminal and NO_COLOR does not say otherwise.
    pub(crate) fn new(format: Format) -> Self {
        let asked_not = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { format, colour: io::stdout().is_terminal() && !asked_not && !dumb }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A line of ours, with what comes from outside in it.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{}", shown(text))
    }

    /// A heading, with an empty line before it.
    pub(crate) fn heading(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "\n{}", self.paint(&shown(text), Some(Paint::Head)))
    }

    /// A value as JSON on one line.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value).map_err(io::Error::other)?;
        self.json_text(&text)
    }

    /// JSON as it came.
    pub(crate) fn json_text(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{}", harmless(text.trim_end()))
    }

    /// Rows under their heads. Nothing where there are no rows.
    pub(crate) fn table(&self, heads: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            cells.chain(heads.get(column).map(|head| head.chars().count())).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..heads.len()).map(width).collect();
        let numbers: Vec<_> = (0..heads.len())
            .map(|column| rows.iter().filter_map(|row| row.get(column)).all(|cell| cell.number))
            .collect();
        let heads = heads.iter().zip(&numbers).map(|(head, number)| Cell {
            text: (*head).to_owned(),
            paint: Some(Paint::Head),
            number: *number,
        });
        let mut out = io::stdout().lock();
        if !heads.clone().all(|head| head.text.is_empty()) {
            self.row(&mut out, &heads.collect::<Vec<_>>(), &widths)?;
        }
        rows.iter().try_for_each(|row| self.row(&mut out, row, &widths))
    }

    /// A row of columns of fixed widths, which are at least kept to; for what is written as it is found.
    pub(crate) fn columns(&self, texts: &[&str], widths: &[usize]) -> io::Result<()> {
        let cells: Vec<_> = texts.iter().map(cell).collect();
        self.row(&mut io::stdout().lock(), &cells, widths)
    }

    fn row(&self, out: &mut impl Write, cells: &[Cell], widths: &[usize]) -> io::Result<()> {
        let last = cells.len().saturating_sub(1);
        for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let blanks = " ".repeat(width.saturating_sub(cell.text.chars().count()));
            let text = self.paint(&cell.text, cell.paint);
            let gap = if place == last { "" } else { "  " };
            match (cell.number, place == last) {
                (true, _) => write!(out, "{blanks}{text}{gap}")?,
                (false, true) => write!(out, "{text}")?,
                (false, false) => write!(out, "{text}{blanks}{gap}")?,
            }
        }
        writeln!(out)
    }

    fn paint(&self, text: &str, paint: Option<Paint>) -> String {
        match paint.filter(|_| self.colour) {
            Some(paint) => format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_text_of_several_is_harmless() {
        assert_eq!(shown_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn json_means_the_same_when_it_is_harmless() {
        let value = serde_json::json!({"a\u{7f}": "\u{1b}[2J\u{9b}31m\u{202e}\u{e0041}\"\\ü\n"});
        let safe = harmless(&value.to_string());
        assert!(!safe.chars().any(hides), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
