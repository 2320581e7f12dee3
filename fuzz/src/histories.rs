//! What entries, their openings and rows say of the vault's own past: how a log goes on in another one, what a cycle of keys is
//! about, what a grant or a role gives.

use core::str;

use vault_core::access::binding::Terms as Role;
use vault_core::access::grant::Terms as Grant;
use vault_core::audit::entry::Entry;
use vault_core::audit::merkle::{Edge, Hash};
use vault_core::audit::slot::OpeningKeys;
use vault_core::audit::succession::{Declaration, generation, origin, survivors};
use vault_core::keys::cycle::Scope;
use vault_core::keys::hierarchy::StaffAuditKey;
use vault_core::keys::wrap::KekRef;

/// Names of successors; the declaration that an entry may be, which written again says the same; and what survives of two
/// copies of a log, each byte an entry and a zero between the copies.
pub fn succession(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let number = generation(text);
        assert!(number >= 1);
        if number > 1 {
            let base = text.rsplit_once("/successor/").expect("a successor").0;
            assert_eq!(origin(base, number), text);
        }
        assert_eq!(generation(&origin(text, number.max(2))), number.max(2));
    }
    if let Ok(entry) = Entry::parse(data)
        && let Some(Ok(declaration)) = Declaration::of(&entry)
    {
        let own = (declaration.predecessor.name(), declaration.key.name());
        assert_eq!(generation(own.1) - 1, generation(own.0));
        let keys = OpeningKeys { staff: &StaffAuditKey::generate(), record: None };
        let written = declaration.draft(entry.at()).prepare(&keys).expect("it was an entry");
        let again = Entry::parse(written.entry()).expect("what was written");
        assert_eq!(Declaration::of(&again), Some(Ok(declaration)));
    }
    surviving(data);
}

fn root(copy: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    copy.iter().for_each(|leaf| edge.append(*leaf));
    edge.root()
}

/// Of three lists, the third is the history that was signed, at every other size.
fn surviving(data: &[u8]) {
    let mut lists = data.get(..192).unwrap_or(data).split(|byte| *byte == 0).map(|list| {
        let leaves: Vec<Hash> = list.iter().map(|byte| Hash::leaf(&[*byte])).collect();
        leaves
    });
    let (database, published) = (lists.next().unwrap_or_default(), lists.next().unwrap_or_default());
    let history = lists.next().unwrap_or_default();
    let signed: Vec<(u64, Hash)> =
        (1..=history.len()).step_by(2).map(|size| (size as u64, root(&history[..size]))).collect();
    let left = survivors(&database, &published, &signed);
    let size = usize::try_from(left.size).expect("no more than there was");
    let copy = if left.from_published { &published } else { &database };
    assert!(size <= copy.len());
    assert_eq!(left.root, root(&copy[..size]));
    let alike = database.iter().zip(&published).take_while(|(one, other)| one == other).count();
    assert_eq!(left.alike, alike.min(size) as u64);
    // Copies that hold all that was signed and do not contradict each other lose nothing.
    let whole = |copy: &[Hash]| {
        signed
            .iter()
            .all(|(at, signed)| usize::try_from(*at).is_ok_and(|at| at > copy.len() || root(&copy[..at]) == *signed))
    };
    if alike == database.len().min(published.len()) && whole(&database) && whole(&published) {
        assert_eq!(size, database.len().max(published.len()));
    }
}

/// The scope of a cycle: one spelling, which two officers agree on by its hash; and it covers what it lists.
pub fn cycle(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(scope) = Scope::parse(text) else { return };
    assert_eq!(scope.text(), text);
    assert_eq!(Scope::parse(&scope.text()).as_ref(), Ok(&scope));
    let mut count = 0;
    for kek in scope.keks() {
        assert!(scope.covers(kek));
        count += 1;
    }
    assert_eq!(count, scope.collections().map(|(_, versions)| versions.len()).sum::<usize>());
    for (collection, versions) in scope.collections() {
        let beyond = versions.last().and_then(|last| last.checked_add(1)).map(|version| KekRef { collection, version });
        assert!(!versions.is_empty() && beyond.is_none_or(|kek| !scope.covers(kek)));
    }
}

/// What an opening says that somebody may: written in one form, and read from it as the same.
pub fn terms(data: &[u8]) {
    if let Ok(grant) = serde_json::from_slice::<Grant>(data) {
        let slot = grant.to_slot();
        assert!(!slot.is_empty());
        let again: Grant = serde_json::from_str(&slot).expect("what was written");
        assert_eq!((again.to_slot(), again), (slot, grant));
    }
    if let Ok(role) = serde_json::from_slice::<Role>(data) {
        let slot = role.to_slot();
        assert!(!slot.is_empty());
        let again: Role = serde_json::from_str(&slot).expect("what was written");
        assert_eq!(again.to_slot(), slot);
        // A role that stands was given by nobody to themselves, and by two where it takes two.
        if role.check().is_ok() {
            assert_eq!(role.role.held_by(), role.kind);
            let givers = [role.proposed_by, role.confirmed_by];
            assert!(!givers.contains(&Some(role.person)));
            let alone = role.proposed_by.is_some() && role.confirmed_by.is_none_or(|two| Some(two) == role.proposed_by);
            assert!(!(alone && (role.role.needs_second_person() || role.confirmed_by.is_some())));
        }
        assert_eq!(again, role);
    }
}
