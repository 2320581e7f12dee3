//! Rounds over a real database and real directories.

use std::path::Path;

use vault_core::ids::{CollectionId, ObjectId, PersonId, RecordId, UploadId};
use vault_core::keys::keyring::{Parameters, Passphrase, Setting};

use super::*;
use crate::app::ledger::VaultKeys;
use crate::clock::HeldClock;
use crate::custody::keyring_file::KeyringFile;
use crate::metrics::Metrics;
use crate::objects::Name;
use crate::store::Engine;
use crate::store::intents::{self, Owner};
use crate::store::uploads::{Advance, ConsentTerms, NewPart, UploadRow};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

struct Ground {
    store: Store,
    objects: Objects,
    clock: Arc<HeldClock>,
    keys: Arc<KeyService>,
    ledger: Ledger,
    collection: CollectionId,
    dir: tempfile::TempDir,
}

impl Ground {
    async fn lay() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(dir.path()).await;
        let objects = Objects::local(&dir.path().join("objects")).unwrap();
        let clock = Arc::new(HeldClock::at(NOW));
        let passphrase = Arc::new(Passphrase::new(b"correct horse battery".to_vec().into()).unwrap());
        let keyring = dir.path().join("keyring");
        KeyringFile::create(&keyring, NOW, Setting::Production, &passphrase, Parameters::FLOOR).unwrap();
        let keys = Arc::new(KeyService::new(
            Arc::new(KeyringFile::at(&keyring)),
            store.clone(),
            clock.clone(),
            Setting::Production,
            "test.example/log",
            &dir.path().join("resume"),
        ));
        keys.found(Arc::clone(&passphrase), "init").await.unwrap();
        keys.unseal(passphrase).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let ledger = Ledger::new(store.clone(), objects.clone(), clock.clone(), metrics, Duration::from_secs(5));
        let openings = Arc::new(VaultKeys::new(Arc::clone(&keys), store.clone()));
        ledger.open(keys.log_signer().await.unwrap(), openings).await.unwrap();
        let collection = CollectionId::new(NOW);
        let ground = Self { store, objects, clock, keys, ledger, collection, dir };
        let insert = "INSERT INTO collections (id, name, state, policy, policy_hash, created_at)
                      SELECT $1, 'demo', 'open', '{}', wrap, 0 FROM keks";
        ground.execute(insert, &[collection.to_string()]).await;
        let mut tx = ground.store.begin("test").await.unwrap();
        ground.keys.create_collection(&mut tx, collection, NOW).await.unwrap();
        tx.commit().await.unwrap();
        ground
    }

    fn collector(&self) -> Collector {
        let (store, objects, clock) = (self.store.clone(), self.objects.clone(), self.clock.clone());
        Collector::new(store, objects, clock, Arc::clone(&self.keys), self.ledger.clone())
    }

    async fn execute(&self, sql: &'static str, binds: &[String]) -> u64 {
        let mut tx = self.store.begin("test").await.unwrap();
        let mut query = sqlx::query(sql);
        for bind in binds {
            query = query.bind(bind.clone());
        }
        let rows = query.execute(tx.conn()).await.unwrap().rows_affected();
        tx.commit().await.unwrap();
        rows
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut conn = self.store.read().await.unwrap();
        sqlx::Row::try_get(&sqlx::query(sql).fetch_one(conn.conn()).await.unwrap(), 0).unwrap()
    }

    /// An open upload with a wrap and sealed fields, that ends in an hour.
    async fn upload(&self) -> UploadRow {
        let row = UploadRow {
            id: UploadId::new(NOW),
            collection: self.collection,
            record: RecordId::new(NOW),
            object: ObjectId::new(NOW),
            person: PersonId::new(NOW),
            state: UploadState::Open,
            filetype: "video/webm".to_owned(),
            length: None,
            received: 0,
            fence: 0,
            resume_key: None,
            wrap: Some(b"a wrap in progress that must go".to_vec()),
            header: vec![7; 74],
            segment_length: 262_144,
            tail: None,
            tail_fence: 0,
            details: Some(b"sealed details that must go".to_vec()),
            consent: Some(b"sealed consent that must go".to_vec()),
            terms: ConsentTerms { purposes: vec![], expires_at: None, notice_sha256: [1; 32] },
            refusal: None,
            created_at: NOW,
            expires_at: NOW.plus(HOUR),
        };
        let mut tx = self.store.begin("test").await.unwrap();
        uploads::insert(&mut tx, &row, &vault_core::random::array(), NOW).await.unwrap();
        tx.commit().await.unwrap();
        uploads::take(&self.store, row.id, 0).await.unwrap().unwrap().row
    }

    /// A part that was written, and registered if `register`.
    async fn part(&self, row: &UploadRow, register: bool) -> Name {
        let name = Name::fresh_part();
        intents::intend(&self.store, Owner::upload(row.id, row.record, row.fence), &name, NOW.plus(DEADLINE))
            .await
            .unwrap();
        self.objects.put(&name, vec![9; 1000]).await.unwrap();
        if register {
            let part = NewPart { name: name.clone(), start: 0, length: 1000, first_segment: 0, tags: vec![] };
            let advance = Advance {
                id: row.id,
                fence: row.fence,
                from: 0,
                to: 1000,
                length: None,
                parts: &[part],
                object: row.object,
                tail: b"a sealed tail that must go".to_vec(),
                expires_at: NOW.plus(HOUR),
            };
            let mut tx = self.store.begin("test").await.unwrap();
            assert!(uploads::advance(&mut tx, &advance).await.unwrap());
            tx.commit().await.unwrap();
        }
        name
    }
}

