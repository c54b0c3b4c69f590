//! `jobwarden policy`, as an operator runs it before deploying.

#![expect(clippy::unwrap_used, reason = "clippy's allowance for tests does not reach what tests share")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

/// A folder with the shipped policies and cases, changed by a test.
fn folder(name: &str, change: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("tests")).unwrap();
    for file in ["access.cedar", "retention.toml"] {
        fs::copy(policies().join(file), folder.join(file)).unwrap();
    }
    for entry in fs::read_dir(policies().join("tests")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join("tests").join(entry.file_name())).unwrap();
    }
    change(&folder);
    folder
}

/// Whether it succeeded, and all that it said.
fn run(command: &str, folder: &Path) -> (bool, String) {
    let mut jobwarden = Command::new(env!("CARGO_BIN_EXE_jobwarden"));
    let output = jobwarden.args(["policy", command]).arg(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn shipped_cases() -> u32 {
    let (_, said) = run("test", &policies());
    let cases = said.lines().find_map(|line| line.strip_suffix(" cases, all as expected")).unwrap();
    cases.parse().unwrap()
}

/// What is told of an execution at noon on 2026-11-22.
fn explained(status: &str, execution: &str) -> (bool, String) {
    let mut jobwarden = Command::new(env!("CARGO_BIN_EXE_jobwarden"));
    let question = ["--status", status, "--execution", execution, "--now", "2026-11-22T12:00:00Z"];
    let output = jobwarden.args(["policy", "explain"]).args(question).arg(policies()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn an_execution_is_explained_by_the_rule_that_decides_for_it() {
    let check = |status, execution, delete_expired: &str, cancel_stale: &str| {
        let expected = format!("delete-expired: {delete_expired}\ncancel-stale: {cancel_stale}\n");
        assert_eq!(explained(status, execution), (true, expected), "{status} {execution}");
    };
    let ended = "kept by rule `default`: ended";
    check(
        "SUCCEEDED",
        r#"{"lastUpdatedAge": "31d", "queuedAge": "40d"}"#,
        "due since 2026-11-21T12:00:00Z by rule `default`; permitted by policy `sweeper-deletes-expired`",
        ended,
    );
    let young = r#"{"lastUpdatedAge": "89d", "queuedAge": "99d"}"#;
    check("FAILED", young, "kept by rule `default`: notYet, due at 2026-11-23T12:00:00Z", ended);
    let retried = r#"{"lastUpdatedAge": "91d", "queuedAge": "99d", "retryAttempt": 1, "jobRetryLimits": {"failed": 2}}"#;
    check("FAILED", retried, "kept by rule `default`: retriesLeft", ended);
    check(
        "TIMED_OUT",
        r#"{"lastUpdatedAge": "91d", "queuedAge": "99d", "jobTags": {"jobwarden:hold": "audit"}}"#,
        "due since 2026-11-21T12:00:00Z by rule `default`; refused by policy `held-jobs-are-untouchable`: \
         the job is tagged jobwarden:hold; remove the tag to release it",
        ended,
    );
    check(
        "QUEUED",
        r#"{"jobId": "keep-1", "queuedAge": "99d"}"#,
        "kept by rule `keep`: active",
        "kept by rule `keep`: never",
    );
    check(
        "QUEUED",
        r#"{"queuedAge": "61d"}"#,
        "kept by rule `default`: active",
        "due since 2026-11-21T12:00:00Z by rule `default`; permitted by policy `sweeper-cancels-stale`",
    );
}

#[test]
fn a_question_that_makes_no_sense_is_told() {
    let check = |status, execution, problem: &str| {
        let (fine, said) = explained(status, execution);
        assert!(!fine && said.contains(problem), "{said}");
    };
    check("DONE", "{}", "there are QUEUED, IN_PROGRESS, SUCCEEDED");
    check("FAILED", "{", "--execution: EOF");
    check("FAILED", r#"{"job": "fw"}"#, "--execution: unknown field `job`");
    check("FAILED", r#"{"queuedAge": "soon"}"#, "--execution: queuedAge: `soon` is no age: write weeks");
    check(
        "FAILED",
        r#"{"queuedAge": "5000000d"}"#,
        "--execution: queuedAge: `5000000d` before 2026-11-22T12:00:00Z is before the year 0",
    );
}

fn append(file: &Path, text: &str) {
    let before = fs::read_to_string(file).unwrap();
    fs::write(file, format!("{before}{text}")).unwrap();
}

#[test]
fn the_shipped_policies_pass_at_least_two_hundred_cases_and_each_decides_some() {
    let (fine, said) = run("test", &policies());
    assert!(fine, "{said}");
    assert!(shipped_cases() >= 200, "{said}");
    assert!(!said.contains("decides no case"), "{said}");
}

#[test]
fn every_example_passes_its_cases_beside_the_shipped_policies() {
    let mut examples = 0;
    for entry in fs::read_dir(policies().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cedar") {
            continue;
        }
        examples += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let folder = folder(&format!("example-{name}"), |folder| {
            append(&folder.join("access.cedar"), &format!("\n{}", fs::read_to_string(&path).unwrap()));
            let cases = path.with_extension("toml");
            // The shipped cases know nothing of the example; its own stand alone.
            fs::remove_dir_all(folder.join("tests")).unwrap();
            fs::create_dir(folder.join("tests")).unwrap();
            fs::copy(cases, folder.join("tests/example.toml")).unwrap();
        });
        let (fine, said) = run("test", &folder);
        assert!(fine, "{name}: {said}");
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| line.starts_with("@id")) {
            let id = line.trim_start_matches("@id(\"").trim_end_matches("\")");
            assert!(!said.contains(&format!("`{id}` decides no case")), "{name}: {said}");
        }
    }
    assert!(examples >= 5, "{examples}");
}

/// The blocks of code of a language in a chapter of the policy cookbook.
fn chapter(title: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(policies().join("../docs/policies.md")).unwrap();
    let chapter = page.split("\n## ").find(|chapter| chapter.starts_with(title)).unwrap();
    let blocks = chapter.split("\n```").filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'));
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_cookbook_can_be_followed_to_a_policy_of_ones_own() {
    let [policy, cases] = ["cedar", "toml"].map(|language| chapter("Write your own policy", language));
    assert_eq!((policy.len(), cases.len()), (1, 1));
    let folder = folder("cookbook", |folder| {
        append(&folder.join("access.cedar"), &format!("\n{}", policy[0]));
        fs::write(folder.join("tests/ring.toml"), &cases[0]).unwrap();
    });
    let (fine, said) = run("test", &folder);
    assert!(fine && said.contains(&format!("{} cases, all as expected", shipped_cases() + 8)), "{said}");
    assert!(!said.contains("decides no case"), "{said}");
}

#[test]
fn a_broken_policy_is_told_with_file_line_and_cause() {
    let lines = fs::read_to_string(policies().join("access.cedar")).unwrap().lines().count();
    for (name, text, told) in [
        ("syntax", "permit (principal, action resource);", "unexpected token `resource`"),
        (
            "typo",
            "@id(\"x\") @reason(\"r\") forbid (principal is Jobwarden::User, action == Jobwarden::Action::\"CancelJobExecution\", resource) when { resource.statsu == Jobwarden::Status::\"QUEUED\" };",
            "statsu",
        ),
        (
            "status",
            "@id(\"x\") @reason(\"r\") forbid (principal, action == Jobwarden::Action::\"CancelJobExecution\", resource) when { resource.status == Jobwarden::Status::\"PAUSED\" };",
            "PAUSED",
        ),
        ("anonymous", "forbid (principal, action, resource);", "needs @id"),
        (
            "twice",
            "@id(\"operators-cancel-waiting\") @reason(\"r\") forbid (principal, action, resource);",
            "used twice",
        ),
        (
            "warning",
            "@id(\"x\") @reason(\"r\") forbid (principal, action == Jobwarden::Action::\"ReadSweep\", resource is Jobwarden::JobExecution);",
            "impossible",
        ),
    ] {
        let folder = folder(&format!("broken-{name}"), |folder| {
            append(&folder.join("access.cedar"), &format!("{text}\n"));
        });
        for command in ["check", "test"] {
            let (fine, said) = run(command, &folder);
            assert!(!fine, "{name}: {said}");
            assert!(said.contains(&format!("access.cedar:{}: ", lines + 1)), "{name}: {said}");
            assert!(said.contains(told), "{name}: {said}");
        }
    }
}

#[test]
fn a_case_that_fails_is_told_with_file_line_and_what_came_instead() {
    let folder = folder("failing", |folder| {
        let cases = "[[case]]\nname = \"anybody may\"\ngroup = [\"x\", \"jobwarden-operators\"]\naction = \"CancelJobExecution\"\n\
                     status = \"QUEUED\"\ndecision = \"allow\"\npolicies = [\"y\"]\n";
        fs::write(folder.join("tests/mine.toml"), cases).unwrap();
    });
    let (fine, said) = run("test", &folder);
    assert!(!fine, "{said}");
    assert!(said.contains("mine.toml:2: case `anybody may` (arn:aws:sts::123456789012:assumed-role/x/somebody CancelJobExecution of QUEUED, "), "{said}");
    assert!(said.contains("expected allow by `y`, but it is noPermit"), "{said}");
    assert!(said.contains("expected allow by `y`, but it is allow by `operators-cancel-waiting`"), "{said}");
    assert!(said.contains(&format!("2 of {} cases failed", shipped_cases() + 2)), "{said}");
}

#[test]
fn a_case_that_no_policy_permits_is_told_with_the_condition_that_is_not_met() {
    let folder = folder("unmet", |folder| {
        let policy = "@id(\"night\") @reason(\"r\") permit (principal in Jobwarden::Group::\"night\", action == \
                      Jobwarden::Action::\"CancelJobExecution\", resource) \
                      when { resource.status == Jobwarden::Status::\"QUEUED\" && !context.force };\n";
        append(&folder.join("access.cedar"), policy);
        let cases = "[[case]]\nname = \"by night\"\ngroup = \"night\"\naction = \"CancelJobExecution\"\n\
                     status = \"IN_PROGRESS\"\ndecision = \"allow\"\n";
        fs::write(folder.join("tests/mine.toml"), cases).unwrap();
    });
    let (fine, said) = run("test", &folder);
    let told = "expected allow, but it is noPermit; policy `night` would, but for its condition \
                `resource.status == Jobwarden::Status::\"QUEUED\"`";
    assert!(!fine && said.contains(told), "{said}");
}

#[test]
fn a_case_that_makes_no_sense_is_told() {
    let case = "[[case]]\nname = \"n\"\naction = \"CancelJobExecution\"\ndecision = \"allow\"\n";
    for (name, text, told) in [
        ("nobody", case.to_owned(), "mine.toml:2: case `n`: needs one of group, user and sweeper"),
        ("status", format!("{case}group = \"x\"\n"), "mine.toml:2: case `n`: needs a status"),
        ("unknown", format!("{case}colour = \"red\"\n"), "mine.toml:5: unknown field `colour`"),
        ("empty", format!("{case}group = []\nstatus = \"QUEUED\"\n"), "has an empty list"),
        (
            "age",
            format!("{case}group = \"x\"\nstatus = \"QUEUED\"\nexecution = {{ queuedAge = \"1mo\" }}\n"),
            "mine.toml:2: case `n`: queuedAge: `1mo` is no age: months and years have no fixed length; ",
        ),
        (
            "time",
            format!("{case}group = \"x\"\nstatus = \"QUEUED\"\nnow = \"noon\"\n"),
            "mine.toml:2: case `n`: now: `noon` must be a time such as",
        ),
        (
            "year",
            format!("{case}group = \"x\"\nstatus = \"QUEUED\"\nnow = \"-000001-01-01T00:00:00Z\"\n"),
            "mine.toml:2: case `n`: now: `-000001-01-01T00:00:00Z` must be a time such as 2026-11-23T07:00:00Z, from 1970 on",
        ),
        (
            "name",
            format!("{case}group = \"x\"\nstatus = \"QUEUED\"\nexecution = {{ jobId = \"a b\" }}\n"),
            "jobId",
        ),
    ] {
        let folder = folder(&format!("case-{name}"), |folder| {
            fs::write(folder.join("tests/mine.toml"), text).unwrap();
        });
        let (fine, said) = run("test", &folder);
        assert!(!fine && said.contains(told), "{name}: {said}");
    }
    let empty = folder("no-cases", |folder| fs::remove_dir_all(folder.join("tests")).unwrap());
    assert!(!run("test", &empty).0);
    assert!(run("check", &empty).0);
}

#[test]
fn broken_policies_and_rules_are_told_together() {
    let folder = folder("both", |folder| {
        append(&folder.join("access.cedar"), "permit");
        append(&folder.join("retention.toml"), "colour = 1\n");
    });
    let (fine, said) = run("check", &folder);
    assert!(!fine && said.contains("access.cedar:") && said.contains("retention.toml:"), "{said}");
}
