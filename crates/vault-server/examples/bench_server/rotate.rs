//! Records with true wraps for `rotate.*`, and the bare program that rotation is held against.
//!
//! The bare program binds the same bytes, made beforehand, in the same statements and batches, and commits them: no
//! reading, no cryptography, nobody whom it makes way for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use vault_core::ids::{CollectionId, CollectionName, RecordId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::keyring::Setting;
use vault_core::keys::wrap::{KekRef, WRAP_LEN};
use vault_core::time::{Clock as _, Timestamp};
use vault_server::clock::SystemClock;
use vault_server::custody::KeyService;
use vault_server::custody::keyring_file::{KeyringFile, read_passphrase};
use vault_server::metrics::Metrics;
use vault_server::store::collections::CollectionRow;
use vault_server::store::keys::{self, Advance, RotationRow, RotationState};
use vault_server::store::leases::Lease;
use vault_server::store::{Source, Store};

use super::Failed;

/// Rows in one statement, sixteen values each, and statements in one transaction.
const ROWS: u64 = 500;
const STATEMENTS: u64 = 20;
const COLUMNS: u64 = 16;
/// 2026-01-01, and a year.
const FIRST: i64 = 1_767_225_600_000;
const SPAN: u64 = 365 * 24 * 3_600_000;

async fn opened(database: &str, collection: &CollectionName) -> Result<(Store, CollectionId), Failed> {
    let store = Store::open(&Source::at(database), Arc::new(Metrics::new())).await?;
    let found = {
        let mut reader = store.read().await?;
        CollectionRow::by_name(reader.conn(), collection).await?.ok_or("no collection of that name")?
    };
    Ok((store, found.id))
}

fn noise(length: usize) -> Vec<u8> {
    (0..length.div_ceil(32)).flat_map(|_| vault_core::random::array::<32>()).take(length).collect()
}

/// Enters `count` records of the vault in `data`, which is not running, each with its key wrapped by the active version.
pub async fn fill(
    data: &Path,
    database: &str,
    collection: &CollectionName,
    count: u64,
) -> Result<serde_json::Value, Failed> {
    let (store, id) = opened(database, collection).await?;
    let log = {
        let mut reader = store.read().await?;
        keys::meta(reader.conn(), "log_name").await?.ok_or("no vault")?
    };
    let custody = Arc::new(KeyringFile::at(&data.join("keyring")));
    let resume = data.join("resume");
    let service = KeyService::new(custody, store.clone(), Arc::new(SystemClock), Setting::Development, &log, &resume);
    service.unseal(Arc::new(read_passphrase(&data.join("passphrase"))?)).await?;
    let mut n = 0;
    while n < count {
        let mut tx = store.begin("fill").await?;
        let group = (ROWS * STATEMENTS).min(count - n);
        let counted = keys::count_uses(tx.conn(), id, group, u64::MAX).await?.ok_or("no active key")?;
        let me = KekRef { collection: id, version: counted.version };
        let kek = service.kek(me).await?;
        let end = n + group;
        while n < end {
            let rows = ROWS.min(end - n);
            let places: Vec<String> = (0..rows)
                .map(|row| {
                    let values: Vec<String> = (1..=COLUMNS).map(|c| format!("${}", row * COLUMNS + c)).collect();
                    format!("({})", values.join(", "))
                })
                .collect();
            let text = format!(
                "INSERT INTO records (id, collection_id, state, kek_version, wrap, pseudonym, details, consent, purposes,
                   consent_expires_at, notice_sha256, media, content_type, size, received_at, retain_until) VALUES {}",
                places.join(", ")
            );
            let mut insert = sqlx::query(AssertSqlSafe(text));
            for _ in 0..rows {
                let at = Timestamp::from_millis(FIRST + i64::try_from(n * (SPAN / count))?);
                let record = RecordId::new(at);
                insert = insert
                    .bind(record.to_string())
                    .bind(id.to_string())
                    .bind("available")
                    .bind(i64::from(me.version))
                    .bind(kek.wrap_record_key(me, record, &RecordKey::generate()))
                    .bind(noise(32))
                    .bind(noise(160))
                    .bind(noise(320))
                    .bind("[\"service-improvement\"]")
                    .bind(None::<i64>)
                    .bind(noise(32))
                    .bind("audio")
                    .bind("audio/webm")
                    .bind(200_000_i64)
                    .bind(at.as_millis())
                    .bind(None::<i64>);
                n += 1;
            }
            insert.execute(tx.conn()).await?;
        }
        tx.commit().await?;
    }
    store.close().await;
    Ok(serde_json::json!({"records": n}))
}