/// Whether the embedded database's files hold it; a server's are its own affair.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        std::fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle)
    })
}

#[tokio::test]
async fn an_upload_past_its_time_ends_with_its_keys_and_parts() {
    let ground = Ground::lay().await;
    let row = ground.upload().await;
    let part = ground.part(&row, true).await;
    assert_eq!(ground.collector().round().await.unwrap(), Round::default(), "its time is not over");
    let embedded = ground.store.engine() == Engine::Sqlite;
    assert_eq!(holds(ground.dir.path(), b"must go"), embedded, "the search finds what is there");

    ground.clock.advance(HOUR);
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { expired: 1, verified: 1, ..Round::default() });
    assert!(!ground.objects.exists(&part).await.unwrap());
    assert!(!holds(ground.dir.path(), b"must go"), "wrap, tail and sealed fields are out of the files");
    let ended = "SELECT COUNT(*) FROM uploads WHERE state = 'expired' AND wrap IS NULL AND tail IS NULL
                 AND details IS NULL AND consent IS NULL";
    assert_eq!(ground.count(ended).await, 1);
    assert_eq!(ground.count("SELECT COUNT(*) FROM parts").await, 0);
    assert_eq!(
        uploads::take(&ground.store, row.id, 1000).await.unwrap().map(|t| t.row.id),
        None,
        "nobody goes on with it"
    );

    ground.clock.advance(REMEMBERED);
    ground.clock.advance(HOUR);
    assert_eq!(ground.collector().round().await.unwrap(), Round { dropped: 1, ..Round::default() });
}

#[tokio::test]
async fn an_expiry_is_told_in_the_log_and_waits_while_the_vault_is_sealed() {
    let ground = Ground::lay().await;
    let row = ground.upload().await;
    ground.clock.advance(HOUR);
    ground.keys.seal();
    assert_eq!(ground.collector().round().await.unwrap(), Round::default());
    assert_eq!(ground.count("SELECT COUNT(*) FROM uploads WHERE state = 'open'").await, 1);

    let ground = Ground::lay().await;
    let other = ground.upload().await;
    assert_ne!(row.id, other.id);
    ground.clock.advance(HOUR);
    assert_eq!(ground.collector().round().await.unwrap().expired, 1);
    let reference = format!("upload:{}", other.id);
    let found = async || ground.ledger.find::<UploadRejected>(&reference).await.unwrap();
    let entry = loop {
        match found().await {
            Some(entry) => break entry,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(entry.slot(SlotName::Upload), Some(other.id.to_string().as_str()));
}

#[tokio::test]
async fn a_resume_key_goes_with_the_last_upload_under_it() {
    let ground = Ground::lay().await;
    let (id, _) = ground.keys.resume_key_today().await.unwrap();
    let row = ground.upload().await;
    let name = "UPDATE uploads SET resume_key = $1 WHERE id = $2";
    ground.execute(name, &[id.to_string(), row.id.to_string()]).await;
    let later = "UPDATE uploads SET expires_at = expires_at + 259200000 WHERE id = $1";
    ground.execute(later, &[row.id.to_string()]).await;
    ground.clock.advance(48 * HOUR);
    assert_eq!(ground.collector().round().await.unwrap(), Round::default(), "an upload is under way under it");
    ground.clock.advance(48 * HOUR);
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { expired: 1, resume_keys: 1, ..Round::default() });
    assert!(ground.keys.resume_key(id).await.is_err());
}

#[tokio::test]
async fn a_part_of_a_dead_fence_goes_and_a_living_one_stays() {
    let ground = Ground::lay().await;
    let row = ground.upload().await;
    let kept = ground.part(&row, true).await;
    let orphan = ground.part(&row, false).await;
    // The writer that has the highest fence may still be at work, however late it is.
    ground.clock.advance(HOUR / 2);
    assert_eq!(ground.collector().round().await.unwrap(), Round::default());
    assert!(ground.objects.exists(&orphan).await.unwrap());

    uploads::take(&ground.store, row.id, 1000).await.unwrap().unwrap();
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { buried: 1, left: 1, ..Round::default() }, "it is deleted, but not yet forgotten");
    assert!(!ground.objects.exists(&orphan).await.unwrap());

    // The PUT that was given up lands after all.
    ground.objects.put(&orphan, vec![1; 10]).await.unwrap();
    ground.clock.advance(DEADLINE);
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { verified: 1, ..Round::default() });
    assert!(!ground.objects.exists(&orphan).await.unwrap());
    assert!(ground.objects.exists(&kept).await.unwrap(), "what is registered stays");
    assert_eq!(ground.count("SELECT (SELECT COUNT(*) FROM intents) + (SELECT COUNT(*) FROM garbage)").await, 0);
}

