//! Whether custody is open, and opening it.

use std::sync::Arc;

use vault_api::code::Code;
use vault_api::seal::SealStatus;
use vault_core::keys::keyring::{Passphrase, Setting};
use zeroize::Zeroizing;

use super::error::Failure;
use crate::custody::keyring_file::read_passphrase;
use crate::state::Vault;

/// Whether the vault is sealed, and under which root epoch it wraps.
#[must_use]
pub fn status(vault: &Vault) -> SealStatus {
    let root_epoch = vault.keys.epochs().ok().and_then(|e| e.last().map(|e| e.epoch));
    SealStatus { sealed: root_epoch.is_none(), custody: vault.keys.kind().to_owned(), root_epoch }
}

/// Opens the vault with a passphrase that somebody typed.
pub async fn unseal(vault: &Arc<Vault>, passphrase: String) -> Result<SealStatus, Failure> {
    let passphrase =
        Passphrase::new(Zeroizing::new(passphrase.into_bytes())).map_err(|_| Failure::new(Code::WrongPassphrase))?;
    vault.unseal(Arc::new(passphrase)).await?;
    Ok(status(vault))
}

/// Opens the vault at its start, where the configuration names a file with the passphrase; otherwise it waits, sealed.
pub async fn at_start(vault: &Arc<Vault>) -> Result<(), Failure> {
    let made_by = vault.keys.made_by().await?;
    let refused = match (made_by.as_deref(), vault.config.setting) {
        (None, _) => Some("this database holds no vault yet: run vault-server init"),
        (Some("dev"), Setting::Production) => {
            Some("a vault made by `vault-server dev` is for trying out; serve takes none")
        }
        (Some("init"), Setting::Development) => Some("this is a vault for real recordings; dev takes none"),
        (Some(_), _) => None,
    };
    if let Some(detail) = refused {
        return Err(Failure::new(Code::KeyringUnusable).detail(detail));
    }
    let Some(path) = vault.config.custody.passphrase_file.clone() else {
        tracing::info!(admin = %vault.config.admin_listen, "sealed: unseal on the admin listener");
        return Ok(());
    };
    let passphrase = read_passphrase(&path).map_err(|e| Failure::new(Code::KeyringUnusable).because(e))?;
    vault.unseal(Arc::new(passphrase)).await
}
