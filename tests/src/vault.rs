//! A vault as a child process.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vault_api::dev::DevFile;

use crate::http::Caller;
use crate::nodes::{self, Turns};
use crate::objects;
use crate::programs::program;
use crate::strait::Strait;
use crate::{database, report};

/// argon2id is slow on purpose, and two cores may be shared by many tests.
const READY: Duration = Duration::from_secs(120);
/// SIGTERM drains; a drain that takes longer hangs.
const DRAINED: Duration = Duration::from_secs(60);

/// The variable that says where the rows are.
const DATABASE_URL: &str = "FEEDBACK_VAULT_DATABASE_URL";

/// `vault-server dev` in a directory of its own. Dropped, it is killed and its directory deleted.
///
/// Where the run is for several nodes, there is a second one beside it: everybody who calls asks them by turns, and what stops,
/// kills or starts the vault does so to both.
pub struct Vault {
    child: Option<Child>,
    folder: TempDir,
    /// The data directory's place in the folder.
    place: &'static str,
    /// Where the data lie, if in another vault's room: this is a second node of it.
    home: Option<PathBuf>,
    arguments: Vec<String>,
    /// What the server is started under: `strace …`; nothing by default.
    under: Vec<OsString>,
    /// Environment variables of the server: where its rows and objects are.
    variables: Vec<(String, String)>,
    /// Its way to a bucket, where the log is to be blocked.
    strait: Option<Strait>,
    /// How many nodes it has when it runs.
    nodes: usize,
    /// The other one of two.
    pub(crate) second: Option<Box<Vault>>,
    /// Whose turn it is to be asked.
    pub(crate) turns: Arc<Turns>,
    /// What `dev.json` says; read again after each start.
    pub dev: DevFile,
}

