//! File systems of a test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory, or one that is mounted again over itself; unmounted when dropped.
pub struct Mount(pub PathBuf);

impl Mount {
    #[track_caller]
    pub fn at(place: &Path, options: &str) -> Self {
        std::fs::create_dir_all(place).expect("a place");
        mount(&["-t", "tmpfs", "-o", options, "vault-tests"], &[place]);
        Self(place.to_owned())
    }

    /// The directory becomes one that may only be read, for whoever opens a file in it from now on: what is open stays so.
    #[track_caller]
    pub fn read_only(place: &Path) -> Self {
        mount(&["--bind"], &[place, place]);
        let over = Self(place.to_owned());
        mount(&["-o", "remount,bind,ro"], &[place]);
        over
    }

    #[track_caller]
    pub fn again(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &[&self.0]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the server may still be at work there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[track_caller]
fn mount(arguments: &[&str], places: &[&Path]) {
    let done = Command::new("mount").args(arguments).args(places).output().expect("mount starts");
    assert!(done.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Fills the file system to its last byte.
pub fn fill(filler: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(filler).expect("a file");
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}
