//! `audit export`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek as _, Write as _, copy};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use vault_core::audit::bundle::{Header, entry_line};
use vault_core::audit::checkpoint::Checkpoint;
use vault_core::audit::tile::{self, Kind, Tile, WIDTH};
use vault_core::audit::verify::{Claim, Shown, Source as _};

use super::server::Server;
use crate::commands::Context;
use crate::error::Failure;
use crate::output::Report;
use crate::progress;

/// Arguments of `audit export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Where to write; only its owner will be able to read it, since opened slots name people
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// The size and origin that a signed note claims. Not verified here: an export is verified by whoever reads it.
pub fn claimed(note: &str) -> Result<Checkpoint, Failure> {
    let text = note.rfind("\n\n").and_then(|at| note.get(..=at));
    let checkpoint = text.and_then(|text| Checkpoint::parse(text).ok());
    checkpoint.ok_or_else(|| Failure::Protocol("the server's checkpoint is not one".to_owned()))
}

/// Runs the command.
pub fn run(context: &Context<'_>, args: &ExportArgs) -> Result<Report, Failure> {
    let client = context.client()?;
    let mut server = Server::new(&client);
    let note = server.note()?;
    let size = claimed(&note)?.size;
    let mut name = args.out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    // The entries first: whether the export is complete is known when they are written.
    let partial = args.out.with_file_name(name);
    let written = write(&mut server, &note, size, &partial, &args.out);
    // On success it is spent, on failure half of one; the failure is what counts.
    let _ = fs::remove_file(&partial);
    let complete = written?;
    let json = json!({"path": args.out, "entries": size, "complete": complete, "origin": claimed(&note)?.origin});
    let withheld = if complete { "" } else { "\nSome slots are withheld: the export is not complete." };
    Ok(Report::new(&json, format!("{}: {size} entries{withheld}", args.out.display())))
}

fn write(server: &mut Server<'_>, note: &str, size: u64, partial: &Path, out: &Path) -> Result<bool, Failure> {
    let bar = progress::count(size, "exporting");
    let mut body = BufWriter::new(private(partial)?);
    let mut complete = true;
    for number in 0..size.div_ceil(u64::from(WIDTH)) {
        let Some(bundle) = Tile::of_size(Kind::Entries, number, size) else { break };
        let bytes = server.resource(bundle)?.ok_or_else(|| Failure::Protocol(format!("{bundle} is missing")))?;
        let first = number * u64::from(WIDTH);
        let mut shown = server.openings(first, first + u64::from(bundle.width))?;
        let entries =
            tile::entries(bundle.width, &bytes).map_err(|error| Failure::Protocol(format!("{bundle}: {error}")))?;
        for (index, entry) in (first..).zip(entries) {
            let (mine, others): (Vec<Shown>, Vec<Shown>) = shown.into_iter().partition(|slot| slot.index == index);
            shown = others;
            complete &= !mine.iter().any(|slot| matches!(slot.claim, Claim::Withheld));
            let line =
                entry_line(entry, &mine).map_err(|error| Failure::Protocol(format!("entry {index}: {error}")))?;
            body.write_all(line.as_bytes()).map_err(Failure::file(partial))?;
        }
        bar.set_position(first + u64::from(bundle.width));
    }
    bar.finish_and_clear();
    let mut body = body.into_inner().map_err(|error| Failure::file(partial)(error.into_error()))?;
    body.rewind().map_err(Failure::file(partial))?;
    let header = Header::new(note.to_owned(), complete).to_line();
    let header = header.map_err(|error| Failure::Protocol(error.to_string()))?;
    let mut whole = private(out)?;
    whole.write_all(header.as_bytes()).map_err(Failure::file(out))?;
    copy(&mut body, &mut whole).map_err(Failure::file(out))?;
    whole.sync_all().map_err(Failure::file(out))?;
    Ok(complete)
}

/// A file that only its owner can read, also where one with wider permissions stood before.
fn private(path: &Path) -> Result<File, Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Failure::file(path)(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).open(path).map_err(Failure::file(path))
}
