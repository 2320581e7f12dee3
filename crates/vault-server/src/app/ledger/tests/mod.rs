//! The log under faults. After every one the offline verifier is the oracle.

mod copies;
mod faults;
mod nodes;
mod pairs;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use vault_core::audit::entry::{AccessApproved, LogStarted, PlaybackOpened};
use vault_core::audit::slot::SlotName;
use vault_core::audit::tile::{Kind, Tile};

use super::LedgerError;
use world::World;

#[tokio::test]
async fn p9_a_fresh_log_has_its_first_entry_and_grows() {
    let world = World::new().await;
    assert_eq!(world.ledger.checkpoint().unwrap().size(), 1);
    let recorded = world.ledger.append(world.entry(7), Some("session:7".into())).await.unwrap();
    assert_eq!((recorded.index(), recorded.slot(SlotName::Staff)), (1, Some("person 7")));
    assert_eq!(world.sound(&[]).await, 2);
    let page = world.ledger.page(0, 1, None, |_| true, |_| true).await.unwrap();
    assert!(page.views[0].entry.windows(11).any(|w| w == b"log.started"));
    assert_eq!((page.next, page.size), (Some(1), 2));
}

#[tokio::test]
async fn p4_evidence_is_found_again_by_its_reference_and_checked_against_the_log() {
    let mut world = World::new().await;
    for n in 0..600 {
        let reference = format!("session:{n}");
        let ticket = {
            let mut tx = world.store.begin("act").await.unwrap();
            let ticket = world.ledger.enqueue(&mut tx, world.entry(n), Some(reference)).await.unwrap();
            tx.commit().await.unwrap();
            ticket
        };
        if n % 97 == 0 { drop(world.ledger.settle(ticket).await.unwrap()) } else { world.ledger.settle_later(ticket) }
    }
    let last = world.ledger.append(world.entry(600), None).await.unwrap();
    assert!(last.index() >= 601);
    for reopened in [false, true] {
        for n in [0, 1, 254, 255, 256, 300, 511, 512, 599] {
            let found = world.ledger.find::<PlaybackOpened>(&format!("session:{n}")).await.unwrap().expect("logged");
            assert_eq!(found.slot(SlotName::Staff), Some(format!("person {n}").as_str()), "reopened: {reopened}");
            let proof = world.ledger.proof(found.index()).await.unwrap().expect("proof");
            assert_eq!(proof.index, found.index());
        }
        assert!(world.ledger.find::<AccessApproved>("session:1").await.unwrap().is_none(), "another type");
        assert!(world.ledger.find::<LogStarted>("nothing").await.unwrap().is_none());
        assert_eq!(world.sound(&[]).await, 602);
        world.restart().await;
        world.open().await.unwrap();
    }
}

