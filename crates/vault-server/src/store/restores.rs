//! The register of backups, and restores: entered with a backup's rows, and open until somebody has confirmed them.
//!
//! All of it is what the vault knows of itself and no proof of anything: whoever writes the database can alter it. What was
//! destroyed and taken away is in the log and in the journal.

use sqlx::any::AnyRow;
use vault_core::ids::{BackupId, CollectionId, PersonId, RestoreId};
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use super::restrictions::{Act, Kind};
use super::row::{Columns, bigint};
use super::{Conn, StoreError, Tx};

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRow {
    /// Its identifier.
    pub id: BackupId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Entries of the log in it.
    pub log_size: u64,
    /// SHA-256 of its manifest, in hex.
    pub manifest_sha256: String,
    /// The keys it hangs on, as JSON of the manifest's member `needs`.
    pub needs: String,
}

impl BackupRow {
    /// Notes it. Noted twice it is there once.
    pub async fn insert(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let text = "INSERT INTO backups (id, created_at, log_size, manifest_sha256, needs) VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (id) DO NOTHING";
        sqlx::query(text)
            .bind(self.id.to_string())
            .bind(self.created_at.as_millis())
            .bind(bigint(self.log_size)?)
            .bind(self.manifest_sha256.clone())
            .bind(self.needs.clone())
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// At most `limit` of the backups behind `after`, the oldest first.
pub async fn backups(conn: &mut Conn, after: &str, limit: u32) -> Result<Vec<BackupRow>, StoreError> {
    let text =
        "SELECT id, created_at, log_size, manifest_sha256, needs FROM backups WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = sqlx::query(text).bind(after.to_owned()).bind(i64::from(limit)).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("backups", row);
            Ok(BackupRow {
                id: columns.parsed("id")?,
                created_at: columns.time("created_at")?,
                log_size: columns.unsigned("log_size")?,
                manifest_sha256: columns.text("manifest_sha256")?,
                needs: columns.text("needs")?,
            })
        })
        .collect()
}

/// A restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRow {
    /// Its identifier.
    pub id: RestoreId,
    /// SHA-256 of the backup's manifest, in hex.
    pub manifest_sha256: String,
    /// When the backup was made.
    pub backup_at: Timestamp,
    /// Entries of the log in the backup.
    pub log_size: u64,
    /// When its rows were entered.
    pub restored_at: Timestamp,
    /// What was found before anything was entered, as JSON.
    pub facts: String,
    /// What was reconciled, as JSON; none until that is done.
    pub report: Option<String>,
    /// Who confirmed it.
    pub confirmed_by: Option<PersonId>,
    /// When.
    pub confirmed_at: Option<Timestamp>,
}

impl RestoreRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let columns = Columns::of("restores", row);
        Ok(Self {
            id: columns.parsed("id")?,
            manifest_sha256: columns.text("manifest_sha256")?,
            backup_at: columns.time("backup_at")?,
            log_size: columns.unsigned("log_size")?,
            restored_at: columns.time("restored_at")?,
            facts: columns.text("facts")?,
            report: columns.maybe_text("report")?,
            confirmed_by: columns.maybe_parsed("confirmed_by")?,
            confirmed_at: columns.maybe_time("confirmed_at")?,
        })
    }

    /// Enters it in the transaction that enters the backup's rows, in place of any before: their rows are gone too.
    pub async fn insert(&self, tx: &mut Tx) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM restores").execute(tx.conn()).await?;
        let text = "INSERT INTO restores (id, manifest_sha256, backup_at, log_size, restored_at, facts)
                    VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(text)
            .bind(self.id.to_string())
            .bind(self.manifest_sha256.clone())
            .bind(self.backup_at.as_millis())
            .bind(bigint(self.log_size)?)
            .bind(self.restored_at.as_millis())
            .bind(self.facts.clone())
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}

/// The last restore.
pub async fn last(conn: &mut Conn) -> Result<Option<RestoreRow>, StoreError> {
    let text = "SELECT id, manifest_sha256, backup_at, log_size, restored_at, facts, report, confirmed_by, confirmed_at
                FROM restores ORDER BY id DESC LIMIT 1";
    sqlx::query(text).fetch_optional(conn).await?.as_ref().map(RestoreRow::read).transpose()
}

/// Whether a restore waits for somebody to confirm it.
pub async fn is_unconfirmed(conn: &mut Conn) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM restores WHERE confirmed_at IS NULL LIMIT 1";
    Ok(sqlx::query(text).fetch_optional(conn).await?.is_some())
}

