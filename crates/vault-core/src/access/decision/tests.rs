use super::*;
use crate::access::grant::Terms as GrantTerms;
use crate::access::person::Narrowing;
use crate::access::scope::{Limits, Scope, tests::facts};
use crate::privacy::policy::tests::very_high;

const HERE: CollectionId = CollectionId::from_bytes([7; 16]);
const THERE: CollectionId = CollectionId::from_bytes([8; 16]);
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

fn person(n: u8) -> PersonId {
    PersonId::from_bytes([n; 16])
}

fn binding(n: u8, role: Role, collection: Option<CollectionId>) -> Binding {
    Binding::for_test(BindingTerms {
        binding: BindingId::from_bytes([n; 16]),
        person: person(n),
        kind: role.held_by(),
        role,
        collection,
        proposed_by: None,
        confirmed_by: None,
        until: None,
    })
}

fn caller(n: u8, roles: &[Role]) -> Caller {
    Caller::new(person(n), roles.iter().map(|role| binding(n, *role, Some(HERE))).collect(), Narrowing::default())
}

fn request(by: u8) -> Request {
    Request {
        id: RequestId::from_bytes([3; 16]),
        collection: HERE,
        requester: person(by),
        scope: Scope::Record(facts(1).id),
        purpose: "service-improvement".into(),
        rights: Rights::VIEW,
        limits: Limits::default(),
        created_at: NOW,
        until: None,
        state: State::Pending,
    }
}

fn granted(change: impl FnOnce(&mut GrantTerms)) -> Grant {
    let mut terms = GrantTerms {
        grant: GrantId::from_bytes([4; 16]),
        request: RequestId::from_bytes([3; 16]),
        collection: HERE,
        requester: person(1),
        approver: person(2),
        scope: Scope::Record(facts(1).id),
        purpose: "service-improvement".into(),
        rights: Rights::VIEW,
        limits: Limits::default(),
        approved_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(3600)),
    };
    change(&mut terms);
    Grant::for_test(terms)
}

