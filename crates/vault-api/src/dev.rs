//! `dev.json`: what `vault-server dev` writes beside its data, so that scripts and people can begin.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::roles::Role;

/// The persons and machines of a vault for trying out, by the names under which `tokens` has them, and the one role
/// of each. Two administrators, so that a role which takes two persons to give can be given.
pub const PEOPLE: [(&str, Role); 9] = [
    ("uploader", Role::Uploader),
    ("analyst", Role::Analyst),
    ("approver", Role::Approver),
    ("approver-2", Role::Approver),
    ("key-officer", Role::KeyOfficer),
    ("key-officer-2", Role::KeyOfficer),
    ("auditor", Role::Auditor),
    ("administrator", Role::Administrator),
    ("administrator-2", Role::Administrator),
];

/// Addresses and logins of a vault for trying out. It holds tokens: readable by its owner only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevFile {
    /// Where the public interface listens, without a trailing slash.
    pub url: String,
    /// Where health, metrics and unsealing listen.
    pub admin_url: String,
    /// The name of the sample collection.
    pub collection: String,
    /// SHA-256 of the sample collection's notice, lower-case hex: what a consent must name.
    pub notice_sha256: String,
    /// The log's verifier key as in c2sp.org/signed-note: `name+hash+base64`.
    pub log_public_key: String,
    /// One token for each person or machine of the sample, by its name in [`PEOPLE`].
    pub tokens: BTreeMap<String, String>,
}

impl fmt::Debug for DevFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevFile").field("url", &self.url).field("collection", &self.collection).finish_non_exhaustive()
    }
}
