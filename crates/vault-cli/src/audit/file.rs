//! A log as an export shows it: read line by line, one bundle in memory.
//!
//! What is not of its form is handed on in a shape that the verifier finds wrong, since that is tampering and not a
//! failure to read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use vault_core::audit::bundle::{Header, MAX_LINE, parse_line};
use vault_core::audit::tile::{self, Tile, WIDTH};
use vault_core::audit::verify::{Read, Shown, Source, Unread};

use crate::error::Failure;

/// Read from the file at once.
const READ: usize = 256 << 10;

/// Beyond this, room for a bundle is made as it comes: one of four openings an entry takes a quarter of it.
const USUAL: usize = 1 << 20;

/// Reads an export.
pub struct Export {
    path: PathBuf,
    lines: BufReader<File>,
    header: Option<Header>,
    /// How long the bundle read last was: the next is about as long.
    expected: usize,
    /// What the lines of the bundle read last show.
    shown: Vec<Shown>,
}

impl Export {
    /// Opens an export and reads its header.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(Failure::file(path))?;
        let mut export = Self {
            path: path.to_owned(),
            lines: BufReader::with_capacity(READ, file),
            header: None,
            expected: 0,
            shown: Vec::new(),
        };
        export.header = match export.line()? {
            Some(Some(line)) => Header::parse(&line).ok(),
            _ => None,
        };
        Ok(export)
    }

    /// The next line: `None` at the end, `Some(None)` for one that is too long or not text.
    fn line(&mut self) -> Result<Option<Option<String>>, Failure> {
        let mut bytes = Vec::new();
        let Some(whole) = self.append_line(&mut bytes)? else { return Ok(None) };
        Ok(Some(String::from_utf8(bytes).ok().filter(|_| whole)))
    }

    /// Appends the next line without its newline; whether it is whole. `None` at the end.
    fn append_line(&mut self, bytes: &mut Vec<u8>) -> Result<Option<bool>, Failure> {
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.lines).take(limit).read_until(b'\n', bytes).map_err(Failure::file(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        // A last line without its end was cut.
        Ok(Some(bytes.pop_if(|last| *last == b'\n').is_some()))
    }
}

/// The lines of a bundle as they were read.
struct Lines {
    first: u64,
    bytes: Vec<u8>,
    /// Where each ends, and whether it is whole.
    ends: Vec<(usize, bool)>,
    /// The export ended before the bundle did.
    cut: bool,
}

impl Lines {
    fn understand(self) -> Read {
        let (mut bundle, mut shown, mut sound) = (Vec::with_capacity(self.bytes.len()), Vec::new(), true);
        let mut start = 0;
        for (index, (end, whole)) in (self.first..).zip(&self.ends) {
            let line = self.bytes.get(start..*end).filter(|_| *whole).and_then(|line| core::str::from_utf8(line).ok());
            start = *end;
            match line.map(|line| parse_line(index, line)) {
                Some(Ok((entry, openings))) => {
                    sound &= tile::push_entry(&mut bundle, entry).is_ok();
                    shown.extend(openings);
                }
                // One line in the wrong form must not hide what is wrong with the others.
                _ => sound &= tile::push_entry(&mut bundle, b"").is_ok(),
            }
        }
        let bundle = if sound { bundle } else { Vec::new() };
        ((!self.cut).then_some(bundle), shown)
    }
}

impl Source for Export {
    type Error = Failure;

    fn checkpoint(&mut self) -> Result<String, Failure> {
        // Without a header there is no checkpoint: an empty note is malformed.
        Ok(self.header.as_ref().map(|header| header.checkpoint.clone()).unwrap_or_default())
    }

    fn bundle(&mut self, bundle: Tile) -> Result<Unread, Failure> {
        let first = bundle.index * u64::from(WIDTH);
        let (bytes, ends) = (Vec::with_capacity(self.expected), Vec::with_capacity(bundle.width.into()));
        let mut lines = Lines { first, bytes, ends, cut: false };
        for _ in 0..bundle.width {
            let Some(whole) = self.append_line(&mut lines.bytes)? else {
                lines.cut = true;
                break;
            };
            lines.ends.push((lines.bytes.len(), whole));
        }
        self.expected = lines.bytes.len().min(USUAL);
        Ok(Box::new(move || lines.understand()))
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Failure> {
        let (entries, shown) = self.bundle(bundle)?();
        self.shown = shown;
        Ok(entries)
    }

    fn has_tiles(&self) -> bool {
        false
    }

    fn hashes(&mut self, _: Tile) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn openings(&mut self, _: u64, _: u64) -> Result<Vec<Shown>, Failure> {
        Ok(core::mem::take(&mut self.shown))
    }

    fn has_surplus(&mut self) -> Result<bool, Failure> {
        Ok(self.line()?.is_some())
    }

    fn is_complete(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.complete)
    }
}
