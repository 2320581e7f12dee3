//! Restoring a backup: everything is looked at first, then all rows are entered in one transaction.
//!
//! Nothing here takes a key. What the log and the journal know and the rows do not is reconciled when the vault is opened
//! ([`crate::app::restored`]). A process that dies before the commit has changed nothing; after it the restore stands, and
//! what is left to do is done at the next start.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use vault_core::audit::entry::{Entry, Kind};
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::note::VerifierKey;
use vault_core::audit::succession;
use vault_core::backup::{Cell, TABLES, Table};
use vault_core::ids::{BackupId, RestoreId};
use vault_core::time::Clock;

use super::verify::Verified;
use super::{BackupError, Folder, verify};
use crate::app::ledger::{self, DESTROY, Ledger, restricts};
use crate::clock::SystemClock;
use crate::metrics::Metrics;
use crate::objects::{Name, Objects};
use crate::store::log::Head;
use crate::store::restores::{self, BackupRow, RestoreRow};
use crate::store::restrictions;
use crate::store::{Store, Tx, backup, keys, log};

/// Rows handed from the reading thread to the database at once.
const CHUNK: usize = 256;
/// Parts looked for at once.
const AT_ONCE: usize = 16;
/// Objects with missing parts that are taken for what erasures and re-encryptions leave; with more it is likely another store.
const NAMED: usize = 1_000;

/// What is wanted of a restore.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Whose signature counts; by default the key that the backup names.
    pub public_key: Option<String>,
    /// What the manifest must hash to.
    pub sha256: Option<String>,
    /// A checkpoint seen outside, as a signed note: what it covers must be in backup or published log.
    pub known_checkpoint: Option<String>,
    /// Take out what is in the database.
    pub replace: bool,
    /// As many recordings may have no media: they were erased or encrypted anew since the backup.
    pub without_media: Option<u64>,
}

/// What was found before anything was entered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Entries of the published log; more than the backup has are replayed.
    pub published: u64,
    /// Recordings of the backup whose entry was appended after it: they are not among those that came later.
    pub uploads_waited: u64,
    /// Parts of recordings that are not in the object store.
    pub parts_missing: u64,
    /// Records that are kept from being used for that reason.
    pub records_without_media: u64,
    /// The number of the backup's last restriction: later ones are the journal's.
    #[serde(default)]
    pub restrictions: i64,
    /// Restrictions that the backup has and whose entry was appended after it, by their kind.
    #[serde(default)]
    pub taken_waited: BTreeMap<String, u64>,
}

/// A backup whose rows are in the database.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The backup.
    pub verified: Verified,
    /// What was found.
    pub facts: Facts,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What is done.
    pub what: &'static str,
    /// How much of it.
    pub done: u64,
    /// Of how much.
    pub of: u64,
}

