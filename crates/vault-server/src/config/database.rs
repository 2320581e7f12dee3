//! What an address of a database may say.

use crate::store::Engine;

use super::{ConfigError, Database};

/// Fewer connections would let writers wait for readers.
const FEWEST: u32 = 4;

impl Database {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let engine = match &self.url {
            None => Some(Engine::Sqlite),
            Some(url) => Engine::of(url),
        };
        match engine {
            None => Err(ConfigError::Contradiction("database.url: an address that begins with sqlite: or postgres:")),
            Some(Engine::Sqlite) if self.password_file.is_some() => {
                Err(ConfigError::Contradiction("database.password_file: only a server asks for a password"))
            }
            Some(Engine::Sqlite) => Ok(()),
            Some(Engine::Postgres) => self.check_server(),
        }
    }

    fn check_server(&self) -> Result<(), ConfigError> {
        let url = self.url.as_deref().unwrap_or_default();
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, _) = address.split_once('/').unwrap_or((address, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let parameter = |name: &str| {
            let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
        };
        if user.contains(':') || parameter("password").is_some() {
            return Err(ConfigError::Contradiction(
                "database.url: no password in it; database.password_file names one",
            ));
        }
        // What an unnamed mode would do is fall back to plain text without a word.
        let host = parameter("host").or(parameter("hostaddr")).unwrap_or(host);
        let mode = parameter("sslmode").or(parameter("ssl-mode"));
        if !is_this_machine(host) && matches!(mode, None | Some("prefer" | "allow")) {
            return Err(ConfigError::Contradiction(
                "database.url: beyond this machine it names its sslmode: verify-full (with sslrootcert=FILE), or, where \
                 the network is trusted, require or disable",
            ));
        }
        if self.connections < FEWEST {
            return Err(ConfigError::Contradiction("database.connections: at least 4"));
        }
        Ok(())
    }
}

/// A socket in the file system, or loopback.
fn is_this_machine(host: &str) -> bool {
    if host.is_empty() || host.starts_with('/') || host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"))
    {
        return true;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or(host),
        None => host,
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<(), ConfigError> {
        Database { url: Some(url.to_owned()), ..Database::default() }.check()
    }

    #[test]
    fn a_password_stands_in_no_address() {
        assert!(of("postgres://vault:secret@localhost/vault").is_err());
        assert!(of("postgres://vault@localhost/vault?password=secret").is_err());
        assert!(of("postgres://vault@localhost/vault").is_ok());
    }

    #[test]
    fn beyond_this_machine_the_address_says_how_it_is_protected() {
        for near in ["localhost:5433", "127.0.0.1", "[::1]:5432", "%2Frun%2Fpostgresql", ""] {
            assert!(of(&format!("postgres://vault@{near}/vault")).is_ok(), "{near}");
        }
        assert!(of("postgres:///vault?host=/run/postgresql").is_ok());
        for far in ["db.example", "10.0.0.7:5432", "[2001:db8::1]:5432"] {
            assert!(of(&format!("postgres://vault@{far}/vault")).is_err(), "{far}");
            assert!(of(&format!("postgres://vault@{far}/vault?sslmode=prefer")).is_err(), "{far}");
            assert!(of(&format!("postgres://vault@{far}/vault?sslmode=verify-full")).is_ok(), "{far}");
        }
        assert!(of("postgres://vault@localhost/vault?host=db.example").is_err());
    }

    #[test]
    fn an_address_of_another_kind_is_refused() {
        assert!(of("mysql://localhost/vault").is_err());
        assert!(of("sqlite://vault.db?mode=rwc").is_ok());
        let both = Database { password_file: Some("password".into()), ..Database::default() };
        assert!(both.check().is_err());
    }
}
