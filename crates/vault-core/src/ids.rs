//! Identifiers: UUIDv7 (RFC 9562) behind a type for each thing, and collection names.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// Text that is not an identifier of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier made at `now`; 74 of its bits are random.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                let bytes = crate::random::array::<10>();
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
            }

            /// From the sixteen bytes of a UUID, as the database or a format holds them.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The sixteen bytes, as bound into associated data.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            /// Only the canonical form: 36 characters, lower case, hyphens.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let id = Uuid::try_parse(text).map_err(|_| InvalidId)?;
                if id.as_hyphenated().to_string() == text { Ok(Self(id)) } else { Err(InvalidId) }
            }
        }
    )*};
}

id! {
    /// A collection: the unit of isolation.
    CollectionId;
    /// A record: one piece of feedback.
    RecordId;
    /// One encrypted blob of a record.
    ObjectId;
    /// An upload under way.
    UploadId;
    /// A person or machine that may hold roles.
    PersonId;
    /// A role held by a person.
    BindingId;
    /// A bearer token.
    TokenId;
    /// An access request.
    RequestId;
    /// A grant: an approved access request.
    GrantId;
    /// A playback session.
    SessionId;
    /// A keyring: the file (or token, or service) that holds a vault's root keys.
    KeyringId;
    /// A resume key: one a day.
    ResumeKeyId;
    /// The destruction of a key: asked for, confirmed, done or cancelled.
    DestructionId;
    /// A backup that was made.
    BackupId;
    /// A restore of a backup.
    RestoreId;
    /// A re-encryption: recordings that are to be written again under fresh keys.
    ReencryptionId;
    /// One attempt to write one recording again.
    RewriteId;
}

impl CollectionId {
    /// The vault itself, as the owner of keys that belong to no collection: the staff audit key
    /// for vault-wide entries. The nil UUID, which no `new` ever makes.
    pub const VAULT: Self = Self(Uuid::nil());
}

/// A collection's name in addresses: `[a-z0-9][a-z0-9-]{0,62}`.
///
/// ```
/// use vault_core::ids::CollectionName;
///
/// assert!("customer-voices-2026".parse::<CollectionName>().is_ok());
/// assert!("../etc".parse::<CollectionName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CollectionName(String);

impl CollectionName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CollectionName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        match text.as_bytes() {
            [first, rest @ ..]
                if allowed(*first) && rest.len() <= 62 && rest.iter().all(|c| allowed(*c) || *c == b'-') =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_version_7_sorted_by_time_and_read_back() {
        let early = RecordId::new(Timestamp::from_millis(1_000));
        let late = RecordId::new(Timestamp::from_millis(2_000));
        assert!(early < late);
        assert_eq!(early.to_string().as_bytes()[14], b'7');
        assert_eq!(early.to_string().parse(), Ok(early));
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let id = RecordId::new(Timestamp::from_millis(1)).to_string();
        for other in
            [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}"), String::new()]
        {
            if other != id {
                assert_eq!(other.parse::<RecordId>(), Err(InvalidId), "{other}");
            }
        }
    }

    #[test]
    fn collection_names() {
        for good in ["demo", "a", "2026-survey", &"a".repeat(63)] {
            assert!(good.parse::<CollectionName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "Demo", "a b", "a/b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<CollectionName>().is_err(), "{bad}");
        }
    }
}