/// Holds the backup against the published log and the object store, then enters its rows.
pub async fn restore(
    store: &Store,
    objects: &Objects,
    clock: &dyn Clock,
    log_name: &str,
    folder: &Folder,
    wish: &Wish,
    mut progress: impl FnMut(Step),
) -> Result<Restored, BackupError> {
    let verified = verify(folder, wish.public_key.as_deref(), wish.sha256.as_deref())?;
    let manifest = &verified.checked.manifest;
    let key: VerifierKey = manifest.log.public_key.parse().map_err(|_| altered("its log's key is none"))?;
    // A successor log is called after the first one, which the configuration names.
    let generation = succession::generation(key.name());
    if succession::origin(log_name, generation) != key.name() {
        return Err(BackupError::Refused(format!(
            "it is of the log {}, and the configuration names another",
            key.name()
        )));
    }
    let there = free(store, &verified, wish.replace).await?;
    refuse_if_succeeded(store, objects, log_name, &key).await?;
    if there.is_some() {
        nobody_runs(store, objects).await?;
    }
    let (published, sequenced) = against_log(objects, folder, &verified, &key, wish).await?;
    let is_upload = |bytes: &&Vec<u8>| Entry::parse(bytes).is_ok_and(|entry| entry.kind() == Kind::UploadCompleted);
    let uploads_waited = sequenced.iter().filter(is_upload).count() as u64;
    let mut facts = Facts { published, uploads_waited, ..Facts::default() };
    for kind in sequenced.iter().filter_map(|bytes| restricts(Entry::parse(bytes).ok()?.kind())) {
        *facts.taken_waited.entry(kind.name().to_owned()).or_default() += 1;
    }
    let missing = missing_media(objects, folder, &verified, wish.without_media, &mut facts, &mut progress).await?;

    let mut tx = store.begin("restore_backup").await?;
    if let Some(there) = &there
        && log::settled_head(&mut tx).await.ok().flatten() != *there
    {
        return Err(BackupError::Refused(RUNS.to_owned()));
    }
    let fence = there.flatten().map(|head| head.fence);
    // A database that was just made has the counter that every database has.
    backup::clear(&mut tx).await?;
    enter(&mut tx, folder, &verified, &sequenced, &mut progress).await?;
    restores::raise_fence(&mut tx, fence.unwrap_or(0)).await?;
    facts.restrictions = restrictions::counter(tx.conn()).await?;
    facts.records_without_media = restores::restrict_records_of(&mut tx, &missing).await?;
    let now = clock.now();
    let made = BackupRow {
        id: BackupId::new(manifest.created_at),
        created_at: manifest.created_at,
        log_size: manifest.log.size,
        manifest_sha256: verified.sha256.clone(),
        needs: serde_json::to_string(&manifest.needs).map_err(|_| altered("its keys"))?,
    };
    made.insert(tx.conn()).await?;
    let row = RestoreRow {
        id: RestoreId::new(now),
        manifest_sha256: verified.sha256.clone(),
        backup_at: manifest.created_at,
        log_size: manifest.log.size,
        restored_at: now,
        facts: serde_json::to_string(&facts).map_err(|_| altered("what was found"))?,
        report: None,
        confirmed_by: None,
        confirmed_at: None,
    };
    row.insert(&mut tx).await?;
    tx.commit().await?;
    Ok(Restored { verified, facts })
}

fn altered(what: &str) -> BackupError {
    BackupError::Altered(what.to_owned())
}

/// What is said to whoever left a node running.
const RUNS: &str = "a node of this vault keeps its log: stop the server of this vault first, on every node";

/// That no node runs on a database which holds the vault. The addresses that a configuration names tell of this host alone.
async fn nobody_runs(store: &Store, objects: &Objects) -> Result<(), BackupError> {
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
    let ledger = Ledger::new(store.clone(), objects.clone(), clock, metrics, Duration::ZERO);
    let lease = ledger.take_office().await?.ok_or_else(|| BackupError::Refused(RUNS.to_owned()))?;
    ledger.leave_office(&lease).await;
    Ok(())
}

/// That the database is empty, or that what is in it may be taken out: the log's head there then, if it has one.
async fn free(store: &Store, verified: &Verified, replace: bool) -> Result<Option<Option<Head>>, BackupError> {
    let mut reader = store.read().await?;
    let mut full = false;
    for table in TABLES {
        full |= !backup::is_empty(reader.conn(), table).await?;
    }
    if !full {
        return Ok(None);
    }
    let vault = keys::meta(reader.conn(), "vault_id").await?.unwrap_or_default();
    if vault != verified.checked.manifest.vault_id.to_string() {
        return Err(BackupError::Refused("the database holds another vault; name an empty one".to_owned()));
    }
    let head = log::head(reader.conn()).await.ok().flatten();
    if !replace {
        let entries = head.as_ref().map_or(0, |head| head.edge.size());
        return Err(BackupError::Refused(format!(
            "the database holds this vault already, with {entries} entries of the log; --replace takes it out: what was \
             committed since the backup and is not in the published log or the journal is lost then"
        )));
    }
    Ok(Some(head))
}

/// A log that was succeeded since: the key of its successor is in no backup from before, and perhaps only in this database.
async fn refuse_if_succeeded(
    store: &Store,
    objects: &Objects,
    log_name: &str,
    key: &VerifierKey,
) -> Result<(), BackupError> {
    // A row that cannot be read keeps nobody from restoring.
    let here = keys::log_key(store.read().await?.conn(), log_name).await.ok().flatten();
    let generation = |name: &str| succession::generation(name);
    let declared = here.is_some_and(|here| generation(&here.name) > generation(key.name()));
    if declared || ledger::is_followed(objects, key).await? {
        let what =
            "its log was succeeded since, and the successor's key is not in it: restore one that was made after that";
        return Err(BackupError::Refused(what.to_owned()));
    }
    Ok(())
}

