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
use vault_tests::vault::Vault;

/// Two nodes of one vault.
struct Pair {
    /// In the room of the other: dropped first.
    two: Vault,
    one: Vault,
}

impl Pair {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further variables for both.
    fn start_with(more: &[(String, String)]) -> Self {
        let one = Vault::first_to_be_blocked(more);
        let two = one.beside();
        Self { two, one }
    }

    /// By turns.
    fn node(&self, turn: usize) -> &Vault {
        if turn.is_multiple_of(2) { &self.one } else { &self.two }
    }

    /// Each as the first and as the second.
    fn both_ways(&self) -> [(&Vault, &Vault); 2] {
        [(&self.one, &self.two), (&self.two, &self.one)]
    }

    fn block_log(&self) -> Blocked {
        Blocked::log_of(&self.one)
    }

    /// The oracle: the log as each node shows it.
    #[track_caller]
    fn verify(&self) {
        for node in [&self.one, &self.two] {
            let _clean = cli::verify_log(node).expect(0);
        }
    }
}
