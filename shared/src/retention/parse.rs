//! Reading `retention.toml`: everything that is wrong is reported at once, with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::Range;

use jiff::SignedDuration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::parse_scope::SCOPE;
use super::scope::Scope;
use super::{ArchiveKind, Breaker, Hundredths, Limit, Retention, Rule, Terms};
use crate::digest;
use crate::execution::Status;
use crate::source_text::{LegibleText, Problem, Problems, line_of, not_toml};
use crate::time::{self, DurationError, Units};

/// What rules and the default say.
const TERMS: [&str; 5] = ["delete_after", "keep_last", "cancel_after", "archive", "retire_jobs"];

const FLOOR: SignedDuration = SignedDuration::from_hours(1);
const CEILING: SignedDuration = SignedDuration::from_hours(24 * 3650);
const TOO_LONG: &str = "the most is ten years (3650d); write \"never\" to keep for ever";

/// The most successes that a rule may keep of each thing.
const MOST_LAST: u32 = 100;

/// What each limit of the breaker means, and what it can be.
const LARGEST_PLAN: (&str, &str) =
    ("the most that one sweep may act on", "a whole number of at least 1, such as 10000");
const LARGEST_SHARE: (&str, &str) = (
    "the most that one sweep may act on of what its scan has seen, in percent",
    "a number above 0 and at most 100, with two decimals at most, such as 90 or 12.5",
);
const LARGEST_GROWTH: (&str, &str) = (
    "how many times as much as the last sweep one may act on",
    "a number from 1 to 1000, with two decimals at most, such as 10 or 2.5",
);

impl Retention {
    /// Parses and validates rules.
    ///
    /// # Errors
    /// Every problem found, with its line and the remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let text = LegibleText::of(file, text)?.as_str();
        let mut reader = Reader { file, text, problems: Vec::new() };
        let parsed = DeTable::parse(text).map_err(|error| not_toml(file, text, &error))?;
        reader.limits(parsed.get_ref());
        Problems::none_or(std::mem::take(&mut reader.problems))?;
        let draft = reader.retention(parsed.get_ref());
        Problems::none_or(reader.problems)?;
        // A draft is missing only where a problem was reported.
        draft.ok_or_else(|| {
            let message = "cannot be read".to_owned();
            Problem { file: file.to_owned(), line: None, message }.into()
        })
    }
}

pub(super) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    problems: Vec<Problem>,
}

