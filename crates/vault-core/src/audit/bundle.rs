//! The one-file export: a header line, then one line for each entry with what is shown of its slots. JSON Lines.
//!
//! The header declares whether the export is complete, that is, withholds nothing that was not erased. Nothing in the
//! file is trusted: entries are hashed as they stand in it, to the byte.

use serde::{Deserialize, Serialize};

use std::borrow::Cow;

use crate::audit::entry::MAX_ENTRY;
use crate::audit::slot::{Opening, SALT_LEN, SlotName};
use crate::audit::verify::{Claim, Shown};

/// What the header's `format` says.
pub const FORMAT: &str = "feedback-vault/audit-bundle/v1";

/// The longest line: an entry, and every slot opened at its longest, escaped.
pub const MAX_LINE: usize = MAX_ENTRY + 16 * 7 * (1 << 20);

/// A line that is not one of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a line of an audit log export")]
pub struct InvalidLine;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// The signed checkpoint over the entries that follow.
    pub checkpoint: String,
    /// Whether nothing is withheld.
    pub complete: bool,
}

impl Header {
    /// The header of an export under this checkpoint.
    #[must_use]
    pub fn new(checkpoint: String, complete: bool) -> Self {
        Self { format: FORMAT.to_owned(), checkpoint, complete }
    }

    /// Reads the first line, without its newline.
    pub fn parse(line: &str) -> Result<Self, InvalidLine> {
        let header: Self = serde_json::from_str(line).map_err(|_| InvalidLine)?;
        if header.format == FORMAT { Ok(header) } else { Err(InvalidLine) }
    }

    /// The line, with its newline.
    pub fn to_line(&self) -> Result<String, InvalidLine> {
        serde_json::to_string(self).map(|line| line + "\n").map_err(|_| InvalidLine)
    }
}

/// A line is `{"entry":…,"openings":[…]}`, the members in this order and without white space, so that the entry's bytes
/// can be cut out as they are.
const BEFORE_ENTRY: &str = "{\"entry\":";
const BEFORE_OPENINGS: &str = ",\"openings\":";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot<'a> {
    #[serde(borrow)]
    slot: Cow<'a, str>,
    status: Status,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    salt: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Opened,
    Withheld,
    Erased,
    Missing,
}

/// Writes the line of an entry, which is JSON text, and its slots.
pub fn entry_line(entry: &[u8], shown: &[Shown]) -> Result<String, InvalidLine> {
    let entry = core::str::from_utf8(entry).map_err(|_| InvalidLine)?;
    let slots: Vec<Slot<'_>> = shown.iter().map(slot).collect();
    let openings = serde_json::to_string(&slots).map_err(|_| InvalidLine)?;
    // A line break in an entry that is not canonical would break the line.
    if entry.contains(['\n', '\r']) {
        return Err(InvalidLine);
    }
    Ok(format!("{BEFORE_ENTRY}{entry}{BEFORE_OPENINGS}{openings}}}\n"))
}

fn slot(shown: &Shown) -> Slot<'static> {
    let (status, opening) = match &shown.claim {
        Claim::Opened(opening) => (Status::Opened, Some(opening)),
        Claim::Withheld => (Status::Withheld, None),
        Claim::Erased => (Status::Erased, None),
        Claim::Missing => (Status::Missing, None),
    };
    Slot {
        slot: Cow::Borrowed(shown.slot.as_str()),
        status,
        salt: opening.map(|o| hex::encode(o.salt()).into()),
        value: opening.map(|o| o.value().to_owned()),
    }
}

/// Reads the line of entry `index`, without its newline: the entry's bytes and its slots.
///
/// The openings begin at the last place where they can: behind it only their own members come, in which a quotation
/// mark that is content has a backslash before it. So a line has one reading, whatever its entry holds.
pub fn parse_line(index: u64, line: &str) -> Result<(&[u8], Vec<Shown>), InvalidLine> {
    let rest = line.strip_prefix(BEFORE_ENTRY).ok_or(InvalidLine)?;
    let at = memchr::memmem::rfind(rest.as_bytes(), BEFORE_OPENINGS.as_bytes()).ok_or(InvalidLine)?;
    let (entry, rest) = rest.split_at_checked(at).ok_or(InvalidLine)?;
    let openings = rest.strip_prefix(BEFORE_OPENINGS).and_then(|rest| rest.strip_suffix('}')).ok_or(InvalidLine)?;
    let slots: Vec<Slot<'_>> = serde_json::from_str(openings).map_err(|_| InvalidLine)?;
    let shown = slots.into_iter().map(|slot| claim(index, slot)).collect::<Option<_>>().ok_or(InvalidLine)?;
    Ok((entry.as_bytes(), shown))
}

fn claim(index: u64, shown: Slot<'_>) -> Option<Shown> {
    let slot = SlotName::parse(&shown.slot)?;
    let claim = match (shown.status, shown.salt, shown.value) {
        (Status::Opened, Some(salt), Some(value)) => Claim::Opened(Opening::from_parts(slot, salt_of(&salt)?, value)),
        (Status::Withheld, None, None) => Claim::Withheld,
        (Status::Erased, None, None) => Claim::Erased,
        (Status::Missing, None, None) => Claim::Missing,
        _ => return None,
    };
    Some(Shown { index, slot, claim })
}

/// The value of a lower-case hexadecimal digit; anything else has the upper half set.
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// A salt out of its digits: lower case only, since upper case would be a second spelling. By a table, and one look for
/// all digits: a log of a million entries shows several million salts.
#[must_use]
pub fn salt_of(text: &str) -> Option<[u8; SALT_LEN]> {
    let text: &[u8; 2 * SALT_LEN] = text.as_bytes().try_into().ok()?;
    let (mut salt, mut wrong) = ([0; SALT_LEN], 0);
    for (byte, [high, low]) in salt.iter_mut().zip(text.as_chunks::<2>().0) {
        let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
        wrong |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    (wrong < 16).then_some(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_read_from_lower_case_digits_and_nothing_else() {
        let salt: [u8; SALT_LEN] = core::array::from_fn(|i| u8::try_from(i * 8 + 5).unwrap_or(0));
        let text = hex::encode(salt);
        assert_eq!(salt_of(&text), Some(salt));
        assert_eq!(salt_of(&text.to_uppercase()), None);
        assert_eq!(salt_of(&text[1..]), None);
        for at in 0..text.len() {
            for wrong in ['g', '/', ':', '`', '@', ' ', '\0'] {
                let mut other = text.clone();
                other.replace_range(at..=at, &wrong.to_string());
                assert_eq!(salt_of(&other), None, "{wrong:?} at {at}");
            }
        }
    }
}
