//! What others do while a recording is written again.

use super::*;
use crate::app::erase::tests::stage::recording;
use crate::store::keys;

/// Some two seconds for the recording.
const SLOWLY: u64 = 70_000;

/// Begins slowly, and lets `act` happen once the recording is being read.
async fn beside(stage: &Stage, act: impl AsyncFnOnce()) {
    begin(stage, Some(SLOWLY)).await;
    let vault = Arc::clone(&stage.house.vault);
    let work = tokio::spawn(async move { Worker::new().round(&vault).await });
    stage.until("it is read", async || !stage.logged("record.reencrypting").await.is_empty()).await;
    act().await;
    assert_eq!(status_of(stage).await["done"], 0, "it came too late to be beside it");
    work.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_an_erasure_in_the_middle_wins() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    incident(&stage).await;
    beside(&stage, async || assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK)).await;
    let done = status_of(&stage).await;
    assert_eq!((&done["state"], &done["done"], &done["skipped"]), (&json!("done"), &json!(0), &json!(1)), "{done}");
    assert_eq!(stage.house.vault.store.number("SELECT COUNT(*) FROM records WHERE wrap IS NOT NULL").await, 0);
    stage.collect().await;
    assert_eq!(finish(&stage.house.vault).await.unwrap(), 1, "what was written of it is gone as well");
    assert!(stage.objects.media().await.is_empty());
    tidy(&stage).await;
    stage.sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_rotation_in_the_middle_leaves_the_fresh_key_under_the_active_version() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    incident(&stage).await;
    let former = stolen(&stage, record).await;
    beside(&stage, async || {
        let (status, begun) =
            stage.house.ask("key-officer", "POST", "/v1/collections/demo/keys/rotate", json!({"reason": "x"})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
        rewrap_all(&stage.house.vault).await.unwrap();
    })
    .await;
    let row = records::find(&stage.house.vault.store, record).await.unwrap().unwrap();
    assert_eq!(row.kek_version, 3);
    assert!(opens(&stage, record, &former).await.0.is_empty());
    assert_eq!(exposed(&stage).await, 0);
    let mut reader = stage.house.vault.store.read().await.unwrap();
    let held = keys::all_keys(reader.conn(), row.collection, "", 10).await.unwrap();
    assert_eq!(held[0].born, Some(3));
    drop(reader);
    assert_eq!(stage.play(&stage.session(&stage.approved(record).await).await).await, (StatusCode::OK, true));
    tidy(&stage).await;
    sound(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_entries_that_wait_for_the_log_are_sealed_anew_as_well() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let request = stage.approved(record).await;
    let playing = stage.session(&request).await;
    assert_eq!(stage.play(&playing).await, (StatusCode::OK, true));
    incident(&stage).await;
    let former = stolen(&stage, record).await;
    beside(&stage, async || {
        for _ in 0..2_000 {
            stage.house.vault.store.faults.add("append_to_log", Fault::NotPersisted);
        }
        // Its entry waits, with an opening under the record's former key.
        assert_eq!(stage.house.ask("analyst", "DELETE", &playing, Value::Null).await.0, StatusCode::NO_CONTENT);
        let mut reader = stage.house.vault.store.read().await.unwrap();
        assert!(log::waits_with(reader.conn(), record).await.unwrap());
    })
    .await;
    stage.house.vault.store.faults.clear();
    stage.until("the closing is logged", async || stage.logged("playback.closed").await.len() == 1).await;
    let closed = stage.logged("playback.closed").await;
    let named = closed[0]["openings"].as_array().unwrap().iter().find(|o| o["slot"] == "record").unwrap();
    assert_eq!((&named["status"], &named["value"]), (&json!("opened"), &json!(record.to_string())));
    assert!(opens(&stage, record, &former).await.0.is_empty());
    tidy(&stage).await;
    sound(&stage).await;
}

/// What an act sealed under the former key before its transaction does not get into the log after it.
#[tokio::test]
async fn p9_an_entry_that_was_prepared_under_the_former_key_is_drafted_again() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let vault = &stage.house.vault;
    let staff = vault.keys.staff_audit_key(vault_core::ids::CollectionId::VAULT).await.unwrap();
    let drafted = |key: &RecordKey| {
        let draft = Draft::<PlaybackClosed>::new(vault.clock.now()).slot(
            SlotName::Record,
            record.to_string(),
            OpeningUnder::Record,
        );
        let field = key.field_key();
        draft.prepare(&OpeningKeys { staff: staff.as_ref(), record: Some((record, &field)) }).unwrap()
    };
    let former = stolen(&stage, record).await;
    incident(&stage).await;
    begin(&stage, None).await;
    round(&stage).await;
    let ledger = vault.ledger().unwrap();
    let mut tx = vault.store.begin("test").await.unwrap();
    let late = ledger.enqueue(&mut tx, drafted(&former), None).await;
    assert!(matches!(late, Err(LedgerError::RecordKeyChanged)), "{late:?}");
    tx.rollback().await.unwrap();
    let fresh = stolen(&stage, record).await;
    let mut tx = vault.store.begin("test").await.unwrap();
    let ticket = ledger.enqueue(&mut tx, drafted(&fresh), None).await.unwrap();
    tx.commit().await.unwrap();
    ledger.settle(ticket).await.unwrap();
    sound(&stage).await;
    // One that is erased takes it: the opening is emptied when the entry is appended.
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
    let mut tx = vault.store.begin("test").await.unwrap();
    let ticket = ledger.enqueue(&mut tx, drafted(&former), None).await.unwrap();
    tx.commit().await.unwrap();
    ledger.settle(ticket).await.unwrap();
    stage.sound().await;
}

