//! `memory`: what is resident of a server with two hundred uploads and two hundred playbacks under way, half of each
//! voice and half video.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::Connection;
use super::figure::{Bound, Figure, rounded};
use super::recording::{Kind, recording};
use super::stage::{Stage, begin_patch, storage};

/// Uploads of each kind, and playbacks of each kind.
const EACH: usize = 100;
/// Longer than what is sent and read meanwhile, so that nothing ends.
const LENGTH: usize = 256 << 20;
/// Holds everything of a recording that is structure.
const HEAD: usize = 1 << 20;
/// What a connection sends or reads in its turn: less than a segment, so that every buffer fills bit by bit.
const TURN: usize = 16 << 10;
const WINDOWS: usize = 5;
const WINDOW: Duration = Duration::from_secs(3);
const LIMIT_MIB: f64 = 256.0;

/// The most that is resident in each of five windows, against the limit.
pub fn measure(programs: &Path) -> Result<Figure, String> {
    let stage = Stage::start(programs)?;
    let idle = mebibytes(stage.resident("VmRSS")?);
    let mut traffic = Traffic::begin(&stage)?;
    // Everything has its buffers before the first window.
    traffic.run(WINDOW, || Ok(()))?;
    let mut ours = Vec::new();
    for _ in 0..WINDOWS {
        let mut most = 0.0_f64;
        traffic.run(WINDOW, || {
            most = most.max(mebibytes(stage.resident("VmRSS")?));
            Ok(())
        })?;
        ours.push(most);
    }
    let about = json!({
        "uploads": {"voice": EACH, "video": EACH}, "playbacks": {"voice": EACH, "video": EACH},
        "bytes_a_turn": TURN, "turns": traffic.turns, "seconds_a_window": WINDOW.as_secs(), "storage": storage(stage.folder.path()),
        "resident_idle_mib": rounded(idle), "peak_mib": rounded(mebibytes(stage.resident("VmHWM")?)),
        "peer": "the limit", "reading": "the most that was resident in a window",
    });
    Ok(Figure {
        name: "memory".to_owned(),
        unit: "MiB".to_owned(),
        bound: Bound::AtMost(1.0),
        ours,
        peer: vec![LIMIT_MIB],
        about,
    })
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Connections that take turns.
struct Traffic {
    uploads: Vec<Connection>,
    playbacks: Vec<Connection>,
    piece: Vec<u8>,
    sent: usize,
    turns: u64,
}

impl Traffic {
    fn begin(stage: &Stage) -> Result<Self, String> {
        let (mut uploads, mut playbacks) = (Vec::new(), Vec::new());
        let bearer = format!("Bearer {}", stage.token("analyst"));
        for kind in [Kind::Voice, Kind::Video] {
            let bytes = recording(kind, LENGTH)?;
            let record = stage.upload(kind, &bytes)?;
            let request = stage.granted(&record)?;
            for _ in 0..EACH {
                let path = stage.open(&request)?;
                let mut connection = Connection::open(&stage.host())?;
                connection.begin("GET", &path, &[("authorization", &bearer)], 0)?;
                let head = connection.head()?;
                if head.status != 200 || head.length != LENGTH as u64 {
                    return Err(format!("a playback was answered with {head:?}"));
                }
                playbacks.push(connection);

                let path = stage.create(kind, LENGTH as u64)?;
                let mut connection = Connection::open(&stage.host())?;
                begin_patch(&mut connection, &path, LENGTH as u64)?;
                // The head of the container; what follows is noise whichever piece of it comes.
                connection.send(&bytes[..HEAD])?;
                uploads.push(connection);
            }
        }
        Ok(Self { uploads, playbacks, piece: recording(Kind::Voice, TURN + 44)?.split_off(44), sent: HEAD, turns: 0 })
    }

    /// Turns for as long as a window lasts; `look` is called four times a second.
    fn run(&mut self, window: Duration, mut look: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        let started = Instant::now();
        let mut looked = started;
        while started.elapsed() < window {
            self.sent += TURN;
            if self.sent > LENGTH {
                return Err("the recordings are too short for this machine".to_owned());
            }
            for upload in &mut self.uploads {
                // Whoever ends an upload before its time says why first.
                upload.send(&self.piece).map_err(|error| format!("{error}; before: {}", upload.refusal()))?;
            }
            for playback in &mut self.playbacks {
                let mut left = TURN as u64;
                while left > 0 {
                    left -= playback.some(left)?;
                }
            }
            self.turns += 1;
            if looked.elapsed() > Duration::from_millis(250) {
                look()?;
                looked = Instant::now();
            }
        }
        look()
    }
}
