//! What survives of which calls.

use super::*;
use crate::power::trace;

/// What an image of these calls holds, names and contents.
fn image(calls: &str, kept: Kept<'_>) -> Vec<(String, String)> {
    let mut disk = Disk::below(Path::new("/r"));
    trace::read(calls.as_bytes(), |thread, moment, call| disk.happens(thread, moment, call));
    let target = tempfile::tempdir().expect("a directory");
    disk.image(target.path(), kept);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(target.path()).expect("a directory") {
        let entry = entry.expect("readable");
        let text = std::fs::read_to_string(entry.path()).expect("a file of text");
        found.push((entry.file_name().to_string_lossy().into_owned(), text));
    }
    found.sort();
    found
}

const CREATED: &str = concat!(
    "1 openat(AT_FDCWD</r>, \"/r/a\", O_RDWR|O_CREAT, 0600) = 3</r/a>\n",
    "1 write(3</r/a>, \"one\", 3) = 3\n",
);
const SYNC_FILE: &str = "1 fsync(3</r/a>) = 0\n";
const SYNC_DIRECTORY: &str =
    concat!("1 openat(AT_FDCWD</r>, \"/r\", O_RDONLY) = 4</r>\n", "1 fsync(4</r>) = 0\n", "1 close(4</r>) = 0\n",);

fn strictly(calls: &[&str]) -> Vec<(String, String)> {
    image(&calls.concat(), Kept::SyncedOnly)
}

fn files(named: &[(&str, &str)]) -> Vec<(String, String)> {
    named.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_file_needs_its_own_sync_and_its_directorys() {
    assert_eq!(strictly(&[CREATED]), []);
    assert_eq!(strictly(&[CREATED, SYNC_FILE]), [], "a name that was not synced");
    assert_eq!(strictly(&[CREATED, SYNC_DIRECTORY]), files(&[("a", "")]), "bytes that were not synced");
    assert_eq!(strictly(&[CREATED, SYNC_FILE, SYNC_DIRECTORY]), files(&[("a", "one")]));
    let more = "1 write(3</r/a>, \"two\", 3) = 3\n";
    assert_eq!(strictly(&[CREATED, SYNC_FILE, SYNC_DIRECTORY, more]), files(&[("a", "one")]));
    assert_eq!(strictly(&[CREATED, SYNC_FILE, SYNC_DIRECTORY, more, SYNC_FILE]), files(&[("a", "onetwo")]));
}

#[test]
fn a_rename_needs_the_directorys_sync_and_a_removal_too() {
    let whole = [CREATED, SYNC_FILE, SYNC_DIRECTORY].concat();
    let renamed = "1 rename(\"/r/a\", \"/r/b\") = 0\n";
    assert_eq!(strictly(&[&whole, renamed]), files(&[("a", "one")]));
    assert_eq!(strictly(&[&whole, renamed, SYNC_DIRECTORY]), files(&[("b", "one")]));
    let removed = "1 unlink(\"/r/a\") = 0\n";
    assert_eq!(strictly(&[&whole, removed]), files(&[("a", "one")]));
    assert_eq!(strictly(&[&whole, removed, SYNC_DIRECTORY]), []);
}

#[test]
fn a_sync_covers_what_was_written_before_it_began() {
    let overtaken = concat!(
        "1 fsync(3</r/a> <unfinished ...>\n",
        "2 pwrite64(3</r/a>, \"X\", 1, 0) = 1\n",
        "1 <... fsync resumed>) = 0\n",
    );
    assert_eq!(strictly(&[CREATED, SYNC_DIRECTORY, overtaken]), files(&[("a", "one")]));
    let second = concat!(
        "1 fsync(3</r/a> <unfinished ...>\n",
        "2 pwrite64(3</r/a>, \"X\", 1, 0) = 1\n",
        "2 fsync(3</r/a> <unfinished ...>\n",
        "1 <... fsync resumed>) = 0\n",
        "3 pwrite64(3</r/a>, \"Y\", 1, 1) = 1\n",
        "2 <... fsync resumed>) = 0\n",
    );
    assert_eq!(strictly(&[CREATED, SYNC_DIRECTORY, second]), files(&[("a", "Xne")]));
}

#[test]
fn what_was_not_synced_may_survive_in_part() {
    let big = format!("1 write(3</r/a>, \"{}\", 2048) = 2048\n", "x".repeat(2048));
    let calls = ["1 openat(AT_FDCWD</r>, \"/r/a\", O_RDWR|O_CREAT, 0600) = 3</r/a>\n", SYNC_DIRECTORY, &big].concat();
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let found = image(&calls, Kept::Some(&mut Chance::new(seed)));
        assert!(found[0].1.len().is_multiple_of(SECTOR), "torn within a sector");
        lengths.insert(found[0].1.len());
    }
    assert!(lengths.len() >= 4, "too little happens: {lengths:?}");
}
