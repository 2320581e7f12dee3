//! `audit prove`: one entry with a proof that anyone can verify offline (c2sp.org/tlog-proof).

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use vault_core::audit::merkle::{Hash, inclusion_proof};
use vault_core::audit::proof::TlogProof;
use vault_core::audit::tile::{self, Kind, Tile, TileError, TileNodes, Tiles, WIDTH};

use super::server::Server;
use super::verify::public_key;
use crate::commands::Context;
use crate::error::Failure;
use crate::output::Report;

/// Arguments of `audit prove`.
#[derive(Args, Debug)]
pub struct ProveArgs {
    /// The entry's index
    index: u64,
    /// The log's public key, `name+id+base64`: the proof is verified before it is told
    #[arg(long, value_name = "KEY")]
    public_key: String,
    /// Write the proof here (customarily `.tlog-proof`); the entry goes to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Why a node cannot be had.
enum NodeError {
    Tile(TileError),
    Failure(Failure),
}

impl From<TileError> for NodeError {
    fn from(error: TileError) -> Self {
        Self::Tile(error)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Tile(error) => Self::Protocol(error.to_string()),
            NodeError::Failure(failure) => failure,
        }
    }
}

struct Fetched<'s, 'c>(&'s Server<'c>);

impl Tiles for Fetched<'_, '_> {
    type Error = NodeError;

    fn hashes(&self, level: u8, index: u64, width: u16) -> Result<impl AsRef<[Hash]>, NodeError> {
        let tile = Tile { kind: Kind::Hashes(level), index, width };
        let bytes = self.0.resource(tile).map_err(NodeError::Failure)?.ok_or(TileError::Missing(tile))?;
        Ok(tile::hashes(tile, &bytes)?)
    }
}

/// Runs the command.
pub fn run(context: &Context<'_>, args: &ProveArgs) -> Result<Report, Failure> {
    let key = public_key(&args.public_key)?;
    let client = context.client()?;
    let mut server = Server::new(&client);
    let note = server.note()?;
    let checkpoint = key.verify_checkpoint(&note).map_err(|error| Failure::Protocol(error.to_string()))?;
    let size = checkpoint.size();
    if args.index >= size {
        return Err(Failure::Usage(format!("the log has {size} entries")));
    }
    let missing = || Failure::Protocol("the server does not show the entry".to_owned());
    let bundle = Tile::of_size(Kind::Entries, args.index / u64::from(WIDTH), size).ok_or_else(missing)?;
    let bytes = server.resource(bundle)?.ok_or_else(missing)?;
    let entries = tile::entries(bundle.width, &bytes).map_err(|error| Failure::Protocol(error.to_string()))?;
    let place = usize::try_from(args.index % u64::from(WIDTH)).unwrap_or(usize::MAX);
    let entry = entries.get(place).ok_or_else(missing)?;
    let inclusion = inclusion_proof(&TileNodes::new(&Fetched(&server), size), args.index, size)?;
    let proof = TlogProof { extra: None, index: args.index, inclusion, checkpoint: note };
    proof.verify(entry, &key).map_err(|error| Failure::Protocol(error.to_string()))?;
    let proof = proof.to_string();
    let entry = String::from_utf8_lossy(entry).into_owned();
    let json = json!({
        "index": args.index, "tree_size": size, "proof": proof,
        "entry": serde_json::from_str(&entry).unwrap_or(Value::Null), "canonical": entry,
    });
    let text = match &args.out {
        Some(path) => {
            fs::write(path, &proof).map_err(Failure::file(path))?;
            entry
        }
        None => format!("{entry}\n\n{proof}"),
    };
    Ok(Report::new(&json, text))
}