pub(super) type Table<'i> = DeTable<'i>;
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    pub(super) fn report(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let line = Some(line_of(self.text, span.start));
        self.problems.push(Problem { file: self.file.to_owned(), line, message: message.into() });
    }

    fn report_missing(&mut self, message: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), line: None, message: message.into() });
    }

    fn known_keys(&mut self, table: &Table<'_>, place: &str, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let message =
                format!("unknown key `{}` in {place}; it takes {}", key.get_ref(), known.join(", "));
            self.report(&key.span(), message);
        }
    }

    fn table<'v, 'i>(&mut self, value: &'v Value<'i>, what: &str) -> Option<&'v Table<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.report(
                &value.span(),
                format!("{what} must be a table, not a {}", value.get_ref().type_str()),
            );
        }
        table
    }

    fn retention(&mut self, root: &Table<'_>) -> Option<Retention> {
        self.known_keys(root, "the file", &["breaker", "rule", "default"]);
        let breaker = match root.get("breaker") {
            Some(value) => self.breaker(value),
            None => {
                let message =
                    "needs [breaker] with max_actions, max_percent and max_growth, what one sweep may act on";
                self.report_missing(message);
                None
            }
        };
        let rules = root.get("rule").map_or(Some(Vec::new()), |value| self.rules(value));
        let default = match root.get("default") {
            Some(value) => {
                self.table(value, "[default]").and_then(|table| self.default(table, &value.span()))
            }
            None => {
                self.report_missing("needs [default]: what happens where no rule matches must be said");
                None
            }
        };
        let digest = digest::of([self.text]);
        let source = self.file.to_owned();
        Some(Retention { rules: rules?, default: default?, breaker: breaker?, source, digest })
    }

    fn breaker(&mut self, value: &Value<'_>) -> Option<Breaker> {
        let table = self.table(value, "[breaker]")?;
        self.known_keys(table, "[breaker]", &["max_actions", "max_percent", "max_growth"]);
        let max_actions =
            self.breaker_limit(value, table, "max_actions", LARGEST_PLAN, |text| text.parse().ok());
        let number = |text: &str, least: &str, most: &str| {
            let range = Hundredths::parse(least)?..=Hundredths::parse(most)?;
            Hundredths::parse(text).filter(|number| range.contains(number))
        };
        let max_percent = self
            .breaker_limit(value, table, "max_percent", LARGEST_SHARE, |text| number(text, "0.01", "100"));
        let max_growth =
            self.breaker_limit(value, table, "max_growth", LARGEST_GROWTH, |text| number(text, "1", "1000"));
        Some(Breaker { max_actions: max_actions?, max_percent: max_percent?, max_growth: max_growth? })
    }

    /// A limit of the breaker. None can be left out, and none can be switched off.
    fn breaker_limit<T>(
        &mut self,
        breaker: &Value<'_>,
        table: &Table<'_>,
        key: &str,
        (meaning, legal): (&str, &str),
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(limit) = table.get(key) else {
            self.report(&breaker.span(), format!("[breaker] needs {key}, {meaning}"));
            return None;
        };
        let value = limit.get_ref();
        let whole = value.as_integer().filter(|number| number.radix() == 10).map(|number| number.as_str());
        let found = whole.or_else(|| value.as_float().map(|number| number.as_str())).and_then(parse);
        if found.is_none() {
            let message = format!(
                "{key} must be {legal}; zero would not mean unlimited, and to stop sweeps, switch their schedules off"
            );
            self.report(&limit.span(), message);
        }
        found
    }

    fn rules(&mut self, value: &Value<'_>) -> Option<Vec<Rule>> {
        let Some(array) = value.get_ref().as_array() else {
            self.report(&value.span(), "a rule is written [[rule]], with two brackets");
            return None;
        };
        let mut names = BTreeSet::new();
        let mut rules: Vec<Rule> = Vec::new();
        for value in array.iter() {
            let rule = self.table(value, "[[rule]]").and_then(|table| self.rule(table, &value.span()));
            if let Some(rule) = rule {
                if rule.name == "default" || !names.insert(rule.name.clone()) {
                    let message = format!("the name `{}` is taken; give each rule its own", rule.name);
                    self.report(&value.span(), message);
                }
                if let Some(earlier) = rules.iter().find(|earlier| earlier.scope.covers(&rule.scope)) {
                    let message = format!(
                        "rule `{0}` decides nothing, because rule `{1}` before it is for all of its jobs; put `{0}` \
                         before `{1}`, or take it out",
                        rule.name, earlier.name
                    );
                    self.report(&value.span(), message);
                }
                rules.push(rule);
            }
        }
        Some(rules)
    }

    fn rule(&mut self, table: &Table<'_>, span: &Range<usize>) -> Option<Rule> {
        self.known_keys(table, "a rule", &[&["name"], &SCOPE[..], &TERMS].concat());
        let name = match table.get("name").map(|value| (value, value.get_ref().as_str())) {
            Some((_, Some(name))) if !name.trim().is_empty() => Some(name.to_owned()),
            Some((value, _)) => {
                self.report(&value.span(), "name must be a text");
                None
            }
            None => {
                self.report(span, "a rule needs a name, which reports and archive records will carry");
                None
            }
        };
        let place = name.as_ref().map_or("a rule".to_owned(), |name| format!("rule `{name}`"));
        let scope = self.scope(table, &place, span);
        let terms = self.terms(table, &place, span);
        Some(Rule { name: name?, scope: scope?, terms: terms? })
    }

    fn default(&mut self, table: &Table<'_>, span: &Range<usize>) -> Option<Rule> {
        self.known_keys(table, "[default]", &TERMS);
        let terms = self.terms(table, "[default]", span)?;
        Some(Rule { name: "default".to_owned(), scope: Scope::default(), terms })
    }

    /// What rules and the default have in common.
    fn terms(&mut self, table: &Table<'_>, place: &str, span: &Range<usize>) -> Option<Terms> {
        let delete_after = self.delete_after(table, place, span);
        let cancel = match table.get("cancel_after") {
            // Nothing is cancelled: absent never means now.
            None => Some((Limit::Never, Limit::Never)),
            Some(value) => self.cancel_after(value, place),
        };
        let keep_last = match table.get("keep_last") {
            None => Some(None),
            Some(value) => self.keep_last(value, place, delete_after.as_ref()).map(Some),
        };
        let archive = self.archive(table, place, span);
        let retire_jobs = self.retire_jobs(table, place, delete_after.as_ref());
        let (cancel_after, cancel_running_after) = cancel?;
        Some(Terms {
            delete_after: delete_after?,
            cancel_after,
            cancel_running_after,
            keep_last: keep_last?,
            archive: archive?,
            retire_jobs: retire_jobs?,
        })
    }

    fn retire_jobs(
        &mut self,
        table: &Table<'_>,
        place: &str,
        delete_after: Option<&BTreeMap<Status, Limit>>,
    ) -> Option<bool> {
        let Some(value) = table.get("retire_jobs") else { return Some(false) };
        let told = value.get_ref().as_bool();
        if told.is_none() {
            let message = format!(
                "retire_jobs of {place} must be true (a finished job is deleted whole once everything of it \
                 is due) or false"
            );
            self.report(&value.span(), message);
        }
        if told == Some(true) && table.contains_key("keep_last") {
            let message = format!(
                "retire_jobs and keep_last of {place} exclude each other: before a success may go behind the \
                 last ones, its thing is looked at, which costs as many calls as deleting it; leave one of \
                 them out"
            );
            self.report(&value.span(), message);
            return None;
        }
        let keeps_all =
            delete_after.is_some_and(|limits| limits.values().all(|limit| *limit == Limit::Never));
        if told == Some(true) && keeps_all {
            let message = format!(
                "retire_jobs of {place} deletes no job, because its delete_after keeps every execution for ever; \
                 leave it out, or give a status a duration"
            );
            self.report(&value.span(), message);
            return None;
        }
        told
    }

    /// How many of its newest successes each thing keeps.
    fn keep_last(
        &mut self,
        value: &Value<'_>,
        place: &str,
        delete_after: Option<&BTreeMap<Status, Limit>>,
    ) -> Option<NonZeroU32> {
        let number = value.get_ref().as_integer().filter(|number| number.radix() == 10);
        let number = number.and_then(|number| number.as_str().parse::<NonZeroU32>().ok());
        let Some(number) = number.filter(|number| number.get() <= MOST_LAST) else {
            let message = format!(
                "keep_last of {place} must be a whole number from 1 to {MOST_LAST}, how many of its newest \
                 successes each thing keeps whatever their age; to keep none, leave it out"
            );
            self.report(&value.span(), message);
            return None;
        };
        if delete_after.and_then(|limits| limits.get(&Status::Succeeded)) == Some(&Limit::Never) {
            let message = format!(
                "keep_last of {place} keeps what SUCCEEDED = \"never\" keeps already; leave it out, or give \
                 SUCCEEDED a duration"
            );
            self.report(&value.span(), message);
            return None;
        }
        Some(number)
    }

    fn delete_after(
        &mut self,
        table: &Table<'_>,
        place: &str,
        span: &Range<usize>,
    ) -> Option<BTreeMap<Status, Limit>> {
        let Some(value) = table.get("delete_after") else {
            self.report(span, format!("{place} needs delete_after"));
            return None;
        };
        let limits = self.table(value, &format!("delete_after of {place}"))?;
        let terminal: Vec<_> = Status::ALL.into_iter().filter(|status| status.is_terminal()).collect();
        let known: Vec<_> = terminal.iter().map(|status| status.as_str()).collect();
        self.known_keys(limits, &format!("delete_after of {place}"), &known);
        let mut found = BTreeMap::new();
        for status in &terminal {
            if let Some(limit) = self.limit_of(limits, *status, (value, "delete_after", place)) {
                found.insert(*status, limit);
            }
        }
        (found.len() == terminal.len()).then_some(found)
    }

    /// What becomes of what waits and of what runs.
    fn cancel_after(&mut self, value: &Value<'_>, place: &str) -> Option<(Limit, Limit)> {
        let limits = self.table(value, &format!("cancel_after of {place}"))?;
        self.known_keys(
            limits,
            &format!("cancel_after of {place}"),
            &[Status::Queued.as_str(), Status::InProgress.as_str()],
        );
        let waiting = self.limit_of(limits, Status::Queued, (value, "cancel_after", place));
        let running = match limits.get(Status::InProgress.as_str()) {
            None => Some(Limit::Never),
            Some(limit) => self.forced_limit(limit, place),
        };
        Some((waiting?, running?))
    }

    /// A limit that has to be there.
    fn limit_of(
        &mut self,
        limits: &Table<'_>,
        status: Status,
        (value, key, place): (&Value<'_>, &str, &str),
    ) -> Option<Limit> {
        match limits.get(status.as_str()) {
            Some(limit) => self.limit(limit, &format!("{key}.{status} of {place}")),
            None => {
                let message =
                    format!("{key} of {place} leaves out {status}; give it a duration or \"never\"");
                self.report(&value.span(), message);
                None
            }
        }
    }

    /// A limit for what runs. It takes force, and that has to be said.
    fn forced_limit(&mut self, value: &Value<'_>, place: &str) -> Option<Limit> {
        let name = format!("cancel_after.{} of {place}", Status::InProgress);
        if value.get_ref().as_str() == Some("never") {
            return Some(Limit::Never);
        }
        let table = value.get_ref().as_table();
        let forced = table.and_then(|table| table.get("force")).and_then(|force| force.get_ref().as_bool());
        let after = table.and_then(|table| table.get("after"));
        let (Some(table), Some(after), Some(true)) = (table, after, forced) else {
            let message = format!(
                "{name}: cancelling what runs takes force, which has to be said: write \
                 {{ after = \"7d\", force = true }}, or \"never\""
            );
            self.report(&value.span(), message);
            return None;
        };
        self.known_keys(table, &name, &["after", "force"]);
        self.limit(after, &name)
    }

    fn limit(&mut self, value: &Value<'_>, name: &str) -> Option<Limit> {
        let Some(input) = value.get_ref().as_str() else {
            self.report(
                &value.span(),
                format!("{name} must be a text such as \"90d\", \"36h\" or \"never\""),
            );
            return None;
        };
        if input == "never" {
            return Some(Limit::Never);
        }
        match duration(input) {
            Ok(duration) => Some(Limit::After(duration)),
            Err(problem) => {
                self.report(&value.span(), format!("{name} is `{input}`: {problem}"));
                None
            }
        }
    }

    fn archive(&mut self, table: &Table<'_>, place: &str, span: &Range<usize>) -> Option<ArchiveKind> {
        let given = table.get("archive");
        match given.and_then(|value| value.get_ref().as_str()) {
            Some("summary") => return Some(ArchiveKind::Summary),
            Some("full") => return Some(ArchiveKind::Full),
            Some(_) | None => {}
        }
        let span = given.map_or(span.clone(), Spanned::span);
        let message = format!(
            "archive of {place} must be \"summary\" (what a listing tells) or \"full\" (what a description \
             tells, at a call for each)"
        );
        self.report(&span, message);
        None
    }
}

