//! Moving record keys to the active version, in short batches, so that uploads and playback go first.
//!
//! One node works on a rotation, under a lease that it renews with each batch; when it dies another takes over. Each batch is one
//! transaction that compares the lease's fence, moves its records by compare-and-set, counts the wraps and notes the
//! progress: it may be repeated, cut short, or fenced off, and a crash loses nothing but the batch. What is left to do is
//! asked of the records themselves, not of a counter.
//!
//! | file | does |
//! | --- | --- |
//! | here | who works: leases, one task for each rotation, the urgent ones first |
//! | `work` | one rotation from where it stands to its end |
//! | `batches` | reads and rewraps ahead of the commits |
//! | `pace` | how large batches are, and what is left to others |

mod batches;
mod pace;
mod work;

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use vault_core::ids::CollectionId;

use crate::app::error::Failure;
use crate::app::keys::office::Office;
use crate::state::Vault;
use crate::store::StoreError;
use crate::store::keys::{self, RotationRow};

/// How often this node looks for rotations that began, or that another node has left.
const LOOK: Duration = Duration::from_millis(500);
/// A rotation that met trouble is left alone for so long while others go on.
const RETRY: Duration = Duration::from_secs(15);

/// Works on the rotations under way until each is done or paused, here or on another node, or the vault stops. An error is
/// answered when nothing is left that goes on without it.
pub async fn rewrap_all(vault: &Arc<Vault>) -> Result<(), Failure> {
    let mut office = Office::new();
    let mut working: JoinSet<(CollectionId, Result<(), Failure>)> = JoinSet::new();
    let mut at_work: HashMap<CollectionId, u32> = HashMap::new();
    let mut failed: HashMap<CollectionId, (Instant, Failure)> = HashMap::new();
    loop {
        let running = running(vault).await?;
        failed.retain(|id, (at, _)| at.elapsed() < RETRY && running.iter().any(|row| row.collection == *id));
        let open = running.iter().filter(|row| !failed.contains_key(&row.collection));
        // While something urgent is to be done, nothing else begins; what is at work notices by itself.
        let urgent = open.clone().map(|row| row.priority).max();
        for row in open.filter(|row| Some(row.priority) == urgent) {
            if at_work.contains_key(&row.collection) || vault.stopping.is_cancelled() {
                continue;
            }
            if let Some(lease) = office.stand(vault, &format!("rotation:{}", row.collection)).await? {
                at_work.insert(row.collection, row.to);
                let (vault, row) = (Arc::clone(vault), row.clone());
                working.spawn(async move { (row.collection, work::work(&vault, row, lease).await) });
            }
        }
        if at_work.is_empty() && (vault.stopping.is_cancelled() || running.len() == failed.len()) {
            return failed.into_values().next().map_or(Ok(()), |(_, failure)| Err(failure));
        }
        tokio::select! {
            Some(ended) = working.join_next() => {
                // A task that panicked says so by itself; the rotation is found running with the next look.
                let Ok((id, outcome)) = ended else {
                    at_work.clear();
                    working.abort_all();
                    continue;
                };
                at_work.remove(&id);
                if let Err(failure) = outcome {
                    failed.insert(id, (Instant::now(), failure));
                }
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn running(vault: &Vault) -> Result<Vec<RotationRow>, StoreError> {
    let mut reader = vault.store.read().await?;
    keys::rotations_running(reader.conn()).await
}