/// Holds the backup's entries, the published ones and a checkpoint seen outside against each other. Answers how many are
/// published, and which of those waited in the backup to be appended: they would be appended a second time.
async fn against_log(
    objects: &Objects,
    folder: &Folder,
    verified: &Verified,
    key: &VerifierKey,
    wish: &Wish,
) -> Result<(u64, HashSet<Vec<u8>>), BackupError> {
    let published = ledger::published_checkpoint(objects, key).await?;
    let known = wish.known_checkpoint.as_deref().map(|note| key.verify_checkpoint(note)).transpose();
    let known = known.map_err(|_| BackupError::Refused("the known checkpoint is none of this log's".to_owned()))?;
    let mut signed: Vec<(u64, Hash, &'static str)> = Vec::new();
    signed.extend(
        published.iter().map(|c| (c.size(), *c.root(), "the published log and the backup contradict each other")),
    );
    signed
        .extend(known.iter().map(|c| (c.size(), *c.root(), "the log is not the one that the known checkpoint signed")));
    let (backed, there) = (verified.checked.manifest.log.size, published.as_ref().map_or(0, |c| c.size()));
    if let Some(known) = known.as_ref().filter(|known| known.size() > backed.max(there)) {
        return Err(BackupError::Refused(format!(
            "the known checkpoint covers {} entries; backup and published log have {}: entries that were signed are lost, and this log \
             must not go on. {LOST}",
            known.size(),
            backed.max(there)
        )));
    }
    let (mut edge, mut destroyed) = (Edge::default(), BTreeSet::new());
    let mut wrong = None;
    let mut look = |edge: &mut Edge, entry: &[u8]| {
        edge.append(Hash::leaf(entry));
        if edge.size().is_multiple_of(256) || signed.iter().any(|(size, ..)| *size == edge.size()) {
            edge.settle();
        }
        for (size, root, what) in &signed {
            if *size == edge.size() && *root != edge.root() {
                wrong = wrong.or(Some(*what));
            }
        }
        destroyed.extend(Entry::parse(entry).ok().as_ref().and_then(destroyed_epoch));
    };
    let table = named("log_entries")?;
    let sum = sum(verified, table)?;
    folder.rows::<BackupError>(table, sum, |row| {
        if let [_, Cell::Bytes(entry), ..] = row.as_slice() {
            look(&mut edge, entry);
        }
        Ok(())
    })?;
    let waited = waiting(folder, verified)?;
    let mut sequenced = HashSet::new();
    while edge.size() < there {
        for entry in ledger::published_entries(objects, key, edge.size(), there).await? {
            look(&mut edge, &entry);
            if waited.contains(&entry) {
                sequenced.insert(entry);
            }
        }
    }
    if let Some(what) = wrong {
        return Err(BackupError::Refused(what.to_owned()));
    }
    let seed = verified.checked.manifest.needs.log_seed;
    if destroyed.contains(&seed) {
        return Err(BackupError::Refused(format!(
            "root epoch {seed}, which wraps the log's key in this backup, is destroyed: nothing in it can be opened any more"
        )));
    }
    Ok((there, sequenced))
}

/// Entries that waited to be appended.
fn waiting(folder: &Folder, verified: &Verified) -> Result<HashSet<Vec<u8>>, BackupError> {
    let (table, mut waiting) = (named(OUTBOX)?, HashSet::new());
    folder.rows::<BackupError>(table, sum(verified, table)?, |row| {
        if let [_, Cell::Bytes(entry), ..] = row.as_slice() {
            waiting.insert(entry.clone());
        }
        Ok(())
    })?;
    Ok(waiting)
}

const OUTBOX: &str = "log_outbox";

/// What a true loss asks for.
pub const LOST: &str = "A successor log has to be declared by two key officers (docs/operations/backup-and-restore.md)";

fn destroyed_epoch(entry: &Entry<'_>) -> Option<u32> {
    let operation = entry.data("operation")?.as_str()?;
    let epoch = entry.data("epoch")?.as_number()?;
    (entry.kind() == Kind::RootOperation && operation == DESTROY).then(|| u32::try_from(epoch).ok())?
}

fn named(name: &str) -> Result<&'static Table, BackupError> {
    TABLES.iter().find(|table| table.name == name).ok_or_else(|| altered("a table is missing"))
}

