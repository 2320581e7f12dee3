//! A log that lost entries, and what two officers can and cannot make of it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use vault_api::code::Code;
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::succession::Because;

use super::Examination;
use crate::app::error::Failure;
use crate::objects::faulty::Faulty;
use crate::state::Vault;
use crate::store::{log, succession as rows};
use crate::testing::{House, Recordings, oracle, passphrase};

fn recording() -> Vec<u8> {
    let data = 2_000_u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1F\0\0\x40\x1F\0\0\x01\0\x08\0data");
    wav.extend(data.to_le_bytes());
    wav.resize(wav.len() + 2_000, 0x55);
    wav
}

/// A vault with recordings, over an object store in memory.
struct Stage {
    house: House,
    objects: Arc<Faulty>,
    recordings: Recordings,
}

/// What the vault was told before and after the point up to which its log survives.
struct Told {
    /// The checkpoint at that point, and its size.
    note: String,
    size: u64,
    /// The last checkpoint of the log.
    last: String,
    /// Requests that were granted before and after.
    before: String,
    after: String,
    /// A record that was erased after, and the request for it that was granted before.
    erased: String,
    of_erased: String,
    /// A token of before that was revoked after, and one that was issued after.
    revoked: String,
    late: String,
}

impl Stage {
    async fn set() -> Self {
        let objects = Arc::new(Faulty::default());
        let house = House::over(objects.objects()).await;
        let recordings = Recordings::open(&house).await;
        Self { house, objects, recordings }
    }

    async fn record(&self) -> String {
        let whole = recording();
        let (status, begun) = self.recordings.begin(&self.house, Some(whole.len())).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        let location = begun["location"].as_str().unwrap();
        let (status, said) = self.recordings.send(&self.house, location, 0, whole).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
        let head = Request::head(location).header("Tus-Resumable", "1.0.0").body(Body::empty()).unwrap();
        self.house.send(head).await.headers()["vault-record-id"].to_str().unwrap().to_owned()
    }

    async fn approved(&self, record: &str) -> String {
        let body = json!({"record_id": record, "purpose": "service-improvement", "reason": "Hear it"});
        let (status, filed) = self.house.ask("analyst", "POST", "/v1/access-requests", body).await;
        assert_eq!(status, StatusCode::CREATED, "{filed}");
        let path = format!("/v1/access-requests/{}", filed["id"].as_str().unwrap());
        let said = json!({"comment": "Within the procedure"});
        let (status, approved) = self.house.ask("approver", "POST", &format!("{path}/approve"), said).await;
        assert_eq!(status, StatusCode::OK, "{approved}");
        path
    }

    /// Whether the recording of this request can be heard.
    async fn plays(&self, request: &str) -> bool {
        let asked = json!({"representation": "playable"});
        let (status, opened) = self.house.ask("analyst", "POST", &format!("{request}/sessions"), asked).await;
        if status != StatusCode::CREATED {
            return false;
        }
        let token = format!("Bearer {}", self.house.token("analyst"));
        let request = Request::get(opened["playback_url"].as_str().unwrap()).header(header::AUTHORIZATION, token);
        let response = self.house.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap().to_bytes() == recording()
    }

    async fn is_let_in(&self, token: &str) -> bool {
        let (status, _) = self.house.ask_with(Some(token), "GET", "/v1/audit/entries?limit=1", Value::Null).await;
        status == StatusCode::OK
    }

    async fn auditor(&self, name: &str) -> (String, String) {
        let person = self.house.enter(name, "human").await;
        self.house.give(person, "auditor").await;
        self.house.issue_confirmed(person).await
    }

