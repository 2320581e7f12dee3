//! Every cryptographic crate in the build has been looked at, in exactly this version.
//!
//! `supply-chain/audits*.toml` hold the list, with what each crate is for, why it is trusted, how far it was read and what
//! holds it from outside. This step compares it with the build: a new crate, another version, or an entry that nothing
//! answers to is a finding; so is one that says nothing, that passes over unsafe code or a build script which the source
//! has, and a count in the documents that is another. Which crates are cryptographic is told by the topics that their
//! authors gave them, and by the list itself for those that have none.

mod list;
mod source;

use std::collections::BTreeSet;

use crate::run::{self, Outcome};
use crate::sbom;
use crate::sbom::graph::{Graph, Package};

use list::{DEPTHS, List};
use source::Source;

/// Categories and keywords that make a crate cryptographic until an `[[aside]]` says otherwise.
const TOPICS: [&str; 10] = [
    "cryptography",
    "authentication",
    "crypto",
    "cryptographic",
    "encryption",
    "tls",
    "security",
    "random",
    "rng",
    "csprng",
];

const FILES: [&str; 2] = ["supply-chain/audits.toml", "supply-chain/audits-tls.toml"];
const DOCUMENT: &str = "docs/supply-chain.md";
const SETTINGS: &str = ".cargo/config.toml";

/// The step.
pub fn check() -> Outcome {
    match checked() {
        Ok(findings) => Outcome::of_findings(&findings),
        Err(error) => Outcome::failed(error),
    }
}

fn checked() -> Result<Vec<String>, String> {
    let mut list = List::default();
    for file in FILES {
        list.add(file, &text(file)?)?;
    }
    let shown: Vec<String> = DEPTHS.iter().map(|depth| format!("{depth}: {}", list.counted(depth))).collect();
    println!("    {} cryptographic crates; {}", list.entries.len(), shown.join(", "));
    let graph = Graph::read(sbom::PLATFORM)?;
    let mut found = findings(&list, graph.packages.values(), |package| Source::of(&package.folder))?;
    found.extend(told(&list, &text(DOCUMENT)?));
    found.extend(own_aws_lc(&text(SETTINGS)?));
    Ok(found)
}

fn text(path: &str) -> Result<String, String> {
    std::fs::read_to_string(run::root().join(path)).map_err(|error| format!("{path}: {error}"))
}

fn findings<'a>(
    list: &List,
    packages: impl Iterator<Item = &'a Package>,
    source: impl Fn(&Package) -> Result<Source, String>,
) -> Result<Vec<String>, String> {
    let mut found = list.faults.clone();
    let mut seen = BTreeSet::new();
    let mut asides = BTreeSet::new();
    for package in packages.filter(|package| !package.ours) {
        let key = (package.name.clone(), package.version.clone());
        if let Some(entry) = list.entries.get(&key) {
            let gaps = entry.gaps(Some(source(package)?));
            found.extend(gaps.iter().map(|gap| format!("{}: {gap}", package.id())));
            seen.insert(key);
            continue;
        }
        if list.asides.contains(&package.name) {
            asides.insert(package.name.clone());
            continue;
        }
        let looked_at: Vec<&str> = list
            .entries
            .keys()
            .filter(|(name, _)| *name == package.name)
            .map(|(_, version)| version.as_str())
            .collect();
        if !looked_at.is_empty() {
            let versions = looked_at.join(", ");
            found.push(format!("{} is in the build, {versions} was looked at: read what changed", package.id()));
        } else if TOPICS.iter().any(|topic| package.topics.contains(*topic)) {
            found.push(format!("{} is cryptographic by its own words and not in the list", package.id()));
        }
    }
    for (key, entry) in list.entries.iter().filter(|(key, _)| !seen.contains(key)) {
        found.push(format!("{} {} is in the list and not in the build", key.0, key.1));
        found.extend(entry.gaps(None).iter().map(|gap| format!("{} {}: {gap}", key.0, key.1)));
    }
    found.extend(list.asides.difference(&asides).map(|name| format!("{name} is set aside and not in the build")));
    Ok(found)
}

/// The document counts as the list does.
fn told(list: &List, document: &str) -> Option<String> {
    let [read, partly, not] = DEPTHS.map(|depth| list.counted(depth));
    let sentence = format!(
        "Of {} crates {read} were read as far as the vault reaches into them, {partly} in part, {not} not.",
        list.entries.len()
    );
    let document = document.split_whitespace().collect::<Vec<_>>().join(" ");
    (!document.contains(&sentence)).then(|| format!("{DOCUMENT} does not say: {sentence}"))
}

