//! The form of an entry of the journal of restrictions (`docs/format.md` §9).

use serde::{Deserialize, Serialize};

use super::{Act, Kind, Numbered, Restriction};
use crate::time::Timestamp;

/// The longest entry that is looked at; the longest that is written has some 250 bytes.
pub const MAX_ENTRY: usize = 4096;

/// Bytes that are not the entry of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {counter} of the journal of restrictions is damaged")]
pub struct InvalidEntry {
    /// The number under which they were found.
    pub counter: i64,
}

/// An entry; members in alphabetical order, so that it is written the same way each time.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    act: String,
    at: Timestamp,
    counter: i64,
    kind: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    v: u32,
}

/// The entry's bytes: the same for the same act.
pub fn write(numbered: &Numbered) -> Result<Vec<u8>, InvalidEntry> {
    let Numbered { counter, restriction, at } = numbered;
    let entry = Entry {
        act: restriction.act.name().to_owned(),
        at: *at,
        counter: *counter,
        kind: restriction.kind.name().to_owned(),
        target: restriction.target.to_string(),
        until: restriction.until,
        v: 1,
    };
    serde_json::to_vec(&entry).map_err(|_| InvalidEntry { counter: *counter })
}

/// Reads the entry that was found under the number `counter`.
pub fn read(bytes: &[u8], counter: i64) -> Result<Numbered, InvalidEntry> {
    let damaged = InvalidEntry { counter };
    if bytes.len() > MAX_ENTRY {
        return Err(damaged);
    }
    let Ok(entry) = serde_json::from_slice::<Entry>(bytes) else { return Err(damaged) };
    if entry.v != 1 || entry.counter != counter {
        return Err(damaged);
    }
    match (entry.act.parse(), entry.kind.parse(), entry.target.parse()) {
        // What is final is not given back: no vault writes that.
        (Ok(Act::Lift), Ok(kind), _) if Kind::is_final(kind) => Err(damaged),
        (Ok(act), Ok(kind), Ok(target)) => {
            let restriction = Restriction { act, kind, target, until: entry.until };
            Ok(Numbered { counter, restriction, at: entry.at })
        }
        _ => Err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GrantId;

    #[test]
    fn an_entry_is_what_the_format_says() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let grant: GrantId = "01a00000-0000-7000-8000-000000000001".parse().unwrap();
        let restriction = Restriction { until: Some(at), ..Restriction::grant_revoked(grant) };
        let numbered = Numbered { counter: 7, restriction, at };
        let text = String::from_utf8(write(&numbered).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"act":"impose","at":"2026-09-21T14:13:20.000Z","counter":7,"kind":"grant-revoked","target":"01a00000-0000-7000-8000-000000000001","until":"2026-09-21T14:13:20.000Z","v":1}"#
        );
        assert_eq!(read(text.as_bytes(), 7), Ok(numbered));
        for bad in [
            text.replace("impose", "grant"),
            // p6: nothing that is final is lifted by a file.
            text.replace("impose", "lift"),
            text.replace("\"v\":1", "\"v\":2"),
            format!("{text}{}", " ".repeat(MAX_ENTRY)),
            "{}".to_owned(),
            String::new(),
        ] {
            assert_eq!(read(bad.as_bytes(), 7), Err(InvalidEntry { counter: 7 }), "{bad}");
        }
        assert!(read(text.as_bytes(), 8).is_err(), "an entry under another number");
    }
}
