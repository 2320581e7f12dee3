//! A throw-away vault: the server as a child process, and the CLI as its users.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http;
use crate::run;

/// Making the keyring is slow on purpose (argon2id), on a busy machine slower still.
const START: Duration = Duration::from_secs(120);

/// A running vault. Dropped, it is killed; [`Vault::stop`] ends it in order.
pub struct Vault {
    child: Child,
    programs: PathBuf,
    /// What `dev` keeps below `--data-dir`.
    pub data: PathBuf,
    /// Where the people of the story keep their tokens; not the vault's.
    people: PathBuf,
    log: PathBuf,
    /// Where it keeps its rows and objects, if elsewhere than in its data directory.
    variables: Vec<(String, String)>,
    /// `dev.json`.
    pub dev: Value,
}

impl Vault {
    /// Starts `vault-server dev` in `folder` on a free port of loopback and waits until it is ready.
    pub fn start(programs: &Path, folder: &Path) -> Result<Self, String> {
        Self::start_on(programs, folder, folder.join("data"), Vec::new(), &Value::Null)
    }

    /// The same, with variables of the server's that say where rows and objects are.
    pub fn start_where(programs: &Path, folder: &Path, variables: Vec<(String, String)>) -> Result<Self, String> {
        Self::start_on(programs, folder, folder.join("data"), variables, &Value::Null)
    }

    /// Starts a second node of this vault, which keeps what is its own in `folder`.
    pub fn beside(&self, folder: &Path) -> Result<Self, String> {
        Self::start_on(&self.programs, folder, self.data.clone(), self.variables.clone(), &self.dev)
    }

    fn start_on(
        programs: &Path,
        folder: &Path,
        data: PathBuf,
        variables: Vec<(String, String)>,
        before: &Value,
    ) -> Result<Self, String> {
        let (people, log) = (folder.join("people"), folder.join("server.log"));
        std::fs::create_dir_all(&people).map_err(|error| error.to_string())?;
        let child = launch(programs, &data, &log, &variables)?;
        let programs = programs.to_owned();
        let mut vault = Self { child, programs, data, people, log, variables, dev: Value::Null };
        vault.wait_until_ready(before)?;
        let tokens = vault.dev["tokens"].as_object().cloned().unwrap_or_default();
        for (person, token) in &tokens {
            write_private(&vault.token_file(person), token.as_str().unwrap_or_default())?;
        }
        Ok(vault)
    }

    /// Until it answers at an address other than that of a node which wrote `before` into the same place.
    fn wait_until_ready(&mut self, before: &Value) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < START {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                return Err(format!("vault-server ended with {status}:\n{log}"));
            }
            let written = std::fs::read(self.data.join("dev.json")).unwrap_or_default();
            let dev = serde_json::from_slice::<Value>(&written).ok();
            if let Some(dev) = dev.filter(|dev| dev["url"] != before["url"]) {
                self.dev = dev;
                let ready = self.request("GET", "/readyz", None, &[], None);
                if ready.is_ok_and(|answer| answer.status == 200) {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the vault was not ready after {} s", START.as_secs()))
    }

    /// A member of `dev.json` that is text.
    pub fn told(&self, name: &str) -> &str {
        self.dev[name].as_str().unwrap_or_default()
    }

    fn token_file(&self, person: &str) -> PathBuf {
        self.people.join(format!("{person}.token"))
    }

    /// One HTTP request, by a person or by nobody.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        person: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<http::Answer, String> {
        let token = person.and_then(|person| self.dev["tokens"][person].as_str());
        http::request(self.told("url"), method, path, token, headers, body)
    }

    /// The CLI with a person's login, answering in JSON.
    pub fn cli(&self, person: &str, arguments: &[&str]) -> Result<Value, String> {
        let mut command = self.bare_cli(arguments);
        command.args(["--url", self.told("url"), "--token-file"]).arg(self.token_file(person));
        let said = run::output(command)?;
        serde_json::from_str(&said).map_err(|_| format!("vault-cli {} said no JSON: {said}", arguments.join(" ")))
    }

    /// The CLI without a login or address: what it does, it does offline.
    pub fn bare_cli(&self, arguments: &[&str]) -> Command {
        let mut command = run::command(self.programs.join("vault-cli"));
        // Nothing of the developer's own configuration takes part.
        for name in ["FEEDBACK_VAULT_URL", "FEEDBACK_VAULT_TOKEN_FILE", "FEEDBACK_VAULT_CA_FILE"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", &self.people).arg("--json").args(arguments);
        command
    }

    /// The server's process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Starts the server again on the same directory, after [`Vault::pause`].
    pub fn resume(&mut self) -> Result<(), String> {
        self.child = launch(&self.programs, &self.data, &self.log, &self.variables)?;
        self.wait_until_ready(&Value::Null)
    }

    /// SIGTERM, and whether the server drained and exited 0.
    pub fn stop(mut self) -> Result<(), String> {
        self.pause()
    }

    /// As [`Vault::stop`], but the vault can be started again.
    pub fn pause(&mut self) -> Result<(), String> {
        let mut kill = run::command("kill");
        kill.args(["-TERM", &self.child.id().to_string()]);
        run::output(kill)?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("vault-server ended with {status}")) }
    }

    /// Waits until somebody ends the server.
    pub fn stay(mut self) {
        let _ = self.child.wait();
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(programs: &Path, data: &Path, log: &Path, variables: &[(String, String)]) -> Result<Child, String> {
    let errors = std::fs::File::create(log).map_err(|error| error.to_string())?;
    let mut command = run::command(programs.join("vault-server"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    let child = command.stdout(Stdio::null()).stderr(errors).spawn();
    child.map_err(|error| format!("cannot start vault-server: {error}"))
}

/// A file that only its owner can read, as the CLI asks for.
pub fn write_private(path: &Path, text: &str) -> Result<(), String> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
