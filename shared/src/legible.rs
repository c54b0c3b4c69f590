//! Words for people: texts from outside that steer nothing, numbers that can be read, and lengths of time.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Whether a character steers a terminal, turns the direction of writing, or cannot be seen: Unicode's controls,
/// format characters, line and paragraph separators, and what it calls default ignorable.
pub fn hides(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_control();
    }
    match letter.general_category() {
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => true,
        // Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt) that is of another category.
        _ => matches!(letter,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2065}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{e0000}'..='\u{e0fff}'),
    }
}

/// A text from outside, on one line and harmless.
pub fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if hides(letter) { safe.extend(letter.escape_unicode()) } else { safe.push(letter) }
    }
    safe
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// A length of time in its two largest units.
pub fn length(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes:02}m"),
        (days, hours, _, _) => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\r\n\u{9b}c\u{7f}"), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{9b}c\\u{7f}");
        assert_eq!(shown("gpj\u{202e}exe\u{200b}"), "gpj\\u{202e}exe\\u{200b}");
        assert_eq!(shown("a\u{3164}b\u{fe0f}\u{e0020}\u{e0101}"), "a\\u{3164}b\\u{fe0f}\\u{e0020}\\u{e0101}");
        assert_eq!(shown("Grüße, 東京 😀 βόλτα"), "Grüße, 東京 😀 βόλτα");
        for letter in ('\0'..=char::MAX).filter(|letter| letter.is_control()) {
            assert!(!shown(&letter.to_string()).contains(letter), "{letter:?}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let told: Vec<_> = [0, 999, 1000, 65_536, 1_234_567].map(grouped).to_vec();
        assert_eq!(told, ["0", "999", "1,000", "65,536", "1,234,567"]);
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        let told: Vec<_> = [0, 59, 60, 3599, 3600, 86_400, 100_000].map(length).to_vec();
        assert_eq!(told, ["0s", "59s", "1m00s", "59m59s", "1h00m", "1d00h", "1d03h"]);
    }
}
