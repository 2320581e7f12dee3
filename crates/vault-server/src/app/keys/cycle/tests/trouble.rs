//! Whoever writes the database, keeps an old backup, or cuts a commit short: nothing is destroyed that was not agreed to, and nothing stands
//! still for it.

use super::*;
use crate::custody::Custody as _;
use crate::custody::keyring_file::KeyringFile;
use crate::store::faults::Fault;
use crate::store::{keys, records};
use crate::testing::passphrase;

/// What somebody has who kept an old backup: a record's wrap, and every wrap of its collection's key.
struct Kept {
    record: RecordId,
    wrap: Vec<u8>,
    keks: Vec<(KekRef, Vec<u8>)>,
}

impl Kept {
    async fn of(house: &House, record: RecordId) -> Self {
        let row = records::find(&house.vault.store, record).await.unwrap().unwrap();
        Self { record, wrap: row.wrap.unwrap(), keks: Self::keks(house).await }
    }

    async fn keks(house: &House) -> Vec<(KekRef, Vec<u8>)> {
        let collection = kek(house, 1).await.collection;
        let mut reader = house.vault.store.read().await.unwrap();
        let rows = keys::keks(reader.conn(), collection).await.unwrap();
        rows.into_iter().map(|row| (KekRef { collection, version: row.version }, row.wrap)).collect()
    }

    /// Whether the record's key opens with the live vault's database and its opened keyring beside that: every wrap of a
    /// version, old and new, by every epoch there is.
    async fn opens(&self, house: &House) -> bool {
        let custody = KeyringFile::at(&house.vault.config.keyring_path());
        custody.unseal(&passphrase()).unwrap();
        let live = Self::keks(house).await;
        self.keks.iter().chain(&live).any(|(kek, wrap)| {
            custody.unwrap_kek(*kek, wrap).is_ok_and(|key| key.unwrap_record_key(*kek, self.record, &self.wrap).is_ok())
        })
    }
}

#[tokio::test]
async fn p8_an_old_backup_with_everything_that_lives_opens_nothing_erased_once_the_cycle_is_done() {
    let house = House::new().await;
    let recordings = Recordings::open(&house).await;
    let record = upload(&house, &recordings).await;
    let kept = Kept::of(&house, record).await;
    let path = format!("/v1/records/{record}");
    let (code, said) = house.ask("approver", "DELETE", &path, json!({"reason": "Asked for"})).await;
    assert_eq!(code, StatusCode::OK, "{said}");
    assert!(kept.opens(&house).await, "the erasure alone reaches no backup");
    agreed(&house).await;
    for _ in 0..3 {
        go_on(&house).await;
    }
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await, ["destroyed", "active"]);
    assert!(kept.opens(&house).await, "the epoch that wrapped the version is still in the keyring");
    go_on(&house).await;
    assert!(kept.opens(&house).await);
    destroy_epoch(&house, 1).await;
    assert!(!kept.opens(&house).await, "nothing that lives opens it");
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_rows_that_claim_an_agreement_destroy_nothing() {
    let house = set().await;
    begun(&house).await;
    go_on(&house).await;
    go_on(&house).await;
    // Agreed to by the row, and put down by a row as the cycle would.
    let kek = kek(&house, 1).await;
    let (first, second) = (house.id(OFFICERS[0]), house.id(OFFICERS[1]));
    house.by_hand(format!("UPDATE cycles SET confirmed_by = '{second}'").leak()).await;
    let id = destruction(1, kek);
    let row = format!(
        "INSERT INTO destructions (id, kind, collection_id, version, state, requested_by, requested_at, confirmed_by,
           confirmed_at, not_before, inventory)
         VALUES ('{id}', 'kek', '{}', 1, 'confirmed', '{first}', 0, '{second}', 0, 0, '{}')",
        kek.collection, NOTHING
    );
    house.by_hand(row.leak()).await;
    go_on(&house).await;
    assert!(carry_out_due(&house.vault).await.is_err());
    assert_eq!(versions(&house).await, ["deactivated", "active"]);
    house.by_hand("DELETE FROM destructions").await;
    house.by_hand("UPDATE cycles SET confirmed_by = NULL").await;

    // A scope that is not the one that was agreed to.
    let cycle = status(&house).await["cycle"].clone();
    assert_eq!(agree(&house, OFFICERS[1], &cycle).await.0, StatusCode::OK);
    let wider = format!(
        "UPDATE cycles SET scope = '{{\"root_epoch\":1,\"salt\":\"00000000000000000000000000000000\",\"versions\":{{\"{}\":[1,2]}}}}'",
        kek.collection
    );
    house.by_hand(wider.leak()).await;
    assert!(carry_on(&house.vault, &mut Carrier::default()).await.is_err());
    let shown = status(&house).await;
    assert!(shown["cycle"]["trouble"].as_str().unwrap().contains("log"), "{shown}");
    house.clock.advance(DAY * 2);
    assert!(carry_on(&house.vault, &mut Carrier::default()).await.is_err());
    assert_eq!(versions(&house).await, ["deactivated", "active"]);
    // Somebody looks into it, and it is cancelled; the next one has another number.
    assert_eq!(house.ask(OFFICERS[1], "DELETE", CYCLE, Value::Null).await.0, StatusCode::OK);
    assert_eq!(begun(&house).await["number"], 2);
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p7_whichever_write_fails_the_cycle_ends_all_the_same() {
    let acts = [
        "begin_cycle",
        "confirm_cycle",
        "put_destruction_down",
        "rotate_kek",
        "begin_cycle_root",
        "rotate_root",
        "finish_cycle",
    ];
    for act in acts {
        let house = House::new().await;
        let recordings = Recordings::open(&house).await;
        upload(&house, &recordings).await;
        // One cycle after the other.
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            house.vault.store.faults.add(act, fault);
            let cycle = match begin(&house, OFFICERS[0]).await {
                (StatusCode::ACCEPTED, cycle) => cycle,
                (code, said) => {
                    assert!(code.is_server_error(), "{act} {fault:?}: {said}");
                    match status(&house).await["cycle"].clone() {
                        cycle if cycle["state"] == "running" => cycle,
                        _ => begun(&house).await,
                    }
                }
            };
            let (code, said) = agree(&house, OFFICERS[1], &cycle).await;
            if !code.is_success() {
                assert!(code.is_server_error(), "{act} {fault:?}: {said}");
                // Two have agreed, or have not: asked until the log has it, it is known.
                let mut asked = agree(&house, OFFICERS[1], &cycle).await;
                for _ in 0..200 {
                    if asked.1["code"] != "log_unavailable" {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    asked = agree(&house, OFFICERS[1], &cycle).await;
                }
                let (code, said) = asked;
                assert!(code.is_success() || said["code"] == "conflict", "{act} {fault:?}: {said}");
            }
            for _ in 0..6 {
                let _may_fail = carry_on(&house.vault, &mut Carrier::default()).await;
                let _may_fail = rewrap_all(&house.vault).await;
                house.clock.advance(DAY);
                let _may_fail = carry_out_due(&house.vault).await;
            }
            through(&house).await;
            assert!(!house.vault.store.faults.clear(), "{act} is not met");
            let states = versions(&house).await;
            let (last, former) = states.split_last().unwrap();
            assert_eq!(last, "active", "{act} {fault:?}: {states:?}");
            assert!(
                !former.is_empty() && former.iter().all(|state| state == "destroyed"),
                "{act} {fault:?}: {states:?}"
            );
            let _ = oracle::sound(&house.vault, &[]).await;
        }
    }
}

