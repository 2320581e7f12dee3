//! `vault-server log succeed`: a key officer proposes a successor log, another one declares it. At the console, with every node
//! stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_core::audit::succession::Because;
use vault_core::keys::keyring::{Passphrase, Setting};
use zeroize::Zeroizing;

use super::{CommandError, block_on, listen, passphrase, protect, stores};
use crate::app::error::Failure;
use crate::app::succession::{Examination, Found, Succeeded};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::custody::{CustodyError, private_file};
use crate::state::Vault;
use crate::store::keys;

/// Longest file with a token.
const TOKEN: usize = 256;

/// Longest file with a checkpoint.
const NOTE: u64 = 1 << 16;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The configuration of the vault.
    pub config: PathBuf,
    /// A private file with the token of who asks.
    pub token: PathBuf,
    /// Files with checkpoints that were seen outside.
    pub known: Vec<PathBuf>,
    /// What is to be done.
    pub step: Step,
}

/// A person's part in it.
#[derive(Clone, Debug)]
pub enum Step {
    /// The first officer's.
    Propose {
        /// Why there is to be a successor.
        because: Because,
        /// In words, for the log.
        reason: String,
    },
    /// The second officer's.
    Confirm,
}

/// Does one of the two steps; answers what to tell of it, in lines.
pub fn succeed(asked: &Asked, variables: impl Iterator<Item = (String, String)>) -> Result<Vec<String>, CommandError> {
    let mut config = Config::load(&asked.config, variables)?;
    // One that was made for trying out is succeeded like any other.
    config.setting = block_on(setting(&config))?;
    protect(config.setting == Setting::Production)?;
    // Whoever holds these is a server under this configuration; as long as they are held here none starts.
    let _stopped = (listen(config.listen)?, listen(config.admin_listen)?);
    let token = token(&asked.token)?;
    let notes = asked.known.iter().map(|path| note(path)).collect::<Result<Vec<_>, _>>()?;
    let passphrase = Arc::new(given(&config)?);
    block_on(async {
        let vault = Vault::open(config, Arc::new(SystemClock)).await?;
        let polling = tokio::spawn(vault.restrictions.clone().poll_until(vault.closing.clone()));
        let outcome = async {
            let examined = Examination::of(&vault, passphrase, &notes).await?;
            match &asked.step {
                Step::Propose { because, reason } => {
                    examined.propose(&token, *because, reason).await?;
                    Ok(proposed(examined.found()))
                }
                Step::Confirm => Ok(declared(&examined.confirm(&token).await?)),
            }
        };
        let outcome = outcome.await;
        vault.close().await;
        polling.abort();
        outcome
    })
}

async fn setting(config: &Config) -> Result<Setting, CommandError> {
    let (store, _) = stores(config).await?;
    let made_by = match store.read().await {
        Ok(mut reader) => keys::meta(reader.conn(), "made_by").await,
        Err(e) => Err(e),
    };
    store.close().await;
    Ok(match made_by.map_err(Failure::from)?.as_deref() {
        Some("dev") => Setting::Development,
        _ => Setting::Production,
    })
}

fn given(config: &Config) -> Result<Passphrase, CommandError> {
    match &config.custody.passphrase_file {
        Some(path) => Ok(crate::custody::keyring_file::read_passphrase(path)?),
        None => {
            let typed = passphrase::known()?;
            let bytes = Zeroizing::new(typed.trim_end_matches(['\r', '\n']).as_bytes().to_vec());
            Ok(Passphrase::new(bytes).map_err(CustodyError::from)?)
        }
    }
}

fn token(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let bytes = private_file::read(path, TOKEN)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| CommandError::Refused("the token's file is not text".to_owned()))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn note(path: &Path) -> Result<String, CommandError> {
    use std::io::Read as _;
    let named = |source| CommandError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(named)?.take(NOTE).read_to_string(&mut text).map_err(named)?;
    Ok(text)
}

fn told(found: &Found) -> Vec<String> {
    let mut lines = vec![
        format!("log               {}", found.key),
        format!("in the database   {} entries", found.database),
        format!("published         {} entries", found.published),
    ];
    if let Some((size, root)) = &found.known {
        lines.push(format!("checkpoint known  {size} entries, root {root}"));
    }
    lines.extend([
        format!("carried           {} entries, root {}", found.carried, found.root),
        format!("lost              {} entries that are known of", found.lost),
    ]);
    lines
}

fn proposed(found: &Found) -> Vec<String> {
    let mut lines = told(found);
    lines.extend([
        "proposed          nothing is changed yet".to_owned(),
        "next              another key officer: vault-server log succeed --confirm, within 14 days".to_owned(),
    ]);
    lines
}

fn declared(succeeded: &Succeeded) -> Vec<String> {
    let mut lines = told(&succeeded.found);
    lines.extend([
        format!("log public key    {}", succeeded.key),
        "                  give it to every auditor; the former one verifies what it signed, and nothing new"
            .to_owned(),
        "next              start the server: it publishes the successor, and what it carries, beside the former log"
            .to_owned(),
        "                  make a backup: one from before cannot be put in service any more".to_owned(),
    ]);
    lines
}
