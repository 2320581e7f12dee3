//! What every engine has to do alike, above all when two nodes do it at once. Runs on the engine that the run is for;
//! `cargo xtask test` runs it on both.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use sqlx::Row as _;
use vault_core::access::role::Role;
use vault_core::audit::merkle::Hash;
use vault_core::ids::{BindingId, CollectionId, GrantId, ObjectId, PersonId, RecordId, UploadId};
use vault_core::keys::hierarchy::{LogSeed, OutboxKey};
use vault_core::time::Timestamp;

use super::people::{BindingRow, BindingState, PersonRow};
use super::restrictions::{self, Restriction};
use super::uploads::{self, Advance, ConsentTerms, NewPart, UploadRow, UploadState};
use super::{Hold, Store, StoreError, garbage, leases::Lease, log};
use crate::objects::Name;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// Two nodes on one database.
struct Nodes {
    one: Store,
    two: Store,
    _dir: tempfile::TempDir,
}

async fn nodes() -> Nodes {
    let dir = tempfile::tempdir().unwrap();
    let one = super::testing::store(dir.path()).await;
    let two = super::testing::store(dir.path()).await;
    Nodes { one, two, _dir: dir }
}

impl Nodes {
    /// The one or the other, in turn.
    fn nth(&self, n: usize) -> Store {
        if n.is_multiple_of(2) { self.one.clone() } else { self.two.clone() }
    }
}

