//! `vault-server unseal`: hands a passphrase to a sealed server on this machine.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use vault_api::problem::Problem;
use zeroize::Zeroizing;

use super::{CommandError, passphrase};
use crate::config::Config;

/// Argon2id takes half a second; a busy machine some more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Unseals the server that runs under this configuration.
pub fn unseal(config: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<(), CommandError> {
    let config = Config::load(config, variables)?;
    let body = {
        let typed = passphrase::known()?;
        let quoted = Zeroizing::new(serde_json::to_string(typed.as_str()).unwrap_or_default());
        Zeroizing::new(format!("{{\"passphrase\":{}}}", quoted.as_str()))
    };
    let address = config.admin_listen;
    let unreachable = |source| CommandError::Listen { address, source };
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // One request on loopback needs no HTTP client.
    let head = format!(
        "POST /unseal HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    let problem = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Problem>(body).ok());
    let told = problem.map(|p| p.to_string());
    Err(CommandError::Refused(told.unwrap_or_else(|| "the admin listener gave no answer that can be read".to_owned())))
}
