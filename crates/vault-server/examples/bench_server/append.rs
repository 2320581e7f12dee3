//! Appending to the audit log.
//!
//! Ours: sixty-four sessions, each of which appends an entry, waits until it is committed and published, and appends the
//! next. Peer: one loop that binds the same rows and commits them in the groups that ours came to, and does nothing else:
//! no hash, no signature, no publication, nobody who waits. Both in a database of their own, by turns.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::{Any, QueryBuilder};
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, PlaybackOpened, Prepared};
use vault_core::audit::slot::{KeptUnder, OpeningKeys, OpeningUnder, SealedOpening, SlotName};
use vault_core::ids::{CollectionId, PersonId, RecordId, SessionId};
use vault_core::keys::hierarchy::{FieldKey, LogSeed, StaffAuditKey};
use vault_core::time::Clock as _;
use vault_server::app::ledger::{Ledger, OpeningKeySource};
use vault_server::clock::SystemClock;
use vault_server::metrics::Metrics;
use vault_server::objects::Objects;
use vault_server::store::Store;

use super::Failed;

const SESSIONS: usize = 64;
/// Entries of each session in a round.
const EACH: usize = 60;
const ROUNDS: usize = 7;
/// Rows in a statement, as the vault has them.
const ROWS: usize = 32;

struct OneKey(Arc<StaffAuditKey>);

#[async_trait]
impl OpeningKeySource for OneKey {
    async fn staff_audit_key(&self, _: CollectionId) -> Option<Arc<StaffAuditKey>> {
        Some(Arc::clone(&self.0))
    }

    async fn field_key(&self, _: RecordId) -> Option<FieldKey> {
        None
    }
}

/// An entry as a playback makes it, with four slots.
fn entry(collection: CollectionId, staff: &StaffAuditKey) -> Result<(Prepared<PlaybackOpened>, String), Failed> {
    let now = SystemClock.now();
    let session = SessionId::new(now);
    let draft = Draft::<PlaybackOpened>::new(now)
        .collection(collection)
        .data("representation", "original")
        .slot(SlotName::Session, session.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Staff, PersonId::new(now).to_string(), OpeningUnder::Staff)
        .slot(SlotName::Record, RecordId::new(now).to_string(), OpeningUnder::Staff)
        .slot(SlotName::Reason, "Hear what was said about the delivery".to_owned(), OpeningUnder::Staff);
    Ok((draft.prepare(&OpeningKeys { staff, record: None })?, format!("session:{session}")))
}

/// What a round appends, made before it is timed.
fn entries(collection: CollectionId, staff: &StaffAuditKey) -> Result<Vec<(Prepared<PlaybackOpened>, String)>, Failed> {
    (0..SESSIONS * EACH).map(|_| entry(collection, staff)).collect()
}

/// Entries a second by the ledger, and the sizes of the groups it committed.
async fn ours(
    ledger: &Ledger,
    mut entries: Vec<(Prepared<PlaybackOpened>, String)>,
) -> Result<(f64, Vec<usize>), Failed> {
    let before = ledger.checkpoint()?.size();
    let total = entries.len();
    let started = Instant::now();
    let mut sessions = Vec::new();
    while !entries.is_empty() {
        let (ledger, mine) = (ledger.clone(), entries.split_off(entries.len() - EACH));
        sessions.push(tokio::spawn(async move {
            let mut sizes = Vec::with_capacity(EACH);
            for (entry, reference) in mine {
                sizes.push(ledger.append(entry, Some(reference)).await?.log_size());
            }
            Ok::<_, Failed>(sizes)
        }));
    }
    let mut sizes = BTreeSet::new();
    for session in sessions {
        sizes.extend(session.await??);
    }
    let rate = total as f64 / started.elapsed().as_secs_f64();
    let mut last = before;
    let groups = sizes.into_iter().map(|size| usize::try_from(size - core::mem::replace(&mut last, size)));
    Ok((rate, groups.collect::<Result<_, _>>()?))
}

/// A row of the log and its openings, ready to be bound.
struct Row {
    entry: Vec<u8>,
    sealed: Vec<SealedOpening>,
    reference: String,
}

