//! The text of bearer tokens, and what the log says of one.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vault_api::names::TOKEN_PREFIX;
use vault_core::access::person::Narrowing;
use vault_core::access::role::Role;
use vault_core::audit::entry::EntryKind;
use vault_core::audit::evidence::Recorded;
use vault_core::audit::slot::SlotName;
use vault_core::ids::{PersonId, TokenId};
use vault_core::time::Timestamp;
use vault_fields::authorization::{SECRET_CHARS, is_secret};
use zeroize::Zeroizing;

use crate::store::people::TokenRow;

/// A bearer token's text, wiped when dropped: `fv_` and 43 characters of base64url.
pub struct TokenText(Zeroizing<String>);

/// Text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken;

impl TokenText {
    /// A fresh one, from the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        vault_core::random::fill(secret.as_mut_slice());
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_PREFIX.len() + SECRET_CHARS));
        text.push_str(TOKEN_PREFIX);
        URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut text);
        Self(text)
    }

    /// SHA-256 of the text. The text has 256 random bits, so a plain hash cannot be searched.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn show(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenText {
    type Err = NotAToken;
    /// Only the one spelling of 256 bits: spare bits of the last character are zero.
    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let secret = text.strip_prefix(TOKEN_PREFIX).ok_or(NotAToken)?;
        if is_secret(secret) { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(NotAToken) }
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// What a token is, as the log records it in the slot `token` of `token.issued`: a row that says otherwise, or has no
/// such entry, opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTerms {
    /// The token.
    pub token: TokenId,
    /// Whom it stands for.
    pub person: PersonId,
    /// SHA-256 of its text, hex.
    pub sha256: String,
    /// What it narrows its person's roles to.
    #[serde(default)]
    pub narrowing: Narrowing,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Who issued it; `None` for the first tokens, made with the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<PersonId>,
    /// The second administrator who confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<PersonId>,
}

impl TokenTerms {
    /// Whether the token carries `role`. Whoever hands a token out could keep it and act as its holder: so a token
    /// that one administrator issued carries only the roles that one administrator may give.
    #[must_use]
    pub fn carries(&self, role: Role) -> bool {
        match (self.issued_by, self.confirmed_by) {
            (None, _) => true,
            (Some(one), Some(two)) if one != two => true,
            (Some(_), _) => !role.needs_second_person(),
        }
    }

    /// What the row says was issued.
    #[must_use]
    pub fn of(row: &TokenRow) -> Self {
        Self {
            issued_by: row.issued_by,
            confirmed_by: None,
            token: row.id,
            person: row.person,
            sha256: hex::encode(row.hash),
            narrowing: row.narrowing.clone(),
            expires_at: row.expires_at,
        }
    }

    /// Whether both tell of the same token, confirmed or not.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        Self { confirmed_by: None, ..self.clone() } == Self { confirmed_by: None, ..other.clone() }
    }

    /// The value of the entry's slot.
    #[must_use]
    pub fn to_slot(&self) -> String {
        // Serialising text, lists of text and times cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads them back out of the entry, of `token.issued` or `token.confirmed`.
    #[must_use]
    pub fn from_evidence<E: EntryKind>(evidence: &Recorded<E>) -> Option<Self> {
        serde_json::from_str(evidence.slot(SlotName::Token)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_fv_and_43_characters_and_no_two_are_alike() {
        let (one, two) = (TokenText::generate(), TokenText::generate());
        assert_eq!(one.show().len(), 3 + SECRET_CHARS);
        assert_ne!(one.show(), two.show());
        let read: TokenText = one.show().parse().unwrap();
        assert_eq!(read.hash(), one.hash());
        assert!(!format!("{one:?}").contains(&one.show()[3..]));
    }

    #[test]
    fn only_one_spelling_is_a_token() {
        let zero = format!("fv_{}", "A".repeat(43));
        assert!(zero.parse::<TokenText>().is_ok());
        for other in [
            String::new(),
            "A".repeat(43),
            format!("fv_{}", "A".repeat(42)),
            format!("fv_{}", "A".repeat(44)),
            format!("fv_{}B", "A".repeat(42)),
            format!("fv_{}=", "A".repeat(43)),
            format!("FV_{}", "A".repeat(43)),
            format!("fv_{}+", "A".repeat(42)),
            format!("{zero} "),
        ] {
            assert_eq!(other.parse::<TokenText>().map(|_| ()), Err(NotAToken), "{other}");
        }
    }
}