impl Vault {
    /// A fresh vault, ready.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A fresh vault with further arguments for `dev`.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_where(arguments, |_| elsewhere())
    }

    /// A fresh vault that keeps its rows and objects where the variables say. `prepare` is called with the folder
    /// around the data directory, before the server starts.
    #[must_use]
    pub fn start_where(arguments: &[&str], prepare: impl FnOnce(&Path) -> Vec<(String, String)>) -> Self {
        Self::start_nodes(nodes::of_the_run(), arguments, prepare)
    }

    /// A fresh vault of one node, whatever the run is for: a suite that is about nodes starts the others itself.
    #[must_use]
    pub fn first() -> Self {
        Self::first_where(|_| elsewhere())
    }

    /// The same, with rows and objects where the variables say.
    #[must_use]
    pub fn first_where(prepare: impl FnOnce(&Path) -> Vec<(String, String)>) -> Self {
        Self::start_nodes(1, &[], prepare)
    }

    fn start_nodes(nodes: usize, arguments: &[&str], prepare: impl FnOnce(&Path) -> Vec<(String, String)>) -> Self {
        let mut vault = Self::unstarted(room(), arguments);
        vault.nodes = nodes;
        vault.variables = prepare(vault.room());
        vault.launch();
        vault
    }

    /// A fresh vault with a log that [`crate::blocked::Blocked`] can block: where the run has a bucket, it goes there by a
    /// strait, and so do its other nodes.
    #[must_use]
    pub fn start_to_be_blocked() -> Self {
        Self::nodes_to_be_blocked(nodes::of_the_run(), &[])
    }

    /// The first node of one, with further variables.
    #[must_use]
    pub fn first_to_be_blocked(more: &[(String, String)]) -> Self {
        Self::nodes_to_be_blocked(1, more)
    }

    fn nodes_to_be_blocked(nodes: usize, more: &[(String, String)]) -> Self {
        let mut strait = None;
        let mut vault = Self::start_nodes(nodes, &[], |_| {
            let mut variables = elsewhere();
            strait = Strait::before(&mut variables);
            variables.extend_from_slice(more);
            variables
        });
        vault.strait = strait;
        vault
    }

    /// A fresh vault whose server runs under a program that is given its command line: a tracer. Killing it is the
    /// caller's: [`Vault::kill`] ends the tracer alone.
    #[must_use]
    pub fn start_under(folder: TempDir, place: &'static str, under: &[OsString]) -> Self {
        let mut vault = Self::unstarted(folder, &[]);
        vault.place = place;
        vault.under = under.to_vec();
        vault.launch();
        vault
    }

    /// The vault whose data directory lies at this place in a folder, as it was found there; why it does not start.
    pub fn on(folder: TempDir, place: &'static str) -> Result<Self, String> {
        Self::on_where(folder, place, Vec::new())
    }

    /// The same, with rows and objects where the variables say.
    pub fn on_where(folder: TempDir, place: &'static str, variables: Vec<(String, String)>) -> Result<Self, String> {
        let mut vault = Self::unstarted(folder, &[]);
        (vault.place, vault.variables) = (place, variables);
        // What the copied file names is another server's port.
        if let Some(dev) = vault.read_dev() {
            vault.dev = dev;
        }
        vault.try_launch()?;
        Ok(vault)
    }

    fn unstarted(folder: TempDir, arguments: &[&str]) -> Self {
        let nothing = DevFile {
            url: String::new(),
            admin_url: String::new(),
            collection: String::new(),
            notice_sha256: String::new(),
            log_public_key: String::new(),
            tokens: std::collections::BTreeMap::new(),
        };
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let (under, variables) = (Vec::new(), Vec::new());
        let (child, home, strait, second) = (None, None, None, None);
        let (place, nodes, turns) = ("data", 1, Arc::default());
        Self { child, folder, home, place, arguments, under, variables, strait, nodes, second, turns, dev: nothing }
    }

    /// A second node on the same database, object store and keys, with a room of its own. To be dropped first.
    #[must_use]
    pub fn beside(&self) -> Self {
        self.beside_where(self.variables.clone())
    }

    /// The same, reaching what they share by other ways.
    #[must_use]
    pub fn beside_where(&self, variables: Vec<(String, String)>) -> Self {
        let mut node = Self::unstarted(room(), &[]);
        (node.place, node.arguments, node.variables) = (self.place, self.arguments.clone(), variables);
        node.home = Some(self.home.clone().unwrap_or_else(|| self.folder.path().to_owned()));
        node.launch();
        node
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.as_deref().unwrap_or(self.folder.path()).join(self.place)
    }

    /// The metadata database's address, for somebody beside the server.
    #[must_use]
    pub fn database_url(&self) -> String {
        url_of(&self.variables, &self.data())
    }

    /// A command of `vault-server` that finds this vault's rows and objects where its server does.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("vault-server"));
        clear(&mut command);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(arguments).stdin(Stdio::null());
        command
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The metadata database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data().join("vault.db")
    }

    /// The environment variables of its server: where another program finds the same rows and objects.
    #[must_use]
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Whether its objects are in a bucket, and not in the data directory.
    #[must_use]
    pub fn keeps_objects_elsewhere(&self) -> bool {
        self.variable(objects::URL).is_some()
    }

    /// The strait that it goes to its bucket by.
    #[must_use]
    pub fn strait(&self) -> Option<&Strait> {
        self.strait.as_ref()
    }

    /// Room for a suite's own files, outside the data directory.
    #[must_use]
    pub fn room(&self) -> &Path {
        self.folder.path()
    }

    /// The server's process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// The file that holds everything the server (of two, the first) has said, over all its starts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// What the server has said, or both.
    #[must_use]
    pub fn log(&self) -> String {
        self.nodes().map(|node| std::fs::read_to_string(node.log_path()).unwrap_or_default()).collect()
    }

    /// `kill -9`: nothing is written, closed or said any more.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
        if let Some(second) = &mut self.second {
            second.kill();
        }
    }

    /// Waits for a server that somebody else has killed, and leaves its folder.
    #[must_use]
    pub fn leave(&mut self) -> TempDir {
        assert!(self.second.is_none(), "somebody has killed one of two");
        let mut child = self.child.take().expect("the server runs");
        child.wait().expect("the server ends");
        core::mem::replace(&mut self.folder, room())
    }

    /// SIGSTOP: the process stands still as a virtual machine does that is moved, and knows nothing of it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: it goes on where it stood.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        for node in self.nodes() {
            let process = Pid::from_child(node.child.as_ref().expect("the server runs"));
            kill_process(process, signal).expect("the signal is sent");
        }
    }

    /// SIGTERM, and how the server ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.drained()
    }

    /// SIGTERM alone.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for a server that was told to stop. Of two that ended differently, how the one ended that did not do well.
    pub fn drained(&mut self) -> ExitStatus {
        let ended = self.drained_alone();
        match self.second.as_mut().map(|second| second.drained_alone()) {
            Some(other) if ended.success() => other,
            _ => ended,
        }
    }

    fn drained_alone(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("the child is ours") {
                return status;
            }
            if start.elapsed() > DRAINED {
                let _ = child.kill();
                panic!("the server did not drain:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts again on the same directory and waits until it is ready.
    pub fn launch(&mut self) {
        if let Err(error) = self.try_launch() {
            panic!("{error}");
        }
    }

    /// Starts on the same directory and kills it (`kill -9`) this much later, wherever its start has got to.
    pub fn launch_and_kill(&mut self, after: Duration) {
        let mut children: Vec<Child> = self.nodes().map(Self::spawn).collect();
        std::thread::sleep(after);
        for child in &mut children {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    fn spawn(&self) -> Child {
        assert!(self.child.is_none(), "the server runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log file");
        let errors = log.try_clone().expect("a second handle");
        let server = program("vault-server");
        let mut command = match self.under.split_first() {
            None => Command::new(server),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(server);
                command
            }
        };
        clear(&mut command);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.data()).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("vault-server starts")
    }

    fn try_launch(&mut self) -> Result<(), String> {
        self.try_launch_alone()?;
        match self.second.take() {
            Some(mut second) => {
                second.try_launch_alone()?;
                self.second = Some(second);
            }
            None if self.nodes > 1 => self.second = Some(Box::new(self.beside())),
            None => {}
        }
        Ok(())
    }

    fn try_launch_alone(&mut self) -> Result<(), String> {
        // Each start writes the file anew; what lies there names the port of an earlier one, or another node's.
        let before = self.written();
        let mut child = self.spawn();
        // Building the programs, where this is what needs them first, is not the server's time.
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("the child is ours") {
                return Err(format!("vault-server ended with {status}:\n{}", self.log()));
            }
            // In this order: what was read before it was written anew is another node's, and that one answers as well.
            if self.written() != before
                && let Some(dev) = self.read_dev()
            {
                let ready = Caller::new(&dev.url, None).try_send("GET", "/readyz", &[], &[]);
                if ready.is_some_and(|answer| answer.status == 200) {
                    self.dev = dev;
                    self.child = Some(child);
                    return Ok(());
                }
            }
            if started.elapsed() > READY {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("vault-server was not ready in time:\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9` and a new start.
    pub fn crash(&mut self) {
        self.kill();
        self.launch();
    }

    /// What differs between one `dev.json` and the next.
    fn written(&self) -> Option<(u64, std::time::SystemTime)> {
        let found = std::fs::metadata(self.data().join("dev.json")).ok()?;
        Some((found.ino(), found.modified().ok()?))
    }

    /// Waits until `/readyz` says so again.
    pub fn wait_until_ready(&self) {
        let start = Instant::now();
        for node in self.nobody().each() {
            while node.get("/readyz").status != 200 {
                assert!(start.elapsed() < READY, "the vault does not recover:\n{}", self.log());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    fn read_dev(&self) -> Option<DevFile> {
        serde_json::from_slice(&std::fs::read(self.data().join("dev.json")).ok()?).ok()
    }
}

/// The address of the database that a vault with these variables and this data directory has, for somebody beside the server.
#[must_use]
pub fn url_of(variables: &[(String, String)], data: &Path) -> String {
    match variables.iter().find(|(name, _)| name == DATABASE_URL) {
        Some((_, url)) => database::without_pooler(url),
        None => format!("sqlite://{}", data.join("vault.db").display()),
    }
}

/// What this process was told about a vault is of no matter to another one's.
fn clear(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("FEEDBACK_VAULT_")) {
            command.env_remove(name);
        }
    }
}

/// A fresh directory for one vault and what a suite keeps beside it.
#[must_use]
pub fn room() -> TempDir {
    tempfile::Builder::new().prefix("vault-tests-").tempdir().expect("a directory")
}

impl Drop for Vault {
    fn drop(&mut self) {
        drop(self.second.take());
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A second node leaves it to the first.
        if self.home.is_none() {
            if let Some(url) = self.variable(DATABASE_URL) {
                database::remove_of_the_run(url);
            }
            // What a failed test leaves can be looked at.
            if !std::thread::panicking() {
                objects::remove_of_the_run(&self.variables);
            }
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            report(&format!("--- the server's last words ---\n{}", tail.join("\n")));
        }
    }
}

/// Where a run of the suites puts every vault's rows ([`database::of_the_run`]) and objects ([`objects::of_the_run`]).
#[must_use]
pub fn elsewhere() -> Vec<(String, String)> {
    [objects::of_the_run(), database::of_the_run()].concat()
}
