//! The fuzz corpora as an ordinary test: every seed, and every input that once failed.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

/// Every file, and every file cut short and with bytes changed: a little of what the fuzzer would do.
#[test]
fn every_input_of_the_corpora() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut corpora: Vec<_> =
        fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    corpora.sort();
    assert_eq!(corpora, fuzz::TARGETS.map(|(name, _)| name), "a corpus for each target, and no other");
    for (name, check) in fuzz::TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(root.join(name)).unwrap() {
            let data = fs::read(entry.unwrap().path()).unwrap();
            check(&data);
            for step in 1..32 {
                let at = data.len() * step / 32;
                check(&data[..at]);
                let mut altered = data.clone();
                if let Some(byte) = altered.get_mut(at) {
                    *byte = byte.wrapping_mul(31).wrapping_add(u8::try_from(step).unwrap());
                    check(&altered);
                }
            }
            files += 1;
        }
        assert!(files > 0, "{name} has no seeds");
    }
}
