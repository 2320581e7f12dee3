//! A vault that is not for trying out: `init`, `serve` with TLS, sealed starts, and what both refuse.

use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_tests::bucket::Bucket;
use vault_tests::http::Caller;
use vault_tests::programs::program;
use vault_tests::vault::{self, Vault};
use vault_tests::{collection, database};

const PASSPHRASE: &str = "a passphrase for this test, long enough";
const READY: Duration = Duration::from_secs(60);
const PEOPLE: &str = "
[[person]]
name = 'Ada'
roles = ['administrator']
[[person]]
name = 'Bea'
roles = ['administrator']
[[person]]
name = 'Cleo'
roles = ['approver']
[[person]]
name = 'Dora'
roles = ['approver']
[[person]]
name = 'Eve'
roles = ['auditor']
";

/// A place for a vault, its configuration and its server.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    admin_port: u16,
    server: Option<Child>,
    /// Where its rows are, if not in its data directory.
    variables: Vec<(String, String)>,
}

impl Place {
    /// With TLS or without, with the passphrase in a file or typed in.
    fn new(tls: bool, passphrase_in_file: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, admin_port, variables) = (free_port(), free_port(), database::of_the_run());
        let place = Self { folder, port, admin_port, server: None, variables };
        let mut config = format!(
            "data_dir = '{}'\nlisten = '127.0.0.1:{}'\nadmin_listen = '127.0.0.1:{}'\nlog_name = 'vault.example/log'\n\
             ",
            place.path("data").display(),
            place.port,
            place.admin_port
        );
        private(&place.path("passphrase"), PASSPHRASE);
        if passphrase_in_file {
            config.push_str(&format!("[custody]\npassphrase_file = '{}'\n", place.path("passphrase").display()));
        }
        if tls {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
            std::fs::write(place.path("certificate.pem"), made.cert.pem()).expect("written");
            private(&place.path("key.pem"), &made.signing_key.serialize_pem());
            config.push_str(&format!(
                "[tls]\ncertificate = '{}'\nprivate_key = '{}'\n",
                place.path("certificate.pem").display(),
                place.path("key.pem").display()
            ));
        }
        std::fs::write(place.path("vault.toml"), config).expect("written");
        std::fs::write(place.path("people.toml"), PEOPLE).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `vault-server` with these arguments; the passphrase waits on standard input.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("vault-server"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("FEEDBACK_VAULT_")) {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("vault-server starts")
    }

    #[track_caller]
    fn init(&self) {
        let made = self.run(&["init", "--config", "vault.toml", "--people", "people.toml", "--tokens", "tokens.json"]);
        assert!(made.status.success(), "{}", said(&made));
    }

    /// Tokens by name.
    fn token(&self, person: &str) -> String {
        let text = std::fs::read_to_string(self.path("tokens.json")).expect("tokens");
        let tokens: Value = serde_json::from_str(&text).expect("JSON");
        tokens["tokens"][person].as_str().unwrap_or_else(|| panic!("no token for {person}")).to_owned()
    }

