//! Restrictions over a real database and a real directory of objects.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vault_core::ids::{CollectionId, GrantId, RecordId, SessionId};

use super::*;
use crate::metrics::Metrics;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

async fn store(dir: &Path, name: &str) -> Store {
    let source = crate::store::testing::source(&dir.join(name)).await;
    Store::open(&source, Arc::new(Metrics::new())).await.unwrap()
}

async fn node(store: &Store, objects: &Objects) -> Restrictions {
    let node = Restrictions::new(store.clone(), objects.clone());
    node.load().await.unwrap();
    node
}

async fn impose(node: &Restrictions, restriction: Restriction) -> bool {
    let mut tx = node.store.begin("test").await.unwrap();
    let imposed = node.impose(&mut tx, restriction, NOW).await.unwrap();
    node.commit(tx, imposed).await.unwrap()
}

#[tokio::test]
async fn p6_bites_here_at_once_elsewhere_with_the_next_poll_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, objects) = (store(dir.path(), "vault.db").await, Objects::memory());
    let (here, elsewhere) = (node(&store, &objects).await, node(&store, &objects).await);
    let collection = CollectionId::new(NOW);
    let subject = Subject::new().collection(collection);
    assert_eq!(here.check(&subject), Ok(()));
    assert!(impose(&here, Restriction::collection_suspended(collection)).await, "journalled");
    let refused = Err(Refusal::Restricted(Kind::CollectionSuspended));
    assert_eq!(here.check(&subject), refused);
    assert_eq!(elsewhere.check(&subject), Ok(()));
    elsewhere.poll().await.unwrap();
    assert_eq!(elsewhere.check(&subject), refused);
    assert_eq!(node(&store, &objects).await.check(&subject), refused);
    // Given back, it is given back everywhere.
    impose(&elsewhere, Restriction::collection_suspended(collection).lifted()).await;
    here.poll().await.unwrap();
    assert_eq!((here.check(&subject), elsewhere.check(&subject)), (Ok(()), Ok(())));
}

#[tokio::test]
async fn what_is_rolled_back_restricts_nothing_and_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&store(dir.path(), "vault.db").await, &Objects::memory()).await;
    let record = RecordId::new(NOW);
    let mut tx = node.store.begin("test").await.unwrap();
    let imposed = node.impose(&mut tx, Restriction::record_erased(record), NOW).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(imposed.0[0].counter, 1);
    node.poll().await.unwrap();
    assert_eq!(node.check(&Subject::new().record(record)), Ok(()));
    let mut tx = node.store.begin("test").await.unwrap();
    let next = node.impose(&mut tx, Restriction::record_erased(record), NOW).await.unwrap();
    assert_eq!(next.0[0].counter, 1);
}

