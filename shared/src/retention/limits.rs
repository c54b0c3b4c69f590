//! How much rules may say: a sweep holds every execution against each of them.

use toml::Spanned;
use toml::de::DeValue;

use super::parse::{Reader, Table};
use crate::source_text::wrong_in_name;

/// The most rules that a document may have.
const MOST_RULES: usize = 200;

/// The most patterns of job ids that all rules together may have.
const MOST_PATTERNS: usize = 1000;

/// How long a rule's name may be, in characters. Reports and archive records have it.
const LONGEST_NAME: usize = 128;

impl Reader<'_> {
    /// Reports rules and patterns beyond the limits, and names that cannot be shown as they are.
    pub(super) fn limits(&mut self, root: &Table<'_>) {
        let rules = root.get("rule").and_then(|rules| rules.get_ref().as_array());
        let mut patterns = 0;
        for (nth, rule) in rules.into_iter().flat_map(|rules| rules.iter()).enumerate() {
            if nth == MOST_RULES {
                self.report(
                    &rule.span(),
                    format!("has more than {MOST_RULES} rules; say more by each of them"),
                );
            }
            let Some(rule) = rule.get_ref().as_table() else { continue };
            let ids = rule.get("job_ids").and_then(|ids| ids.get_ref().as_array());
            for pattern in ids.into_iter().flat_map(|ids| ids.iter()) {
                if patterns == MOST_PATTERNS {
                    let message =
                        format!("has more than {MOST_PATTERNS} patterns of job ids; use * or job_tags");
                    self.report(&pattern.span(), message);
                }
                patterns += 1;
            }
            self.name_can_be_shown(rule.get("name"));
        }
    }

    fn name_can_be_shown(&mut self, name: Option<&Spanned<DeValue<'_>>>) {
        let Some(name) = name else { return };
        if let Some(wrong) = name.get_ref().as_str().and_then(|told| wrong_in_name(told, LONGEST_NAME)) {
            self.report(&name.span(), format!("the name of a rule {wrong}"));
        }
    }
}
