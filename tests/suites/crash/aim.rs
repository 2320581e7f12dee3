//! Where kills fall: which acts were under way, and kills aimed at those that none has cut yet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use vault_tests::fixtures::Chance;
use vault_tests::http::Answer;

/// Acts of which a kill may fall into the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    SendBytes,
    GiveUp,
    Ask,
    Approve,
    OpenSession,
    Play,
    CloseSession,
    RevokeGrant,
    Erase,
    RotateKey,
    RotateRoot,
    AskDestruction,
    ConfirmDestruction,
    CancelDestruction,
    RevokeToken,
    RevokeRole,
    DisablePerson,
    Suspend,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::SendBytes,
        Self::GiveUp,
        Self::Ask,
        Self::Approve,
        Self::OpenSession,
        Self::Play,
        Self::CloseSession,
        Self::RevokeGrant,
        Self::Erase,
        Self::RotateKey,
        Self::RotateRoot,
        Self::AskDestruction,
        Self::ConfirmDestruction,
        Self::CancelDestruction,
        Self::RevokeToken,
        Self::RevokeRole,
        Self::DisablePerson,
        Self::Suspend,
    ];
}

/// How long an act that is aimed at may be in coming: some need what others have to make first.
const COMES: Duration = Duration::from_millis(250);
/// Most acts are over within so many microseconds.
const ACT: u64 = 6_000;

/// What kills have cut so far, in a whole run.
#[derive(Default)]
pub struct Cuts {
    cut: BTreeMap<Kind, u64>,
    /// Kills aimed at a kind that missed it.
    missed: BTreeMap<Kind, u32>,
}

impl Cuts {
    /// What to aim at: of the kinds cut least, one. One kill in four is not aimed.
    pub fn aim(&self, chance: &mut Chance) -> Aim {
        let cuts = |kind: &Kind| self.cut.get(kind).copied().unwrap_or(0);
        let fewest = Kind::ALL.iter().map(cuts).min().unwrap_or(0);
        let least: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| cuts(kind) == fewest).collect();
        let one = least[usize::try_from(chance.below(least.len() as u64)).expect("small")];
        let target = (chance.below(4) > 0).then_some(one);
        // One that was missed is aimed at earlier the next time.
        let missed = self.missed.get(&one).copied().unwrap_or(0).min(8);
        let after = match target {
            Some(_) => Duration::from_micros(chance.between(0, ACT >> missed)),
            None => Duration::from_millis(chance.between(1, 150)),
        };
        let (begun, told, killed, cut) = Default::default();
        Aim { target, after, begun, told, killed, cut }
    }

    /// Adds up what one kill did.
    pub fn add(&mut self, aim: Aim) {
        let cut = aim.cut.into_inner().expect("not poisoned");
        if let Some(target) = aim.target.filter(|target| !cut.contains_key(target)) {
            *self.missed.entry(target).or_default() += 1;
        }
        for (kind, count) in cut {
            *self.cut.entry(kind).or_default() += count;
        }
    }

    /// Kinds that no kill has cut.
    pub fn never(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| !self.cut.contains_key(kind)).collect()
    }
}

impl core::fmt::Display for Cuts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let counts: Vec<String> = self.cut.iter().map(|(kind, count)| format!("{kind:?} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// One kill.
pub struct Aim {
    target: Option<Kind>,
    after: Duration,
    begun: Mutex<bool>,
    told: Condvar,
    killed: AtomicBool,
    cut: Mutex<BTreeMap<Kind, u64>>,
}

impl Aim {
    /// Whether an act of this kind is waited for.
    pub fn wants(&self, kind: Kind) -> bool {
        self.target == Some(kind)
    }

    /// Whether an act of one of these is waited for.
    pub fn wants_any(&self, kinds: &[Kind]) -> bool {
        self.target.is_some_and(|target| kinds.contains(&target))
    }

    /// Sends a request of this kind, and notes when the kill cuts it: begun before the kill, and never answered.
    pub fn act(&self, kind: Kind, send: impl FnOnce() -> Option<Answer>) -> Option<Answer> {
        if self.wants(kind) {
            *self.begun.lock().expect("not poisoned") = true;
            self.told.notify_all();
        }
        let before = !self.killed.load(Ordering::SeqCst);
        let answer = send();
        if answer.is_none() && before {
            *self.cut.lock().expect("not poisoned").entry(kind).or_default() += 1;
        }
        answer
    }

    /// Waits for the moment, after which nothing counts any more as begun before the kill.
    pub fn wait(&self) {
        if self.target.is_some() {
            let begun = self.begun.lock().expect("not poisoned");
            drop(self.told.wait_timeout_while(begun, COMES, |begun| !*begun).expect("not poisoned"));
        }
        std::thread::sleep(self.after);
        self.killed.store(true, Ordering::SeqCst);
    }
}
