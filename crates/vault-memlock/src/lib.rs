//! Locked, undumpable memory for keys.
//!
//! Every secret of the vault lives in a slot of one process-wide arena: pages that are locked
//! (never swapped), excluded from core dumps, and wiped when a slot is given back. One arena
//! instead of a page for each key, because the usual limit on locked memory is 8 MiB.
//!
//! This crate is the only place of the workspace where `unsafe` is allowed. What it relies on is
//! written at each block; the arena never hands out the same slot twice, so a [`Slot`] may be
//! read and written through ordinary references.
//!
//! What this does not do: it cannot wipe copies made by the CPU, by the kernel, or by a
//! cryptographic library that expands a key schedule on the ordinary heap.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags};
use zeroize::Zeroize;

/// Size of every slot in bytes: enough for the longest secret, SHA-384's 48-byte KDF keys.
pub const SLOT_LEN: usize = 64;

/// Bytes mapped and locked at a time; a vault at work needs one or two of these.
const CHUNK_LEN: usize = 512 * 1024;

/// What happens when the operating system refuses to lock memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Not locking is fatal: the process ends rather than hold a key in memory that may be swapped.
    Require,
    /// Lock where possible. For development, tests and programs that hold no vault key.
    Prefer,
}

/// Why memory could not be protected.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// `mlock` was refused, usually by `RLIMIT_MEMLOCK`.
    #[error("cannot lock memory for keys ({0}); raise the limit (LimitMEMLOCK=, `ulimit -l`) to at least 8 MiB")]
    Lock(std::io::Error),
    /// The process could not be made undumpable.
    #[error("cannot switch off core dumps ({0})")]
    Dump(std::io::Error),
    /// [`init`] was called after the first secret was made under a weaker policy.
    #[error("memory protection must be set up before the first key is made")]
    TooLate,
}

/// Bounds how many heaps the C library keeps: one for each processor, and at least two.
///
/// glibc gives threads heaps of their own, up to eight for each processor, and what is freed in one is of no use to the others.
/// A server with many threads that hand large buffers round holds a fifth more memory by that. Call it before the first thread
/// is started. Elsewhere than on glibc it does nothing (mallopt(3)).
pub fn bound_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let heaps = libc::c_int::try_from(processors.max(2)).unwrap_or(libc::c_int::MAX);
        // SAFETY: mallopt takes two numbers and no pointer; it is called before there is a second thread. A parameter that
        // it does not take leaves everything as it was, and is no error to anybody.
        let _taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
    }
}

struct Arena {
    policy: Policy,
    free: Mutex<Vec<SlotPtr>>,
}

/// A pointer into a chunk of the arena. Chunks are never unmapped.
struct SlotPtr(NonNull<[u8; SLOT_LEN]>);

// SAFETY: the pointer leads to memory that lives as long as the process, and whoever owns the
// SlotPtr is its only user: it leaves the free list by `pop` and returns by `push`.
unsafe impl Send for SlotPtr {}
// SAFETY: shared access only ever reads (`Slot::bytes`), writing needs `&mut Slot`.
unsafe impl Sync for SlotPtr {}

static ARENA: OnceLock<Arena> = OnceLock::new();

/// Sets the policy and locks the first chunk; call it before any secret is made.
///
/// Under [`Policy::Require`] the process is also made undumpable (`PR_SET_DUMPABLE`), which
/// keeps other processes of the same user from attaching to it.
pub fn init(policy: Policy) -> Result<(), LockError> {
    if policy == Policy::Require {
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(|e| LockError::Dump(e.into()))?;
    }
    let first = map_chunk(policy).map_err(LockError::Lock)?;
    let fresh = Arena { policy, free: Mutex::new(first) };
    match ARENA.set(fresh) {
        Ok(()) => Ok(()),
        Err(_) if ARENA.get().is_some_and(|a| a.policy == policy) => Ok(()),
        Err(_) => Err(LockError::TooLate),
    }
}

