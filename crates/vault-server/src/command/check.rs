//! `vault-server check`: whether configuration and object store are fit, without starting anything.

use std::path::Path;

use super::{CommandError, block_on};
use crate::app::error::Failure;
use crate::config::Config;
use crate::custody::private_file;
use crate::objects::Objects;

/// Reads the configuration and asks the object store what `serve` would ask it. Answers what was found fit, in lines.
pub fn check(config: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Vec<String>, CommandError> {
    let path = config;
    let config = Config::load(path, variables)?;
    let place = match config.objects.bucket()? {
        Some(bucket) => format!("bucket {}", bucket.name),
        None => config.objects_path().display().to_string(),
    };
    block_on(async {
        let objects = Objects::open(&config, private_file::read_secret).map_err(Failure::from)?;
        objects.check(config.objects.acknowledge_versioning).await.map_err(Failure::from)?;
        Ok(())
    })?;
    Ok(vec![format!("configuration   {}", path.display()), format!("object store    {place}")])
}
