//! Where a passphrase comes from: a file of its owner's, a terminal, or standard input. Never an argument, never the
//! environment: both show in a process list.

use std::io::{IsTerminal as _, Read as _};

use vault_core::keys::keyring::Passphrase;
use zeroize::Zeroizing;

use super::CommandError;
use crate::config::Config;
use crate::custody::CustodyError;
use crate::custody::keyring_file::read_passphrase;

/// Longer input is not a passphrase.
const MOST: u64 = 2048;

/// For a keyring that is to be made: typed twice, when it is typed.
pub(super) fn fresh(config: &Config) -> Result<Passphrase, CommandError> {
    match &config.custody.passphrase_file {
        Some(path) => Ok(read_passphrase(path)?),
        None if std::io::stdin().is_terminal() => {
            let first = Zeroizing::new(rpassword::prompt_password("Passphrase for the new keyring: ")?);
            let again = Zeroizing::new(rpassword::prompt_password("The same again: ")?);
            if *first != *again {
                return Err(CommandError::Passphrase("the two differ"));
            }
            checked(Zeroizing::new(first.as_bytes().to_vec()))
        }
        None => checked(input()?),
    }
}

/// For a keyring that exists: as typed, for the server to judge.
pub(super) fn known() -> Result<Zeroizing<String>, CommandError> {
    if std::io::stdin().is_terminal() {
        return Ok(Zeroizing::new(rpassword::prompt_password("Passphrase: ")?));
    }
    let bytes = input()?;
    let text = std::str::from_utf8(&bytes).map_err(|_| CommandError::Passphrase("it is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn input() -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST as usize));
    std::io::stdin().lock().take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checked(bytes: Zeroizing<Vec<u8>>) -> Result<Passphrase, CommandError> {
    Ok(Passphrase::new(bytes).map_err(CustodyError::from)?)
}
