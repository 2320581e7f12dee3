//! The configuration: one TOML file, every key also as an environment variable, secrets only as file paths.
//!
//! `listen` becomes `FEEDBACK_VAULT_LISTEN`, `custody.keyring` becomes `FEEDBACK_VAULT_CUSTODY_KEYRING`. An
//! unknown key, in the file or the environment, is an error that names it.

mod database;
mod environment;
mod limits;
mod objects;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vault_core::keys::keyring::Setting;
use vault_core::keys::lifecycle::Cycle;
use zeroize::Zeroizing;

use crate::store::{Pooler, Source};

pub use crate::telemetry::Endpoint;
pub use limits::Limits;
pub use objects::{Addressing, Bucket, Objects};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not a configuration; the message names the key.
    #[error("in the configuration: {0}")]
    Parse(#[from] toml::de::Error),
    /// An environment variable with the vault's prefix that is no key.
    #[error("{0} is not a configuration key; see docs/configuration.md")]
    UnknownVariable(String),
    /// A variable holds a value of the wrong kind.
    #[error("{name}: expected {expected}")]
    Variable {
        /// The variable.
        name: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Contradiction(&'static str),
}

/// Everything a server is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the embedded database, objects and resume keys lie.
    pub data_dir: PathBuf,
    /// The address of the public listener.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The address of the admin listener: metrics, seal status, unseal. Loopback unless TLS is set.
    #[serde(default = "default_admin_listen")]
    pub admin_listen: SocketAddr,
    /// What this node does; everything unless set.
    #[serde(default = "every_role")]
    pub roles: Vec<Role>,
    /// The audit log's origin and the name of its key: a host and path without scheme.
    pub log_name: String,
    /// The metadata database.
    #[serde(default)]
    pub database: Database,
    /// Media and published log.
    #[serde(default)]
    pub objects: Objects,
    /// The root key.
    #[serde(default)]
    pub custody: Custody,
    /// The life of keys.
    #[serde(default)]
    pub keys: Keys,
    /// TLS on the public listener.
    pub tls: Option<Tls>,
    /// Plain HTTP behind these proxies only.
    #[serde(default)]
    pub proxy: Proxy,
    /// Bounds on what callers may ask.
    #[serde(default)]
    pub limits: Limits,
    /// Playback sessions.
    #[serde(default)]
    pub sessions: Sessions,
    /// What the server writes to standard error.
    #[serde(default)]
    pub logging: Logging,
    /// Traces.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// What the vault is for; `dev` sets it, no file or variable can.
    #[serde(skip, default = "production")]
    pub setting: Setting,
}

/// What a node can do, of several on one database and object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes uploads.
    Ingest,
    /// Opens playback sessions and serves them.
    Playback,
    /// Opens custody, and serves the life of keys. In this version every node needs it.
    Keys,
    /// Collects garbage, ends stale uploads, moves record keys after a rotation.
    Jobs,
}

fn every_role() -> Vec<Role> {
    vec![Role::Ingest, Role::Playback, Role::Keys, Role::Jobs]
}

const fn production() -> Setting {
    Setting::Production
}

/// The metadata database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:` or `postgres:` address, without a password; by default `vault.db` in the data directory.
    pub url: Option<String>,
    /// A file that holds the password for a server, readable only by its owner.
    pub password_file: Option<PathBuf>,
    /// Whether a pooler may stand before the server that gives each transaction another connection.
    pub pooler: Pooler,
    /// Most connections of this node to a server.
    pub connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, password_file: None, pooler: Pooler::default(), connections: Source::CONNECTIONS }
    }
}

/// The root key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Custody {
    /// The keyring file; by default `keyring` in the data directory. Keep it elsewhere than backups of the data.
    pub keyring: Option<PathBuf>,
    /// A file that holds the passphrase, readable only by its owner. Without it the server starts sealed and is
    /// unsealed on the admin listener.
    pub passphrase_file: Option<PathBuf>,
    /// Where resume keys lie; by default `resume` in the data directory. Nodes that take uploads share it. Keep it apart
    /// from database and objects, and out of backups.
    pub resume_dir: Option<PathBuf>,
}