#[tokio::test]
async fn p6_an_unwritable_journal_delays_the_answer_not_the_bite_and_is_completed_later() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::local(&dir.path().join("objects")).unwrap();
    let store = store(dir.path(), "vault.db").await;
    let node = node(&store, &objects).await;
    // A file stands where the journal's directory belongs.
    let in_the_way = dir.path().join("objects/journal");
    std::fs::write(&in_the_way, "").unwrap();
    let record = RecordId::new(NOW);
    assert!(!impose(&node, Restriction::record_erased(record)).await);
    assert!(node.check(&Subject::new().record(record)).is_err());
    assert!(node.complete_journal().await.is_err());
    std::fs::remove_file(&in_the_way).unwrap();
    node.complete_journal().await.unwrap();
    assert!(objects.exists(&crate::objects::Name::journal(1)).await.unwrap());
    assert!(rows::unjournalled(&mut store.read().await.unwrap(), 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn p6_a_database_restored_from_a_backup_learns_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::memory();
    let first = node(&store(dir.path(), "now.db").await, &objects).await;
    let (record, grant, session) = (RecordId::new(NOW), GrantId::new(NOW), SessionId::new(NOW));
    impose(&first, Restriction::record_erased(record)).await;
    // The second never reached the journal: something is known to be missing.
    let mut tx = first.store.begin("test").await.unwrap();
    let imposed = first.impose(&mut tx, Restriction::session_closed(session, NOW), NOW).await.unwrap();
    tx.commit().await.unwrap();
    first.stand_quietly(&imposed);
    impose(&first, Restriction::grant_revoked(grant)).await;

    let older = store(dir.path(), "backup.db").await;
    let restored = Restrictions::new(older.clone(), objects.clone());
    assert_eq!(restored.load().await.unwrap(), Replayed { restored: 2, lost: 1 });
    assert!(restored.check(&Subject::new().record(record)).is_err());
    assert!(restored.check(&Subject::new().grant(grant)).is_err());
    // New acts go on behind the journal's numbers: no entry is written over.
    let mut tx = older.begin("test").await.unwrap();
    let next = restored.impose(&mut tx, Restriction::record_erased(record), NOW).await.unwrap();
    assert_eq!(next.0[0].counter, 4);
    tx.commit().await.unwrap();
    assert_eq!(node(&older, &objects).await.load().await.unwrap(), Replayed::default());
}

#[tokio::test]
async fn p6_rows_that_are_gone_or_altered_take_nothing_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, objects) = (store(dir.path(), "vault.db").await, Objects::memory());
    let first = node(&store, &objects).await;
    let (record, grant, collection) = (RecordId::new(NOW), GrantId::new(NOW), CollectionId::new(NOW));
    impose(&first, Restriction::record_erased(record)).await;
    impose(&first, Restriction::grant_revoked(grant)).await;
    impose(&first, Restriction::collection_suspended(collection)).await;
    for statement in [
        "DELETE FROM restrictions WHERE counter = 1",
        "UPDATE restrictions SET kind = 'session-closed' WHERE counter = 2",
        "UPDATE restrictions SET act = 'lift' WHERE counter = 3",
    ] {
        store.by_hand(statement).await;
    }
    let again = node(&store, &objects).await;
    for subject in [Subject::new().record(record), Subject::new().grant(grant), Subject::new().collection(collection)] {
        assert!(matches!(again.check(&subject), Err(Refusal::Restricted(_))), "{subject:?}");
    }
}

#[tokio::test]
async fn a_damaged_journal_entry_is_told_and_not_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::memory();
    objects.put(&crate::objects::Name::journal(1), "{}").await.unwrap();
    let node = Restrictions::new(store(dir.path(), "vault.db").await, objects);
    assert!(matches!(node.load().await, Err(RestrictError::Journal { counter: 1 })));
    assert_eq!(node.check(&Subject::new()), Err(Refusal::Stale));
}

#[tokio::test]
async fn p6_a_node_cut_off_from_the_database_refuses_everything_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), "vault.db").await;
    let node = node(&store, &Objects::memory()).await;
    let stopping = CancellationToken::new();
    let polling = tokio::spawn(node.clone().poll_until(stopping.clone()));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(node.is_fresh(), "polls keep it fresh");
    store.close().await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(node.check(&Subject::new()), Err(Refusal::Stale));
    stopping.cancel();
    polling.await.unwrap();
}

#[tokio::test]
async fn more_acts_than_a_page_are_all_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), "vault.db").await;
    let node = Restrictions::new(store.clone(), Objects::memory());
    let records: Vec<RecordId> = (0..2_345).map(|_| RecordId::new(NOW)).collect();
    let mut tx = store.begin("test").await.unwrap();
    for record in &records {
        rows::add(&mut tx, Restriction::record_erased(*record), NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
    node.load().await.unwrap();
    assert!(records.iter().all(|r| node.check(&Subject::new().record(*r)).is_err()));
    node.complete_journal().await.unwrap();
    assert!(rows::unjournalled(&mut store.read().await.unwrap(), 0).await.unwrap().is_empty());
}
