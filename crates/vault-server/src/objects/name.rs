//! Names of objects. A part's name is random: it tells nothing of record, collection or time.

use core::fmt;
use core::str::FromStr;

use object_store::path::Path;

/// Text that is not a name this program makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of an object")]
pub struct InvalidName;

/// The name of an object: `media/…`, `log/…` or `journal/…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Path);

impl Name {
    /// A fresh name for a part: 128 random bits, spread over 256 directories.
    #[must_use]
    pub fn fresh_part() -> Self {
        let text = hex::encode(vault_core::random::array::<16>());
        Self(Path::from_iter(["media", &text[..2], &text]))
    }

    /// A resource of the published log, by its path under the log's prefix (`checkpoint`, `tile/0/000`).
    pub fn log(resource: &str) -> Result<Self, InvalidName> {
        format!("log/{resource}").parse()
    }

    /// The journal's entry for a value of the restriction counter.
    #[must_use]
    pub fn journal(counter: i64) -> Self {
        Self(Path::from_iter(["journal", &format!("{counter:019}")]))
    }

    /// A fresh name for the check at start.
    pub(super) fn check() -> Self {
        Self(Path::from_iter(["check", &hex::encode(vault_core::random::array::<16>())]))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    /// Only what this program makes: a known first element, then elements of letters, digits, `.`, `-`; no empty
    /// element, none of dots alone. A row edited by hand cannot lead elsewhere on the disk.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut elements = text.split('/');
        let known = elements.next().is_some_and(|first| matches!(first, "media" | "log" | "journal"));
        let mut rest = 0;
        let plain = elements.all(|e| {
            rest += 1;
            !e.is_empty()
                && !e.bytes().all(|b| b == b'.')
                && e.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        });
        if known && plain && rest > 0 && text.len() <= 200 {
            Path::parse(text).map(Self).map_err(|_| InvalidName)
        } else {
            Err(InvalidName)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        for name in [Name::fresh_part(), Name::journal(7), Name::log("tile/0/x001/000.p/5").unwrap()] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for bad in [
            "",
            "media",
            "media/",
            "etc/passwd",
            "media/../../etc/passwd",
            "/media/x",
            "media//x",
            "media/a b",
            "log/#1",
        ] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName), "{bad}");
        }
    }
}