#[tokio::test]
async fn p4_a_row_written_by_hand_is_no_evidence() {
    let world = World::new().await;
    let recorded = world.ledger.append(world.entry(1), Some("session:1".into())).await.unwrap();
    // Another entry's bytes in the row, and a row of its own within the size of the log.
    for statement in [
        "UPDATE log_entries SET entry = $1 WHERE idx = 1",
        "UPDATE log_entries SET reference = 'session:1', idx = 0, entry = $1 WHERE idx = 1",
    ] {
        let mut tx = world.store.begin("by_hand").await.unwrap();
        sqlx::query("DELETE FROM log_entries WHERE idx = 0").execute(tx.conn()).await.unwrap();
        sqlx::query(statement).bind(world.entry(1).entry().to_vec()).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
        let found = world.ledger.find::<PlaybackOpened>("session:1").await;
        assert!(matches!(found, Err(LedgerError::Evidence(_))), "{found:?}");
    }
    assert_eq!(recorded.index(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p9_sixty_four_writers_get_each_their_own_place() {
    let world = Arc::new(World::new().await);
    let mut writers = Vec::new();
    for writer in 0..64_u64 {
        let world = Arc::clone(&world);
        writers.push(tokio::spawn(async move {
            let mut places = Vec::new();
            for n in 0..8 {
                let number = writer * 8 + n;
                let recorded = if n % 2 == 0 {
                    world.ledger.append(world.entry(number), None).await.unwrap()
                } else {
                    let mut tx = world.store.begin("act").await.unwrap();
                    let ticket = world.ledger.enqueue(&mut tx, world.entry(number), None).await.unwrap();
                    tx.commit().await.unwrap();
                    world.ledger.settle(ticket).await.unwrap()
                };
                assert_eq!(recorded.slot(SlotName::Staff), Some(format!("person {number}").as_str()));
                assert!(recorded.index() < recorded.log_size());
                places.push(recorded.index());
            }
            assert!(places.is_sorted(), "one writer's entries keep their order");
            places
        }));
    }
    let mut all = BTreeSet::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    assert_eq!(all.len(), 512);
    assert_eq!(world.sound(&[]).await, 513);
}

#[tokio::test]
async fn a_partial_tile_of_any_width_stays_readable() {
    let world = World::new().await;
    for n in 0..520 {
        let mut tx = world.store.begin("act").await.unwrap();
        let ticket = world.ledger.enqueue(&mut tx, world.entry(n), None).await.unwrap();
        tx.commit().await.unwrap();
        world.ledger.settle_later(ticket);
    }
    world.ledger.append(world.entry(520), None).await.unwrap();
    let size = world.ledger.checkpoint().unwrap().size();
    assert_eq!(size, 522);
    for kind in [Kind::Hashes(0), Kind::Entries] {
        for index in 0..3 {
            let whole = Tile::of_size(kind, index, size).unwrap();
            let bytes = world.ledger.tile(whole).await.unwrap().unwrap();
            for width in 1..whole.width {
                let partial = world.ledger.tile(Tile { width, ..whole }).await.unwrap().unwrap();
                assert!(bytes.starts_with(&partial) && partial.len() < bytes.len(), "{whole} {width}");
            }
        }
    }
    for beyond in
        ["tile/0/002.p/11", "tile/0/003.p/1", "tile/0/002", "tile/1/000.p/3", "tile/2/000.p/1", "tile/entries/003"]
    {
        assert!(world.ledger.tile(beyond.parse().unwrap()).await.unwrap().is_none(), "{beyond}");
    }
    assert_eq!(world.ledger.tile("tile/1/000.p/2".parse().unwrap()).await.unwrap().unwrap().len(), 64);
}

#[tokio::test]
async fn an_act_that_is_rolled_back_leaves_no_entry() {
    let world = World::new().await;
    let mut tx = world.store.begin("act").await.unwrap();
    let ticket = world.ledger.enqueue(&mut tx, world.entry(1), None).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(matches!(world.ledger.settle(ticket).await, Err(LedgerError::Timeout)));
    world.ledger.append(world.entry(2), None).await.unwrap();
    assert_eq!(world.sound(&[]).await, 2);
}

#[tokio::test]
async fn a_closed_log_takes_nothing_and_keeps_what_is_queued() {
    let mut world = World::closed().await;
    assert!(matches!(world.ledger.append(world.entry(1), None).await, Err(LedgerError::Sealed)));
    let mut tx = world.store.begin("act").await.unwrap();
    // Without the log's key nothing can be queued that would be signed later.
    let refused = world.ledger.enqueue(&mut tx, world.entry(2), None).await;
    assert!(matches!(refused, Err(LedgerError::Sealed)));
    drop(refused);
    tx.rollback().await.unwrap();
    world.open().await.unwrap();
    let mut tx = world.store.begin("act").await.unwrap();
    let ticket = world.ledger.enqueue(&mut tx, world.entry(2), Some("kept".into())).await.unwrap();
    // Closing begins before the commit and ends after it: it gives the lease back, and the database has one writer.
    let (_closed, committed) = tokio::join!(world.ledger.close(), tx.commit());
    committed.unwrap();
    assert!(matches!(world.ledger.settle(ticket).await, Err(LedgerError::Sealed)));
    world.restart().await;
    world.open().await.unwrap();
    // Behind what waited: the outbox comes first.
    world.ledger.append(world.entry(3), None).await.unwrap();
    assert!(world.ledger.find::<PlaybackOpened>("kept").await.unwrap().is_some());
    assert_eq!(world.sound(&[]).await, 3);
}