#[tokio::test]
async fn a_name_that_a_part_has_is_never_deleted_and_a_damaged_row_costs_itself_alone() {
    let ground = Ground::lay().await;
    let row = ground.upload().await;
    let kept = ground.part(&row, true).await;
    let insert = "INSERT INTO garbage (name, verify_after) VALUES ($1, 0)";
    ground.execute(insert, &[kept.to_string()]).await;
    ground.execute(insert, &["media/../../etc/passwd".to_owned()]).await;
    let orphan = Name::fresh_part();
    ground.objects.put(&orphan, vec![1]).await.unwrap();
    ground.execute(insert, &[orphan.to_string()]).await;
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { verified: 1, damaged: 1, ..Round::default() });
    assert!(ground.objects.exists(&kept).await.unwrap());
    assert!(!ground.objects.exists(&orphan).await.unwrap());
}

#[tokio::test]
async fn p12_a_damaged_intent_costs_itself_alone() {
    let ground = Ground::lay().await;
    let row = ground.upload().await;
    let orphan = ground.part(&row, false).await;
    let insert = "INSERT INTO intents (name, owner, fence, deadline) VALUES ($1, 'x', 0, 0)";
    ground.execute(insert, &["media/../../etc/passwd".to_owned()]).await;
    // A server takes no text that is none.
    let unreadable = match ground.store.engine() {
        Engine::Sqlite => "INSERT INTO intents (name, owner, fence, deadline) VALUES (x'00ff', $1, 0, 0)",
        Engine::Postgres => "INSERT INTO intents (name, owner, fence, deadline) VALUES ('0', $1, 0, 0)",
    };
    ground.execute(unreadable, &["y".to_owned()]).await;
    uploads::take(&ground.store, row.id, 0).await.unwrap().unwrap();
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { buried: 1, left: 1, damaged: 2, ..Round::default() });
    assert!(!ground.objects.exists(&orphan).await.unwrap());
    let again = ground.collector().round().await.unwrap();
    assert_eq!((again.buried, again.damaged), (0, 2), "what is damaged stays and is told again");
}

#[tokio::test]
async fn more_than_a_batch_is_done_in_one_round() {
    let ground = Ground::lay().await;
    for _ in 0..130 {
        let row = ground.upload().await;
        intents::intend(&ground.store, Owner::upload(row.id, row.record, row.fence), &Name::fresh_part(), NOW)
            .await
            .unwrap();
    }
    ground.clock.advance(HOUR);
    let round = ground.collector().round().await.unwrap();
    assert_eq!(round, Round { expired: 130, buried: 130, left: 130, ..Round::default() });
    ground.clock.advance(DEADLINE);
    assert_eq!(ground.collector().round().await.unwrap(), Round { verified: 130, ..Round::default() });
}

#[tokio::test]
async fn one_node_collects_at_a_time() {
    let ground = Ground::lay().await;
    let (one, two) = (ground.collector(), ground.collector());
    assert!(one.turn().await.unwrap().is_some());
    assert!(two.turn().await.unwrap().is_none());
    ground.clock.advance(LEASE + Duration::from_secs(1));
    assert!(two.turn().await.unwrap().is_some());
}

#[tokio::test]
async fn after_a_restore_nothing_is_collected_until_somebody_has_confirmed_it() {
    let ground = Ground::lay().await;
    let collector = ground.collector();
    assert!(collector.turn().await.unwrap().is_some());
    let row = "INSERT INTO restores (id, manifest_sha256, backup_at, log_size, restored_at, facts)
               VALUES ('one', 'x', 0, 0, 0, '{}')";
    ground.execute(row, &[]).await;
    assert!(collector.turn().await.unwrap().is_none());
    ground.execute("UPDATE restores SET confirmed_at = 1", &[]).await;
    assert!(collector.turn().await.unwrap().is_some());
}