/// The life of keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// How long a confirmed destruction waits, so that somebody can cancel it.
    pub destroy_cooling_off_hours: u64,
    /// Days from one cycle of keys to the next: by then at the latest one begins by itself. 0: only when somebody begins it.
    pub cycle_days: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Self { destroy_cooling_off_hours: 24, cycle_days: 30 }
    }
}

/// The longest wait for a destruction: a year.
const LONGEST_COOLING_OFF: u64 = 24 * 366;

/// TLS on the public listener. The files are read again when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub private_key: PathBuf,
    /// How often to look whether the files changed.
    #[serde(default = "default_reload_seconds")]
    pub reload_seconds: u64,
}

/// Plain HTTP behind named proxies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Addresses from which plain HTTP is accepted; a connection from any other is closed.
    pub trusted: Vec<IpAddr>,
}

/// Playback sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// How long a session lasts at the most; a collection may ask for less.
    pub minutes: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { minutes: 15 }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the server writes to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A filter such as `info` or `info,vault_server=debug`.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// Traces; nothing is exported without an endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// An OpenTelemetry collector that takes OTLP over plain HTTP.
    pub otlp_endpoint: Option<Endpoint>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_admin_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

const fn default_reload_seconds() -> u64 {
    60
}

impl Config {
    /// Reads the file, lays the environment over it, and checks what must go together.
    pub fn load(path: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_text(&text, variables)
    }

    /// From text and variables; what [`Config::load`] does after reading.
    pub fn from_text(text: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        // Parsed once as it stands, so that an error points to a line of the file.
        let mut table: toml::Table = toml::from_str(text)?;
        if environment::overlay(&mut table, variables)? == 0 {
            let config: Self = toml::from_str(text)?;
            config.check()?;
            return Ok(config);
        }
        let config: Self = table.try_into()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.tls.is_none() && self.proxy.trusted.is_empty() {
            return Err(ConfigError::Contradiction(
                "listen: an address other than loopback needs [tls], or [proxy] trusted = [the proxies' addresses]",
            ));
        }
        if self.tls.is_some() && !self.proxy.trusted.is_empty() {
            return Err(ConfigError::Contradiction("proxy.trusted is for plain HTTP: leave it out beside [tls]"));
        }
        if !self.admin_listen.ip().is_loopback() {
            return Err(ConfigError::Contradiction("admin_listen: the admin listener answers on loopback only"));
        }
        if self.log_name.is_empty() || self.log_name.chars().any(|c| c.is_whitespace() || c == '+' || c.is_control()) {
            return Err(ConfigError::Contradiction("log_name: a name without spaces or '+' (c2sp.org/signed-note)"));
        }
        if vault_core::audit::succession::generation(&self.log_name) > 1 {
            return Err(ConfigError::Contradiction(
                "log_name: the name of the first log; which successor is in force, the database says",
            ));
        }
        if !self.roles.contains(&Role::Keys) {
            return Err(ConfigError::Contradiction(
                "roles: a node without `keys` would need sealed intake, which this version does not have; add `keys`",
            ));
        }
        if self.sessions.minutes == 0 || self.limits.log_seconds == 0 || self.limits.idle_seconds == 0 {
            return Err(ConfigError::Contradiction(
                "a time of zero: sessions.minutes, limits.*_seconds are at least 1",
            ));
        }
        if self.keys.destroy_cooling_off_hours > LONGEST_COOLING_OFF {
            return Err(ConfigError::Contradiction("keys.destroy_cooling_off_hours: at most 8784, a year"));
        }
        if self.keys.cycle_days != 0 && Cycle::days(self.keys.cycle_days).is_err() {
            return Err(ConfigError::Contradiction("keys.cycle_days: 7 to 365, or 0 for no schedule"));
        }
        self.objects.check()?;
        if self.limits.least().contains(&0) {
            return Err(ConfigError::Contradiction("a limit of zero: limits.*_per_* and open_uploads are at least 1"));
        }
        if self.limits.buffer_bytes < 4 << 20 {
            return Err(ConfigError::Contradiction("limits.buffer_bytes: at least 4194304, eight video segments"));
        }
        self.database.check()
    }

