//! Markup in which nothing from outside can be markup.

use std::fmt::{self, Display, Write};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::legible::{grouped, hides};

/// A page under way. What comes from outside gets in by [`Html::text`], which escapes it, and by [`Html::in_link`],
/// which encodes it; markup is what is written in this program and nothing else, and the compiler sees to that: it
/// has to be `'static`.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of this program's own.
    pub(super) fn ours(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, between tags or in an attribute's double quotes.
    pub(super) fn text(&mut self, value: impl Display) -> &mut Self {
        // Writing to a text cannot fail.
        let _ = write!(Escaped(&mut self.0), "{value}");
        self
    }

    /// A number with its thousands apart.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.text(grouped(number))
    }

    /// A part of an address's path or query.
    pub(super) fn in_link(&mut self, part: &str) -> &mut Self {
        self.text(utf8_percent_encode(part, NON_ALPHANUMERIC))
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Escapes what is written to it: nothing of it is markup, and nothing turns or hides what is there.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                hidden if hides(hidden) => self.0.extend(hidden.escape_unicode()),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.finish()
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let told = escaped("<b a='1' c=\"2\">&\u{1b}\u{9b}\u{202e}");
        assert_eq!(told, "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\\u{1b}\\u{9b}\\u{202e}");
    }

    #[test]
    fn a_part_of_an_address_stays_one() {
        let mut html = Html::default();
        html.in_link("a/../b?x=\"><script>&\u{202e}");
        assert_eq!(html.finish(), "a%2F%2E%2E%2Fb%3Fx%3D%22%3E%3Cscript%3E%26%E2%80%AE");
    }

    proptest! {
        #[test]
        fn whatever_comes_from_outside_is_text(text in any::<String>()) {
            let told = escaped(&text);
            prop_assert!(!told.contains(['<', '>', '"', '\'']) && !told.chars().any(hides), "{told}");
            let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
            for (place, _) in told.match_indices('&') {
                prop_assert!(entities.iter().any(|entity| told[place..].starts_with(entity)), "{told}");
            }
        }
    }
}
