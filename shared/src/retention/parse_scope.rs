//! Reading what a rule is for.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Pattern;
use super::parse::{Reader, Table, Value};
use super::scope::Scope;
use crate::execution::TargetSelection;

/// The keys of a rule that say what it is for.
pub(super) const SCOPE: [&str; 3] = ["job_ids", "job_tags", "target_selection"];

/// The most tags that AWS lets a job have.
const MOST_TAGS: usize = 50;

impl Reader<'_> {
    /// What a rule is for. It has to name something: a rule for everything is the default.
    pub(super) fn scope(&mut self, table: &Table<'_>, place: &str, span: &Range<usize>) -> Option<Scope> {
        if SCOPE.iter().all(|key| table.get(*key).is_none()) {
            let message = format!(
                "{place} does not say which jobs it is for; give it job_ids (patterns such as \"fw-*\"), \
                 job_tags or target_selection"
            );
            self.report(span, message);
            return None;
        }
        let job_ids = table.get("job_ids").map(|value| self.job_ids(value, place));
        let job_tags = table.get("job_tags").map(|value| self.job_tags(value, place));
        let target = table.get("target_selection").map(|value| self.target_selection(value, place));
        // Not given is fine, given and wrong is not.
        let job_ids = job_ids.map_or(Some(Vec::new()), |given| given);
        let job_tags = job_tags.map_or(Some(BTreeMap::new()), |given| given);
        let target_selection = target.map_or(Some(None), |given| given.map(Some));
        Some(Scope { job_ids: job_ids?, job_tags: job_tags?, target_selection: target_selection? })
    }

    fn job_ids(&mut self, value: &Value<'_>, place: &str) -> Option<Vec<Pattern>> {
        let items = value.get_ref().as_array().filter(|items| !items.is_empty());
        let Some(items) = items else {
            self.report(
                &value.span(),
                format!("job_ids of {place} must be a list with at least one pattern"),
            );
            return None;
        };
        let mut patterns = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str().map(Pattern::of_job_id) {
                Some(Ok(pattern)) => patterns.push(pattern),
                Some(Err(message)) => self.report(&item.span(), format!("job_ids of {place}: {message}")),
                None => self.report(&item.span(), format!("job_ids of {place} must hold texts")),
            }
        }
        (patterns.len() == items.len()).then_some(patterns)
    }

    fn job_tags(&mut self, value: &Value<'_>, place: &str) -> Option<BTreeMap<String, Pattern>> {
        let name = format!("job_tags of {place}");
        let Some(given) = value.get_ref().as_table() else {
            let is = value.get_ref().type_str();
            let message = format!("{name} must be a table such as {{ ring = \"canary\" }}, not a {is}");
            self.report(&value.span(), message);
            return None;
        };
        if given.is_empty() || given.len() > MOST_TAGS {
            let message = format!(
                "{name} names {} tags; name at least one and at most {MOST_TAGS}, or leave job_tags out",
                given.len()
            );
            self.report(&value.span(), message);
            return None;
        }
        let mut tags = BTreeMap::new();
        for (key, value) in given.iter() {
            if !is_tag_key(key.get_ref()) {
                let message = format!(
                    "{name}: `{}` can be no tag's key; use 1 to 128 letters, digits, blanks and _.:/=+-@",
                    key.get_ref()
                );
                self.report(&key.span(), message);
            }
            match value.get_ref().as_str().map(Pattern::of_tag_value) {
                Some(Ok(pattern)) => {
                    tags.insert(key.get_ref().to_string(), pattern);
                }
                Some(Err(message)) => {
                    self.report(&value.span(), format!("{name}: `{}`: {message}", key.get_ref()));
                }
                None => {
                    let message =
                        format!("{name}: `{}` must be a text; \"*\" stands for any value", key.get_ref());
                    self.report(&value.span(), message);
                }
            }
        }
        (tags.len() == given.len()).then_some(tags)
    }

    fn target_selection(&mut self, value: &Value<'_>, place: &str) -> Option<TargetSelection> {
        let found = value.get_ref().as_str().and_then(TargetSelection::parse);
        if found.is_none() {
            let message = format!("target_selection of {place} must be \"SNAPSHOT\" or \"CONTINUOUS\"");
            self.report(&value.span(), message);
        }
        found
    }
}

fn is_tag_key(key: &str) -> bool {
    (1..=128).contains(&key.chars().count()) && key.chars().all(super::pattern::is_tag_character)
}
