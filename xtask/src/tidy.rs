//! What reviewers would otherwise have to say again and again: length, left-overs, paths of
//! somebody's machine, links that lead nowhere.

use std::path::{Path, PathBuf};

use crate::run::{self, Outcome};

/// A file longer than this has more than one job.
const MAX_LINES: usize = 500;

/// Written by programs, or read whole on purpose.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json", "openapi.json", "CHANGELOG.md", "audits.toml"];

/// The step.
pub fn check() -> Outcome {
    let mut git = run::command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = match run::output(git) {
        Ok(listed) => listed,
        Err(error) => return Outcome::Skipped(format!("needs git to list the files: {error}")),
    };
    let root = run::root();
    let machine = machine_paths(&root);
    let mut findings = Vec::new();
    let mut files = 0;
    for path in listed.lines().map(Path::new) {
        // A file that is not text (a recording, a corpus) has no lines to check; one that was
        // deleted but is still listed has none either.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        files += 1;
        findings.extend(file_findings(path, &text, &machine));
        if path.extension().is_some_and(|extension| extension == "md") {
            findings.extend(link_findings(&root, path, &text));
        }
    }
    if files == 0 {
        return Outcome::failed("git lists no file");
    }
    Outcome::of_findings(&findings)
}

fn file_findings(path: &Path, text: &str, machine: &[String]) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kind = path.extension().unwrap_or_default().to_string_lossy();
    let generated = GENERATED.contains(&name.as_ref());
    let vectors = path.components().any(|part| part.as_os_str() == "vectors");
    let mut found = Vec::new();
    let mut report = |line: usize, what: &str| found.push(format!("{}:{line}: {what}", path.display()));

    let code = ["rs", "ts", "tsx", "js", "mjs", "sql", "toml"].contains(&kind.as_ref());
    let lines = text.lines().count();
    if code && !generated && lines > MAX_LINES {
        report(lines, &format!("longer than {MAX_LINES} lines: give each job its own file"));
    }
    let is_test = path.with_extension("").iter().any(|part| part == "tests");
    let is_module = kind == "rs" && !is_test && path.components().any(|part| part.as_os_str() == "src");
    if is_module && !text.starts_with("//!") {
        report(1, "begins without a module document (`//!`)");
    }
    // A workspace of its own (fuzz) has nothing to inherit from.
    if name == "Cargo.toml" && text.contains("[package]") && !text.contains("[workspace]") {
        for line in ["license.workspace = true", "publish.workspace = true"] {
            if !text.contains(line) {
                report(1, &format!("lacks `{line}`"));
            }
        }
        if !text.contains("[lints]\nworkspace = true") {
            report(1, "does not take the workspace's lints");
        }
    }
    for (at, line) in text.lines().enumerate() {
        if !vectors && leftovers().iter().any(|word| line.contains(word.as_str())) {
            report(at + 1, "left over: finish it or file it");
        }
        // `/v1/root/rotate` is an address, not a home folder: a path of a machine begins its word.
        let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "}._-".contains(c));
        if machine.iter().any(|path| line.match_indices(path.as_str()).any(|(at, _)| begins(at))) {
            report(at + 1, "a path of somebody's machine");
        }
        if let Some(host) = foreign_host(&name, line) {
            report(at + 1, &format!("a registry or host of somebody's network: {host}"));
        }
        if kind == "md" && !line.trim_start().starts_with('|') {
            for word in american(line) {
                report(at + 1, &format!("`{word}`: the house spells British"));
            }
        }
    }
    found
}

/// Spelled in halves, so that this file does not report itself.
fn leftovers() -> [String; 3] {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|halves| halves.concat())
}

/// This checkout's own place and anybody's home folder.
fn machine_paths(root: &Path) -> Vec<String> {
    let shared = ["/", "/home", "/srv", "/usr", "/opt", "/var", "/tmp", "/mnt", "/etc", "/run", "/data", "/app"];
    let mut paths: Vec<String> = root
        .ancestors()
        .map(|path| path.display().to_string())
        .filter(|path| !shared.contains(&path.as_str()))
        .map(|path| format!("{path}/"))
        .collect();
    for start in ["/home", "/Users", "/root", "C:\\Users"] {
        let slash = if start.contains('\\') { '\\' } else { '/' };
        paths.push(format!("{start}{slash}"));
    }
    paths
}