    /// Grants, revocations and an erasure on both sides of a checkpoint.
    async fn used(&self) -> Told {
        let (first, second) = (self.record().await, self.record().await);
        let (before, of_erased) = (self.approved(&first).await, self.approved(&second).await);
        let (token, revoked) = self.auditor("Early").await;
        assert!(self.plays(&before).await && self.plays(&of_erased).await && self.is_let_in(&revoked).await);
        let point = self.house.vault.ledger.checkpoint().unwrap();

        let (status, said) =
            self.house.ask("administrator", "DELETE", &format!("/v1/tokens/{token}"), json!({"reason": "Left"})).await;
        assert!(status.is_success(), "{said}");
        let why = json!({"reason": "The respondent asked for it"});
        let (status, said) = self.house.ask("approver", "DELETE", &format!("/v1/records/{second}"), why).await;
        assert!(status.is_success(), "{said}");
        let after = self.approved(&self.record().await).await;
        assert!(self.plays(&after).await);
        let (_, late) = self.auditor("Late").await;
        let last = self.house.vault.ledger.checkpoint().unwrap().note().to_owned();
        Told {
            note: point.note().to_owned(),
            size: point.size(),
            last,
            before,
            after,
            erased: second,
            of_erased,
            revoked,
            late,
        }
    }

    /// Puts the database's log back to `size` entries, behind the vault's back.
    async fn cut(&self, size: u64) {
        let vault = self.house.console().await;
        let mut reader = vault.store.read().await.unwrap();
        let mut edge = Edge::default();
        for (_, entry) in log::entries(reader.conn(), 0, size).await.unwrap() {
            edge.append(Hash::leaf(&entry));
        }
        edge.settle();
        drop(reader);
        let mut tx = vault.store.begin("cut").await.unwrap();
        rows::cut(&mut tx, size).await.unwrap();
        rows::set_head(&mut tx, &edge).await.unwrap();
        tx.commit().await.unwrap();
        vault.close().await;
    }

    /// The published entries are gone.
    async fn lose_bundles(&self) {
        for width in 1..256 {
            self.objects.remove(&format!("log/tile/entries/000.p/{width}")).await;
        }
    }

    async fn examined(&self, notes: &[String]) -> Desk {
        let vault = self.house.console().await;
        let notes = notes.to_vec();
        Desk { vault, notes }
    }

    async fn propose(&self, who: &str, because: Because) -> Result<(), Failure> {
        self.examined(&[]).await.propose(self.house.token(who), because).await
    }

    async fn confirm(&self, who: &str) -> Result<String, Failure> {
        self.examined(&[]).await.confirm(self.house.token(who)).await
    }

    async fn started(self) -> Result<Self, Failure> {
        Ok(Self { house: self.house.started().await?, ..self })
    }

    /// A start is refused.
    async fn refused(&self) {
        let vault = self.house.console().await;
        let refused = vault.unseal(passphrase()).await;
        vault.close().await;
        assert!(refused.is_err());
    }
}

/// The console.
struct Desk {
    vault: Arc<Vault>,
    notes: Vec<String>,
}

impl Desk {
    async fn propose(self, token: &str, because: Because) -> Result<(), Failure> {
        let outcome = async {
            let examined = Examination::of(&self.vault, passphrase(), &self.notes).await?;
            examined.propose(token, because, "The disk was lost").await
        };
        let outcome = outcome.await;
        self.vault.close().await;
        outcome
    }

    async fn confirm(self, token: &str) -> Result<String, Failure> {
        let outcome = async {
            let examined = Examination::of(&self.vault, passphrase(), &self.notes).await?;
            Ok(examined.confirm(token).await?.key)
        };
        let outcome = outcome.await;
        self.vault.close().await;
        outcome
    }
}

fn code<T: core::fmt::Debug>(outcome: Result<T, Failure>) -> Code {
    outcome.unwrap_err().code()
}

/// Nobody alone, nobody else than key officers, and no officer twice.
async fn takes_two_officers(stage: &Stage) -> String {
    assert_eq!(code(stage.confirm("key-officer").await), Code::Conflict);
    for other in ["administrator", "analyst", "approver", "auditor"] {
        assert_eq!(code(stage.propose(other, Because::Loss).await), Code::Forbidden, "{other}");
    }
    stage.refused().await;
    stage.propose("key-officer", Because::Loss).await.unwrap();
    stage.refused().await;
    assert_eq!(code(stage.confirm("key-officer").await), Code::SelfApproval);
    assert_eq!(code(stage.confirm("administrator").await), Code::Forbidden);
    stage.refused().await;
    let key = stage.confirm("key-officer-2").await.unwrap();
    // What was declared is not declared twice.
    assert_eq!(code(stage.confirm("key-officer-2").await), Code::Conflict);
    key
}

