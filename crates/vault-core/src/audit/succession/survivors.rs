//! What survives of a log whose copies do not agree: the longest beginning that nothing contradicts.

use crate::audit::merkle::{Edge, Hash};

/// What survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivors {
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// How many of them both copies have alike, from the beginning.
    pub alike: u64,
    /// Where those behind that come from: the published copy, or else the database.
    pub from_published: bool,
}

/// Of the two copies, given by the hashes of their entries, and of the checkpoints that were signed.
///
/// A copy that leads to every signed root on its way survives whole. One that misses a signed root was altered somewhere
/// before it: of it survives what leads to the signed roots before, or what the other copy has alike. Where the two go
/// apart, the one that a signature behind that point vouches for survives; without such a signature nobody can tell which is
/// right, and neither does.
#[must_use]
pub fn survivors(database: &[Hash], published: &[Hash], signed: &[(u64, Hash)]) -> Survivors {
    let alike = database.iter().zip(published).take_while(|(one, other)| one == other).count();
    let mut signed = signed.to_vec();
    signed.sort_unstable_by_key(|(size, _)| *size);
    let (in_database, in_published) = (judge(database, alike, &signed), judge(published, alike, &signed));
    let apart = database.len() > alike && published.len() > alike;
    // A copy that nothing vouches for beyond where they go apart keeps what is common; unless it only goes on where the
    // other ends.
    let held = |judged: Judged| if apart && judged.vouched <= alike { judged.held.min(alike) } else { judged.held };
    let (one, other) = (held(in_database), held(in_published));
    let from_published = other > one;
    let (copy, size) = if from_published { (published, other) } else { (database, one) };
    Survivors {
        size: wide(size),
        root: root_of(copy.get(..size).unwrap_or_default()),
        alike: wide(alike.min(size)),
        from_published,
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// The root over these hashes.
fn root_of(leaves: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    for leaf in leaves {
        edge.append(*leaf);
        edge.settle();
    }
    edge.root()
}

#[derive(Clone, Copy)]
struct Judged {
    /// How much of the copy may be believed.
    held: usize,
    /// The size of the largest signed tree that it is found to begin with.
    vouched: usize,
}

fn judge(copy: &[Hash], alike: usize, signed: &[(u64, Hash)]) -> Judged {
    let (mut vouched, mut missed) = (0, None);
    let mut edge = Edge::default();
    let mut signed = signed.iter().peekable();
    for size in 0..=copy.len() {
        while let Some((_, root)) = signed.next_if(|(at, _)| *at == wide(size)) {
            if edge.root() == *root {
                vouched = size;
            } else if missed.is_none() {
                missed = Some(size);
            }
        }
        if let Some(leaf) = copy.get(size) {
            edge.append(*leaf);
            edge.settle();
        }
    }
    // A signed root that a later one is an extension of contradicts nobody but the key: two histories were signed.
    let missed = missed.filter(|at| *at > vouched);
    let held = match missed {
        None => copy.len(),
        // What both have alike has two witnesses, unless the altered entry is among it: then both have it.
        Some(at) => vouched.max(if alike < at { alike } else { 0 }),
    };
    Judged { held, vouched }
}
