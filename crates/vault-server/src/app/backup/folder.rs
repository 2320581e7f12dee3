//! The directory of a backup: for its owner alone, and readable line by line in bounded memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use vault_core::backup::manifest::{Checked, TableSum};
use vault_core::backup::{Cell, MAX_LINE, MAX_MANIFEST, Manifest, TABLES, Table, line};

use super::BackupError;
use crate::custody::private_file;
use crate::directory;

/// The file that makes it a backup.
pub const MANIFEST: &str = "manifest.json";

/// A backup's directory.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// A file of lines that is being written.
pub struct Writing<'f> {
    path: PathBuf,
    table: &'static Table,
    file: BufWriter<File>,
    hash: Sha256,
    sum: TableSum,
    _folder: &'f Folder,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

impl Folder {
    /// A directory to write into: new, empty, or with a backup that was not finished, which is taken away.
    pub fn begin(path: &Path) -> Result<Self, BackupError> {
        private_file::directory(path)?;
        let ours = |name: &str| {
            name == ".manifest.json.new"
                || name.strip_suffix(".jsonl").is_some_and(|table| TABLES.iter().any(|t| t.name == table))
        };
        let mut left = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io(path))? {
            let entry = entry.map_err(io(path))?;
            if !entry.file_name().to_str().is_some_and(ours) {
                return Err(BackupError::InTheWay(path.to_owned()));
            }
            left.push(entry.path());
        }
        for file in left {
            private_file::remove(&file)?;
        }
        // A directory that was there may have been open to others.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(io(path))?;
        Ok(Self(path.to_owned()))
    }

    /// A directory to read from.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn file(&self, table: &Table) -> PathBuf {
        self.0.join(format!("{}.jsonl", table.name))
    }

    /// Begins a table's file.
    pub fn write(&self, table: &'static Table) -> Result<Writing<'_>, BackupError> {
        let path = self.file(table);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| io(&path)(e.into()))?;
        let sum = TableSum { name: table.name.to_owned(), rows: 0, bytes: 0, sha256: String::new() };
        let file = BufWriter::with_capacity(1 << 18, File::from(file));
        Ok(Writing { path, table, file, hash: Sha256::new(), sum, _folder: self })
    }

    /// Writes the manifest, durably: from here on it is a backup. Answers its SHA-256.
    pub fn finish(&self, manifest: &Manifest) -> Result<String, BackupError> {
        let bytes = manifest.write()?;
        let path = self.0.join(MANIFEST);
        directory::sync_above(&path).map_err(io(&path))?;
        private_file::create(&path, &bytes)?;
        Ok(hex::encode(Sha256::digest(&bytes)))
    }

    /// The manifest, and its SHA-256.
    pub fn manifest(&self) -> Result<(Checked, String), BackupError> {
        let path = self.0.join(MANIFEST);
        let mut bytes = Vec::new();
        self.open(&path)?.take(MAX_MANIFEST as u64 + 1).read_to_end(&mut bytes).map_err(io(&path))?;
        Ok((Manifest::read(&bytes)?, hex::encode(Sha256::digest(&bytes))))
    }

    /// Not through a symbolic link, and not a pipe that would hang.
    fn open(&self, path: &Path) -> Result<File, BackupError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io(path)(e.into()))?;
        Ok(File::from(file))
    }

    /// Every row of a table, held against what the manifest says of the file. Rows come before the file's hash is known: nothing
    /// that `each` does counts until this returns.
    pub fn rows<E: From<BackupError>>(
        &self,
        table: &'static Table,
        sum: &TableSum,
        mut each: impl FnMut(Vec<Cell>) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.file(table);
        let mut file = BufReader::with_capacity(1 << 18, self.open(&path)?);
        let (mut hash, mut rows, mut bytes) = (Sha256::new(), 0_u64, 0_u64);
        let mut last: Option<Vec<Cell>> = None;
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let read = (&mut file).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut buffer).map_err(io(&path))?;
            if read == 0 {
                break;
            }
            rows += 1;
            bytes += read as u64;
            hash.update(&buffer);
            let wrong = |source| BackupError::Line { table: table.name, line: rows, source };
            let text = buffer.strip_suffix(b"\n").ok_or(wrong(line::LineError::Malformed))?;
            if rows > sum.rows {
                break;
            }
            let cells = line::read(text, table.columns).map_err(wrong)?;
            let key = cells.iter().take(table.key).cloned().collect::<Vec<_>>();
            if last.as_ref().is_some_and(|last| *last >= key) {
                let what = format!("{}.jsonl, line {rows}: its key does not come after the one before", table.name);
                return Err(BackupError::Altered(what).into());
            }
            last = Some(key);
            each(cells)?;
        }
        if rows != sum.rows || bytes != sum.bytes || hex::encode(hash.finalize()) != sum.sha256 {
            return Err(BackupError::Altered(format!("{}.jsonl is not what the manifest says", table.name)).into());
        }
        Ok(())
    }
}

impl Writing<'_> {
    /// Adds a row.
    pub fn row(&mut self, cells: &[Cell]) -> Result<(), BackupError> {
        let wrong = |source| BackupError::Line { table: self.table.name, line: self.sum.rows + 1, source };
        let line = line::write(cells, self.table.columns).map_err(wrong)?;
        self.file.write_all(&line).map_err(io(&self.path))?;
        self.hash.update(&line);
        self.sum.rows += 1;
        self.sum.bytes += line.len() as u64;
        Ok(())
    }

    /// Ends the file, durably.
    pub fn end(mut self) -> Result<TableSum, BackupError> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(io(&self.path))?;
        Ok(TableSum { sha256: hex::encode(self.hash.finalize()), ..self.sum })
    }
}
