//! A bucket that speaks S3, through `object_store`.
//!
//! Every object is one PUT of a name that is never used for other bytes, so a request may be sent again, and land late,
//! without harm. The one name that is replaced is the published log's checkpoint: an older one that lands late is
//! behind the database, which is what a start repairs. Nothing relies on conditional puts, on listings, or on multipart
//! uploads, so no unfinished one is ever left in the bucket.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::credentials::{CredentialsError, CredentialsFile, ReadSecret};
use crate::config::{Addressing, Bucket, Objects as Settings};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(3);
/// For one attempt, its last byte included: at four MiB it allows 350 KiB a second.
const ATTEMPT: Duration = Duration::from_secs(12);
/// No attempt begins later than this after the first. With [`ATTEMPT`] it stays below [`super::DEADLINE`].
const RETRY: Duration = Duration::from_secs(16);
/// Throttling, 5xx and broken connections are met with pauses that double from the first to the second of these.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Where the platform's role is asked for when the region is not said.
const REGION: &str = "us-east-1";

/// Why no client was made.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The credentials' file.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The file of authorities.
    #[error("{path} holds no certificates in PEM")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// What `object_store` refuses.
    #[error("the object store's settings do not fit together")]
    Settings(#[source] object_store::Error),
}

/// A client for the bucket. Nothing has been asked of it yet.
pub(super) fn client(settings: &Settings, bucket: &Bucket, read: ReadSecret) -> Result<Arc<dyn ObjectStore>, S3Error> {
    let mut options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(ATTEMPT)
        .with_allow_http(settings.allow_http)
        .with_user_agent(http::HeaderValue::from_static(concat!("feedback-vault/", env!("CARGO_PKG_VERSION"))));
    if let Some(path) = &settings.ca_file {
        let failed =
            |source: Box<dyn core::error::Error + Send + Sync>| S3Error::Authorities { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(|e| failed(e.into()))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|e| failed(e.into()))?;
        if authorities.is_empty() {
            return Err(failed("no certificate".into()));
        }
        // Whoever names the authority of a private store wants no other to vouch for it.
        let only = options.with_no_system_certificates(true);
        options = authorities.into_iter().fold(only, ClientOptions::with_root_certificate);
    }
    let virtual_hosted = settings.addressing() == Addressing::VirtualHost;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(settings.region.as_deref().unwrap_or(REGION))
        .with_virtual_hosted_style_request(virtual_hosted)
        .with_allow_http(settings.allow_http)
        // One DELETE for each name: the bulk call answers 200 for names that it did not delete.
        .with_disable_bulk_delete(true)
        .with_client_options(options)
        .with_retry(retries());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(if virtual_hosted { hosted(endpoint, &bucket.name) } else { endpoint.clone() });
    }
    if let Some(path) = &settings.credentials_file {
        builder = builder.with_credentials(Arc::new(CredentialsFile::open(path, read)?));
    } else if let (Some(role), Some(token)) = (&settings.role_arn, &settings.web_identity_token_file) {
        builder = builder
            .with_config(AmazonS3ConfigKey::RoleArn, role)
            .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token.display().to_string());
    }
    let store = builder.build().map_err(S3Error::Settings)?;
    Ok(if bucket.prefix.is_empty() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, bucket.prefix.as_str()))
    })
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: PAUSE.0, max_backoff: PAUSE.1, base: 2.0 };
    RetryConfig { backoff, max_retries: 10, retry_timeout: RETRY }
}

/// The endpoint with the bucket's name before its host.
fn hosted(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_name_goes_before_the_host() {
        assert_eq!(hosted("https://s3.example:9000", "vault"), "https://vault.s3.example:9000");
    }

    #[test]
    fn the_last_attempt_ends_before_the_deadline() {
        assert!(RETRY + ATTEMPT < super::super::DEADLINE);
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let settings = Settings { ca_file: Some(path.clone()), ..Settings::default() };
        let bucket = Bucket { name: "vault".into(), prefix: String::new() };
        let made = || client(&settings, &bucket, |_, _| Err("none".into()));
        assert!(matches!(made(), Err(S3Error::Authorities { .. })));
        std::fs::write(&path, "not a certificate").unwrap();
        assert!(matches!(made(), Err(S3Error::Authorities { .. })));
    }
}
