//! Decisions, and the evidence they leave: an [`Authorized`] act that only these checks can make.

use core::time::Duration;

use super::binding::{Binding, NotGivable, Terms as BindingTerms, compatible};
use super::caller::Caller;
use super::denial::Denial;
use super::grant::Grant;
use super::person::Place;
use super::request::{Request, State};
use super::role::{Action, Role};
use super::scope::{RecordFacts, Right, Rights};
use crate::audit::entry::{AccessApproved, RoleGranted};
use crate::audit::evidence::Recorded;
use crate::ids::{BindingId, CollectionId, GrantId, PersonId, RecordId, RequestId};
use crate::privacy::policy::CollectionPolicy;
use crate::time::Timestamp;

/// How far clocks of two nodes may differ before an approval "from the future" is refused.
pub const SKEW: Duration = Duration::from_secs(120);

mod sealed {
    pub trait Sealed {}
}

/// An act that needs authorisation.
pub trait Act: sealed::Sealed {
    /// The action in the matrix.
    const ACTION: Action;
    /// What the check established beside who and where.
    type Detail;
}

/// An act that a role alone allows.
pub trait ByRole: Act<Detail = ()> {}

/// Proof that a check in this module allowed the act `A`. It cannot be made, copied or stored elsewhere.
#[must_use = "an authorisation is for an act"]
pub struct Authorized<A: Act> {
    person: PersonId,
    detail: A::Detail,
}

impl<A: Act> core::fmt::Debug for Authorized<A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Authorized").field("action", &A::ACTION.name()).finish_non_exhaustive()
    }
}

impl<A: Act> Authorized<A> {
    /// Who was authorised.
    #[must_use]
    pub const fn person(&self) -> PersonId {
        self.person
    }

    /// What the check established.
    #[must_use]
    pub const fn detail(&self) -> &A::Detail {
        &self.detail
    }
}

macro_rules! by_role {
    ($($(#[$doc:meta])* $name:ident => $action:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Act for $name {
            const ACTION: Action = Action::$action;
            type Detail = ();
        }
        impl ByRole for $name {}
    )*};
}

by_role! {
    /// Start an upload.
    Upload => UploadCreate;
    /// File an access request.
    AskAccess => AccessRequest;
    /// Take a grant away.
    RevokeAccess => AccessRevoke;
    /// Make a collection.
    CreateCollection => CollectionCreate;
    /// Let a collection take recordings.
    OpenCollection => CollectionOpen;
    /// Stop a collection.
    SuspendCollection => CollectionSuspend;
    /// Enter a person or machine.
    AddPerson => PersonAdd;
    /// Propose a role.
    ProposeRole => RolePropose;
    /// Take a role away.
    RevokeRole => RoleRevoke;
    /// Issue a token.
    IssueToken => TokenIssue;
    /// Take a token away.
    RevokeToken => TokenRevoke;
    /// Rotate a collection's key.
    RotateKey => KeyRotate;
    /// Destroy a key version.
    DestroyKey => KeyDestroy;
    /// Rotate the root key.
    RotateRoot => RootRotate;
    /// Erase a record.
    EraseRecord => RecordErase;
}

/// Decide on an access request.
#[derive(Debug)]
pub enum Approve {}
impl sealed::Sealed for Approve {}
impl Act for Approve {
    const ACTION: Action = Action::AccessDecide;
    type Detail = RequestId;
}

/// Bring a role into force.
#[derive(Debug)]
pub enum GiveRole {}
impl sealed::Sealed for GiveRole {}
impl Act for GiveRole {
    const ACTION: Action = Action::RoleConfirm;
    type Detail = BindingTerms;
}

/// Open a playback session.
#[derive(Debug)]
pub enum Play {}
impl sealed::Sealed for Play {}
impl Act for Play {
    const ACTION: Action = Action::PlaybackOpen;
    type Detail = PlayTerms;
}

/// What redeeming a grant established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayTerms {
    /// The grant redeemed.
    pub grant: GrantId,
    /// Its request.
    pub request: RequestId,
    /// The binding that makes the caller an analyst.
    pub binding: BindingId,
    /// The collection.
    pub collection: CollectionId,
    /// The record to be played.
    pub record: RecordId,
    /// For which purpose.
    pub purpose: String,
    /// The rights the grant gives.
    pub rights: Rights,
    /// When the first of grant, role, consent, retention and session length ends.
    pub ends_at: Timestamp,
}

/// Whether `caller` may do `action` at a place that names nothing: a list, a creation, the vault itself.
pub fn permit(caller: &Caller, action: Action, place: Place) -> Result<&Binding, Denial> {
    caller.holds(action, place).ok_or(Denial::Forbidden)
}

/// Whether `caller` may do `action` on a named thing at `place`; it looks absent to whoever may not see it.
pub fn permit_on(caller: &Caller, action: Action, place: Place) -> Result<&Binding, Denial> {
    caller.holds(action, place).ok_or_else(|| {
        let seen = !action.conceals() || caller.holds(action.visible_by(), place).is_some();
        if seen { Denial::Forbidden } else { Denial::Absent }
    })
}

/// Authorises an act that a role alone allows.
pub fn authorise<A: ByRole>(caller: &Caller, place: Place) -> Result<Authorized<A>, Denial> {
    permit(caller, A::ACTION, place)?;
    Ok(Authorized { person: caller.person(), detail: () })
}

