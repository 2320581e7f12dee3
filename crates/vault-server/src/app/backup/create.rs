//! Making a backup: one moment of the database, with the log's own signature over the entries.

use vault_core::audit::merkle::Edge;
use vault_core::audit::note::VerifierKey;
use vault_core::backup::manifest::{FORMAT, Manifest, Position};
use vault_core::backup::{Cell, TABLES};
use vault_core::ids::BackupId;
use vault_core::time::{Clock, Timestamp};

use super::{BackupError, Folder};
use crate::app::ledger;
use crate::objects::Objects;
use crate::store::restores::BackupRow;
use crate::store::{Store, backup, keys, log};

/// A key that somebody is about to destroy: the backup is worth less from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// `kek` or `root-epoch`.
    pub kind: String,
    /// Of which collection; the vault's own identifier for a root epoch.
    pub collection: String,
    /// Which version or epoch.
    pub version: i64,
    /// Not before; nothing while it is only asked for.
    pub not_before: Option<Timestamp>,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's SHA-256: to be kept apart.
    pub sha256: String,
    /// Destructions under way.
    pub doomed: Vec<Doomed>,
}

/// Writes a backup of the vault called `log_name` into `folder`. Takes no key, and keeps nobody from writing.
pub async fn create(
    store: &Store,
    objects: &Objects,
    clock: &dyn Clock,
    log_name: &str,
    folder: &Folder,
) -> Result<Made, BackupError> {
    let key: VerifierKey = {
        let mut reader = store.read().await?;
        let row = keys::log_key(reader.conn(), log_name).await?;
        let row = row.ok_or(BackupError::Nothing("this database holds no vault with a log of that name"))?;
        row.public_key.parse().map_err(|_| BackupError::Nothing("the log's public key is none"))?
    };
    // Before the rows: what is published was committed before, so its entries are among those read below.
    let checkpoint = ledger::published_checkpoint(objects, &key).await?;
    let checkpoint = checkpoint.ok_or(BackupError::Nothing("the log was never published"))?;

    let mut snapshot = store.snapshot().await?;
    let conn = snapshot.conn();
    let head = log::head(conn).await?.ok_or(BackupError::Nothing("the log was not begun"))?;
    let vault_id = keys::meta(conn, "vault_id").await?.and_then(|id| id.parse().ok());
    let vault_id = vault_id.ok_or(BackupError::Nothing("this database holds no vault"))?;
    let created_at = clock.now();
    let (mut tables, mut restrictions) = (Vec::new(), 0);
    let mut edge = Edge::default();
    for table in TABLES {
        let mut file = folder.write(table)?;
        let mut after: Option<Vec<Cell>> = None;
        loop {
            let rows = backup::page(conn, table, after.as_deref()).await?;
            for row in &rows {
                file.row(row)?;
                match (table.name, row.as_slice()) {
                    ("log_entries", [_, Cell::Bytes(entry), ..]) => {
                        edge.append(vault_core::audit::merkle::Hash::leaf(entry));
                    }
                    ("counters", [_, Cell::Number(counter)]) => restrictions = u64::try_from(*counter).unwrap_or(0),
                    _ => {}
                }
            }
            edge.settle();
            match rows.into_iter().last() {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        tables.push(file.end()?);
    }
    // A backup of a database whose entries do not lead to its head could not be restored.
    if edge.to_bytes() != head.edge.to_bytes() {
        return Err(BackupError::Altered("the database's entries do not lead to its head".to_owned()));
    }
    let doomed = backup::destructions_under_way(conn).await?.into_iter();
    let doomed = doomed.map(|(kind, collection, version, not_before)| {
        let not_before = not_before.map(Timestamp::from_millis);
        Doomed { kind, collection, version, not_before }
    });
    let doomed = doomed.collect();
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        created_at,
        schema: backup::schema_version(),
        vault_id,
        log: Position {
            public_key: key.to_string(),
            size: head.edge.size(),
            root: head.edge.root().to_string(),
            checkpoint: checkpoint.note().to_owned(),
        },
        restrictions,
        needs: backup::needs(conn).await?,
        tables,
    };
    drop(snapshot);
    let sha256 = folder.finish(&manifest)?;
    note(store, &manifest, &sha256).await?;
    Ok(Made { manifest, sha256, doomed })
}

/// Notes in the vault that there is such a backup: `root status` says by it how far back a record can be brought back.
async fn note(store: &Store, manifest: &Manifest, sha256: &str) -> Result<(), BackupError> {
    let needs = serde_json::to_string(&manifest.needs);
    let row = BackupRow {
        id: BackupId::new(manifest.created_at),
        created_at: manifest.created_at,
        log_size: manifest.log.size,
        manifest_sha256: sha256.to_owned(),
        needs: needs.map_err(|_| BackupError::Altered("its keys cannot be written down".to_owned()))?,
    };
    let mut tx = store.begin("note_backup").await?;
    row.insert(tx.conn()).await?;
    Ok(tx.commit().await?)
}
