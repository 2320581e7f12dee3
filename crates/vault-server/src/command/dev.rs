//! `vault-server dev`: an embedded vault for trying out, with its passphrase and tokens in files beside it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;
use vault_api::dev::DevFile;
use vault_core::keys::keyring::Setting;
use zeroize::Zeroizing;

use super::{CommandError, block_on, listen, protect};
use crate::app::bootstrap::{self, sample};
use crate::app::error::Failure;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::custody::keyring_file::read_passphrase;
use crate::custody::{FileError, private_file};
use crate::state::Vault;
use crate::{run, telemetry};

/// The longest `dev.json`.
const MOST: usize = 64 * 1024;

/// Of the variables that `serve` takes, those that say where a vault for trying out keeps its rows and its objects,
/// where it sends its traces, how long its acts wait for the log and for bytes, and how long it takes its leave.
const TAKEN: [&str; 6] = [
    "FEEDBACK_VAULT_DATABASE_",
    "FEEDBACK_VAULT_OBJECTS_",
    "FEEDBACK_VAULT_TELEMETRY_",
    "FEEDBACK_VAULT_LIMITS_IDLE_SECONDS",
    "FEEDBACK_VAULT_LIMITS_LOG_SECONDS",
    "FEEDBACK_VAULT_LIMITS_LEAVE_SECONDS",
];

/// Runs a vault in `dir` until SIGTERM. `announce` is told where everything is once it can be used.
pub fn dev(
    dir: &Path,
    address: SocketAddr,
    variables: impl Iterator<Item = (String, String)>,
    announce: impl FnOnce(&DevFile, &Path),
) -> Result<(), CommandError> {
    if !address.ip().is_loopback() {
        return Err(CommandError::NotLoopback(address));
    }
    private_file::directory(dir)?;
    let dir = dir.canonicalize()?;
    let passphrase_file = passphrase_file(&dir)?;
    // Bound first: the ports go into dev.json, which is complete before anybody is answered.
    let public = listen(address)?;
    let admin = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let variables = variables.filter(|(name, _)| TAKEN.iter().any(|taken| name.starts_with(taken)));
    let config = config(&dir, &passphrase_file, public.local_addr()?, admin.local_addr()?, variables)?;
    telemetry::start_with(&config.logging, &config.telemetry);
    protect(false)?;
    block_on(async {
        let vault = Vault::open(config, Arc::new(SystemClock)).await?;
        // Callers are believed only while restrictions are learnt of; the node's own jobs start with its listeners.
        let learning = CancellationToken::new();
        let poll = tokio::spawn(vault.restrictions.clone().poll_until(learning.clone()));
        let path = dir.join("dev.json");
        let outcome = prepare(&vault, &passphrase_file, &path).await;
        learning.cancel();
        // It ends at once; a panic in it would show again in the node's own job.
        let _ = poll.await;
        let made = match outcome {
            Ok(made) => made,
            Err(e) => {
                vault.close().await;
                return Err(e);
            }
        };
        announce(&made, &path);
        Ok(run::serve(vault, public, admin).await?)
    })
}

async fn prepare(vault: &Arc<Vault>, passphrase_file: &Path, path: &Path) -> Result<DevFile, CommandError> {
    bootstrap::found(vault, read_passphrase(passphrase_file)?).await?;
    let addresses = DevFile {
        url: format!("http://{}", vault.config.listen),
        admin_url: format!("http://{}", vault.config.admin_listen),
        collection: sample::COLLECTION.to_owned(),
        notice_sha256: sample::notice_sha256(),
        log_public_key: vault.keys.log_public_key().await.map_err(Failure::from)?,
        tokens: Default::default(),
    };
    let made = if bootstrap::has_people(vault).await? {
        let tokens = read(path).ok_or_else(|| CommandError::DevFile(path.to_owned()))?.tokens;
        let made = DevFile { tokens, ..addresses };
        bootstrap::write_document(path, &document(&made))?;
        made
    } else {
        let people = sample::people(vault.clock.now());
        bootstrap::enter_people(vault, &people, path, |tokens| document(&DevFile { tokens, ..addresses })).await?;
        read(path).ok_or_else(|| CommandError::DevFile(path.to_owned()))?
    };
    let administrator = made.tokens.get(sample::ADMINISTRATOR).ok_or_else(|| CommandError::DevFile(path.to_owned()))?;
    sample::open_collection(vault, administrator).await?;
    Ok(made)
}

fn document(made: &DevFile) -> serde_json::Value {
    serde_json::to_value(made).unwrap_or_default()
}

fn read(path: &Path) -> Option<DevFile> {
    serde_json::from_slice(&private_file::read(path, MOST).ok()?).ok()
}

/// The passphrase, made where it is missing: 256 random bits.
fn passphrase_file(dir: &Path) -> Result<PathBuf, CommandError> {
    let path = dir.join("passphrase");
    let mut bits = Zeroizing::new([0; 32]);
    vault_core::random::fill(bits.as_mut_slice());
    let mut text = Zeroizing::new(String::with_capacity(44));
    URL_SAFE_NO_PAD.encode_string(bits.as_slice(), &mut text);
    text.push('\n');
    match private_file::create(&path, text.as_bytes()) {
        Ok(()) | Err(FileError::Exists(_)) => Ok(path),
        Err(e) => Err(e.into()),
    }
}

fn config(
    dir: &Path,
    passphrase: &Path,
    public: SocketAddr,
    admin: SocketAddr,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, CommandError> {
    let quoted = |path: &Path| toml::Value::String(path.display().to_string());
    let text = format!(
        "data_dir = {}\nlisten = \"{public}\"\nadmin_listen = \"{admin}\"\nlog_name = \"{}\"\n\
         [custody]\npassphrase_file = {}\n",
        quoted(dir),
        sample::LOG_NAME,
        quoted(passphrase),
    );
    let mut config = Config::from_text(&text, variables)?;
    config.setting = Setting::Development;
    config.limits.relax();
    // Who tries out does not wait a day.
    config.keys.destroy_cooling_off_hours = 0;
    // Nobody is there to agree to it.
    config.keys.cycle_days = 0;
    Ok(config)
}