/// Requests, approvals and sessions at the very moment of the swap: each is done whole, or told to try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p9_what_is_asked_approved_and_played_at_the_same_moment_opens_afterwards() {
    let stage = Arc::new(Stage::set().await);
    let record = stage.record().await;
    for turn in 0..8 {
        let asks: Vec<_> = (0..4)
            .map(|n| {
                let stage = Arc::clone(&stage);
                tokio::spawn(async move {
                    tokio::time::sleep(core::time::Duration::from_millis(n * 4)).await;
                    let body =
                        json!({"record_id": record.to_string(), "purpose": "service-improvement", "reason": "Hear it"});
                    let (status, filed) = stage.house.ask("analyst", "POST", "/v1/access-requests", body).await;
                    if status != StatusCode::CREATED {
                        return status;
                    }
                    let path = format!("/v1/access-requests/{}", filed["id"].as_str().unwrap());
                    let said = json!({"comment": "Within the procedure"});
                    let (status, _) = stage.house.ask("approver", "POST", &format!("{path}/approve"), said).await;
                    if status != StatusCode::OK {
                        return status;
                    }
                    let (status, opened) =
                        stage.house.ask("analyst", "POST", &format!("{path}/sessions"), json!({})).await;
                    if status != StatusCode::CREATED {
                        return status;
                    }
                    // Whole, or ended: never anything else.
                    let (status, whole) = stage.play(opened["playback_url"].as_str().unwrap()).await;
                    assert!(status == StatusCode::GONE || status == StatusCode::OK, "{status}");
                    if whole { StatusCode::OK } else { StatusCode::GONE }
                })
            })
            .collect();
        tokio::time::sleep(core::time::Duration::from_millis(turn * 3)).await;
        let single = json!({"record_id": record.to_string(), "incident": "INC-8", "reason": "Its key was seen"});
        assert_eq!(ask(&stage, PATH, single).await.0, StatusCode::ACCEPTED);
        round(&stage).await;
        assert_eq!(status_of(&stage).await["done"], 1);
        for one in asks {
            let status = one.await.unwrap();
            let expected = [StatusCode::OK, StatusCode::GONE, StatusCode::SERVICE_UNAVAILABLE];
            assert!(expected.contains(&status), "{status}");
        }
        crate::app::play::reap(&stage.house.vault).await.unwrap();
    }
    let fresh = stolen(&stage, record).await;
    let (opened, all) = opens(&stage, record, &fresh).await;
    assert_eq!(opened.len(), all);
    assert!(stage.logged("finding.reported").await.is_empty());
    assert_eq!(recording().len() as i64, stage.house.vault.store.number("SELECT size FROM records").await);
    tidy(&stage).await;
    sound(&stage).await;
}

