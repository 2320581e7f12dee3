//! Randomness from the operating system, the only source the vault uses.

/// Fills `bytes` from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give: a vault that goes on without would make
/// guessable keys.
pub fn fill(bytes: &mut [u8]) {
    if let Err(e) = getrandom::fill(bytes) {
        panic!("the operating system gives no randomness: {e}");
    }
}

/// `N` random bytes that are not secret: nonces, salts, identifiers.
#[must_use]
pub fn array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}