/// Authorises an act on a named thing that a role alone allows.
pub fn authorise_on<A: ByRole>(caller: &Caller, place: Place) -> Result<Authorized<A>, Denial> {
    permit_on(caller, A::ACTION, place)?;
    Ok(Authorized { person: caller.person(), detail: () })
}

/// Authorises deciding on `request`, for or against: an approver of its collection who is not the requester.
pub fn decide_request(caller: &Caller, request: &Request, now: Timestamp) -> Result<Authorized<Approve>, Denial> {
    permit_on(caller, Action::AccessDecide, Place::Collection(request.collection))?;
    if request.requester == caller.person() {
        return Err(Denial::SelfApproval);
    }
    if request.state.at(now, request.waits_until()) != State::Pending {
        return Err(Denial::AlreadyDecided);
    }
    Ok(Authorized { person: caller.person(), detail: request.id })
}

/// Why a role does not come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleRefused {
    /// The caller may not give it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// Nobody may, like this.
    #[error(transparent)]
    NotGivable(#[from] NotGivable),
}

/// Authorises bringing `terms` into force, the caller being the last of its givers. `held`: the roles the receiver holds already.
pub fn decide_role(caller: &Caller, terms: BindingTerms, held: &[Role]) -> Result<Authorized<GiveRole>, RoleRefused> {
    permit(caller, if terms.confirmed_by.is_some() { Action::RoleConfirm } else { Action::RolePropose }, Place::Vault)?;
    if terms.confirmed_by.or(terms.proposed_by) != Some(caller.person()) {
        return Err(Denial::Forbidden.into());
    }
    if terms.confirmed_by.is_some() && terms.confirmed_by == terms.proposed_by {
        return Err(Denial::SelfApproval.into());
    }
    terms.check()?;
    compatible(terms.role, held)?;
    Ok(Authorized { person: caller.person(), detail: terms })
}

/// How far a grant has been used, as counted in the transaction that opens the session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Sessions opened under it.
    pub sessions: u32,
    /// Different records played under it today (UTC).
    pub records_today: u32,
    /// Whether this record is among them.
    pub this_one_today: bool,
}

/// What the caller asks to play, and the facts to decide by.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The record.
    pub record: &'a RecordFacts,
    /// The right it takes: `export` for the original as a file, else `view`.
    pub right: Right,
    /// How far the grant has been used.
    pub used: Used,
    /// The collection's policy.
    pub policy: &'a CollectionPolicy,
    /// The present moment.
    pub now: Timestamp,
}

/// Authorises a playback: on the approval and the role that the log proves, never on rows.
pub fn decide_play(
    caller: &Caller,
    approval: &Recorded<AccessApproved>,
    role: &Recorded<RoleGranted>,
    ask: Ask<'_>,
) -> Result<Authorized<Play>, Denial> {
    play(caller, &Grant::from_evidence(approval)?, &Binding::from_evidence(role)?, ask)
}

fn play(caller: &Caller, grant: &Grant, analyst: &Binding, ask: Ask<'_>) -> Result<Authorized<Play>, Denial> {
    let Ask { record, right, used, policy, now } = ask;
    let terms = grant.terms();
    let place = Place::Collection(terms.collection);
    if terms.requester != caller.person() {
        return Err(Denial::Absent);
    }
    permit_on(caller, Action::PlaybackOpen, place)?;
    if caller.configures_or_holds_keys() {
        return Err(Denial::Forbidden);
    }
    let is_theirs = analyst.person() == caller.person() && analyst.role().may(Action::PlaybackOpen);
    if !is_theirs || !analyst.reaches(place) || !analyst.in_force(now) {
        return Err(Denial::NotInLog);
    }
    if !grant.in_force(now) {
        return Err(Denial::GrantNotInForce);
    }
    let covered = record.collection == terms.collection && terms.scope.covers(record) && terms.rights.has(right);
    if !covered {
        return Err(Denial::GrantNotCovering);
    }
    if !record.available || record.retain_until.is_some_and(|end| end <= now) {
        return Err(Denial::RecordNotAvailable);
    }
    let purpose = policy.purpose(&terms.purpose).ok_or(Denial::PurposeNotAllowed)?;
    if purpose.basis.is_consent() {
        let named = record.consented.contains(&terms.purpose);
        if !named || record.consent_expires_at.is_some_and(|end| end <= now) {
            return Err(Denial::ConsentNotCovering);
        }
    }
    let sessions_left = terms.limits.sessions.is_none_or(|most| used.sessions < most);
    let records_left = terms.limits.records_per_day.is_none_or(|most| used.this_one_today || used.records_today < most);
    if !sessions_left || !records_left {
        return Err(Denial::GrantExhausted);
    }
    let consent_ends = if purpose.basis.is_consent() { record.consent_expires_at } else { None };
    let ends = [analyst.until(), consent_ends, record.retain_until, Some(now.plus(policy.access.session()))];
    Ok(Authorized {
        person: caller.person(),
        detail: PlayTerms {
            grant: terms.grant,
            request: terms.request,
            binding: analyst.id(),
            collection: terms.collection,
            record: record.id,
            purpose: terms.purpose.clone(),
            rights: terms.rights,
            ends_at: ends.into_iter().flatten().fold(terms.expires_at, Timestamp::min),
        },
    })
}

#[cfg(test)]
mod tests;
