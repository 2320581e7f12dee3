//! `vault-server restore`: a backup's rows into the database of this configuration, with the vault stopped.

use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use vault_core::keys::keyring::MAX_KEYRING_LEN;

use super::{CommandError, block_on, listen, stores_where};
use crate::app::backup::{self, BackupError, Folder, Restored, Step, Wish};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::custody::private_file;

/// Longest checkpoint.
const MAX_NOTE: u64 = 1 << 16;

/// What to restore.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The configuration of the vault.
    pub config: PathBuf,
    /// The backup.
    pub from: PathBuf,
    /// Whose signature counts.
    pub public_key: Option<String>,
    /// What the manifest must hash to.
    pub sha256: Option<String>,
    /// A file with a checkpoint seen outside.
    pub known_checkpoint: Option<PathBuf>,
    /// The keyring, where it has to be put back too.
    pub keyring: Option<PathBuf>,
    /// Take out what is in the database.
    pub replace: bool,
    /// As many recordings may have no media.
    pub without_media: Option<u64>,
}

/// Restores; answers what to tell of it, in lines.
pub fn restore(asked: &Asked, variables: impl Iterator<Item = (String, String)>) -> Result<Vec<String>, CommandError> {
    let config = Config::load(&asked.config, variables)?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // Whoever holds these is a server under this configuration; as long as they are held here none starts.
    let _stopped = (free(config.listen)?, free(config.admin_listen)?);
    let folder = Folder::at(&asked.from);
    let (manifest, _) = folder.manifest()?;
    let put_back = keyring(&config, asked.keyring.as_deref(), &manifest.manifest.vault_id.to_string())?;
    let known_checkpoint = asked.known_checkpoint.as_deref().map(note).transpose()?;
    let wish = Wish {
        public_key: asked.public_key.clone(),
        sha256: asked.sha256.clone(),
        known_checkpoint,
        replace: asked.replace,
        without_media: asked.without_media,
    };
    let restored = block_on(async {
        let (store, objects) = stores_where(&config, true).await?;
        let restored =
            backup::restore(&store, &objects, &SystemClock, &config.log_name, &folder, &wish, progress()).await;
        store.close().await;
        Ok(restored?)
    })?;
    Ok(told(&config, &restored, put_back))
}

fn free(address: SocketAddr) -> Result<TcpListener, CommandError> {
    listen(address).map_err(|e| match e {
        CommandError::Listen { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            BackupError::Refused(format!("{address} is in use: stop the server of this vault first, on every node"))
                .into()
        }
        other => other,
    })
}

/// That the keyring of this vault is where the configuration says; puts it there when it is given and nothing is there.
fn keyring(config: &Config, given: Option<&Path>, vault: &str) -> Result<bool, CommandError> {
    let place = config.keyring_path();
    let refused = |what: String| Err(BackupError::Refused(what).into());
    let read = |path: &Path| private_file::read(path, MAX_KEYRING_LEN);
    let names = |bytes: &[u8]| vault_core::keys::keyring::id_in(bytes).map(|id| id.to_string());
    if place.exists() {
        return match names(&read(&place)?) {
            Some(found) if found == vault => Ok(false),
            _ => refused(format!("{} is not the keyring of the vault in the backup", place.display())),
        };
    }
    let Some(given) = given else {
        return refused(format!(
            "there is no keyring at {}: put it back from where it is kept, or name it with --keyring",
            place.display()
        ));
    };
    let bytes = read(given)?;
    if names(&bytes).as_deref() != Some(vault) {
        return refused(format!("{} is not the keyring of the vault in the backup", given.display()));
    }
    crate::directory::make(place.parent().unwrap_or_else(|| Path::new(".")))?;
    private_file::create(&place, &bytes)?;
    Ok(true)
}

fn note(path: &Path) -> Result<String, CommandError> {
    use std::io::Read as _;
    let named = |source| CommandError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(named)?.take(MAX_NOTE).read_to_string(&mut text).map_err(named)?;
    Ok(text)
}

/// One line on a terminal, a line for every tenth elsewhere.
#[allow(clippy::print_stderr)] // Progress, for the person who waits.
fn progress() -> impl FnMut(Step) {
    let terminal = std::io::stderr().is_terminal();
    let mut last = ("", 0);
    move |Step { what, done, of }| {
        let tenth = done * 10 / of.max(1);
        if terminal {
            eprint!("\r{what}: {done} of {of}{}", if done >= of { "\n" } else { "" });
        } else if last != (what, tenth) {
            eprintln!("{what}: {done} of {of}");
        }
        last = (what, tenth);
    }
}

fn told(config: &Config, restored: &Restored, put_back: bool) -> Vec<String> {
    let (manifest, facts) = (&restored.verified.checked.manifest, &restored.facts);
    let replayed = facts.published.saturating_sub(manifest.log.size);
    let mut lines = vec![
        format!("restored          {} rows of {}", restored.verified.rows, manifest.created_at),
        format!("manifest sha256   {}", restored.verified.sha256),
        format!("log               {} entries; {replayed} more are published and come back", manifest.log.size),
    ];
    if put_back {
        lines.push(format!("keyring           put back to {}", config.keyring_path().display()));
    }
    if facts.parts_missing > 0 {
        lines.push(format!(
            "media missing     {} parts; {} recordings stay restricted",
            facts.parts_missing, facts.records_without_media
        ));
    }
    lines.extend([
        "next              start the server: it holds keys, revocations and erasures against log and journal"
            .to_owned(),
        "                  vault-cli restore status    shows what came of it".to_owned(),
        "                  vault-cli restore confirm   until then nothing is deleted and no key is destroyed"
            .to_owned(),
    ]);
    lines
}