/// The tag beside the wrap is a hint: one that is wrong holds up nothing, and is put right.
#[tokio::test]
async fn p12_a_wrong_tag_of_a_key_holds_up_no_entry_about_its_record() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let spoilt = "UPDATE records SET key_tag = substr(wrap, 1, 16)";
    let wrong = "SELECT COUNT(*) FROM records WHERE key_tag = substr(wrap, 1, 16)";
    let wrong = async || stage.house.vault.store.number(wrong).await;
    stage.house.by_hand(spoilt).await;
    let request = stage.approved(record).await;
    let session = stage.session(&request).await;
    assert_eq!((stage.play(&session).await, wrong().await), ((StatusCode::OK, true), 0));
    for act in ["playback", "grant"] {
        stage.house.by_hand(spoilt).await;
        if act == "playback" {
            let (status, said) = stage.house.ask("analyst", "DELETE", &session, Value::Null).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
        } else {
            let (_, shown) = stage.house.ask("analyst", "GET", &request, Value::Null).await;
            let path = format!("/v1/grants/{}", shown["grant_id"].as_str().unwrap());
            let (status, said) = stage.house.ask("approver", "DELETE", &path, Value::Null).await;
            assert_eq!(status, StatusCode::OK, "{said}");
        }
        assert_eq!(wrong().await, 0, "{act}");
    }
    incident(&stage).await;
    stage.house.by_hand(spoilt).await;
    begin(&stage, None).await;
    round(&stage).await;
    assert_eq!(status_of(&stage).await["state"], "done");
    sound(&stage).await;
}

/// Whoever writes the database has nothing decrypted by a row.
#[tokio::test]
async fn p4_a_row_that_nobody_asked_for_has_nothing_read() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    incident(&stage).await;
    begin(&stage, None).await;
    round(&stage).await;
    let entries = stage.logged("record.reencrypting").await.len();
    let id = vault_core::ids::ReencryptionId::new(crate::testing::NOW);
    for row in [
        // What was asked for, of another record.
        format!("UPDATE reencryptions SET state = 'running', cursor = '', kek_version = NULL, record_id = '{record}'"),
        format!("UPDATE reencryptions SET id = '{id}', kek_version = 1, record_id = NULL"),
    ] {
        stage.house.by_hand(row.leak()).await;
        assert!(Worker::new().round(&stage.house.vault).await.is_err());
    }
    assert_eq!(stage.logged("record.reencrypting").await.len(), entries);
    sound(&stage).await;
}

/// A version that does not open by the root costs what it holds, and the re-encryption comes to its end.
#[tokio::test]
async fn p12_a_version_that_does_not_open_costs_what_it_holds_and_holds_nothing_up() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    incident(&stage).await;
    begin(&stage, None).await;
    let row = records::find(&stage.house.vault.store, record).await.unwrap().unwrap();
    // The commitment of another wrap.
    let spoilt = "UPDATE keks SET wrap = (SELECT wrap FROM keks AS k WHERE k.version = 1 AND k.collection_id = keks.collection_id)
                  WHERE version = 2";
    stage.house.by_hand(spoilt).await;
    stage.house.vault.keys.forget(vault_core::keys::wrap::KekRef { collection: row.collection, version: 2 });
    round(&stage).await;
    let shown = status_of(&stage).await;
    assert_eq!((&shown["state"], &shown["damaged"]), (&json!("done"), &json!(1)), "{shown}");
}
