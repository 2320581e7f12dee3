//! Rows of intents: names that are about to be written, entered before the PUT and forgotten with the part's registration.
//!
//! Whoever writes owns its intents under a fence. They are dead as soon as the owner is over, or has a higher fence: then nothing they
//! stand for is ever registered, and the collector takes them ([`bury_intents`](super::garbage::bury_intents)).

use vault_core::ids::{RecordId, RewriteId, UploadId};
use vault_core::time::Timestamp;

use super::row::bigint;
use super::{Store, StoreError};
use crate::objects::Name;

/// Who writes parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    who: Who,
    record: RecordId,
    fence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Upload(UploadId),
    Rewrite(RewriteId),
}

impl Owner {
    /// The request that holds an upload under this fence.
    #[must_use]
    pub const fn upload(id: UploadId, record: RecordId, fence: u64) -> Self {
        Self { who: Who::Upload(id), record, fence }
    }

    /// A rewrite. Each attempt is another one, so none has a second fence.
    #[must_use]
    pub const fn rewrite(id: RewriteId, record: RecordId) -> Self {
        Self { who: Who::Rewrite(id), record, fence: 0 }
    }

    fn id(&self) -> String {
        match self.who {
            Who::Upload(id) => id.to_string(),
            Who::Rewrite(id) => id.to_string(),
        }
    }
}

/// Says that a name is about to be written. Committed before the PUT begins: the collector knows every name.
pub async fn intend(store: &Store, owner: Owner, name: &Name, deadline: Timestamp) -> Result<(), StoreError> {
    let mut tx = store.begin("intend_part").await?;
    sqlx::query("INSERT INTO intents (name, owner, record_id, fence, deadline) VALUES ($1, $2, $3, $4, $5)")
        .bind(name.to_string())
        .bind(owner.id())
        .bind(owner.record.to_string())
        .bind(bigint(owner.fence)?)
        .bind(deadline.as_millis())
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

/// Puts off the deadline of an intent. `false`: it is not there any more, since its fence was dead.
pub async fn renew_intent(store: &Store, name: &Name, deadline: Timestamp) -> Result<bool, StoreError> {
    let mut tx = store.begin("renew_intent").await?;
    let renewed = sqlx::query("UPDATE intents SET deadline = $2 WHERE name = $1")
        .bind(name.to_string())
        .bind(deadline.as_millis())
        .execute(tx.conn())
        .await?
        .rows_affected();
    tx.commit().await?;
    Ok(renewed == 1)
}
