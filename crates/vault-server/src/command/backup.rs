//! `vault-server backup create|verify`.

use std::path::{Path, PathBuf};

use vault_core::backup::manifest::Manifest;

use super::{CommandError, block_on, stores};
use crate::app::backup::{self, Folder};
use crate::clock::SystemClock;
use crate::config::Config;

/// Makes a backup; answers what to tell of it, in lines.
pub fn create(
    config: &Path,
    out: &Path,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<String>, CommandError> {
    let config = Config::load(config, variables)?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let made = block_on(async {
        let (store, objects) = stores(&config).await?;
        let made = async {
            let folder = Folder::begin(out)?;
            backup::create(&store, &objects, &SystemClock, &config.log_name, &folder).await
        };
        let made = made.await;
        store.close().await;
        Ok(made?)
    })?;
    let mut lines = vec![
        format!("backup            {}", out.display()),
        format!("manifest sha256   {}", made.sha256),
        "                  keep it apart from the backup: it pins every byte".to_owned(),
    ];
    lines.extend(told(&made.manifest));
    for doomed in &made.doomed {
        let when = doomed.not_before.map_or_else(|| "once it is confirmed".to_owned(), |at| format!("from {at}"));
        let (kind, version, collection) = (&doomed.kind, doomed.version, &doomed.collection);
        lines.push(format!("                  {kind} {version} of {collection} is to be destroyed {when}"));
    }
    Ok(lines)
}

fn told(manifest: &Manifest) -> Vec<String> {
    let rows: u64 = manifest.tables.iter().map(|sum| sum.rows).sum();
    let mut lines = vec![
        format!("made              {}, {rows} rows", manifest.created_at),
        format!("log               {} entries, root {}", manifest.log.size, manifest.log.root),
        format!("log public key    {}", manifest.log.public_key),
        "restorable until  one of these is destroyed:".to_owned(),
        format!("                  root epoch {} (the log's seed)", manifest.needs.log_seed),
    ];
    for key in &manifest.needs.keys {
        let (collection, version, epoch, records) = (key.collection, key.version, key.root_epoch, key.records);
        lines.push(format!(
            "                  key version {version} of {collection}, under root epoch {epoch}: {records} recordings"
        ));
    }
    lines
}

/// What to verify.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The backup.
    pub from: PathBuf,
    /// Whose signature counts.
    pub public_key: Option<String>,
    /// What the manifest must hash to.
    pub sha256: Option<String>,
    /// The configuration of a vault to compare with.
    pub config: Option<PathBuf>,
}

/// Verifies a backup; answers what to tell of it, in lines, and whether everything in it can still be opened, as far as was asked.
pub fn verify(
    asked: &Asked,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(Vec<String>, Result<(), CommandError>), CommandError> {
    let folder = Folder::at(&asked.from);
    let verified = backup::verify(&folder, asked.public_key.as_deref(), asked.sha256.as_deref())?;
    let mut lines =
        vec![format!("whole             {}", asked.from.display()), format!("manifest sha256   {}", verified.sha256)];
    lines.extend(told(&verified.checked.manifest));
    let Some(config) = &asked.config else { return Ok((lines, Ok(()))) };
    let config = Config::load(config, variables)?;
    let gone = block_on(async {
        let (store, objects) = stores(&config).await?;
        let gone = backup::gone(&verified.checked, &store, &objects).await;
        store.close().await;
        Ok(gone?)
    })?;
    let outcome = if gone.is_empty() { Ok(()) } else { Err(CommandError::Outlived) };
    lines.push(if gone.is_empty() { "keys              all of them live".to_owned() } else { "gone".to_owned() });
    lines.extend(gone.into_iter().map(|what| format!("                  {what}")));
    Ok((lines, outcome))
}
