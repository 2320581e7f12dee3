//! Erasing, on whichever engine the run is for. Each test ends with the offline verifier.

mod finality;
pub(in crate::app) mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use vault_core::audit::entry::{AccessRequested, Draft, KeyOperation, PlaybackClosed};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::RecordId;
use vault_core::keys::hierarchy::FieldKey;

use super::*;
use crate::app::entry::StaffPen;
use crate::app::reference;
use crate::store::faults::Fault;
use crate::store::records;
use stage::Stage;

/// Rows and columns that hold something of the one record there is, by name.
async fn left(stage: &Stage) -> Vec<&'static str> {
    let places = [
        ("the key", "SELECT COUNT(*) FROM records WHERE wrap IS NOT NULL"),
        (
            "a sealed column",
            "SELECT COUNT(*) FROM records WHERE details IS NOT NULL OR consent IS NOT NULL OR pseudonym IS NOT NULL",
        ),
        ("a purpose", "SELECT COUNT(*) FROM records WHERE purposes <> '[]' OR consent_expires_at IS NOT NULL"),
        ("a reason", "SELECT COUNT(*) FROM access_requests WHERE LENGTH(reason) > 0"),
        ("a comment", "SELECT COUNT(*) FROM access_requests WHERE comment IS NOT NULL OR case_number IS NOT NULL"),
        ("an opening", "SELECT COUNT(*) FROM log_openings WHERE under = 'record' AND sealed IS NOT NULL"),
        ("a part", "SELECT COUNT(*) FROM parts"),
        ("an object", "SELECT COUNT(*) FROM objects"),
        ("an intent", "SELECT COUNT(*) FROM intents"),
    ];
    let mut left = Vec::new();
    for (what, sql) in places {
        if stage.house.vault.store.number(sql).await > 0 {
            left.push(what);
        }
    }
    left
}

#[tokio::test]
async fn p8_erasing_takes_key_texts_openings_and_media_and_says_so() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let session = stage.session(&stage.approved(record).await).await;
    assert_eq!(stage.play(&session).await, (StatusCode::OK, true));
    let before = left(&stage).await;
    for what in ["the key", "a sealed column", "a reason", "a comment", "an opening", "a part", "an object"] {
        assert!(before.contains(&what), "the search is blind to {what}: {before:?}");
    }

    let (status, erased) = stage.erase("approver", record).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    assert_eq!(left(&stage).await, Vec::<&str>::new());
    assert_eq!((&erased["journalled"], &erased["record_id"]), (&json!(true), &json!(record.to_string())));
    assert_eq!(erased["opening"]["value"], json!(record.to_string()));
    assert!(erased["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"), "{erased}");
    assert!(erased["names_left"].as_u64().unwrap() > 0 && erased["completed_at"].is_null(), "{erased}");
    // The stream is dead at once, and is closed with what it served.
    assert!(stage.play(&session).await.0.is_client_error());
    assert_eq!(crate::app::play::reap(&stage.house.vault).await.unwrap(), 1);
    assert_eq!(stage.house.vault.sessions.len(), 0, "its key is out of memory");
    stage.until("the closing is logged", async || stage.logged("playback.closed").await.len() == 1).await;
    assert_eq!(stage.logged("playback.closed").await[0]["entry"]["data"]["why"], "erased");

    assert!(!stage.objects.media().await.is_empty());
    assert_eq!(finish(&stage.house.vault).await.unwrap(), 0, "its media is there still");
    stage.collect().await;
    assert!(stage.objects.media().await.is_empty());
    assert_eq!(finish(&stage.house.vault).await.unwrap(), 1);
    let after = stage.erasure(record).await;
    assert!(after["completed_at"].is_string() && after["names_left"] == 0, "{after}");
    assert_eq!(after["entry"], erased["entry"]);

    // Every opening that is gone is told as erased, with an entry that lists it.
    let listed = stage.logged("record.erased").await[0]["entry"]["data"]["openings"].as_array().unwrap().len();
    assert!(listed >= 8, "{listed}");
    assert_eq!(stage.told("erased").await, listed);
    stage.sound().await;
}

