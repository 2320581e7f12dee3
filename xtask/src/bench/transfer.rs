//! `upload` and `playback`: half a gibibyte over one connection on loopback, tmpfs on both sides.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::client::Connection;
use super::figure::{Bound, Figure};
use super::peers;
use super::recording::{Kind, recording};
use super::stage::{Stage, patch, storage};

const LENGTH: usize = 512 << 20;
const ROUNDS: usize = 7;

/// One PATCH with all of a video, against a tus server that encrypts nothing.
pub fn upload(programs: &Path) -> Result<Figure, String> {
    let bytes = recording(Kind::Video, LENGTH)?;
    let stage = Stage::start(programs)?;
    let files = stage.room("tus")?;
    let peer = peers::tus(&files)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let path = stage.create(Kind::Video, LENGTH as u64)?;
        let mine = timed(&stage.host(), |connection| patch(connection, &path, &bytes).map(drop))?;
        // Parts pile up, there is no erasure by then: the memory they lie in is wanted again.
        let path = create_at_peer(&peer.host)?;
        let other = timed(&peer.host, |connection| patch(connection, &path, &bytes).map(drop))?;
        empty(&files)?;
        // The first round warms both up.
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let about = json!({
        "bytes": LENGTH, "connections": 1, "requests": "one PATCH", "segment": Kind::Video.segment(),
        "storage": storage(&files), "peer": peer.made,
    });
    Ok(Figure {
        name: "upload".to_owned(),
        unit: "MB/s".to_owned(),
        bound: Bound::AtLeast(1.5),
        ours,
        peer: theirs,
        about,
    })
}

/// A GET of all of a video, against nginx with sendfile, which decrypts nothing.
pub fn playback(programs: &Path) -> Result<Figure, String> {
    let bytes = recording(Kind::Video, LENGTH)?;
    let stage = Stage::start(programs)?;
    let room = stage.room("nginx")?;
    publish(&room, &bytes)?;
    let peer = peers::nginx(&room)?;
    let path = stage.session(&stage.upload(Kind::Video, &bytes)?)?;
    drop(bytes);
    let bearer = format!("Bearer {}", stage.token("analyst"));
    let headers = [("authorization", bearer.as_str())];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mine = timed(&stage.host(), |connection| get(connection, &path, &headers))?;
        let other = timed(&peer.host, |connection| get(connection, "/recording", &headers))?;
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let about = json!({
        "bytes": LENGTH, "connections": 1, "segment": Kind::Video.segment(), "storage": storage(&room),
        "peer": format!("{}, sendfile, one worker", peer.made),
    });
    Ok(Figure {
        name: "playback".to_owned(),
        unit: "MB/s".to_owned(),
        bound: Bound::AtLeast(0.45),
        ours,
        peer: theirs,
        about,
    })
}

/// Puts a file where the peer serves it as `/recording`.
pub fn publish(room: &Path, bytes: &[u8]) -> Result<(), String> {
    let files = room.join("files");
    let written = std::fs::create_dir_all(&files).and_then(|()| std::fs::write(files.join("recording"), bytes));
    written.map_err(|error| format!("{}: {error}", files.display()))
}

/// Megabytes a second of one transfer on a connection of its own.
fn timed(host: &str, transfer: impl FnOnce(&mut Connection) -> Result<(), String>) -> Result<f64, String> {
    let mut connection = Connection::open(host)?;
    let started = Instant::now();
    transfer(&mut connection)?;
    Ok(LENGTH as f64 / 1e6 / started.elapsed().as_secs_f64())
}

fn get(connection: &mut Connection, path: &str, headers: &[(&str, &str)]) -> Result<(), String> {
    connection.begin("GET", path, headers, 0)?;
    let head = connection.head()?;
    if head.status != 200 || head.length != LENGTH as u64 {
        return Err(format!("GET {path}: {head:?}"));
    }
    connection.drop_body(&head)
}

/// Begins an upload at the tus server of another make.
fn create_at_peer(host: &str) -> Result<String, String> {
    let mut connection = Connection::open(host)?;
    let length = LENGTH.to_string();
    connection.begin("POST", "/files", &[("tus-resumable", "1.0.0"), ("upload-length", &length)], 0)?;
    let head = connection.head()?;
    let location = head.header("location").filter(|_| head.status == 201);
    let location = location.ok_or_else(|| format!("the tus server began nothing: {head:?}"))?;
    let path = location.split_once(host).map_or(location, |(_, path)| path);
    Ok(path.to_owned())
}

fn empty(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}
