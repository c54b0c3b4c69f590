//! The commands that need no stack, as an operator runs them. Those that do are in `tests/e2e/test_cli.py`.

#![expect(clippy::unwrap_used, reason = "clippy's allowance for tests does not reach what tests share")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("commands-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs it with nothing of the developer's own environment.
fn jobwarden(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobwarden"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
    command.current_dir(root()).args(arguments).output().unwrap()
}

/// The exit code, what it said, and what it complained of.
fn told(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = jobwarden(arguments, &[]);
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A record of the archive: of a failure that a sweep deleted 95 days after it.
fn record(thing: &str, origin: &str, rule: Option<&str>) -> Value {
    let principal = "arn:aws:sts::123456789012:assumed-role/jobwarden-operators/anna";
    let mut record = json!({
        "format": 1,
        "action": "DeleteJobExecution",
        "force": false,
        "principal": if rule.is_some() { "sweeper delete-expired" } else { principal },
        "origin": origin,
        "decidedAt": "2026-11-21T02:00:00Z",
        "policies": [{"id": "p", "reason": "r"}],
        "policySource": "compiled",
        "policyDigest": "d",
        "job": {
            "jobId": "fw-7", "arn": "arn:aws:iot:eu-west-1:123456789012:job/fw-7", "retries": false,
            "retryLimits": {"failed": 0, "timedOut": 0}, "status": "COMPLETED", "continuous": false, "tags": {},
        },
        "archive": "summary",
        "execution": {
            "thingName": thing, "executionNumber": 1, "status": "FAILED", "queuedAt": "2026-08-18T01:00:00Z",
            "startedAt": "2026-08-18T01:30:00Z", "lastUpdatedAt": "2026-08-18T02:00:00Z",
        },
    });
    if let (Some(rule), Some(record)) = (rule, record.as_object_mut()) {
        record.insert("rule".to_owned(), json!(rule));
        record.insert("dueSince".to_owned(), json!("2026-11-16T02:00:00Z"));
    }
    record
}

const SWEEP: &str = "20261121T020000Z-delete-expired-1a2b3c4d";

/// What somebody has copied of an archive: two records of a sweep, and one of a caller.
fn archive(name: &str) -> PathBuf {
    let folder = scratch(name);
    let write = |day: &str, origin: &str, records: &[Value]| {
        let folder = folder.join(format!("date={day}/sweep={origin}"));
        fs::create_dir_all(&folder).unwrap();
        let lines: Vec<_> = records.iter().map(Value::to_string).collect();
        fs::write(folder.join("page.jsonl"), lines.join("\n")).unwrap();
    };
    let sweep = [record("pump-1", SWEEP, Some("default")), record("pump-2", SWEEP, Some("default"))];
    write("2026-11-21", SWEEP, &sweep);
    write("2026-11-22", "api", &[record("pump-3", "request-1", None)]);
    folder
}

fn things(arguments: &[&str], folder: &Path) -> Vec<String> {
    let all = [&["archive", "search", "--output", "json", "--records", folder.to_str().unwrap()], arguments]
        .concat();
    let (code, said, complaint) = told(&all);
    assert_eq!(code, 0, "{complaint}");
    let found = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let thing = |found: Value| found.pointer("/record/execution/thingName")?.as_str().map(str::to_owned);
    found.map(|found| thing(found).unwrap()).collect()
}

#[test]
fn a_search_finds_what_fits_everything_that_is_named() {
    let folder = archive("search");
    let all = ["pump-1", "pump-2", "pump-3"];
    assert_eq!(things(&[], &folder), all);
    assert_eq!(things(&["--job", "fw-7", "--from", "2026-11-21", "--to", "2026-11-22"], &folder), all);
    assert_eq!(things(&["--thing", "pump-2"], &folder), ["pump-2"]);
    assert_eq!(things(&["--rule", "default"], &folder), ["pump-1", "pump-2"]);
    assert_eq!(things(&["--sweep", SWEEP, "--thing", "pump-1"], &folder), ["pump-1"]);
    assert_eq!(things(&["--sweep", "api"], &folder), ["pump-3"]);
    assert_eq!(things(&["--from", "2026-11-22"], &folder), ["pump-3"]);
    assert_eq!(things(&["--limit", "1"], &folder), ["pump-1"]);
    assert_eq!(things(&["--job", "fw"], &folder), [""; 0]);
    let (_, table, _) =
        told(&["archive", "search", "--records", folder.to_str().unwrap(), "--thing", "pump-3"]);
    assert!(table.contains("jobwarden-operators/anna") && table.ends_with("1 record\n"), "{table}");
}

#[test]
fn what_a_record_says_cannot_steer_a_terminal() {
    let folder = scratch("escapes");
    let bad = record("pump-1", SWEEP, Some("\u{1b}[2Jrule\u{9b}1m\u{202e}"));
    fs::write(folder.join("page.jsonl"), bad.to_string()).unwrap();
    for format in ["table", "json"] {
        let path = folder.to_str().unwrap();
        let (code, said, _) = told(&["archive", "search", "--records", path, "--output", format]);
        assert_eq!(code, 0);
        assert!(said.contains("rule") && !said.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{said:?}");
    }
}

#[test]
fn an_archive_that_cannot_be_read_is_not_passed_over() {
    let folder = scratch("unreadable");
    fs::write(folder.join("page.jsonl"), "{}\n").unwrap();
    let (code, _, complaint) = told(&["archive", "search", "--records", folder.to_str().unwrap()]);
    assert_eq!(code, 5);
    assert!(complaint.contains("page.jsonl, line 1, cannot be read"), "{complaint}");
    let (code, _, complaint) = told(&["archive", "search", "--records", "nowhere"]);
    assert_eq!((code, complaint.as_str()), (2, "nowhere: No such file or directory (os error 2)\n"));
}

/// JSON on the command line and in files is read as bodies of the API are.
#[test]
fn json_that_repeats_a_member_is_refused_and_a_byte_order_mark_only_begins_a_file() {
    let twice = r#"{"jobTags": {"hold": "true", "hold": "false"}}"#;
    let explain =
        |execution| told(&["policy", "explain", "--status", "FAILED", "--execution", execution, "policies"]);
    let api = ["--api", "http://127.0.0.1:1/v1"];
    let decide = |execution| {
        told(&[&["decide", "cancel", "--status", "QUEUED", "--execution", execution], &api[..]].concat())
    };
    for ask in [&explain as &dyn Fn(&'static str) -> (i32, String, String), &decide] {
        let (code, _, complaint) = ask(twice);
        assert!(code == 2 && complaint.contains("--execution: the member `hold` is repeated"), "{complaint}");
        for no_object in ["null", "[]", "[\"fw\"]"] {
            let (code, _, complaint) = ask(no_object);
            assert!(code == 2 && complaint.contains("expected a"), "{no_object}: {complaint}");
        }
    }
    assert_eq!(
        explain(r#"{"jobTags": null, "jobRetryLimits": {"failed": null}, "retryAttempt": null}"#).0,
        0
    );
    assert!(explain(r#"{"jobTags": {"hold": null}}"#).2.contains("invalid type: null"));

    let folder = scratch("strict");
    let fleet = |line: &str| {
        let file = folder.join("fleet.jsonl");
        fs::write(&file, line).unwrap();
        told(&["policy", "diff", "policies", "--fleet", file.to_str().unwrap()])
    };
    let fine = r#"{"status": "FAILED", "execution": {"jobTags": {"hold": "true"}}}"#;
    assert_eq!(fleet(fine).0, 0);
    assert_eq!(
        fleet(r#"{"status": "FAILED", "execution": null, "count": null, "group": null, "force": null}"#).0,
        0
    );
    let (code, _, complaint) = fleet(&format!(r#"{{"status": "FAILED", "execution": {twice}}}"#));
    assert!(code == 2 && complaint.contains("fleet.jsonl:1: the member `hold` is repeated"), "{complaint}");
    assert_eq!(fleet(&format!("\u{feff}{fine}")).0, 0, "a byte order mark begins a file");
    let (code, _, complaint) = fleet(&format!("{fine}\n\u{feff}{fine}"));
    assert!(
        code == 2 && complaint.contains("fleet.jsonl:2: it begins with a byte order mark"),
        "{complaint}"
    );

    let archived = |text: &str| {
        let file = folder.join("page.jsonl");
        fs::write(&file, text).unwrap();
        told(&["archive", "search", "--records", file.to_str().unwrap()])
    };
    let fine = record("pump-1", SWEEP, Some("default")).to_string();
    assert_eq!(archived(&fine).0, 0);
    let (code, _, complaint) = archived(&fine.replace("\"tags\":{}", r#""tags":{"a":"b","a":"c"}"#));
    assert!(code == 5 && complaint.contains("page.jsonl, line 1, cannot be read"), "{complaint}");
    assert!(complaint.contains("the member `a` is repeated"), "{complaint}");
    assert_eq!(archived(&format!("\u{feff}{fine}")).0, 0, "a byte order mark begins a file");
}

#[test]
fn a_time_before_1970_is_told_as_itself() {
    let ask = |command: &[&str]| told(&[command, &["--now=-000001-01-01T00:00:00Z"]].concat());
    for command in [
        &["policy", "explain", "policies", "--status", "FAILED"][..],
        &["policy", "diff", "policies"],
        &["decide", "cancel", "--status", "QUEUED"],
    ] {
        let (code, _, complaint) = ask(command);
        let expected = "`-000001-01-01T00:00:00Z` must be a time such as 2026-11-23T07:00:00Z, from 1970 on";
        assert!(code == 2 && complaint.contains(expected), "{complaint}");
    }
}

/// The shipped policies, changed.
fn policies(name: &str, rules: impl Fn(&str) -> String, more: &str) -> PathBuf {
    let folder = scratch(name);
    let read = |file: &str| fs::read_to_string(root().join("policies").join(file)).unwrap();
    let changed = rules(&read("retention.toml"));
    fs::write(folder.join("retention.toml"), changed).unwrap();
    fs::write(folder.join("access.cedar"), format!("{}\n{more}", read("access.cedar"))).unwrap();
    folder
}

fn difference(arguments: &[&str]) -> (i32, Value) {
    let (code, said, complaint) = told(&[&["policy", "diff", "--output", "json"], arguments].concat());
    assert!(complaint.is_empty(), "{complaint}");
    (code, serde_json::from_str(&said).unwrap())
}

#[test]
fn a_backtest_tells_what_would_have_stayed() {
    let records = archive("backtest");
    let records = ["--records", records.to_str().unwrap()];
    let (code, same) = difference(&[&["policies"][..], &records].concat());
    assert_eq!((code, &same["decisions"], &same["same"]), (0, &json!(3), &json!(3)));

    let longer = policies("longer", |rules| rules.replace("FAILED = \"90d\"", "FAILED = \"120d\""), "");
    let (code, changed) = difference(&[&[longer.to_str().unwrap()][..], &records].concat());
    assert_eq!(
        (code, &changed["decisions"], &changed["changed"], &changed["same"]),
        (1, &json!(3), &json!(2), &json!(1))
    );
    let change = &changed["changes"][0];
    assert_eq!((&change["before"]["effect"], &change["after"]["effect"]), (&json!("done"), &json!("kept")));
    assert_eq!(change["after"]["why"], "kept by rule `default`: notYet");
    assert_eq!((&change["count"], &change["example"]), (&json!(2), &json!("fw-7 on pump-1")));
    let (_, back) =
        difference(&[&["policies", "--against", longer.to_str().unwrap()][..], &records].concat());
    assert_eq!(back["changes"][0]["before"], change["after"]);
    let (_, later) =
        difference(&[&[longer.to_str().unwrap(), "--now", "2027-01-01T00:00:00Z"][..], &records].concat());
    assert_eq!(later["changed"], 0, "by then the longer time is over, too");
    let (_, of_a_day) =
        difference(&[&[longer.to_str().unwrap(), "--from", "2026-11-22"][..], &records].concat());
    assert_eq!((&of_a_day["decisions"], &of_a_day["changed"]), (&json!(1), &json!(0)));
}

#[test]
fn a_backtest_tells_who_would_be_refused_and_what_it_cannot_tell() {
    let records = archive("backtest-access");
    let records = ["--records", records.to_str().unwrap()];
    let nobody = "@id(\"not-pump-3\") @reason(\"a test\") forbid (principal is Jobwarden::User, \
                  action == Jobwarden::Action::\"DeleteJobExecution\", resource) when { resource.thingName == \"pump-3\" };";
    let folder = policies("refuses", str::to_owned, nobody);
    let (code, changed) = difference(&[&[folder.to_str().unwrap()][..], &records].concat());
    assert_eq!((code, &changed["changed"]), (1, &json!(1)));
    assert_eq!(changed["changes"][0]["after"], json!({"effect": "refused", "why": "refused: not-pump-3"}));
    assert_eq!(changed["changes"][0]["example"], "fw-7 on pump-3");

    // A summary does not keep the version, so nothing can be said of a policy that asks for it.
    let asks = "@id(\"asks\") @reason(\"a test\") forbid (principal, action == Jobwarden::Action::\"DeleteJobExecution\", \
                resource) when { resource.versionNumber == 7 };";
    let folder = policies("asks", str::to_owned, asks);
    let (code, open) = difference(&[&[folder.to_str().unwrap()][..], &records].concat());
    assert_eq!((code, &open["changed"], &open["cannotBeTold"]), (0, &json!(0), &json!(3)));
}

#[test]
fn a_fleet_that_is_described_is_compared_by_its_numbers() {
    let folder = scratch("fleet");
    let fleet = folder.join("fleet.jsonl");
    let lines = [
        json!({"status": "FAILED", "execution": {"lastUpdatedAge": "100d", "queuedAge": "101d"}, "count": 400}),
        json!({"status": "QUEUED", "execution": {"queuedAge": "10d"}, "count": 7}),
        json!({"status": "QUEUED", "action": "CancelJobExecution", "group": "jobwarden-operators"}),
    ];
    fs::write(&fleet, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let longer = policies("fleet-longer", |rules| rules.replace("FAILED = \"90d\"", "FAILED = \"120d\""), "");
    let fleet = ["--fleet", fleet.to_str().unwrap(), "--now", "2026-11-22T12:00:00Z"];
    let (code, changed) = difference(&[&[longer.to_str().unwrap()][..], &fleet].concat());
    // Each of the first two is judged for both sweeps.
    assert_eq!((code, &changed["decisions"], &changed["changed"]), (1, &json!(815), &json!(400)));
    assert_eq!(changed["changes"][0]["decision"], "delete-expired");
    let all = [&["policy", "diff", longer.to_str().unwrap()][..], &fleet].concat();
    let (_, table, _) = told(&all);
    assert!(
        table.ends_with("815 decisions: 400 change, 415 are the same, 0 are the same for another reason\n"),
        "{table}"
    );
}

#[test]
fn a_fleet_that_makes_no_sense_is_told_with_its_line() {
    let folder = scratch("fleet-wrong");
    let check = |line: &str, problem: &str| {
        let fleet = folder.join("fleet.jsonl");
        fs::write(&fleet, format!("\n{line}\n")).unwrap();
        let (code, _, complaint) = told(&["policy", "diff", "policies", "--fleet", fleet.to_str().unwrap()]);
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains("fleet.jsonl:2: ") && complaint.contains(problem), "{complaint}");
    };
    check("{", "EOF");
    check(r#"{"status": "DONE"}"#, "unknown variant `DONE`");
    check(r#"{"status": "FAILED", "colour": 1}"#, "unknown field `colour`");
    check(r#"{"status": "FAILED", "group": "x"}"#, "say nothing without an `action`");
    check(r#"{"status": "FAILED", "execution": {"queuedAge": "soon"}}"#, "queuedAge: `soon` is no age");
}

#[test]
fn the_exit_codes_of_the_help_are_those_of_the_documentation() {
    let (code, help, _) = told(&["--help"]);
    assert_eq!(code, 0);
    let help = help.split("Exit codes:\n").nth(1).unwrap();
    let of_help: Vec<_> = help.lines().filter_map(|line| line.trim().split_once("  ")).collect();
    assert_eq!(of_help.len(), 9, "{help}");
    let page = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    for (code, meaning) in of_help {
        assert!(
            page.contains(&format!("\n| {code} | {meaning} |\n")),
            "docs/cli.md lacks | {code} | {meaning} |"
        );
    }
}

#[test]
fn every_shell_can_complete_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, _) = told(&["completions", shell]);
        assert_eq!(code, 0);
        for word in ["sweep", "watch", "decide", "diff", "archive", "--output"] {
            assert!(script.contains(word.trim_start_matches("--")), "{shell} lacks {word}");
        }
    }
}

#[test]
fn what_is_missing_is_told_with_its_remedy_and_its_code() {
    let check = |arguments: &[&str], environment: &[(&str, &str)], expected: i32, problem: &str| {
        let Output { status, stdout, stderr } = jobwarden(arguments, environment);
        let complaint = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(expected), "{complaint}");
        assert!(stdout.is_empty() && complaint.contains(problem), "{complaint}");
    };
    let nowhere = ("JOBWARDEN_API", "http://127.0.0.1:9/v1");
    let region = ("AWS_REGION", "eu-west-1");
    let keys = [nowhere, region, ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    check(&["sweep", "list"], &[], 2, "give --api or set JOBWARDEN_API");
    check(&["archive", "search"], &[], 2, "give --bucket or set JOBWARDEN_BUCKET");
    check(&["sweep", "list"], &[nowhere], 2, "give --region");
    check(&["sweep", "list"], &[nowhere, region], 4, "there are no credentials in the environment");
    check(&["sweep", "list", "--profile", "nobody"], &[nowhere, region], 4, "there are no credentials");
    check(&["sweep", "list"], &keys, 5, "no answer came from http://127.0.0.1:9/v1/sweeps");
    check(&["sweep", "list", "--api", "nonsense"], &keys, 2, "`nonsense` is no address of an API");
    check(&["sweep", "watch", "x"], &[], 2, "a sweep's id is such as");
    check(&["sweep", "start"], &[], 2, "--operation");
    check(&["decide", "cancel", "--job", "j"], &[], 2, "--thing");
    check(&["decide", "cancel"], &[], 2, "--status");
    check(&["decide", "delete", "--status", "FAILED", "--execution", "{"], &keys, 2, "--execution: EOF");
    check(&["archive", "search", "--sweep", "../x"], &[], 2, "it has to be a sweep's id or api");
}

#[test]
fn no_colour_is_written_where_nobody_sees_it() {
    let records = archive("colour");
    let (_, said, _) = told(&["archive", "search", "--records", records.to_str().unwrap()]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}