#[tokio::test]
async fn an_erased_record_is_left_out_and_shown_as_gone() {
    let stage = Stage::set().await;
    let (gone, kept) = (stage.record().await, stage.record().await);
    let request = stage.approved(gone).await;
    assert_eq!(stage.house.ask("auditor", "GET", &format!("/v1/records/{gone}/erasure"), Value::Null).await.0, 404);
    assert_eq!(stage.erase("approver", gone).await.0, StatusCode::OK);
    let listed = async |query: &str| {
        let (_, page) = stage.house.ask("analyst", "GET", &format!("/v1/records{query}"), Value::Null).await;
        let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, [kept.to_string()]);
    assert_eq!(listed("?state=erased").await, [gone.to_string()]);
    let (_, shown) = stage.house.ask("analyst", "GET", &format!("/v1/records/{gone}"), Value::Null).await;
    assert_eq!((&shown["state"], &shown["purposes"]), (&json!("erased"), &json!([])));
    for member in ["kind", "content_type", "size_bytes", "key_version", "retain_until", "consent_expires_at"] {
        assert!(shown[member].is_null(), "{member}: {shown}");
    }
    // What was approved for it opens nothing, and nobody asks for it again.
    let opened = stage.house.ask("analyst", "POST", &format!("{request}/sessions"), json!({})).await;
    assert_eq!((opened.0.as_u16(), &opened.1["code"]), (409, &json!("record_not_available")));
    let body = json!({"record_id": gone.to_string(), "purpose": "service-improvement", "reason": "Again"});
    let asked = stage.house.ask("analyst", "POST", "/v1/access-requests", body).await;
    assert_eq!((asked.0.as_u16(), &asked.1["code"]), (409, &json!("record_not_available")));
    let (_, shown) = stage.house.ask("approver", "GET", &request, Value::Null).await;
    assert_eq!((&shown["reason"], &shown["comment"]), (&Value::Null, &Value::Null), "{shown}");
    stage.sound().await;
}

#[tokio::test]
async fn p5_only_an_approver_erases_and_who_may_not_see_is_told_nothing() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    for (who, expected) in
        [("analyst", 403), ("auditor", 403), ("administrator", 404), ("key-officer", 404), ("uploader", 404)]
    {
        assert_eq!(stage.erase(who, record).await.0, expected, "{who}");
    }
    assert_eq!(stage.erase("approver", RecordId::from_bytes([9; 16])).await.0, 404);
    let long = json!({"reason": "x".repeat(2_001)});
    assert_eq!(stage.house.ask("approver", "DELETE", &format!("/v1/records/{record}"), long).await.0, 422);
    assert!(left(&stage).await.contains(&"the key"));
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
    for (who, expected) in [("analyst", 200), ("auditor", 200), ("administrator", 404), ("key-officer", 404)] {
        let path = format!("/v1/records/{record}/erasure");
        assert_eq!(stage.house.ask(who, "GET", &path, Value::Null).await.0, expected, "{who}");
    }
    stage.sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_two_approvers_at_once_erase_once_and_get_one_certificate() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let (one, two) = tokio::join!(stage.erase("approver", record), stage.erase("approver-2", record));
    assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK), "{} {}", one.1, two.1);
    for member in ["entry", "erased_at", "opening", "record_id"] {
        assert_eq!(one.1[member], two.1[member], "{member}");
    }
    let again = stage.erase("approver", record).await;
    assert_eq!((again.0, &again.1["entry"]), (StatusCode::OK, &one.1["entry"]));
    assert_eq!(stage.logged("record.erased").await.len(), 1);
    assert_eq!(stage.house.vault.store.number("SELECT COUNT(*) FROM erasures").await, 1);
    stage.sound().await;
}

/// Every attempt to append fails until [`heal`](crate::store::faults::Faults::clear)ed.
fn block_log(stage: &Stage) {
    for _ in 0..2_000 {
        stage.house.vault.store.faults.add("append_to_log", Fault::NotPersisted);
    }
}

