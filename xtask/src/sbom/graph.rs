//! Which packages a release of the two programs is built of, and which needs which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::run;

/// A package in the build.
pub struct Package {
    pub name: String,
    pub version: String,
    /// As an SPDX expression.
    pub licence: String,
    pub repository: Option<String>,
    /// Of the crate as it was downloaded.
    pub sha256: Option<String>,
    /// Where its source lies.
    pub folder: PathBuf,
    /// Of this workspace.
    pub ours: bool,
    /// Categories and keywords that its author gave it.
    pub topics: BTreeSet<String>,
    /// Part of a program; otherwise a procedural macro, a build script's, or what these need.
    pub linked: bool,
}

impl Package {
    /// Name and version; the lock file has each pair once.
    pub fn id(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The package URL, which also serves as reference within the document. Our own crates are in no registry.
    pub fn reference(&self) -> String {
        let kind = if self.ours { "generic/feedback-vault" } else { "cargo" };
        format!("pkg:{kind}/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

/// Packages by id, and whom each needs.
pub struct Graph {
    pub packages: BTreeMap<String, Package>,
    pub needs: BTreeMap<String, BTreeSet<String>>,
    pub roots: BTreeSet<String>,
}

impl Graph {
    /// Asks cargo.
    pub fn read(platform: &str) -> Result<Self, String> {
        let (needs, roots) = edges(&tree(platform, "normal,build")?);
        let linked: BTreeSet<String> = edges(&tree(platform, "normal,no-proc-macro")?).0.into_keys().collect();
        let mut cargo = run::cargo();
        cargo.args(["metadata", "--locked", "--format-version", "1"]);
        let metadata: Value = serde_json::from_str(&run::output(cargo)?).map_err(|error| error.to_string())?;
        let lock = run::root().join("Cargo.lock");
        let lock = std::fs::read_to_string(lock).map_err(|error| format!("Cargo.lock: {error}"))?;
        let hashes = checksums(&lock)?;
        let mut packages = BTreeMap::new();
        for raw in metadata["packages"].as_array().into_iter().flatten() {
            let mut package = package(raw);
            let id = package.id();
            if needs.contains_key(&id) {
                package.linked = linked.contains(&id);
                package.sha256 = hashes.get(&id).cloned();
                packages.insert(id, package);
            }
        }
        Ok(Self { packages, needs, roots })
    }
}

fn tree(platform: &str, kinds: &str) -> Result<String, String> {
    let mut cargo = run::cargo();
    cargo.args(["tree", "--locked", "--package", "vault-server", "--package", "vault-cli", "--target", platform]);
    cargo.args(["--edges", kinds, "--prefix", "depth", "--format", " {p}"]);
    run::output(cargo)
}

/// Reads lines like `2 serde v1.0.0 (proc-macro) (*)`: the number is the depth below a root. What a package needs stands
/// below it where it is first named. A package that is built twice, for the programs and for build scripts, with
/// different features, is one package here, with all that either build needs.
fn edges(tree: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut roots = BTreeSet::new();
    let mut above: Vec<String> = Vec::new();
    for line in tree.lines() {
        let Some((depth, id)) = parsed(line) else { continue };
        above.truncate(depth);
        match above.last() {
            Some(parent) => {
                needs.entry(parent.clone()).or_default().insert(id.clone());
            }
            None => {
                roots.insert(id.clone());
            }
        }
        needs.entry(id.clone()).or_default();
        above.push(id);
    }
    (needs, roots)
}

fn parsed(line: &str) -> Option<(usize, String)> {
    let mut words = line.split_whitespace();
    let depth = words.next()?.parse().ok()?;
    let name = words.next()?;
    Some((depth, format!("{name} {}", words.next()?.strip_prefix('v')?)))
}

fn package(raw: &Value) -> Package {
    let text = |key: &str| raw[key].as_str().map(str::to_owned);
    let manifest = PathBuf::from(raw["manifest_path"].as_str().unwrap_or_default());
    Package {
        name: text("name").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        licence: spdx(raw["license"].as_str().unwrap_or_default()),
        repository: text("repository"),
        sha256: None,
        folder: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        ours: raw["source"].is_null(),
        topics: ["categories", "keywords"].iter().flat_map(|key| words(&raw[*key])).collect(),
        linked: false,
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_lowercase).collect()
}

/// The old `/` of cargo means OR.
fn spdx(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

fn checksums(lock: &str) -> Result<BTreeMap<String, String>, String> {
    let lock: toml::Table = lock.parse().map_err(|error| format!("Cargo.lock: {error}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let text = |table: &toml::Value, key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let hash = |table: &toml::Value| {
        Some((format!("{} {}", text(table, "name")?, text(table, "version")?), text(table, "checksum")?))
    };
    Ok(packages.into_iter().flatten().filter_map(hash).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_back_into_edges() {
        let tree = "0 server v0.1.0 (/x)\n1 a v1.0.0\n2 b v2.0.0 (proc-macro)\n1 b v2.0.0 (proc-macro) (*)\n\n\
                    0 cli v0.1.0 (/x)\n1 a v1.0.0 (*)\n1 c v1.0.0+7";
        let (needs, roots) = edges(tree);
        assert_eq!(roots, ["server 0.1.0", "cli 0.1.0"].map(str::to_owned).into());
        assert_eq!(needs["server 0.1.0"], ["a 1.0.0", "b 2.0.0"].map(str::to_owned).into());
        assert_eq!(needs["a 1.0.0"], ["b 2.0.0".to_owned()].into());
        assert_eq!(needs["cli 0.1.0"], ["a 1.0.0", "c 1.0.0+7"].map(str::to_owned).into());
        assert!(needs["b 2.0.0"].is_empty());
    }

    #[test]
    fn licences_and_checksums_are_read() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(spdx("Apache-2.0 / MIT"), "Apache-2.0 OR MIT");
        assert_eq!(spdx("(MIT OR Apache-2.0) AND Unicode-3.0"), "(MIT OR Apache-2.0) AND Unicode-3.0");
        let lock = "[[package]]\nname='a'\nversion='1.0.0'\nchecksum='ff'\n[[package]]\nname='ours'\nversion='0.1.0'\n";
        assert_eq!(checksums(lock).expect("read"), [("a 1.0.0".to_owned(), "ff".to_owned())].into());
    }
}
