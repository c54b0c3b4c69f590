//! Retention rules of a case: made up, written as the file that the product reads, and kept for the oracle.

use std::fmt::Write;

use shared::execution::Status;

use crate::oracle::fits;
use crate::rng::Rng;

pub(crate) const TERMINAL: [Status; 6] = [
    Status::Succeeded,
    Status::Failed,
    Status::TimedOut,
    Status::Rejected,
    Status::Removed,
    Status::Canceled,
];

/// Hours, and how they are written.
const LIMITS: [(i64, &str); 7] =
    [(1, "1h"), (2, "2h"), (24, "1d"), (36, "1d 12h"), (168, "7d"), (720, "30d"), (2160, "90d")];

/// One rule. `None` keeps for ever.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) job_ids: Vec<&'static str>,
    pub(crate) job_tags: Vec<(&'static str, &'static str)>,
    pub(crate) continuous: Option<bool>,
    /// Hours, in the order of [`TERMINAL`].
    pub(crate) delete_after: [Option<i64>; 6],
    /// How many of its newest successes a thing keeps.
    pub(crate) keep_last: Option<usize>,
    pub(crate) cancel_after: Option<i64>,
    /// For what runs, by force.
    pub(crate) cancel_running_after: Option<i64>,
    /// Whether its records keep everything that AWS tells.
    pub(crate) full: bool,
    /// Whether finished jobs are deleted whole.
    pub(crate) retires: bool,
}

/// A whole file of them.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// In their order.
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: Rule,
    pub(crate) max_actions: u64,
}

impl Rule {
    fn random(rng: &mut Rng, name: &str) -> Self {
        let mut limit = |keeps: usize| (!rng.chance(keeps)).then(|| rng.pick(&LIMITS).0);
        let all = limit(15);
        let mut delete_after = [all; 6];
        for of_one in &mut delete_after {
            if limit(50).is_some() {
                *of_one = limit(15);
            }
        }
        let cancel_after = limit(15);
        let cancel_running_after = limit(60);
        let keep_last = delete_after[0].and_then(|_| rng.weighted(&[(6, None), (3, Some(1)), (1, Some(2))]));
        Self {
            name: name.to_owned(),
            job_ids: Vec::new(),
            job_tags: Vec::new(),
            continuous: None,
            delete_after,
            keep_last,
            cancel_after,
            cancel_running_after,
            full: rng.chance(30),
            // A rule cannot do both, and has to delete something.
            retires: keep_last.is_none() && rng.chance(60) && delete_after.iter().any(Option::is_some),
        }
    }

    fn scoped(rng: &mut Rng, name: &str) -> Self {
        let mut rule = Self::random(rng, name);
        while rule.job_ids.is_empty() && rule.job_tags.is_empty() && rule.continuous.is_none() {
            if rng.chance(60) {
                let patterns = ["fw-*", "*-1", "cfg-1", "keep-*", "f*-*1", "*"];
                rule.job_ids = (0..=rng.below(2)).map(|_| rng.pick(&patterns)).collect();
            }
            if rng.chance(35) {
                let tags = [("ring", "canary*"), ("ring", "*"), ("ring", "stable"), ("owner", "")];
                rule.job_tags.push(rng.pick(&tags));
            }
            if rng.chance(20) {
                rule.continuous = Some(rng.chance(50));
            }
        }
        rule
    }

    /// Whether it is for every job that `later` is for; what fits a pattern's `*` may be anything.
    fn covers(&self, later: &Self) -> bool {
        let fits_one = |id: &str| self.job_ids.iter().any(|pattern| fits(pattern, id));
        let by_ids = match later.job_ids.as_slice() {
            _ if self.job_ids.is_empty() => true,
            [] => fits_one("*"),
            ids => ids.iter().all(|id| fits_one(id)),
        };
        let is_wanted = |(key, wanted): &(&str, &str)| {
            later.job_tags.iter().any(|(other, value)| key == other && fits(wanted, value))
        };
        let by_target = self.continuous.is_none() || self.continuous == later.continuous;
        by_ids && by_target && self.job_tags.iter().all(is_wanted)
    }

    /// Every limit of it.
    pub(crate) fn limits(&self) -> impl Iterator<Item = i64> {
        self.delete_after.into_iter().chain([self.cancel_after, self.cancel_running_after]).flatten()
    }

    fn write(&self, text: &mut String) {
        let told = |limit: Option<i64>| {
            let found = LIMITS.iter().find(|(hours, _)| Some(*hours) == limit);
            found.map_or("never", |(_, text)| *text)
        };
        let limits: Vec<_> = TERMINAL
            .iter()
            .zip(self.delete_after)
            .map(|(status, limit)| format!("{status} = \"{}\"", told(limit)))
            .collect();
        let _ = writeln!(text, "delete_after = {{ {} }}", limits.join(", "));
        if let Some(last) = self.keep_last {
            let _ = writeln!(text, "keep_last = {last}");
        }
        // Left out is kept, as "never" is.
        let waits = told(self.cancel_after);
        if let Some(runs) = self.cancel_running_after {
            let runs = format!("{{ after = \"{}\", force = true }}", told(Some(runs)));
            let _ = writeln!(text, "cancel_after = {{ QUEUED = \"{waits}\", IN_PROGRESS = {runs} }}");
        } else if self.cancel_after.is_some() || self.job_ids.is_empty() {
            let _ = writeln!(text, "cancel_after = {{ QUEUED = \"{waits}\" }}");
        }
        let _ = writeln!(text, "archive = \"{}\"", if self.full { "full" } else { "summary" });
        if self.retires {
            let _ = writeln!(text, "retire_jobs = true");
        }
    }
}

impl Rules {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let count = rng.weighted(&[(4, 0), (4, 1), (2, 2), (1, 3)]);
        let mut rules: Vec<Rule> = Vec::new();
        for nth in 0..count {
            let rule = Rule::scoped(rng, &format!("rule-{nth}"));
            // A rule that never decides is refused.
            if !rules.iter().any(|earlier| earlier.covers(&rule)) {
                rules.push(rule);
            }
        }
        let max_actions = rng.weighted(&[(12, 10_000), (1, 1), (1, 2), (1, 4), (1, 6)]);
        Self { rules, default: Rule::random(rng, "default"), max_actions }
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("[breaker]\nmax_actions = {}\nmax_percent = 100\nmax_growth = 10\n", self.max_actions);
        for rule in &self.rules {
            let _ = writeln!(text, "[[rule]]\nname = \"{}\"", rule.name);
            if !rule.job_ids.is_empty() {
                let _ = writeln!(text, "job_ids = {:?}", rule.job_ids);
            }
            let tags: Vec<_> =
                rule.job_tags.iter().map(|(key, value)| format!("{key} = \"{value}\"")).collect();
            if !tags.is_empty() {
                let _ = writeln!(text, "job_tags = {{ {} }}", tags.join(", "));
            }
            if let Some(continuous) = rule.continuous {
                let word = if continuous { "CONTINUOUS" } else { "SNAPSHOT" };
                let _ = writeln!(text, "target_selection = \"{word}\"");
            }
            rule.write(&mut text);
        }
        text.push_str("[default]\n");
        self.default.write(&mut text);
        text
    }

    /// Every limit of every rule.
    pub(crate) fn limits(&self) -> Vec<i64> {
        self.rules.iter().chain([&self.default]).flat_map(Rule::limits).collect()
    }
}
