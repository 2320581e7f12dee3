//! A throw-away PostgreSQL cluster for one run, and a pooler before it; stopped by their own process, also after a failure.
//!
//! `initdb` and the server refuse root, so as root both run as the `postgres` user that the package makes, in a directory
//! of that user's: under memory where there is room and no disk is to be measured, never below a directory that only root
//! may enter. It listens on loopback, on a free port, and believes whoever comes: nothing but tests' data is in it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{run, tools};

/// A cluster is there within a second or two; a busy machine takes longer.
const READY: Duration = Duration::from_secs(60);
/// How long a process may take to end before it is killed.
const STOPPED: Duration = Duration::from_secs(20);

/// A running server process with a directory of its own.
pub struct Service {
    child: Child,
    folder: PathBuf,
    port: u16,
}

/// Starts a cluster.
pub fn cluster() -> Result<Service, String> {
    started(folder("vault-postgres")?)
}

/// Starts one whose files lie below `parent`, where the unprivileged user may go: to measure a disk.
pub fn cluster_below(parent: &Path) -> Result<Service, String> {
    started(folder_below(parent, "vault-postgres")?)
}

fn started(folder: PathBuf) -> Result<Service, String> {
    let programs = tools::postgres()?;
    let data = folder.join("data");
    let mut initdb = unprivileged(&programs.join("initdb"));
    initdb.arg("--pgdata").arg(&data).args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
    // Whatever the vault needs of an order it says itself: a linguistic one by default would show where it does not.
    initdb.args(["--locale-provider=icu", "--icu-locale=en", "--locale=C.UTF-8"]);
    run::output(initdb)?;
    let port = free_port()?;
    let mut server = unprivileged(&programs.join("postgres"));
    server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    // It syncs what it writes: in memory that costs nothing, and the vault refuses a server that does without.
    for setting in ["listen_addresses=127.0.0.1", "max_connections=400", "shared_buffers=128MB", "max_wal_size=4GB"] {
        server.args(["-c", setting]);
    }
    server.args(["-c", &format!("unix_socket_directories={}", folder.display())]);
    start(server, folder, port)
}

/// Starts PgBouncer before `cluster`, giving each transaction another server connection.
pub fn pooler(cluster: &Service) -> Result<Service, String> {
    let program = tools::program("pgbouncer", "pgbouncer")?;
    let folder = folder("vault-pgbouncer")?;
    let port = free_port()?;
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = any\npool_mode = transaction\nserver_round_robin = 1\n\
         ignore_startup_parameters = extra_float_digits\nmax_client_conn = 2000\ndefault_pool_size = 5\n\
         server_idle_timeout = 5\nserver_lifetime = 20\nlog_connections = 0\nlog_disconnections = 0\n",
        cluster.port
    );
    let file = folder.join("pgbouncer.ini");
    std::fs::write(&file, settings).map_err(|error| error.to_string())?;
    let mut server = unprivileged(&program);
    server.arg(&file);
    start(server, folder, port)
}

impl Service {
    /// The address of the superuser's database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // SIGINT is what both take for "end now, and in order".
        let mut interrupt = run::command("kill");
        interrupt.args(["-INT", &self.child.id().to_string()]);
        let _ = run::output(interrupt);
        let start = Instant::now();
        while start.elapsed() < STOPPED && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn start(mut command: Command, folder: PathBuf, port: u16) -> Result<Service, String> {
    eprintln!("    {} (port {port})", run::spelled(&command));
    let log = folder.join("log");
    let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    let errors = file.try_clone().map_err(|error| error.to_string())?;
    let child = command.stdout(file).stderr(errors).spawn().map_err(|error| error.to_string())?;
    let mut service = Service { child, folder, port };
    let start = Instant::now();
    loop {
        if answers(port) {
            return Ok(service);
        }
        let ended = service.child.try_wait().map_err(|error| error.to_string())?.is_some();
        if ended || start.elapsed() > READY {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("it did not start:\n{said}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether something answers a request for TLS, which every server does with one letter.
fn answers(port: u16) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    // Length 8, then the code of SSLRequest (protocol-message-formats in the manual).
    let asked = stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
    let mut letter = [0];
    asked.is_ok() && stream.read_exact(&mut letter).is_ok() && letter == *b"N"
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// A new directory that the unprivileged user may use.
fn folder(prefix: &str) -> Result<PathBuf, String> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    folder_below(&parent, prefix)
}

fn folder_below(parent: &Path, prefix: &str) -> Result<PathBuf, String> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).map_err(|error| error.to_string())?.keep();
    if tools::is_root() {
        let mut chown = run::command("chown");
        chown.arg("postgres").arg(&folder);
        run::output(chown)?;
    }
    Ok(folder)
}

/// A command as the user that PostgreSQL's package made, when this one is root.
fn unprivileged(program: &Path) -> Command {
    if !tools::is_root() {
        let mut command = run::command(program);
        command.stdin(Stdio::null());
        return command;
    }
    let mut command = run::command("setpriv");
    // Should this process die without a word, so does the server.
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=INT"]).arg(program);
    // The workspace may lie where that user may not look.
    command.current_dir("/");
    command
}