#[tokio::test]
async fn p6_a_blocked_log_holds_up_no_erasure_and_what_waits_for_it_is_emptied() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let request = stage.approved(record).await;
    let (closed, playing) = (stage.session(&request).await, stage.session(&request).await);
    block_log(&stage);
    // Its entry waits, with what opens under the record's key.
    assert_eq!(stage.house.ask("analyst", "DELETE", &closed, Value::Null).await.0, StatusCode::NO_CONTENT);
    let mut reader = stage.house.vault.store.read().await.unwrap();
    assert!(crate::store::log::waits_with(reader.conn(), record).await.unwrap());

    let (status, erased) = stage.erase("approver", record).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{erased}");
    assert_eq!((&erased["journalled"], &erased["proof"]), (&json!(true), &Value::Null));
    assert_eq!(erased["horizon"]["waits_for"][0], json!({"kind": "kek-version", "number": 1}));
    assert!(stage.play(&playing).await.0.is_client_error());
    assert!(!crate::store::log::waits_with(reader.conn(), record).await.unwrap(), "what waits is emptied too");
    drop(reader);
    // Nothing says yet why the openings are gone, so nobody is told that they were erased.
    assert_eq!((stage.told("erased").await, left(&stage).await.len()), (0, 0));
    assert!(stage.told("withheld").await >= 6);
    stage.collect().await;
    finish(&stage.house.vault).await.unwrap();
    stage.sound().await;

    stage.house.vault.store.faults.clear();
    stage.until("the erasure is logged", async || !stage.logged("record.erased").await.is_empty()).await;
    assert!(stage.erasure(record).await["proof"].is_string());
    // What came after it is told by an entry of its own.
    stage.until("the closing is logged", async || !stage.logged("playback.closed").await.is_empty()).await;
    assert_eq!(stage.logged("openings.erased").await.len(), 1);
    assert_eq!((stage.told("withheld").await, stage.told("missing").await), (0, 0));
    stage.sound().await;
}

#[tokio::test]
async fn p8_while_the_object_store_is_gone_a_record_is_erased_and_everything_follows() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let session = stage.session(&stage.approved(record).await).await;
    stage.objects.set_down(true);
    let (status, erased) = stage.erase("approver", record).await;
    assert_eq!((status, &erased["journalled"]), (StatusCode::ACCEPTED, &json!(false)), "{erased}");
    assert_eq!(left(&stage).await, Vec::<&str>::new());
    stage.objects.heal();
    assert!(stage.play(&session).await.0.is_client_error());
    stage.house.vault.restrictions.complete_journal().await.unwrap();
    stage.until("the entry is published", async || stage.erasure(record).await["proof"].is_string()).await;
    assert_eq!(stage.erasure(record).await["journalled"], json!(true));
    stage.collect().await;
    assert_eq!(finish(&stage.house.vault).await.unwrap(), 1);
    stage.sound().await;
}

/// The record's field key, as an act holds it that began before the erasure.
async fn field_key(stage: &Stage, record: RecordId) -> FieldKey {
    let vault = &stage.house.vault;
    let row = records::find(&vault.store, record).await.unwrap().unwrap();
    let wrap = row.wrap.unwrap();
    vault.keys.unwrap_record_key(row.collection, record, row.kek_version, &wrap).await.unwrap().field_key()
}

#[tokio::test]
async fn p8_an_entry_that_comes_after_the_erasure_brings_no_opening_back() {
    let stage = Stage::set().await;
    let vault = &stage.house.vault;
    let (record, other) = (stage.record().await, stage.record().await);
    let (field, others) = (field_key(&stage, record).await, field_key(&stage, other).await);
    let staff = vault.keys.staff_audit_key(vault_core::ids::CollectionId::VAULT).await.unwrap();
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);

    let late = |record: RecordId, key: &FieldKey| {
        let draft = Draft::<PlaybackClosed>::new(vault.clock.now())
            .slot(SlotName::Record, record.to_string(), OpeningUnder::Record)
            .slot(SlotName::Object, "an object", OpeningUnder::Record);
        draft.prepare(&OpeningKeys { staff: staff.as_ref(), record: Some((record, key)) }).unwrap()
    };
    let ledger = vault.ledger().unwrap();
    // One by way of the outbox, one from memory, and one of a record that nobody erased.
    let mut tx = vault.store.begin("test").await.unwrap();
    let ticket = ledger.enqueue(&mut tx, late(record, &field), None).await.unwrap();
    tx.commit().await.unwrap();
    ledger.settle(ticket).await.unwrap();
    ledger.append(late(record, &field), None).await.unwrap();
    ledger.append(late(other, &others), None).await.unwrap();
    assert_eq!(
        vault.store.number("SELECT COUNT(*) FROM log_openings WHERE under = 'record' AND sealed IS NOT NULL").await,
        // Two of this entry, two of the upload.
        4
    );
    let said = stage.logged("openings.erased").await;
    let listed: usize = said.iter().map(|e| e["entry"]["data"]["openings"].as_array().unwrap().len()).sum();
    assert_eq!((listed, stage.told("missing").await), (4, 0));
    stage.sound().await;
}

