//! Who may import whom (docs/architecture.md, "Layers"). The rules are data, in [`rules`]; this
//! module reads the workspace and holds it against them.

mod rules;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{self, Outcome};
use crate::source::{self, Token};
use rules::{CRATES, EXPOSING, FIELDS, PATHS, UNSAFE_CRATE};

/// The step: every rule against the whole workspace.
pub fn check() -> Outcome {
    match findings() {
        Ok(findings) => Outcome::of_findings(&findings),
        Err(error) => Outcome::failed(error),
    }
}

fn findings() -> Result<Vec<String>, String> {
    let mut cargo = run::cargo();
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = serde_json::from_str(&run::output(cargo)?).map_err(|error| error.to_string())?;
    let mut found = crate_findings(&metadata);
    let root = run::root();
    let mut files = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        rust_files(&root.join(folder), &mut files)?;
    }
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let shown = path.strip_prefix(&root).unwrap_or(&path);
        found.extend(file_findings(shown, &text));
    }
    Ok(found)
}

/// All `.rs` files below `folder`, but for build output and what trybuild compiles to see it fail.
pub fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && !["target", "compile_fail", "node_modules"].iter().any(|skip| name == *skip) {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Dependencies between our own crates that no rule allows. Those for tests only are free.
fn crate_findings(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
            found.push(format!("crate {name} has no rule: enter it in xtask/src/layering/rules.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let ours = CRATES.iter().any(|(known, _)| *known == on);
            if ours && dependency["kind"] != "dev" && !allowed.contains(&on) {
                found.push(format!("crate {name} depends on {on}; it may depend on [{}]", allowed.join(", ")));
            }
        }
    }
    found
}

/// What one file breaks. `path` is relative to the workspace.
fn file_findings(path: &Path, text: &str) -> Vec<String> {
    let module = module_of(path);
    let blanked = source::blank(text);
    let tokens = source::tokens(&blanked);
    let outside = outside_the_layers(path);
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("{}:{line}: {what}", path.display()));

    for named in source::paths(&tokens, &module) {
        let broken = PATHS.iter().filter(|rule| {
            !outside
                && begins(&module, rule.within)
                && !rule.but_in.iter().any(|exempt| begins(&module, exempt))
                && rule.never.iter().any(|never| begins(&named.segments, never))
                && !rule.though.iter().any(|fine| begins(&named.segments, fine))
        });
        for rule in broken {
            report(named.line, format!("names {}: {}", named.segments.join("::"), rule.why));
        }
    }
    for (at, (line, token)) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i)).map(|(_, token)| *token);
        let after = tokens.get(at + 1).map(|(_, token)| *token);
        match token {
            Token::Word("unsafe" | "unsafe_code") if module.first().is_none_or(|c| c != UNSAFE_CRATE) => {
                report(*line, "`unsafe` belongs in vault-memlock alone".to_owned());
            }
            Token::Word("expose") if matches!(before, Some(Token::Mark('.') | Token::Separator)) => {
                let allowed = EXPOSING.iter().any(|place| begins(&module, place));
                if !allowed && !outside {
                    report(*line, "takes bytes out of a secret; only secret, keys, media and custody may".to_owned());
                }
            }
            Token::Word(word) if before == Some(Token::Mark('.')) && after != Some(Token::Mark('(')) => {
                let broken =
                    FIELDS.iter().filter(|rule| !outside && rule.field == *word && begins(&module, rule.within));
                for rule in broken {
                    report(*line, format!("reaches into `.{word}`: {}", rule.why));
                }
            }
            _ => {}
        }
    }
    found
}

/// Tests and examples stand outside: they read vectors and arguments, and look where no layer may.
fn outside_the_layers(path: &Path) -> bool {
    let path = path.with_extension("");
    path.iter().any(|part| ["tests", "examples", "benches"].iter().any(|outside| part == *outside))
}

fn begins(path: &[String], prefix: &[&str]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(have, want)| have == want)
}

