//! Licences, sources and bans of every dependency, held against `deny.toml`.
//!
//! `cargo deny` does this thoroughly and runs as a step of its own where it can be had. It takes
//! long to build, so this reader of the same file makes sure that the main rules hold everywhere.
//! Known vulnerabilities are not looked up here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::run::{self, Outcome};

/// The step.
pub fn check() -> Outcome {
    match findings() {
        Ok(findings) => Outcome::of_findings(&findings),
        Err(error) => Outcome::failed(error),
    }
}

fn findings() -> Result<Vec<String>, String> {
    let path = run::root().join("deny.toml");
    let policy: toml::Table = std::fs::read_to_string(&path)
        .map_err(|error| format!("deny.toml: {error}"))?
        .parse()
        .map_err(|error| format!("deny.toml: {error}"))?;
    let mut cargo = run::cargo();
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    let mut metadata: Value = serde_json::from_str(&run::output(cargo)?).map_err(|error| error.to_string())?;
    let built = built_packages()?;
    if let Some(packages) = metadata["packages"].as_array_mut() {
        packages.retain(|package| built.contains(&shown(package)));
        if packages.iter().all(|package| package["source"].is_null()) {
            return Err("found no dependency to look at".to_owned());
        }
    }
    Ok(policy_findings(&Policy::read(&policy), &metadata))
}

/// What is really built on some platform. The lock file, and so `cargo metadata`, also lists
/// optional dependencies that no feature turns on.
fn built_packages() -> Result<BTreeSet<String>, String> {
    let mut cargo = run::cargo();
    cargo.args(["tree", "--locked", "--workspace", "--target", "all", "--edges", "all", "--prefix", "none"]);
    cargo.args(["--format", "{p}"]);
    let tree = run::output(cargo)?;
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some(format!("{name} {}", rest.split(' ').next()?))
    };
    Ok(tree.lines().filter_map(package).collect())
}

fn shown(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap_or_default(), package["version"].as_str().unwrap_or_default())
}

struct Policy {
    licences: BTreeSet<String>,
    exceptions: BTreeSet<(String, String)>,
    sources: BTreeSet<String>,
    banned: Vec<(String, String)>,
}

impl Policy {
    fn read(table: &toml::Table) -> Self {
        let list = |section: &str, key: &str| -> Vec<toml::Value> {
            table.get(section).and_then(|s| s.get(key)).and_then(|v| v.as_array()).cloned().unwrap_or_default()
        };
        let text = |value: &toml::Value, key: &str| {
            value.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
        };
        let words = |values: Vec<toml::Value>| values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        let mut exceptions = BTreeSet::new();
        for exception in list("licenses", "exceptions") {
            for licence in exception.get("allow").and_then(|v| v.as_array()).into_iter().flatten() {
                exceptions.insert((text(&exception, "crate"), licence.as_str().unwrap_or_default().to_owned()));
            }
        }
        Self {
            licences: words(list("licenses", "allow")),
            exceptions,
            sources: words(list("sources", "allow-registry")),
            banned: list("bans", "deny").iter().map(|ban| (text(ban, "crate"), text(ban, "reason"))).collect(),
        }
    }
}

fn policy_findings(policy: &Policy, metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let shown = shown(package);
        let foreign = |source: &&str| !policy.sources.iter().any(|allowed| *source == format!("registry+{allowed}"));
        if let Some(source) = package["source"].as_str().filter(foreign) {
            found.push(format!("{shown} comes from {source}, which deny.toml does not allow"));
        }
        if let Some((_, reason)) = policy.banned.iter().find(|(banned, _)| banned == name) {
            found.push(format!("{shown} is banned: {reason}"));
        }
        let Some(licence) = package["license"].as_str() else {
            found.push(format!("{shown} names no licence"));
            continue;
        };
        let allowed =
            |id: &str| policy.licences.contains(id) || policy.exceptions.contains(&(name.to_owned(), id.to_owned()));
        if !satisfied(licence, &allowed) {
            found.push(format!("{shown} is under {licence}, which deny.toml does not allow"));
        }
    }
    found
}

/// Whether an SPDX expression can be met with allowed licences. The old `/` means OR.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let holds = any_of(&words, &mut at, allowed);
    holds && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut holds = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        holds |= all_of(words, at, allowed);
    }
    holds
}

fn all_of(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut holds = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        holds &= one(words, at, allowed);
    }
    holds
}

fn one(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let holds = any_of(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return holds && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed(&format!("{word} WITH {exception}"));
    }
    allowed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_evaluated() {
        let allowed = |id: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&id);
        for good in
            ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "ISC AND (MIT OR GPL-3.0)", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT", "", "Apache-2.0", "MIT MIT", "(MIT"]
        {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn planted_dependencies_are_found() {
        let policy: toml::Table =
            "[licenses]\nallow = ['MIT']\n[sources]\nallow-registry = ['https://index.example']\n\
            [bans]\ndeny = [{ crate = 'bad', reason = 'because' }]"
                .parse()
                .expect("valid");
        let package = |name: &str, licence: Option<&str>, source: Option<&str>| serde_json::json!({"name": name, "version": "1.0.0", "license": licence, "source": source});
        let from = Some("registry+https://index.example");
        let metadata = serde_json::json!({"packages": [
            package("ours", Some("MIT"), None), package("fine", Some("MIT"), from),
            package("bad", Some("MIT"), from), package("copyleft", Some("GPL-3.0"), from),
            package("bare", None, from), package("forked", Some("MIT"), Some("git+https://forge.example/x")),
        ]});
        let found = policy_findings(&Policy::read(&policy), &metadata);
        let about: Vec<&str> = found.iter().filter_map(|f| f.split(' ').next()).collect();
        assert_eq!(about, ["bad", "copyleft", "bare", "forked"]);
    }
}
