//! `jobwarden policy check` and `test`: what is wrong with a folder of policies, before anybody relies on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use shared::access::AccessPolicy;
use shared::access::cases;
use shared::retention::Retention;
use shared::source_text::Problems;

use crate::failure::Failure;
use crate::screen::Screen;

/// The policies of a folder.
#[derive(Debug)]
pub(crate) struct Policies {
    pub(crate) access: AccessPolicy,
    pub(crate) rules: Retention,
}

/// Reads the policies of a folder as the functions do.
pub(crate) fn read_all(folder: &Path) -> Result<Policies, Failure> {
    let access = read(&folder.join("access.cedar"))
        .and_then(|(file, text)| AccessPolicy::parse(&file, &text).map_err(|problems| told(&problems)));
    let rules = read(&folder.join("retention.toml"))
        .and_then(|(file, text)| Retention::parse(&file, &text).map_err(|problems| told(&problems)));
    match (access, rules) {
        (Ok(access), Ok(rules)) => Ok(Policies { access, rules }),
        (access, rules) => {
            let complaints: Vec<_> = [access.err(), rules.err()].into_iter().flatten().collect();
            Err(Failure::no(complaints.join("\n")))
        }
    }
}

/// Reads the policies of a folder, and tells which ones they are.
pub(crate) fn check(folder: &Path, screen: &Screen) -> Result<(), Failure> {
    let Policies { access, rules } = read_all(folder)?;
    if screen.is_json() {
        return Ok(screen.json(&told_as_json(&access, &rules))?);
    }
    Ok(tell(&access, &rules, screen)?)
}

fn tell(access: &AccessPolicy, rules: &Retention, screen: &Screen) -> std::io::Result<()> {
    screen.line(&format!("access.cedar: {} policies, digest {}", access.ids().count(), access.digest()))?;
    screen.line(&format!("retention.toml: digest {}", rules.digest()))
}

fn told_as_json(access: &AccessPolicy, rules: &Retention) -> serde_json::Value {
    json!({
        "accessPolicy": { "policies": access.ids().collect::<Vec<_>>(), "digest": access.digest() },
        "retentionRules": { "digest": rules.digest() },
    })
}

/// Checks a folder and runs its cases.
pub(crate) fn test(folder: &Path, screen: &Screen) -> Result<(), Failure> {
    let Policies { access, rules } = read_all(folder)?;
    if !screen.is_json() {
        tell(&access, &rules, screen)?;
    }
    let mut complaints = Vec::new();
    let mut cases = 0;
    let mut deciding = BTreeSet::new();
    for path in files(&folder.join("tests")).map_err(Failure::no)? {
        let (file, text) = read(&path).map_err(Failure::no)?;
        match cases::run(&access, &file, &text) {
            Ok(run) => {
                cases += run.cases;
                deciding.extend(run.deciding);
                complaints.extend(run.failures.iter().map(ToString::to_string));
            }
            Err(problems) => complaints.push(told(&problems)),
        }
    }
    if cases == 0 && complaints.is_empty() {
        return Err(Failure::no(format!("{} has no cases; write some in tests/*.toml", folder.display())));
    }
    let idle: Vec<_> = access.ids().filter(|id| !deciding.contains(*id)).collect();
    if screen.is_json() {
        let policies = told_as_json(&access, &rules);
        screen.json(
            &json!({ "policies": policies, "cases": cases, "failures": complaints, "decideNoCase": idle }),
        )?;
    } else {
        for id in idle {
            screen.line(&format!("note: policy `{id}` decides no case"))?;
        }
    }
    if complaints.is_empty() {
        return if screen.is_json() {
            Ok(())
        } else {
            Ok(screen.line(&format!("{cases} cases, all as expected"))?)
        };
    }
    complaints.push(format!("{} of {cases} cases failed", complaints.len()));
    Err(Failure::no(complaints.join("\n")))
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<_> =
        paths.collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect())
}

fn read(path: &Path) -> Result<(String, String), String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    Ok((name, text))
}

/// Every problem on a line of its own.
fn told(problems: &Problems) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
