//! `vault-server init`: makes keyring, log and the first people of a vault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::time::Clock as _;

use super::{CommandError, block_on, passphrase, protect};
use crate::app::bootstrap::{self, people_file};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::custody::private_file;
use crate::state::Vault;
use crate::telemetry;

/// What `init` made, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The keyring file.
    pub keyring: PathBuf,
    /// The file with everybody's first token.
    pub tokens: PathBuf,
    /// The log's verifier key.
    pub log_public_key: String,
}

/// Makes a vault. `tokens` is where the first tokens are written; by default `tokens.json` in the data directory.
pub fn init(
    config: &Path,
    people: &Path,
    tokens: Option<PathBuf>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Made, CommandError> {
    let config = Config::load(config, variables)?;
    telemetry::start(&config.logging);
    protect(true)?;
    let text =
        std::fs::read_to_string(people).map_err(|source| CommandError::Read { path: people.to_owned(), source })?;
    // Before anything is made: a mistake in the file leaves nothing behind.
    let people = people_file::parse(&text, SystemClock.now())?;
    private_file::directory(&config.data_dir)?;
    let tokens = tokens.unwrap_or_else(|| config.data_dir.join("tokens.json"));
    let keyring = config.keyring_path();
    block_on(async {
        let vault = Vault::open(config, Arc::new(SystemClock)).await?;
        let outcome = make(&vault, &people, &tokens).await;
        vault.close().await;
        let log_public_key = outcome?;
        Ok(Made { keyring, tokens, log_public_key })
    })
}

async fn make(vault: &Arc<Vault>, people: &[crate::app::people::First], tokens: &Path) -> Result<String, CommandError> {
    if bootstrap::has_people(vault).await? {
        return Err(CommandError::Initialised);
    }
    bootstrap::found(vault, passphrase::fresh(&vault.config)?).await?;
    bootstrap::enter_people(vault, people, tokens, |tokens| serde_json::json!({ "tokens": tokens })).await?;
    Ok(vault.keys.log_public_key().await.map_err(crate::app::error::Failure::from)?)
}
