//! A type for each key, so that a record key cannot be used where a KEK belongs.
//!
//! None of them can be copied, printed, compared or serialised; their bytes never leave the crate.
//! They come from [`generate`](Kek::generate), from [`derive`](super::derive) or out of a wrap.

use crate::secret::Secret;

macro_rules! key {
    ($($(#[$doc:meta])* $name:ident $($generate:ident)?;)*) => {$(
        $(#[$doc])*
        pub struct $name(Secret<32>);

        impl $name {
            $(
                /// A fresh key from the operating system's random generator.
                #[must_use]
                pub fn $generate() -> Self {
                    Self(Secret::generate())
                }
            )?

            pub(crate) const fn from_secret(secret: Secret<32>) -> Self {
                Self(secret)
            }

            pub(crate) const fn secret(&self) -> &Secret<32> {
                &self.0
            }
        }
    )*};
}

key! {
    /// The root of one epoch: wraps KEKs and the log seed, nothing else.
    RootKey generate;
    /// A key-encryption key: one version of one collection's.
    Kek generate;
    /// The key of one record, random. All that belongs to the record dies with it.
    RecordKey generate;
    /// The key of one object, derived from its record key. Nothing is encrypted under it directly:
    /// see [`StreamKey`] and [`TailKey`].
    ObjectKey;
    /// FLOE's message key of one object.
    StreamKey;
    /// Seals the unfinished segment of an upload between two requests.
    TailKey;
    /// Seals a record's identifiers, filename, consent, and the log openings about it.
    FieldKey;
    /// Seals the log openings that name staff, one for each collection and one for the vault.
    StaffAuditKey generate;
    /// Makes pseudonyms of data subjects; encrypts nothing.
    SubjectKey generate;
    /// Half of what wraps the record keys of uploads under way; one a day.
    ResumeKey generate;
    /// Seals resume keys in their directory.
    IngestSecret generate;
    /// The Ed25519 seed that signs the audit log's checkpoints.
    LogSeed generate;
    /// Authenticates the rows of the log's outbox; derived from the log seed.
    OutboxKey;
}