#[tokio::test]
async fn text_is_ordered_byte_by_byte() {
    let nodes = nodes().await;
    let names = ["Z", "_", "a", "b-1", "ba", "\u{e4}"];
    let mut tx = nodes.one.begin("test").await.unwrap();
    for name in names {
        sqlx::query("INSERT INTO leases (name, holder, fence, until) VALUES ($1, '', 0, 0)")
            .bind(name)
            .execute(tx.conn())
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let mut reader = nodes.two.read().await.unwrap();
    let rows = sqlx::query("SELECT name FROM leases WHERE name > 'A' ORDER BY name").fetch_all(reader.conn()).await;
    let found: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(found, names);
}

#[tokio::test]
async fn what_is_absent_goes_in_and_comes_out_as_such() {
    let nodes = nodes().await;
    let person = PersonRow {
        id: PersonId::new(NOW),
        name: "Ada".into(),
        kind: Role::Analyst.held_by(),
        created_at: NOW,
        disabled_at: None,
    };
    let bare = BindingRow {
        id: BindingId::new(NOW),
        person: person.id,
        role: Role::Analyst,
        collection: None,
        state: BindingState::Proposed,
        proposed_by: None,
        proposed_at: NOW,
        confirmed_by: None,
        active_at: None,
        until: None,
        revoked_at: None,
    };
    let full = BindingRow {
        id: BindingId::new(NOW),
        collection: Some(CollectionId::new(NOW)),
        proposed_by: Some(person.id),
        confirmed_by: Some(person.id),
        active_at: Some(NOW),
        until: Some(NOW),
        revoked_at: Some(NOW),
        ..bare.clone()
    };
    let mut tx = nodes.one.begin("test").await.unwrap();
    person.insert(tx.conn()).await.unwrap();
    // The same statements with values of every kind and without any, on one connection.
    for row in [&bare, &full] {
        row.insert(tx.conn()).await.unwrap();
        assert_eq!(BindingRow::get(tx.conn(), row.id).await.unwrap().as_ref(), Some(row));
    }
    tx.commit().await.unwrap();
    let mut reader = nodes.two.read().await.unwrap();
    assert_eq!(BindingRow::get(reader.conn(), full.id).await.unwrap(), Some(full));
}

#[tokio::test]
async fn after_a_failed_statement_nothing_is_committed() {
    let nodes = nodes().await;
    let mut tx = nodes.one.begin("test").await.unwrap();
    let insert = "INSERT INTO meta (name, value) VALUES ('once', 'a')";
    sqlx::query(insert).execute(tx.conn()).await.unwrap();
    let twice = sqlx::query(insert).execute(tx.conn()).await.map_err(StoreError::from);
    assert!(matches!(twice, Err(StoreError::Conflict)));
    assert!(tx.commit().await.is_err(), "whatever was made of the failure");
    assert_eq!(nodes.two.number("SELECT COUNT(*) FROM meta WHERE name = 'once'").await, 0);
    // The connection goes on in order.
    let mut tx = nodes.one.begin("test").await.unwrap();
    sqlx::query(insert).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_named_lock_lets_one_read_and_write_at_a_time() {
    let nodes = nodes().await;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = nodes.nth(n);
        running.spawn(async move {
            let mut tx = store.begin("test").await.unwrap();
            tx.hold(Hold::People).await.unwrap();
            let row = sqlx::query("SELECT COALESCE(MAX(fence), 0) AS n FROM leases").fetch_one(tx.conn()).await;
            let seen: i64 = row.unwrap().get("n");
            tokio::time::sleep(Duration::from_millis(5)).await;
            sqlx::query("INSERT INTO leases (name, holder, fence, until) VALUES ($1, '', $2, 0)")
                .bind(format!("{n}"))
                .bind(seen + 1)
                .execute(tx.conn())
                .await
                .unwrap();
            tx.commit().await.unwrap();
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    assert_eq!(nodes.one.number("SELECT MAX(fence) FROM leases").await, 12);
}

#[tokio::test]
async fn p6_numbers_of_restrictions_become_visible_in_their_order() {
    const EACH: i64 = 15;
    let nodes = nodes().await;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..6 {
        let store = nodes.nth(n);
        running.spawn(async move {
            for i in 0..EACH {
                let mut tx = store.begin("test").await.unwrap();
                restrictions::add(&mut tx, Restriction::grant_revoked(GrantId::new(NOW)), NOW).await.unwrap();
                // Some linger between number and commit, some take theirs back.
                tokio::time::sleep(Duration::from_millis(u64::try_from(i % 3).unwrap())).await;
                if i % 5 == 4 { tx.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
            }
        });
    }
    let mut seen = 0;
    while seen < 6 * EACH * 4 / 5 {
        let mut reader = nodes.two.read().await.unwrap();
        for act in restrictions::after(&mut reader, seen).await.unwrap() {
            assert_eq!(act.counter, seen + 1, "a number is missing, or comes late");
            seen = act.counter;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    assert_eq!(nodes.one.number("SELECT value FROM counters WHERE name = 'restrictions'").await, seen);
}

#[tokio::test]
async fn one_of_many_takes_a_lease_and_is_fenced_out_by_the_next() {
    let nodes = nodes().await;
    let take = |n: usize, at| {
        let store = nodes.nth(n);
        async move { Lease::take(&store, "work", &format!("{n}"), at, HOUR).await.unwrap() }
    };
    let taken = futures_util::future::join_all((0..8).map(|n| take(n, NOW))).await;
    let first: Vec<&Lease> = taken.iter().flatten().collect();
    assert_eq!(first.len(), 1);
    let later = NOW.plus(HOUR).plus(HOUR);
    let second = take(9, later).await.unwrap();
    let mut tx = nodes.one.begin("test").await.unwrap();
    assert!(!first[0].check(&mut tx).await.unwrap() && second.check(&mut tx).await.unwrap());
}

async fn head(store: &Store) -> log::Head {
    let mut tx = store.begin("test").await.unwrap();
    let head = log::begin(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    head
}

/// The key that the vault vouches with.
static VOUCHING: LazyLock<OutboxKey> = LazyLock::new(|| LogSeed::generate().outbox_key());

fn next(head: &log::Head, entry: &[u8]) -> log::Head {
    let mut edge = head.edge.clone();
    edge.append(Hash::leaf(entry));
    edge.settle();
    log::Head { edge, fence: head.fence + 1 }
}

#[tokio::test]
async fn p9_of_two_that_append_behind_the_same_head_one_does() {
    let nodes = nodes().await;
    let from = head(&nodes.one).await;
    let append = |n: usize| {
        let (store, from) = (nodes.nth(n), from.clone());
        async move {
            let to = next(&from, format!("{n}").as_bytes());
            let mut tx = store.begin("test").await.unwrap();
            let moved = log::advance(&mut tx, &VOUCHING, &from, &to).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if moved {
                tx.commit().await.unwrap();
            } else {
                tx.rollback().await.unwrap();
            }
            moved.then_some(to)
        }
    };
    let moved: Vec<_> = futures_util::future::join_all((0..6).map(append)).await.into_iter().flatten().collect();
    assert_eq!(moved.len(), 1);
    let mut reader = nodes.two.read().await.unwrap();
    assert_eq!(log::head(reader.conn()).await.unwrap().as_ref(), moved.first());
    assert!(log::is_vouched(reader.conn(), &VOUCHING, &moved[0].edge).await.unwrap());
}

#[tokio::test]
async fn p9_a_head_is_vouched_for_where_it_was_moved_and_nowhere_else() {
    let nodes = nodes().await;
    let from = head(&nodes.one).await;
    let (to, other) = (next(&from, b"one"), next(&from, b"other"));
    let vouched = async |head: &log::Head| {
        let mut reader = nodes.two.read().await.unwrap();
        log::is_vouched(reader.conn(), &VOUCHING, &head.edge).await.unwrap()
    };
    let move_on = async |from: &log::Head, to: &log::Head| {
        let mut tx = nodes.one.begin("test").await.unwrap();
        let moved = log::advance(&mut tx, &VOUCHING, from, to).await.unwrap();
        // Also where it did not move: nothing may have been written beside it.
        tx.commit().await.unwrap();
        moved
    };
    assert!(!vouched(&from).await && !vouched(&to).await, "nobody has moved it yet");
    assert!(!move_on(&to, &other).await, "it is not there");
    assert!(!vouched(&other).await);
    assert!(move_on(&from, &to).await);
    assert!(vouched(&to).await && !vouched(&from).await);
    assert!(!move_on(&from, &other).await, "it was there");
    assert!(vouched(&to).await && !vouched(&other).await, "the MAC stays with the head");
    assert!(move_on(&to, &next(&to, b"two")).await);
    assert!(!vouched(&to).await);

    let at = next(&to, b"two");
    let mut tx = nodes.one.begin("test").await.unwrap();
    assert!(!log::raise_fence(&mut tx, &to).await.unwrap());
    assert!(log::raise_fence(&mut tx, &at).await.unwrap());
    tx.commit().await.unwrap();
    let raised = log::Head { fence: at.fence + 1, ..at };
    assert_eq!(log::head(nodes.two.read().await.unwrap().conn()).await.unwrap().as_ref(), Some(&raised));
    assert!(vouched(&raised).await, "the fence is no part of what is vouched for");
}

#[tokio::test]
async fn p9_who_asks_for_the_settled_head_waits_for_a_commit_under_way() {
    let nodes = nodes().await;
    let from = head(&nodes.one).await;
    let to = next(&from, b"entry");
    let mut tx = nodes.one.begin("test").await.unwrap();
    assert!(log::advance(&mut tx, &VOUCHING, &from, &to).await.unwrap());
    let store = nodes.two.clone();
    let asked = tokio::spawn(async move {
        let mut tx = store.begin("test").await.unwrap();
        let head = log::settled_head(&mut tx).await.unwrap();
        tx.rollback().await.unwrap();
        head
    });
    // Time enough to answer with the old head, if it did not wait.
    tokio::time::sleep(Duration::from_millis(300)).await;
    tx.commit().await.unwrap();
    assert_eq!(asked.await.unwrap(), Some(to));
}

async fn upload(store: &Store) -> UploadRow {
    let collection = CollectionId::new(NOW);
    let row = UploadRow {
        id: UploadId::new(NOW),
        collection,
        record: RecordId::new(NOW),
        object: ObjectId::new(NOW),
        person: PersonId::new(NOW),
        state: UploadState::Open,
        filetype: "audio/wav".into(),
        length: None,
        received: 0,
        fence: 0,
        resume_key: None,
        wrap: Some(vec![1]),
        header: vec![2],
        segment_length: 65_536,
        tail: None,
        tail_fence: 0,
        details: None,
        consent: None,
        terms: ConsentTerms { purposes: Vec::new(), expires_at: None, notice_sha256: [0; 32] },
        refusal: None,
        created_at: NOW,
        expires_at: NOW.plus(HOUR),
    };
    let mut tx = store.begin("test").await.unwrap();
    sqlx::query(
        "INSERT INTO collections (id, name, state, policy, policy_hash, created_at) VALUES ($1, 'calls', 'open', '{}', $2, 0)",
    )
    .bind(collection.to_string())
    .bind(vec![0_u8; 32])
    .execute(tx.conn())
    .await
    .unwrap();
    uploads::insert(&mut tx, &row, &[7; 32], NOW).await.unwrap();
    tx.commit().await.unwrap();
    row
}

fn advance(row: &UploadRow, fence: u64, tail: &[u8]) -> Advance<'static> {
    Advance {
        id: row.id,
        fence,
        from: 0,
        to: 10,
        length: None,
        parts: &[],
        object: row.object,
        tail: tail.to_vec(),
        expires_at: NOW.plus(HOUR).plus(HOUR),
    }
}

#[tokio::test]
async fn p3_of_many_that_advance_an_upload_one_does_and_who_lost_its_fence_does_not() {
    let nodes = nodes().await;
    let row = upload(&nodes.one).await;
    let (a, b) = tokio::join!(uploads::take(&nodes.one, row.id, 0), uploads::take(&nodes.two, row.id, 0));
    let fences = BTreeSet::from([a.unwrap().unwrap().row.fence, b.unwrap().unwrap().row.fence]);
    assert_eq!(fences, BTreeSet::from([1, 2]), "each raised it");
    let outcomes = futures_util::future::join_all((0..6_usize).map(|n| {
        let (store, one) = (nodes.nth(n), advance(&row, if n < 3 { 1 } else { 2 }, &[u8::try_from(n).unwrap()]));
        async move {
            let mut tx = store.begin("test").await.unwrap();
            let moved = uploads::advance(&mut tx, &one).await.unwrap();
            tx.commit().await.unwrap();
            moved
        }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|moved| **moved).count(), 1);
    assert!(!outcomes[..3].contains(&true), "a fence that was overtaken");
    assert!(uploads::take(&nodes.two, row.id, 0).await.unwrap().is_none(), "it stands elsewhere");
    assert_eq!(uploads::take(&nodes.two, row.id, 10).await.unwrap().unwrap().row.tail.unwrap().len(), 1);
}

#[tokio::test]
async fn p3_who_takes_an_upload_sees_row_and_parts_of_one_moment() {
    let nodes = nodes().await;
    let row = upload(&nodes.one).await;
    // Every step registers a part of as many bytes as the offset moves: whoever looks must find the two alike.
    let writers = (0..4_usize).map(|n| {
        let (store, id) = (nodes.nth(n), row.id);
        async move {
            let mut steps = 0;
            for _ in 0..60 {
                let Some(taken) = uploads::take(&store, id, steps * 10).await.unwrap() else {
                    steps += 1;
                    continue;
                };
                assert_eq!((taken.row.received, taken.segments), (taken.ciphertext, steps));
                let (start, length, tags) = (steps * 10, 10, vec![0; 16]);
                let part = NewPart { name: Name::fresh_part(), start, length, first_segment: steps, tags };
                let to = start + length;
                let step = Advance { from: start, to, parts: &[part], ..advance(&taken.row, taken.row.fence, b"") };
                let mut tx = store.begin("test").await.unwrap();
                if uploads::advance(&mut tx, &step).await.unwrap() {
                    tx.commit().await.unwrap();
                    steps += 1;
                } else {
                    tx.rollback().await.unwrap();
                }
            }
            steps
        }
    });
    let steps = futures_util::future::join_all(writers).await;
    assert!(steps.iter().all(|n| *n > 0), "nobody starves: {steps:?}");
}

#[tokio::test]
async fn bytes_come_before_the_look_or_after_the_end_of_an_upload_never_between() {
    let nodes = nodes().await;
    let row = upload(&nodes.one).await;
    let then = NOW.plus(HOUR);
    let mut ending = nodes.one.begin("test").await.unwrap();
    assert!(garbage::is_stale(&mut ending, row.id, then).await.unwrap());
    let (store, late) = (nodes.two.clone(), advance(&row, 0, b"late"));
    let bytes = tokio::spawn(async move {
        let mut tx = store.begin("test").await.unwrap();
        let moved = uploads::advance(&mut tx, &late).await.unwrap();
        tx.commit().await.unwrap();
        moved
    });
    // Time enough to come between, if nothing kept them.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(uploads::end(&mut ending, row.id, UploadState::Expired, None, None, None).await.unwrap());
    ending.commit().await.unwrap();
    assert!(!bytes.await.unwrap(), "bytes were taken by an upload that had ended");
}