/// Entries a second by binding and committing alone.
async fn bare(
    store: &Store,
    next: &mut i64,
    entries: Vec<(Prepared<PlaybackOpened>, String)>,
    groups: &[usize],
) -> Result<f64, Failed> {
    let rows = entries.into_iter().map(|(prepared, reference)| {
        let (entry, sealed, _) = prepared.into_parts();
        Row { entry, sealed, reference }
    });
    let rows: Vec<Row> = rows.collect();
    let total = rows.len();
    let mut rest = rows.as_slice();
    let edge = vec![0_u8; 400];
    let started = Instant::now();
    for size in groups {
        let (group, later) = rest.split_at(*size.min(&rest.len()));
        rest = later;
        let mut tx = store.begin("bare").await?;
        sqlx::query("UPDATE log_head SET size = $1, edge = $2, fence = fence + 1 WHERE id = 1 AND size = $3")
            .bind(*next + i64::try_from(group.len())?)
            .bind(edge.clone())
            .bind(*next)
            .execute(tx.conn())
            .await?;
        for (at, chunk) in group.chunks(ROWS).enumerate() {
            let first = *next + i64::try_from(at * ROWS)?;
            let mut insert = QueryBuilder::<Any>::new("INSERT INTO log_entries (idx, entry, reference) ");
            insert.push_values((first..).zip(chunk), |mut bound, (idx, row)| {
                bound.push_bind(idx).push_bind(row.entry.clone()).push_bind(row.reference.clone());
            });
            insert.build().execute(tx.conn()).await?;
        }
        let openings: Vec<(i64, &SealedOpening)> =
            (*next..).zip(group).flat_map(|(idx, row)| row.sealed.iter().map(move |sealed| (idx, sealed))).collect();
        for chunk in openings.chunks(ROWS) {
            let mut insert = QueryBuilder::<Any>::new("INSERT INTO log_openings (idx, slot, under, owner, sealed) ");
            insert.push_values(chunk, |mut bound, (idx, opening)| {
                let (under, owner) = match opening.under {
                    KeptUnder::Record(id) => ("record", id.to_string()),
                    KeptUnder::Staff(id) => ("staff", id.to_string()),
                };
                bound.push_bind(*idx).push_bind(opening.slot.as_str()).push_bind(under).push_bind(owner);
                bound.push_bind(opening.sealed.clone());
            });
            insert.build().execute(tx.conn()).await?;
        }
        tx.commit().await?;
        *next += i64::try_from(group.len())?;
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

/// Both sides, by turns, in databases below `folder` or on the server at `database`.
pub async fn measure(folder: &Path, database: Option<&str>) -> Result<serde_json::Value, Failed> {
    let url = |name: &str| match database {
        Some(server) => format!("{server}/{name}"),
        None => format!("sqlite://{}?mode=rwc", folder.join(name).with_extension("db").display()),
    };
    let metrics = Arc::new(Metrics::new());
    let (store, other) = (
        Store::open(&url("ours"), Arc::clone(&metrics)).await?,
        Store::open(&url("peer"), Arc::clone(&metrics)).await?,
    );
    let objects = Objects::local(&folder.join("objects"))?;
    let ledger = Ledger::new(store, objects, Arc::new(SystemClock), metrics, Duration::from_secs(60));
    let staff = Arc::new(StaffAuditKey::generate());
    let signer = Arc::new(CheckpointSigner::new("bench.example/log", &LogSeed::generate())?);
    ledger.open(signer, Arc::new(OneKey(Arc::clone(&staff)))).await?;
    let mut tx = other.begin("begin").await?;
    vault_server::store::log::begin(&mut tx).await?;
    tx.commit().await?;

    let collection = CollectionId::new(SystemClock.now());
    let (mut mine, mut theirs, mut groups, mut next) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let (rate, sizes) = ours(&ledger, entries(collection, &staff)?).await?;
        let peer = bare(&other, &mut next, entries(collection, &staff)?, &sizes).await?;
        // The first round warms both up.
        if round > 0 {
            mine.push(rate);
            theirs.push(peer);
            groups.extend(sizes);
        }
    }
    groups.sort_unstable();
    let sample = entry(collection, &staff)?.0.into_parts();
    Ok(serde_json::json!({"ours": mine, "peer": theirs, "about": {
        "sessions": SESSIONS, "entries_a_round": SESSIONS * EACH, "group_median": groups.get(groups.len() / 2),
        "group_mean": groups.iter().sum::<usize>() as f64 / groups.len() as f64,
        "entry_bytes": sample.0.len(), "openings_an_entry": sample.1.len(),
    }}))
}
