//! `keys list|rotate|status`.

use std::time::Duration;

use clap::Subcommand;
use vault_api::keys::{CollectionKeys, KeyRotation, RotateKeys, RotationState};

use crate::client::{Client, segment};
use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, Table, clean, wire_name};
use crate::progress;

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_secs(1);

/// What to do with a collection's keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the versions of a collection's key, newest first
    List {
        /// The collection's name
        collection: String,
    },
    /// Begin a rotation: a new version wraps from now on, record keys move to it
    Rotate {
        /// The collection's name
        collection: String,
        /// Why; kept in the audit log
        #[arg(long, default_value = "not stated")]
        reason: String,
        /// Wait until every record key has moved
        #[arg(long)]
        wait: bool,
    },
    /// Show the rotation under way, or the last one
    Status {
        /// The collection's name
        collection: String,
    },
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &KeysCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    match command {
        KeysCommand::List { collection } => list(&client, collection),
        KeysCommand::Rotate { collection, reason, wait } => rotate(&client, collection, reason, *wait),
        KeysCommand::Status { collection } => {
            let keys = read(&client, collection)?;
            let text = keys.rotation.as_ref().map_or_else(
                || format!("{}: never rotated", clean(&keys.collection)),
                |rotation| format!("{}: {}", clean(&keys.collection), describe(rotation)),
            );
            Ok(Report::new(&keys.rotation, text))
        }
    }
}

fn read(client: &Client, collection: &str) -> Result<CollectionKeys, Failure> {
    client.get(&format!("/v1/collections/{}/keys", segment(collection)?), &())
}

fn list(client: &Client, collection: &str) -> Result<Report, Failure> {
    let keys = read(client, collection)?;
    let mut table = Table::new(["version", "state", "root epoch", "records", "wraps", "active since"]);
    for key in &keys.versions {
        table.row([
            key.version.to_string(),
            wire_name(&key.state),
            key.root_epoch.to_string(),
            key.records.to_string(),
            key.wraps.to_string(),
            key.activated_at.clone().unwrap_or_default(),
        ]);
    }
    Ok(Report::new(&keys, table.render()))
}

fn rotate(client: &Client, collection: &str, reason: &str, wait: bool) -> Result<Report, Failure> {
    let path = format!("/v1/collections/{}/keys/rotate", segment(collection)?);
    let mut rotation: KeyRotation = client.post(&path, &RotateKeys { reason: reason.to_owned() })?;
    let bar = progress::count(rotation.moved + rotation.remaining, "record keys moved");
    while wait && rotation.state == RotationState::Running {
        std::thread::sleep(LOOK);
        // A later rotation may have begun meanwhile: then this one is over.
        match read(client, collection)?.rotation {
            Some(now) if now.to_version == rotation.to_version => rotation = now,
            _ => break,
        }
        bar.set_length(rotation.moved + rotation.remaining);
        bar.set_position(rotation.moved);
    }
    bar.finish_and_clear();
    let text = describe(&rotation);
    Ok(Report::new(&rotation, text))
}

fn describe(rotation: &KeyRotation) -> String {
    format!(
        "from version {} to {}: {}, {} record keys moved, {} to move",
        rotation.from_version,
        rotation.to_version,
        wire_name(&rotation.state),
        rotation.moved,
        rotation.remaining
    )
}
