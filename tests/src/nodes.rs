//! A vault of several nodes, where a run of the suites is for several: whoever calls it asks one node after the other.
//!
//! `VAULT_TESTS_NODES=2` makes every vault of the suites two nodes on one database and one object store. Nobody keeps to
//! one of them: what one node took in or took away, the next request finds on the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::http::{Answer, Caller};
use crate::vault::Vault;

/// How long a restriction may take to reach the nodes that were not asked for it (promise 6).
pub const PROMISED: Duration = Duration::from_secs(1);

/// However slow the machine is, an entry is shown on every node within this.
const SHOWN: Duration = Duration::from_secs(30);

/// How many nodes a vault of this run has.
#[must_use]
pub fn of_the_run() -> usize {
    let wanted = std::env::var_os("VAULT_TESTS_NODES").unwrap_or_default().into_string().expect("text");
    match wanted.as_str() {
        "" | "1" => 1,
        "2" => 2,
        other => panic!("VAULT_TESTS_NODES is {other}: a vault of the suites has one node or two"),
    }
}

/// Whose turn it is. All callers of a vault share it.
#[derive(Debug, Default)]
pub struct Turns {
    pieces: AtomicUsize,
    others: AtomicUsize,
}

impl Turns {
    /// The next node of so many for a request of this method.
    ///
    /// Pieces of uploads go to each node in strict turn. The rest goes by the sequence of Thue and Morse, which repeats nothing:
    /// a suite that asks for two things in turn would otherwise ask for each on the same node for ever.
    pub fn next(&self, method: &str, nodes: usize) -> usize {
        if method == "PATCH" {
            return self.pieces.fetch_add(1, Ordering::Relaxed) % nodes;
        }
        self.others.fetch_add(1, Ordering::Relaxed).count_ones() as usize % nodes
    }
}

impl Vault {
    /// Its nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Self> {
        core::iter::once(self).chain(self.second.as_deref())
    }

    /// The address of the node whose turn it is, for somebody who calls by other means than a [`Caller`].
    #[must_use]
    pub fn turn(&self, method: &str) -> &str {
        let nodes: Vec<&Self> = self.nodes().collect();
        &nodes[self.turns.next(method, nodes.len())].dev.url
    }

    /// Somebody of `dev.json`: `uploader`, `analyst`, `approver-2`, …
    #[must_use]
    #[track_caller]
    pub fn person(&self, name: &str) -> Caller {
        let token = self.dev.tokens.get(name).unwrap_or_else(|| panic!("dev.json has no token for {name}"));
        self.caller(Some(token))
    }

    /// Somebody with this token, or without one.
    #[must_use]
    pub fn caller(&self, token: Option<&str>) -> Caller {
        let addresses = self.nodes().map(|node| node.dev.url.clone()).collect();
        Caller::by_turns(addresses, Arc::clone(&self.turns), token)
    }

    /// Somebody without a token.
    #[must_use]
    pub fn nobody(&self) -> Caller {
        self.caller(None)
    }

    /// Somebody on the admin listener.
    #[must_use]
    pub fn admin(&self) -> Caller {
        Caller::new(&self.dev.admin_url, None)
    }
}

/// Holds every node to what a restriction has changed: `holds` says whether an answer to `ask` knows of it. A vault of one node
/// knows at once. With several, those that were not asked for it have the promised second, and not a moment more. To be called
/// right after the restriction was answered.
#[track_caller]
pub fn within_the_promise(caller: &Caller, ask: impl Fn(&Caller) -> Answer, holds: impl Fn(&Answer) -> bool) {
    each_within(PROMISED, caller, ask, holds);
}

/// The same, for a refusal.
#[track_caller]
pub fn refuses_within_the_promise(caller: &Caller, ask: impl Fn(&Caller) -> Answer, status: u16, code: &str) {
    within_the_promise(caller, ask, |answer| answer.status == status && answer.code() == code);
}

/// Waits until every node shows what the log has by now: one that follows may be a moment behind, and the closing of a session
/// waits for what the others have to say of it (`docs/audit-log.md` §6). A vault of one node shows it at once.
#[track_caller]
pub fn comes_to_be_shown(caller: &Caller, ask: impl Fn(&Caller) -> Answer, holds: impl Fn(&Answer) -> bool) {
    each_within(SHOWN, caller, ask, holds);
}

#[track_caller]
fn each_within(patience: Duration, caller: &Caller, ask: impl Fn(&Caller) -> Answer, holds: impl Fn(&Answer) -> bool) {
    let begun = Instant::now();
    let nodes = caller.each();
    let patience = if nodes.len() > 1 { patience } else { Duration::ZERO };
    for node in nodes {
        loop {
            // What is asked when the time is over is held to it, however long the machine takes over the answer.
            let asked = begun.elapsed();
            let answer = ask(&node);
            if holds(&answer) {
                break;
            }
            assert!(asked < patience, "{asked:?} later a node does not know of it: {answer}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hop_at_each_turn_and_other_requests_keep_to_no_rhythm() {
        let turns = Turns::default();
        let pieces: Vec<usize> = (0..4).map(|_| turns.next("PATCH", 2)).collect();
        assert_eq!(pieces, [0, 1, 0, 1]);
        let others: Vec<usize> = (0..64).map(|_| turns.next("GET", 2)).collect();
        assert_eq!(others[..8], [0, 1, 1, 0, 1, 0, 0, 1]);
        for rhythm in 1..=8 {
            let beat: Vec<usize> = others.iter().step_by(rhythm).copied().collect();
            assert!(beat.contains(&0) && beat.contains(&1), "every request {rhythm} apart goes to the same node");
        }
        assert!((0..9).all(|_| turns.next("GET", 1) == 0));
    }
}