fn duration(input: &str) -> Result<SignedDuration, String> {
    let duration = time::duration(input, Units::ToHours).map_err(|problem| match problem {
        DurationError::TooLong => TOO_LONG.to_owned(),
        DurationError::Form(_) | DurationError::MinutesOrMonths(_) | DurationError::NotFixed(_) => {
            format!("{problem}, or \"never\"")
        }
    })?;
    if duration < FLOOR {
        return Err("the least is one hour (1h)".to_owned());
    }
    if duration > CEILING {
        return Err(TOO_LONG.to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = r#"[breaker]
max_actions = 5
max_percent = 12.5
max_growth = 3
[[rule]]
name = "fw"
job_ids = ["fw-*"]
delete_after = { SUCCEEDED = "7d", FAILED = "never", TIMED_OUT = "1d 12h", REJECTED = "36h", REMOVED = "1h", CANCELED = "2w" }
archive = "summary"
[default]
delete_after = { SUCCEEDED = "7d", FAILED = "7d", TIMED_OUT = "7d", REJECTED = "7d", REMOVED = "7d", CANCELED = "7d" }
archive = "summary"
"#;

    /// The problems of `FINE` with one text replaced.
    fn problems(from: &str, to: &str) -> String {
        assert!(FINE.contains(from));
        Retention::parse("r.toml", &FINE.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_rules_have_no_problem() {
        Retention::shipped().unwrap();
    }

    #[test]
    fn a_rule_without_cancel_after_cancels_nothing() {
        let rules = Retention::parse("r.toml", FINE).unwrap();
        assert_eq!(rules.default.terms.cancel_after, Limit::Never);
        let Breaker { max_actions, max_percent, max_growth } = rules.breaker();
        assert_eq!(
            (max_actions.get(), max_percent.to_string(), max_growth.to_string()),
            (5, "12.5".into(), "3".into())
        );
    }

    #[test]
    fn an_omitted_status_is_an_error() {
        assert_eq!(
            problems(r#"TIMED_OUT = "1d 12h", "#, ""),
            "r.toml:8: delete_after of rule `fw` leaves out TIMED_OUT; give it a duration or \"never\""
        );
    }

    #[test]
    fn zero_is_an_error_and_so_is_anything_under_the_floor() {
        for short in ["0d", "0h", "0w 0d 0h"] {
            let problems = problems(r#"SUCCEEDED = "7d""#, &format!("SUCCEEDED = \"{short}\""));
            assert!(problems.contains("the least is one hour"), "{short}: {problems}");
        }
    }

    #[test]
    fn a_zero_breaker_is_an_error_and_not_off() {
        for (line, good, bads) in [
            (2, "max_actions = 5", &["0", "-1", "1.5", "\"5\"", "true", "0x10"][..]),
            (3, "max_percent = 12.5", &["0", "0.0", "0.001", "100.01", "101", "-1", "1e1", "inf", "\"5\""]),
            (4, "max_growth = 3", &["0", "0.99", "1000.01", "-1", "nan", "2.125", "true"]),
        ] {
            let key = good.split(' ').next().unwrap();
            for bad in bads {
                let problems = problems(good, &format!("{key} = {bad}"));
                let expected = format!("r.toml:{line}: {key} must be a ");
                assert!(
                    problems.starts_with(&expected) && problems.contains("zero would not mean"),
                    "{problems}"
                );
            }
        }
    }

    #[test]
    fn no_limit_of_the_breaker_can_be_left_out() {
        for limit in ["max_actions = 5", "max_percent = 12.5", "max_growth = 3"] {
            let key = limit.split(' ').next().unwrap();
            let problems = problems(&format!("{limit}\n"), "");
            assert!(problems.starts_with(&format!("r.toml:1: [breaker] needs {key}, ")), "{problems}");
        }
    }

    #[test]
    fn a_duration_that_is_not_documented_is_an_error_that_says_what_is() {
        let usage = "write weeks, days and hours, such as \"90d\", \"2w\" or \"1d 12h\", or \"never\"";
        for (bad, why) in [
            ("60m", "m could mean minutes or months; "),
            ("1mo", "months and years have no fixed length; "),
            ("1y", "months and years have no fixed length; "),
            ("60min", ""),
            ("3600s", ""),
            ("PT1H", ""),
            ("24:00:00", ""),
            ("1,000h", ""),
            ("90d ", ""),
            ("-7d", ""),
            ("30", ""),
            ("soon", ""),
            ("", ""),
        ] {
            let problems = problems(r#"SUCCEEDED = "7d""#, &format!("SUCCEEDED = \"{bad}\""));
            let told = format!("r.toml:8: delete_after.SUCCEEDED of rule `fw` is `{bad}`: {why}{usage}");
            assert_eq!(problems, told);
        }
        assert!(problems(r#"SUCCEEDED = "7d""#, "SUCCEEDED = 7").contains("must be a text"));
        assert!(problems(r#"SUCCEEDED = "7d""#, r#"SUCCEEDED = "3651d""#).contains("the most is ten years"));
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_line() {
        let text = FINE.replace("max_actions = 5", "max_action = 5").replace("fw-*", "fw.*").replace(
            "[default]",
            "[[rule]]\nname = \"fw\"\njob_ids = [\"x\"]\ncolour = \"red\"\n[default]\nkeep = 1",
        );
        let problems = Retention::parse("r.toml", &text).unwrap_err().to_string();
        for expected in [
            "r.toml:1: [breaker] needs max_actions",
            "r.toml:2: unknown key `max_action`",
            "r.toml:7: job_ids of rule `fw`: `fw.*` can match no job id",
            "r.toml:10: rule `fw` needs delete_after",
            "r.toml:13: unknown key `colour`",
            "r.toml:15: unknown key `keep`",
        ] {
            assert!(problems.contains(expected), "{expected} in {problems}");
        }
    }

    #[test]
    fn a_rule_may_name_ids_tags_and_target_selection_and_has_to_name_something() {
        for fine in [
            r#"job_tags = { ring = "canary", "a:b/c d" = "*" }"#,
            r#"target_selection = "CONTINUOUS""#,
            "job_ids = [\"a\"]\ntarget_selection = \"SNAPSHOT\"\njob_tags = { empty = \"\" }",
        ] {
            let text = FINE.replacen(r#"job_ids = ["fw-*"]"#, fine, 1);
            Retention::parse("r.toml", &text).unwrap();
        }
        assert_eq!(
            problems("job_ids = [\"fw-*\"]\n", ""),
            "r.toml:5: rule `fw` does not say which jobs it is for; give it job_ids (patterns such as \"fw-*\"), \
             job_tags or target_selection"
        );
        assert!(problems("[default]", "[default]\ntarget_selection = \"SNAPSHOT\"").contains("unknown key"));
    }

    #[test]
    fn everything_wrong_with_a_rules_tags_is_told_at_once() {
        let check = |tags: &str, expected: &[&str]| {
            let problems = problems(r#"job_ids = ["fw-*"]"#, tags);
            for expected in expected {
                assert!(problems.contains(expected), "{expected} in {problems}");
            }
            assert_eq!(problems.matches("r.toml:").count(), expected.len(), "{problems}");
        };
        check("job_tags = {}", &["r.toml:7: job_tags of rule `fw` names 0 tags; name at least one"]);
        check("job_tags = \"ring\"", &["must be a table such as { ring = \"canary\" }, not a string"]);
        check(
            "job_tags = { \"\" = \"x\", \"a,b\" = \"x\", ring = 1, owner = \"a,b\" }\ntarget_selection = \"snapshot\"",
            &[
                "r.toml:7: job_tags of rule `fw`: `` can be no tag's key",
                "r.toml:7: job_tags of rule `fw`: `a,b` can be no tag's key",
                "r.toml:7: job_tags of rule `fw`: `ring` must be a text; \"*\" stands for any value",
                "r.toml:7: job_tags of rule `fw`: `owner`: `a,b` can match no tag's value",
                "r.toml:8: target_selection of rule `fw` must be \"SNAPSHOT\" or \"CONTINUOUS\"",
            ],
        );
        let many = |count| {
            let tags: Vec<_> = (0..count).map(|nth| format!("t{nth} = \"x\"")).collect();
            format!("job_tags = {{ {} }}", tags.join(", "))
        };
        check(&many(51), &["names 51 tags"]);
        Retention::parse("r.toml", &FINE.replacen(r#"job_ids = ["fw-*"]"#, &many(50), 1)).unwrap();
        check(&format!("job_tags = {{ {} = \"x\" }}", "k".repeat(129)), &["can be no tag's key"]);
    }

    #[test]
    fn what_runs_is_cancelled_only_where_force_is_said() {
        let with = |running: &str| {
            let cancel = format!("cancel_after = {{ QUEUED = \"2d\", IN_PROGRESS = {running} }}\n[default]");
            Retention::parse("r.toml", &FINE.replacen("[default]", &cancel, 1))
        };
        let rules = with(r#"{ after = "7d", force = true }"#).unwrap();
        let terms = &rules.rules[0].terms;
        let days = |days: i64| Limit::After(SignedDuration::from_hours(24 * days));
        assert_eq!((terms.cancel_after, terms.cancel_running_after), (days(2), days(7)));
        assert_eq!(with(r#""never""#).unwrap().rules[0].terms.cancel_running_after, Limit::Never);
        for bad in
            [r#""7d""#, r#"{ after = "7d" }"#, r#"{ after = "7d", force = false }"#, "{ force = true }", "7"]
        {
            assert_eq!(
                with(bad).unwrap_err().to_string(),
                "r.toml:10: cancel_after.IN_PROGRESS of rule `fw`: cancelling what runs takes force, which has \
                 to be said: write { after = \"7d\", force = true }, or \"never\"",
                "{bad}"
            );
        }
        let problem = with(r#"{ after = "0d", force = true }"#).unwrap_err().to_string();
        assert_eq!(
            problem,
            "r.toml:10: cancel_after.IN_PROGRESS of rule `fw` is `0d`: the least is one hour (1h)"
        );
        let problem = with(r#"{ after = "7d", force = true, also = 1 }"#).unwrap_err().to_string();
        assert!(problem.starts_with("r.toml:10: unknown key `also`"), "{problem}");
        let problem = problems("[default]", "cancel_after = { IN_PROGRESS = \"never\" }\n[default]");
        assert_eq!(
            problem,
            "r.toml:10: cancel_after of rule `fw` leaves out QUEUED; give it a duration or \"never\""
        );
    }

    #[test]
    fn whole_jobs_are_deleted_only_where_a_rule_says_true() {
        let told = |line: &str| {
            let text = FINE.replacen("[default]", &format!("{line}[default]"), 1);
            Retention::parse("r.toml", &text).map(|rules| rules.rules[0].terms.retire_jobs)
        };
        assert_eq!(told(""), Ok(false));
        assert_eq!(told("retire_jobs = false\n"), Ok(false));
        assert_eq!(told("retire_jobs = true\n"), Ok(true));
        for bad in ["1", "\"true\"", "\"always\"", "[]"] {
            assert_eq!(
                told(&format!("retire_jobs = {bad}\n")).unwrap_err().to_string(),
                "r.toml:10: retire_jobs of rule `fw` must be true (a finished job is deleted whole once \
                 everything of it is due) or false",
                "{bad}"
            );
        }
    }

    #[test]
    fn a_rule_that_deletes_nothing_deletes_no_whole_job() {
        let rule = |limits: &str| {
            let limits: String = FINE
                .lines()
                .map(|line| match line.split_once(" = { ") {
                    Some(("delete_after", _)) => format!("delete_after = {{ {limits} }}\n"),
                    _ => format!("{line}\n"),
                })
                .collect();
            Retention::parse("r.toml", &limits.replacen("[default]", "retire_jobs = true\n[default]", 1))
        };
        let never = r#"SUCCEEDED = "never", FAILED = "never", TIMED_OUT = "never", REJECTED = "never", REMOVED = "never", CANCELED = "never""#;
        assert_eq!(
            rule(never).unwrap_err().to_string(),
            "r.toml:10: retire_jobs of rule `fw` deletes no job, because its delete_after keeps every execution for \
             ever; leave it out, or give a status a duration"
        );
        assert!(rule(&never.replacen("never", "7d", 1)).is_ok());
    }

    #[test]
    fn a_rule_whose_jobs_an_earlier_rule_takes_is_an_error() {
        let check = |first: &str, second: &str, is_dead: bool| {
            let rule = |name: &str, scope: &str| {
                format!(
                    "[[rule]]\nname = \"{name}\"\n{scope}\narchive = \"summary\"\ndelete_after = {{ SUCCEEDED = \"7d\", \
                     FAILED = \"7d\", TIMED_OUT = \"7d\", REJECTED = \"7d\", REMOVED = \"7d\", CANCELED = \"7d\" }}\n"
                )
            };
            let rules = format!("{}{}[default]", rule("first", first), rule("second", second));
            let parsed = Retention::parse("r.toml", &FINE.replacen("[default]", &rules, 1));
            let told = "rule `second` decides nothing, because rule `first` before it is for all of its jobs; put \
                        `second` before `first`, or take it out";
            let told = is_dead.then(|| format!("r.toml:{}: {told}", 14 + first.lines().count()));
            assert_eq!(parsed.err().map(|problems| problems.to_string()), told, "{first} {second}");
        };
        let ids = |ids: &str| format!("job_ids = [{ids}]");
        check(&ids(r#""a-*""#), &ids(r#""a-1""#), true);
        check(&ids(r#""a-*", "b-*""#), &ids(r#""b-1", "a-*-x""#), true);
        check(&ids(r#""*-x*""#), &ids(r#""a*-x""#), true);
        check(&ids(r#""*""#), "target_selection = \"SNAPSHOT\"", true);
        check(&ids(r#""a-*""#), &ids(r#""a-1", "b-1""#), false);
        check(&ids(r#""a-1""#), &ids(r#""a-*""#), false);
        check(&ids(r#""a*b""#), &ids(r#""a*""#), false);
        check(&ids(r#""a-*""#), "target_selection = \"SNAPSHOT\"", false);
        let tags = |tags: &str| format!("job_tags = {{ {tags} }}");
        check(&tags("ring = \"*\""), &tags("ring = \"canary\", owner = \"x\""), true);
        check(&tags("ring = \"canary\""), &tags("ring = \"*\""), false);
        check(&tags("ring = \"*\", owner = \"*\""), &tags("ring = \"canary\""), false);
        let target = |word: &str| format!("target_selection = \"{word}\"");
        check(&target("SNAPSHOT"), &format!("{}\n{}", target("SNAPSHOT"), ids("\"a\"")), true);
        check(&target("SNAPSHOT"), &format!("{}\n{}", target("CONTINUOUS"), ids("\"a\"")), false);
        check(&format!("{}\n{}", target("SNAPSHOT"), ids("\"*\"")), &ids("\"a\""), false);
    }

    #[test]
    fn an_archive_is_a_summary_or_full() {
        let full = FINE.replacen(r#"archive = "summary""#, r#"archive = "full""#, 1);
        let rules = Retention::parse("r.toml", &full).unwrap();
        assert!(rules.archives_in_full("fw", Status::Failed));
        assert!(!rules.archives_in_full("default", Status::Failed));
        assert_eq!(
            problems(r#"archive = "summary""#, r#"archive = "none""#),
            "r.toml:9: archive of rule `fw` must be \"summary\" (what a listing tells) or \"full\" (what a \
             description tells, at a call for each)"
        );
        assert!(
            problems("archive = \"summary\"\n[default]", "[default]")
                .contains("archive of rule `fw` must be")
        );
    }

    #[test]
    fn the_last_successes_are_kept_by_number_and_not_for_ever() {
        let with = |keep: &str, successes: &str| {
            let limits = format!("{keep}\n[default]");
            Retention::parse(
                "r.toml",
                &FINE.replacen("SUCCEEDED = \"7d\"", successes, 1).replace("[default]", &limits),
            )
        };
        let seven = "SUCCEEDED = \"7d\"";
        let keeps = |keep| with(keep, seven).unwrap().keeps_last("fw").map(NonZeroU32::get);
        assert_eq!((keeps("keep_last = 1"), keeps("keep_last = 100"), keeps("")), (Some(1), Some(100), None));
        for bad in ["0", "101", "-1", "\"3\"", "1.5", "0x10"] {
            let problem = with(&format!("keep_last = {bad}"), seven).unwrap_err().to_string();
            assert!(
                problem.contains("keep_last of rule `fw` must be a whole number from 1 to 100"),
                "{problem}"
            );
        }
        let problem = with("keep_last = 1\nretire_jobs = true", seven).unwrap_err().to_string();
        assert!(problem.contains("retire_jobs and keep_last of rule `fw` exclude each other"), "{problem}");
        assert!(with("keep_last = 1\nretire_jobs = false", seven).is_ok());
        let problem = with("keep_last = 1", "SUCCEEDED = \"never\"").unwrap_err().to_string();
        assert!(problem.contains("keeps what SUCCEEDED = \"never\" keeps already"), "{problem}");
    }

    #[test]
    fn a_missing_default_and_a_missing_breaker_are_errors() {
        let problems = Retention::parse("r.toml", "").unwrap_err().to_string();
        assert!(problems.contains("needs [breaker]") && problems.contains("needs [default]"), "{problems}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        assert!(problems("[default]", "[default").starts_with("r.toml:10: "));
    }

    #[test]
    fn two_rules_may_not_share_a_name() {
        let second = "[[rule]]\nname = \"fw\"\njob_ids = [\"x\"]\narchive = \"summary\"\ndelete_after = { SUCCEEDED = \"7d\", FAILED = \"7d\", TIMED_OUT = \"7d\", REJECTED = \"7d\", REMOVED = \"7d\", CANCELED = \"7d\" }\n[default]";
        assert_eq!(
            problems("[default]", second),
            "r.toml:10: the name `fw` is taken; give each rule its own"
        );
    }

    #[test]
    fn the_shortest_limit_is_an_hour_and_the_longest_ten_years() {
        let limit = |text: &str| {
            let text = FINE.replacen(r#"SUCCEEDED = "7d""#, &format!("SUCCEEDED = \"{text}\""), 1);
            Retention::parse("r.toml", &text)
                .map(|rules| rules.rules[0].terms.delete_after[&Status::Succeeded])
        };
        assert_eq!(limit("1h"), Ok(Limit::After(SignedDuration::from_hours(1))));
        assert_eq!(limit("3650d"), Ok(Limit::After(SignedDuration::from_hours(87_600))));
        for bad in ["0h", "3650d 1h", "99999999999999999999w"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_needs_a_name_that_can_be_read() {
        for bad in ["\"\"", "\" \"", "7"] {
            assert_eq!(problems(r#"name = "fw""#, &format!("name = {bad}")), "r.toml:6: name must be a text");
        }
        assert!(problems("name = \"fw\"\n", "").contains("a rule needs a name"));
    }
}
