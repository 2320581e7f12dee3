//! Grants: approved requests, as the log proves them.
//!
//! [`Terms`] is what an approval gives and the log records in the slot `grant` of `access.approved`.
//! [`Grant`] is read back from that entry alone: an edited request or grant row changes nothing.

use serde::{Deserialize, Serialize};

use super::decision::{Approve, Authorized};
use super::denial::Denial;
use super::request::Request;
use super::scope::{Limits, Rights, Scope};
use crate::audit::entry::AccessApproved;
use crate::audit::evidence::Recorded;
use crate::audit::slot::SlotName;
use crate::ids::{CollectionId, GrantId, PersonId, RequestId};
use crate::privacy::policy::CollectionPolicy;
use crate::time::Timestamp;

/// What a grant gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The grant.
    pub grant: GrantId,
    /// The request it answers.
    pub request: RequestId,
    /// The collection of all its records.
    pub collection: CollectionId,
    /// To whom.
    pub requester: PersonId,
    /// By whom.
    pub approver: PersonId,
    /// For which records.
    pub scope: Scope,
    /// For which purpose.
    pub purpose: String,
    /// With which rights.
    pub rights: Rights,
    /// Within which bounds.
    pub limits: Limits,
    /// When it was given.
    pub approved_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Terms {
    /// What approving `request` gives: what was asked for, within the collection's longest time.
    #[must_use]
    pub fn approving(
        authorised: &Authorized<Approve>,
        id: GrantId,
        request: &Request,
        policy: &CollectionPolicy,
        now: Timestamp,
    ) -> Self {
        let longest = now.plus(policy.access.longest_grant());
        Self {
            grant: id,
            request: request.id,
            collection: request.collection,
            requester: request.requester,
            approver: authorised.person(),
            scope: request.scope.clone(),
            purpose: request.purpose.clone(),
            rights: request.rights,
            limits: request.limits,
            approved_at: now,
            expires_at: request.until.map_or(longest, |until| until.min(longest)),
        }
    }

    /// The value of the entry's slot: canonical JSON.
    #[must_use]
    pub fn to_slot(&self) -> String {
        super::canonical(self)
    }
}

/// A grant that the log proves was given by a second person. Whether it has been taken away since is
/// for the caller to know (the log's later entries, restrictions).
#[derive(Clone, Debug)]
pub struct Grant(Terms);

impl Grant {
    /// Reads the grant out of its entry. An entry in which somebody approves their own request gives nothing.
    pub fn from_evidence(evidence: &Recorded<AccessApproved>) -> Result<Self, Denial> {
        let slot = evidence.slot(SlotName::Grant).ok_or(Denial::NotInLog)?;
        let terms: Terms = serde_json::from_str(slot).map_err(|_| Denial::NotInLog)?;
        if terms.approver == terms.requester {
            return Err(Denial::NotInLog);
        }
        Ok(Self(terms))
    }

    /// What it gives.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.0
    }

    /// Whether it has not ended by itself.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.0.approved_at <= now.plus(super::decision::SKEW) && now < self.0.expires_at
    }

    /// For tests elsewhere in the crate, which have no log.
    #[cfg(test)]
    pub(crate) const fn for_test(terms: Terms) -> Self {
        Self(terms)
    }
}