/// The builder of `aws-lc-sys` takes an AWS-LC of the machine where it finds one. Ours is the source that the crate
/// brings, the one that the list speaks of.
fn own_aws_lc(settings: &str) -> Option<String> {
    let settings = settings.parse::<toml::Table>().unwrap_or_default();
    let variable = settings.get("env").and_then(|env| env.get("AWS_LC_SYS_USE_SYSTEM"));
    let value = variable.and_then(|variable| variable.get("value")).and_then(toml::Value::as_str);
    let force = variable.and_then(|variable| variable.get("force")).and_then(toml::Value::as_bool);
    ((value, force) != (Some("0"), Some(true)))
        .then(|| format!("{SETTINGS} lets aws-lc-sys link an AWS-LC of the machine: AWS_LC_SYS_USE_SYSTEM is not 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "
reviewed = '2026-01-02'
[[crate]]
name = 'cipher'
version = '1.0.0'
purpose = 'the cipher'
trust = 'kept by three people'
held = 'known answers'
depth = 'read'
looked = 'all of it, against the standard: lengths, order, comparison'
advisories = 'none known'
[[aside]]
name = 'oid'
why = 'names of objects'
";

    fn package(name: &str, version: &str, topics: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: String::new(),
            repository: None,
            sha256: None,
            folder: std::path::PathBuf::new(),
            ours: false,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            linked: true,
        }
    }

    fn list(text: &str) -> List {
        let mut list = List::default();
        list.add("a.toml", text).expect("a list");
        list
    }

    fn found_in(packages: &[Package], source: Source) -> Vec<String> {
        findings(&list(LIST), packages.iter(), |_| Ok(source)).expect("sources")
    }

    fn found(packages: &[Package]) -> Vec<String> {
        found_in(packages, Source::default())
    }

    #[test]
    fn the_versions_that_were_looked_at_pass_and_others_do_not() {
        let oid = || package("oid", "9.9.9", &["cryptography"]);
        let plain = || package("http", "1.0.0", &["web"]);
        assert_eq!(found(&[package("cipher", "1.0.0", &[]), oid(), plain()]), Vec::<String>::new());

        let changed = found(&[package("cipher", "1.0.1", &[]), oid()]);
        assert_eq!(changed.len(), 2, "{changed:?}");
        assert!(changed[0].contains("cipher 1.0.1") && changed[1].contains("not in the build"), "{changed:?}");
        let new = found(&[package("cipher", "1.0.0", &[]), oid(), package("hash", "0.1.0", &["crypto"])]);
        assert!(new.len() == 1 && new[0].starts_with("hash 0.1.0"), "{new:?}");
        assert_eq!(found(&[package("cipher", "1.0.0", &[])]).len(), 1, "an aside that nothing answers to");
    }

    #[test]
    fn an_entry_is_held_against_the_source_of_its_crate() {
        let packages = [package("cipher", "1.0.0", &[]), package("oid", "1.0.0", &[])];
        let found = found_in(&packages, Source { has_unsafe: true, runs: true, forbids: false });
        assert_eq!(found, ["cipher 1.0.0: `unsafe` is missing", "cipher 1.0.0: `build` is missing"]);
        let unreadable = findings(&list(LIST), packages.iter(), |_| Err("no source".to_owned()));
        assert!(unreadable.is_err());
    }

    #[test]
    fn the_document_counts_as_the_list_does() {
        let document = "Of 1 crates 1 were read as far as\nthe vault reaches into them, 0 in part,\n  0 not. More.";
        assert_eq!(told(&list(LIST), document), None);
        assert!(told(&list(LIST), &document.replace("1 were", "2 were")).is_some());
        assert!(told(&list(&LIST.replace("'read'", "'partly'")), document).is_some());
    }

    #[test]
    fn the_aws_lc_of_the_machine_is_not_taken() {
        assert_eq!(own_aws_lc("[env]\nAWS_LC_SYS_USE_SYSTEM = { value = '0', force = true }"), None);
        for settings in [
            "",
            "[env]\nAWS_LC_SYS_USE_SYSTEM = '0'",
            "[env]\nAWS_LC_SYS_USE_SYSTEM = { value = '1', force = true }",
            "[env]\nAWS_LC_SYS_USE_SYSTEM = { value = '0', force = false }",
            "[env]\nAWS_LC_SYS_USE_SYSTEMS = { value = '0', force = true }",
        ] {
            assert!(own_aws_lc(settings).is_some(), "{settings}");
        }
    }
}
