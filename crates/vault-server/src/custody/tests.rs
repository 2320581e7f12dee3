//! Custody and key service against bad files, foreign databases, hand-edited rows and races.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vault_core::ids::{CollectionId, RecordId, UploadId};
use vault_core::keys::hierarchy::RecordKey;
use vault_core::keys::keyring::{KeyringError, Parameters, Passphrase, Setting};
use vault_core::keys::lifecycle::{KeyState, Policy};
use vault_core::keys::upload::{UploadSecret, unwrap_in_progress, wrap_in_progress};
use vault_core::keys::wrap::{KekRef, UnwrapError};
use vault_core::time::{Clock, Timestamp};
use zeroize::Zeroizing;

use super::keyring_file::KeyringFile;
use super::*;
use crate::clock::HeldClock;
use crate::store::{Store, keys};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LOG: &str = "test.example/log";

struct House {
    dir: tempfile::TempDir,
    clock: Arc<HeldClock>,
    store: Store,
}

fn passphrase(text: &str) -> Arc<Passphrase> {
    Arc::new(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap())
}

fn right() -> Arc<Passphrase> {
    passphrase("correct horse battery")
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(dir.path()).await;
        Self { dir, clock: Arc::new(HeldClock::at(NOW)), store }
    }

    fn keyring(&self) -> PathBuf {
        self.dir.path().join("keyring")
    }

    fn make_keyring(&self, setting: Setting) {
        KeyringFile::create(&self.keyring(), NOW, setting, &right(), Parameters::FLOOR).unwrap();
    }

    /// A node's key service over this house's files: each call is a restart.
    fn service(&self) -> KeyService {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let custody = Arc::new(KeyringFile::at(&self.keyring()));
        KeyService::new(custody, self.store.clone(), clock, Setting::Production, LOG, &self.dir.path().join("resume"))
    }

    async fn founded() -> (Self, KeyService) {
        let house = Self::new().await;
        house.make_keyring(Setting::Production);
        let service = house.service();
        assert!(service.found(right(), "init").await.unwrap());
        service.unseal(right()).await.unwrap();
        (house, service)
    }

    async fn collection(&self, service: &KeyService) -> KekRef {
        let id = CollectionId::new(NOW);
        let mut tx = self.store.begin("test").await.unwrap();
        let kek = service.create_collection(&mut tx, id, NOW).await.unwrap();
        tx.commit().await.unwrap();
        kek
    }

    async fn wrap(&self, service: &KeyService, kek: KekRef, record: RecordId) -> Result<(u32, Vec<u8>), KeyError> {
        let mut tx = self.store.begin("test").await.unwrap();
        let wrapped = service
            .wrap_record_key(&mut tx, kek.collection, &Policy::default(), record, &RecordKey::generate())
            .await?;
        tx.commit().await.unwrap();
        Ok(wrapped)
    }

    async fn step(&self, kek: KekRef, from: KeyState, to: KeyState) {
        let mut tx = self.store.begin("test").await.unwrap();
        assert!(keys::step_kek(tx.conn(), kek, from, to, NOW).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn wraps(&self, kek: KekRef) -> u64 {
        let mut conn = self.store.read().await.unwrap();
        keys::kek(conn.conn(), kek).await.unwrap().unwrap().wraps
    }
}

fn content(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn each_bad_keyring_has_its_own_error_and_nothing_changes() {
    let (house, service) = House::founded().await;
    service.seal();
    let path = house.keyring();
    let good = content(&path);
    let refused = async || match house.service().unseal(right()).await {
        Err(KeyError::Custody(e)) => e,
        other => panic!("{other:?}"),
    };
    let keyring = |e: CustodyError| match e {
        CustodyError::Keyring { source, .. } => source,
        other => panic!("{other:?}"),
    };

    let wrong = house.service().unseal(passphrase("wrong horse battery")).await;
    let wrong = wrong.err().unwrap().to_string();
    assert!(wrong.ends_with("wrong passphrase for this keyring"), "{wrong}");

    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    write(b"-----BEGIN SOMETHING ELSE-----");
    assert_eq!(keyring(refused().await), KeyringError::NotAKeyring);
    write(&good[..good.len() - 1]);
    assert_eq!(keyring(refused().await), KeyringError::Damaged);
    let mut later = good.clone();
    later[9] = 9;
    write(&later);
    assert_eq!(keyring(refused().await), KeyringError::Unsupported(9));
    write(&vec![0; 100_000]);
    assert!(matches!(refused().await, CustodyError::File(FileError::TooLong(_))));
    write(&good);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(matches!(refused().await, CustodyError::File(FileError::Exposed { mode: 0o640, .. })));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let elsewhere = house.dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    assert!(matches!(refused().await, CustodyError::File(FileError::Missing(_))));
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(refused().await, CustodyError::File(FileError::Symlink(_))));
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&elsewhere, &path).unwrap();

    assert_eq!(content(&path), good);
    house.service().unseal(right()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_keyring_or_one_of_another_setting_stays_shut() {
    let (house, _) = House::founded().await;
    let path = house.keyring();
    std::fs::remove_file(&path).unwrap();
    house.make_keyring(Setting::Production);
    let service = house.service();
    assert!(matches!(service.unseal(right()).await, Err(KeyError::Foreign { .. })));
    assert!(!service.is_open());

    let fresh = House::new().await;
    fresh.make_keyring(Setting::Development);
    assert!(matches!(fresh.service().found(right(), "init").await, Err(KeyError::Setting { .. })));
    assert_eq!(fresh.service().made_by().await.unwrap(), None);
    let unfounded = House::new().await;
    unfounded.make_keyring(Setting::Production);
    assert!(matches!(unfounded.service().unseal(right()).await, Err(KeyError::NotInitialised)));
}

#[tokio::test]
async fn a_restart_on_the_same_data_has_the_same_keys() {
    let (house, first) = House::founded().await;
    let kek = house.collection(&first).await;
    let record = RecordId::new(NOW);
    let (version, wrap) = house.wrap(&first, kek, record).await.unwrap();
    let public = first.log_signer().await.unwrap().verifier().to_string();
    let pseudonym = first.subject_key(kek.collection).await.unwrap().pseudonym("customer 7");
    assert!(!first.found(right(), "init").await.unwrap());

    let second = house.service();
    assert!(matches!(second.staff_audit_key(kek.collection).await, Err(KeyError::Sealed)));
    assert!(matches!(second.unwrap_record_key(kek.collection, record, version, &wrap).await, Err(KeyError::Sealed)));
    assert!(matches!(second.resume_key_today().await, Err(KeyError::Sealed)));
    second.unseal(right()).await.unwrap();
    assert_eq!(second.log_signer().await.unwrap().verifier().to_string(), public);
    assert_eq!(second.log_public_key().await.unwrap(), public);
    assert_eq!(second.subject_key(kek.collection).await.unwrap().pseudonym("customer 7"), pseudonym);
    second.unwrap_record_key(kek.collection, record, version, &wrap).await.unwrap();
    second.seal();
    assert!(matches!(second.unwrap_record_key(kek.collection, record, version, &wrap).await, Err(KeyError::Sealed)));
    assert!(matches!(second.subject_key(kek.collection).await, Err(KeyError::Sealed)));
}

/// Somebody with write access to the database gives one record another's wrap, or calls it another version's.
#[tokio::test]
async fn p2_a_planted_wrap_opens_nothing() {
    let (house, service) = House::founded().await;
    let (kek, other) = (house.collection(&service).await, house.collection(&service).await);
    let (a, b) = (RecordId::from_bytes([1; 16]), RecordId::from_bytes([2; 16]));
    let (version, of_a) = house.wrap(&service, kek, a).await.unwrap();
    let (_, of_other) = house.wrap(&service, other, a).await.unwrap();
    let refused = async |record, version, wrap: &[u8]| match service
        .unwrap_record_key(kek.collection, record, version, wrap)
        .await
    {
        Err(KeyError::Wrap { source, .. }) => source,
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("a planted wrap opened"),
    };
    assert_eq!(refused(b, version, &of_a).await, UnwrapError::Forged);
    assert_eq!(refused(a, version, &of_other).await, UnwrapError::NamesAnotherKey);
    assert_eq!(refused(a, version + 1, &of_a).await, UnwrapError::NamesAnotherKey);
    assert_eq!(refused(a, version, b"").await, UnwrapError::Malformed);
}

#[tokio::test]
async fn p2_every_wrap_is_counted_and_a_retired_version_wraps_nothing() {
    let (house, service) = House::founded().await;
    let kek = house.collection(&service).await;
    assert_eq!(house.wraps(kek).await, 2, "its two children");
    for n in 1..=3u8 {
        house.wrap(&service, kek, RecordId::from_bytes([n; 16])).await.unwrap();
    }
    assert_eq!(house.wraps(kek).await, 5);

    // Retired between two uploads: the cached key is of no use.
    house.step(kek, KeyState::Active, KeyState::Deactivated).await;
    let late = house.wrap(&service, kek, RecordId::from_bytes([9; 16])).await;
    assert!(matches!(late, Err(KeyError::NoActiveKey(c)) if c == kek.collection));
    assert_eq!(house.wraps(kek).await, 5);
}

#[tokio::test]
async fn p2_a_used_up_version_refuses() {
    let (house, service) = House::founded().await;
    let kek = house.collection(&service).await;
    let mut tx = house.store.begin("test").await.unwrap();
    let left = Policy::default().hard_ceiling - 3;
    keys::count_uses(tx.conn(), kek.collection, left, u64::from(u32::MAX)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    house.wrap(&service, kek, RecordId::from_bytes([1; 16])).await.unwrap();
    let over = house.wrap(&service, kek, RecordId::from_bytes([2; 16])).await;
    assert!(matches!(over, Err(KeyError::Ceiling(_))));
}

#[tokio::test]
async fn a_compromised_or_destroyed_version_does_not_unwrap() {
    let (house, service) = House::founded().await;
    let kek = house.collection(&service).await;
    let record = RecordId::from_bytes([1; 16]);
    let (version, wrap) = house.wrap(&service, kek, record).await.unwrap();
    house.step(kek, KeyState::Active, KeyState::Compromised).await;
    service.forget(kek);
    let state = service.unwrap_record_key(kek.collection, record, version, &wrap).await;
    assert!(matches!(state, Err(KeyError::State { state: KeyState::Compromised, .. })));
}

#[tokio::test]
async fn p7_a_rotated_root_opens_what_the_old_one_wrapped_and_holds_it_afterwards() {
    let (house, service) = House::founded().await;
    let kek = house.collection(&service).await;
    let record = RecordId::from_bytes([1; 16]);
    let (version, wrap) = house.wrap(&service, kek, record).await.unwrap();
    let public = service.log_public_key().await.unwrap();
    assert_eq!(service.rotate_root(NOW).await.unwrap(), 2);

    // As after a crash here: the keyring is a step ahead, the wraps are still under epoch 1.
    let again = house.service();
    again.unseal(right()).await.unwrap();
    again.unwrap_record_key(kek.collection, record, version, &wrap).await.unwrap();
    let mut tx = house.store.begin("test").await.unwrap();
    assert_eq!(again.move_to_current_epoch(&mut tx).await.unwrap(), 3, "two KEKs and the log key");
    tx.commit().await.unwrap();
    let mut conn = house.store.read().await.unwrap();
    assert_eq!(keys::held_by_epochs(conn.conn()).await.unwrap(), [(2, 3)]);

    let last = house.service();
    last.unseal(right()).await.unwrap();
    last.unwrap_record_key(kek.collection, record, version, &wrap).await.unwrap();
    assert_eq!(last.log_signer().await.unwrap().verifier().to_string(), public);
}

#[tokio::test]
async fn p7_two_nodes_share_one_keyring_through_each_others_rotations() {
    let (house, one) = House::founded().await;
    let other = house.service();
    other.unseal(right()).await.unwrap();
    let kek = house.collection(&one).await;
    let record = RecordId::from_bytes([1; 16]);
    let (version, wrap) = house.wrap(&one, kek, record).await.unwrap();
    assert_eq!(one.rotate_root(NOW).await.unwrap(), 2);
    let mut tx = house.store.begin("test").await.unwrap();
    one.move_to_current_epoch(&mut tx).await.unwrap();
    tx.commit().await.unwrap();

    // The other has never seen the epoch that the key is wrapped by, and wraps by it at once.
    other.unwrap_record_key(kek.collection, record, version, &wrap).await.unwrap();
    house.collection(&other).await;
    let mut conn = house.store.read().await.unwrap();
    assert_eq!(keys::held_by_epochs(conn.conn()).await.unwrap(), [(2, 4)]);
    drop(conn);

    // Both at once: each makes an epoch of its own, and neither is lost.
    let both = tokio::join!(one.rotate_root(NOW), other.rotate_root(NOW));
    let mut begun = [both.0.unwrap(), both.1.unwrap()];
    begun.sort_unstable();
    assert_eq!(begun, [3, 4]);
    assert_eq!(one.epochs().unwrap(), other.epochs().unwrap());
    let third = house.service();
    third.unseal(right()).await.unwrap();
    assert_eq!(third.epochs().unwrap().len(), 4);

    // An older copy of the file that comes back takes no epoch away from a node that runs.
    let old = content(&house.keyring());
    one.rotate_root(NOW).await.unwrap();
    private_file::replace(&house.keyring(), &old).unwrap();
    assert_eq!(one.epochs().unwrap().len(), 5);
}

#[tokio::test]
async fn p1_resume_keys_of_two_nodes_on_one_day_serve_both() {
    let (house, one) = House::founded().await;
    let other = house.service();
    other.unseal(right()).await.unwrap();
    let (made, read) = tokio::join!(one.resume_key_today(), other.resume_key_today());
    // One for both, or one of each: whoever looks first.
    for id in std::collections::BTreeSet::from([made.unwrap().0, read.unwrap().0]) {
        one.resume_key(id).await.unwrap();
        other.resume_key(id).await.unwrap();
        std::fs::remove_file(house.dir.path().join("resume").join(id.to_string())).ok();
        // Destroyed by one, it leaves the memory of the other.
        other.forget_destroyed_resume_keys().await.unwrap();
        assert!(matches!(other.resume_key(id).await, Err(KeyError::Resume(ResumeError::Gone(_)))));
    }
}

#[tokio::test]
async fn a_root_that_cannot_be_stored_is_not_used() {
    let (house, service) = House::founded().await;
    // The staging name is taken by a directory, so nothing can be written beside the keyring.
    std::fs::create_dir_all(house.dir.path().join(".keyring.new/full")).unwrap();
    assert!(service.rotate_root(NOW).await.is_err());
    let epochs = service.epochs().unwrap();
    assert_eq!(epochs.len(), 1);
    assert_eq!(epochs[0].state, KeyState::Active);
}

#[tokio::test]
async fn p1_resume_keys_live_for_their_day_and_no_longer_than_their_last_upload() {
    let (house, service) = House::founded().await;
    let (id, key) = service.resume_key_today().await.unwrap();
    let secret = UploadSecret::generate();
    let (upload, record) = (UploadId::new(NOW), RecordId::new(NOW));
    let wrap = wrap_in_progress(&secret, (id, &key), upload, record, &RecordKey::generate());
    let (same, _) = service.resume_key_today().await.unwrap();
    assert_eq!(same, id);

    // A restart, the same day: the same key, and it opens the upload.
    let again = house.service();
    again.unseal(right()).await.unwrap();
    assert_eq!(again.resume_key_today().await.unwrap().0, id);
    let key = again.resume_key(id).await.unwrap();
    unwrap_in_progress(&secret, (id, &key), upload, record, &wrap).unwrap();

    // The next day has another. The old one goes once its day is over and nothing hangs on it.
    assert!(again.destroy_resume_keys().await.unwrap().is_empty());
    house.clock.advance(DAY);
    let (next, _) = again.resume_key_today().await.unwrap();
    assert_ne!(next, id);
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(again.destroy_resume_keys().await.unwrap(), [id]);
    assert!(matches!(again.resume_key(id).await, Err(KeyError::Resume(ResumeError::Gone(gone))) if gone == id));
    assert!(!house.dir.path().join("resume").join(id.to_string()).exists());
    again.resume_key(next).await.unwrap();
}

#[tokio::test]
async fn a_resume_key_under_another_name_opens_nothing() {
    let (house, service) = House::founded().await;
    let (id, _) = service.resume_key_today().await.unwrap();
    let dir = house.dir.path().join("resume");
    let renamed = ResumeKeyId::new(NOW);
    std::fs::rename(dir.join(id.to_string()), dir.join(renamed.to_string())).unwrap();
    let refused = service.resume_key(renamed).await;
    let Err(KeyError::Resume(ResumeError::Custody(CustodyError::Unwrap(e)))) = refused else { panic!("opened") };
    assert_eq!(e, UnwrapError::Forged);
}
