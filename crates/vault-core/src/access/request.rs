//! Access requests: what was asked for, and the states it goes through.

use serde::Serialize;

use super::denial::Denial;
use super::scope::{Limits, MAX_RECORDS_PER_DAY, Right, Rights, Scope};
use crate::audit::entry::AccessRequested;
use crate::audit::evidence::Recorded;
use crate::audit::slot::SlotName;
use crate::ids::{CollectionId, PersonId, RequestId};
use crate::privacy::policy::CollectionPolicy;
use crate::time::Timestamp;

/// How long a request waits for a decision before it expires by itself.
pub const WAITS: core::time::Duration = core::time::Duration::from_secs(14 * 24 * 3600);

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits for an approver.
    Pending,
    /// Approved: there is a grant.
    Approved,
    /// Refused.
    Denied,
    /// Not decided in time, or the grant has run out.
    Expired,
    /// The grant was taken away.
    Revoked,
}

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A second person approves.
    Approve,
    /// A second person refuses.
    Deny,
    /// Its time runs out.
    Expire,
    /// Its grant is taken away.
    Revoke,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Revoked];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }

    /// The state after `event`, if it is legal. Denied, expired and revoked are final.
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Pending, Event::Approve) => Some(Self::Approved),
            (Self::Pending, Event::Deny) => Some(Self::Denied),
            (Self::Pending | Self::Approved, Event::Expire) => Some(Self::Expired),
            (Self::Approved, Event::Revoke) => Some(Self::Revoked),
            _ => None,
        }
    }

    /// The state as it is at `now`, for a request or grant that ends at `until`.
    #[must_use]
    pub fn at(self, now: Timestamp, until: Timestamp) -> Self {
        if now < until { self } else { self.after(Event::Expire).unwrap_or(self) }
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    request: RequestId,
    collection: CollectionId,
    requester: PersonId,
    scope: &'a Scope,
    purpose: &'a str,
    rights: Rights,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

/// An access request, as the database holds it. What counts at redemption is the approval in the log.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request.
    pub id: RequestId,
    /// The collection of all its records.
    pub collection: CollectionId,
    /// Who asks.
    pub requester: PersonId,
    /// For what.
    pub scope: Scope,
    /// For which purpose.
    pub purpose: String,
    /// With which rights.
    pub rights: Rights,
    /// Within which bounds.
    pub limits: Limits,
    /// When it was filed.
    pub created_at: Timestamp,
    /// When the grant is to end, if the requester named a time.
    pub until: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
}

impl Request {
    /// When the request stops waiting for a decision.
    #[must_use]
    pub fn waits_until(&self) -> Timestamp {
        let waits = self.created_at.plus(WAITS);
        self.until.map_or(waits, |until| until.min(waits))
    }

    /// What is asked for, as the log records it in the slot `scope` of `access.requested`: canonical JSON.
    #[must_use]
    pub fn to_slot(&self) -> String {
        super::canonical(&Asked {
            request: self.id,
            collection: self.collection,
            requester: self.requester,
            scope: &self.scope,
            purpose: &self.purpose,
            rights: self.rights,
            limits: self.limits,
            until: self.until,
        })
    }

    /// Whether the log shows that exactly this was asked for. An approver who reads a row must not approve something
    /// that was edited into it.
    pub fn is_as_logged(&self, evidence: &Recorded<AccessRequested>) -> Result<(), Denial> {
        if evidence.slot(SlotName::Scope) == Some(self.to_slot().as_str()) { Ok(()) } else { Err(Denial::NotInLog) }
    }