/// Writes down what was reconciled; false when another node has.
pub async fn reconciled(tx: &mut Tx, id: RestoreId, report: &str) -> Result<bool, StoreError> {
    let text = "UPDATE restores SET report = $1 WHERE id = $2 AND report IS NULL";
    let done = sqlx::query(text).bind(report.to_owned()).bind(id.to_string()).execute(tx.conn()).await?;
    Ok(done.rows_affected() == 1)
}

/// The last entry from `first` to before `end` that has a row of an opening: what came back from the published log has none.
pub async fn last_with_openings(conn: &mut Conn, first: u64, end: u64) -> Result<Option<u64>, StoreError> {
    let text = "SELECT MAX(idx) AS idx FROM log_openings WHERE idx >= $1 AND idx < $2";
    let row = sqlx::query(text).bind(bigint(first)?).bind(bigint(end)?).fetch_one(conn).await?;
    Ok(Columns::of("log_openings", &row).maybe_number("idx")?.and_then(|idx| u64::try_from(idx).ok()))
}

/// Confirms a restore that was reconciled; false when there is none to confirm.
pub async fn confirm(tx: &mut Tx, id: RestoreId, by: PersonId, now: Timestamp) -> Result<bool, StoreError> {
    let text = "UPDATE restores SET confirmed_by = $1, confirmed_at = $2
                WHERE id = $3 AND confirmed_at IS NULL AND report IS NOT NULL";
    let done =
        sqlx::query(text).bind(by.to_string()).bind(now.as_millis()).bind(id.to_string()).execute(tx.conn()).await?;
    Ok(done.rows_affected() == 1)
}

/// How many restrictions of each kind were imposed after this number, by the journal.
pub async fn imposed_since(conn: &mut Conn, counter: i64) -> Result<Vec<(Kind, u64)>, StoreError> {
    let text = "SELECT kind, COUNT(*) AS n FROM restrictions WHERE counter > $1 AND act = $2 GROUP BY kind";
    let rows = sqlx::query(text).bind(counter).bind(Act::Impose.name()).fetch_all(conn).await?;
    let of = |row| {
        let columns = Columns::of("restrictions", row);
        Ok((columns.parsed("kind")?, columns.unsigned("n")?))
    };
    rows.iter().map(of).collect()
}

/// Keeps the records of these objects from being used, those that are available; answers how many.
pub async fn restrict_records_of(tx: &mut Tx, objects: &[String]) -> Result<u64, StoreError> {
    let text = "UPDATE records SET state = 'restricted'
                WHERE state = 'available' AND id = (SELECT record_id FROM objects WHERE id = $1)";
    let mut restricted = 0;
    for object in objects {
        restricted += sqlx::query(text).bind(object.clone()).execute(tx.conn()).await?.rows_affected();
    }
    Ok(restricted)
}

/// The same for the records whose key a version wraps.
pub async fn restrict_records_under(tx: &mut Tx, kek: KekRef) -> Result<u64, StoreError> {
    let text = "UPDATE records SET state = 'restricted'
                WHERE state = 'available' AND collection_id = $1 AND kek_version = $2 AND wrap IS NOT NULL";
    let done =
        sqlx::query(text).bind(kek.collection.to_string()).bind(i64::from(kek.version)).execute(tx.conn()).await?;
    Ok(done.rows_affected())
}

/// Enters the number of a version that was made after the backup: its key is in no row, and its number is used.
pub async fn enter_lost_version(tx: &mut Tx, kek: KekRef, root_epoch: u32, now: Timestamp) -> Result<bool, StoreError> {
    let text =
        "INSERT INTO keks (collection_id, version, root_epoch, wrap, state, wraps, moved, created_at, deactivated_at)
                VALUES ($1, $2, $3, $4, 'destroyed', 0, 0, $5, $5) ON CONFLICT (collection_id, version) DO NOTHING";
    let done = sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(i64::from(root_epoch))
        .bind(Vec::<u8>::new())
        .bind(now.as_millis())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Every collection that has key versions, the vault itself among them.
pub async fn collections_with_keys(conn: &mut Conn) -> Result<Vec<CollectionId>, StoreError> {
    let rows = sqlx::query("SELECT DISTINCT collection_id FROM keks ORDER BY collection_id").fetch_all(conn).await?;
    rows.iter().map(|row| Columns::of("keks", row).parsed("collection_id")).collect()
}

/// Raises the log's fence above any that a node of before the restore may hold: nothing of it is appended any more.
pub async fn raise_fence(tx: &mut Tx, above: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE log_head SET fence = CASE WHEN fence > $1 THEN fence + 1 ELSE $1 + 1 END WHERE id = 1")
        .bind(above)
        .execute(tx.conn())
        .await?;
    Ok(())
}