/// What was proven before the loss holds, what came after is gone, and what was taken away stays away.
async fn holds_what_survived(stage: &Stage, told: &Told) {
    assert!(stage.plays(&told.before).await);
    assert!(!stage.plays(&told.after).await, "a grant that is in no log");
    assert!(!stage.plays(&told.of_erased).await, "a record that was erased");
    assert!(!stage.is_let_in(&told.revoked).await, "a token that was revoked");
    assert!(!stage.is_let_in(&told.late).await, "a token that is in no log");
    let (status, said) = stage.house.ask("auditor", "GET", &format!("/v1/records/{}", told.erased), Value::Null).await;
    assert!(status != StatusCode::OK || said["state"] == "erased", "{said}");
    // It goes on as any vault does.
    let record = stage.record().await;
    let request = stage.approved(&record).await;
    assert!(stage.plays(&request).await);
}

#[tokio::test]
async fn p9_p6_a_true_loss_takes_two_officers_and_a_declared_successor() {
    let stage = Stage::set().await;
    let told = stage.used().await;
    let former = stage.house.vault.ledger.verifier().unwrap();
    stage.house.stop().await;
    stage.cut(told.size).await;
    stage.lose_bundles().await;
    let published = stage.objects.look("log/checkpoint").await.unwrap();
    let key = takes_two_officers(&stage).await;

    let stage = stage.started().await.unwrap();
    assert_eq!(stage.house.vault.ledger.verifier().unwrap().to_string(), key);
    assert!(key.starts_with("test.example/log/successor/2+"), "{key}");
    holds_what_survived(&stage, &told).await;
    // The verifier: clean, held to the former log's checkpoints, and told of the loss.
    let (note, _) = oracle::sound(&stage.house.vault, core::slice::from_ref(&told.note)).await;
    let report = oracle::report(&stage.house.vault, &[told.note.clone(), told.last.clone(), note.clone()]).await;
    assert_eq!(report.findings, []);
    let codes: Vec<_> = report.warnings.iter().map(|warning| warning.code()).collect();
    assert!(codes.contains(&"succeeded") && codes.contains(&"loss_declared"), "{codes:?}");
    assert_eq!((report.predecessors[0].carried, &report.predecessors[0].key), (told.size, &former));
    // What the former log published is evidence, and stays.
    assert_eq!(stage.objects.look("log/checkpoint").await.unwrap(), published);
    // And it starts again as itself.
    let stage = Stage { house: stage.house.restarted().await, ..stage };
    oracle::sound(&stage.house.vault, &[told.note, note]).await;
    // The former seed is gone.
    let left = "SELECT COUNT(*) FROM log_keys WHERE state = 'destroyed' AND LENGTH(wrap) = 0";
    assert_eq!(stage.house.vault.store.number(left).await, 1);
}

#[tokio::test]
async fn p9_a_checkpoint_that_was_taken_away_is_succeeded_and_not_signed_anew() {
    let stage = Stage::set().await;
    let told = stage.used().await;
    stage.house.stop().await;
    stage.objects.remove("log/checkpoint").await;
    takes_two_officers(&stage).await;
    let stage = stage.started().await.unwrap();
    // Nothing was lost.
    let report = oracle::report(&stage.house.vault, &[told.note, told.last]).await;
    assert_eq!((report.findings.len(), report.known_extended, report.predecessors[0].lost), (0, 2, 0));
    assert!(stage.plays(&told.after).await && stage.is_let_in(&told.late).await);
    assert!(!stage.is_let_in(&told.revoked).await && !stage.plays(&told.of_erased).await);
}

