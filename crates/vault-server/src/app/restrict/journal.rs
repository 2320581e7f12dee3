//! The journal of restrictions in the object store (`docs/format.md` §9): what a database restored from a backup
//! reads to learn what was taken away since. Identifiers only.

use core::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use vault_core::time::Timestamp;

use super::{RestrictError, View};
use crate::objects::{Name, ObjectError, Objects};
use crate::store::Store;
use crate::store::restrictions::{self as rows, Act, Kind, Numbered, Restriction};

/// How far beyond a missing number to look for later ones. Numbers are missing while the object store could not be
/// written; a run of more than this many, followed by a loss of the database, would not be noticed.
const REACH: i64 = 64;

/// Entries of the journal read at once.
const AT_ONCE: usize = 16;

/// A run of missing entries, below the database's counter, beyond which the journal is not read on: at start each
/// missing one costs a look.
const LONGEST_GAP: usize = 4_096;

/// How long an act waits for its journal entry before it is answered as not journalled.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// An entry of the journal; members in alphabetical order, so that it is written the same way each time.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Entry {
    fn of(numbered: &Numbered) -> Self {
        let Numbered { counter, restriction, at } = numbered;
        Self {
            act: restriction.act.name().to_owned(),
            at: *at,
            counter: *counter,
            kind: restriction.kind.name().to_owned(),
            target: restriction.target.to_string(),
            until: restriction.until,
            v: 1,
        }
    }

    fn read(bytes: &[u8], counter: i64) -> Result<Numbered, RestrictError> {
        let damaged = RestrictError::Journal { counter };
        let Ok(entry) = serde_json::from_slice::<Self>(bytes) else { return Err(damaged) };
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
}

/// Writes one entry. Written again it is the same bytes under the same name.
async fn write(objects: &Objects, numbered: &Numbered) -> Result<(), RestrictError> {
    let bytes =
        serde_json::to_vec(&Entry::of(numbered)).map_err(|_| RestrictError::Journal { counter: numbered.counter })?;
    Ok(objects.put(&Name::journal(numbered.counter), bytes).await?)
}

/// Writes these entries and notes that they are written.
pub async fn keep(store: &Store, objects: &Objects, acts: &[Numbered]) -> Result<(), RestrictError> {
    for act in acts {
        write(objects, act).await?;
    }
    let mut tx = store.begin("note_journalled").await?;
    rows::mark_journalled(&mut tx, acts).await?;
    Ok(tx.commit().await?)
}

/// Writes every entry that is not in the journal yet. Returns how many were.
pub async fn catch_up(store: &Store, objects: &Objects) -> Result<usize, RestrictError> {
    let mut kept = 0;
    loop {
        let mut reader = store.read().await?;
        // What is written leaves this selection, so the next page begins at the front again.
        let waiting = rows::unjournalled(&mut reader, 0).await?;
        drop(reader);
        if waiting.is_empty() {
            return Ok(kept);
        }
        keep(store, objects, &waiting).await?;
        kept += waiting.len();
    }
}

/// Brings into force what the journal holds up to the database's counter: rows that are gone or altered take nothing
/// back. The database is left as it is, so that rows past their end do not come back into it.
///
/// A page at a time. A counter set far ahead by hand ends the reading at the first long run of missing entries.
pub async fn read_to_counter(store: &Store, objects: &Objects, view: &View) -> Result<(), RestrictError> {
    let mut reader = store.read().await?;
    let known = rows::counter(&mut reader).await?;
    drop(reader);
    let mut missing = 0;
    let mut entries = stream::iter(1..=known)
        .map(|counter| async move {
            match objects.get(&Name::journal(counter)).await {
                Ok(bytes) => Entry::read(&bytes, counter).map(Some),
                Err(ObjectError::Missing) => Ok(None),
                Err(e) => Err(e.into()),
            }
        })
        .buffered(AT_ONCE);
    while let Some(entry) = entries.try_next().await? {
        let Some(numbered) = entry else {
            missing += 1;
            if missing > LONGEST_GAP {
                break;
            }
            continue;
        };
        missing = 0;
        view.apply(&[numbered]);
    }
    Ok(())
}

/// What a look ahead found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Acts the database did not know.
    pub restored: usize,
    /// Numbers between them that the journal lacks: something was taken away, and nobody knows what.
    pub lost: usize,
}

/// Reads what the journal holds beyond the database's counter, and enters it: the database came from an older copy.
pub async fn replay(store: &Store, objects: &Objects) -> Result<Replayed, RestrictError> {
    let mut reader = store.read().await?;
    let mut known = rows::counter(&mut reader).await?;
    drop(reader);
    let mut replayed = Replayed::default();
    let mut ahead = 1;
    while ahead <= REACH {
        let counter = known.saturating_add(ahead);
        let bytes = match objects.get(&Name::journal(counter)).await {
            Ok(bytes) => bytes,
            Err(ObjectError::Missing) => {
                ahead += 1;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let numbered = Entry::read(&bytes, counter)?;
        let mut tx = store.begin("replay_restriction").await?;
        rows::restore(&mut tx, numbered).await?;
        tx.commit().await?;
        replayed.restored += 1;
        replayed.lost += usize::try_from(ahead - 1).unwrap_or(0);
        known = counter;
        ahead = 1;
    }
    Ok(replayed)
}

#[cfg(test)]
mod tests {
    use vault_core::ids::GrantId;

    use super::*;

    #[test]
    fn an_entry_is_what_the_format_says() {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let grant: GrantId = "01a00000-0000-7000-8000-000000000001".parse().unwrap();
        let restriction = Restriction { until: Some(at), ..Restriction::grant_revoked(grant) };
        let numbered = Numbered { counter: 7, restriction, at };
        let text = serde_json::to_string(&Entry::of(&numbered)).unwrap();
        assert_eq!(
            text,
            r#"{"act":"impose","at":"2026-09-21T14:13:20.000Z","counter":7,"kind":"grant-revoked","target":"01a00000-0000-7000-8000-000000000001","until":"2026-09-21T14:13:20.000Z","v":1}"#
        );
        assert_eq!(Entry::read(text.as_bytes(), 7).unwrap(), numbered);
        for bad in [
            text.replace("impose", "grant"),
            // p6: nothing that is final is lifted by a file.
            text.replace("impose", "lift"),
            text.replace("\"v\":1", "\"v\":2"),
            "{}".to_owned(),
            String::new(),
        ] {
            assert!(matches!(Entry::read(bad.as_bytes(), 7), Err(RestrictError::Journal { counter: 7 })), "{bad}");
        }
        assert!(Entry::read(text.as_bytes(), 8).is_err(), "an entry under another number");
    }
}
