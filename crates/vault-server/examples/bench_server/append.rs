//! Appending to the audit log.
//!
//! Ours: sixty-four sessions, each of which appends an entry, waits until it is committed and published, and appends the
//! next. Peer: one loop that binds the same rows and commits them in the groups that ours came to, and does nothing else:
//! no hash, no signature, no publication, nobody who waits. Both in a database of their own, by turns.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use vault_core::audit::checkpoint::CheckpointSigner;
use vault_core::audit::entry::{Draft, PlaybackOpened, Prepared};
use vault_core::audit::slot::{KeptUnder, OpeningKeys, OpeningUnder, SealedOpening, SlotName};
use vault_core::ids::{CollectionId, PersonId, RecordId, SessionId};
use vault_core::keys::hierarchy::{FieldKey, LogSeed, StaffAuditKey};
use vault_core::time::Clock as _;
use vault_server::app::ledger::{Ledger, LedgerError, OpeningKeySource};
use vault_server::clock::SystemClock;
use vault_server::metrics::Metrics;
use vault_server::objects::Objects;
use vault_server::store::{Source, Store};

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
    async fn staff_audit_key(&self, _: CollectionId) -> Result<Option<Arc<StaffAuditKey>>, LedgerError> {
        Ok(Some(Arc::clone(&self.0)))
    }

    async fn field_key(&self, _: RecordId) -> Result<Option<FieldKey>, LedgerError> {
        Ok(None)
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

/// Entries a second by the ledger, and how many groups it committed them in.
async fn ours(
    ledger: &Ledger,
    metrics: &Metrics,
    mut entries: Vec<(Prepared<PlaybackOpened>, String)>,
) -> Result<(f64, usize), Failed> {
    let (before, total) = (committed(metrics)?, entries.len());
    let started = Instant::now();
    let mut sessions = Vec::new();
    while !entries.is_empty() {
        let (ledger, mine) = (ledger.clone(), entries.split_off(entries.len() - EACH));
        sessions.push(tokio::spawn(async move {
            for (entry, reference) in mine {
                ledger.append(entry, Some(reference)).await?;
            }
            Ok::<_, Failed>(())
        }));
    }
    for session in sessions {
        session.await??;
    }
    let rate = total as f64 / started.elapsed().as_secs_f64();
    Ok((rate, committed(metrics)? - before))
}

/// How many groups were committed so far, by the metric of their transaction.
fn committed(metrics: &Metrics) -> Result<usize, Failed> {
    let text = metrics.encode();
    let line = text
        .lines()
        .find(|line| ["_count{", "\"append_to_log\"", "\"committed\""].iter().all(|part| line.contains(part)));
    Ok(line.and_then(|line| line.rsplit(' ').next()).map_or(Ok(0), str::parse)?)
}

/// `total` entries in `count` groups, as even as can be.
fn groups(total: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |n| (n + 1) * total / count - n * total / count)
}

/// `($1, $2), ($3, $4), …`
fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| (1..=columns).map(|c| format!("${}", row * columns + c)).collect::<Vec<_>>().join(", ");
    (0..rows).map(|n| format!("({})", row(n))).collect::<Vec<_>>().join(", ")
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
    count: usize,
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
    for size in groups(total, count) {
        let (group, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        let mut tx = store.begin("bare").await?;
        sqlx::query("UPDATE log_head SET size = $1, edge = $2, fence = fence + 1 WHERE id = 1 AND size = $3")
            .bind(*next + i64::try_from(group.len())?)
            .bind(edge.clone())
            .bind(*next)
            .execute(tx.conn())
            .await?;
        let numbered: Vec<(i64, &Row)> = (*next..).zip(group).collect();
        for chunk in numbered.chunks(ROWS) {
            let text = format!("INSERT INTO log_entries (idx, entry, reference) VALUES {}", places(chunk.len(), 3));
            let mut insert = sqlx::query(AssertSqlSafe(text));
            for (idx, row) in chunk {
                insert = insert.bind(*idx).bind(row.entry.clone()).bind(row.reference.clone());
            }
            insert.execute(tx.conn()).await?;
        }
        let openings: Vec<(i64, &SealedOpening)> =
            numbered.iter().flat_map(|(idx, row)| row.sealed.iter().map(|sealed| (*idx, sealed))).collect();
        for chunk in openings.chunks(ROWS) {
            let places = places(chunk.len(), 5);
            let text = format!("INSERT INTO log_openings (idx, slot, under, owner, sealed) VALUES {places}");
            let mut insert = sqlx::query(AssertSqlSafe(text));
            for (idx, opening) in chunk {
                let (under, owner) = match opening.under {
                    KeptUnder::Record(id) => ("record", id.to_string()),
                    KeptUnder::Staff(id) => ("staff", id.to_string()),
                };
                insert = insert.bind(*idx).bind(opening.slot.as_str()).bind(under).bind(owner);
                insert = insert.bind(opening.sealed.clone());
            }
            insert.execute(tx.conn()).await?;
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
        Store::open(&Source::at(&url("ours")), Arc::clone(&metrics)).await?,
        Store::open(&Source::at(&url("peer")), Arc::clone(&metrics)).await?,
    );
    let objects = Objects::local(&folder.join("objects"))?;
    let ledger = Ledger::new(store, objects, Arc::new(SystemClock), Arc::clone(&metrics), Duration::from_secs(60));
    let staff = Arc::new(StaffAuditKey::generate());
    let signer = Arc::new(CheckpointSigner::new("bench.example/log", &LogSeed::generate())?);
    ledger.open(signer, Arc::new(OneKey(Arc::clone(&staff)))).await?;
    let mut tx = other.begin("begin").await?;
    vault_server::store::log::begin(&mut tx).await?;
    tx.commit().await?;

    let collection = CollectionId::new(SystemClock.now());
    let (mut mine, mut theirs, mut counts, mut next) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let (rate, count) = ours(&ledger, &metrics, entries(collection, &staff)?).await?;
        let peer = bare(&other, &mut next, entries(collection, &staff)?, count).await?;
        // The first round warms both up.
        if round > 0 {
            mine.push(rate);
            theirs.push(peer);
            counts.push(count);
        }
    }
    let sample = entry(collection, &staff)?.0.into_parts();
    Ok(serde_json::json!({"ours": mine, "peer": theirs, "about": {
        "sessions": SESSIONS, "entries_a_round": SESSIONS * EACH, "groups_a_round": counts,
        "entry_bytes": sample.0.len(), "openings_an_entry": sample.1.len(),
    }}))
}