fn arena() -> &'static Arena {
    ARENA.get_or_init(|| Arena { policy: Policy::Prefer, free: Mutex::new(Vec::new()) })
}

fn map_chunk(policy: Policy) -> std::io::Result<Vec<SlotPtr>> {
    // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice aliases nothing.
    let base = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            CHUNK_LEN,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )?
    };
    // SAFETY: base..base+CHUNK_LEN is the mapping just made.
    let locked = unsafe { rustix::mm::mlock(base, CHUNK_LEN) };
    if let (Err(e), Policy::Require) = (locked, policy) {
        // SAFETY: as above, and no slot of it was handed out.
        let _ = unsafe { rustix::mm::munmap(base, CHUNK_LEN) };
        return Err(e.into());
    }
    // SAFETY: as above; the advice changes what a core dump holds, not the memory's content.
    let undumped = unsafe { rustix::mm::madvise(base, CHUNK_LEN, Advice::LinuxDontDump) };
    if let (Err(e), Policy::Require) = (undumped, policy) {
        return Err(e.into());
    }
    let slots = (0..CHUNK_LEN / SLOT_LEN)
        .rev()
        .filter_map(|i| {
            // SAFETY: i * SLOT_LEN + SLOT_LEN <= CHUNK_LEN, inside the mapping.
            NonNull::new(unsafe { base.cast::<u8>().add(i * SLOT_LEN) }.cast::<[u8; SLOT_LEN]>())
        })
        .map(SlotPtr)
        .collect();
    Ok(slots)
}

/// One slot of the arena: 64 bytes, zero when handed out, wiped when dropped.
///
/// No `Clone`, no `Debug`: a secret is moved, never copied or printed.
pub struct Slot(SlotPtr);

impl Slot {
    /// Takes a zeroed slot. Ends the process when memory must be locked and cannot be: there is
    /// no safe way to go on with a key that may reach a swap file.
    #[must_use]
    pub fn new() -> Self {
        let arena = arena();
        let mut free = arena.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            match map_chunk(arena.policy) {
                Ok(more) => free.extend(more),
                Err(e) => fatal(&e),
            }
        }
        match free.pop() {
            Some(slot) => Slot(slot),
            None => fatal(&std::io::Error::other("no slot in a fresh chunk")),
        }
    }

    /// The slot's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SLOT_LEN] {
        // SAFETY: the pointer is valid for the life of the process and owned by this Slot alone;
        // the borrow of self keeps writers out.
        unsafe { self.0.0.as_ref() }
    }

    /// The slot's bytes, to be filled in place.
    pub fn bytes_mut(&mut self) -> &mut [u8; SLOT_LEN] {
        // SAFETY: as in `bytes`; the exclusive borrow of self makes this the only reference.
        unsafe { self.0.0.as_mut() }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        let mut free = arena().free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(SlotPtr(self.0.0));
    }
}

#[allow(clippy::print_stderr)] // The last words of a process that ends here; no subscriber is sure to run.
fn fatal(e: &std::io::Error) -> ! {
    eprintln!("cannot lock memory for keys: {e}; ending rather than risk a key on disk");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_zero_again_after_it_was_used() {
        let mut held = Vec::new();
        for round in 0..3u8 {
            for _ in 0..10_000 {
                let mut slot = Slot::new();
                assert_eq!(slot.bytes(), &[0u8; SLOT_LEN], "round {round}");
                slot.bytes_mut().fill(0xA5);
                held.push(slot);
            }
            held.clear();
        }
    }

    #[test]
    fn no_two_live_slots_overlap() {
        let mut slots: Vec<Slot> = (0..20_000).map(|_| Slot::new()).collect();
        for (i, slot) in slots.iter_mut().enumerate() {
            slot.bytes_mut()[..8].copy_from_slice(&(i as u64).to_le_bytes());
        }
        for (i, slot) in slots.iter().enumerate() {
            assert_eq!(slot.bytes()[..8], (i as u64).to_le_bytes());
        }
    }
}
