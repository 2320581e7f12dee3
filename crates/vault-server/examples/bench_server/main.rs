//! What `cargo xtask bench` measures within the server's crate; one program, since linking one takes minutes.
//!
//! | call | does |
//! | --- | --- |
//! | `bench_server append FOLDER [DATABASE]` | both sides of `audit.append`: one line of JSON |
//! | `bench_server fill DATABASE COLLECTION COUNT` | records for `scale` |
//! | `bench_server wrapped DATA DATABASE COLLECTION COUNT` | records with true wraps for `rotate.*` |
//! | `bench_server rewrite DATABASE COLLECTION BATCH` | the bare program beside `rotate.*`: one line of JSON |

mod append;
mod fill;
mod rotate;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn run() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = match arguments.as_slice() {
        ["append", folder] => runtime.block_on(append::measure(Path::new(folder), None))?,
        ["append", folder, database] => runtime.block_on(append::measure(Path::new(folder), Some(database)))?,
        ["fill", database, collection, count] => {
            runtime.block_on(fill::fill(database, &collection.parse()?, count.parse()?))?
        }
        ["wrapped", data, database, collection, count] => {
            runtime.block_on(rotate::fill(Path::new(data), database, &collection.parse()?, count.parse()?))?
        }
        ["rewrite", database, collection, batch] => {
            runtime.block_on(rotate::rewrite(database, &collection.parse()?, batch.parse()?))?
        }
        _ => return Err(
            "the arguments are append FOLDER [DATABASE], or fill DATABASE COLLECTION COUNT, or wrapped …, or rewrite …"
                .into(),
        ),
    };
    writeln!(std::io::stdout(), "{done}")?;
    Ok(())
}

#[allow(clippy::print_stderr)] // A program's own diagnostics.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench_server: {e}");
            ExitCode::FAILURE
        }
    }
}
