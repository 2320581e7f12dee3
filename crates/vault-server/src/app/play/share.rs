//! A session that several processes serve: what each of them served, told to whoever closes it.
//!
//! ```text
//! join    before its first byte of a session a process enters a share, while the session is open
//! tell    when the session is over, and this process serves nothing more of it, it writes down what it served
//! gather  who ends a session early has the others stop, and waits a moment for what they tell
//! union   with the closing, of all shares; one that was never told, or that does not open, leaves the presumption whole
//! ```
//!
//! In doubt more is said than was served, never less. What is told is sealed under the collection's staff audit key, for
//! this session and this process: who writes rows can withhold it, and not make it up.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::Instant;
use vault_api::code::Code;
use vault_core::audit::entry::PlaybackClosed;
use vault_core::keys::field::{FieldContext, FieldSealer as _};
use vault_core::keys::hierarchy::StaffAuditKey;
use vault_core::time::Timestamp;

use super::live::Live;
use super::served::Served;
use crate::app::error::Failure;
use crate::app::reference;
use crate::app::restrict::Restriction;
use crate::state::Vault;
use crate::store::sessions::SessionRow;
use crate::store::shares::{self, Share};

/// How long whoever ends a session waits for the others. They learn of it within a poll of 250 ms and write one row; one
/// that takes longer is slow or gone, and the whole is presumed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether they have told.
const LOOK: Duration = Duration::from_millis(40);

/// How long a node that stops takes to tell of the sessions that others will go on serving.
const LEAVING: Duration = Duration::from_secs(5);

/// What this process knows of its own share: what it served, and whether it had entered a share for that.
pub(super) struct Own {
    served: Served,
    joined: bool,
}

impl Own {
    /// Ends the session on this node. What was served until then.
    pub(super) fn of(live: &Live) -> Self {
        // Read first: a share entered from here on is not answered for.
        let joined = live.has_joined();
        Self { served: live.end(), joined }
    }
}

/// Enters this process's share of a session, once.
pub(super) async fn join(vault: &Vault, live: &Live) -> Result<(), Failure> {
    live.join(async || {
        let joined = shares::join(&vault.store, live.row().id, vault.sessions.instance()).await?;
        if joined { Ok(()) } else { Err(Code::SessionEnded.into()) }
    })
    .await
}

/// Tells of the sessions that are over: closed elsewhere, or past their time. Returns how many.
pub async fn tell_over(vault: &Vault) -> Result<usize, Failure> {
    tell_all(vault, &vault.sessions.over(&vault.restrictions, vault.clock.now())).await
}

/// A node that stops tells of everything it has served: others go on with those sessions.
pub async fn leave(vault: &Vault) {
    match tokio::time::timeout(LEAVING, tell_all(vault, &vault.sessions.all())).await {
        Ok(Ok(_)) => {}
        Ok(Err(failure)) => {
            tracing::warn!(%failure, causes = failure.causes(), "what was served is not told to others")
        }
        Err(_) => tracing::warn!("what was served is not all told to others: the database is slow"),
    }
}

/// Tells of each, and forgets it. One that fails does not keep the others.
async fn tell_all(vault: &Vault, over: &[Arc<Live>]) -> Result<usize, Failure> {
    let mut outcome = Ok(over.len());
    for live in over {
        match tell(vault, live).await {
            Ok(()) => drop(vault.sessions.remove(live.row().id)),
            Err(failure) => outcome = Err(failure),
        }
    }
    outcome
}

/// Ends the session on this node, and tells what it served.
pub(super) async fn tell(vault: &Vault, live: &Live) -> Result<(), Failure> {
    let (row, own) = (live.row(), Own::of(live));
    if !own.joined {
        return Ok(());
    }
    let staff = vault.keys()?.staff_audit_key(row.collection).await?;
    let instance = vault.sessions.instance();
    let sealed = staff.seal(place(row, instance), own.served.to_text().as_bytes());
    if !shares::tell(&vault.store, row.id, instance, sealed).await? {
        closed_without(vault, row, &own.served).await?;
    }
    Ok(())
}

/// A session was closed before this process told what it served. Then the whole is presumed; an entry that says less is
/// one whose writer did not find this process's share, and that is a finding.
async fn closed_without(vault: &Vault, row: &SessionRow, served: &Served) -> Result<(), Failure> {
    let closed = vault.ledger()?.find::<PlaybackClosed>(&reference::session_closed(row.id)).await?;
    // Committed with the closing, and not published yet: asked again.
    let closed = closed.ok_or(Code::NotInLog)?;
    let Some(ranges) = closed.data("ranges") else { return Ok(()) };
    let texts: Vec<&str> = ranges.as_list().into_iter().flatten().filter_map(|value| value.as_str()).collect();
    if !Served::parse(&texts.join(",")).is_some_and(|told| told.covers(served)) {
        vault.sessions.findings().tell(row, "session-closed-short");
    }
    Ok(())
}

/// Whether others have still to tell what they served of a session.
pub(super) async fn is_awaited(vault: &Vault, row: &SessionRow) -> Result<bool, Failure> {
    Ok(shares::awaited(&vault.store, row.id, vault.sessions.instance()).await? > 0)
}

/// Has the others stop serving a session that is to end before its time, and waits for what they tell. What is ended
/// early is a restriction; its entry follows with the closing. A process that dies in between leaves a session that
/// nobody serves, and that is closed at its time. Whether there was anybody to wait for.
pub(super) async fn gather(vault: &Vault, row: &SessionRow, now: Timestamp) -> Result<bool, Failure> {
    if !is_awaited(vault, row).await? {
        return Ok(false);
    }
    let mut tx = vault.store.begin("end_session").await?;
    let restriction = Restriction::session_closed(row.id, row.expires_at);
    let imposed = vault.restrictions.impose(&mut tx, restriction, now).await?;
    tx.commit().await?;
    vault.restrictions.stand_quietly(&imposed);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && is_awaited(vault, row).await? {
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}

/// All that was served of a session, by every process that served it; `None` when that is not known.
pub(super) fn union(
    vault: &Vault,
    row: &SessionRow,
    own: Option<&Own>,
    shares: &[Share],
    staff: &StaffAuditKey,
) -> Option<Served> {
    let mut all = Served::default();
    if let Some(own) = own {
        all.add_all(&own.served);
    }
    let me = vault.sessions.instance();
    for share in shares {
        match &share.served {
            _ if share.lost => return None,
            Some(sealed) => match opened(row, share, sealed, staff) {
                Some(served) => all.add_all(&served),
                None => {
                    vault.sessions.findings().tell(row, "session-share-not-authentic");
                    return None;
                }
            },
            // Kept in memory until now.
            None if share.instance == me && own.is_some_and(|own| own.joined) => {}
            None => return None,
        }
    }
    // Whoever opened it has a share: none at all was taken away by hand.
    shares.iter().any(|share| share.instance == row.instance).then_some(all)
}

fn opened(row: &SessionRow, share: &Share, sealed: &[u8], staff: &StaffAuditKey) -> Option<Served> {
    let text = staff.open(place(row, &share.instance), sealed).ok()?;
    Served::parse(core::str::from_utf8(&text).ok()?)
}

fn place<'a>(row: &'a SessionRow, instance: &'a str) -> FieldContext<'a> {
    FieldContext { table: "session_shares", row: row.id.as_bytes(), column: instance }
}
