//! Faults in pairs, "failed but persisted" and "failed, not persisted", at every place where something is written.

use core::time::Duration;

use proptest::prelude::*;
use vault_core::audit::entry::{Kind, PlaybackOpened};
use vault_core::keys::hierarchy::LogSeed;

use super::super::LedgerError;
use super::world::World;
use crate::store::faults::Fault;
use crate::store::{Engine, Tx};

const PAIR: [Fault; 2] = [Fault::NotPersisted, Fault::Persisted];

#[tokio::test]
async fn p4_a_commit_of_unknown_outcome_is_looked_up_and_never_doubled() {
    for fault in PAIR {
        let world = World::new().await;
        world.store.faults.add("append_to_log", fault);
        let recorded = world.ledger.append(world.entry(1), Some("once".into())).await.unwrap();
        assert_eq!(recorded.index(), 1, "{fault:?}");
        assert_eq!(world.sound(&[]).await, 2, "{fault:?}: exactly one entry");
    }
}

#[tokio::test]
async fn p4_an_outbox_row_is_appended_exactly_once_whatever_the_commit_says() {
    for fault in PAIR {
        let world = World::new().await;
        world.store.faults.add("append_to_log", fault);
        let mut tx = world.store.begin("act").await.unwrap();
        let ticket = world.ledger.enqueue(&mut tx, world.entry(1), Some("once".into())).await.unwrap();
        tx.commit().await.unwrap();
        world.ledger.settle(ticket).await.unwrap();
        assert_eq!(world.sound(&[]).await, 2, "{fault:?}");
    }
}

#[tokio::test]
async fn p4_a_row_of_the_outbox_that_is_no_entry_stops_nothing_and_is_told() {
    let world = World::new().await;
    let bytes = String::from_utf8(world.entry(1).entry().to_vec()).unwrap();
    let mut tx = world.store.begin("by_hand").await.unwrap();
    for (id, entry, openings) in [
        ("0-words", b"no entry".to_vec(), Vec::new()),
        ("0-long", vec![b'7'; 70_000], Vec::new()),
        ("0-spaced", format!(" {bytes}").into_bytes(), Vec::new()),
        ("0-openings", bytes.clone().into_bytes(), vec![9; 5]),
    ] {
        // Under a right MAC: even the vault's own row would be held against the form.
        let signer = world.signer();
        let mac = signer.outbox_key().mac(id, &entry, &openings, None);
        plant(&mut tx, id, entry, openings, mac.to_vec()).await;
    }
    let ticket = world.ledger.enqueue(&mut tx, world.entry(2), None).await.unwrap();
    tx.commit().await.unwrap();
    world.ledger.settle(ticket).await.unwrap();
    assert_eq!(world.sound(&[]).await, 6);
    let page = world.ledger.page(0, 9, None, |entry| entry.kind() == Kind::FindingReported, |_| true).await.unwrap();
    assert_eq!(page.views.len(), 4);
    assert_eq!(world.store.number("SELECT COUNT(*) FROM log_outbox").await, 0);
}

async fn plant(tx: &mut Tx, id: &str, entry: Vec<u8>, openings: Vec<u8>, mac: Vec<u8>) {
    sqlx::query("INSERT INTO log_outbox (id, entry, openings, reference, mac) VALUES ($1, $2, $3, NULL, $4)")
        .bind(id)
        .bind(entry)
        .bind(openings)
        .bind(mac)
        .execute(tx.conn())
        .await
        .unwrap();
}

