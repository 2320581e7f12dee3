//! The rules of CycloneDX 1.6 that our documents could break. The format's own JSON schema checks more; docs/supply-chain.md
//! says how to hold a document against it.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is wrong with a document.
pub fn findings(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    expect(document["bomFormat"] == "CycloneDX", "bomFormat is not CycloneDX");
    expect(document["specVersion"] == "1.6", "specVersion is not 1.6");
    expect(document["version"].as_u64().is_some_and(|version| version >= 1), "version is no positive number");
    expect(document["serialNumber"].as_str().is_some_and(is_serial), "serialNumber is no urn:uuid");
    let whole = &document["metadata"]["component"];
    expect(whole["name"].is_string() && whole["type"].is_string(), "metadata.component has no name or type");
    for (key, _) in document.as_object().into_iter().flatten() {
        let known = [
            "$schema",
            "bomFormat",
            "specVersion",
            "serialNumber",
            "version",
            "metadata",
            "components",
            "dependencies",
        ];
        expect(known.contains(&key.as_str()), &format!("{key} is not a key that we write"));
    }

    let components = document["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut references: BTreeSet<&str> = whole["bom-ref"].as_str().into_iter().collect();
    for component in components {
        let name = component["name"].as_str().unwrap_or("?");
        for what in component_findings(component) {
            found.push(format!("{name}: {what}"));
        }
        if !component["bom-ref"].as_str().is_some_and(|reference| references.insert(reference)) {
            found.push(format!("{name}: bom-ref is missing or not unique"));
        }
    }
    if components.is_empty() {
        found.push("no component".to_owned());
    }

    let mut described = BTreeSet::new();
    for dependency in document["dependencies"].as_array().into_iter().flatten() {
        let from = dependency["ref"].as_str().unwrap_or("?");
        if !described.insert(from) {
            found.push(format!("{from}: its dependencies stand twice"));
        }
        let to = dependency["dependsOn"].as_array().into_iter().flatten().map(|to| to.as_str().unwrap_or("?"));
        for reference in std::iter::once(from).chain(to) {
            if !references.contains(reference) {
                found.push(format!("{reference} is depended on and not listed"));
            }
        }
    }
    found.extend(references.difference(&described).map(|reference| format!("{reference}: no dependencies given")));
    found
}

fn component_findings(component: &Value) -> Vec<&'static str> {
    let text = |key: &str| component[key].as_str().unwrap_or_default();
    let mut found = Vec::new();
    let mut expect = |holds: bool, what: &'static str| {
        if !holds {
            found.push(what);
        }
    };
    expect(["application", "library"].contains(&text("type")), "type is not one that we use");
    expect(["required", "excluded"].contains(&text("scope")), "scope is not one that we use");
    expect(!text("version").is_empty(), "no version");
    let purl = text("purl");
    expect(is_purl(purl), "purl has not the form of a package URL");
    let licence = &component["licenses"][0];
    let expression = licence["expression"].as_str().is_some_and(is_expression);
    expect(expression || licence["license"]["name"].is_string(), "no licence");
    // A crate of a registry without a hash could be anything.
    let hash = &component["hashes"][0];
    let hashed = hash["alg"] == "SHA-256" && hash["content"].as_str().is_some_and(|hash| is_hex(hash, 64));
    expect(hashed || !purl.starts_with("pkg:cargo/"), "no SHA-256");
    found
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_serial(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else { return false };
    let groups: Vec<&str> = uuid.split('-').collect();
    groups.len() == 5 && groups.iter().zip([8, 4, 4, 4, 12]).all(|(group, length)| is_hex(group, length))
}

fn is_purl(text: &str) -> bool {
    let Some((path, version)) = text.strip_prefix("pkg:").and_then(|rest| rest.rsplit_once('@')) else { return false };
    let fine = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || ".-_%".contains(c));
    path.split('/').count() >= 2 && path.split('/').all(fine) && fine(version)
}

/// Words, operators and brackets; that the licences exist is `cargo xtask test licences`' to say.
fn is_expression(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut open = 0_u32;
    let mut operand = false;
    for word in spaced.split_whitespace() {
        let fits = match word {
            "(" => !operand,
            "AND" | "OR" | "WITH" | ")" => operand,
            id => !operand && id.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c)),
        };
        if !fits || (word == ")" && open == 0) {
            return false;
        }
        match word {
            "(" => open += 1,
            ")" => open -= 1,
            "AND" | "OR" | "WITH" => operand = false,
            _ => operand = true,
        }
    }
    operand && open == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sound() -> Value {
        json!({
            "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
            "serialNumber": "urn:uuid:00000000-0000-8000-8000-000000000000",
            "metadata": {"component": {"type": "application", "name": "x", "bom-ref": "x"}},
            "components": [{
                "type": "library", "bom-ref": "pkg:cargo/a@1.0.0", "name": "a", "version": "1.0.0", "scope": "required",
                "purl": "pkg:cargo/a@1.0.0", "licenses": [{"expression": "MIT OR (ISC AND Apache-2.0)"}],
                "hashes": [{"alg": "SHA-256", "content": "ab".repeat(32)}],
            }],
            "dependencies": [{"ref": "x", "dependsOn": ["pkg:cargo/a@1.0.0"]}, {"ref": "pkg:cargo/a@1.0.0", "dependsOn": []}],
        })
    }

    #[test]
    fn a_sound_document_has_no_findings_and_each_planted_fault_has_one() {
        assert_eq!(findings(&sound()), Vec::<String>::new());
        let faults = [
            ("/specVersion", json!("1.4")),
            ("/version", json!(0)),
            ("/serialNumber", json!("urn:uuid:0")),
            ("/metadata/component/name", json!(null)),
            ("/components/0/version", json!("")),
            ("/components/0/purl", json!("a@1.0.0")),
            ("/components/0/licenses/0/expression", json!("MIT/ISC")),
            ("/components/0/licenses/0/expression", json!("(MIT")),
            ("/components/0/licenses/0/expression", json!("MIT OR")),
            ("/components/0/hashes/0/content", json!("ab")),
            ("/components/0/scope", json!("maybe")),
            ("/dependencies/0/dependsOn/0", json!("pkg:cargo/b@1.0.0")),
            ("/dependencies/1/ref", json!("x")),
        ];
        for (place, fault) in faults {
            let mut document = sound();
            *document.pointer_mut(place).expect("a place in the document") = fault;
            assert!(!findings(&document).is_empty(), "no finding for {place}");
        }
        let mut twice = sound();
        twice["components"] = json!([sound()["components"][0], sound()["components"][0]]);
        assert!(!findings(&twice).is_empty());
    }
}
