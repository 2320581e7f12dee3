//! The types an entry can have.

use core::fmt::Debug;

mod sealed {
    /// Keeps [`super::EntryKind`] to the types of this module.
    pub trait Sealed {}
}

/// A type of entry, as a type: `Recorded<PlaybackOpened>` cannot stand where
/// `Recorded<AccessApproved>` belongs.
pub trait EntryKind: sealed::Sealed + Send + Sync + Debug + 'static {
    /// The value of `type` in the entry.
    const TYPE: &'static str;
    /// The same as a value.
    const KIND: Kind;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A type of entry, as a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every type there is, in the order of `docs/audit-log.md`.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The value of `type` in the entry.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The type written `text`, if there is one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name;

            impl sealed::Sealed for $name {}

            impl EntryKind for $name {
                const TYPE: &'static str = $text;
                const KIND: Kind = Kind::$name;
            }
        )*
    };
}

kinds! {
    /// The first entry of a log: its origin and, for a successor log, its predecessor.
    LogStarted = "log.started";
    /// A person or machine was entered.
    PersonAdded = "person.added";
    /// A person or machine was disabled: no token of theirs works any more.
    PersonDisabled = "person.disabled";
    /// A role was proposed that a second administrator has to confirm.
    RoleProposed = "role.proposed";
    /// A role was given to a person.
    RoleGranted = "role.granted";
    /// A role was taken from a person.
    RoleRevoked = "role.revoked";
    /// A bearer token was issued.
    TokenIssued = "token.issued";
    /// A second administrator confirmed a token: from now on it carries every role of its holder.
    TokenConfirmed = "token.confirmed";
    /// A bearer token was revoked.
    TokenRevoked = "token.revoked";
    /// A token's first use in an hour.
    TokenUsed = "token.used";
    /// A collection was created.
    CollectionCreated = "collection.created";
    /// A collection changed its state.
    CollectionStateChanged = "collection.state";
    /// A recording was received whole and adopted.
    UploadCompleted = "upload.completed";
    /// A completed upload was refused and removed.
    UploadRejected = "upload.rejected";
    /// Access to records was asked for.
    AccessRequested = "access.requested";
    /// A request was approved: a grant exists.
    AccessApproved = "access.approved";
    /// A request was refused.
    AccessDenied = "access.denied";
    /// A grant was revoked.
    AccessRevoked = "access.revoked";
    /// A caller was refused an act.
    DecisionDenied = "decision.denied";
    /// A playback session was opened; the whole representation is presumed disclosed.
    PlaybackOpened = "playback.opened";
    /// A playback session ended; says which ranges were served.
    PlaybackClosed = "playback.closed";
    /// A key version was made, rotated, deactivated, marked compromised or destroyed.
    KeyOperation = "key.operation";
    /// The root key was rotated or an epoch destroyed.
    RootOperation = "root.operation";
    /// The database was restored from a backup, or somebody confirmed that it may be used like any other.
    VaultRestored = "vault.restored";
    /// A job is about to read a recording, to write it again under a fresh key.
    RecordReencrypting = "record.reencrypting";
    /// A recording was written again under a fresh key, which took the place of the former one.
    RecordReencrypted = "record.reencrypted";
    /// A record was erased; lists the openings that went with it.
    RecordErased = "record.erased";
    /// Openings were erased without their record: retention of staff data ended.
    OpeningsErased = "openings.erased";
    /// Damage or tampering was found.
    FindingReported = "finding.reported";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_and_no_two_share_a_name() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
            assert!(Kind::ALL.iter().skip(i + 1).all(|other| other.as_str() != kind.as_str()));
        }
        assert_eq!(Kind::parse("playback"), None);
        assert_eq!(PlaybackOpened::TYPE, PlaybackOpened::KIND.as_str());
    }
}