#[tokio::test]
async fn p9_a_row_of_the_outbox_that_the_vault_did_not_write_is_not_signed() {
    let world = World::new().await;
    let mut tx = world.store.begin("by_hand").await.unwrap();
    let forged = world.entry(1).entry().to_vec();
    let foreign = LogSeed::generate().outbox_key().mac("0-foreign", &forged, &[], None);
    let moved = world.signer().outbox_key().mac("0-elsewhere", &forged, &[], None);
    plant(&mut tx, "0-empty", forged.clone(), Vec::new(), Vec::new()).await;
    plant(&mut tx, "0-foreign", forged.clone(), Vec::new(), foreign.to_vec()).await;
    plant(&mut tx, "0-moved", forged.clone(), Vec::new(), moved.to_vec()).await;
    // The vault's own rows, altered where they wait.
    let mut tickets = Vec::new();
    for (n, edit) in [
        "UPDATE log_outbox SET entry = $1 WHERE reference = 'own:0'",
        "UPDATE log_outbox SET reference = $1 WHERE reference = 'own:1'",
        "UPDATE log_outbox SET openings = openings || $1 WHERE reference = 'own:2'",
        "UPDATE log_outbox SET id = 'x' || id WHERE reference = 'own:3' AND $1 IS NOT NULL",
    ]
    .into_iter()
    .enumerate()
    {
        let reference = Some(format!("own:{n}"));
        tickets.push(world.ledger.enqueue(&mut tx, world.entry(100), reference).await.unwrap());
        let edit = sqlx::query(edit);
        let edit = if n % 2 == 1 { edit.bind("own:7") } else { edit.bind(forged.clone()) };
        edit.execute(tx.conn()).await.unwrap();
    }
    let control = world.ledger.enqueue(&mut tx, world.entry(2), None).await.unwrap();
    tx.commit().await.unwrap();
    world.ledger.settle(control).await.unwrap();
    assert_eq!(world.sound(&[]).await, 9);
    let page = world.ledger.page(0, 20, None, |entry| entry.kind() == Kind::PlaybackOpened, |_| true).await.unwrap();
    assert_eq!(page.views.len(), 1, "the control alone");
    let page = world.ledger.page(0, 20, None, |entry| entry.kind() == Kind::FindingReported, |_| true).await.unwrap();
    assert_eq!(page.views.len(), 7);
    assert_eq!(world.store.number("SELECT COUNT(*) FROM log_outbox").await, 0);
    drop(tickets);
}

#[tokio::test]
async fn p12_a_row_of_the_outbox_that_cannot_be_read_stops_nothing_and_is_told() {
    let world = World::new().await;
    let mut tx = world.store.begin("by_hand").await.unwrap();
    // Before every id of the vault's, and after. A server takes no text that is none.
    let rows = match world.store.engine() {
        Engine::Sqlite => [
            "(CAST(x'30ff' AS TEXT), x'00', x'', NULL, x'')",
            "(x'30', x'00', x'', NULL, x'')",
            "('0-entry', CAST(x'ff' AS TEXT), x'', NULL, x'')",
            "('9-reference', x'00', x'', CAST(x'ff' AS TEXT), x'')",
        ],
        Engine::Postgres => [
            "('', '', '', NULL, '')",
            "('0', '\\x00', '\\xff', NULL, '')",
            "('0-entry', '\\xff', '', NULL, '')",
            "('9-reference', '\\x00', '', '', '\\x00')",
        ],
    };
    for values in rows {
        let text = format!("INSERT INTO log_outbox (id, entry, openings, reference, mac) VALUES {values}");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(tx.conn()).await.unwrap();
    }
    let ticket = world.ledger.enqueue(&mut tx, world.entry(2), None).await.unwrap();
    tx.commit().await.unwrap();
    world.ledger.settle(ticket).await.unwrap();
    assert_eq!(world.sound(&[]).await, 6);
    let page = world.ledger.page(0, 9, None, |entry| entry.kind() == Kind::FindingReported, |_| true).await.unwrap();
    assert_eq!(page.views.len(), 4);
    assert_eq!(world.store.number("SELECT COUNT(*) FROM log_outbox").await, 0);
}

#[tokio::test]
async fn p4_nobody_is_released_before_the_publication_stands() {
    for fault in PAIR {
        // Each put of a publication in turn: the bundle, then the checkpoint.
        for good in 0..2 {
            let world = World::new().await;
            let before = world.ledger.checkpoint().unwrap().note().to_owned();
            if good == 0 {
                world.objects.fail_next(fault);
            } else {
                world.objects.succeed_next();
                world.objects.fail_next(fault);
            }
            world.ledger.append(world.entry(1), None).await.unwrap();
            let note = world.objects.look("log/checkpoint").await.unwrap();
            assert_eq!(note, world.ledger.checkpoint().unwrap().note().as_bytes());
            assert_eq!(world.sound(&[before]).await, 2);
        }
    }
}

