//! JSON lines on standard output, as Lambda's JSON log format has them.

use std::io::{self, Write};
use std::process::ExitCode;

use shared::legible::hides;
use shared::ports::{Cause, chain};
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging at the level that Lambda's logging configuration names; INFO without one.
pub fn init() {
    let level = std::env::var_os("AWS_LAMBDA_LOG_LEVEL")
        .and_then(|level| level.to_str()?.parse().ok())
        .unwrap_or(Level::INFO);
    // Nothing else logs; if something did, it would go on.
    let _ = tracing::subscriber::set_global_default(subscriber(level, io::stdout));
}

/// What writes the lines of a function.
pub fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().json().with_max_level(level).with_writer(Escaping(writer));
    // The last of `spans`, once more: a fifth of a line of the log of a sweep, which every deletion leaves.
    lines.with_current_span(false).finish()
}

/// Ends the process: a function that cannot start serves nothing, and says why.
pub fn exit(served: Result<(), Cause>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "start_failed", error = chain(&*error), "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Writes lines of JSON in which no character acts on whoever shows them: a terminal, or a reader of text that runs
/// both ways. serde_json escapes what JSON forbids, which is less. Such a character can only be in a JSON text, so
/// its escape means the same.
#[derive(Debug, Clone)]
struct Escaping<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaping<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping(self.0.make_writer())
    }
}

impl<W: Write> Write for Escaping<W> {
    /// Takes all of it: a line comes whole, and one that is cut in a character is not escaped.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Most lines are plain, and told so without a look at each character.
        if bytes.iter().all(|byte| (b' '..0x7f).contains(byte) || *byte == b'\n') {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        match std::str::from_utf8(bytes) {
            Ok(line) if line.contains(acts) => self.0.write_all(escaped(line).as_bytes())?,
            Ok(_) | Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a character does something instead of being shown. Between one line and the next there is one that may.
fn acts(character: char) -> bool {
    character != '\n' && hides(character)
}

fn escaped(line: &str) -> String {
    let mut written = String::with_capacity(line.len() + 16);
    for character in line.chars() {
        if acts(character) {
            // JSON has an escape for each half of what is beyond the first plane.
            for unit in character.encode_utf16(&mut [0; 2]) {
                written.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            written.push(character);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives of a line that is written so.
    fn arrived(line: &str) -> String {
        let mut written = Escaping(Vec::new());
        written.write_all(line.as_bytes()).unwrap();
        String::from_utf8(written.0).unwrap()
    }

    #[test]
    fn what_acts_is_escaped_and_reads_back_as_it_was() {
        for text in [
            "\u{9b}2J\u{85}\u{7f}",
            "\u{202e}gpj.exe\u{2066}",
            "\u{feff}\u{2028}\u{2029}",
            "\u{61c}\u{200f}",
            "\u{ad}\u{e0041}",
        ] {
            let line = format!("{}\n", serde_json::json!({ "principal": text }));
            let arrived = arrived(&line);
            assert!(arrived.is_ascii() && arrived.ends_with("\"}\n"), "{arrived:?}");
            assert!(!arrived.trim_end().contains(char::is_control), "{arrived:?}");
            let read: serde_json::Value = serde_json::from_str(&arrived).unwrap();
            assert_eq!(read["principal"], text);
        }
    }

    #[test]
    fn what_is_only_shown_stays_as_it_is() {
        for line in ["{\"principal\":\"anna\"}\n", "{\"principal\":\"Zoë, 東京, 🛠\"}\n", "two\nlines\n", ""]
        {
            assert_eq!(arrived(line), line);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_written_all_the_same() {
        let mut written = Escaping(Vec::new());
        written.write_all(b"\xff\xfe\n").unwrap();
        assert_eq!(written.0, b"\xff\xfe\n");
    }
}
