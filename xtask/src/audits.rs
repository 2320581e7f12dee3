//! Every cryptographic crate in the build has been looked at, in exactly this version.
//!
//! `supply-chain/audits.toml` holds the list, with what each crate is for, why it is trusted, how far it was read and what
//! holds it from outside. This step compares it with the build: a new crate, another version, or an entry that nothing
//! answers to is a finding. Which crates are cryptographic is told by the topics that their authors gave them, and by the
//! list itself for those that have none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::run::{self, Outcome};
use crate::sbom;
use crate::sbom::graph::{Graph, Package};

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

const DEPTHS: [&str; 3] = ["read", "partly", "not-read"];

/// The step.
pub fn check() -> Outcome {
    let path = run::root().join("supply-chain/audits.toml");
    let list = std::fs::read_to_string(&path).map_err(|error| format!("audits.toml: {error}"));
    let done = list.and_then(|text| List::parse(&text)).and_then(|list| {
        let graph = Graph::read(sbom::PLATFORM)?;
        let counted = |depth: &str| list.entries.values().filter(|entry| entry.depth == depth).count();
        let shown: Vec<String> = DEPTHS.iter().map(|depth| format!("{depth}: {}", counted(depth))).collect();
        println!("    {} cryptographic crates; {}", list.entries.len(), shown.join(", "));
        Ok(findings(&list, graph.packages.values()))
    });
    match done {
        Ok(findings) => Outcome::of_findings(&findings),
        Err(error) => Outcome::failed(error),
    }
}

struct Entry {
    depth: String,
    gaps: Vec<&'static str>,
}

struct List {
    /// By name and version.
    entries: BTreeMap<(String, String), Entry>,
    asides: BTreeSet<String>,
}

impl List {
    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("audits.toml: {error}"))?;
        let list: Value = serde_json::to_value(table).map_err(|error| error.to_string())?;
        let mut entries = BTreeMap::new();
        for raw in list["crate"].as_array().into_iter().flatten() {
            let text = |key: &str| raw[key].as_str().unwrap_or_default().to_owned();
            let depth = text("depth");
            let mut gaps: Vec<_> =
                ["purpose", "trust", "held"].into_iter().filter(|key| text(key).is_empty()).collect();
            if !DEPTHS.contains(&depth.as_str()) {
                gaps.push("depth");
            }
            if depth != "not-read" && text("looked").is_empty() {
                gaps.push("looked");
            }
            let key = (text("name"), text("version"));
            if entries.insert(key.clone(), Entry { depth, gaps }).is_some() {
                return Err(format!("audits.toml: {} {} stands twice", key.0, key.1));
            }
        }
        let aside = |raw: &Value| (!raw["why"].as_str()?.is_empty()).then(|| raw["name"].as_str())?.map(str::to_owned);
        let asides = list["aside"].as_array().into_iter().flatten().filter_map(aside).collect();
        Ok(Self { entries, asides })
    }
}

fn findings<'a>(list: &List, packages: impl Iterator<Item = &'a Package>) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut asides = BTreeSet::new();
    for package in packages.filter(|package| !package.ours) {
        let key = (package.name.clone(), package.version.clone());
        if list.entries.contains_key(&key) {
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
    for ((name, version), entry) in &list.entries {
        if !seen.contains(&(name.clone(), version.clone())) {
            found.push(format!("{name} {version} is in the list and not in the build"));
        }
        found.extend(entry.gaps.iter().map(|gap| format!("{name} {version}: `{gap}` is missing or unknown")));
    }
    found.extend(list.asides.difference(&asides).map(|name| format!("{name} is set aside and not in the build")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "
[[crate]]
name = 'cipher'
version = '1.0.0'
purpose = 'x'
trust = 'x'
held = 'x'
depth = 'read'
looked = 'x'
[[aside]]
name = 'oid'
why = 'names'
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

    fn found(list: &str, packages: &[Package]) -> Vec<String> {
        findings(&List::parse(list).expect("a list"), packages.iter())
    }

    #[test]
    fn the_versions_that_were_looked_at_pass_and_others_do_not() {
        let oid = || package("oid", "9.9.9", &["cryptography"]);
        let plain = || package("http", "1.0.0", &["web"]);
        assert_eq!(found(LIST, &[package("cipher", "1.0.0", &[]), oid(), plain()]), Vec::<String>::new());

        let changed = found(LIST, &[package("cipher", "1.0.1", &[]), oid()]);
        assert_eq!(changed.len(), 2, "{changed:?}");
        assert!(changed[0].contains("cipher 1.0.1") && changed[1].contains("not in the build"), "{changed:?}");
        let new = found(LIST, &[package("cipher", "1.0.0", &[]), oid(), package("hash", "0.1.0", &["crypto"])]);
        assert!(new.len() == 1 && new[0].starts_with("hash 0.1.0"), "{new:?}");
        assert_eq!(found(LIST, &[package("cipher", "1.0.0", &[])]).len(), 1, "an aside that nothing answers to");
    }

    #[test]
    fn an_entry_says_what_it_has_to_say() {
        for gap in ["purpose", "trust", "held", "looked"] {
            let list = LIST.replace(&format!("{gap} = 'x'\n"), "");
            let found = found(&list, &[package("cipher", "1.0.0", &[]), package("oid", "1.0.0", &[])]);
            assert!(found.len() == 1 && found[0].contains(gap), "{gap}: {found:?}");
        }
        assert!(List::parse(&format!("{LIST}{}", LIST.split("[[aside]]").next().unwrap_or_default())).is_err());
    }
}
