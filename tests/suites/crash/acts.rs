//! What clients do while a vault is killed. Each act is told of before it is asked for, and when it was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use vault_api::access::Approved;
use vault_api::keys::{KeyRotation, KeyState, RootStatus};
use vault_tests::acknowledged::{self, Access, Destroyed, Sent, Taken};
use vault_tests::fixtures::Chance;
use vault_tests::http::Caller;
use vault_tests::rights::{Loss, Rights};

use super::ACCESSES;
use super::aim::{Aim, Kind};

/// Sends chunk after chunk, until the server is gone; one upload in twelve is given up on the way.
pub fn send(aim: &Aim, base: &Caller, sent: &mut Sent, chance: &mut Chance) {
    let wanted = aim.wants(Kind::GiveUp);
    let mut gives_up = wanted || chance.below(12) == 0;
    while sent.record.is_none() {
        if gives_up && (wanted || chance.below(3) == 0) {
            sent.terminated = Taken::Asked;
            let headers = [("tus-resumable", vault_api::names::TUS_VERSION)];
            let gone = || base.try_send("DELETE", &sent.upload.location, &headers, &[]);
            let Some(answer) = aim.act(Kind::GiveUp, gone) else { return };
            assert_eq!(answer.status, 204, "{answer}");
            sent.terminated = Taken::Confirmed;
            return;
        }
        let length = chance.between(1, 150_000);
        // What would finish it is not given up any more.
        gives_up = gives_up && length < sent.left();
        if aim.act(Kind::SendBytes, || sent.send(base, length)).is_none() {
            return;
        }
    }
}

/// What an analyst or an approver has done.
#[derive(PartialEq, Eq)]
pub enum Done {
    Opened,
    Revoked,
    Other,
}

/// One thing that an analyst or an approver does; `None` when the server was gone.
pub fn play(
    aim: &Aim,
    analyst: &Caller,
    approver: &Caller,
    finished: &[Sent],
    accesses: &mut Vec<Access>,
    chance: &mut Chance,
) -> Option<Done> {
    let one = |chance: &mut Chance, of: usize| usize::try_from(chance.below(of as u64)).expect("small");
    let standing: Vec<usize> = (0..accesses.len())
        .filter(|at| accesses[*at].revoked == Taken::No && accesses[*at].closed == Taken::No)
        .collect();
    let anew = aim.wants_any(&[Kind::Ask, Kind::Approve, Kind::OpenSession]) || chance.below(4) == 0;
    if standing.is_empty() || (anew && accesses.len() < 2 * ACCESSES) {
        if finished.is_empty() {
            let _alive = analyst.try_send("GET", "/healthz", &[], &[])?;
            std::thread::sleep(Duration::from_millis(2));
            return Some(Done::Other);
        }
        let sent = &finished[one(chance, finished.len())];
        let request = acknowledged::request(sent.record.as_deref().expect("it is finished")).to_string();
        let json = [("content-type", "application/json")];
        let asked = || analyst.try_send("POST", "/v1/access-requests", &json, request.as_bytes());
        let asked = aim.act(Kind::Ask, asked)?.expect(201).text("id");
        let path = format!("/v1/access-requests/{asked}");
        let approved = || approver.try_send("POST", &format!("{path}/approve"), &json, b"{}");
        let approved = aim.act(Kind::Approve, approved)?.expect(200);
        accesses.push(Access {
            request: asked,
            grant: approved.read::<Approved>().grant_id,
            record: sent.record.clone().expect("it is finished"),
            recording: sent.recording.clone(),
            session: None,
            revoked: Taken::No,
            closed: Taken::No,
        });
        let original = json!({"representation": "original"}).to_string();
        let opened = || analyst.try_send("POST", &format!("{path}/sessions"), &json, original.as_bytes());
        let opened = aim.act(Kind::OpenSession, opened)?.expect(201);
        accesses.last_mut().expect("just pushed").session = Some(opened.read());
        return Some(Done::Opened);
    }
    let access = &mut accesses[standing[one(chance, standing.len())]];
    let what = if aim.wants(Kind::RevokeGrant) {
        0
    } else if aim.wants(Kind::CloseSession) {
        1
    } else {
        chance.below(8)
    };
    match (what, &access.session) {
        (0, _) => {
            access.revoked = Taken::Asked;
            let revoked = || approver.try_send("DELETE", &format!("/v1/grants/{}", access.grant), &[], &[]);
            let answer = aim.act(Kind::RevokeGrant, revoked)?;
            assert!([200, 202].contains(&answer.status), "{answer}");
            access.revoked = Taken::Confirmed;
            Some(Done::Revoked)
        }
        (1, Some(session)) => {
            access.closed = Taken::Asked;
            let closed = || analyst.try_send("DELETE", &session.playback_url, &[], &[]);
            let _closed = aim.act(Kind::CloseSession, closed)?.expect(204);
            access.closed = Taken::Confirmed;
            Some(Done::Other)
        }
        (_, Some(session)) => {
            let played = || analyst.try_send("GET", &session.playback_url, &[], &[]);
            let played = aim.act(Kind::Play, played)?.expect(200);
            assert!(played.body == *access.recording, "a playback is not what was recorded");
            Some(Done::Other)
        }
        // Its session was asked for when the server died: whether it was opened, nobody knows.
        (_, None) => analyst.try_send("GET", "/healthz", &[], &[]).map(|_| Done::Other),
    }
}

