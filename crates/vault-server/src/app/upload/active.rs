//! Requests that are writing an upload on this node: a new one, or a HEAD, makes the old one settle first.
//!
//! Across nodes the fence in the database decides; this only spares a client bytes it would have to send again.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vault_core::ids::UploadId;

/// How long a new request waits for the old one to commit what it has.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Holder {
    number: u64,
    stop: CancellationToken,
    gone: watch::Receiver<()>,
}

/// The requests under way.
#[derive(Default)]
pub struct Active {
    holders: Mutex<HashMap<UploadId, Holder>>,
    next: std::sync::atomic::AtomicU64,
}

/// A request's place; gives it up when dropped.
pub(super) struct Place {
    active: Arc<Active>,
    upload: UploadId,
    number: u64,
    /// Cancelled when another request wants the upload: commit what there is, and end.
    pub stop: CancellationToken,
    _gone: watch::Sender<()>,
}

impl Active {
    /// Asks the request that is writing `upload`, if there is one, to settle; returns once it has, or after 5 s.
    pub async fn settle(&self, upload: UploadId) {
        let holder = self.lock().get(&upload).cloned();
        if let Some(mut holder) = holder {
            holder.stop.cancel();
            // The sender is dropped with the place: `changed` ends with an error then.
            let _ = tokio::time::timeout(SETTLE, holder.gone.changed()).await;
        }
    }

    /// Takes the place of the writer, after whoever has it has settled.
    pub(super) async fn enter(self: &Arc<Self>, upload: UploadId) -> Place {
        self.settle(upload).await;
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let stop = CancellationToken::new();
        let (gone_sender, gone) = watch::channel(());
        let holder = Holder { number, stop: stop.clone(), gone };
        if let Some(late) = self.lock().insert(upload, holder) {
            late.stop.cancel();
        }
        Place { active: Arc::clone(self), upload, number, stop, _gone: gone_sender }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Holder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut holders = self.active.lock();
        if holders.get(&self.upload).is_some_and(|h| h.number == self.number) {
            holders.remove(&self.upload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_request_waits_until_the_first_has_settled() {
        let active = Arc::new(Active::default());
        let upload = UploadId::from_bytes([1; 16]);
        let first = active.enter(upload).await;
        let stop = first.stop.clone();
        let settled = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = Arc::clone(&settled);
        let holder = tokio::spawn(async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
            drop(first);
        });
        let second = active.enter(upload).await;
        assert!(settled.load(std::sync::atomic::Ordering::SeqCst));
        assert!(!second.stop.is_cancelled());
        holder.await.unwrap();
        assert_eq!(active.lock().len(), 1, "the first one's end does not remove the second");
        drop(second);
        assert!(active.lock().is_empty());
    }
}
