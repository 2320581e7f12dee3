//! What `cargo xtask bench` measures within the server's crate; one program, since linking one takes minutes.
//!
//! | call | does |
//! | --- | --- |
//! | `bench_server append FOLDER [DATABASE]` | both sides of `audit.append`: one line of JSON |
//! | `bench_server fill DATABASE COLLECTION COUNT` | records for `scale` |

mod append;
mod fill;

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
        _ => return Err("the arguments are append FOLDER [DATABASE], or fill DATABASE COLLECTION COUNT".into()),
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
