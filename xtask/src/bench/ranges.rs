//! `range.64k` and `range.256k`: random unaligned Ranges of 64 KiB over sixteen connections, on objects of both segment
//! lengths, by `wrk` with the same script on both sides.

use std::path::Path;

use serde_json::json;

use super::client::Connection;
use super::figure::{Bound, Figure};
use super::recording::{Kind, recording};
use super::stage::{Stage, storage};
use super::{peers, transfer};
use crate::{run, tools};

const LENGTH: usize = 256 << 20;
const RANGE: usize = 64 << 10;
const CONNECTIONS: &str = "16";
const SECONDS: &str = "3s";
const ROUNDS: usize = 7;

/// The figure `name` on a recording of `kind`.
pub fn measure(programs: &Path, name: &str, kind: Kind, least: f64) -> Result<Figure, String> {
    let wrk = tools::program("wrk", "wrk")?;
    let bytes = recording(kind, LENGTH)?;
    let stage = Stage::start(programs)?;
    let room = stage.room("nginx")?;
    transfer::publish(&room, &bytes)?;
    let peer = peers::nginx(&room)?;
    let path = stage.session(&stage.upload(kind, &bytes)?)?;
    let token = stage.token("analyst");
    // A side that answered something else than the range would be quick.
    for (host, path) in [(stage.host(), path.as_str()), (peer.host.clone(), "/recording")] {
        check(&host, path, token, &bytes)?;
    }
    drop(bytes);
    let load = Load { wrk: &wrk, token };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mine = load.run(&format!("http://{}{path}", stage.host()), round)?;
        let other = load.run(&format!("http://{}/recording", peer.host), round)?;
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let about = json!({
        "bytes": LENGTH, "range": RANGE, "aligned": false, "connections": 16, "segment": kind.segment(),
        "storage": storage(&room), "seconds_a_round": 3, "load": "wrk, one thread, xtask/peers/ranges.lua",
        "peer": format!("{}, sendfile, one worker, tcp_nopush off", peer.made),
    });
    Ok(Figure {
        name: name.to_owned(),
        unit: "requests/s".to_owned(),
        bound: Bound::AtLeast(least),
        ours,
        peer: theirs,
        about,
    })
}

struct Load<'a> {
    wrk: &'a Path,
    token: &'a str,
}

impl Load<'_> {
    /// Requests a second.
    fn run(&self, url: &str, seed: usize) -> Result<f64, String> {
        let mut wrk = run::command(self.wrk);
        wrk.args(["-t1", "-c", CONNECTIONS, "-d", SECONDS, "-s"]).arg(run::root().join("xtask/peers/ranges.lua"));
        wrk.args([url, "--", &LENGTH.to_string(), &RANGE.to_string(), self.token, &seed.to_string()]);
        rate(&run::output(wrk)?)
    }
}

/// What `wrk` says, if nothing went wrong.
fn rate(said: &str) -> Result<f64, String> {
    let wrong = |line: &&str| line.contains("Non-2xx") || line.contains("Socket errors");
    if let Some(line) = said.lines().find(wrong) {
        return Err(format!("wrk: {}", line.trim()));
    }
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.ok_or_else(|| format!("wrk said no rate: {said}"))
}

/// One range, held against the recording.
fn check(host: &str, path: &str, token: &str, bytes: &[u8]) -> Result<(), String> {
    let mut connection = Connection::open(host)?;
    let first = LENGTH / 2 - 12_345;
    let range = format!("bytes={first}-{}", first + RANGE - 1);
    let bearer = format!("Bearer {token}");
    connection.begin("GET", path, &[("range", &range), ("authorization", &bearer)], 0)?;
    let head = connection.head()?;
    let body = connection.body(&head)?;
    if head.status == 206 && bytes.get(first..first + RANGE) == Some(body.as_slice()) {
        return Ok(());
    }
    Err(format!("{host} answers a range with {} and {} bytes that are not the recording's", head.status, body.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_errors_is_no_reading() {
        let said = "Running 3s test\n  60 requests in 3.00s\nRequests/sec:   1234.56\nTransfer/sec: 77MB\n";
        assert_eq!(rate(said), Ok(1234.56));
        assert!(rate(&format!("  Non-2xx or 3xx responses: 2\n{said}")).is_err());
        assert!(rate(&format!("  Socket errors: connect 0, read 1, write 0, timeout 0\n{said}")).is_err());
        assert!(rate("Running").is_err());
    }
}
