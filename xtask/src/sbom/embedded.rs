//! C libraries whose source a crate brings along.

use serde_json::{Value, json};

use super::graph::Package;

/// A library within a crate.
pub struct Library {
    pub reference: String,
    pub component: Value,
}

struct Known {
    krate: &'static str,
    name: &'static str,
    /// The header that states the version, and the name it states it under.
    header: &'static str,
    define: &'static str,
    licence: Value,
    purl: &'static str,
    address: &'static str,
}

fn known() -> [Known; 2] {
    [
        Known {
            krate: "aws-lc-sys",
            name: "AWS-LC",
            header: "aws-lc/include/openssl/base.h",
            define: "AWSLC_VERSION_NUMBER_STRING",
            licence: json!({"expression": "Apache-2.0 AND ISC"}),
            purl: "pkg:github/aws/aws-lc@v",
            address: "https://github.com/aws/aws-lc",
        },
        Known {
            krate: "libsqlite3-sys",
            name: "SQLite",
            header: "sqlite3/sqlite3.h",
            define: "SQLITE_VERSION",
            licence: json!({"license": {"name": "public domain", "url": "https://www.sqlite.org/copyright.html"}}),
            purl: "pkg:generic/sqlite@",
            address: "https://www.sqlite.org/src",
        },
    ]
}

/// The library that this package brings along, if it is known to bring one.
pub fn library(package: &Package) -> Result<Option<Library>, String> {
    let Some(known) = known().into_iter().find(|known| known.krate == package.name) else { return Ok(None) };
    let path = package.folder.join(known.header);
    let header = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let header = String::from_utf8_lossy(&header);
    let version =
        defined(&header, known.define).ok_or_else(|| format!("{} states no {}", known.header, known.define))?;
    let reference = format!("{}{version}", known.purl);
    let component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": known.name,
        "version": version,
        "scope": "required",
        "purl": reference,
        "licenses": [known.licence],
        "externalReferences": [{"type": "vcs", "url": known.address}],
        "properties": [{"name": "feedback-vault:source-within", "value": package.reference()}],
    });
    Ok(Some(Library { reference, component }))
}

/// The text in `#define NAME "text"`.
fn defined(header: &str, name: &str) -> Option<String> {
    header.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let matches = words.next() == Some("#define") && words.next() == Some(name);
        let text = words.next()?.strip_prefix('"')?.strip_suffix('"')?;
        matches.then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_a_header() {
        let header = "// #define V \"0\"\n#define VV \"1\"\n#define V       \"3.51.3\"\n#define V \"4\"";
        assert_eq!(defined(header, "V").as_deref(), Some("3.51.3"));
        assert_eq!(defined(header, "W"), None);
    }
}
