//! Playing a recording: a session is opened on evidence, served segment by segment, and closed with what was served.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`open`](mod@open) | redeems a grant: proofs, decision, `playback.opened` |
//! | [`live`] | a session in memory, and those that are warm |
//! | [`stream`] | serves a range, each segment checked right before it leaves |
//! | [`source`] | the object's ciphertext, by range |
//! | [`served`] | which ranges were served |
//! | [`share`] | what each of several processes served of a session |
//! | [`close`](mod@close) | ends a session: `playback.closed` |
//! | [`findings`] | damage found while playing, told to the log |
//!
//! This version makes no derivatives, so one thing is served whatever is asked for: the original, byte for byte. Answers
//! and entries name it so. A player needs the right `view`; whoever asks for `original` as a file needs `export`.

mod close;
pub mod findings;
pub mod live;
pub(super) mod open;
pub mod served;
pub mod share;
pub mod source;
pub mod stream;

#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use vault_api::code::Code;
use vault_core::access::decision::SKEW;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::entry::PlaybackOpened;
use vault_core::audit::evidence::Recorded;
use vault_core::ids::SessionId;
use vault_core::keys::hierarchy::RecordKey;
use vault_core::media::disclosure::Disclosure;
use vault_core::media::open::ObjectReader;

pub use close::{close, forget_closed, reap};
pub use findings::write as write_finding;
pub use open::open;
pub use share::{leave, tell_over};

use crate::app::callers::Caller;
use crate::app::error::Failure;
use crate::app::reencrypt;
use crate::app::reference;
use crate::app::restrict::Subject;
use crate::state::Vault;
use crate::store::records;
use crate::store::sessions::{self, SessionRow};
use live::{Ended, Live};
use source::{ReadError, Source};
use stream::{Bearer, Gate};

/// What is served, as answers and entries name it.
const SERVED: &str = "original";

/// What stands between sessions and their bytes on this node, for one request of the caller's.
#[must_use]
pub fn gate(vault: &Vault, caller: &Caller) -> Gate {
    Gate {
        bearer: Bearer::of(caller),
        restrictions: vault.restrictions.clone(),
        ledger: vault.ledger.clone(),
        clock: Arc::clone(&vault.clock),
        agreement: Arc::clone(&vault.agreement),
        metrics: Arc::clone(&vault.metrics),
        findings: vault.sessions.findings().clone(),
    }
}

/// The caller's session. Somebody else's looks absent.
pub async fn find(vault: &Arc<Vault>, caller: &Caller, id: SessionId) -> Result<Arc<Live>, Failure> {
    let live = match vault.sessions.get(id) {
        Some(live) => live,
        None => rebuild(vault, caller, id).await?,
    };
    if !is_callers(caller, live.row()) {
        return Err(Code::NotFound.into());
    }
    share::join(vault, &live).await?;
    Ok(live)
}

/// Whether the session is the caller's to use: their own, in a collection that their roles and this token reach.
fn is_callers(caller: &Caller, row: &SessionRow) -> bool {
    let place = Place::Collection(row.collection);
    row.person == caller.person() && caller.permit_on(Action::PlaybackRead, place).is_ok()
}

/// A session opened by another process, or fallen out of memory: made again from what the log proves.
async fn rebuild(vault: &Arc<Vault>, caller: &Caller, id: SessionId) -> Result<Arc<Live>, Failure> {
    let row = sessions::find(&vault.store, id).await?.filter(|row| is_callers(caller, row));
    let row = row.ok_or(Code::NotFound)?;
    if row.closed_at.is_some() || row.expires_at <= vault.clock.now() {
        return Err(Code::SessionEnded.into());
    }
    if row.created_at > vault.clock.now().plus(SKEW) {
        // Before this process began, perhaps: a session that is yet to be opened.
        return Err(live::clock_set_back());
    }
    // Before the log is asked: an entry about an erased record does not open any more.
    vault.restrictions.check(&subject(&row))?;
    let evidence = vault.ledger()?.find::<PlaybackOpened>(&reference::session(id)).await?;
    // Committed and not published yet, or never logged: no byte either way.
    let evidence = evidence.ok_or(Code::NotInLog)?;
    if !open::is_of(&evidence, &row) {
        vault.sessions.findings().tell(&row, "session-row-differs-from-log");
        return Err(Code::NotInLog.into());
    }
    let record = records::find(&vault.store, row.record).await?.ok_or(Code::RecordNotAvailable)?;
    let key = open::record_key(vault, &record).await?;
    keep(vault, build(vault, row, key, evidence).await?).await
}

/// What a session stands on.
fn subject(row: &SessionRow) -> Subject {
    Subject::new()
        .record(row.record)
        .collection(row.collection)
        .person(row.person)
        .grant(row.grant)
        .binding(row.binding)
        .session(row.id)
}

/// Makes a session playable on this node: from the evidence that its disclosure is in the log, and from nothing else.
async fn build(
    vault: &Vault,
    row: SessionRow,
    key: RecordKey,
    evidence: Recorded<PlaybackOpened>,
) -> Result<Live, Failure> {
    let built = try_build(vault, &row, &key, &evidence).await;
    if let Err(Ended::Unreadable(e)) = &built
        && e.is_damage()
    {
        // Its object is gone because another took its place: an end, and no damage.
        if reencrypt::replaced(vault, row.record, row.object).await {
            return Err(Code::SessionEnded.into());
        }
        vault.sessions.findings().tell(&row, e.finding());
    }
    Ok(built?)
}

/// Keeps a session warm. One that has to make room tells what it served: nobody else knows.
async fn keep(vault: &Vault, built: Live) -> Result<Arc<Live>, Failure> {
    let (live, made_room) = vault.sessions.keep(built);
    if let Some(forgotten) = made_room
        && let Err(failure) = share::tell(vault, &forgotten).await
    {
        // Untold, it is presumed whole.
        tracing::warn!(%failure, causes = failure.causes(), "a session fell out of memory, and what was served of it");
    }
    vault.metrics.sessions_open.set(i64::try_from(vault.sessions.len()).unwrap_or(i64::MAX));
    Ok(live)
}

async fn try_build(
    vault: &Vault,
    row: &SessionRow,
    key: &RecordKey,
    evidence: &Recorded<PlaybackOpened>,
) -> Result<Live, Ended> {
    let rows = records::original(&vault.store, row.record).await.map_err(ReadError::from)?;
    let (object, parts) = rows.ok_or(ReadError::Rows("no object"))?;
    if object.id != row.object {
        return Err(ReadError::Rows("another object").into());
    }
    let kind = object.content_type.clone();
    let source = Source::of(vault.objects.clone(), row.collection, row.record, object, parts)?;
    let last = source.final_segment().await?;
    let disclosure = Disclosure::of_playback(evidence).map_err(|_| ReadError::Rows("no disclosure"))?;
    let reader = ObjectReader::new(
        &key.object_key(row.object),
        source.context(),
        source.stored(&last)?,
        &disclosure,
        &mut Vec::new(),
    )
    .map_err(ReadError::from)?;
    Ok(Live::new(row.clone(), &kind, source, reader, vault.clock.as_ref()))
}