#[tokio::test]
async fn p9_copies_that_contradict_each_other_are_succeeded_by_what_is_signed() {
    let stage = Stage::set().await;
    let told = stage.used().await;
    stage.house.stop().await;
    // Somebody wrote another end into the database, with a head to match.
    let vault = stage.house.console().await;
    vault.store.by_hand("UPDATE log_entries SET entry = (SELECT entry FROM log_entries WHERE idx = 0) WHERE idx = (SELECT MAX(idx) FROM log_entries)").await;
    let mut edge = Edge::default();
    let mut reader = vault.store.read().await.unwrap();
    for (_, entry) in log::entries(reader.conn(), 0, 10_000).await.unwrap() {
        edge.append(Hash::leaf(&entry));
    }
    edge.settle();
    drop(reader);
    let mut tx = vault.store.begin("forge").await.unwrap();
    rows::set_head(&mut tx, &edge).await.unwrap();
    tx.commit().await.unwrap();
    vault.close().await;
    stage.refused().await;
    stage.propose("key-officer", Because::Loss).await.unwrap();
    stage.confirm("key-officer-2").await.unwrap();
    let stage = stage.started().await.unwrap();
    let report = oracle::report(&stage.house.vault, &[told.note, told.last]).await;
    assert_eq!((report.findings, report.known_extended, report.predecessors[0].lost), (Vec::new(), 2, 0));
    assert!(stage.plays(&told.before).await && stage.plays(&told.after).await);
}

#[tokio::test]
async fn p9_nothing_is_declared_lost_while_nothing_is_and_keys_are_succeeded_all_the_same() {
    let stage = Stage::set().await;
    let told = stage.used().await;
    // While the vault runs it keeps its log.
    stage.propose("key-officer", Because::KeyCompromised).await.unwrap();
    assert_eq!(code(stage.confirm("key-officer-2").await), Code::Conflict);
    let other = stage.house.vault.clone();
    let former = other.keys.log_signer().await.unwrap();
    stage.house.stop().await;
    assert_eq!(code(stage.propose("key-officer", Because::Loss).await), Code::Conflict);

    let mut stage = stage;
    for (generation, because) in [(2, Because::KeyCompromised), (3, Because::CryptoperiodOver)] {
        stage.propose("key-officer-2", because).await.unwrap();
        let key = stage.confirm("key-officer").await.unwrap();
        assert!(key.starts_with(&format!("test.example/log/successor/{generation}+")), "{key}");
        stage = stage.started().await.unwrap();
        let report = oracle::report(&stage.house.vault, &[told.note.clone(), told.last.clone()]).await;
        assert_eq!((report.findings.len(), report.known_extended), (0, 2));
        assert_eq!(report.predecessors.len(), generation - 1);
        assert!(stage.plays(&told.after).await);
        stage.house.stop().await;
    }
    // A node that still holds the first key, as if it had slept.
    let vault = stage.house.console().await;
    let late = crate::app::ledger::Ledger::new(
        vault.store.clone(),
        vault.objects.clone(),
        vault.clock.clone(),
        vault.metrics.clone(),
        core::time::Duration::from_secs(2),
    );
    let before = vault.store.number("SELECT COUNT(*) FROM log_entries").await;
    let keys = crate::app::ledger::VaultKeys::new(Arc::clone(&vault.keys), vault.store.clone());
    let refused = late.open(former, Arc::new(keys)).await.unwrap_err().to_string();
    assert!(refused.contains("succeeded"), "{refused}");
    assert_eq!(vault.store.number("SELECT COUNT(*) FROM log_entries").await, before);
    vault.close().await;
    stage.started().await.unwrap();
}

