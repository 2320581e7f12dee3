//! What is kept in memory of callers: answers, proofs, and which token's use is in the log already.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vault_core::access::binding::Binding;
use vault_core::access::denial::Denial;
use vault_core::access::role::Action;
use vault_core::ids::{BindingId, TokenId};
use vault_core::time::Timestamp;

use super::token::TokenTerms;
use super::{Caller, FRESH};

/// The most entries of each map. A full map is emptied: it refills from the log.
const MOST: usize = 4096;

/// Who was refused what, and why.
type Refused = (TokenId, Action, Denial);

struct Known {
    caller: Arc<Caller>,
    at: Timestamp,
}

/// The memory of one node. Holds no token, only hashes.
#[derive(Default)]
pub struct Callers {
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// Entries of an append-only log: once proven they stay proven. Whether they were taken back is asked each time.
    bindings: Mutex<HashMap<BindingId, Binding>>,
    tokens: Mutex<HashMap<TokenId, TokenTerms>>,
    /// The last hour whose first use was noted, and whether that note is known to be committed.
    used: Mutex<HashMap<TokenId, (i64, bool)>>,
    /// The hour, and what was refused in it.
    denied: Mutex<(i64, HashSet<Refused>)>,
}

/// A panic while one of these was held leaves a map of independent entries: still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put<K: Eq + core::hash::Hash, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut map = lock(map);
    if map.len() >= MOST && !map.contains_key(&key) {
        map.clear();
    }
    map.insert(key, value);
}

impl Callers {
    pub(super) fn known(&self, hash: &[u8; 32], now: Timestamp) -> Option<Arc<Caller>> {
        let known = lock(&self.known);
        let known = known.get(hash)?;
        let fresh = known.at <= now && now < known.at.plus(FRESH) && now < known.caller.token_ends;
        fresh.then(|| Arc::clone(&known.caller))
    }

    /// Whether this hash was once found good; whether it still is, is asked each time.
    pub(super) fn was_good(&self, hash: &[u8; 32]) -> bool {
        lock(&self.known).contains_key(hash)
    }

    pub(super) fn keep(&self, hash: [u8; 32], at: Timestamp, caller: Arc<Caller>) {
        put(&self.known, hash, Known { caller, at });
    }

    /// Forgets every answer: a role, token or person changed on this node, and the next request is to see it.
    pub fn forget(&self) {
        lock(&self.known).clear();
    }

    pub(super) fn binding(&self, id: BindingId) -> Option<Binding> {
        lock(&self.bindings).get(&id).cloned()
    }

    pub(super) fn keep_binding(&self, binding: Binding) {
        put(&self.bindings, binding.id(), binding);
    }

    pub(super) fn token(&self, id: TokenId) -> Option<TokenTerms> {
        lock(&self.tokens).get(&id).cloned()
    }

    pub(super) fn keep_token(&self, terms: TokenTerms) {
        put(&self.tokens, terms.token, terms);
    }

    /// Whether the first use in `hour` is noted: `Some(true)` when the note is known to be committed.
    pub(super) fn used(&self, token: TokenId, hour: i64) -> Option<bool> {
        lock(&self.used).get(&token).filter(|(noted, _)| *noted == hour).map(|(_, committed)| *committed)
    }

    pub(super) fn keep_used(&self, token: TokenId, hour: i64, committed: bool) {
        put(&self.used, token, (hour, committed));
    }

    /// Whether this is the first such denial in `hour`. Without room for more, later ones are not noted.
    pub(super) fn first_denial(&self, token: TokenId, action: Action, denial: Denial, hour: i64) -> bool {
        let mut denied = lock(&self.denied);
        if denied.0 != hour {
            *denied = (hour, HashSet::new());
        }
        denied.1.len() < MOST && denied.1.insert((token, action, denial))
    }

    /// Takes the mark back: that denial could not be noted.
    pub(super) fn unmark_denial(&self, token: TokenId, action: Action, denial: Denial) {
        lock(&self.denied).1.remove(&(token, action, denial));
    }
}
