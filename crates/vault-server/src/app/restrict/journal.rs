//! The journal of restrictions in the object store (`docs/format.md` §9): what a database restored from a backup
//! reads to learn what was taken away since. Identifiers only; an entry's form is [`vault_core::restriction::journal`]'s.

use core::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use vault_core::restriction::Numbered;
use vault_core::restriction::journal::{self, InvalidEntry};

use super::{RestrictError, View};
use crate::objects::{Name, ObjectError, Objects};
use crate::store::Store;
use crate::store::restrictions as rows;

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

impl From<InvalidEntry> for RestrictError {
    fn from(InvalidEntry { counter }: InvalidEntry) -> Self {
        Self::Journal { counter }
    }
}

/// Writes one entry. Written again it is the same bytes under the same name.
async fn write(objects: &Objects, numbered: &Numbered) -> Result<(), RestrictError> {
    Ok(objects.put(&Name::journal(numbered.counter), journal::write(numbered)?).await?)
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
    let known = rows::counter(reader.conn()).await?;
    drop(reader);
    let mut missing = 0;
    let mut entries = stream::iter(1..=known)
        .map(|counter| async move {
            match objects.get(&Name::journal(counter)).await {
                Ok(bytes) => Ok::<_, RestrictError>(Some(journal::read(&bytes, counter)?)),
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
    let mut known = rows::counter(reader.conn()).await?;
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
        let numbered = journal::read(&bytes, counter)?;
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
