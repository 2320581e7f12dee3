//! The token: from a file that only its owner can read, or from what `login` kept.
//!
//! A token never comes from the command line or an environment variable, where other processes could
//! read it. What `login` keeps is bound to the address it was made for, so that another `--url` cannot
//! draw the token out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_api::names::TOKEN_PREFIX;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Failure;

/// No token, login or consent is longer than this.
const MAX_FILE: u64 = 64 * 1024;

/// What `login` keeps.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    url: String,
    token: String,
}

impl Drop for Login {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

/// Whether text looks like a token of the vault: the prefix and 43 characters of base64url.
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

/// Reads a token file: one token, a line break at most after it.
pub fn read_token_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = read_private(path)?;
    let token = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
    if is_token(&token) {
        Ok(token)
    } else {
        Err(Failure::Token(format!("{} does not hold a token (fv_ and 43 characters)", path.display())))
    }
}

/// The address and token that `login` kept, if it did.
pub fn read_login(path: &Path) -> Result<Option<(String, Zeroizing<String>)>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let text = read_private(path)?;
    let mut login: Login = serde_json::from_str(&text)
        .map_err(|_| Failure::Token(format!("{} is damaged: log in again", path.display())))?;
    Ok(Some((std::mem::take(&mut login.url), Zeroizing::new(std::mem::take(&mut login.token)))))
}

/// Keeps address and token where [`read_login`] finds them.
pub fn write_login(path: &Path, url: &str, token: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Failure::file(folder))?;
    }
    let login = Login { url: url.to_owned(), token: token.to_owned() };
    let text = Zeroizing::new(serde_json::to_string(&login).map_err(|error| Failure::Token(error.to_string()))?);
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    write_private(&beside, text.as_bytes())?;
    std::fs::rename(&beside, path).map_err(Failure::file(path))
}

/// Makes a file that only its owner can read; refuses one that exists.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(Failure::file(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Failure::file(path))
}

/// Where `login` keeps what it keeps: `feedback-vault/login.json` under the user's configuration.
pub fn login_path(config_home: Option<&Path>) -> Result<PathBuf, Failure> {
    let home = match config_home {
        Some(folder) if folder.is_absolute() => folder.to_owned(),
        _ => std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or_else(|| Failure::Token("there is no home directory to keep a login in".to_owned()))?
            .join(".config"),
    };
    Ok(home.join("feedback-vault").join("login.json"))
}

/// Reads a file after checking, on the open file, that others can neither read nor change it.
fn read_private(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let file = File::open(path).map_err(Failure::file(path))?;
    let meta = file.metadata().map_err(Failure::file(path))?;
    if !meta.is_file() {
        return Err(Failure::Token(format!("{} is not a file", path.display())));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(Failure::Token(format!("{} can be read by others (mode {mode:o}): make it 600", path.display())));
    }
    // A file of root's is root's doing anyway: mounted secrets are.
    if meta.uid() != rustix::process::geteuid().as_raw() && meta.uid() != 0 {
        return Err(Failure::Token(format!("{} belongs to somebody else", path.display())));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(Failure::file(path))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOKEN: &str = "fv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn what_is_a_token() {
        assert!(is_token(TOKEN));
        for other in ["", "fv_", &TOKEN[..45], &format!("{TOKEN}A"), &TOKEN.replace('A', "+"), &TOKEN[3..]] {
            assert!(!is_token(other), "{other}");
        }
    }

    #[test]
    fn a_token_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write_private(&path, format!("{TOKEN}\n").as_bytes()).unwrap();
        assert_eq!(read_token_file(&path).unwrap().as_str(), TOKEN);
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = read_token_file(&path).unwrap_err().to_string();
            assert!(refused.contains("can be read by others"), "{refused}");
            assert!(!refused.contains(TOKEN));
        }
    }

    #[test]
    fn a_login_is_kept_for_its_owner_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = login_path(Some(dir.path())).unwrap();
        assert!(read_login(&path).unwrap().is_none());
        write_login(&path, "http://127.0.0.1:1", "fv_old").unwrap();
        write_login(&path, "http://127.0.0.1:2", TOKEN).unwrap();
        let (url, token) = read_login(&path).unwrap().unwrap();
        assert_eq!((url.as_str(), token.as_str()), ("http://127.0.0.1:2", TOKEN));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}
