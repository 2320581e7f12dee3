//! `cargo xtask sbom`: what the programs are made of, as CycloneDX 1.6.
//!
//! Made of `cargo tree` (what is really built for one platform, with the features that a release has), `cargo metadata`
//! (licences, sources) and `Cargo.lock` (hashes of the crates as they were downloaded). Nothing of the time or the
//! machine goes in: the same source gives the same document, down to its serial number.
//!
//! C libraries that crates bring along in source form (AWS-LC, SQLite) are components of their own, with the version
//! that their headers state, because advisories name them and not the crates around them.

mod embedded;
pub mod graph;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::reproduce::hex;
use crate::run::{self, Outcome};
use graph::{Graph, Package};

/// The platform of a release.
pub const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `cargo xtask sbom`.
#[derive(clap::Args)]
pub struct Options {
    /// Where to write it; standard output when absent
    #[arg(long)]
    out: Option<PathBuf>,
    /// The platform whose build is described
    #[arg(long, default_value = PLATFORM)]
    target: String,
}

/// Writes the document.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    let text = shown(&document(&Graph::read(&options.target)?, &options.target)?);
    match &options.out {
        None => print!("{text}"),
        Some(path) => std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The step: the document can be made, is the same when made again, and keeps the rules of its format.
pub fn check() -> Outcome {
    match findings() {
        Ok(findings) => Outcome::of_findings(&findings),
        Err(error) => Outcome::failed(error),
    }
}

fn findings() -> Result<Vec<String>, String> {
    let make = || document(&Graph::read(PLATFORM)?, PLATFORM);
    let made = make()?;
    let mut found = validate::findings(&made);
    if shown(&made) != shown(&make()?) {
        found.push("made twice, the document differs".to_owned());
    }
    for name in ["vault-server", "aws-lc-rs", "rustls", "sqlx", "SQLite", "AWS-LC"] {
        if !made["components"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name)) {
            found.push(format!("{name} is not listed"));
        }
    }
    if shown(&made).contains(&run::root().display().to_string()) {
        found.push("the document names the folder that it was made in".to_owned());
    }
    println!("    {} components", made["components"].as_array().map_or(0, Vec::len));
    Ok(found)
}

fn shown(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

fn document(graph: &Graph, platform: &str) -> Result<Value, String> {
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in graph.packages.values() {
        let reference = package.reference();
        components.insert(reference.clone(), component(package));
        let needs = edges.entry(reference).or_default();
        for id in graph.needs.get(&package.id()).into_iter().flatten() {
            needs.insert(graph.packages.get(id).ok_or_else(|| format!("{id} is in no list"))?.reference());
        }
        if let Some(library) = embedded::library(package)? {
            needs.insert(library.reference.clone());
            edges.entry(library.reference.clone()).or_default();
            components.insert(library.reference.clone(), library.component);
        }
    }
    let version = graph.packages.values().find(|p| p.name == "vault-server").map_or("", |p| p.version.as_str());
    let whole = format!("feedback-vault@{version}");
    let programs = graph.roots.iter().filter_map(|id| graph.packages.get(id)).map(Package::reference).collect();
    edges.insert(whole.clone(), programs);

    let mut made = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "pre-build"}],
            "tools": {"components": [{"type": "application", "name": "feedback-vault xtask sbom", "version": version}]},
            "component": {
                "type": "application", "bom-ref": whole, "name": "feedback-vault", "version": version,
                "licenses": [{"expression": "Apache-2.0 OR MIT"}],
            },
            "properties": [{"name": "feedback-vault:target", "value": platform}],
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": edges.iter().map(|(from, to)| json!({"ref": from, "dependsOn": to})).collect::<Vec<_>>(),
    });
    let digest = Sha256::digest(shown(&made).as_bytes());
    made["serialNumber"] = json!(format!("urn:uuid:{}", uuid(&digest)));
    Ok(made)
}

fn component(package: &Package) -> Value {
    let program = package.ours && ["vault-server", "vault-cli"].contains(&package.name.as_str());
    let mut made = json!({
        "type": if program { "application" } else { "library" },
        "bom-ref": package.reference(),
        "name": package.name,
        "version": package.version,
        // `excluded` is the format's word for what helps to build and is no part of the result.
        "scope": if package.linked { "required" } else { "excluded" },
        "purl": package.reference(),
        "licenses": [{"expression": package.licence}],
    });
    if let Some(hash) = &package.sha256 {
        made["hashes"] = json!([{"alg": "SHA-256", "content": hash}]);
    }
    if let Some(address) = &package.repository {
        made["externalReferences"] = json!([{"type": "vcs", "url": address}]);
    }
    made
}

/// A UUID of version 8 (RFC 9562: made by its own rule) of the first bytes of a digest.
fn uuid(digest: &[u8]) -> String {
    let mut bytes: Vec<u8> = digest.iter().take(16).copied().collect();
    bytes.resize(16, 0);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_has_the_form_of_a_uuid() {
        assert_eq!(uuid(&[0xff; 32]), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(uuid(&[]), "00000000-0000-8000-8000-000000000000");
    }

    #[test]
    fn a_document_of_planted_packages_holds_what_is_known_of_them() {
        let package = |name: &str, ours: bool, linked: bool| Package {
            name: name.to_owned(),
            version: "1.2.3+x".to_owned(),
            licence: "MIT".to_owned(),
            repository: None,
            sha256: (!ours).then(|| "ab".repeat(32)),
            folder: PathBuf::from("/nowhere"),
            ours,
            topics: BTreeSet::new(),
            linked,
        };
        let packages = [package("vault-server", true, true), package("cc", false, false), package("a", false, true)];
        let packages: BTreeMap<_, _> = packages.into_iter().map(|p| (p.id(), p)).collect();
        let needs = [("vault-server 1.2.3+x".to_owned(), ["cc 1.2.3+x", "a 1.2.3+x"].map(str::to_owned).into())].into();
        let graph = Graph { packages, needs, roots: ["vault-server 1.2.3+x".to_owned()].into() };
        let made = document(&graph, PLATFORM).expect("made");
        assert_eq!(validate::findings(&made), Vec::<String>::new());
        assert_eq!(made["components"][0]["purl"], "pkg:cargo/a@1.2.3%2Bx");
        assert_eq!(made["components"][1]["scope"], "excluded");
        assert_eq!(made["components"][1]["hashes"][0]["content"], "ab".repeat(32));
        assert_eq!(made["components"][2]["type"], "application");
        assert_eq!(made["dependencies"].as_array().map(Vec::len), Some(4));
    }
}