#[tokio::test]
async fn p8_more_openings_than_an_entry_holds_take_several() {
    let stage = Stage::set().await;
    let vault = &stage.house.vault;
    let record = stage.record().await;
    let field = field_key(&stage, record).await;
    let staff = vault.keys.staff_audit_key(vault_core::ids::CollectionId::VAULT).await.unwrap();
    let ledger = vault.ledger().unwrap();
    let slots = [SlotName::CaseNumber, SlotName::Comment, SlotName::Object, SlotName::Reason, SlotName::Record];
    let mut tx = vault.store.begin("test").await.unwrap();
    let mut last = None;
    for _ in 0..900 {
        let mut draft = Draft::<AccessRequested>::new(vault.clock.now());
        for slot in slots {
            draft = draft.slot(slot, "x", OpeningUnder::Record);
        }
        let entry = draft.prepare(&OpeningKeys { staff: staff.as_ref(), record: Some((record, &field)) }).unwrap();
        last = Some(ledger.enqueue(&mut tx, entry, None).await.unwrap());
    }
    tx.commit().await.unwrap();
    ledger.settle(last.unwrap()).await.unwrap();

    let (status, erased) = stage.erase("approver", record).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    assert!(!stage.logged("openings.erased").await.is_empty());
    assert_eq!(left(&stage).await, Vec::<&str>::new());
    stage.sound().await;
}

#[tokio::test]
async fn p8_a_certificate_does_not_claim_what_no_entry_proves() {
    let stage = Stage::set().await;
    let vault = &stage.house.vault;
    let record = stage.record().await;
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
    let waits = async || {
        let erasure = stage.erasure(record).await;
        assert_eq!(erasure["horizon"]["final"], json!(false));
        let waits = erasure["horizon"]["waits_for"].as_array().unwrap().clone();
        waits.iter().map(|w| format!("{} {}", w["kind"].as_str().unwrap(), w["number"])).collect::<Vec<_>>()
    };
    let all = ["kek-version 1", "root-epoch 1", "resume-key null"];
    assert_eq!(waits().await, all);
    let reason = json!({"reason": "Yearly"});
    let rotate = "/v1/collections/demo/keys/rotate";
    assert!(stage.house.ask("key-officer", "POST", rotate, reason.clone()).await.0.is_success());
    // The version lives on: from here on epoch 2 wraps it too.
    assert!(stage.house.ask("key-officer", "POST", "/v1/root/rotate", reason).await.0.is_success());
    assert_eq!(waits().await, ["kek-version 1", "root-epoch 1", "root-epoch 2", "resume-key null"]);
    let (_, root) = stage.house.ask("key-officer", "GET", "/v1/root", Value::Null).await;
    assert_eq!((&root["open_erasures"]["count"], &root["open_erasures"]["collection"]), (&json!(1), &json!("demo")));
    assert_eq!(root["open_erasures"]["waits_for"][0], json!({"kind": "kek-version", "number": 1}));

    // A row that says so destroys nothing.
    stage.house.by_hand("UPDATE keks SET state = 'destroyed', wrap = x'' WHERE version = 1").await;
    assert!(waits().await.contains(&"kek-version 1".to_owned()));
    // An entry that proves it does, with the epoch that wrapped it last.
    let collection = crate::app::collections::find(vault, &"demo".parse().unwrap()).await.unwrap().id;
    let pen = StaffPen::of(vault, Some(collection)).await.unwrap();
    let destroyed = |version: u32| {
        let draft = pen.draft::<KeyOperation>(vault.clock.now(), None).kek_version(version);
        pen.prepare(draft.data("operation", "destroy").data("root_epoch", 2_u32)).unwrap()
    };
    let reference = reference::key_destroyed(collection, 1);
    let ledger = vault.ledger().unwrap();
    // Another version's entry under this one's name proves nothing of it.
    ledger.append(destroyed(7), Some(reference.clone())).await.unwrap();
    assert!(waits().await.contains(&"kek-version 1".to_owned()));
    ledger.append(destroyed(1), Some(reference)).await.unwrap();
    assert_eq!(waits().await, ["root-epoch 1", "root-epoch 2", "resume-key null"]);
    assert_eq!(stage.erasure(record).await["destroyed"].as_array().unwrap().len(), 1);
    // The resume key goes with its day.
    stage.house.clock.advance(core::time::Duration::from_hours(72));
    stage.house.vault.keys.destroy_resume_keys().await.unwrap();
    let found = show::certificate(vault, record, collection).await.unwrap();
    assert_eq!(found.horizon.waits_for.len(), 2);
    assert_eq!(found.horizon.resume_key, vault_api::erasure::ResumeKeyState::Destroyed);
    stage.sound().await;
}

