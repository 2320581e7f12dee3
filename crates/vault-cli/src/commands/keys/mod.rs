//! `keys list|rotate|status|pause|resume|throttle|verify|mark-compromised|exposed|destroy|cycle`.

mod cycle;
mod destroy;
mod exposed;
mod rotation;
mod verify;

use clap::Subcommand;
use vault_api::keys::{CollectionKeys, KeyRotation, MarkCompromised, RotateKeys};

pub use destroy::told;

use cycle::CycleCommand;
use destroy::DestroyArgs;

use crate::client::{Client, segment};
use crate::commands::Context;
use crate::error::Failure;
use crate::output::{Report, Table, wire_name};

/// What to do with a collection's keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the versions of a collection's key, newest first, with all that they wrap
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
        /// Show what would be done and why, and do nothing
        #[arg(long, conflicts_with = "wait")]
        plan: bool,
        /// Move at most so many record keys a second
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        throttle: Option<u32>,
        /// Wait until every record key has moved
        #[arg(long)]
        wait: bool,
    },
    /// Show the rotation under way, or the last one
    Status {
        /// The collection's name
        collection: String,
        /// Go on showing it until it is done
        #[arg(long)]
        watch: bool,
    },
    /// Stop moving record keys; the new version wraps what is new all the same
    Pause {
        /// The collection's name
        collection: String,
    },
    /// Go on moving record keys
    Resume {
        /// The collection's name
        collection: String,
    },
    /// Set how many record keys a second the rotation under way may move
    Throttle {
        /// The collection's name
        collection: String,
        /// So many; as fast as it goes when it is left out
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        records_per_second: Option<u32>,
    },
    /// Prove that every wrap opens under the version it names: exit code 3 when one does not
    Verify {
        /// Collections by their names; all that the token may see when none is named
        collections: Vec<String>,
    },
    /// Mark a version as compromised: another is active at once, and record keys move to it before anything else
    MarkCompromised {
        /// The collection's name
        collection: String,
        /// The version
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
        /// The incident, as it is called elsewhere
        #[arg(long)]
        incident: String,
        /// What happened; kept in the audit log
        #[arg(long)]
        reason: String,
    },
    /// List the records whose keys a version wraps or may have wrapped: what a leak of it and of wraps under it exposes
    Exposed {
        /// The collection's name
        collection: String,
        /// The version
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
    },
    /// Destroy a version that nothing needs: one key officer asks, another confirms, and it waits out its time
    Destroy(DestroyArgs),
    /// The cycle that makes erasures final: every version and root epoch of now is replaced and destroyed
    #[command(subcommand)]
    Cycle(CycleCommand),
}

/// Runs a command.
pub fn run(context: &Context<'_>, command: &KeysCommand) -> Result<Report, Failure> {
    let client = context.client()?;
    match command {
        KeysCommand::List { collection } => list(&client, collection),
        KeysCommand::Rotate { collection, reason, plan, throttle, wait } => {
            let request = RotateKeys { reason: reason.clone(), plan_only: *plan, throttle: *throttle };
            if *plan {
                rotation::plan(&client, collection, &request)
            } else {
                rotation::rotate(&client, collection, &request, *wait)
            }
        }
        KeysCommand::Status { collection, watch } => rotation::status(&client, collection, *watch),
        KeysCommand::Pause { collection } => rotation::pause(&client, collection),
        KeysCommand::Resume { collection } => rotation::resume(&client, collection),
        KeysCommand::Throttle { collection, records_per_second } => {
            rotation::throttle(&client, collection, *records_per_second)
        }
        KeysCommand::MarkCompromised { collection, version, incident, reason } => {
            let request = MarkCompromised { incident: incident.clone(), reason: reason.clone() };
            let rotation: KeyRotation =
                client.post(&path(collection, &format!("/{version}/mark-compromised"))?, &request)?;
            let text = format!("version {version} is compromised; version {} takes its place", rotation.to_version);
            Ok(Report::new(&rotation, text))
        }
        KeysCommand::Exposed { collection, version } => exposed::run(&client, collection, *version),
        KeysCommand::Destroy(args) => destroy::run(&client, args),
        KeysCommand::Cycle(command) => cycle::run(&client, command),
        KeysCommand::Verify { collections } => verify::run(&client, collections),
    }
}

/// The address of what concerns a collection's keys.
fn path(collection: &str, rest: &str) -> Result<String, Failure> {
    Ok(format!("/v1/collections/{}/keys{rest}", segment(collection)?))
}

fn list(client: &Client, collection: &str) -> Result<Report, Failure> {
    let keys: CollectionKeys = client.get(&path(collection, "")?, &())?;
    let heads = ["version", "state", "root epoch", "records", "other keys", "wraps", "new keys", "active since"];
    let mut table = Table::new(heads);
    for key in &keys.versions {
        let children: Vec<String> = key.children.iter().map(wire_name).collect();
        table.row([
            key.version.to_string(),
            wire_name(&key.state),
            key.root_epoch.to_string(),
            key.records.to_string(),
            if children.is_empty() { "-".to_owned() } else { children.join(" ") },
            key.wraps.to_string(),
            key.new_keys.to_string(),
            key.activated_at.clone().unwrap_or_default(),
        ]);
    }
    let mut text = table.render();
    for one in &keys.destructions {
        text.push_str(&format!("\n{}", told(&format!("version {}", one.number), one)));
    }
    Ok(Report::new(&keys, text))
}
