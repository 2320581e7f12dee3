//! That a recording was encrypted anew is not that reading it was in the log before.
use vault_core::audit::entry::RecordReencrypted;
use vault_core::audit::evidence::Recorded;
use vault_core::media::disclosure::{Disclosure, NothingDisclosed};

fn late(done: &Recorded<RecordReencrypted>) -> Result<Disclosure, NothingDisclosed> {
    Disclosure::of_reencryption(done)
}

fn main() {}
