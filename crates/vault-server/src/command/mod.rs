//! The subcommands of `vault-server`, behind the parsing of arguments.

pub mod backup;
pub mod check;
pub mod dev;
pub mod init;
mod passphrase;
pub mod restore;
pub mod serve;
pub mod succeed;
pub mod unseal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::app::bootstrap::people_file::PeopleError;
use crate::app::error::Failure;
use crate::config::{Config, ConfigError};
use crate::custody::{CustodyError, FileError, private_file};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::state::database_source;
use crate::store::Store;

/// Why a command ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Memory for keys.
    #[error(transparent)]
    Memory(#[from] vault_memlock::LockError),
    /// The vault.
    #[error("{}", told(.0))]
    Vault(#[from] Failure),
    /// A file of secrets.
    #[error(transparent)]
    File(#[from] FileError),
    /// Custody, before there is a vault.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The file of people.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A file that cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// `dev` beyond this machine.
    #[error("dev listens on loopback only, not on {0}: its tokens lie in a file, and it has no TLS")]
    NotLoopback(SocketAddr),
    /// `init` where there is a vault.
    #[error("there is a vault here already; init changes nothing")]
    Initialised,
    /// The addresses and tokens of a development vault are gone.
    #[error(
        "{0} is missing or cannot be read, and with it the tokens of this vault; remove the directory to begin anew"
    )]
    DevFile(PathBuf),
    /// A backup.
    #[error(transparent)]
    Backup(#[from] crate::app::backup::BackupError),
    /// There is no vault to back up or to compare with.
    #[error("there is no vault at {0}")]
    NoVault(PathBuf),
    /// A backup that is whole and hangs on keys that are gone.
    #[error("the backup is whole, and not everything in it can be opened any more")]
    Outlived,
    /// No passphrase to be had.
    #[error("no passphrase: {0}")]
    Passphrase(&'static str),
    /// The admin listener said no, or nothing.
    #[error("{0}")]
    Refused(String),
    /// Anything else the operating system refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A failure keeps its causes for the operator's log; whoever runs a command is the operator.
fn told(failure: &Failure) -> String {
    match failure.causes() {
        causes if causes.is_empty() => failure.to_string(),
        causes => format!("{failure}: {causes}"),
    }
}

/// Keeps keys out of swap and core dumps, and files from others; before the first key and the first file is made.
fn protect(require: bool) -> Result<(), CommandError> {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let policy = if require { vault_memlock::Policy::Require } else { vault_memlock::Policy::Prefer };
    Ok(vault_memlock::init(policy)?)
}

/// Database and objects of the vault under this configuration, which has to be there; custody is not asked.
async fn stores(config: &Config) -> Result<(Store, Objects), CommandError> {
    stores_where(config, false).await
}

/// The same; `missing`: a database that is not there is made, empty.
async fn stores_where(config: &Config, missing: bool) -> Result<(Store, Objects), CommandError> {
    let embedded = config.data_dir.join("vault.db");
    if missing {
        crate::directory::make(&config.data_dir)?;
    } else if config.database.url.is_none() && !embedded.exists() {
        return Err(CommandError::NoVault(embedded));
    }
    let objects = Objects::open(config, private_file::read_secret).map_err(Failure::from)?;
    let store = Store::open(&database_source(config)?, Arc::new(Metrics::new())).await.map_err(Failure::from)?;
    Ok((store, objects))
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, CommandError> {
    std::net::TcpListener::bind(address).map_err(|source| CommandError::Listen { address, source })
}

/// Threads for what waits for the disk. Hundreds of uploads write side by side, and a thread for each of them would keep
/// those that answer requests, and the poll for restrictions, from the processor.
const BLOCKING_THREADS: usize = 32;

fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(BLOCKING_THREADS).build()?.block_on(work)
}
