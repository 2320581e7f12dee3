//! Filling a vault's database with records, while no server runs on it.
//!
//! Rows are written by the statements that the vault writes them with. What cannot be told from outside is noise: wraps,
//! sealed details, consent. Nothing of it could be played.

use std::sync::Arc;

use vault_core::ids::{CollectionId, CollectionName, ObjectId, RecordId};
use vault_core::time::Timestamp;
use vault_server::metrics::Metrics;
use vault_server::store::records::{self, ObjectRow, RecordRow, RecordState};
use vault_server::store::uploads::ConsentTerms;

use super::Failed;
use vault_server::store::collections::CollectionRow;
use vault_server::store::{Source, Store};

/// Records in one transaction.
const GROUP: u64 = 5_000;
/// 2026-01-01, and a year.
const FIRST: i64 = 1_767_225_600_000;
const SPAN: u64 = 365 * 24 * 3_600_000;

/// Record `n` of `count`: received evenly over a year; three in ten are video, one in fifty is restricted, one in a
/// hundred erased.
fn record(collection: CollectionId, n: u64, count: u64) -> (RecordRow, ObjectRow) {
    let received_at = Timestamp::from_millis(FIRST + i64::try_from(n * (SPAN / count)).unwrap_or(0));
    let (media, content_type, segment_length) =
        if n % 10 < 3 { ("video", "video/mp4", 262_144) } else { ("audio", "audio/webm", 65_536) };
    let state = match n % 100 {
        17 | 67 => RecordState::Restricted,
        49 => RecordState::Erased,
        _ => RecordState::Available,
    };
    let noise = |length| (0..length / 32).flat_map(|_| vault_core::random::array::<32>()).collect::<Vec<u8>>();
    let size = 200_000 + n % 5_000_000;
    let row = RecordRow {
        id: RecordId::new(received_at),
        collection,
        state,
        kek_version: 1,
        wrap: (state != RecordState::Erased).then(|| noise(128)),
        pseudonym: Some(vault_core::random::array()),
        details: Some(noise(160)),
        consent: Some(noise(320)),
        terms: ConsentTerms {
            purposes: vec!["service-improvement".to_owned()],
            expires_at: None,
            notice_sha256: vault_core::random::array(),
        },
        media: media.to_owned(),
        content_type: content_type.to_owned(),
        size,
        received_at,
        retain_until: None,
        key_tag: None,
    };
    let object = ObjectRow {
        id: ObjectId::new(received_at),
        content_type: content_type.to_owned(),
        header: noise(96),
        segment_length,
        plaintext_length: size,
    };
    (row, object)
}

/// Enters `count` records into `collection`.
pub async fn fill(database: &str, collection: &CollectionName, count: u64) -> Result<serde_json::Value, Failed> {
    let store = Store::open(&Source::at(database), Arc::new(Metrics::new())).await?;
    let found = {
        let mut reader = store.read().await?;
        CollectionRow::by_name(reader.conn(), collection).await?.ok_or("no collection of that name")?
    };
    let mut n = 0;
    while n < count {
        let mut tx = store.begin("fill").await?;
        for _ in 0..GROUP.min(count - n) {
            let (row, object) = record(found.id, n, count);
            records::insert(&mut tx, &row, &object).await?;
            n += 1;
        }
        tx.commit().await?;
    }
    store.close().await;
    Ok(serde_json::json!({"records": n}))
}
