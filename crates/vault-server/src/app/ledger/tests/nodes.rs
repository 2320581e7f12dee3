//! Several nodes on one database and one object store: one log, whoever sequences it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use vault_core::audit::entry::PlaybackOpened;

use super::super::{Ledger, LedgerError};
use super::world::{Node, World};
use crate::store::faults::Fault;

/// Longer than any takeover.
const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    async fn patient() -> Self {
        let mut world = Self::closed().await;
        world.wait = PATIENCE;
        world.restart().await;
        world.open().await.unwrap();
        world
    }

    async fn joined(&self) -> Node {
        let node = self.node().await;
        node.open(self).await.unwrap();
        node
    }

    /// An entry that is committed with an act of `node`.
    async fn act(&self, node: &Node, number: u64) -> u64 {
        let mut tx = node.store.begin("act").await.unwrap();
        let reference = Some(format!("e:{number}"));
        let ticket = node.ledger.enqueue(&mut tx, self.entry(number), reference).await.unwrap();
        tx.commit().await.unwrap();
        node.ledger.settle(ticket).await.unwrap().index()
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The oracle on every node: the same log, and nothing to find in it.
async fn sound(world: &World, nodes: &[&Ledger], known: &[String]) -> u64 {
    let size = world.sound(known).await;
    for ledger in nodes {
        until("a node falls behind", async || ledger.checkpoint().unwrap().size() >= size).await;
        let mut known = known.to_vec();
        known.push(world.ledger.checkpoint().unwrap().note().to_owned());
        assert!(world.sound_on(ledger, &known).await >= size);
    }
    size
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p4_what_one_node_released_is_evidence_on_the_other_at_once() {
    let world = World::patient().await;
    let other = world.joined().await;
    for n in 0..20 {
        let (one, two) = if n % 2 == 0 { (&world.ledger, &other.ledger) } else { (&other.ledger, &world.ledger) };
        let recorded = one.append(world.entry(n), Some(format!("e:{n}"))).await.unwrap();
        let found = two.find::<PlaybackOpened>(&format!("e:{n}")).await.unwrap();
        assert_eq!(found.map(|f| f.index()), Some(recorded.index()), "{n}");
    }
    sound(&world, &[&other.ledger], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p9_writers_on_two_nodes_get_each_their_own_place() {
    let world = Arc::new(World::patient().await);
    let other = Arc::new(world.joined().await);
    let mut writers = Vec::new();
    for writer in 0..32_u64 {
        let (world, other) = (Arc::clone(&world), Arc::clone(&other));
        writers.push(tokio::spawn(async move {
            let mine = if writer % 2 == 0 { world.as_node() } else { other.again() };
            let mut places = Vec::new();
            for n in 0..10 {
                let number = writer * 10 + n;
                places.push(if n % 2 == 0 {
                    mine.ledger.append(world.entry(number), None).await.unwrap().index()
                } else {
                    world.act(&mine, number).await
                });
            }
            assert!(places.is_sorted(), "one writer's entries keep their order");
            places
        }));
    }
    let mut all = BTreeSet::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    assert_eq!(all.len(), 320);
    assert_eq!(sound(&world, &[&other.ledger], &[]).await, 321);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p9_the_log_goes_on_when_the_node_that_sequences_is_gone() {
    let world = World::patient().await;
    world.ledger.append(world.entry(0), None).await.unwrap();
    // A node of another runtime, which ends in the middle of everything: as `kill -9`, nothing is given back.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    world.ledger.close().await;
    let first = world.node().await;
    let seed = world.opening();
    let gone = runtime
        .spawn(async move {
            seed.open(&first.ledger).await.unwrap();
            first
        })
        .await
        .unwrap();
    let other = world.joined().await;
    let known = other.ledger.checkpoint().unwrap().note().to_owned();
    assert_eq!(world.act(&other, 1).await, 2);
    // Committed by the one that goes, and perhaps not published.
    let mut tx = gone.store.begin("act").await.unwrap();
    let left = gone.ledger.enqueue(&mut tx, world.entry(2), Some("left".into())).await.unwrap();
    tx.commit().await.unwrap();
    gone.ledger.settle_later(left);
    runtime.shutdown_background();

    world.act(&other, 3).await;
    assert!(other.ledger.find::<PlaybackOpened>("left").await.unwrap().is_some());
    let node = world.joined().await;
    world.act(&node, 4).await;
    assert_eq!(world.sound_on(&node.ledger, &[known]).await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_closes_hands_the_log_over() {
    let mut world = World::patient().await;
    let other = world.joined().await;
    for round in 0..3 {
        world.ledger.append(world.entry(round), None).await.unwrap();
        world.restart().await;
        world.act(&other, 10 + round).await;
        world.open().await.unwrap();
    }
    assert_eq!(sound(&world, &[&other.ledger], &[]).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p9_an_older_checkpoint_that_lands_late_takes_nothing_back() {
    let mut world = World::patient().await;
    let other = world.joined().await;
    let mut notes = Vec::new();
    for n in 0..300 {
        if n % 50 == 0 {
            notes.push(world.objects.look("log/checkpoint").await.unwrap().to_vec());
        }
        world.ledger.append(world.entry(n), None).await.unwrap();
    }
    world.act(&other, 300).await;
    let known = world.ledger.checkpoint().unwrap().note().to_owned();
    for note in notes {
        let size = other.ledger.checkpoint().unwrap().size();
        world.objects.plant("log/checkpoint", note.clone()).await;
        // Nobody goes back, and whoever starts on it has the whole log again.
        until("a node looks", async || other.ledger.find::<PlaybackOpened>("e:300").await.unwrap().is_some()).await;
        assert!(other.ledger.checkpoint().unwrap().size() >= size);
        let late = world.node().await;
        late.open(&world).await.unwrap();
        world.act(&late, 301).await;
        late.ledger.close().await;
        world.objects.plant("log/checkpoint", note).await;
        world.ledger.close().await;
        other.ledger.close().await;
        world.restart().await;
        world.open().await.unwrap();
        other.open(&world).await.unwrap();
        sound(&world, &[&other.ledger], core::slice::from_ref(&known)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partial_bundles_do_not_pile_up() {
    let mut world = World::patient().await;
    for round in 0..3 {
        for n in 0..100 {
            world.ledger.append(world.entry(round * 100 + n), None).await.unwrap();
        }
        world.restart().await;
        world.open().await.unwrap();
    }
    let there = async |index: u64| {
        let mut there = 0;
        for width in 1..256 {
            there += usize::from(world.objects.look(&format!("log/tile/entries/{index:03}.p/{width}")).await.is_some());
        }
        there
    };
    until("partial bundles of a full one are left", async || there(0).await == 0).await;
    assert!(there(1).await <= 12, "{}", there(1).await);
    world.sound(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_went_back_stops_every_node() {
    let world = World::patient().await;
    let other = world.joined().await;
    for n in 0..5 {
        world.act(&other, n).await;
    }
    let old = vault_core::audit::merkle::Edge::default();
    let mut tx = world.store.begin("by_hand").await.unwrap();
    sqlx::query("UPDATE log_head SET size = 0, edge = $1").bind(old.to_bytes()).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!world.ledger.has_stopped());
    let refused = tokio::join!(world.ledger.append(world.entry(9), None), other.ledger.append(world.entry(9), None));
    assert!(matches!(refused, (Err(LedgerError::Stopped), Err(LedgerError::Stopped))), "{refused:?}");
    assert!(world.ledger.has_stopped() && other.ledger.has_stopped());
}

/// What happens next, and to which of two nodes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append(bool),
    Act(bool),
    CommitFault(bool, bool),
    PutFault(bool),
    Restart(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(Step::Append),
        4 => any::<bool>().prop_map(Step::Act),
        2 => any::<(bool, bool)>().prop_map(|(node, persisted)| Step::CommitFault(node, persisted)),
        2 => any::<bool>().prop_map(Step::PutFault),
        1 => any::<bool>().prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..30)
}

const fn fault(persisted: bool) -> Fault {
    if persisted { Fault::Persisted } else { Fault::NotPersisted }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever fails on two nodes, and whichever of them goes and comes: everything released is in the log once, at its
    /// place, on both, and every checkpoint ever shown is a beginning of it.
    #[test]
    fn p9_two_nodes_with_faults_keep_one_log(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::patient().await;
            let mut nodes = [world.joined().await, world.as_node()];
            let (mut known, mut released) = (Vec::new(), Vec::new());
            for (number, step) in (0..).zip(steps) {
                let reference = format!("e:{number}");
                match step {
                    Step::Append(node) => {
                        let node = &nodes[usize::from(node)];
                        let recorded = node.ledger.append(world.entry(number), Some(reference.clone())).await;
                        // A commit of unknown outcome on a node that follows is waited for, and not made again.
                        if let Ok(recorded) = recorded {
                            released.push((reference, recorded.index()));
                            known.push(node.ledger.checkpoint().unwrap().note().to_owned());
                        }
                    }
                    Step::Act(node) => {
                        let node = &nodes[usize::from(node)];
                        released.push((reference, world.act(node, number).await));
                        known.push(node.ledger.checkpoint().unwrap().note().to_owned());
                    }
                    Step::CommitFault(node, persisted) => {
                        nodes[usize::from(node)].store.faults.add("append_to_log", fault(persisted));
                    }
                    Step::PutFault(persisted) => world.objects.fail_next(fault(persisted)),
                    Step::Restart(node) => {
                        world.objects.heal();
                        nodes[usize::from(node)].ledger.close().await;
                        nodes[usize::from(node)] = world.joined().await;
                    }
                }
            }
            world.objects.heal();
            for node in &nodes {
                world.act(node, 1_000).await;
                world.sound_on(&node.ledger, &known).await;
                for (reference, index) in &released {
                    let found = node.ledger.find::<PlaybackOpened>(reference).await.unwrap();
                    assert_eq!(found.map(|f| f.index()), Some(*index));
                }
            }
            let size = i64::try_from(nodes[0].ledger.checkpoint().unwrap().size()).unwrap();
            let twice = nodes[0].store.number("SELECT COUNT(*) - COUNT(DISTINCT entry) FROM log_entries").await;
            assert_eq!((twice, size > 0), (0, true), "no entry is appended twice");
        });
    }
}
