//! The fuzz corpora as an ordinary test: every seed, every input that reached something new, and every one that failed.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

/// All corpora together stay small enough to be read at every run.
const MOST_BYTES: u64 = 1 << 20;

/// Whether a fuzzer named the file, by its SHA-1, and not one of us.
fn found(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Every file; those with a name also cut short and with bytes changed: a little of what the fuzzer would do.
#[test]
fn every_input_of_the_corpora() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut corpora: Vec<_> =
        fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    corpora.sort();
    let targets: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(corpora, targets, "a corpus for each target, and no other");
    let mut bytes = 0;
    for (name, check) in fuzz::TARGETS {
        let mut seeds = 0;
        for entry in fs::read_dir(root.join(name)).unwrap() {
            let entry = entry.unwrap();
            let data = fs::read(entry.path()).unwrap();
            bytes += data.len() as u64;
            check(&data);
            // Opening a keyring takes as long as its passphrase is to be protected.
            if found(entry.file_name().to_str().unwrap()) || *name == "keyring" {
                continue;
            }
            for step in 1..32 {
                let at = data.len() * step / 32;
                check(&data[..at]);
                let mut altered = data.clone();
                if let Some(byte) = altered.get_mut(at) {
                    *byte = byte.wrapping_mul(31).wrapping_add(u8::try_from(step).unwrap());
                    check(&altered);
                }
            }
            seeds += 1;
        }
        assert!(seeds > 0 || *name == "keyring", "{name} has no seeds of ours");
    }
    assert!(bytes < MOST_BYTES, "{bytes} bytes of corpora: minimise them");
}

/// A fuzzer builds what the manifest names.
#[test]
fn every_target_has_its_program() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let named: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let expected: Vec<String> = fuzz::TARGETS.iter().map(|(name, _)| format!("{name}.rs\"")).collect();
    assert_eq!(named, expected);
    for (name, _) in fuzz::TARGETS {
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("vault_fuzz::{name}(")), "{name}");
    }
}
