//! A log as a server shows it.

use vault_api::audit::{AuditEntry, AuditPage, AuditQuery, OpeningStatus, SlotOpening};
use vault_core::audit::bundle::salt_of;
use vault_core::audit::note::MAX_NOTE;
use vault_core::audit::slot::{Opening, SlotName};
use vault_core::audit::tile::{Tile, WIDTH};
use vault_core::audit::verify::{Claim, Shown, Source};

use super::export::claimed;
use crate::client::Client;
use crate::error::Failure;

/// The longest bundle: 256 entries of 65,535 bytes behind their lengths.
const MAX_RESOURCE: u64 = 256 * (65_535 + 2);

/// Reads a vault's log over HTTP.
pub struct Server<'c> {
    client: &'c Client,
    checkpoint: Option<String>,
}

impl<'c> Server<'c> {
    /// The log of this vault.
    pub const fn new(client: &'c Client) -> Self {
        Self { client, checkpoint: None }
    }

    /// The checkpoint, asked for once: what is verified is one state of the log, though it grows meanwhile.
    pub fn note(&mut self) -> Result<String, Failure> {
        if let Some(note) = &self.checkpoint {
            return Ok(note.clone());
        }
        let limit = u64::try_from(MAX_NOTE).unwrap_or(u64::MAX);
        let bytes = self.client.get_bytes("/v1/audit/log/checkpoint", limit)?;
        let bytes = bytes.ok_or_else(|| Failure::Protocol("no audit log is to be seen here".to_owned()))?;
        // What is not text is no note: the verifier says so.
        let note = String::from_utf8_lossy(&bytes).into_owned();
        self.checkpoint = Some(note.clone());
        Ok(note)
    }

    /// A tile or bundle.
    pub fn resource(&self, tile: Tile) -> Result<Option<Vec<u8>>, Failure> {
        self.client.get_bytes(&format!("/v1/audit/log/{tile}"), MAX_RESOURCE)
    }

    /// Entries from `first` on with what is shown of their slots, at most one bundle's worth.
    pub fn page(&self, first: u64, limit: u32) -> Result<AuditPage, Failure> {
        // What is verified is one state of the log: what a later entry erased has no reason in it.
        let tree_size =
            self.checkpoint.as_deref().and_then(|note| claimed(note).ok()).map(|checkpoint| checkpoint.size);
        let query = AuditQuery { from_index: Some(first), limit: Some(limit), tree_size, ..AuditQuery::default() };
        self.client.get("/v1/audit/entries", &query)
    }
}

impl Source for Server<'_> {
    type Error = Failure;

    fn checkpoint(&mut self) -> Result<String, Failure> {
        self.note()
    }

    fn entries(&mut self, bundle: Tile) -> Result<Option<Vec<u8>>, Failure> {
        self.resource(bundle)
    }

    fn has_tiles(&self) -> bool {
        true
    }

    fn hashes(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, Failure> {
        self.resource(tile)
    }

    fn openings(&mut self, first: u64, end: u64) -> Result<Vec<Shown>, Failure> {
        let mut shown = Vec::new();
        let mut at = first;
        while at < end {
            let page = self.page(at, u32::from(WIDTH))?;
            let Some(last) = page.items.last().map(|item| item.index) else { break };
            for item in page.items.into_iter().filter(|item| item.index < end) {
                shown.extend(slots(item)?);
            }
            if last < at {
                return Err(Failure::Protocol("the server's pages do not go forward".to_owned()));
            }
            at = last + 1;
        }
        Ok(shown)
    }

    fn is_complete(&self) -> bool {
        // It says of each slot what it knows, and `withheld` is one of the answers.
        true
    }
}

/// What an item of a page says of its slots.
pub fn slots(item: AuditEntry) -> Result<Vec<Shown>, Failure> {
    let index = item.index;
    let read =
        |shown| slot(index, shown).ok_or_else(|| Failure::Protocol(format!("entry {index}: not a slot's opening")));
    item.openings.into_iter().map(read).collect()
}

fn slot(index: u64, shown: SlotOpening) -> Option<Shown> {
    let slot = SlotName::parse(&shown.slot)?;
    let claim = match (shown.status, shown.salt, shown.value) {
        (OpeningStatus::Opened, Some(salt), Some(value)) => {
            Claim::Opened(Opening::from_parts(slot, salt_of(&salt)?, value))
        }
        (OpeningStatus::Withheld, ..) => Claim::Withheld,
        (OpeningStatus::Erased, ..) => Claim::Erased,
        (OpeningStatus::Missing, ..) => Claim::Missing,
        (OpeningStatus::Opened, ..) => return None,
    };
    Some(Shown { index, slot, claim })
}
