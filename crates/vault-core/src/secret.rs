//! Secrets: fixed-length bytes in locked memory, filled in place, wiped when dropped.
//!
//! No `Clone`, `Debug`, `PartialEq` or serde: a secret cannot be copied, printed, compared in
//! variable time or serialised by accident. Typed keys (`keys::hierarchy`) wrap it so that a
//! record key cannot be used where a KEK belongs.

use subtle::ConstantTimeEq;
use vault_memlock::{SLOT_LEN, Slot};

/// `N` secret bytes in the locked arena; `N` is at most 64.
pub struct Secret<const N: usize>(Slot);

impl<const N: usize> Secret<N> {
    const FITS: () = assert!(N <= SLOT_LEN, "a secret fits one slot of locked memory");

    /// A secret from the operating system's random generator.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can follow.
    #[must_use]
    pub fn generate() -> Self {
        Self::fill(|bytes| crate::random::fill(bytes))
    }

    /// A secret written in place by `f`.
    #[must_use]
    pub fn fill(f: impl FnOnce(&mut [u8; N])) -> Self {
        match Self::try_fill(|bytes| {
            f(bytes);
            Ok::<(), core::convert::Infallible>(())
        }) {
            Ok(secret) => secret,
            Err(never) => match never {},
        }
    }

    /// A secret written in place by `f`, which may fail; what it wrote is wiped then.
    pub fn try_fill<E>(f: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let () = Self::FITS;
        let mut slot = Slot::new();
        if let Some(bytes) = slot.bytes_mut().first_chunk_mut::<N>() {
            f(bytes)?;
        }
        Ok(Self(slot))
    }

    /// The bytes. Only `secret`, `keys` and `media` of this crate and the server's custody may
    /// call this; `cargo xtask test` checks it.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        let () = Self::FITS;
        match self.0.bytes().first_chunk::<N>() {
            Some(bytes) => bytes,
            None => unreachable!("N <= SLOT_LEN is checked at compile time"),
        }
    }

    /// Equality in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8; N]) -> bool {
        self.expose().ct_eq(other).into()
    }
}
