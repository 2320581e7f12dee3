//! The log's own transactions, each failing as "not persisted" and as "persisted": whoever sequences or follows goes on, and
//! every entry is there once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use vault_core::audit::entry::PlaybackOpened;
use vault_core::audit::verify::Finding;

use super::copies::{grown, rewind};
use crate::store::faults::{Fault, Faults};
use crate::testing::acts::named::OF_THE_LOG;

/// Longer than a lease that nobody gives back is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One node starts and another follows, with one fault between them.
async fn with(name: &'static str, fault: Fault) {
    let what = format!("{name} {fault:?}");
    let mut world = grown(6).await;
    world.wait = Duration::from_secs(8);
    world.restart().await;
    world.open().await.unwrap();
    let checkpoint = world.ledger.checkpoint().unwrap();
    let (known, size) = (checkpoint.note().to_owned(), checkpoint.size());
    // What is replayed has lost its openings.
    let back_to = if name == "replay_log" { size - 2 } else { size };
    let mut faults: Arc<Faults> = Arc::clone(&world.store.faults);
    if name == "release_lease" {
        faults.add(name, fault);
    }
    if back_to < size {
        rewind(&world, back_to).await;
    }
    world.restart().await;
    if !["beat", "leave_in_outbox", "release_lease"].contains(&name) {
        faults = Arc::clone(&world.store.faults);
        faults.add(name, fault);
    }
    until(&format!("{what}: it does not open"), async || world.open().await.is_ok()).await;
    let node = world.node().await;
    if ["beat", "leave_in_outbox"].contains(&name) {
        faults = Arc::clone(&node.store.faults);
        faults.add(name, fault);
    }
    until(&format!("{what}: the other does not open"), async || node.open(&world).await.is_ok()).await;

    let mut sure = Vec::new();
    for (n, ledger) in (10..).zip([&world.ledger, &node.ledger, &world.ledger, &node.ledger]) {
        let appended = ledger.append(world.entry(n), Some(format!("e:{n}"))).await;
        // One that met the fault is there or not, and says that it does not know.
        sure.extend(appended.is_ok().then_some(n));
    }
    until(&format!("{what}: it is not met"), async || !faults.waits()).await;
    for (n, ledger) in (20..).zip([&world.ledger, &node.ledger]) {
        ledger.append(world.entry(n), Some(format!("e:{n}"))).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        sure.push(n);
    }
    let mut found = Vec::new();
    for n in (10..14).chain(20..22) {
        let there = world.ledger.find::<PlaybackOpened>(&format!("e:{n}")).await.unwrap();
        found.extend(there.map(|_| n));
    }
    assert!(sure.iter().all(|n| found.contains(n)), "{what}: {sure:?} were acknowledged, {found:?} are there");
    assert!(sure.len() >= 5, "{what}: one fault costs one entry at the most: {sure:?}");
    let report = world.verify(&[known]).await;
    let lost = |f: &Finding| matches!(f, Finding::OpeningMissing { index, .. } if (back_to..size).contains(index));
    assert!(report.findings.iter().all(lost), "{what}: {:?}", report.findings);
    assert_eq!((report.known_extended, report.entries), (1, size + found.len() as u64), "{what}: no entry twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_every_transaction_of_the_log_fails_in_both_ways_and_the_log_goes_on() {
    let all = OF_THE_LOG.iter().flat_map(|name| [Fault::NotPersisted, Fault::Persisted].map(|fault| (*name, fault)));
    // Side by side: what costs time is waiting for leases.
    join_all(all.map(|(name, fault)| with(name, fault))).await;
}
