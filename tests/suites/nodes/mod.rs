//! Two nodes on one database and one object store: what holds on one holds on both.

mod database;
mod frozen;
mod log;
mod playback;
mod restart;
mod revocation;
mod uploads;

use vault_tests::blocked::Blocked;
use vault_tests::cli;
use vault_tests::strait::{BlockedStrait, Strait};
use vault_tests::vault::{Vault, elsewhere};

/// Two nodes of one vault.
struct Pair {
    /// In the room of the other: dropped first.
    two: Vault,
    one: Vault,
    /// Their way to the bucket, in a run that has one.
    strait: Option<Strait>,
}

/// A published log that cannot be written, until this is dropped.
enum BlockedLog<'p> {
    Directory { _blocked: Blocked },
    Bucket { _blocked: BlockedStrait<'p> },
}

impl Pair {
    fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// With further variables for both.
    fn start_with(more: Vec<(String, String)>) -> Self {
        let mut strait = None;
        let one = Vault::start_where(&[], |_| {
            let mut variables = elsewhere();
            for (name, value) in &mut variables {
                if name == "FEEDBACK_VAULT_OBJECTS_ENDPOINT" {
                    *value = strait.insert(Strait::to(value)).endpoint().to_owned();
                }
            }
            variables.extend(more);
            variables
        });
        let two = one.beside();
        Self { two, one, strait }
    }

    /// By turns.
    fn node(&self, turn: usize) -> &Vault {
        if turn.is_multiple_of(2) { &self.one } else { &self.two }
    }

    /// Each as the first and as the second.
    fn both_ways(&self) -> [(&Vault, &Vault); 2] {
        [(&self.one, &self.two), (&self.two, &self.one)]
    }

    fn block_log(&self) -> BlockedLog<'_> {
        match &self.strait {
            Some(strait) => BlockedLog::Bucket { _blocked: strait.block() },
            None => BlockedLog::Directory { _blocked: Blocked::log_of(&self.one) },
        }
    }

    /// The oracle: the log as each node shows it.
    #[track_caller]
    fn verify(&self) {
        for node in [&self.one, &self.two] {
            let _clean = cli::verify_log(node).expect(0);
        }
    }
}
