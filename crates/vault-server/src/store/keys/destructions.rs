//! Destructions of key versions and root epochs, and what each needs to know and to do in the other tables.

use core::str::FromStr;

use sqlx::any::AnyRow;
use vault_core::ids::{CollectionId, DestructionId, PersonId, RecordId};
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::KekRef;
use vault_core::time::Timestamp;

use crate::store::row::Columns;
use crate::store::{Conn, StoreError};

/// What is to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doomed {
    /// A version of a collection's key.
    Kek(KekRef),
    /// A root epoch.
    Epoch(u32),
}

impl Doomed {
    const fn kind(self) -> &'static str {
        match self {
            Self::Kek(_) => "kek",
            Self::Epoch(_) => "root-epoch",
        }
    }

    /// Whose it is; a root epoch is the vault's own.
    #[must_use]
    pub const fn collection(self) -> CollectionId {
        match self {
            Self::Kek(kek) => kek.collection,
            Self::Epoch(_) => CollectionId::VAULT,
        }
    }

    /// The number of the version or epoch.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Kek(kek) => kek.version,
            Self::Epoch(epoch) => epoch,
        }
    }
}

/// Where a destruction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestructionState {
    /// One key officer asked for it.
    Requested,
    /// Another confirmed it; it waits for its time.
    Confirmed,
    /// Nothing was destroyed, and nothing will be.
    Cancelled,
    /// The key is gone.
    Done,
}

impl DestructionState {
    const ALL: [Self; 4] = [Self::Requested, Self::Confirmed, Self::Cancelled, Self::Done];

    const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

/// Text that names no state.
#[derive(Debug)]
pub struct UnknownState;

impl FromStr for DestructionState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(UnknownState)
    }
}

/// A destruction as stored. What it says of persons and times is a hint: the log's entries count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestructionRow {
    /// Identifier.
    pub id: DestructionId,
    /// Of what.
    pub what: Doomed,
    /// Where it stands.
    pub state: DestructionState,
    /// Who asked.
    pub requested_by: PersonId,
    /// When.
    pub requested_at: Timestamp,
    /// Who confirmed.
    pub confirmed_by: Option<PersonId>,
    /// When.
    pub confirmed_at: Option<Timestamp>,
    /// Not destroyed before.
    pub not_before: Option<Timestamp>,
    /// What needed the key when somebody last looked, as JSON.
    pub inventory: String,
}

impl DestructionRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let c = Columns::of("destructions", row);
        let (collection, version) = (c.parsed("collection_id")?, c.version("version")?);
        let what = match c.text("kind")?.as_str() {
            "kek" => Doomed::Kek(KekRef { collection, version }),
            "root-epoch" => Doomed::Epoch(version),
            _ => return Err(c.damaged("kind")),
        };
        Ok(Self {
            id: c.parsed("id")?,
            what,
            state: c.parsed("state")?,
            requested_by: c.parsed("requested_by")?,
            requested_at: c.time("requested_at")?,
            confirmed_by: c.maybe_parsed("confirmed_by")?,
            confirmed_at: c.maybe_time("confirmed_at")?,
            not_before: c.maybe_time("not_before")?,
            inventory: c.text("inventory")?,
        })
    }

    /// Enters a request, or what a cycle has been agreed on. Two for one key at once: [`StoreError::Conflict`].
    pub async fn insert(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let text =
            "INSERT INTO destructions (id, kind, collection_id, version, state, requested_by, requested_at, inventory,
                      confirmed_by, confirmed_at, not_before)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        sqlx::query(text)
            .bind(self.id.to_string())
            .bind(self.what.kind())
            .bind(self.what.collection().to_string())
            .bind(i64::from(self.what.number()))
            .bind(self.state.name())
            .bind(self.requested_by.to_string())
            .bind(self.requested_at.as_millis())
            .bind(self.inventory.clone())
            .bind(self.confirmed_by.map(|person| person.to_string()))
            .bind(self.confirmed_at.map(Timestamp::as_millis))
            .bind(self.not_before.map(Timestamp::as_millis))
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// The destruction with this identifier.
pub async fn destruction(conn: &mut Conn, id: DestructionId) -> Result<Option<DestructionRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM destructions WHERE id = $1").bind(id.to_string()).fetch_optional(conn).await?;
    row.as_ref().map(DestructionRow::read).transpose()
}

