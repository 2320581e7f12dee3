//! Two nodes on one database and one object store: what holds on one holds on both.

mod log;
mod playback;
mod restart;
mod revocation;
mod uploads;

use vault_tests::cli;
use vault_tests::vault::Vault;

/// Two nodes of one vault.
struct Pair {
    /// In the room of the other: dropped first.
    two: Vault,
    one: Vault,
}

impl Pair {
    fn start() -> Self {
        let one = Vault::start();
        let two = one.beside();
        Self { two, one }
    }

    /// By turns.
    fn node(&self, turn: usize) -> &Vault {
        if turn.is_multiple_of(2) { &self.one } else { &self.two }
    }

    /// The oracle: the log as each node shows it.
    #[track_caller]
    fn verify(&self) {
        for node in [&self.one, &self.two] {
            let _clean = cli::verify_log(node).expect(0);
        }
    }
}
