//! Ending a session: `playback.closed` narrows the disclosure that `playback.opened` presumed.
//!
//! What it says is the union of what every process served that had a share of the session ([`share`]). One whose process
//! died without a word, and one that a process forgot and served again, are closed as presumed whole.

use core::time::Duration;
use std::sync::Arc;

use vault_api::code::Code;
use vault_core::audit::entry::{Draft, PlaybackClosed};
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::ids::SessionId;
use vault_core::time::Timestamp;

use super::findings::field_key;
use super::is_callers;
use super::served::Served;
use super::share::{self, Own};
use crate::app::callers::Caller;
use crate::app::error::Failure;
use crate::app::ledger::Ticket;
use crate::app::reencrypt::once_more;
use crate::app::reference;
use crate::app::restrict::{Imposed, Restriction};
use crate::state::Vault;
use crate::store::Tx;
use crate::store::sessions::{self, SessionEnd, SessionRow};
use crate::store::shares;

/// How long after its end a session of another process is left to that process.
const GRACE: Duration = Duration::from_secs(30);

/// How long after the end of one's own session others have time to tell what they served of it.
const TELLING: Duration = Duration::from_secs(10);

/// Most sessions closed in one round of the reaper.
const ROUND: u32 = 200;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Its holder ended it; whether it was restricted for that before.
    Ended { restricted: bool },
    /// Its time was over.
    Expired,
    /// Its record was erased.
    Erased,
    /// Its record was encrypted anew: what it played is gone, and another session plays the same.
    Reencrypted,
}

impl Why {
    const fn name(self) -> &'static str {
        match self {
            Self::Ended { .. } => "ended",
            Self::Expired => "expired",
            Self::Erased => "erased",
            Self::Reencrypted => "re-encrypted",
        }
    }
}

/// The caller ends their session. One that has ended is told so.
pub async fn close(vault: &Vault, caller: &Caller, id: SessionId) -> Result<(), Failure> {
    let row = sessions::find(&vault.store, id).await?.filter(|row| is_callers(caller, row));
    let row = row.ok_or(Code::NotFound)?;
    if row.closed_at.is_some() {
        return Err(Code::SessionEnded.into());
    }
    let why = Why::Ended { restricted: share::gather(vault, &row, vault.clock.now()).await? };
    let ticket = once_more(|| end(vault, row.clone(), why, vault.clock.now())).await?.ok_or(Code::SessionEnded)?;
    // The session is over and its entry cannot be lost; a log that stands still does not change the answer.
    if let Err(e) = vault.ledger()?.settle(ticket).await {
        tracing::warn!(session = %id, error = %e, "a session ended while its entry waits for the log");
    }
    Ok(())
}

/// Closes sessions whose time is over, or whose record was erased or encrypted anew: this process's own at once, others' when they have had
/// time to do it themselves. With them the keys of what they played leave this process's memory. Returns how many.
pub async fn reap(vault: &Arc<Vault>) -> Result<usize, Failure> {
    let now = vault.clock.now();
    let mut ending = Vec::new();
    for (row, overdue) in sessions::overdue(&vault.store, now, ROUND).await? {
        let own = row.instance == vault.sessions.instance();
        if !own && now < overdue.since.plus(GRACE) {
            continue;
        }
        if own && now < overdue.since.plus(TELLING) && share::is_awaited(vault, &row).await? {
            continue;
        }
        let why = match overdue.end {
            SessionEnd::Expired => Why::Expired,
            SessionEnd::Erased => Why::Erased,
            SessionEnd::Replaced => Why::Reencrypted,
        };
        ending.push((row, why));
    }
    // By the rows a clock that was set back keeps them open, also for the next process.
    let past = vault.sessions.all().into_iter().filter(|live| live.is_past(vault.clock.as_ref()));
    let past = past.filter(|live| live.row().instance == vault.sessions.instance() && now < live.row().expires_at);
    ending.extend(past.map(|live| (live.row().clone(), Why::Expired)));
    let (mut closed, mut outcome) = (0, Ok(()));
    for (row, why) in ending {
        let session = row.id;
        match end(vault, row, why, now).await {
            Ok(Some(ticket)) => {
                vault.ledger()?.settle_later(ticket);
                closed += 1;
            }
            Ok(None) => {}
            // One that meets trouble keeps no other open.
            Err(failure) => {
                tracing::warn!(%session, causes = failure.causes(), "a session is not closed now: {failure}");
                outcome = Err(failure);
            }
        }
    }
    vault.metrics.sessions_open.set(i64::try_from(vault.sessions.len()).unwrap_or(i64::MAX));
    outcome.map(|()| closed)
}

