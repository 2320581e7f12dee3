//! Start-up with every way in which the copies of the head can differ.

use vault_core::audit::entry::PlaybackOpened;
use vault_core::audit::slot::SlotName;
use vault_core::audit::verify::Finding;

use super::super::LedgerError;
use super::world::World;

/// A log of `count` entries, closed.
pub(super) async fn grown(count: u64) -> World {
    let mut world = World::new().await;
    add(&world, 1, count).await;
    world.restart().await;
    world
}

async fn add(world: &World, from: u64, to: u64) {
    for n in from..to {
        let mut tx = world.store.begin("act").await.unwrap();
        let ticket = world.ledger.enqueue(&mut tx, world.entry(n), Some(format!("e:{n}"))).await.unwrap();
        tx.commit().await.unwrap();
        world.ledger.settle_later(ticket);
    }
    if from < to {
        world.ledger.append(world.entry(to), None).await.unwrap();
    }
}

/// Puts the database back to an older state, as a restored backup would.
pub(super) async fn rewind(world: &World, size: u64) {
    use vault_core::audit::merkle::{Edge, Hash};
    let mut reader = world.store.read().await.unwrap();
    let entries = crate::store::log::entries(reader.conn(), 0, size).await.unwrap();
    drop(reader);
    let mut edge = Edge::default();
    entries.iter().for_each(|(_, entry)| edge.append(Hash::leaf(entry)));
    edge.settle();
    let size = i64::try_from(size).unwrap();
    let mut tx = world.store.begin("rewind").await.unwrap();
    for statement in ["DELETE FROM log_entries WHERE idx >= $1", "DELETE FROM log_openings WHERE idx >= $1"] {
        sqlx::query(statement).bind(size).execute(tx.conn()).await.unwrap();
    }
    sqlx::query("UPDATE log_head SET size = $1, edge = $2")
        .bind(size)
        .bind(edge.to_bytes())
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn equal_copies_open() {
    for count in [1, 2, 255, 256, 257, 600] {
        let world = grown(count).await;
        world.open().await.unwrap();
        let before = world.sound(&[]).await;
        world.ledger.append(world.entry(9), None).await.unwrap();
        assert_eq!(world.sound(&[]).await, before + 1);
    }
}

#[tokio::test]
async fn a_database_ahead_is_published() {
    for (published, ahead) in [(1, 3), (200, 300), (255, 257), (256, 600)] {
        let mut world = grown(published).await;
        world.open().await.unwrap();
        let note = world.objects.look("log/checkpoint").await.unwrap();
        add(&world, published + 1, ahead).await;
        let full = world.ledger.checkpoint().unwrap().size();
        world.restart().await;
        // As if the process had ended between commit and publication.
        world.objects.plant("log/checkpoint", note.to_vec()).await;
        world.open().await.unwrap();
        let known = String::from_utf8(note.to_vec()).unwrap();
        assert_eq!(world.sound(&[known]).await, full);
    }
}

#[tokio::test]
async fn p9_a_checkpoint_taken_away_is_not_signed_anew() {
    for count in [5, 300] {
        let mut world = grown(count).await;
        world.objects.remove("log/checkpoint").await;
        for emptied in [false, true] {
            if emptied {
                rewind(&world, 0).await;
            }
            let refused = world.open().await;
            assert!(matches!(refused, Err(LedgerError::Disagreement { published: 0, .. })), "{count}: {refused:?}");
            assert!(world.objects.look("log/checkpoint").await.is_none());
            world.restart().await;
        }
    }
    // The first publication, ended before its last write.
    let mut world = World::new().await;
    world.restart().await;
    world.objects.remove("log/checkpoint").await;
    world.open().await.unwrap();
    assert_eq!(world.sound(&[]).await, 1);
}

#[tokio::test]
async fn a_lost_publication_is_made_again_from_the_database() {
    let mut world = grown(600).await;
    world.objects = std::sync::Arc::default();
    world.restart().await;
    world.open().await.unwrap();
    assert!(world.sound(&[]).await >= 600);
}

#[tokio::test]
async fn p9_a_database_behind_replays_what_was_published() {
    for back_to in [0, 1, 5, 255, 256, 257, 599] {
        let mut world = grown(600).await;
        world.open().await.unwrap();
        let known = world.ledger.checkpoint().unwrap().note().to_owned();
        let size = world.ledger.checkpoint().unwrap().size();
        rewind(&world, back_to).await;
        world.restart().await;
        world.open().await.unwrap();
        let report = world.verify(&[known]).await;
        assert_eq!((report.entries, report.known_extended), (size, 1));
        // Openings are not published: those of the replayed entries are gone, and that is told.
        assert!(
            report.findings.iter().all(|f| matches!(f, Finding::OpeningMissing { index, .. } if *index >= back_to))
        );
        let recorded = world.ledger.append(world.entry(9), None).await.unwrap();
        assert_eq!(recorded.index(), size);
        let found = world.ledger.find::<PlaybackOpened>("e:598").await.unwrap();
        assert_eq!(found.is_some_and(|f| f.slot(SlotName::Staff).is_some()), back_to == 599);
    }
}

#[tokio::test]
async fn copies_that_disagree_refuse_to_start() {
    // The database has another history than the one that was published.
    let world = grown(10).await;
    let mut tx = world.store.begin("by_hand").await.unwrap();
    sqlx::query("UPDATE log_head SET edge = $1").bind(other_edge(10)).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    let refused = world.open().await;
    assert!(matches!(refused, Err(LedgerError::Disagreement { .. })), "{refused:?}");
    assert!(!world.ledger.is_open());

    // Behind, and with another history.
    let world = grown(300).await;
    rewind(&world, 100).await;
    let mut tx = world.store.begin("by_hand").await.unwrap();
    sqlx::query("UPDATE log_head SET edge = $1").bind(other_edge(99)).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    let refused = world.open().await;
    assert!(matches!(refused, Err(LedgerError::Store(_) | LedgerError::Disagreement { .. })), "{refused:?}");

    // An entry missing from what the database has ahead.
    let mut world = grown(10).await;
    world.objects = std::sync::Arc::default();
    world.restart().await;
    let mut tx = world.store.begin("by_hand").await.unwrap();
    sqlx::query("DELETE FROM log_entries WHERE idx = 5").execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(world.open().await, Err(LedgerError::Disagreement { .. })));
}