fn sum<'v>(verified: &'v Verified, table: &Table) -> Result<&'v vault_core::backup::manifest::TableSum, BackupError> {
    let found = verified.checked.manifest.tables.iter().find(|sum| sum.name == table.name);
    found.ok_or_else(|| altered("a table is missing"))
}

/// Rows of a table, read on a thread that waits for the disk, in chunks.
fn chunks(folder: &Folder, verified: &Verified, table: &'static Table) -> Result<mpsc::Receiver<Chunk>, BackupError> {
    let (folder, sum) = (folder.clone(), sum(verified, table)?.clone());
    let (give, take) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let outcome = folder.rows::<BackupError>(table, &sum, |row| {
            chunk.push(row);
            if chunk.len() == CHUNK {
                // Nobody takes any more: whoever did has failed and says why.
                let _gone = give.blocking_send(Ok(std::mem::take(&mut chunk)));
            }
            Ok(())
        });
        let _gone = give.blocking_send(outcome.map(|()| chunk));
        // The hash held, or the last thing sent says that it did not.
        let _gone = give.blocking_send(Ok(Vec::new()));
    });
    Ok(take)
}

type Chunk = Result<Vec<Vec<Cell>>, BackupError>;

/// The objects that have a part which is not in the object store.
async fn missing_media(
    objects: &Objects,
    folder: &Folder,
    verified: &Verified,
    allowed: Option<u64>,
    facts: &mut Facts,
    progress: &mut impl FnMut(Step),
) -> Result<Vec<String>, BackupError> {
    let table = named("parts")?;
    let (mut rows, of) = (chunks(folder, verified, table)?, sum(verified, table)?.rows);
    let (mut missing, mut done) = (BTreeSet::new(), 0);
    let most = allowed.map_or(NAMED, |allowed| usize::try_from(allowed).unwrap_or(usize::MAX));
    while let Some(chunk) = rows.recv().await {
        let chunk = chunk?;
        done += chunk.len() as u64;
        let parts = chunk.into_iter().filter_map(|row| match row.as_slice() {
            [Cell::Text(object), _, _, Cell::Text(name), ..] => Some((object.clone(), name.parse::<Name>())),
            _ => None,
        });
        let looks = parts.map(|(object, name)| async move {
            let name = name.map_err(|_| altered("a part's name is none"))?;
            Ok::<_, BackupError>((object, objects.exists(&name).await?))
        });
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(found) = looks.next().await {
            let (object, there) = found?;
            if !there {
                facts.parts_missing += 1;
                if missing.len() < most || missing.contains(&object) {
                    missing.insert(object);
                } else {
                    return Err(BackupError::Refused(format!(
                        "parts of more than {most} recordings are not in the object store: is it the right one? If so many were \
                         erased or encrypted anew since the backup, say how many may be missing (--without-media N)"
                    )));
                }
            }
        }
        progress(Step { what: "looking for media", done, of });
    }
    if done != of {
        return Err(altered("a table was not read to its end"));
    }
    Ok(missing.into_iter().collect())
}

async fn enter(
    tx: &mut Tx,
    folder: &Folder,
    verified: &Verified,
    sequenced: &HashSet<Vec<u8>>,
    progress: &mut impl FnMut(Step),
) -> Result<(), BackupError> {
    let mut done = 0;
    for table in TABLES {
        let before = done;
        let mut rows = chunks(folder, verified, table)?;
        while let Some(chunk) = rows.recv().await {
            let mut chunk = chunk?;
            done += chunk.len() as u64;
            if table.name == OUTBOX {
                chunk.retain(|row| !matches!(row.as_slice(), [_, Cell::Bytes(entry), ..] if sequenced.contains(entry)));
            }
            backup::enter(tx, table, &chunk).await?;
            progress(Step { what: "entering rows", done, of: verified.rows });
        }
        // Whoever reads ends without a word only when the process goes down.
        if done - before != sum(verified, table)?.rows {
            return Err(altered("a table was not read to its end"));
        }
    }
    Ok(())
}
