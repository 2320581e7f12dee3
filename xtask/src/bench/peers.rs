//! The peers as processes: nginx, a tus server of another make, OpenBao. Dropped, they are killed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::client::Connection;
use crate::{run, tools};

const START: Duration = Duration::from_secs(20);

/// A server that is not ours.
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub host: String,
    /// What it is, with its version.
    pub made: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx with sendfile over the files of `folder`, as one process that does the work of one worker; `tcp_nopush` stays off, as it is by
/// default: on, it answers a tenth of the small requests (`docs/benchmarks/README.md`).
pub fn nginx(folder: &Path) -> Result<Peer, String> {
    let program = tools::program("nginx", "nginx-light")?;
    // Taken and given back: nobody else asks for ports in between, and nginx says so if somebody did.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(|e| e.to_string())?.port();
    let host = format!("127.0.0.1:{port}");
    let at = folder.display();
    let configuration = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; sendfile on; keepalive_requests 1000000000; client_body_temp_path {at}/t1;\n\
         proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
         server {{ listen {host}; root {at}/files; }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut command = run::command(&program);
    command.arg("-p").arg(folder).arg("-c").arg(&file);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.map_err(|error| format!("cannot start nginx: {error}"))?;
    let mut peer = Peer { child, host, made: version(&program) };
    let started = Instant::now();
    while Connection::open(&peer.host).is_err() {
        if let Ok(Some(status)) = peer.child.try_wait() {
            let log = std::fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
            return Err(format!("nginx ended with {status}: {log}"));
        }
        if started.elapsed() > START {
            return Err("nginx does not listen".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(peer)
}

/// nginx says its version on standard error.
fn version(program: &Path) -> String {
    let mut command = run::command(program);
    let said = command.arg("-v").output().map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
    said.unwrap_or_default().replace("nginx version: ", "")
}

/// `@tus/server` with `@tus/file-store` over `folder`.
pub fn tus(folder: &Path) -> Result<Peer, String> {
    let home = run::root().join("xtask/peers");
    tools::npm_packages(&home)?;
    let mut command = run::command("node");
    command.arg(home.join("tus-server.js")).arg(folder).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| format!("cannot start node: {error}"))?;
    let mut line = String::new();
    let told = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
    let version = npm_version(&home, "server");
    let peer = Peer { child, host: format!("127.0.0.1:{}", line.trim()), made: format!("@tus/server {version}") };
    match (told, line.trim().parse::<u16>()) {
        (Some(Ok(_)), Ok(_)) => Ok(peer),
        _ => Err(format!("the tus server did not say where it listens: {line}")),
    }
}

/// What OpenBao takes for its root token, in memory and on loopback.
pub const OPENBAO_TOKEN: &str = "measured";

/// OpenBao in its development mode, which keeps everything in memory.
pub fn openbao(folder: &Path) -> Result<Peer, String> {
    let program = tools::openbao()?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(|e| e.to_string())?.port();
    let host = format!("127.0.0.1:{port}");
    let mut command = run::command(&program);
    command.args(["server", "-dev", "-dev-no-store-token"]);
    command.args([&format!("-dev-listen-address={host}"), &format!("-dev-root-token-id={OPENBAO_TOKEN}")]);
    // Whatever it keeps for its user stays in this folder.
    command.current_dir(folder).env("HOME", folder).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| format!("cannot start OpenBao: {error}"))?;
    let mut version = run::command(&program);
    version.arg("version");
    let made = run::output(version)?.lines().next().unwrap_or_default().to_owned();
    let mut peer = Peer { child, host, made };
    let (started, base) = (Instant::now(), format!("http://{}", peer.host));
    let ready = || crate::demo::http::request(&base, "GET", "/v1/sys/health", None, &[], None);
    while !ready().is_ok_and(|answer| answer.status == 200) {
        if let Ok(Some(status)) = peer.child.try_wait() {
            return Err(format!("OpenBao ended with {status}"));
        }
        if started.elapsed() > START {
            return Err("OpenBao does not come up".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(peer)
}

fn npm_version(home: &Path, package: &str) -> String {
    let file = home.join("node_modules/@tus").join(package).join("package.json");
    let manifest = std::fs::read(file).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
    manifest["version"].as_str().unwrap_or("unknown").to_owned()
}
