//! The offline verifier over a whole vault's log, read as a stranger reads it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use vault_core::audit::slot::SlotName;
use vault_core::audit::tile::Tile;
use vault_core::audit::verify::{self, Claim, Shown, Source};

use crate::app::ledger::OpeningState;
use crate::state::Vault;

struct Reader {
    note: String,
    tiles: BTreeMap<Tile, Vec<u8>>,
    openings: Vec<(u64, SlotName, OpeningState)>,
}

/// The verifier finds nothing in the published log, and every checkpoint in `known` is a beginning of it. Answers the
/// checkpoint and how many entries there are.
pub async fn sound(vault: &Vault, known: &[String]) -> (String, u64) {
    let report = report(vault, known).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.known_extended, known.len() as u64);
    (report.checkpoint.unwrap().note().to_owned(), report.entries)
}

/// What the verifier says of the published log.
pub async fn report(vault: &Vault, known: &[String]) -> verify::Report {
    let ledger = vault.ledger().unwrap();
    let checkpoint = ledger.checkpoint().unwrap();
    let mut shown = Reader { note: checkpoint.note().to_owned(), tiles: BTreeMap::new(), openings: Vec::new() };
    for tile in Tile::new_since(0, checkpoint.size()) {
        if let Some(bytes) = ledger.tile(tile).await.unwrap() {
            shown.tiles.insert(tile, bytes.to_vec());
        }
    }
    let mut from = 0;
    while from < checkpoint.size() {
        let page = ledger.page(from, 500, Some(checkpoint.size()), |_| true, |_| true).await.unwrap();
        for view in page.views {
            if view.index < checkpoint.size() {
                shown.openings.extend(view.slots.into_iter().map(|slot| (view.index, slot.slot, slot.state)));
            }
        }
        from = page.next.unwrap_or(u64::MAX);
    }
    let Ok(report) = verify::verify(&mut shown, &ledger.verifier().unwrap(), known, |_, _| ());
    report
}

impl Source for Reader {
    type Error = Infallible;

    fn checkpoint(&mut self) -> Result<String, Infallible> {
        Ok(self.note.clone())
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tiles.get(&bundle).cloned())
    }

    fn has_tiles(&self) -> bool {
        true
    }

    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.tiles.get(&tile).cloned())
    }

    fn openings(&mut self, first: u64, end: u64) -> Result<Vec<Shown>, Infallible> {
        let taken = self.openings.extract_if(.., |(index, _, _)| (first..end).contains(index));
        let claim = |state| match state {
            OpeningState::Opened(opening) => Claim::Opened(opening),
            OpeningState::Erased => Claim::Erased,
            OpeningState::Withheld => Claim::Withheld,
            OpeningState::Missing => Claim::Missing,
        };
        Ok(taken.map(|(index, slot, state)| Shown { index, slot, claim: claim(state) }).collect())
    }

    fn is_complete(&self) -> bool {
        true
    }
}
