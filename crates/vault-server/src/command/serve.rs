//! `vault-server serve`: a node of a vault.

use std::path::Path;
use std::sync::Arc;

use super::{CommandError, block_on, listen, protect};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::state::Vault;
use crate::{app, run, telemetry};

/// Serves until SIGTERM.
pub fn serve(config: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<(), CommandError> {
    let config = Config::load(config, variables)?;
    telemetry::start_with(&config.logging, &config.telemetry);
    protect(true)?;
    block_on(async {
        let (public, admin) = (listen(config.listen)?, listen(config.admin_listen)?);
        let vault = Vault::open(config, Arc::new(SystemClock)).await?;
        app::seal::at_start(&vault).await?;
        Ok(run::serve(vault, public, admin).await?)
    })
}