    /// Whether what it asks for can be granted at all under `policy`. `case_number`: whether it names one.
    pub fn check(&self, policy: &CollectionPolicy, case_number: bool, now: Timestamp) -> Result<(), Denial> {
        if policy.purpose(&self.purpose).is_none() {
            return Err(Denial::PurposeNotAllowed);
        }
        if policy.access.case_number && !case_number {
            return Err(Denial::CaseNumberMissing);
        }
        if !policy.access.rights().include(self.rights) {
            return Err(Denial::RightNotGiven);
        }
        if self.until.is_some_and(|until| until <= now) {
            return Err(Denial::ScopeNotAllowed);
        }
        if self.limits.sessions == Some(0) || self.limits.records_per_day == Some(0) {
            return Err(Denial::ScopeNotAllowed);
        }
        if self.scope.is_standing() {
            if self.rights.has(Right::Export) {
                return Err(Denial::RightNotGiven);
            }
            // Its days are bounded by the collection's longest grant, whatever the requester names.
            if self.limits.records_per_day.is_none_or(|most| most > MAX_RECORDS_PER_DAY) {
                return Err(Denial::ScopeNotAllowed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::scope::tests::facts;
    use crate::audit::entry::Draft;
    use crate::audit::evidence::testing::recorded;
    use crate::audit::slot::{OpeningKeys, OpeningUnder};
    use crate::keys::hierarchy::StaffAuditKey;
    use crate::privacy::policy::tests::very_high;

    fn request() -> Request {
        Request {
            id: RequestId::from_bytes([3; 16]),
            collection: CollectionId::from_bytes([7; 16]),
            requester: PersonId::from_bytes([1; 16]),
            scope: Scope::Record(facts(1).id),
            purpose: "service-improvement".into(),
            rights: Rights::VIEW,
            limits: Limits::default(),
            created_at: Timestamp::from_millis(1_000),
            until: None,
            state: State::Pending,
        }
    }

    #[test]
    fn an_edited_request_is_not_the_one_in_the_log() {
        let staff = StaffAuditKey::generate();
        let draft = Draft::<AccessRequested>::new(Timestamp::from_millis(1_000));
        let draft = draft.slot(SlotName::Scope, request().to_slot(), OpeningUnder::Staff);
        let evidence = recorded(draft.prepare(&OpeningKeys { staff: &staff, record: None }).unwrap()).unwrap();
        assert_eq!(request().is_as_logged(&evidence), Ok(()));
        let edits: [fn(&mut Request); 5] = [
            |r| r.requester = PersonId::from_bytes([2; 16]),
            |r| r.scope = Scope::Record(facts(2).id),
            |r| r.rights = Rights::EXPORT,
            |r| r.purpose = "complaint-handling".into(),
            |r| r.limits.sessions = Some(9),
        ];
        for edit in edits {
            let mut edited = request();
            edit(&mut edited);
            assert_eq!(edited.is_as_logged(&evidence), Err(Denial::NotInLog));
        }
    }

    #[test]
    fn what_cannot_be_granted_cannot_be_asked_for() {
        let now = Timestamp::from_millis(1_000);
        let policy = very_high();
        let outcome = |change: fn(&mut Request)| {
            let mut request = request();
            change(&mut request);
            request.check(&policy, false, now)
        };
        let standing = |r: &mut Request| {
            r.scope = Scope::Standing(crate::access::scope::Filter::default());
            r.limits.records_per_day = Some(60);
        };
        assert_eq!(outcome(|_| ()), Ok(()));
        let mut one = request();
        standing(&mut one);
        assert_eq!(one.check(&policy, false, now), Ok(()));
        for change in [
            (|r: &mut Request| r.rights = Rights::EXPORT) as fn(&mut Request),
            |r| r.limits.records_per_day = None,
            |r| r.limits.records_per_day = Some(MAX_RECORDS_PER_DAY + 1),
        ] {
            let mut changed = one.clone();
            change(&mut changed);
            assert!(changed.check(&policy, false, now).is_err());
        }
        assert_eq!(outcome(|r| r.purpose = "advertising".into()), Err(Denial::PurposeNotAllowed));
        assert_eq!(outcome(|r| r.until = Some(Timestamp::from_millis(1_000))), Err(Denial::ScopeNotAllowed));
        assert_eq!(outcome(|r| r.limits.sessions = Some(0)), Err(Denial::ScopeNotAllowed));
        let mut strict = very_high();
        strict.access.case_number = true;
        strict.access.rights = vec![Right::View];
        assert_eq!(request().check(&strict, false, now), Err(Denial::CaseNumberMissing));
        let export = Request { rights: Rights::EXPORT, ..request() };
        assert_eq!(export.check(&strict, true, now), Err(Denial::RightNotGiven));
    }

    #[test]
    fn only_these_transitions_are_legal() {
        let legal = [
            (State::Pending, Event::Approve, State::Approved),
            (State::Pending, Event::Deny, State::Denied),
            (State::Pending, Event::Expire, State::Expired),
            (State::Approved, Event::Expire, State::Expired),
            (State::Approved, Event::Revoke, State::Revoked),
        ];
        for from in State::ALL {
            for event in [Event::Approve, Event::Deny, Event::Expire, Event::Revoke] {
                let expected = legal.iter().find(|(f, e, _)| (*f, *e) == (from, event)).map(|(_, _, to)| *to);
                assert_eq!(from.after(event), expected, "{from:?} {event:?}");
            }
        }
    }

    #[test]
    fn what_is_final_does_not_expire() {
        let (before, at) = (Timestamp::from_millis(9), Timestamp::from_millis(10));
        assert_eq!(State::Approved.at(before, at), State::Approved);
        assert_eq!(State::Approved.at(at, at), State::Expired);
        assert_eq!(State::Pending.at(at, at), State::Expired);
        for state in [State::Denied, State::Revoked, State::Expired] {
            assert_eq!(state.at(at, at), state);
        }
    }
}