#[tokio::test]
async fn a_foreign_or_damaged_publication_refuses_to_start() {
    let world = grown(300).await;
    let note = world.objects.look("log/checkpoint").await.unwrap();
    for (path, bytes) in [
        ("log/checkpoint", b"nothing".to_vec()),
        (
            "log/checkpoint",
            World::closed().await.signer().sign(3, vault_core::audit::merkle::Hash::EMPTY_ROOT).note().into(),
        ),
        ("log/tile/0/000", vec![7; 8_192]),
        ("log/tile/0/000", vec![7; 5]),
    ] {
        let good = world.objects.look(path).await.unwrap();
        world.objects.plant(path, bytes).await;
        assert!(world.open().await.is_err(), "{path}");
        world.objects.plant(path, good.to_vec()).await;
    }
    world.objects.plant("log/checkpoint", note.to_vec()).await;
    world.open().await.unwrap();
}

fn other_edge(size: u8) -> Vec<u8> {
    use vault_core::audit::merkle::{Edge, Hash};
    let mut edge = Edge::default();
    for n in 0..=size {
        edge.append(Hash::leaf(&[n]));
    }
    edge.to_bytes()
}

/// Whoever writes the database appends an entry with a head to match: copies of commitments and of sealed openings make any
/// right of it.
#[tokio::test]
async fn p9_an_entry_written_beyond_the_published_log_is_not_signed() {
    use vault_core::audit::merkle::{Edge, Hash};
    for lost in [false, true] {
        let mut world = grown(5).await;
        let size = world.store.number("SELECT size FROM log_head").await;
        let mut reader = world.store.read().await.unwrap();
        let (entry, _, _) = world.entry(3).into_parts();
        let mut edge = Edge::default();
        for (_, entry) in crate::store::log::entries(reader.conn(), 0, 1_000).await.unwrap() {
            edge.append(Hash::leaf(&entry));
        }
        drop(reader);
        edge.append(Hash::leaf(&entry));
        edge.settle();
        let mut tx = world.store.begin("by_hand").await.unwrap();
        let text = "INSERT INTO log_entries (idx, entry, reference) VALUES ($1, $2, 'e:written')";
        sqlx::query(text).bind(size).bind(entry).execute(tx.conn()).await.unwrap();
        sqlx::query("UPDATE log_head SET size = $1, edge = $2")
            .bind(size + 1)
            .bind(edge.to_bytes())
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        if lost {
            // Also when everything that was published is taken away, too.
            world.objects = std::sync::Arc::default();
            world.restart().await;
        }
        let refused = world.open().await;
        assert!(matches!(refused, Err(LedgerError::Disagreement { .. })), "{lost}: {refused:?}");
    }
}
