//! Making a vault: keyring, keys of the vault and its log, the first people; for `dev` also a sample collection.
//!
//! Every step finds out whether it has been done, so that a crash at any point is mended by running it again: the
//! keyring comes first, then the database is tied to it, then the people are entered in one transaction. Their tokens
//! are in the owner's file before that transaction commits.

pub mod people_file;
pub mod sample;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use vault_api::code::Code;
use vault_core::keys::keyring::{Parameters, Passphrase, Setting};
use zeroize::Zeroizing;

use super::callers::TokenText;
use super::error::Failure;
use super::keys::note_vault_keys;
use super::people::{self, First, PersonRow};
use crate::custody::keyring_file::{KeyringFile, calibrated};
use crate::custody::{CustodyError, FileError, KeyError, private_file};
use crate::state::Vault;

/// Makes keyring and vault where they are missing, and opens the vault.
pub async fn found(vault: &Arc<Vault>, passphrase: Passphrase) -> Result<(), Failure> {
    let passphrase = Arc::new(passphrase);
    make_keyring(vault, &passphrase).await?;
    let made_by = match vault.config.setting {
        Setting::Production => "init",
        Setting::Development => "dev",
    };
    vault.keys.found(Arc::clone(&passphrase), made_by).await?;
    vault.unseal(passphrase).await?;
    // The steps that follow ask the log what an interrupted making of the vault has done already.
    vault.ledger()?.all_published().await?;
    note_vault_keys(vault).await
}

/// Whether anybody has been entered: the last step of making a vault.
pub async fn has_people(vault: &Vault) -> Result<bool, Failure> {
    let mut reader = vault.store.read().await?;
    Ok(!PersonRow::page(reader.conn(), "", 1).await?.is_empty())
}

async fn make_keyring(vault: &Vault, passphrase: &Arc<Passphrase>) -> Result<(), Failure> {
    let (path, setting, now) = (vault.config.keyring_path(), vault.config.setting, vault.clock.now());
    let founded = vault.keys.made_by().await?.is_some();
    if founded && !path.exists() {
        // A fresh keyring would open nothing of this database: it has to be the old one.
        return Err(Failure::new(Code::KeyringUnusable).because(FileError::Missing(path)));
    }
    let passphrase = Arc::clone(passphrase);
    let made = tokio::task::spawn_blocking(move || {
        if path.exists() {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            private_file::directory(parent)?;
        }
        let parameters = match setting {
            Setting::Production => calibrated(),
            // Its passphrase lies beside it and has 256 bits: stretching would only slow every start.
            Setting::Development => Parameters::FLOOR,
        };
        KeyringFile::create(&path, now, setting, &passphrase, parameters).map(drop)
    });
    let made: Result<(), CustodyError> = made.await.map_err(|e| Failure::new(Code::Internal).because(e))?;
    made.map_err(|e| KeyError::from(e).into())
}

/// Enters the first people and writes their tokens, by name, to `path` for its owner alone. `with` completes the
/// document before it is written.
pub async fn enter_people(
    vault: &Vault,
    people: &[First],
    path: &Path,
    with: impl FnOnce(BTreeMap<String, String>) -> serde_json::Value,
) -> Result<(), Failure> {
    let names = people.iter().map(|p| p.name.clone());
    let secrets: Vec<_> = people.iter().map(|_| TokenText::generate()).collect();
    let tokens = names.zip(secrets.iter().map(|s| s.show().to_owned())).collect();
    write_document(path, &with(tokens))?;
    people::enter_first(vault, people, &secrets).await.map(drop)
}

/// Writes a document that holds tokens, for its owner alone.
pub fn write_document(path: &Path, document: &serde_json::Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(|e| Failure::new(Code::Internal).because(e))?;
    let text = Zeroizing::new(format!("{text}\n"));
    private_file::replace(path, text.as_bytes()).map_err(|e| Failure::new(Code::Unavailable).because(e))
}