/// Erases a record, with everything that was approved for it; `None` when the server was gone.
pub fn erase(
    aim: &Aim,
    approver: &Caller,
    sent: &Sent,
    accesses: &mut Vec<Access>,
    erased: &mut BTreeMap<String, Taken>,
) -> Option<()> {
    let record = sent.record.clone().expect("it is finished");
    accesses.retain(|access| access.record != record);
    erased.insert(record.clone(), Taken::Asked);
    let answer = aim.act(Kind::Erase, || approver.try_send("DELETE", &format!("/v1/records/{record}"), &[], &[]))?;
    assert!([200, 202].contains(&answer.status), "{answer}");
    erased.insert(record, Taken::Confirmed);
    Some(())
}

/// One rotation of the collection's key, or now and then of the root key; `None` when the server was gone.
pub fn rotate(
    aim: &Aim,
    officer: &Caller,
    collection: &str,
    (version, epoch): (&mut u32, &mut u32),
    chance: &mut Chance,
) -> Option<()> {
    std::thread::sleep(Duration::from_millis(chance.below(60)));
    let json = [("content-type", "application/json")];
    let of_root = chance.below(4) == 0;
    if aim.wants(Kind::RotateRoot) || (of_root && !aim.wants(Kind::RotateKey)) {
        let turned = || officer.try_send("POST", "/v1/root/rotate", &json, b"{}");
        let answer = aim.act(Kind::RotateRoot, turned)?.expect(200);
        let epochs = answer.read::<RootStatus>().epochs;
        let active = epochs.iter().find(|e| e.state == KeyState::Active).expect("an active epoch");
        *epoch = active.epoch;
    } else {
        let path = format!("/v1/collections/{collection}/keys/rotate");
        let answer = aim.act(Kind::RotateKey, || officer.try_send("POST", &path, &json, b"{}"))?;
        match answer.status {
            202 => *version = answer.read::<KeyRotation>().to_version,
            // The rotation before is still under way.
            409 => {}
            _ => panic!("{answer}"),
        }
    }
    Some(())
}

/// One officer asks for the destruction of an old version or root epoch, another confirms it, or one of them thinks better of
/// it; `None` when the server was gone.
pub fn destroy(
    aim: &Aim,
    officer: &Caller,
    second: &Caller,
    keys: &str,
    destroyed: &mut Destroyed,
    chance: &mut Chance,
) -> Option<()> {
    std::thread::sleep(Duration::from_millis(chance.below(40)));
    let json = [("content-type", "application/json")];
    let of_root = chance.below(3) == 0;
    let old: Vec<u32> = if of_root {
        let shown: RootStatus = officer.try_send("GET", "/v1/root", &[], &[])?.expect(200).read();
        shown.epochs.iter().filter(|e| e.state == KeyState::Deactivated).map(|e| e.epoch).collect()
    } else {
        let shown: vault_api::keys::CollectionKeys = officer.try_send("GET", keys, &[], &[])?.expect(200).read();
        shown.versions.iter().filter(|v| v.state == KeyState::Deactivated).map(|v| v.version).collect()
    };
    if old.is_empty() {
        return Some(());
    }
    let number = old[usize::try_from(chance.below(old.len() as u64)).expect("small")];
    let place = if of_root { "/v1/root" } else { keys };
    let path = format!("{place}/{number}/destroy");
    let body: &[u8] = if of_root { br#"{"reason":"x","known_copies":0}"# } else { br#"{"reason":"x"}"# };
    // Refused while something needs it, and when it was asked for before a crash.
    let asked = aim.act(Kind::AskDestruction, || officer.try_send("POST", &path, &json, body))?;
    assert!([202, 409].contains(&asked.status), "{asked}");
    if aim.wants(Kind::CancelDestruction) || (chance.below(6) == 0 && !aim.wants(Kind::ConfirmDestruction)) {
        let cancelled = aim.act(Kind::CancelDestruction, || second.try_send("DELETE", &path, &[], &[]))?;
        assert!([200, 409].contains(&cancelled.status), "{cancelled}");
        return Some(());
    }
    let confirm = format!("{path}/confirm");
    let confirmed = aim.act(Kind::ConfirmDestruction, || second.try_send("POST", &confirm, &json, b"{}"))?;
    assert!([200, 409].contains(&confirmed.status), "{confirmed}");
    if confirmed.status == 200 && confirmed.text("state") == "done" {
        let which = if of_root { &mut destroyed.epochs } else { &mut destroyed.versions };
        which.insert(number);
    }
    Some(())
}

/// An administrator takes away, in some order, a token, a role, a person and a collection; the server may be gone at any of it.
pub fn restrict(aim: &Aim, administrator: &Caller, rights: &mut Rights, chance: &mut Chance) {
    let mut acts = [Some(Loss::Token), Some(Loss::Role), Some(Loss::Person), None];
    for at in (1..acts.len()).rev() {
        acts.swap(at, usize::try_from(chance.below(at as u64 + 1)).expect("small"));
    }
    let kind = |act: &Option<Loss>| match act {
        Some(Loss::Token) => Kind::RevokeToken,
        Some(Loss::Role) => Kind::RevokeRole,
        Some(Loss::Person) => Kind::DisablePerson,
        None => Kind::Suspend,
    };
    acts.sort_by_key(|act| !aim.wants(kind(act)));
    for act in acts {
        std::thread::sleep(Duration::from_millis(chance.below(25)));
        let Rights { machines, suspended, .. } = rights;
        let (taken, answer) = match act {
            Some(loss) => {
                let machine = machines.iter_mut().find(|machine| machine.loss == loss && machine.taken == Taken::No);
                let machine = machine.expect("one was prepared");
                machine.taken = Taken::Asked;
                let answer = aim.act(kind(&act), || machine.take(administrator));
                (&mut machine.taken, answer)
            }
            None => {
                *suspended = Taken::Asked;
                (suspended, aim.act(Kind::Suspend, || Rights::suspend(administrator)))
            }
        };
        if answer.is_none() {
            return;
        }
        *taken = Taken::Confirmed;
    }
}