/// How long the row of a closed session is kept: so long its address answers 410, and after that 404. One whose grant may
/// still be in force stays, since it counts against the grant's limits.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Deletes rows of sessions that were closed long ago; the log tells of them. Returns how many.
pub async fn forget_closed(vault: &Vault) -> Result<u64, Failure> {
    Ok(sessions::drop_closed(&vault.store, vault.clock.now().minus(REMEMBERED), 1_000).await?)
}

/// Ends a session here and everywhere, and leaves its entry to the log. `None` when somebody else ended it first.
async fn end(
    vault: &Vault,
    row: SessionRow,
    why: Why,
    now: Timestamp,
) -> Result<Option<Ticket<PlaybackClosed>>, Failure> {
    // First nothing more is served here, then it is told what was.
    let own = vault.sessions.get(row.id).map(|live| Own::of(&live));
    let (id, keys, staff) = (row.id, vault.keys()?, row.collection);
    let staff = keys.staff_audit_key(staff).await?;
    // Which recording it was is told under the record's own key, and left out once that is gone.
    let field = field_key(vault, row.record).await?;
    let ledger = vault.ledger()?;

    let mut tx = vault.store.begin("close_session").await?;
    let Some(row) = sessions::close(&mut tx, id, now).await? else {
        vault.sessions.remove(id);
        return Ok(None);
    };
    // Behind the closing: no share is entered any more.
    let shares = shares::take(&mut tx, id).await?;
    let known = share::union(vault, &row, own.as_ref(), &shares, &staff);
    let mut draft = draft(&row, why, known.as_ref(), now);
    if field.is_some() {
        draft = draft.slot(SlotName::Record, row.record.to_string(), OpeningUnder::Record);
    }
    let record = field.as_ref().map(|field| (row.record, field));
    let entry = draft.prepare(&OpeningKeys { staff: staff.as_ref(), record })?;
    let ticket = ledger.enqueue(&mut tx, entry, Some(reference::session_closed(id))).await?;
    let imposed = impose(vault, &mut tx, &row, why, now).await?;
    tx.commit().await?;
    if let Some(imposed) = imposed {
        vault.restrictions.stand_quietly(&imposed);
    }
    vault.sessions.remove(id);
    Ok(Some(ticket))
}

/// Other processes may serve the session still: what is ended before its time is a restriction.
async fn impose(
    vault: &Vault,
    tx: &mut Tx,
    row: &SessionRow,
    why: Why,
    now: Timestamp,
) -> Result<Option<Imposed>, Failure> {
    match why {
        // Re-encrypting restricted it in its own transaction.
        Why::Expired | Why::Erased | Why::Reencrypted | Why::Ended { restricted: true } => Ok(None),
        Why::Ended { restricted: false } => {
            let restriction = Restriction::session_closed(row.id, row.expires_at);
            Ok(Some(vault.restrictions.impose(tx, restriction, now).await?))
        }
    }
}

fn draft(row: &SessionRow, why: Why, known: Option<&Served>, now: Timestamp) -> Draft<PlaybackClosed> {
    let draft = Draft::new(now)
        .collection(row.collection)
        .data("why", why.name())
        .data("representation", row.representation.clone())
        .slot(SlotName::Session, row.id.to_string(), OpeningUnder::Staff)
        .slot(SlotName::Staff, row.person.to_string(), OpeningUnder::Staff);
    match known {
        Some(served) => {
            draft.data("disclosed", "ranges").data("bytes", served.bytes()).data("ranges", served.to_texts())
        }
        None => draft.data("disclosed", "presumed-whole"),
    }
}
