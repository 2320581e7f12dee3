//! The succession of the log (`docs/audit-log.md` §10): its entries are lost, or its signing key is to go, and two key officers
//! declare a successor at the console while every node is stopped.
//!
//! Both are believed by what survives of the log itself: their tokens, their roles and what was taken back are proven under a
//! tree over the surviving entries, as a running vault proves them under a signed one. The first proposes, and the proposal
//! names exactly what would be carried and what is lost; the second, another person, declares it if a second look at every
//! copy finds the same. Nothing is signed under the former key any more, and one transaction ends it.

mod proposal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use vault_api::code::Code;
use vault_core::access::person::Place;
use vault_core::access::role::Action;
use vault_core::audit::checkpoint::VerifiedCheckpoint;
use vault_core::audit::note::VerifierKey;
use vault_core::audit::slot::{OpeningKeys, OpeningUnder, SlotName};
use vault_core::audit::succession::{Because, Declaration, generation};
use vault_core::audit::verify::{LOG_SIZE, REPLAYED};
use vault_core::ids::CollectionId;
use vault_core::keys::hierarchy::StaffAuditKey;
use vault_core::keys::keyring::Passphrase;

use crate::app::callers::{self, Caller};
use crate::app::error::Failure;
use crate::app::ledger::{Remains, VaultKeys, remains};
use crate::app::people::text;
use crate::app::reference;
use crate::state::Vault;
use crate::store::{Hold, succession as rows};
use proposal::Proposal;

/// Longest reason.
const REASON: usize = 2_000;

/// What was found of the log, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The key of the log.
    pub key: String,
    /// Entries in the database and among the published files.
    pub database: u64,
    /// Likewise.
    pub published: u64,
    /// The newest checkpoint known: its size and root.
    pub known: Option<(u64, String)>,
    /// Entries that would be carried.
    pub carried: u64,
    /// The root over them.
    pub root: String,
    /// Entries that are known to be lost.
    pub lost: u64,
    /// Whether the vault would open this log by itself.
    pub whole: bool,
}

/// A log of which every copy was read.
pub struct Examination<'v> {
    vault: &'v Arc<Vault>,
    /// What would be declared, but for the successor's key and the reason.
    state: State,
    /// Entries that come from the published files: the first, and how many.
    from_files: (u64, u64),
    found: Found,
}

/// What a proposal is about; it is declared if it is still so.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    key: String,
    carried: u64,
    root: String,
    known: Option<(u64, String)>,
    lost: u64,
}

/// A successor log that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succeeded {
    /// What it carries.
    pub found: Found,
    /// Its verifier key.
    pub key: String,
}

impl<'v> Examination<'v> {
    /// Opens custody and reads every copy of the log. `notes`: checkpoints that were seen outside.
    pub async fn of(vault: &'v Arc<Vault>, passphrase: Arc<Passphrase>, notes: &[String]) -> Result<Self, Failure> {
        vault.keys.unseal(passphrase).await?;
        let signer = vault.keys.log_signer().await?;
        let key = signer.verifier();
        let known =
            notes.iter().map(|note| key.verify_checkpoint(note)).collect::<Result<Vec<VerifiedCheckpoint>, _>>();
        let known = known.map_err(|e| {
            Failure::new(Code::InvalidRequest).detail("a known checkpoint is not one of this log").because(e)
        })?;
        let remains = remains(&vault.store, &vault.objects, &signer, known).await?;
        let (state, found) = (State::of(&remains), Found::of(&remains));
        let from_database = remains.from_database();
        let from_files = (from_database, remains.survivors.size - from_database);
        let openings = VaultKeys::new(Arc::clone(&vault.keys), vault.store.clone());
        vault.ledger.examine(remains, Arc::new(openings))?;
        // What the surviving entries and the journal take back stays taken back, for the two who ask here too.
        vault.hold_to_log().await?;
        Ok(Self { vault, state, from_files, found })
    }

    /// What was found.
    #[must_use]
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// Whom the token speaks for, by what survives; a key officer, or nobody.
    async fn officer(&self, token: &str) -> Result<Arc<Caller>, Failure> {
        let caller = callers::authenticate(self.vault, token).await?;
        caller.permit(Action::RootDestroy, Place::Vault)?;
        Ok(caller)
    }

    async fn staff_key(&self) -> Result<Arc<StaffAuditKey>, Failure> {
        Ok(self.vault.keys.staff_audit_key(CollectionId::VAULT).await?)
    }

    /// A key officer proposes a successor; a proposal that waits is replaced.
    pub async fn propose(&self, token: &str, because: Because, reason: &str) -> Result<(), Failure> {
        let caller = self.officer(token).await?;
        let reason = text("reason", reason, REASON)?;
        if because == Because::Loss && self.found.whole {
            let detail = "every copy of this log agrees, and nothing is lost: start the server";
            return Err(Failure::new(Code::Conflict).detail(detail));
        }
        let proposal =
            Proposal { by: caller.person(), at: self.vault.clock.now(), because, reason, state: self.state.clone() };
        let sealed = proposal.seal(self.staff_key().await?.as_ref())?;
        let mut tx = self.vault.store.begin("propose_succession").await?;
        rows::propose(&mut tx, &sealed).await?;
        Ok(tx.commit().await?)
    }