#[tokio::test]
async fn p9_what_is_proposed_is_what_is_declared_and_a_database_of_before_is_refused() {
    let stage = Stage::set().await;
    let told = stage.used().await;
    stage.house.stop().await;
    stage.cut(told.size + 2).await;
    stage.lose_bundles().await;
    // Of another loss, with another checkpoint seen outside, by a row that somebody wrote.
    stage.propose("key-officer", Because::Loss).await.unwrap();
    stage.cut(told.size).await;
    assert_eq!(code(stage.confirm("key-officer-2").await), Code::Conflict);
    let desk = stage.examined(&["garbage".to_owned()]).await;
    assert_eq!(code(desk.propose(stage.house.token("key-officer"), Because::Loss).await), Code::InvalidRequest);
    let vault = stage.house.console().await;
    vault.store.by_hand("UPDATE log_successions SET sealed = (SELECT sealed FROM log_openings WHERE slot = 'reason' AND sealed IS NOT NULL ORDER BY idx LIMIT 1)").await;
    vault.close().await;
    assert_eq!(code(stage.confirm("key-officer-2").await), Code::IntegrityFailure);
    stage.refused().await;

    // Files of before, to be put back later.
    let vault = stage.house.console().await;
    vault.store.by_hand("CREATE TABLE kept_keys AS SELECT * FROM log_keys").await;
    vault.close().await;
    stage.propose("key-officer", Because::Loss).await.unwrap();
    stage.confirm("key-officer-2").await.unwrap();
    let stage = stage.started().await.unwrap();
    stage.house.stop().await;
    let vault = stage.house.console().await;
    vault.store.by_hand("DELETE FROM log_keys").await;
    vault.store.by_hand("INSERT INTO log_keys SELECT * FROM kept_keys").await;
    vault.close().await;
    stage.cut(told.size).await;
    stage.refused().await;
}

/// A successor's checkpoint is taken away and the database cut back to the declaration: what was published since is there.
#[tokio::test]
async fn p9_a_successor_whose_checkpoint_is_taken_away_is_not_signed_anew() {
    let stage = Stage::set().await;
    stage.house.stop().await;
    stage.propose("key-officer", Because::KeyCompromised).await.unwrap();
    let console = stage.house.console().await;
    let size = console.store.number("SELECT size FROM log_head").await;
    console.close().await;
    stage.confirm("key-officer-2").await.unwrap();
    // A first publication that did not come to its last write is completed.
    let stage = stage.started().await.unwrap();
    stage.house.stop().await;
    let declared = u64::try_from(size).unwrap() + 1;
    stage.cut(declared).await;
    stage.objects.remove("log/2/checkpoint").await;
    for width in declared + 1..256 {
        stage.objects.remove(&format!("log/2/tile/entries/000.p/{width}")).await;
    }
    let stage = stage.started().await.unwrap();
    stage.record().await;
    stage.house.stop().await;
    stage.cut(declared).await;
    stage.objects.remove("log/2/checkpoint").await;
    stage.refused().await;
}

/// Somebody empties who played: no succession makes an erasure of that.
#[tokio::test]
async fn p9_a_succession_explains_no_opening_that_somebody_took_away() {
    let stage = Stage::set().await;
    stage.used().await;
    stage.house.stop().await;
    let vault = stage.house.console().await;
    let played = "SELECT COUNT(*) FROM log_openings WHERE sealed IS NULL AND slot = 'staff'";
    vault.store.by_hand("UPDATE log_openings SET sealed = NULL WHERE slot = 'staff' AND idx > 30 AND idx < 34").await;
    // One of them is said to be under the erased record's key.
    vault
        .store
        .by_hand(
            "UPDATE log_openings SET under = 'record',
               owner = (SELECT MIN(owner) FROM log_openings WHERE sealed IS NULL AND under = 'record')
             WHERE slot = 'staff' AND idx = 32",
        )
        .await;
    assert!(vault.store.number(played).await > 1);
    vault.close().await;
    stage.propose("key-officer", Because::KeyCompromised).await.unwrap();
    stage.confirm("key-officer-2").await.unwrap();
    let stage = stage.started().await.unwrap();
    // Whatever waits is in the log with the next record.
    stage.record().await;
    let report = oracle::report(&stage.house.vault, &[]).await;
    let unexplained = report.findings.iter().filter(|finding| finding.code() == "erasure_unexplained").count();
    assert_eq!(
        i64::try_from(unexplained).unwrap(),
        stage.house.vault.store.number(played).await,
        "{:?}",
        report.findings
    );
}