#[tokio::test]
async fn p8_no_row_makes_epochs_without_end_or_hides_one_that_has_to_go() {
    let house = set().await;
    agreed(&house).await;
    go_on(&house).await;
    go_on(&house).await;
    // An epoch that somebody begins too early wraps the version, and has to go too.
    let (code, said) = house.ask(OFFICERS[0], "POST", "/v1/root/rotate", json!({"reason": "x"})).await;
    assert_eq!(code, StatusCode::OK, "{said}");
    house.clock.advance(DAY);
    carry_out_due(&house.vault).await.unwrap();
    assert_eq!(versions(&house).await, ["destroyed", "active"]);
    for claimed in ["4000000000", "1"] {
        house.by_hand(format!("UPDATE keks SET root_epoch = {claimed} WHERE state = 'destroyed'").leak()).await;
        for _ in 0..3 {
            let _an_error_for_what_never_was = carry_on(&house.vault, &mut Carrier::default()).await;
        }
    }
    let epochs = house.vault.keys().unwrap().epochs().unwrap();
    assert_eq!(epochs.len(), 3, "{epochs:?}");
    destroy_epoch(&house, 1).await;
    go_on(&house).await;
    assert_eq!(status(&house).await["cycle"]["state"], "running", "the second epoch wrapped it, whatever its row says");
    destroy_epoch(&house, 2).await;
    go_on(&house).await;
    assert_eq!(status(&house).await["cycle"]["state"], "done");
    let _ = oracle::sound(&house.vault, &[]).await;
}

#[tokio::test]
async fn p12_one_damaged_collection_holds_no_other_up_and_a_cycle_can_always_be_cancelled() {
    let house = set().await;
    let other = crate::testing::collection("other", "2030-01-01T00:00:00Z");
    assert_eq!(house.ask("administrator", "POST", "/v1/collections", other).await.0, StatusCode::CREATED);
    // A row of a collection that there is not is in no scope; one of a collection that there is holds it up alone.
    house.by_hand("INSERT INTO keks SELECT '00000000-0000-7000-8000-000000000001', 1, root_epoch, wrap, 'deactivated', 0, 0, 0, 0, 0 FROM keks LIMIT 1").await;
    begun(&house).await;
    house.by_hand("UPDATE keks SET state = 'deactivated' WHERE collection_id = (SELECT id FROM collections WHERE name = 'other')").await;
    go_on(&house).await;
    go_on(&house).await;
    assert_eq!(versions(&house).await, ["deactivated", "active"]);
    let shown = status(&house).await;
    assert_eq!(shown["cycle"]["collections"].as_array().unwrap().len(), 2, "{shown}");
    assert!(waits(&house).await.contains(&"trouble 0".to_owned()), "{shown}");
    house.by_hand("UPDATE cycles SET scope = 'none'").await;
    let shown = status(&house).await;
    assert!(shown["cycle"]["trouble"].is_string(), "{shown}");
    assert_eq!(house.ask(OFFICERS[1], "DELETE", CYCLE, Value::Null).await.0, StatusCode::OK);
    assert_eq!(begun(&house).await["number"], 2);
}