fn try_play(
    caller: &Caller,
    grant: &Grant,
    change: impl FnOnce(&mut RecordFacts, &mut Ask<'_>),
) -> Result<PlayTerms, Denial> {
    let policy = very_high();
    let mut record = facts(1);
    let blank = facts(1);
    let mut ask = Ask { record: &blank, right: Right::View, used: Used::default(), policy: &policy, now: NOW };
    change(&mut record, &mut ask);
    let ask = Ask { record: &record, ..ask };
    play(caller, grant, &binding(1, Role::Analyst, Some(HERE)), ask).map(|authorised| authorised.detail)
}

#[test]
fn an_approved_analyst_plays_until_the_first_end() {
    let terms = try_play(&caller(1, &[Role::Analyst]), &granted(|_| ()), |_, _| ()).unwrap();
    assert_eq!(terms.ends_at, NOW.plus(very_high().access.session()));
    let soon = NOW.plus(Duration::from_secs(5));
    let terms = try_play(&caller(1, &[Role::Analyst]), &granted(|g| g.expires_at = soon), |_, _| ()).unwrap();
    assert_eq!(terms.ends_at, soon);
    let terms =
        try_play(&caller(1, &[Role::Analyst]), &granted(|_| ()), |r, _| r.consent_expires_at = Some(soon)).unwrap();
    assert_eq!(terms.ends_at, soon);
}

#[test]
fn p5_every_missing_piece_refuses_a_playback() {
    let analyst = caller(1, &[Role::Analyst]);
    let cases: Vec<(&str, Denial, Result<PlayTerms, Denial>)> = vec![
        ("another's grant", Denial::Absent, try_play(&analyst, &granted(|g| g.requester = person(5)), |_, _| ())),
        ("no role", Denial::Absent, try_play(&caller(1, &[]), &granted(|_| ()), |_, _| ())),
        ("an approver's role", Denial::Forbidden, try_play(&caller(1, &[Role::Approver]), &granted(|_| ()), |_, _| ())),
        (
            "an administrator beside",
            Denial::Forbidden,
            try_play(&caller(1, &[Role::Analyst, Role::Administrator]), &granted(|_| ()), |_, _| ()),
        ),
        (
            "a key officer beside",
            Denial::Forbidden,
            try_play(&caller(1, &[Role::Analyst, Role::KeyOfficer]), &granted(|_| ()), |_, _| ()),
        ),
        ("ended", Denial::GrantNotInForce, try_play(&analyst, &granted(|g| g.expires_at = NOW), |_, _| ())),
        (
            "from the future",
            Denial::GrantNotInForce,
            try_play(&analyst, &granted(|g| g.approved_at = NOW.plus(Duration::from_secs(600))), |_, _| ()),
        ),
        (
            "another record",
            Denial::GrantNotCovering,
            try_play(&analyst, &granted(|g| g.scope = Scope::Record(facts(2).id)), |_, _| ()),
        ),
        (
            "another collection",
            Denial::GrantNotCovering,
            try_play(&analyst, &granted(|_| ()), |r, _| r.collection = THERE),
        ),
        ("no export", Denial::GrantNotCovering, try_play(&analyst, &granted(|_| ()), |_, a| a.right = Right::Export)),
        ("not available", Denial::RecordNotAvailable, try_play(&analyst, &granted(|_| ()), |r, _| r.available = false)),
        (
            "past retention",
            Denial::RecordNotAvailable,
            try_play(&analyst, &granted(|_| ()), |r, _| r.retain_until = Some(NOW)),
        ),
        (
            "a purpose since removed",
            Denial::PurposeNotAllowed,
            try_play(&analyst, &granted(|g| g.purpose = "advertising".into()), |_, _| ()),
        ),
        (
            "consent for something else",
            Denial::ConsentNotCovering,
            try_play(&analyst, &granted(|_| ()), |r, _| r.consented = vec!["complaint-handling".into()]),
        ),
        (
            "consent ended",
            Denial::ConsentNotCovering,
            try_play(&analyst, &granted(|_| ()), |r, _| r.consent_expires_at = Some(NOW)),
        ),
        (
            "sessions used up",
            Denial::GrantExhausted,
            try_play(&analyst, &granted(|g| g.limits.sessions = Some(1)), |_, a| a.used.sessions = 1),
        ),
        (
            "records of the day used up",
            Denial::GrantExhausted,
            try_play(&analyst, &granted(|g| g.limits.records_per_day = Some(2)), |_, a| a.used.records_today = 2),
        ),
    ];
    for (name, expected, got) in cases {
        assert_eq!(got, Err(expected), "{name}");
    }
}

#[test]
fn a_record_seen_today_may_be_seen_again_when_the_day_is_full() {
    let full = |_: &mut RecordFacts, a: &mut Ask<'_>| {
        a.used = Used { sessions: 2, records_today: 2, this_one_today: true };
    };
    assert!(try_play(&caller(1, &[Role::Analyst]), &granted(|g| g.limits.records_per_day = Some(2)), full).is_ok());
}

#[test]
fn p5_nobody_decides_on_their_own_request_by_whatever_token() {
    let both = caller(1, &[Role::Analyst, Role::Approver]);
    assert_eq!(decide_request(&both, &request(1), NOW).unwrap_err(), Denial::SelfApproval);
    assert!(decide_request(&both, &request(2), NOW).is_ok());
    assert_eq!(decide_request(&caller(1, &[]), &request(2), NOW).unwrap_err(), Denial::Absent);
    assert_eq!(decide_request(&caller(1, &[Role::Auditor]), &request(2), NOW).unwrap_err(), Denial::Forbidden);
    for state in [State::Approved, State::Denied, State::Expired, State::Revoked] {
        let decided = Request { state, ..request(2) };
        assert_eq!(decide_request(&both, &decided, NOW).unwrap_err(), Denial::AlreadyDecided);
    }
    let late = NOW.plus(crate::access::request::WAITS);
    assert_eq!(decide_request(&both, &request(2), late).unwrap_err(), Denial::AlreadyDecided);
}