    /// Starts `serve` and waits until the admin listener answers.
    fn serve(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log");
        let mut command = self.command(&["serve", "--config", "vault.toml"]);
        self.server = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a server"));
        let start = Instant::now();
        while self.admin().try_send("GET", "/healthz", &[], &[]).is_none() {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(start.elapsed() < READY, "the server does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn admin(&self) -> Caller {
        Caller::new(&format!("http://127.0.0.1:{}", self.admin_port), None)
    }

    fn caller(&self, person: &str) -> Caller {
        Caller::new(&format!("http://127.0.0.1:{}", self.port), Some(&self.token(person)))
    }

    /// `vault-cli` over TLS.
    fn cli(&self, person: &str, arguments: &[&str]) -> Output {
        let token = self.path(&format!("{person}.token"));
        if !token.exists() {
            private(&token, &self.token(person));
        }
        let mut command = Command::new(program("vault-cli"));
        command.env("XDG_CONFIG_HOME", self.path("config")).current_dir(self.folder.path());
        command.args(["--json", "--url", &format!("https://localhost:{}", self.port), "--token-file"]).arg(token);
        command.args(arguments).output().expect("vault-cli starts")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        if !self.variables.is_empty() {
            database::remove_of_the_run(&vault::url_of(&self.variables, &self.path("data")));
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a private file");
    file.write_all(text.as_bytes()).expect("written");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn init_then_serve_with_tls_then_the_command_line() {
    let mut place = Place::new(true, true);
    place.init();
    let mode = std::fs::metadata(place.path("tokens.json")).expect("tokens").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "others can read the first tokens");
    assert!(
        !place.run(&["init", "--config", "vault.toml", "--people", "people.toml"]).status.success(),
        "a second init"
    );
    place.serve();

    let me = place.cli("Ada", &["--ca-file", "certificate.pem", "whoami"]);
    assert!(me.status.success(), "{}", said(&me));
    let me: Value = serde_json::from_slice(&me.stdout).expect("one JSON document");
    assert_eq!((&me["person"]["name"], &me["roles"][0]["role"]), (&json!("Ada"), &json!("administrator")));
    // A certificate that nobody vouches for is no vault, and plain HTTP does not get through either.
    let stranger = place.cli("Ada", &["whoami"]);
    assert_eq!(stranger.status.code(), Some(1), "{}", said(&stranger));
    assert!(place.caller("Ada").try_send("GET", "/v1/me", &[], &[]).is_none_or(|answer| answer.status >= 400));

    // A collection from nothing: what its tier asks for must stand before it opens.
    std::fs::write(place.path("calls.json"), collection::bare("calls").to_string()).expect("written");
    let made = place.cli("Ada", &["--ca-file", "certificate.pem", "collections", "create", "--file", "calls.json"]);
    assert!(made.status.success(), "{}", said(&made));
    let opened = place.cli("Ada", &["--ca-file", "certificate.pem", "collections", "open", "calls"]);
    assert_eq!(opened.status.code(), Some(1), "p10: opened without its countermeasures: {}", said(&opened));
    let problem: Value = serde_json::from_slice(&opened.stdout).expect("a problem");
    assert_eq!(problem["code"], "countermeasures_missing");
    assert!(problem["missing"].as_array().is_some_and(|missing| !missing.is_empty()), "{problem}");

    std::fs::write(place.path("calls.json"), collection::complete("calls-2").to_string()).expect("written");
    let made = place.cli("Ada", &["--ca-file", "certificate.pem", "collections", "create", "--file", "calls.json"]);
    assert!(made.status.success(), "{}", said(&made));
    let opened = place.cli("Ada", &["--ca-file", "certificate.pem", "collections", "open", "calls-2"]);
    assert!(opened.status.success(), "{}", said(&opened));
}

#[test]
fn a_server_without_a_passphrase_starts_sealed() {
    let mut place = Place::new(false, false);
    let mut init =
        place.command(&["init", "--config", "vault.toml", "--people", "people.toml", "--tokens", "tokens.json"]);
    init.stdin(std::fs::File::open(place.path("passphrase")).expect("the passphrase"));
    let made = init.output().expect("init runs");
    assert!(made.status.success(), "{}", said(&made));
    place.serve();

    assert_eq!(place.admin().get("/readyz").status, 503);
    assert_eq!(place.admin().get("/seal-status").expect(200).json()["sealed"], true);
    place.caller("Ada").get("/v1/me").refused(503, "sealed");
    // Unsealing is not offered to the outside.
    assert_eq!(place.caller("Ada").post("/unseal", &json!({"passphrase": PASSPHRASE})).status, 404);

    place.admin().post("/unseal", &json!({"passphrase": "another one altogether"})).refused(403, "wrong_passphrase");
    assert_eq!(place.admin().get("/seal-status").expect(200).json()["sealed"], true);
    let _open = place.admin().post("/unseal", &json!({"passphrase": PASSPHRASE})).expect(200);
    assert_eq!(place.admin().get("/readyz").expect(200).json()["ready"], true);
    let _me = place.caller("Ada").get("/v1/me").expect(200);
    let log = std::fs::read_to_string(place.path("log")).expect("the log");
    assert!(!log.contains(PASSPHRASE), "the passphrase is in the log");
}

#[test]
fn what_the_server_will_not_start_with() {
    let place = Place::new(false, true);
    let refused = |arguments: &[&str], hint: &str| {
        let output = place.run(arguments);
        let said = said(&output);
        assert!(!output.status.success() && said.contains(hint), "{arguments:?} ended with {}: {said}", output.status);
    };
    refused(&["dev", "--data-dir", "dev", "--listen", "0.0.0.0:0"], "loopback");
    refused(&["serve", "--config", "missing.toml"], "missing.toml");

    std::fs::write(place.path("unknown.toml"), "data_dir = 'x'\nlog_name = 'x'\nsurprise = 1\n").expect("written");
    refused(&["serve", "--config", "unknown.toml"], "surprise");

    std::fs::write(place.path("alone.toml"), "[[person]]\nname = 'Ada'\nroles = ['administrator']\n").expect("written");
    refused(&["init", "--config", "vault.toml", "--people", "alone.toml"], "two administrators");
    assert!(!place.path("data/keyring").exists(), "a refused init left a keyring");

    std::fs::set_permissions(place.path("passphrase"), std::fs::Permissions::from_mode(0o644)).expect("changed");
    refused(&["init", "--config", "vault.toml", "--people", "people.toml"], "passphrase");
}

#[test]
fn serve_does_not_start_on_a_bucket_that_keeps_what_the_vault_deletes() {
    let bucket = Bucket::start(6);
    let mut place = Place::new(false, true);
    // As an operator writes it; the bucket says it in variables.
    let of_bucket = |(name, value): &(String, String)| {
        let name = name.trim_start_matches("FEEDBACK_VAULT_OBJECTS_").to_lowercase();
        if value == "true" { format!("{name} = true\n") } else { format!("{name} = '{value}'\n") }
    };
    let settings: String = bucket.variables(place.folder.path()).iter().map(of_bucket).collect();
    let config = std::fs::read_to_string(place.path("vault.toml")).expect("the configuration");
    std::fs::write(place.path("vault.toml"), format!("{config}[objects]\n{settings}")).expect("written");
    place.init();

    let before = bucket.names();
    bucket.manners().versioned.store(true, Ordering::SeqCst);
    let refused = place.run(&["serve", "--config", "vault.toml"]);
    let told = said(&refused);
    assert!(!refused.status.success() && told.contains("keeps old versions"), "{told}");
    assert!(told.contains("acknowledge_versioning") && !told.contains("fake-secret"), "{told}");
    assert_eq!(bucket.names(), before, "it wrote there all the same");
    // The control: with nothing else changed it starts.
    bucket.manners().versioned.store(false, Ordering::SeqCst);
    place.serve();
    let start = Instant::now();
    while place.admin().get("/readyz").status != 200 {
        assert!(start.elapsed() < READY, "the node is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn serve_refuses_a_vault_that_dev_made() {
    let mut vault = Vault::start();
    assert!(vault.stop().success());
    let config = vault.room().join("vault.toml");
    let text = format!(
        "data_dir = '{}'\nlisten = '127.0.0.1:{}'\nadmin_listen = '127.0.0.1:{}'\nlog_name = 'vault.example/log'\n\
         [custody]\npassphrase_file = '{}'\n",
        vault.data().display(),
        free_port(),
        free_port(),
        vault.data().join("passphrase").display()
    );
    std::fs::write(&config, text).expect("written");
    let mut command = vault.command(&["serve", "--config"]);
    command.arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = command.spawn().expect("vault-server starts");
    let start = Instant::now();
    while server.try_wait().expect("the child is ours").is_none() {
        if start.elapsed() > READY {
            let _ = server.kill();
            panic!("serve runs on a vault that dev made");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = server.wait_with_output().expect("it ended");
    assert!(!ended.status.success() && said(&ended).contains("is for trying out"), "{}", said(&ended));
}

#[test]
fn a_node_does_what_its_roles_say_and_leaves_in_order() {
    let mut place = Place::new(false, true);
    let config = std::fs::read_to_string(place.path("vault.toml")).expect("the configuration");
    std::fs::write(place.path("sealed.toml"), format!("roles = ['ingest']\n{config}")).expect("written");
    let refused = place.run(&["serve", "--config", "sealed.toml"]);
    assert!(!refused.status.success() && said(&refused).contains("sealed intake"), "{}", said(&refused));

    let config = format!("roles = ['playback', 'keys']\n{config}[limits]\nleave_seconds = 3\n");
    std::fs::write(place.path("vault.toml"), config).expect("written");
    place.init();
    place.serve();
    let nobody = Caller::new(&format!("http://127.0.0.1:{}", place.port), None);
    let start = Instant::now();
    while nobody.try_send("GET", "/readyz", &[], &[]).is_none_or(|answer| answer.status != 200) {
        assert!(start.elapsed() < READY, "the node is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    nobody.post("/v1/collections/demo/uploads", &json!({})).refused(421, "wrong_node");
    assert_eq!(nobody.send("HEAD", "/v1/uploads/of-another-node", &[], &[]).status, 421);
    let auditor = place.caller("Eve");
    let _log = auditor.get("/v1/audit/log/checkpoint").expect(200);
    let id = "019ab5d2-7c1e-7a40-9d3c-2f6b1e0c4a55";
    assert_ne!(auditor.post(&format!("/v1/access-requests/{id}/sessions"), &json!({})).status, 421);

    // Told to stop, it says so first, and serves whoever comes until the balancer has noticed.
    let server = place.server.as_ref().expect("the server runs");
    let id = rustix::process::Pid::from_child(server);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("the signal is sent");
    let start = Instant::now();
    while nobody.get("/readyz").status != 503 {
        assert!(start.elapsed() < READY, "a node that leaves is ready");
    }
    let _me = auditor.get("/v1/me").expect(200);
    let mut server = place.server.take().expect("the server runs");
    assert!(server.wait().expect("it ends").success());
}
