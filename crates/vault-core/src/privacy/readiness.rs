//! Whether a collection may open, and whether it may go on taking recordings (promise 10).

use super::policy::{CollectionPolicy, Practice};
use super::tier::{Countermeasure, Stage, Tier, required};
use crate::time::Timestamp;

/// What the vault itself knows: facts that no statement can replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Persons who may approve requests of the collection.
    pub approvers: usize,
    /// Whether the collection has an active key.
    pub active_key: bool,
    /// Whether the log can be written.
    pub log_works: bool,
}

/// What is missing before a collection may take recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// A countermeasure of the tier does not stand.
    Countermeasure(Countermeasure),
    /// The countermeasure stood, and its time has run out.
    Lapsed(Countermeasure),
    /// The vault takes recordings only, and those are very high.
    TierOfRecordings,
}

impl Missing {
    /// A stable text, as `missing` lists it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Countermeasure(c) => c.name().to_owned(),
            Self::Lapsed(c) => format!("{}-lapsed", c.name()),
            Self::TierOfRecordings => "tier-very-high".to_owned(),
        }
    }
}

/// What is missing before a collection under `policy` may take recordings at `now`; empty when nothing is.
#[must_use]
pub fn may_open(policy: &CollectionPolicy, facts: Facts, now: Timestamp) -> Vec<Missing> {
    let tier = policy.tier.max(Tier::OF_RECORDINGS);
    let lowered = (policy.tier < tier).then_some(Missing::TierOfRecordings);
    lowered.into_iter().chain(required(tier, Stage::Open).filter_map(|c| lacks(policy, facts, now, c))).collect()
}

fn lacks(policy: &CollectionPolicy, facts: Facts, now: Timestamp, c: Countermeasure) -> Option<Missing> {
    use Countermeasure as C;
    let holds = match c {
        C::Notice => !policy.notice.text.trim().is_empty(),
        C::Controller => !policy.controller.trim().is_empty(),
        C::Purposes => !policy.purposes.is_empty(),
        C::Retention => policy.retention_days > 0,
        C::TwoApprovers => facts.approvers >= 2,
        C::WorkingLog => facts.log_works,
        C::EncryptionPolicy if !facts.active_key => false,
        C::AccessProcedure if !policy.access.second_person => false,
        _ => return stated(policy, now, c),
    };
    if holds { None } else { Some(Missing::Countermeasure(c)) }
}

/// Whether `c` is stated and has not lapsed. An assessment counts only with document, approver, date and review date.
fn stated(policy: &CollectionPolicy, now: Timestamp, c: Countermeasure) -> Option<Missing> {
    let mut outcome = Some(Missing::Countermeasure(c));
    for one in policy.countermeasures.iter().filter(|one| one.practice.countermeasure() == c) {
        let is_document = one.document_sha256.as_ref().is_some_and(|hash| {
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        let approved = one.approved_at.is_some_and(|at| at <= now)
            && one.approved_by.as_ref().is_some_and(|by| !by.trim().is_empty());
        if one.practice == Practice::Dpia && !(is_document && approved && one.valid_until.is_some()) {
            continue;
        }
        if one.valid_until.is_some_and(|until| until <= now) {
            outcome = Some(Missing::Lapsed(c));
            continue;
        }
        return None;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::policy::tests::very_high;

    const FACTS: Facts = Facts { approvers: 2, active_key: true, log_works: true };

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-23T12:00:00Z").unwrap()
    }

    #[test]
    fn p10_a_complete_very_high_policy_may_open() {
        assert_eq!(may_open(&very_high(), FACTS, now()), Vec::new());
    }

    #[test]
    fn p10_each_countermeasure_taken_away_is_missing() {
        for i in 0..very_high().countermeasures.len() {
            let mut policy = very_high();
            let gone = policy.countermeasures.remove(i).practice.countermeasure();
            assert_eq!(may_open(&policy, FACTS, now()), vec![Missing::Countermeasure(gone)]);
        }
        let lacking = |facts| may_open(&very_high(), facts, now());
        let missing = |c| vec![Missing::Countermeasure(c)];
        assert_eq!(lacking(Facts { approvers: 1, ..FACTS }), missing(Countermeasure::TwoApprovers));
        assert_eq!(lacking(Facts { active_key: false, ..FACTS }), missing(Countermeasure::EncryptionPolicy));
        assert_eq!(lacking(Facts { log_works: false, ..FACTS }), missing(Countermeasure::WorkingLog));
    }

    #[test]
    fn p10_a_lapsed_assessment_closes_what_was_open() {
        let later = Timestamp::parse("2030-01-01T00:00:00Z").unwrap();
        let gone = may_open(&very_high(), FACTS, later);
        assert!(gone.contains(&Missing::Lapsed(Countermeasure::Dpia)), "{gone:?}");
    }

    #[test]
    fn p10_an_assessment_counts_only_whole_and_approved() {
        let changes: [fn(&mut crate::privacy::policy::Stated); 5] = [
            |d| d.document_sha256 = None,
            |d| d.document_sha256 = Some("not a hash".into()),
            |d| d.approved_by = Some(" ".into()),
            |d| d.approved_at = Some(Timestamp::parse("2027-01-01T00:00:00Z").unwrap()),
            |d| d.valid_until = None,
        ];
        for change in changes {
            let mut policy = very_high();
            policy.countermeasures.iter_mut().filter(|c| c.practice == Practice::Dpia).for_each(change);
            assert_eq!(may_open(&policy, FACTS, now()), vec![Missing::Countermeasure(Countermeasure::Dpia)]);
        }
    }

    #[test]
    fn p10_a_tier_cannot_be_lowered_below_that_of_recordings() {
        let mut policy = very_high();
        policy.tier = Tier::Low;
        assert_eq!(may_open(&policy, FACTS, now()), vec![Missing::TierOfRecordings]);
        policy.access.second_person = false;
        assert!(may_open(&policy, FACTS, now()).contains(&Missing::Countermeasure(Countermeasure::AccessProcedure)));
    }
}
