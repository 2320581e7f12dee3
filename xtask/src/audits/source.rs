//! What a crate's own source says about itself: whether it has unsafe code, and whether it runs while the vault is built.

use std::path::Path;

/// Not compiled for those who use the crate.
const ASIDE: [&str; 3] = ["tests", "benches", "examples"];

/// What follows the word where it is code, besides a brace.
const AFTER: [&str; 4] = ["fn", "impl", "trait", "extern"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// Anywhere in its sources, whatever platform they are for.
    pub has_unsafe: bool,
    /// A build script or a procedural macro.
    pub runs: bool,
    /// `#![forbid(unsafe_code)]` at the top of the library.
    pub forbids: bool,
}

impl Source {
    pub(super) fn of(folder: &Path) -> Result<Self, String> {
        let manifest = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
        let manifest: toml::Table = text.parse().map_err(|error| format!("{}: {error}", manifest.display()))?;
        let script = match manifest.get("package").and_then(|package| package.get("build")) {
            Some(build) => build.as_bool() != Some(false),
            None => folder.join("build.rs").exists(),
        };
        let library = manifest.get("lib");
        let macros = ["proc-macro", "proc_macro"]
            .iter()
            .any(|key| library.and_then(|library| library.get(key)).and_then(toml::Value::as_bool) == Some(true));
        let forbids = std::fs::read_to_string(folder.join("src/lib.rs")).is_ok_and(|text| forbidden(&text));
        Ok(Self { has_unsafe: searched(folder, true)?, runs: script || macros, forbids })
    }
}

fn forbidden(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("#![forbid(") && line.contains("unsafe_code"))
}

fn searched(folder: &Path, top: bool) -> Result<bool, String> {
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    for item in std::fs::read_dir(folder).map_err(error)? {
        let item = item.map_err(error)?;
        let (path, name) = (item.path(), item.file_name());
        if item.file_type().map_err(error)?.is_dir() {
            if !(top && ASIDE.iter().any(|aside| name == *aside)) && searched(&path, false)? {
                return Ok(true);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = std::fs::read(&path).map_err(error)?;
            if in_text(&String::from_utf8_lossy(&text)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The word as code: neither in a comment nor in `forbid(unsafe_code)`.
fn in_text(text: &str) -> bool {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code[..at].chars().next_back();
        let rest = &code[at + word.len()..];
        let after = rest.trim_start();
        let apart = after.len() < rest.len();
        let begins = |next: &&str| after.strip_prefix(*next).is_some_and(|rest| !rest.starts_with(in_a_name));
        !before.is_some_and(in_a_name) && (after.starts_with('{') || apart && AFTER.iter().any(begins))
    })
}

fn in_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_told_from_talk_about_it() {
        for code in [
            "let x = unsafe { *p };",
            "unsafe{ f() }",
            "pub unsafe fn f() {}",
            "unsafe impl Send for X {}",
            "let y = unsafe\n    { g() };",
            "unsafe extern \"C\" { fn f(); }",
            "{ unsafe {x} }",
        ] {
            assert!(in_text(code), "{code}");
        }
        for talk in
            ["// unsafe { }", "    /// unsafe fn f", "#![forbid(unsafe_code)]", "let unsafe_fn = 1;", "unsafefn()"]
        {
            assert!(!in_text(talk), "{talk}");
        }
    }

    #[test]
    fn a_folder_is_searched_but_for_what_users_do_not_compile() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        let of = || Source::of(folder.path()).expect("a source");
        assert!(Source::of(folder.path()).is_err(), "no manifest");
        write("Cargo.toml", "[package]\nname = 'x'\n");
        write("src/lib.rs", "fn f() {}");
        write("tests/a.rs", "unsafe { f() }");
        assert_eq!(of(), Source::default());
        write("src/deep/a.rs", "unsafe { f() }");
        assert_eq!(of(), Source { has_unsafe: true, ..Source::default() });
        write("src/lib.rs", "// #![forbid(unsafe_code)]\nfn f() {}");
        assert!(!of().forbids);
        write("src/lib.rs", "#![forbid(unsafe_code, missing_docs)]\nfn f() {}");
        assert!(of().forbids);
        write("build.rs", "fn main() {}");
        assert!(of().runs, "found by its name");
        write("Cargo.toml", "[package]\nname = 'x'\nbuild = false\n");
        assert!(!of().runs);
        write("Cargo.toml", "[package]\nname = 'x'\nbuild = 'builder/main.rs'\n");
        assert!(of().runs);
        write("Cargo.toml", "[package]\nname = 'x'\nbuild = false\n[lib]\nproc-macro = true\n");
        assert!(of().runs);
    }
}
