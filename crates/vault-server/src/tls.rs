//! The certificate and its private key, as files.

use std::io;

use zeroize::Zeroizing;

use crate::config::Tls;
use crate::custody::private_file;

/// Largest certificate chain and private key that are read.
const PEM_BYTES: usize = 1 << 20;

/// Certificate chain and private key, in PEM. The key is a secret's file: readable by its owner alone.
pub async fn pair(files: &Tls) -> io::Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let certificate = tokio::fs::read(&files.certificate)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", files.certificate.display())))?;
    let path = files.private_key.clone();
    let key = tokio::task::spawn_blocking(move || private_file::read(&path, PEM_BYTES)).await?;
    Ok((certificate, key.map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, "chain").unwrap();
        std::fs::write(&private_key, "key").unwrap();
        let files = Tls { certificate, private_key: private_key.clone(), reload_seconds: 60 };
        std::fs::set_permissions(&private_key, PermissionsExt::from_mode(0o644)).unwrap();
        let refused = pair(&files).await.unwrap_err().to_string();
        assert!(refused.contains("key.pem") && refused.contains("0644"), "{refused}");
        std::fs::set_permissions(&private_key, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(pair(&files).await.unwrap(), (b"chain".to_vec(), Zeroizing::new(b"key".to_vec())));
    }
}
