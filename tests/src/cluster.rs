//! A PostgreSQL cluster of a test's own, to be stopped, killed, replicated and promoted. It listens on loopback, believes
//! whoever comes, and is gone with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::database;

/// Two cores may be shared by many tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster.
pub struct Cluster {
    server: Option<Child>,
    folder: TempDir,
    port: u16,
}

impl Cluster {
    /// A fresh one, running.
    #[must_use]
    pub fn start() -> Self {
        Self::start_where(|_| {})
    }

    /// The same; `prepare` is called with the folder in which `data` will be made.
    #[must_use]
    pub fn start_where(prepare: impl FnOnce(&Path)) -> Self {
        let mut cluster = Self { server: None, folder: folder(), port: free_port() };
        prepare(cluster.folder.path());
        let mut initdb = command("initdb");
        initdb.arg("--pgdata").arg(cluster.data());
        run(initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]));
        cluster.resume();
        cluster
    }

    /// A standby that this one waits for at each commit.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self { server: None, folder: folder(), port: free_port() };
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        let mut copy = command("pg_basebackup");
        copy.args(["--dbname", &from, "--pgdata"]).arg(standby.data());
        run(copy.args(["--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync"]));
        standby.resume();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.sql("SELECT pg_reload_conf()");
        let synchronous = "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until("the standby follows", || self.number(synchronous) == 1);
        standby
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.sql("SELECT pg_promote()");
        until("the standby is promoted", || self.number("SELECT COUNT(*) FROM pg_stat_wal_receiver") == 0);
    }

    /// The address of a database in it, made where it is missing.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        database::create(&self.url("postgres"), name);
        self.url(name)
    }

    /// The address of a database in it.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection to a database from outside, as an administrator would.
    pub fn end_connections(&self, name: &str) {
        self.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    }

    /// Executes SQL as the superuser.
    pub fn sql(&self, sql: &str) {
        database::execute_at(&self.url("postgres"), sql);
    }

    fn number(&self, sql: &str) -> i64 {
        database::number_at(&self.url("postgres"), sql)
    }

    /// Everything on its disk that may hold something of a database: the tables, the write-ahead log, what all databases
    /// share, and what the server has said. Left out are the databases that PostgreSQL brings along.
    #[must_use]
    pub fn files_of(&self, name: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data()).expect("the data directory").flatten();
        let shared = entries.map(|entry| entry.path()).filter(|path| !path.ends_with("base"));
        let own = [self.tables_of(name), self.folder.path().join("log")];
        assert!(own.iter().all(|path| path.exists()), "{own:?}");
        shared.chain(own).collect()
    }

    /// Where a database's tables and indexes lie.
    #[must_use]
    pub fn tables_of(&self, name: &str) -> PathBuf {
        let id = self.number(&format!("SELECT CAST(oid AS BIGINT) FROM pg_database WHERE datname = '{name}'"));
        self.data().join("base").join(id.to_string())
    }

    /// Where the write-ahead log lies.
    #[must_use]
    pub fn write_ahead_log(&self) -> PathBuf {
        self.data().join("pg_wal")
    }

    /// Stops it in order: connections are ended.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Stops it at once, without a word to anybody and without writing anything more.
    pub fn kill(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Starts it, or starts it again on its data.
    pub fn resume(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.expect("a log file");
        let mut server = command("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        let errors = log.try_clone().expect("a second handle");
        self.server = Some(server.stdout(log).stderr(errors).spawn().expect("postgres starts"));
        let url = self.url("postgres");
        until("the cluster answers", || database::answers(&url));
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else { return };
        kill_process(Pid::from_child(&server), signal).expect("the signal is sent");
        let start = Instant::now();
        while server.try_wait().expect("the child is ours").is_none() {
            assert!(start.elapsed() < PATIENCE, "the cluster does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = kill_process(Pid::from_child(&server), Signal::QUIT);
            let _ = server.wait();
        }
    }
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// Of the unprivileged user's, where this one is root: no server of PostgreSQL's runs as root.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("vault-cluster-").tempdir_in(parent).expect("a directory");
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("postgres").arg(folder.path()));
    }
    folder
}

/// One of PostgreSQL's programs, of the newest version that is installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed.map(|entry| entry.path().join("bin").join(name)).filter(|path| path.is_file()).max();
    newest.unwrap_or_else(|| PathBuf::from(name))
}

fn command(name: &str) -> Command {
    let path = program(name);
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().expect("the program starts");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