#[tokio::test]
async fn p4_while_nothing_can_be_published_appends_fail_in_time_and_release_nothing() {
    let mut world = World::new().await;
    let before = world.ledger.checkpoint().unwrap().note().to_owned();
    world.objects.set_down(true);
    let started = std::time::Instant::now();
    for n in 0..3 {
        let refused = world.ledger.append(world.entry(n), Some(format!("lost:{n}"))).await;
        assert!(matches!(refused, Err(LedgerError::Timeout)), "{refused:?}");
    }
    assert!(started.elapsed() < 5 * world.wait);
    // Committed or not, it is no evidence as long as it is not published.
    assert!(world.ledger.find::<PlaybackOpened>("lost:0").await.unwrap().is_none());
    // A restriction's entry is committed all the same, with its act.
    let mut tx = world.store.begin("restrict").await.unwrap();
    let ticket = world.ledger.enqueue(&mut tx, world.entry(9), Some("restriction".into())).await.unwrap();
    tx.commit().await.unwrap();
    world.ledger.settle_later(ticket);
    assert_eq!(world.ledger.checkpoint().unwrap().note(), before);
    // Whoever needs what is on its way may come back; what nobody did is absent.
    let soon = world.ledger.find_settled::<PlaybackOpened>("restriction").await;
    assert!(matches!(soon, Err(LedgerError::Timeout)), "{soon:?}");
    assert!(world.ledger.find_settled::<PlaybackOpened>("never").await.unwrap().is_none());

    // The process ends in the middle of it.
    world.restart().await;
    assert!(matches!(world.open().await, Err(LedgerError::Objects(_))), "what is committed must be published first");
    world.objects.set_down(false);
    world.open().await.unwrap();
    world.ledger.append(world.entry(10), None).await.unwrap();
    assert!(world.ledger.find_settled::<PlaybackOpened>("restriction").await.unwrap().is_some());
    world.sound(&[before]).await;
}

#[tokio::test]
async fn p4_a_log_that_comes_back_releases_those_who_still_wait() {
    let mut world = World::new().await;
    world.wait = Duration::from_secs(20);
    world.restart().await;
    world.open().await.unwrap();
    world.objects.set_down(true);
    let objects = std::sync::Arc::clone(&world.objects);
    let up = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        objects.set_down(false);
    });
    let recorded = world.ledger.append(world.entry(1), None).await.unwrap();
    assert_eq!(recorded.index(), 1);
    up.await.unwrap();
    assert_eq!(world.sound(&[]).await, 2);
}

/// What happens next to the log.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append,
    Enqueue,
    CommitFault(bool),
    PutFault(bool),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Append),
        3 => Just(Step::Enqueue),
        2 => any::<bool>().prop_map(Step::CommitFault),
        2 => any::<bool>().prop_map(Step::PutFault),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

const fn fault(persisted: bool) -> Fault {
    if persisted { Fault::Persisted } else { Fault::NotPersisted }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever fails and whenever the process ends: everything released is in the log, at its place, once, and every
    /// checkpoint ever shown is a beginning of it.
    #[test]
    fn p9_released_entries_survive_any_faults(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let (mut known, mut released, mut queued) = (Vec::new(), Vec::new(), Vec::new());
            for (n, step) in (0..).zip(steps) {
                match step {
                    Step::Append => {
                        if let Ok(recorded) = world.ledger.append(world.entry(n), Some(format!("e:{n}"))).await {
                            released.push((format!("e:{n}"), recorded.index()));
                            known.push(world.ledger.checkpoint().unwrap().note().to_owned());
                        }
                    }
                    Step::Enqueue => {
                        let mut tx = world.store.begin("act").await.unwrap();
                        let reference = Some(format!("e:{n}"));
                        let ticket = world.ledger.enqueue(&mut tx, world.entry(n), reference).await.unwrap();
                        tx.commit().await.unwrap();
                        world.ledger.settle_later(ticket);
                        queued.push(format!("e:{n}"));
                    }
                    Step::CommitFault(persisted) => world.store.faults.add("append_to_log", fault(persisted)),
                    Step::PutFault(persisted) => world.objects.fail_next(fault(persisted)),
                    Step::Restart => {
                        world.objects.heal();
                        world.restart().await;
                        world.open().await.unwrap();
                    }
                }
            }
            world.objects.heal();
            world.restart().await;
            world.open().await.unwrap();
            let last = world.ledger.append(world.entry(1_000), Some("last".into())).await.unwrap();
            world.sound(&known).await;
            for (reference, index) in released {
                let found = world.ledger.find::<PlaybackOpened>(&reference).await.unwrap().expect("released");
                assert_eq!(found.index(), index, "{reference}");
            }
            for reference in queued {
                let found = world.ledger.find::<PlaybackOpened>(&reference).await.unwrap();
                assert!(found.is_some_and(|f| f.index() < last.index()), "{reference}");
            }
        });
    }
}