#[tokio::test]
async fn p6_a_key_that_is_put_back_plays_nothing_and_is_erased_again() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    let request = stage.approved(record).await;
    stage.house.by_hand("CREATE TABLE copied AS SELECT id, wrap FROM records").await;
    assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
    let back = "UPDATE records SET state = 'available', wrap = (SELECT wrap FROM copied WHERE copied.id = records.id)";
    stage.house.by_hand(back).await;
    let opened = stage.house.ask("analyst", "POST", &format!("{request}/sessions"), json!({})).await;
    assert_eq!((opened.0.as_u16(), &opened.1["code"]), (409, &json!("record_not_available")));
    assert_eq!(again(&stage.house.vault).await.unwrap(), 1);
    assert_eq!(again(&stage.house.vault).await.unwrap(), 0);
    assert_eq!(left(&stage).await, Vec::<&str>::new());
    stage.until("it is logged", async || stage.logged("record.erased").await.len() == 2).await;

    // After a restart with every row that tells of it cleared, the log tells.
    stage.house.by_hand(back).await;
    for cleared in ["DELETE FROM erasures", "DELETE FROM restrictions", "UPDATE log_entries SET reference = NULL"] {
        stage.house.by_hand(cleared).await;
    }
    let stage = stage.restarted().await;
    assert_eq!(again(&stage.house.vault).await.unwrap(), 1);
    assert_eq!(left(&stage).await, Vec::<&str>::new());
    stage.sound().await;
}

#[tokio::test]
async fn p8_no_damaged_row_holds_up_an_erasure() {
    let stage = Stage::set().await;
    let record = stage.record().await;
    stage.house.by_hand("UPDATE records SET wrap = x'00', purposes = 'none', notice_sha256 = x'00'").await;
    stage.house.by_hand("UPDATE collections SET policy = 'none'").await;
    let children = "UPDATE kek_children SET wrap = x'00' WHERE collection_id IN (SELECT id FROM collections)";
    stage.house.by_hand(children).await;
    let stage = stage.restarted().await;
    let (status, erased) = stage.erase("approver", record).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    assert_eq!(erased["opening"]["value"], json!(record.to_string()));
    assert_eq!(left(&stage).await, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p8_texts_and_entries_written_at_the_same_moment_do_not_outlive_the_record() {
    let stage = std::sync::Arc::new(Stage::set().await);
    for turn in 0..6 {
        let record = stage.record().await;
        let asks = (0..4).map(|n| {
            let stage = std::sync::Arc::clone(&stage);
            tokio::spawn(async move {
                tokio::time::sleep(core::time::Duration::from_millis(n * 3)).await;
                let body =
                    json!({"record_id": record.to_string(), "purpose": "service-improvement", "reason": "Hear it"});
                let (status, filed) = stage.house.ask("analyst", "POST", "/v1/access-requests", body).await;
                if status != StatusCode::CREATED {
                    return;
                }
                let path = format!("/v1/access-requests/{}", filed["id"].as_str().unwrap());
                let said = json!({"comment": "Within the procedure"});
                let _ = stage.house.ask("approver", "POST", &format!("{path}/approve"), said).await;
                let _ = stage.house.ask("analyst", "POST", &format!("{path}/sessions"), json!({})).await;
            })
        });
        let asks: Vec<_> = asks.collect();
        tokio::time::sleep(core::time::Duration::from_millis(turn * 7)).await;
        assert_eq!(stage.erase("approver", record).await.0, StatusCode::OK);
        for ask in asks {
            ask.await.unwrap();
        }
    }
    assert_eq!(left(&stage).await, Vec::<&str>::new());
    stage.sound().await;
}
