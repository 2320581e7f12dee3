//! A log as an export shows it: read line by line, one bundle in memory.
//!
//! What is not of its form is handed on in a shape that the verifier finds wrong, since that is tampering and not a
//! failure to read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use vault_core::audit::bundle::{Header, MAX_LINE, parse_line};
use vault_core::audit::tile::{self, Tile, WIDTH};
use vault_core::audit::verify::{Shown, Source};

use crate::error::Failure;

/// Reads an export.
pub struct Export {
    path: PathBuf,
    lines: BufReader<File>,
    header: Option<Header>,
    /// What the lines of the bundle read last show.
    shown: Vec<Shown>,
}

impl Export {
    /// Opens an export and reads its header.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(Failure::file(path))?;
        let mut export = Self { path: path.to_owned(), lines: BufReader::new(file), header: None, shown: Vec::new() };
        export.header = match export.line()? {
            Some(Some(line)) => Header::parse(&line).ok(),
            _ => None,
        };
        Ok(export)
    }

    /// The next line: `None` at the end, `Some(None)` for one that is too long or not text.
    fn line(&mut self) -> Result<Option<Option<String>>, Failure> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.lines).take(limit).read_until(b'\n', &mut bytes).map_err(Failure::file(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        // A last line without its end was cut.
        let whole = bytes.pop() == Some(b'\n');
        Ok(Some(String::from_utf8(bytes).ok().filter(|_| whole)))
    }
}

impl Source for Export {
    type Error = Failure;

    fn checkpoint(&mut self) -> Result<String, Failure> {
        // Without a header there is no checkpoint: an empty note is malformed.
        Ok(self.header.as_ref().map(|header| header.checkpoint.clone()).unwrap_or_default())
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Failure> {
        self.shown.clear();
        let first = bundle.index * u64::from(WIDTH);
        let (mut bytes, mut sound) = (Vec::new(), true);
        for index in first..first + u64::from(bundle.width) {
            match self.line()? {
                None => return Ok(None),
                Some(line) => match line.as_deref().map(|line| parse_line(index, line)) {
                    Some(Ok((entry, shown))) => {
                        sound &= tile::push_entry(&mut bytes, &entry).is_ok();
                        self.shown.extend(shown);
                    }
                    // One line in the wrong form must not hide what is wrong with the others.
                    _ => sound &= tile::push_entry(&mut bytes, b"").is_ok(),
                },
            }
        }
        Ok(Some(if sound { bytes } else { Vec::new() }))
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
