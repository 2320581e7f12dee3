//! Environment variables over the configuration file.

use toml::{Table, Value};

use super::ConfigError;

const PREFIX: &str = "FEEDBACK_VAULT_";

/// The command line's own variables, which share the prefix.
const OF_THE_CLI: [&str; 3] = ["FEEDBACK_VAULT_URL", "FEEDBACK_VAULT_TOKEN_FILE", "FEEDBACK_VAULT_CA_FILE"];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Flag,
    List,
}

/// Every key by its path. A test holds this against the documentation, and the parser refuses what is missing
/// from the types.
const KEYS: &[(&[&str], Kind)] = &[
    (&["data_dir"], Kind::Text),
    (&["listen"], Kind::Text),
    (&["admin_listen"], Kind::Text),
    (&["log_name"], Kind::Text),
    (&["roles"], Kind::List),
    (&["database", "url"], Kind::Text),
    (&["database", "password_file"], Kind::Text),
    (&["database", "pooler"], Kind::Text),
    (&["database", "connections"], Kind::Number),
    (&["objects", "path"], Kind::Text),
    (&["objects", "url"], Kind::Text),
    (&["objects", "endpoint"], Kind::Text),
    (&["objects", "region"], Kind::Text),
    (&["objects", "addressing"], Kind::Text),
    (&["objects", "credentials_file"], Kind::Text),
    (&["objects", "role_arn"], Kind::Text),
    (&["objects", "web_identity_token_file"], Kind::Text),
    (&["objects", "ca_file"], Kind::Text),
    (&["objects", "allow_http"], Kind::Flag),
    (&["objects", "acknowledge_versioning"], Kind::Flag),
    (&["custody", "keyring"], Kind::Text),
    (&["custody", "passphrase_file"], Kind::Text),
    (&["custody", "resume_dir"], Kind::Text),
    (&["keys", "destroy_cooling_off_hours"], Kind::Number),
    (&["keys", "cycle_days"], Kind::Number),
    (&["tls", "certificate"], Kind::Text),
    (&["tls", "private_key"], Kind::Text),
    (&["tls", "reload_seconds"], Kind::Number),
    (&["proxy", "trusted"], Kind::List),
    (&["limits", "upload_bytes"], Kind::Number),
    (&["limits", "upload_hours"], Kind::Number),
    (&["limits", "open_uploads"], Kind::Number),
    (&["limits", "sessions_per_person"], Kind::Number),
    (&["limits", "person_per_minute"], Kind::Number),
    (&["limits", "address_per_minute"], Kind::Number),
    (&["limits", "failures_per_minute"], Kind::Number),
    (&["limits", "collection_per_minute"], Kind::Number),
    (&["limits", "connections_per_address"], Kind::Number),
    (&["limits", "collection_bytes_per_day"], Kind::Number),
    (&["limits", "collection_records"], Kind::Number),
    (&["limits", "buffer_bytes"], Kind::Number),
    (&["limits", "idle_seconds"], Kind::Number),
    (&["limits", "log_seconds"], Kind::Number),
    (&["limits", "leave_seconds"], Kind::Number),
    (&["limits", "drain_seconds"], Kind::Number),
    (&["sessions", "minutes"], Kind::Number),
    (&["logging", "format"], Kind::Text),
    (&["logging", "level"], Kind::Text),
    (&["telemetry", "otlp_endpoint"], Kind::Text),
];

/// Lays the variables over the table; answers how many there were.
pub(super) fn overlay(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<usize, ConfigError> {
    let mut laid = 0;
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if OF_THE_CLI.contains(&name.as_str()) {
            continue;
        }
        let found = KEYS.iter().find(|(path, _)| path.join("_").to_uppercase() == key);
        let Some((path, kind)) = found else { return Err(ConfigError::UnknownVariable(name)) };
        let value = parse(&name, *kind, &value)?;
        match path {
            [key] => {
                table.insert((*key).to_owned(), value);
            }
            [section, key] => {
                let inner = table.entry((*section).to_owned()).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(inner) = inner {
                    inner.insert((*key).to_owned(), value);
                }
            }
            _ => return Err(ConfigError::UnknownVariable(name)),
        }
        laid += 1;
    }
    Ok(laid)
}