/// A lock file or client configuration that would only work on one network.
fn foreign_host<'a>(name: &str, line: &'a str) -> Option<&'a str> {
    let from = |start: &str| line.split_once(start).map(|(_, rest)| rest);
    let host = |rest: &'a str| rest.split(['/', '"', '\'', ' ']).next().unwrap_or(rest);
    match name {
        "package-lock.json" => {
            let address = from("\"resolved\": \"https://")?;
            (host(address) != "registry.npmjs.org").then(|| host(address))
        }
        "Cargo.lock" => {
            let source = from("source = \"")?;
            (source.trim_end_matches('"') != "registry+https://github.com/rust-lang/crates.io-index").then_some(source)
        }
        ".npmrc" | "pip.conf" => from("registry=").or(from("index-url")),
        "config.toml" => line.starts_with("replace-with").then_some(line),
        _ => None,
    }
}

/// American spellings in prose; code spans are left alone.
fn american(line: &str) -> Vec<String> {
    const STEMS: &[&str] =
        &["behavior", "serializ", "organiz", "initializ", "recogniz", "analyz", "favor", "summariz", "honor "];
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let prose = prose.to_lowercase();
    STEMS.iter().filter(|stem| prose.contains(**stem)).map(|stem| (*stem).to_owned()).collect()
}

/// Links of a document that lead to no file or to no heading.
fn link_findings(root: &Path, path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let aimed: PathBuf = match file {
            "" => root.join(path),
            _ => root.join(path.parent().unwrap_or(Path::new(""))).join(file),
        };
        if !aimed.exists() {
            found.push(format!("{}:{line}: the link {target} leads nowhere", path.display()));
        } else if !anchor.is_empty() {
            let there = std::fs::read_to_string(&aimed).unwrap_or_default();
            if !headings(&there).iter().any(|heading| heading == anchor) {
                found.push(format!("{}:{line}: the link {target} names no heading", path.display()));
            }
        }
    }
    found
}

/// Targets of `[text](target)`, outside fenced code and code spans, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Even pieces of a split at back-ticks are prose, but a link's own text may hold a code
        // span, so the spans are dropped rather than the pieces looked at one by one.
        let prose: String = line.split('`').step_by(2).collect();
        let mut rest = prose.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let target = after.split(')').next().unwrap_or_default();
            found.push((at + 1, target.split(' ').next().unwrap_or_default().to_owned()));
            rest = after;
        }
    }
    found
}

/// The anchors that a forge makes of headings.
fn headings(text: &str) -> Vec<String> {
    let slug = |heading: &str| {
        let kept = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> Vec<String> {
        file_findings(Path::new(path), text, &machine_paths(Path::new("/builds/someone/vault")))
    }

    #[test]
    fn planted_left_overs_are_found() {
        let cases = [
            ("docs/a.md", format!("see {}: later", "TO".to_owned() + "DO")),
            ("docs/a.md", format!("run {}someone/bin/x", "/ho".to_owned() + "me/")),
            ("docs/a.md", "built in /builds/someone/vault/target".to_owned()),
            ("docs/a.md", "Its behavior is odd".to_owned()),
            ("crates/x/src/lib.rs", "fn undocumented() {}".to_owned()),
            ("crates/x/src/long.rs", "//! long\n".repeat(MAX_LINES + 1)),
            ("crates/x/Cargo.toml", "[package]\nname = 'x'".to_owned()),
            ("web/package-lock.json", r#"  "resolved": "https://npm.corp.example/x/-/x-1.tgz","#.to_owned()),
            ("Cargo.lock", r#"source = "registry+https://index.corp.example/""#.to_owned()),
        ];
        for (path, text) in cases {
            assert!(!planted(path, &text).is_empty(), "not found in {path}: {}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn ordinary_files_are_not_reported() {
        let cases = [
            ("docs/a.md", "`serialize` is code; Serialisation in /var/lib/feedback-vault is prose"),
            ("crates/x/src/lib.rs", "//! x\n"),
            ("docs/a.md", "POST /v1/root/rotate"),
            ("Cargo.lock", r#"source = "registry+https://github.com/rust-lang/crates.io-index""#),
            ("web/package-lock.json", r#"  "resolved": "https://registry.npmjs.org/x/-/x-1.tgz","#),
        ];
        for (path, text) in cases {
            assert_eq!(planted(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn links_are_found_and_followed() {
        let text = "[a](b.md) and [`code`](c.md#d \"t\")\n```\n[not](this.md)\n```\n`[nor](that.md)`";
        let targets: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["b.md", "c.md#d"]);
        assert_eq!(headings("# What it is\n## §4. Keys, two"), ["what-it-is", "4-keys-two"]);

        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("there.md"), "# Here").expect("written");
        let found =
            link_findings(folder.path(), Path::new("x.md"), "[1](there.md#here) [2](gone.md) [3](there.md#not)");
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
