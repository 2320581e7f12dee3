//! The published log of a running vault, verified here with nothing but its public key.
//!
//! The verifier is the CLI's own (`vault_core::audit::verify`); reading over HTTP without a second process makes it
//! cheap enough to run after every crash.

use std::collections::BTreeMap;

use vault_core::audit::note::VerifierKey;
use vault_core::audit::tile::{self, Kind, Tile, WIDTH};
use vault_core::audit::verify::{self, Shown, Source};

use crate::http::Caller;
use crate::vault::Vault;

/// What an auditor's client reads of the log.
struct Published {
    auditor: Caller,
    note: Option<String>,
}

impl Published {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let path = format!("/v1/audit/log/{path}");
        let answer = self.auditor.try_send("GET", &path, &[], &[]).ok_or_else(|| format!("no answer to GET {path}"))?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(format!("GET {path}: {answer}")),
        }
    }
}

impl Source for Published {
    type Error = String;

    /// Asked for once: what is verified is one state of the log, though it grows meanwhile.
    fn checkpoint(&mut self) -> Result<String, String> {
        if let Some(note) = &self.note {
            return Ok(note.clone());
        }
        let bytes = self.get("checkpoint")?.ok_or("no checkpoint is published")?;
        let note = String::from_utf8_lossy(&bytes).into_owned();
        self.note = Some(note.clone());
        Ok(note)
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, String> {
        self.get(&bundle.to_string())
    }

    fn has_tiles(&self) -> bool {
        true
    }

    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, String> {
        self.get(&tile.to_string())
    }

    /// None are shown: a suite looks at the openings once, at its end, with an export.
    fn openings(&mut self, _first: u64, _end: u64) -> Result<Vec<Shown>, String> {
        Ok(Vec::new())
    }

    fn is_complete(&self) -> bool {
        false
    }
}

/// A log that held what was asked of it.
pub struct Verified {
    /// Its checkpoint, a signed note.
    pub checkpoint: String,
    /// How many entries it covers.
    pub size: u64,
    /// How many entries there are of each type.
    pub types: BTreeMap<String, u64>,
}

/// Verifies every tile and entry against the signature and against checkpoints seen before; why it does not hold.
pub fn verify(vault: &Vault, known: &[String]) -> Result<Verified, String> {
    let key: VerifierKey = vault.dev.log_public_key.parse().map_err(|_| "the log's public key is none".to_owned())?;
    let mut source = Published { auditor: vault.person("auditor"), note: None };
    let report = verify::verify(&mut source, &key, known, |_, _| {})?;
    if !report.is_clean() {
        return Err(format!("the log does not verify: {:?}", report.findings));
    }
    let checkpoint = report.checkpoint.ok_or("the log has no checkpoint")?;
    let mut types = BTreeMap::new();
    for number in 0..checkpoint.size().div_ceil(u64::from(WIDTH)) {
        let Some(bundle) = Tile::of_size(Kind::Entries, number, checkpoint.size()) else { break };
        let bytes = source.entries(bundle)?.ok_or("a bundle is gone")?;
        for entry in tile::entries(bundle.width, &bytes).map_err(|e| e.to_string())? {
            let entry: serde_json::Value = serde_json::from_slice(entry).map_err(|e| e.to_string())?;
            *types.entry(entry["type"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    Ok(Verified { checkpoint: checkpoint.note().to_owned(), size: checkpoint.size(), types })
}