/// The destruction of `what` that is asked for or confirmed.
pub async fn pending_destruction(conn: &mut Conn, what: Doomed) -> Result<Option<DestructionRow>, StoreError> {
    let text = "SELECT * FROM destructions WHERE kind = $1 AND collection_id = $2 AND version = $3
                AND state IN ('requested', 'confirmed')";
    let row = sqlx::query(text)
        .bind(what.kind())
        .bind(what.collection().to_string())
        .bind(i64::from(what.number()))
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(DestructionRow::read).transpose()
}

/// Everything of a collection that is asked or confirmed to be destroyed; of the vault itself: root epochs.
pub async fn pending_destructions(
    conn: &mut Conn,
    collection: CollectionId,
) -> Result<Vec<DestructionRow>, StoreError> {
    let text = "SELECT * FROM destructions WHERE collection_id = $1 AND state IN ('requested', 'confirmed')
                ORDER BY requested_at, id";
    let rows = sqlx::query(text).bind(collection.to_string()).fetch_all(conn).await?;
    rows.iter().map(DestructionRow::read).collect()
}

/// Everything that is asked or confirmed to be destroyed, of every collection and of the vault itself.
pub async fn all_pending_destructions(conn: &mut Conn) -> Result<Vec<DestructionRow>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM destructions WHERE state IN ('requested', 'confirmed')").fetch_all(conn).await?;
    rows.iter().map(DestructionRow::read).collect()
}

/// Destructions that are confirmed and whose time has come.
pub async fn destructions_due(conn: &mut Conn, now: Timestamp) -> Result<Vec<DestructionRow>, StoreError> {
    let text = "SELECT * FROM destructions WHERE state = 'confirmed' AND not_before <= $1 ORDER BY not_before, id";
    let rows = sqlx::query(text).bind(now.as_millis()).fetch_all(conn).await?;
    rows.iter().map(DestructionRow::read).collect()
}

/// Notes a confirmation; false when it is not waiting for one any more.
pub async fn confirm_destruction(
    conn: &mut Conn,
    id: DestructionId,
    by: PersonId,
    now: Timestamp,
    not_before: Timestamp,
    inventory: &str,
) -> Result<bool, StoreError> {
    let text = "UPDATE destructions SET state = 'confirmed', confirmed_by = $1, confirmed_at = $2, not_before = $3,
                inventory = $4 WHERE id = $5 AND state = 'requested'";
    let done = sqlx::query(text)
        .bind(by.to_string())
        .bind(now.as_millis())
        .bind(not_before.as_millis())
        .bind(inventory.to_owned())
        .bind(id.to_string())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a destruction that is asked for or confirmed: nothing is to be destroyed any more. False when it has ended.
pub async fn cancel_destruction(conn: &mut Conn, id: DestructionId, now: Timestamp) -> Result<bool, StoreError> {
    let text = "UPDATE destructions SET state = 'cancelled', ended_at = $1
                WHERE id = $2 AND state IN ('requested', 'confirmed')";
    let done = sqlx::query(text).bind(now.as_millis()).bind(id.to_string()).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that it is done, with the inventory that allowed it; false when it is not confirmed any more.
pub async fn finish_destruction(
    conn: &mut Conn,
    id: DestructionId,
    now: Timestamp,
    inventory: &str,
) -> Result<bool, StoreError> {
    let text = "UPDATE destructions SET state = 'done', ended_at = $1, inventory = $2
                WHERE id = $3 AND state = 'confirmed'";
    let done =
        sqlx::query(text).bind(now.as_millis()).bind(inventory.to_owned()).bind(id.to_string()).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a version's state for the length of the transaction: whoever counts a wrap under it, retires it or destroys it
/// waits, and what is read from here on includes what those who came before have done. `None`: there is no such version.
pub async fn hold_kek(conn: &mut Conn, kek: KekRef) -> Result<Option<KeyState>, StoreError> {
    let text = "UPDATE keks SET state = state WHERE collection_id = $1 AND version = $2 RETURNING state";
    let row =
        sqlx::query(text).bind(kek.collection.to_string()).bind(i64::from(kek.version)).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns::of("keks", &row);
    KeyState::from_name(&columns.text("state")?).ok_or_else(|| columns.damaged("state")).map(Some)
}

/// Destroys a version that wraps nothing new: state and wrap in one update, which is also the guard against anybody who
/// would use it. Answers the root epoch that wrapped it last; `None` when it is not in a state that allows it.
pub async fn destroy_kek(conn: &mut Conn, kek: KekRef, now: Timestamp) -> Result<Option<u32>, StoreError> {
    let text = "UPDATE keks SET state = 'destroyed', wrap = $1, deactivated_at = COALESCE(deactivated_at, $2)
                WHERE collection_id = $3 AND version = $4 AND state IN ('deactivated', 'compromised')
                RETURNING root_epoch";
    let row = sqlx::query(text)
        .bind(Vec::<u8>::new())
        .bind(now.as_millis())
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .fetch_optional(conn)
        .await?;
    row.map(|row| Columns::of("keks", &row).version("root_epoch")).transpose()
}

/// Empties the row of a version that was destroyed before, whatever state it claims: it came back with an older copy of the
/// database, or by hand. `None` when there is nothing to empty.
pub async fn empty_kek(conn: &mut Conn, kek: KekRef, now: Timestamp) -> Result<Option<u32>, StoreError> {
    let text = "UPDATE keks SET state = 'destroyed', wrap = $1, deactivated_at = COALESCE(deactivated_at, $2)
                WHERE collection_id = $3 AND version = $4 AND (state <> 'destroyed' OR length(wrap) > 0)
                RETURNING root_epoch";
    let row = sqlx::query(text)
        .bind(Vec::<u8>::new())
        .bind(now.as_millis())
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .fetch_optional(conn)
        .await?;
    row.map(|row| Columns::of("keks", &row).version("root_epoch")).transpose()
}

/// Every version of every collection that has a wrap, or is not called destroyed.
pub async fn keks_alive(conn: &mut Conn) -> Result<Vec<KekRef>, StoreError> {
    let text = "SELECT collection_id, version FROM keks WHERE state <> 'destroyed' OR length(wrap) > 0";
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("keks", row);
            Ok(KekRef { collection: columns.parsed("collection_id")?, version: columns.version("version")? })
        })
        .collect()
}

/// The first records whose key a version wraps, in order of their ids.
pub async fn first_records(conn: &mut Conn, kek: KekRef, most: u32) -> Result<Vec<RecordId>, StoreError> {
    let text = "SELECT id FROM records WHERE collection_id = $1 AND kek_version = $2 AND wrap IS NOT NULL
                ORDER BY id LIMIT $3";
    let rows = sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(i64::from(most))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Columns::of("records", row).parsed("id")).collect()
}