    /// The database, with the password that `database.password_file` holds.
    #[must_use]
    pub fn database_source(&self, password: Option<Zeroizing<String>>) -> Source {
        let embedded = || format!("sqlite://{}?mode=rwc", self.data_dir.join("vault.db").display());
        Source {
            url: self.database.url.clone().unwrap_or_else(embedded),
            password,
            pooler: self.database.pooler,
            connections: self.database.connections,
        }
    }

    /// Whether this node has a role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Where objects lie.
    #[must_use]
    pub fn objects_path(&self) -> PathBuf {
        self.objects.path.clone().unwrap_or_else(|| self.data_dir.join("objects"))
    }

    /// Where the keyring lies.
    #[must_use]
    pub fn keyring_path(&self) -> PathBuf {
        self.custody.keyring.clone().unwrap_or_else(|| self.data_dir.join("keyring"))
    }

    /// Where resume keys lie: apart from database and objects, and out of backups.
    #[must_use]
    pub fn resume_path(&self) -> PathBuf {
        self.custody.resume_dir.clone().unwrap_or_else(|| self.data_dir.join("resume"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "data_dir = \"data\"\nlog_name = \"vault.example/log\"\n";

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Config::from_text(&format!("{MINIMAL}{text}"), variables.into_iter())
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = with("[custody]\nkeyrnig = \"x\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("keyrnig"), "{error}");
        let error = with("", &[("FEEDBACK_VAULT_LISTN", "x")]).unwrap_err().to_string();
        assert!(error.contains("FEEDBACK_VAULT_LISTN"), "{error}");
    }

    #[test]
    fn the_environment_lies_over_the_file() {
        let config = with(
            "[limits]\nupload_hours = 3\n",
            &[
                ("FEEDBACK_VAULT_LIMITS_UPLOAD_HOURS", "5"),
                ("FEEDBACK_VAULT_CUSTODY_PASSPHRASE_FILE", "/run/pass"),
                ("FEEDBACK_VAULT_PROXY_TRUSTED", "127.0.0.1,::1"),
                ("FEEDBACK_VAULT_URL", "http://for-the-cli"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!(config.limits.upload_hours, 5);
        assert_eq!(config.custody.passphrase_file.as_deref(), Some(Path::new("/run/pass")));
        assert_eq!(config.proxy.trusted.len(), 2);
    }

    #[test]
    fn a_node_has_the_roles_it_is_given_and_needs_keys() {
        assert_eq!(with("", &[]).unwrap().roles, every_role());
        let config = with("", &[("FEEDBACK_VAULT_ROLES", "ingest, keys")]).unwrap();
        assert!(config.has(Role::Ingest) && !config.has(Role::Playback));
        for roles in ["", "ingest", "ingest,playback,jobs"] {
            let error = with("", &[("FEEDBACK_VAULT_ROLES", roles)]).unwrap_err().to_string();
            assert!(error.contains("sealed intake"), "{error}");
        }
        assert!(with("", &[("FEEDBACK_VAULT_ROLES", "keys,cook")]).is_err());
    }

    #[test]
    fn a_variable_of_the_wrong_kind_is_named() {
        let error = with("", &[("FEEDBACK_VAULT_LIMITS_UPLOAD_HOURS", "soon")]).unwrap_err().to_string();
        assert!(error.contains("FEEDBACK_VAULT_LIMITS_UPLOAD_HOURS"), "{error}");
    }

    #[test]
    fn plain_http_beyond_loopback_needs_named_proxies() {
        let text = "listen = \"0.0.0.0:80\"\n";
        assert!(Config::from_text(&format!("{text}{MINIMAL}"), std::iter::empty()).is_err());
        let text = format!("{text}{MINIMAL}[proxy]\ntrusted = [\"10.0.0.7\"]\n");
        assert!(Config::from_text(&text, std::iter::empty()).is_ok());
    }
}