#[test]
fn what_a_caller_may_not_see_looks_absent() {
    let (here, there) = (Place::Collection(HERE), Place::Collection(THERE));
    let analyst = caller(1, &[Role::Analyst]);
    assert_eq!(permit_on(&analyst, Action::KeyRotate, here).unwrap_err(), Denial::Forbidden);
    assert_eq!(permit_on(&analyst, Action::KeyRotate, there).unwrap_err(), Denial::Absent);
    assert_eq!(permit_on(&caller(1, &[Role::Uploader]), Action::KeyRotate, here).unwrap_err(), Denial::Absent);
    assert_eq!(permit(&analyst, Action::PersonAdd, Place::Vault).unwrap_err(), Denial::Forbidden);
    assert_eq!(permit_on(&analyst, Action::AuditRead, Place::Vault).unwrap_err(), Denial::Forbidden);
}

#[test]
fn a_token_narrows_and_never_widens() {
    let narrowed = |narrowing| Caller::new(person(1), vec![binding(1, Role::Analyst, None)], narrowing);
    let wide = narrowed(Narrowing::default());
    assert!(wide.holds(Action::RecordRead, Place::Collection(THERE)).is_some());
    assert_eq!(wide.collections(Action::RecordRead), None);
    let here = narrowed(Narrowing { roles: None, collection: Some(HERE) });
    assert!(here.holds(Action::RecordRead, Place::Collection(HERE)).is_some());
    assert!(here.holds(Action::RecordRead, Place::Collection(THERE)).is_none());
    assert!(here.holds(Action::RecordRead, Place::Vault).is_none());
    assert_eq!(here.collections(Action::RecordRead), Some(vec![HERE]));
    let other_role = narrowed(Narrowing { roles: Some(vec![Role::Approver]), collection: None });
    for action in Action::ALL {
        assert!(other_role.holds(*action, Place::Anywhere).is_none(), "{action}");
    }
}

#[test]
fn anothers_binding_is_not_the_callers() {
    let caller = Caller::new(person(1), vec![binding(2, Role::Administrator, None)], Narrowing::default());
    assert!(caller.bindings().is_empty());
}

#[test]
fn p5_a_role_takes_two_administrators_neither_of_them_its_receiver() {
    let admin = |n| Caller::new(person(n), vec![binding(n, Role::Administrator, None)], Narrowing::default());
    let terms = |proposed, confirmed: Option<u8>| BindingTerms {
        binding: BindingId::from_bytes([1; 16]),
        person: person(9),
        kind: crate::access::person::Kind::Human,
        role: Role::Analyst,
        collection: None,
        proposed_by: Some(person(proposed)),
        confirmed_by: confirmed.map(person),
        until: None,
    };
    assert!(decide_role(&admin(2), terms(1, Some(2)), &[]).is_ok());
    let refused = |caller: &Caller, terms, held: &[Role]| decide_role(caller, terms, held).unwrap_err();
    assert_eq!(refused(&admin(1), terms(1, None), &[]), NotGivable::SecondPersonMissing.into());
    assert_eq!(refused(&admin(1), terms(1, Some(1)), &[]), Denial::SelfApproval.into());
    assert_eq!(refused(&admin(3), terms(1, Some(2)), &[]), Denial::Forbidden.into());
    assert_eq!(refused(&caller(2, &[Role::Administrator]), terms(1, Some(2)), &[]), Denial::Forbidden.into());
    assert_eq!(
        refused(&admin(2), terms(1, Some(2)), &[Role::KeyOfficer]),
        NotGivable::Conflict(Role::KeyOfficer).into()
    );
    assert_eq!(refused(&admin(9), terms(1, Some(9)), &[]), NotGivable::ToOneself.into());
}
