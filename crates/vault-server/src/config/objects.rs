//! Where media, the published log and the journal lie: a directory, or a bucket that speaks S3.

use core::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// Media and published log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// A directory; by default `objects` in the data directory.
    pub path: Option<PathBuf>,
    /// `s3://bucket` or `s3://bucket/prefix`, instead of a directory.
    pub url: Option<String>,
    /// The address of a store that is not Amazon's, `https://host[:port]`.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// Where the bucket's name goes in an address.
    pub addressing: Option<Addressing>,
    /// A file with the credentials, readable only by its owner. Without it the platform's role is used.
    pub credentials_file: Option<PathBuf>,
    /// A role to take on with a web identity (both keys or neither).
    pub role_arn: Option<String>,
    /// The file that the platform keeps the web identity's token in.
    pub web_identity_token_file: Option<PathBuf>,
    /// Authorities for the endpoint's certificate, PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Plain HTTP, to an endpoint on this machine only.
    pub allow_http: bool,
    /// The bucket keeps old versions and a lifecycle rule removes them: erasure ends only with that rule.
    pub acknowledge_versioning: bool,
}

/// Where the bucket's name goes in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// `https://endpoint/bucket/name`.
    Path,
    /// `https://bucket.endpoint/name`.
    VirtualHost,
}

/// A bucket, and what its objects' names begin with there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Elements before each name; may be empty.
    pub prefix: String,
}

impl Objects {
    /// The bucket, where there is one.
    pub fn bucket(&self) -> Result<Option<Bucket>, ConfigError> {
        let Some(url) = &self.url else { return Ok(None) };
        let wrong = ConfigError::Contradiction("objects.url: expected s3://bucket or s3://bucket/prefix");
        let Some(rest) = url.strip_prefix("s3://") else { return Err(wrong) };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        let elements =
            prefix.is_empty() || prefix.split('/').all(|e| plain(e) && !e.is_empty() && !e.bytes().all(|b| b == b'.'));
        if name.len() < 3 || !plain(name) || !elements {
            return Err(wrong);
        }
        Ok(Some(Bucket { name: name.to_owned(), prefix: prefix.to_owned() }))
    }

    /// Where the bucket's name goes: before Amazon's hosts, behind anybody else's, unless it is said.
    #[must_use]
    pub fn addressing(&self) -> Addressing {
        let usual = if self.endpoint.is_some() { Addressing::Path } else { Addressing::VirtualHost };
        self.addressing.unwrap_or(usual)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |what| Err(ConfigError::Contradiction(what));
        if self.bucket()?.is_none() {
            let said = self.endpoint.is_some()
                || self.region.is_some()
                || self.addressing.is_some()
                || self.credentials_file.is_some()
                || self.role_arn.is_some()
                || self.web_identity_token_file.is_some()
                || self.ca_file.is_some()
                || self.allow_http
                || self.acknowledge_versioning;
            return if said {
                contradiction("objects: what is said of a bucket needs objects.url = \"s3://…\"")
            } else {
                Ok(())
            };
        }
        if self.path.is_some() {
            return contradiction("objects: either path or url, not both");
        }
        if self.role_arn.is_some() != self.web_identity_token_file.is_some() {
            return contradiction("objects: role_arn and web_identity_token_file go together");
        }
        if self.role_arn.is_some() && self.credentials_file.is_some() {
            return contradiction("objects: either credentials_file or a role, not both");
        }
        let Some(endpoint) = &self.endpoint else {
            return if self.allow_http { contradiction("objects.allow_http: needs an endpoint") } else { Ok(()) };
        };
        let bad = "objects.endpoint: expected https://host or https://host:port and nothing behind it";
        let Ok(uri) = endpoint.parse::<http::Uri>() else { return contradiction(bad) };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return contradiction(bad) };
        if authority.as_str().contains('@') || uri.path() != "/" || uri.query().is_some() {
            return contradiction(bad);
        }
        match scheme {
            "https" => Ok(()),
            "http" if self.allow_http && is_loopback(authority.host()) => Ok(()),
            "http" => contradiction("objects.endpoint: plain HTTP needs allow_http = true, and only to this machine"),
            _ => contradiction(bad),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Objects, String> {
        let objects: Objects = toml::from_str(text).map_err(|e| e.to_string())?;
        objects.check().map_err(|e| e.to_string())?;
        Ok(objects)
    }

    #[test]
    fn a_bucket_has_a_name_and_maybe_a_prefix() {
        for (url, name, prefix) in [
            ("s3://vault", "vault", ""),
            ("s3://vault/", "vault", ""),
            ("s3://vault.example/prod/eu/", "vault.example", "prod/eu"),
        ] {
            let bucket = read(&format!("url = '{url}'")).unwrap().bucket().unwrap().unwrap();
            assert_eq!((bucket.name.as_str(), bucket.prefix.as_str()), (name, prefix), "{url}");
        }
        for bad in ["vault", "s3:/vault", "s3://", "s3://va", "s3://vault/a//b", "s3://vault/../b", "gs://vault"] {
            assert!(read(&format!("url = '{bad}'")).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let with = |endpoint: &str, more: &str| read(&format!("url = 's3://vault'\nendpoint = '{endpoint}'\n{more}"));
        assert!(with("https://s3.example:9000", "").is_ok());
        assert!(with("http://127.0.0.1:8333", "").is_err());
        for local in ["http://127.0.0.1:8333", "http://localhost:1", "http://[::1]:8333"] {
            assert!(with(local, "allow_http = true").is_ok(), "{local}");
        }
        for far in ["http://s3.example", "http://10.0.0.1:9000", "http://localhost.example", "http://0.0.0.0:1"] {
            assert!(with(far, "allow_http = true").is_err(), "{far}");
        }
        for bad in ["https://key:secret@s3.example", "https://s3.example/path", "s3.example", "ftp://s3.example"] {
            assert!(with(bad, "allow_http = true").is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for bad in [
            "region = 'eu-central-1'",
            "path = 'x'\nurl = 's3://vault'",
            "url = 's3://vault'\nrole_arn = 'arn:aws:iam::1:role/x'",
            "url = 's3://vault'\nrole_arn = 'x'\nweb_identity_token_file = 'x'\ncredentials_file = 'x'",
            "url = 's3://vault'\nallow_http = true",
            "url = 's3://vault'\nsecret_access_key = 'x'",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("url = 's3://vault'").unwrap().addressing(), Addressing::VirtualHost);
        assert_eq!(read("url = 's3://vault'\nendpoint = 'https://x'").unwrap().addressing(), Addressing::Path);
    }
}
