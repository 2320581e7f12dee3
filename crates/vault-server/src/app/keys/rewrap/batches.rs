//! Batches of record keys, read and rewrapped ahead of the commits: while one batch is written, the next is being
//! opened and wrapped on another thread.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vault_core::ids::RecordId;
use vault_core::keys::incident::Incident;
use vault_core::keys::lifecycle::KeyState;
use vault_core::keys::wrap::{KekRef, UnwrapError};

use super::pace::Size;
use crate::app::error::Failure;
use crate::app::keys::compromise::incident;
use crate::custody::{CustodyError, KeyError};
use crate::state::Vault;
use crate::store::keys;

/// Prepared batches that wait: with the one being prepared and the one being written three are in memory.
const AHEAD: usize = 1;

/// What is to be written, or told, next.
pub(super) enum Batch {
    /// Records of a version, rewrapped.
    Moves {
        /// The version that holds them.
        from: KekRef,
        /// In order of their ids.
        ready: Vec<(RecordId, Vec<u8>)>,
        /// Those whose wrap does not open.
        refused: Vec<(RecordId, UnwrapError)>,
    },
    /// A version that cannot be opened itself: nothing under it can be moved.
    Unusable {
        /// Which.
        from: KekRef,
        /// Why.
        why: KeyError,
    },
}

/// The batches of one rotation. Dropped, it ends what prepares them.
pub(super) struct Batches {
    prepared: mpsc::Receiver<Result<Batch, Failure>>,
    _preparing: JoinSet<()>,
}

impl Batches {
    /// Begins to prepare everything under `sources` for `to`.
    pub(super) fn of(vault: &Arc<Vault>, sources: Vec<KekRef>, to: KekRef, size: Size) -> Self {
        let (sender, prepared) = mpsc::channel(AHEAD);
        let mut preparing = JoinSet::new();
        let vault = Arc::clone(vault);
        preparing.spawn(async move {
            if let Err(failure) = prepare(&vault, sources, to, &size, &sender).await {
                // Nobody listens: the rotation was left.
                let _ = sender.send(Err(failure)).await;
            }
        });
        Self { prepared, _preparing: preparing }
    }

    /// The next one; none when everything was prepared.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>, Failure> {
        self.prepared.recv().await.transpose()
    }
}

async fn prepare(
    vault: &Vault,
    sources: Vec<KekRef>,
    to: KekRef,
    size: &Size,
    sender: &mpsc::Sender<Result<Batch, Failure>>,
) -> Result<(), Failure> {
    // Whatever is wrong with the version moved to is no fault of those moved from.
    vault.keys()?.kek(to).await?;
    for from in sources {
        // The cursor only saves looking twice at what does not open; whoever goes on after a crash begins at the first left.
        let mut cursor = String::new();
        let incident = under_incident(vault, from).await?;
        loop {
            let wraps = {
                let mut reader = vault.store.read().await?;
                keys::record_wraps(reader.conn(), from, &cursor, u32::try_from(size.get()).unwrap_or(1)).await?
            };
            let Some((last, _)) = wraps.last() else { break };
            cursor = last.to_string();
            let rewrapped = match &incident {
                Some(incident) => vault.keys()?.rewrap_compromised(incident, to, wraps).await,
                None => vault.keys()?.rewrap_records(from, to, wraps).await,
            };
            let batch = match rewrapped {
                Ok(rewrapped) => {
                    let (mut ready, mut refused) = (Vec::with_capacity(rewrapped.len()), Vec::new());
                    for (record, outcome) in rewrapped {
                        match outcome {
                            Ok(wrap) => ready.push((record, wrap)),
                            Err(why) => refused.push((record, why)),
                        }
                    }
                    Batch::Moves { from, ready, refused }
                }
                Err(why) if is_unusable(&why, from) => Batch::Unusable { from, why },
                Err(e) => return Err(e.into()),
            };
            let unusable = matches!(batch, Batch::Unusable { .. });
            if sender.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
            if unusable {
                break;
            }
        }
    }
    Ok(())
}

/// The incident of a compromised version, as the log has it; none for any other.
async fn under_incident(vault: &Vault, from: KekRef) -> Result<Option<Incident>, Failure> {
    let state = {
        let mut reader = vault.store.read().await?;
        keys::kek(reader.conn(), from).await?.map(|row| row.state)
    };
    if state == Some(KeyState::Compromised) { incident(vault, from).await.map(Some) } else { Ok(None) }
}

/// Whether it is the version moved from that cannot be used, for good, rather than custody or the database for now.
fn is_unusable(e: &KeyError, from: KekRef) -> bool {
    match e {
        KeyError::Missing(kek) | KeyError::State { kek, .. } => *kek == from,
        KeyError::Wrap { .. } | KeyError::Custody(CustodyError::Epoch(_)) => true,
        _ => false,
    }
}