    /// Another key officer declares what was proposed.
    pub async fn confirm(&self, token: &str) -> Result<Succeeded, Failure> {
        let vault = self.vault;
        let caller = self.officer(token).await?;
        let staff = self.staff_key().await?;
        let sealed = {
            let mut reader = vault.store.read().await?;
            rows::proposal(reader.conn()).await?
        };
        let nothing = || Failure::new(Code::Conflict).detail("nobody has proposed a successor, or too long ago");
        let proposal = Proposal::open(&sealed.ok_or_else(nothing)?, staff.as_ref())?;
        let now = vault.clock.now();
        if proposal.has_lapsed(now) {
            return Err(nothing());
        }
        if proposal.by == caller.person() {
            return Err(Code::SelfApproval.into());
        }
        let still = callers::proven_roles(vault, proposal.by).await?;
        if !still.iter().any(|held| held.role().may(Action::RootDestroy) && held.reaches(Place::Vault)) {
            return Err(Failure::new(Code::Conflict).detail("who proposed it is no key officer any more"));
        }
        if proposal.state != self.state {
            let detail = "the log is not what it was when the successor was proposed: look again, and propose anew";
            return Err(Failure::new(Code::Conflict).detail(detail));
        }
        let running =
            || Failure::new(Code::Conflict).detail("a node of this vault keeps its log: stop every node first");
        let lease = vault.ledger.take_office().await?.ok_or_else(running)?;
        let outcome = self.declare(&proposal, &caller, staff.as_ref()).await;
        vault.ledger.leave_office(&lease).await;
        Ok(Succeeded { found: self.found.clone(), key: outcome? })
    }

    async fn declare(&self, proposal: &Proposal, caller: &Caller, staff: &StaffAuditKey) -> Result<String, Failure> {
        let vault = self.vault;
        let now = vault.clock.now();
        let former = vault.keys.log_signer().await?;
        let mut tx = vault.store.begin("succeed_log").await?;
        tx.hold(Hold::Keys).await?;
        let signer = vault.keys.succeed_log_key(&mut tx, now).await?;
        let declaration = self.state.declaration(signer.verifier(), proposal.because)?;
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut draft = declaration.draft(now);
        if self.from_files.1 > 0 {
            // Openings are not published: those of these entries are lost.
            draft = draft.data(LOG_SIZE, number(self.from_files.0)).data(REPLAYED, number(self.from_files.1));
        }
        let draft = draft
            .slot(SlotName::Staff, caller.person().to_string(), OpeningUnder::Staff)
            .slot(SlotName::Person, proposal.by.to_string(), OpeningUnder::Staff)
            .slot(SlotName::Reason, proposal.reason.clone(), OpeningUnder::Staff);
        let prepared = draft.prepare(&OpeningKeys { staff, record: None })?;
        let declared_as = reference::log_succeeded(generation(declaration.key.name()));
        let erased = vault.restrictions.erased_records().into_iter().collect();
        if !vault.ledger.succeed(&mut tx, &former, &signer, prepared, declared_as, &erased).await? {
            let detail = "the log moved meanwhile: stop every node, look again, and propose anew";
            return Err(Failure::new(Code::Conflict).detail(detail));
        }
        rows::settle(&mut tx).await?;
        tx.commit().await?;
        // Here the former seed's bytes in the database are overwritten, or as soon as the engine does so.
        if let Err(e) = vault.store.scrub().await {
            tracing::debug!(error = %e, "the write-ahead log is emptied at the next start");
        }
        Ok(signer.verifier().to_string())
    }
}

impl State {
    fn of(remains: &Remains) -> Self {
        Self {
            key: remains.key.to_string(),
            carried: remains.survivors.size,
            root: remains.survivors.root.to_string(),
            known: remains.known.as_ref().map(|known| (known.size(), known.root().to_string())),
            lost: remains.lost,
        }
    }

    fn declaration(&self, key: &VerifierKey, because: Because) -> Result<Declaration, Failure> {
        use vault_core::audit::merkle::Hash;
        let hash = |text: &str| Hash::from_base64(text).ok_or_else(|| Failure::new(Code::Internal));
        Ok(Declaration {
            key: key.clone(),
            because,
            predecessor: self.key.parse().map_err(|e| Failure::new(Code::Internal).because(e))?,
            carried: self.carried,
            root: hash(&self.root)?,
            known: self.known.as_ref().map(|(size, root)| Ok::<_, Failure>((*size, hash(root)?))).transpose()?,
            lost: self.lost,
        })
    }
}

impl Found {
    fn of(remains: &Remains) -> Self {
        let state = State::of(remains);
        Self {
            key: state.key,
            database: remains.database,
            published: remains.published,
            known: state.known,
            carried: state.carried,
            root: state.root,
            lost: state.lost,
            whole: remains.whole,
        }
    }
}
