//! Uploads: created, received, completed or refused.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`create`] | checks collection, claimed type and consent; makes keys and the address |
//! | [`receive`] | takes in bytes, makes them durable, advances the offset |
//! | [`complete`] | adopts a whole recording: one transaction from upload to record |
//! | `end` | refuses, terminates, and says of an ended upload how it ended |
//! | [`active`], `writer`, [`checksum`] | requests under way, segments into parts, sums |

pub mod active;
pub mod checksum;
pub mod complete;
pub mod create;
mod end;
pub mod receive;
pub(super) mod writer;

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vault_api::code::Code;
use vault_core::ids::UploadId;
pub use vault_core::keys::upload::UploadSecret;
use vault_core::media::layout::SegmentLength;

pub use end::terminate;
use end::{refuse, refused_state};

use crate::app::error::Failure;
use crate::config::Limits;
use crate::state::Vault;
use crate::store::uploads::{self, UploadRow};

/// How long a request waits for room in the byte budget before it is told to come back.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(10);

/// What uploads share on a node.
pub struct Uploads {
    active: Arc<active::Active>,
    /// The byte budget, in KiB.
    room: Arc<Semaphore>,
    /// Requests that wait for room.
    waiting: AtomicUsize,
}

impl Uploads {
    /// With the budget of the configuration.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let kib = usize::try_from(limits.buffer_bytes / 1024).unwrap_or(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS)));
        Self { active: Arc::default(), room, waiting: AtomicUsize::new(0) }
    }

    /// Requests that are writing an upload on this node.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.count()
    }

    /// What is left of the byte budget.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.room.available_permits().saturating_mul(1024)
    }

    /// Whether somebody waits for room that others hold.
    fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// The byte budget, in KiB.
    pub(super) const fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    async fn enter(&self, upload: UploadId) -> active::Place {
        self.active.enter(upload).await
    }

    async fn settle(&self, upload: UploadId) {
        self.active.settle(upload).await;
    }
}

/// Room for the two buffers of whoever writes segments: the segment under way, and the one being written.
pub(super) async fn reserve(vault: &Vault, segment: SegmentLength) -> Result<OwnedSemaphorePermit, Failure> {
    let kib = u32::try_from(2 * segment.encrypted() / 1024 + 1).unwrap_or(u32::MAX);
    let room = || Arc::clone(&vault.uploads.room);
    if let Ok(permit) = room().try_acquire_many_owned(kib) {
        return Ok(permit);
    }
    let _waiting = Waiting::among(&vault.uploads.waiting);
    match tokio::time::timeout(WAIT_FOR_ROOM, room().acquire_many_owned(kib)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Failure::new(Code::Unavailable).detail("too many uploads at once")),
    }
}

/// One who waits for room, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn find(vault: &Vault, secret: &UploadSecret) -> Result<UploadRow, Failure> {
    uploads::find(&vault.store, &secret.hash()).await?.ok_or_else(|| Code::UploadNotFound.into())
}

#[cfg(test)]
mod tests;