/// Crate and modules of a file: `crates/vault-server/src/http/mod.rs` is `vault_server::http`.
fn module_of(path: &Path) -> Vec<String> {
    let parts: Vec<String> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let (name, inside) = match parts.first().map(String::as_str) {
        Some("crates") if parts.len() > 2 => (parts[1].clone(), &parts[2..]),
        Some("tests") => ("vault-tests".to_owned(), &parts[1..]),
        Some(first) => (first.to_owned(), &parts[1..]),
        None => return Vec::new(),
    };
    let mut module = vec![name.replace('-', "_")];
    let last = inside.len().saturating_sub(1);
    for (at, part) in inside.iter().enumerate() {
        let is_source_folder = at == 0 && part == "src";
        let is_root = at == last && ["mod", "lib", "main"].contains(&part.as_str());
        if !is_source_folder && !is_root {
            module.push(part.clone());
        }
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> Vec<String> {
        file_findings(Path::new(path), text)
    }

    #[test]
    fn planted_violations_are_found() {
        let cases = [
            ("crates/vault-server/src/http/tus.rs", "use crate::store::Store;"),
            ("crates/vault-server/src/http/tus.rs", "use crate::{app::upload, store};"),
            ("crates/vault-server/src/http/mod.rs", "use super::store::Store;"),
            ("crates/vault-server/src/http/tus.rs", "fn f(v: &Vault) { v.store.read(1); }"),
            ("crates/vault-server/src/http/tus.rs", "use crate::objects::Parts;"),
            ("crates/vault-server/src/http/tus.rs", "fn f() { crate::custody::open() }"),
            ("crates/vault-server/src/app/play.rs", "use crate::http::problem;"),
            ("crates/vault-server/src/store/mod.rs", "use crate::app::play;"),
            ("crates/vault-server/src/objects/mod.rs", "use crate::store::Tx;"),
            ("crates/vault-core/src/media/seal.rs", "use tokio::io::AsyncRead;"),
            ("crates/vault-core/src/media/seal.rs", "fn f() { std::fs::read(p); }"),
            ("crates/vault-core/src/audit/verify.rs", "use std::{fs, net::TcpStream};"),
            ("crates/vault-core/src/time.rs", "fn now() { std::time::SystemTime::now() }"),
            ("crates/vault-server/src/app/play.rs", "fn f(k: K) { k.expose(); }"),
            ("crates/vault-cli/src/main.rs", "fn f(k: K) { Secret::expose(&k); }"),
            ("crates/vault-cli/src/main.rs", "use vault_core::keys::hierarchy::RecordKey;"),
            ("crates/vault-server/src/app/play.rs", "fn f() { unsafe { g() } }"),
            ("crates/vault-server/src/app/play.rs", "#![allow(unsafe_code)]"),
            ("crates/vault-server/src/app/play.rs", "fn f() { sqlx::query(q) }"),
            ("crates/vault-server/src/app/play.rs", "use object_store::ObjectStore;"),
        ];
        for (path, text) in cases {
            assert!(!planted(path, text).is_empty(), "not found: {text} in {path}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_reported() {
        let cases = [
            ("crates/vault-server/src/http/tus.rs", "use crate::app::upload; use vault_api::code;"),
            ("crates/vault-server/src/http/tus.rs", "fn f(a: &A) { a.store(1, Relaxed); } // crate::store::Store"),
            ("crates/vault-server/src/app/play.rs", "use crate::{store::Store, objects::Parts, custody::Keys};"),
            ("crates/vault-server/src/store/mod.rs", "use sqlx::Row; use crate::objects::Name;"),
            ("crates/vault-core/src/keys/wrap.rs", "fn f(k: K) { k.expose(); }"),
            ("crates/vault-memlock/src/lib.rs", "#![allow(unsafe_code)] fn f() { unsafe { g() } }"),
            ("crates/vault-core/examples/floe.rs", "fn main() { std::env::args(); }"),
            ("crates/vault-core/src/media/floe/tests.rs", "use std::fs;"),
            ("crates/vault-server/src/http/tests.rs", "fn f(v: &Vault) { v.store.read(1); }"),
            ("crates/vault-server/src/http/tus.rs", "#[cfg(test)] mod tests { use crate::store::Store; }"),
        ];
        for (path, text) in cases {
            assert_eq!(planted(path, text), Vec::<String>::new(), "{text} in {path}");
        }
    }

    #[test]
    fn planted_crate_dependencies_are_found() {
        let metadata = serde_json::json!({"packages": [
            {"name": "vault-core", "dependencies": [
                {"name": "vault-server", "kind": null}, {"name": "vault-memlock", "kind": null}]},
            {"name": "vault-api", "dependencies": [{"name": "vault-core", "kind": "dev"}]},
            {"name": "vault-new", "dependencies": []},
        ]});
        let found = crate_findings(&metadata);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("vault-core depends on vault-server") && found[1].contains("vault-new"));
    }

    #[test]
    fn modules_follow_from_paths() {
        let module = |path: &str| module_of(Path::new(path)).join("::");
        assert_eq!(module("crates/vault-server/src/http/mod.rs"), "vault_server::http");
        assert_eq!(module("crates/vault-server/src/main.rs"), "vault_server");
        assert_eq!(module("crates/vault-core/src/keys/wrap.rs"), "vault_core::keys::wrap");
        assert_eq!(module("tests/suites/crash.rs"), "vault_tests::suites::crash");
        assert_eq!(module("xtask/src/run.rs"), "xtask::run");
    }
}
