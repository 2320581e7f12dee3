//! A search for what must not be there, in every form that it could be there in.
//!
//! A secret is looked for as its bytes, in hexadecimal of both cases, and in base64 of both alphabets. Inside
//! a longer base64 text a secret begins at any of three alignments, so the search takes the characters that do not
//! depend on the neighbours, for each of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter secrets could be found by chance in base64 or ciphertext.
const MIN_LENGTH: usize = 8;

/// Something that must not be found, and what to call it in a finding.
#[derive(Clone, Debug)]
pub struct Canary {
    /// For findings; not itself secret.
    pub name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// A secret of at least eight bytes.
    #[must_use]
    pub fn new(name: impl Into<String>, secret: &[u8]) -> Self {
        let name = name.into();
        assert!(secret.len() >= MIN_LENGTH, "{name} is too short to search for");
        let mut forms = vec![
            ("as it is", secret.to_vec()),
            ("in hex", hex::encode(secret).into_bytes()),
            ("in upper-case hex", hex::encode_upper(secret).into_bytes()),
        ];
        for (alphabet, engine) in [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)] {
            for shift in 0..3 {
                forms.push((alphabet, inner_base64(secret, shift, |bytes| engine.encode(bytes))));
            }
        }
        Self { name, forms }
    }

    /// Text that holds it in one of its forms, for a positive control.
    #[must_use]
    pub fn planted(&self, which: usize) -> Vec<u8> {
        let (_, form) = &self.forms[which % self.forms.len()];
        [b"... ".as_slice(), form, b" ..."].concat()
    }

    /// In which form it lies in `bytes`, if it does.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let index = Index::of(std::slice::from_ref(self));
        index.find(bytes).into_values().next()
    }
}

/// All forms of all canaries by their first eight bytes: one pass over a file finds any of them.
struct Index<'a> {
    /// Which first two bytes occur at all.
    pairs: Vec<bool>,
    forms: HashMap<[u8; MIN_LENGTH], Vec<Form<'a>>>,
}

/// A canary by its place, the name of one of its forms, and that form's bytes.
type Form<'a> = (usize, &'static str, &'a [u8]);

impl<'a> Index<'a> {
    fn of(canaries: &'a [Canary]) -> Self {
        let mut index = Self { pairs: vec![false; 1 << 16], forms: HashMap::new() };
        for (which, canary) in canaries.iter().enumerate() {
            for (how, form) in &canary.forms {
                let start = form.first_chunk().expect("no form is shorter than the secret");
                index.pairs[pair(form)] = true;
                index.forms.entry(*start).or_default().push((which, how, form));
            }
        }
        index
    }

    /// The canaries that lie in `bytes`, each with one of the forms in which it does.
    fn find(&self, bytes: &[u8]) -> BTreeMap<usize, &'static str> {
        let mut found = BTreeMap::new();
        for (at, window) in bytes.windows(MIN_LENGTH).enumerate() {
            if !self.pairs[pair(window)] {
                continue;
            }
            let start: Option<&[u8; MIN_LENGTH]> = window.first_chunk();
            for (which, how, form) in start.and_then(|s| self.forms.get(s)).into_iter().flatten() {
                if bytes[at..].starts_with(form) {
                    found.entry(*which).or_insert(*how);
                }
            }
        }
        found
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// The characters of a base64 text that a secret at `shift` (mod 3) fixes by itself.
fn inner_base64(secret: &[u8], shift: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(secret);
    let text = encode(&padded).into_bytes();
    // A character holds six bits: the first that lies wholly behind the `shift` bytes, to the last that lies
    // wholly before the end.
    let first = (shift * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    text[first..last].to_vec()
}

/// Every place below `folder`, or in the single files, where a canary lies; each said in words.
#[must_use]
pub fn search(canaries: &[Canary], places: &[&Path], but: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    for place in places {
        collect(place, but, &mut files);
    }
    assert!(!files.is_empty(), "there is nothing to search");
    let index = Index::of(canaries);
    let mut found = Vec::new();
    for file in files {
        // A file may go away while we look: the vault may be at work.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let mut here = index.find(&bytes);
        here.extend(index.find(file.to_string_lossy().as_bytes()));
        for (which, how) in here {
            found.push(format!("{} {how} in {}", canaries[which].name, file.display()));
        }
    }
    found
}

fn collect(place: &Path, but: &[&str], files: &mut Vec<PathBuf>) {
    if place.is_file() {
        files.push(place.to_owned());
        return;
    }
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        let skipped = path.file_name().is_some_and(|name| but.iter().any(|skip| name == *skip));
        if path.is_dir() {
            collect(&path, but, files);
        } else if !skipped {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_every_form_and_alignment() {
        let secret = b"Hildegard's voice, 0xC0FFEE";
        let canary = Canary::new("secret", secret);
        for before in 0..7 {
            for after in 0..4 {
                let mut plain = vec![b'<'; before];
                plain.extend_from_slice(secret);
                plain.extend(vec![b'>'; after]);
                for text in [
                    plain.clone(),
                    hex::encode(&plain).into_bytes(),
                    hex::encode_upper(&plain).into_bytes(),
                    STANDARD_NO_PAD.encode(&plain).into_bytes(),
                    URL_SAFE_NO_PAD.encode(&plain).into_bytes(),
                ] {
                    assert!(canary.found_in(&text).is_some(), "{before} {after} {}", String::from_utf8_lossy(&text));
                }
            }
        }
        assert_eq!(canary.found_in(b"Hildegard's voice, 0xC0FFEF"), None);
    }

    #[test]
    fn names_of_files_are_searched_and_exceptions_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("sub")).expect("made");
        std::fs::write(folder.path().join("sub/complaint-4711.webm"), b"x").expect("written");
        std::fs::write(folder.path().join("dev.json"), b"complaint-4711").expect("written");
        let canary = [Canary::new("filename", b"complaint-4711")];
        let found = search(&canary, &[folder.path()], &["dev.json"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(search(&canary, &[folder.path()], &[]).len(), 2);
    }
}