/// The collection's own keys that a version wraps: those whose row says so, and those whose wrap does.
pub async fn children_under(conn: &mut Conn, kek: KekRef) -> Result<Vec<String>, StoreError> {
    let text = "SELECT kind FROM kek_children WHERE collection_id = $1
                AND (kek_version = $2 OR substr(wrap, 22, 4) = $3) ORDER BY kind";
    let rows = sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(kek.version.to_be_bytes().to_vec())
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Columns::of("kek_children", row).text("kind")).collect()
}

/// Records whose wrap names this version (`docs/format.md` §5.3: bytes 21 to 24) while their row names another: edited by
/// hand, and lost for good with this version. Reads every wrap of the collection: never within a transaction.
pub async fn misnamed(conn: &mut Conn, kek: KekRef) -> Result<Vec<RecordId>, StoreError> {
    let text = "SELECT id FROM records WHERE collection_id = $1 AND wrap IS NOT NULL AND kek_version <> $2
                AND substr(wrap, 22, 4) = $3 ORDER BY id";
    let rows = sqlx::query(text)
        .bind(kek.collection.to_string())
        .bind(i64::from(kek.version))
        .bind(kek.version.to_be_bytes().to_vec())
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Columns::of("records", row).parsed("id")).collect()
}

/// How many keys a root epoch wraps: those whose row says so, and those whose wrap does (`docs/format.md` §5.3).
pub async fn wrapped_by(conn: &mut Conn, epoch: u32) -> Result<u64, StoreError> {
    let text = "SELECT (SELECT COUNT(*) FROM keks
                        WHERE length(wrap) > 0 AND (root_epoch = $1 OR substr(wrap, 22, 4) = $2))
                     + (SELECT COUNT(*) FROM log_keys
                        WHERE length(wrap) > 0 AND (root_epoch = $1 OR substr(wrap, 22, 4) = $2)) AS n";
    let row = sqlx::query(text).bind(i64::from(epoch)).bind(epoch.to_be_bytes().to_vec()).fetch_one(conn).await?;
    Columns::of("keks", &row).unsigned("n")
}

/// Notes the state of a root epoch that the database knows.
pub async fn set_epoch_state(conn: &mut Conn, epoch: u32, state: KeyState) -> Result<(), StoreError> {
    sqlx::query("UPDATE root_epochs SET state = $1 WHERE epoch = $2")
        .bind(state.as_str())
        .bind(i64::from(epoch))
        .execute(conn)
        .await?;
    Ok(())
}
