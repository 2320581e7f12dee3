//! A node of the log: it follows until the lease falls to it, sequences until the lease is lost, and so on until it stops.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vault_core::audit::checkpoint::CheckpointSigner;

use super::follow::{Follower, advance, give_back};
use super::office::{self, Held, Office};
use super::publish::{Publication, Publisher};
use super::recover::{self, Recovered};
use super::sequencer::{Committed, End, Sequencer};
use super::{LedgerError, Running, Shared, lock};
use crate::store::leases::Lease;

/// Commits that may wait to be published while others are: a publication syncs two objects and their directories, longer
/// than a commit takes. More would only make smaller groups.
const COMMITS_AHEAD: usize = 2;

/// A sequencer with the tasks that belong to it.
pub(super) struct Sequencing {
    sequencer: Sequencer,
    publisher: JoinHandle<()>,
    keeper: JoinHandle<()>,
    lease: Arc<Lease>,
}

impl Sequencing {
    /// Begins to sequence under `lease`, from what was committed. `inherited`: there may be a partial bundle of another's.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        running: &Arc<Running>,
        signer: &Arc<CheckpointSigner>,
        lease: Lease,
        committed: Committed,
    ) -> Self {
        // Commits that may run ahead of what is being published; what has come together is published together.
        let (commits, publications) = mpsc::channel(COMMITS_AHEAD);
        let held = Held::new(&lease);
        let lease = Arc::new(lease);
        let publisher = Publisher {
            shared: Arc::clone(shared),
            running: Arc::clone(running),
            lost: held.lost.clone(),
            inherited: Some(running.published().size() / u64::from(vault_core::audit::tile::WIDTH)),
        };
        let publisher = tokio::spawn(publisher.run(publications));
        let stop = running.stop.clone();
        let keeper = tokio::spawn(office::keep(Arc::clone(shared), Arc::clone(&lease), held.clone(), stop));
        *lock(&running.held) = Some(held.clone());
        let (shared, signer) = (Arc::clone(shared), Arc::clone(signer));
        Self { sequencer: Sequencer { shared, signer, committed, commits, held }, publisher, keeper, lease }
    }

    /// Ends what belongs to it, the publication under way included, and gives the lease back.
    async fn end(self, running: &Running, end: &End) {
        let Self { sequencer, publisher, keeper, lease } = self;
        if !matches!(end, End::Stopped) {
            sequencer.held.lost.cancel();
        }
        let shared = Arc::clone(&sequencer.shared);
        drop(sequencer);
        // Neither panics; were it to, the next to sequence repairs what was left.
        let _ = publisher.await;
        *lock(&running.held) = None;
        keeper.abort();
        give_back(&shared, &lease).await;
    }
}

/// Runs this node of the log until it is stopped, or the log's copies disagree. Cancels `stop` when it ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    running: Arc<Running>,
    signer: Arc<CheckpointSigner>,
    mut office: Office,
    first: Option<Sequencing>,
) {
    let stop: CancellationToken = running.stop.clone();
    let _ended = stop.clone().drop_guard();
    let mut sequencing = first;
    loop {
        let end = match sequencing.take() {
            Some(mut mine) => {
                let end = mine.sequencer.run(&stop).await;
                mine.end(&running, &end).await;
                end
            }
            None => {
                let mut follower = Follower::new(Arc::clone(&shared), Arc::clone(&running), Arc::clone(&signer));
                match follower.run(&mut office, &stop).await {
                    Ok(mine) => {
                        tracing::info!(size = mine.sequencer.committed.head.edge.size(), "this node sequences the log");
                        sequencing = Some(mine);
                        continue;
                    }
                    Err(end) => end,
                }
            }
        };
        match end {
            End::Lost => tracing::info!("another node sequences the log"),
            End::Stopped | End::Disagreement => break,
        }
    }
    // Whoever waits learns it at once; the outbox waits for the next node.
    stop.cancel();
    lock(&shared.queue).clear();
    lock(&shared.waiting).clear();
    lock(&shared.placed).clear();
    lock(&shared.looks).clear();
}

/// Begins to sequence in the place of a node that has gone: fences it off, compares every copy of the head again, and hands
/// to the publisher what it committed and did not publish.
pub(super) async fn take_over(
    shared: &Arc<Shared>,
    running: &Arc<Running>,
    signer: &Arc<CheckpointSigner>,
    lease: Lease,
) -> Result<Sequencing, LedgerError> {
    let recovered = compare(shared, running, signer).await;
    let (Recovered { head, tiles, behind, full, .. }, stale) = match recovered {
        Ok(recovered) => recovered,
        Err(e) => {
            give_back(shared, &lease).await;
            return Err(e);
        }
    };
    let publication = (behind > 0 || stale).then(|| {
        let (grown, tiles) = (head.edge.clone(), Arc::new(tiles.clone()));
        Publication { grown, tiles, full, due: Vec::new() }
    });
    let sequencing = Sequencing::begin(shared, running, signer, lease, Committed { head, tiles });
    if let Some(publication) = publication {
        // There is room: nothing else was sent yet.
        let _ = sequencing.sequencer.commits.send(publication).await;
    }
    Ok(sequencing)
}

/// The one state that the copies agree on, and whether the published checkpoint is older than one that was seen before.
async fn compare(
    shared: &Shared,
    running: &Running,
    signer: &CheckpointSigner,
) -> Result<(Recovered, bool), LedgerError> {
    let head = recover::fence(&shared.store, &running.verifier).await?;
    let seen = running.published();
    let found = recover::published_checkpoint(&shared.objects, &running.verifier).await?;
    let stale = found.as_ref().is_none_or(|found| found.size() < seen.size());
    if let Some(found) = found {
        if found.size() == seen.size() && found.root() != seen.checkpoint.root() {
            let what = "another tree of the same size was published";
            let (database, published) = (head.edge.size(), found.size());
            return Err(LedgerError::Disagreement { what, database, published });
        }
        if found.size() > seen.size() {
            advance(shared, running, Arc::new(found)).await?;
        }
    }
    let seen = running.published();
    let (database, published) = (head.edge.size(), seen.size());
    if database < published {
        let what = "the database was rewound or rewritten under a running log";
        return Err(LedgerError::Disagreement { what, database, published });
    }
    let place = |index, leaf| shared.place(index, leaf);
    let recovered = recover::forward(
        &shared.store,
        signer.outbox_key(),
        seen.edge.clone(),
        (*seen.tiles).clone(),
        head,
        None,
        place,
    )
    .await?;
    Ok((recovered, stale))
}
