//! What lies on disk, and whether anything of the recording can be found in it.

use std::path::{Path, PathBuf};

/// Length of the samples that are searched for: long enough that chance finds none.
const SAMPLE: usize = 24;

/// What a look at the data directory found.
pub struct Look {
    /// Files and bytes below `objects/media`.
    pub parts: (usize, u64),
    /// Files and bytes in all.
    pub all: (usize, u64),
    /// How many samples were searched for in each file.
    pub samples: usize,
    /// Files that hold one of them.
    pub found: Vec<PathBuf>,
}

/// Searches every file below `folder` for pieces of `recording` and for `texts`.
pub fn look(folder: &Path, recording: &[u8], texts: &[&str]) -> Result<Look, String> {
    let mut needles = samples(recording);
    needles.extend(texts.iter().map(|text| text.as_bytes()));
    // A search that finds nothing proves something only if it finds what is there.
    if !needles[..needles.len() - texts.len()].iter().all(|needle| holds(recording, needle)) {
        return Err("the search does not find the recording in the recording".to_owned());
    }
    let mut look = Look { parts: (0, 0), all: (0, 0), samples: needles.len(), found: Vec::new() };
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // A file may go away while we look: the vault is at work.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let size = bytes.len() as u64;
            look.all = (look.all.0 + 1, look.all.1 + size);
            if path.iter().any(|part| part == "media") {
                look.parts = (look.parts.0 + 1, look.parts.1 + size);
            }
            if needles.iter().any(|needle| holds(&bytes, needle)) {
                look.found.push(path);
            }
        }
    }
    Ok(look)
}

/// Pieces from all over the recording, but for those that say nothing (runs of few values).
fn samples(recording: &[u8]) -> Vec<&[u8]> {
    let distinct = |piece: &[u8]| piece.iter().collect::<std::collections::BTreeSet<_>>().len() > SAMPLE / 2;
    let step = (recording.len() / 64).max(SAMPLE);
    recording.chunks(step).filter_map(|chunk| chunk.get(..SAMPLE)).filter(|piece| distinct(piece)).collect()
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(needle) {
            return true;
        }
        from += at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_piece_is_found_and_a_clean_folder_is_clean() {
        let folder = tempfile::tempdir().expect("a folder");
        let recording: Vec<u8> = (0..20_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_be_bytes()).collect();
        std::fs::create_dir_all(folder.path().join("objects/media/x")).expect("made");
        std::fs::write(folder.path().join("objects/media/x/part"), vec![7; 4096]).expect("written");
        let clean = look(folder.path(), &recording, &["C-2026"]).expect("looked");
        assert!(clean.found.is_empty() && clean.parts == (1, 4096) && clean.samples > 32);

        std::fs::write(folder.path().join("leak"), &recording[40_000..44_000]).expect("written");
        std::fs::write(folder.path().join("log"), "case C-2026").expect("written");
        assert_eq!(look(folder.path(), &recording, &["C-2026"]).expect("looked").found.len(), 2);
    }
}