/// Moves every record key of the active version to a version that is only a number, `batch` at a time, and back to work
/// for the next round; answers how long that took. The database is a copy that nobody opens any more.
pub async fn rewrite(database: &str, collection: &CollectionName, batch: usize) -> Result<serde_json::Value, Failed> {
    let (store, id) = opened(database, collection).await?;
    let (from, ids) = {
        let mut reader = store.read().await?;
        let from = keys::active(reader.conn(), id).await?.ok_or("no active key")?;
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = keys::all_wraps(reader.conn(), id, &cursor, 50_000).await?;
            let Some(last) = page.last() else { break };
            cursor.clone_from(&last.id);
            for row in &page {
                ids.push(row.id.parse::<RecordId>().map_err(|_| "a damaged row")?);
            }
        }
        (from, ids)
    };
    let (from, to) = (KekRef { collection: id, version: from }, KekRef { collection: id, version: from + 1 });
    let now = SystemClock.now();
    let rotation = RotationRow {
        collection: id,
        from: from.version,
        to: to.version,
        state: RotationState::Running,
        because: "requested".to_owned(),
        priority: 0,
        throttle: None,
        total: ids.len() as u64,
        done: 0,
        damaged: 0,
        worked: Duration::ZERO,
        started_at: now,
        updated_at: now,
        finished_at: None,
    };
    let mut tx = store.begin("rotate_kek").await?;
    keys::insert_kek(tx.conn(), to, 1, &noise(WRAP_LEN), now).await?;
    for (kek, old, new) in [(from, "active", "deactivated"), (to, "pre-active", "active")] {
        let state = |name: &str| vault_core::keys::lifecycle::KeyState::from_name(name).ok_or("no state");
        keys::step_kek(tx.conn(), kek, state(old)?, state(new)?, now).await?;
    }
    keys::put_rotation(tx.conn(), &rotation).await?;
    tx.commit().await?;
    let name = format!("bench:{}", to.version);
    let lease = Lease::seize(&store, name, "bench", None, now).await?.ok_or("a lease is there")?;
    let made: Vec<Vec<(RecordId, Vec<u8>)>> =
        ids.chunks(batch).map(|ids| ids.iter().map(|id| (*id, noise(WRAP_LEN))).collect()).collect();

    let started = Instant::now();
    let mut moved = 0;
    for wraps in made {
        let mut tx = store.begin("rewrap_record_keys").await?;
        lease.check_and_renew(&mut tx).await?;
        let rows = keys::move_records(tx.conn(), from, to.version, wraps).await?;
        let by = Advance { moved: rows, damaged: 0, worked: Duration::ZERO };
        keys::advance_rotation(tx.conn(), &rotation, by, now).await?;
        keys::count_moved(tx.conn(), to, rows).await?;
        tx.commit().await?;
        moved += rows;
    }
    let mut tx = store.begin("finish_rotation").await?;
    keys::finish_rotation(tx.conn(), &rotation, now).await?;
    tx.commit().await?;
    let seconds = started.elapsed().as_secs_f64();
    if moved != ids.len() as u64 {
        return Err(format!("{moved} of {} moved", ids.len()).into());
    }
    store.close().await;
    Ok(serde_json::json!({"records": moved, "seconds": seconds}))
}