fn parse(name: &str, kind: Kind, value: &str) -> Result<Value, ConfigError> {
    let wrong = |expected| ConfigError::Variable { name: name.to_owned(), expected };
    Ok(match kind {
        Kind::Text => Value::String(value.to_owned()),
        Kind::Number => Value::Integer(value.parse().map_err(|_| wrong("a whole number"))?),
        Kind::Flag => Value::Boolean(value.parse().map_err(|_| wrong("true or false"))?),
        Kind::List => {
            Value::Array(value.split(',').filter(|v| !v.is_empty()).map(|v| Value::String(v.trim().into())).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use vault_core::time::Clock as _;

    use super::*;

    #[test]
    fn every_key_is_documented() {
        let text = include_str!("../../../../docs/configuration.md");
        for (path, _) in KEYS {
            assert!(text.contains(&format!("`{}`", path.join("."))), "{path:?}");
        }
    }

    /// Words with our prefix, as far as a variable's name goes.
    fn variables(text: &str) -> impl Iterator<Item = &str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.strip_prefix(PREFIX).is_some_and(|key| !key.is_empty()))
    }

    #[test]
    fn every_variable_that_deploy_and_docs_name_is_one() {
        let known = |name: &str| {
            let key = |(path, _): &(&[&str], Kind)| format!("{PREFIX}{}", path.join("_").to_uppercase()) == name;
            OF_THE_CLI.contains(&name) || KEYS.iter().any(key)
        };
        assert!(known("FEEDBACK_VAULT_CUSTODY_KEYRING") && !known("FEEDBACK_VAULT_CUSTODY_KEYRINGS"));
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut folders = vec![root.join("deploy"), root.join("docs")];
        let mut files = vec![root.join("README.md")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        let mut named = 0;
        for path in files {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for name in variables(&text) {
                assert!(known(name), "{} names {name}, which the server does not know", path.display());
                named += 1;
            }
        }
        assert!(named > 3, "only {named} variables are named anywhere");
    }

    #[test]
    fn the_nodes_of_the_compose_file_start_under_a_configuration_that_is_one() {
        let text = include_str!("../../../../deploy/compose/vault.toml");
        let config = crate::config::Config::from_text(text, std::iter::empty()).unwrap();
        let services = include_str!("../../../../deploy/compose/compose.yaml");
        let database = config.database.url.as_deref().unwrap_or_default();
        let endpoint = config.objects.endpoint.as_deref().unwrap_or_default();
        for (address, service) in [(database, "postgres"), (endpoint, "store")] {
            assert!(address.contains(&format!("{service}:")), "{address}");
            assert!(services.contains(&format!("\n  {service}:\n")), "{service}");
        }
        let bucket = config.objects.bucket().unwrap().unwrap();
        assert!(services.contains(&format!("s3.bucket.create -name {}", bucket.name)));
        assert!(services.contains(&format!(":{}\"]", config.listen.port())));
        let people = include_str!("../../../../deploy/compose/people.toml");
        assert!(crate::app::bootstrap::people_file::parse(people, crate::clock::SystemClock.now()).is_ok());
    }

    #[test]
    fn the_sample_configuration_is_valid_and_names_every_key() {
        let sample = include_str!("../../../../deploy/vault.toml");
        assert!(crate::config::Config::from_text(sample, std::iter::empty()).is_ok());

        // What is commented out stands there to be uncommented: it has to be known, and complete.
        let is_setting =
            |line: &&str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '));
        let setting = |line: &'static str| Some(line.strip_prefix("# ").unwrap_or(line)).filter(is_setting);
        let whole: Vec<&str> = sample.lines().filter_map(setting).collect();
        let table: Table = whole.join("\n").parse().unwrap();
        for (path, _) in KEYS {
            let found = match path {
                [key] => table.get(*key),
                [section, key] => table.get(*section).and_then(|s| s.get(*key)),
                _ => None,
            };
            assert!(found.is_some(), "deploy/vault.toml does not name {}", path.join("."));
        }
        let parsed: Result<crate::config::Config, _> = Value::Table(table).try_into();
        assert!(parsed.is_ok(), "{:?}", parsed.err());

        // A slip in any key is told and not passed over; and whatever stands for a value, or where the file was cut, is read or
        // refused.
        for at in 0..whole.len() {
            let with = |line: &str| [&whole[..at], &[line], &whole[at + 1..]].concat().join("\n");
            let read = |text: &str| crate::config::Config::from_text(text, std::iter::empty());
            match whole[at].split_once(" = ") {
                Some((key, _)) => {
                    assert!(read(&with(&whole[at].replacen(key, &format!("{key}s"), 1))).is_err(), "{key}s");
                    let values = [
                        "-1",
                        "1e400",
                        "18446744073709551615",
                        "[]",
                        "{}",
                        "''",
                        "\"\\u0000\"",
                        "true",
                        &"[".repeat(100_000),
                    ];
                    for value in values {
                        let _either = read(&with(&format!("{key} = {value}")));
                    }
                }
                None => assert!(read(&with(&whole[at].replacen('[', "[x", 1))).is_err(), "{}", whole[at]),
            }
            let cut = whole[..at].join("\n");
            let _either = (read(&cut), read(&format!("{cut}\n{}", &whole[at][..whole[at].len() / 2])));
        }
    }
}
