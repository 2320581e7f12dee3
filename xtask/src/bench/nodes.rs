//! `nodes.revocation`: from the answer to a revocation on one node until another node refuses a session that it was
//! serving, against one second.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Connection;
use super::figure::{Bound, Figure, median, percentile, rounded};
use super::recording::{Kind, recording};
use super::stage::{Stage, storage};
use crate::{postgres, run, tools};

const ROUNDS: usize = 5;
/// Revocations in a round, which node takes them changing each time.
const TRIES: usize = 100;
/// Revocations while the log cannot be written.
const BLOCKED: usize = 20;
const LIMIT_MS: f64 = 1000.0;
/// Between two questions to the other node.
const PAUSE: Duration = Duration::from_millis(2);
/// A node that serves for so long after a revocation never hears of it.
const NEVER: Duration = Duration::from_secs(20);

/// The 99th percentile of each round, on SQLite; beside it on PostgreSQL, and while the log is blocked.
pub fn revocation(programs: &Path) -> Result<Figure, String> {
    let pair = Pair::start(programs, Vec::new())?;
    let (mut ours, mut all) = (Vec::new(), Vec::new());
    // These warm both up.
    pair.round(TRIES / 10)?;
    for _ in 0..ROUNDS {
        let took = pair.round(TRIES)?;
        ours.push(percentile(&took, 0.99));
        all.extend(took);
    }
    let blocked = pair.round_while_blocked()?;
    let beside = on_postgres(programs).unwrap_or_else(|error| json!({"engine": "PostgreSQL", "not_measured": error}));
    let about = json!({
        "tries_a_round": TRIES, "reading": "99th percentile of a round", "median_ms": rounded(median(&all)),
        "most_ms": rounded(percentile(&all, 1.0)),
        "log_blocked": {"tries": BLOCKED, "median_ms": rounded(median(&blocked)), "most_ms": rounded(percentile(&blocked, 1.0))},
        "asked_every_ms": PAUSE.as_millis(), "nodes": "two processes on one host", "engine": "SQLite",
        "storage": storage(pair.one.folder.path()), "beside": beside, "peer": "the limit",
    });
    Ok(Figure {
        name: "nodes.revocation".to_owned(),
        unit: "ms".to_owned(),
        bound: Bound::AtMost(1.0),
        ours,
        peer: vec![LIMIT_MS],
        about,
    })
}

fn on_postgres(programs: &Path) -> Result<Value, String> {
    let cluster = postgres::cluster()?;
    let url = cluster.url();
    let mut create = run::command(tools::postgres()?.join("createdb"));
    create.args(["--maintenance-db", &url, "nodes"]);
    run::output(create)?;
    let url = format!("{}/nodes", url.trim_end_matches("/postgres"));
    let pair = Pair::start(programs, vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), url)])?;
    let took = pair.round(TRIES)?;
    Ok(json!({
        "engine": "PostgreSQL", "storage": "tmpfs", "tries": TRIES, "median_ms": rounded(median(&took)),
        "p99_ms": rounded(percentile(&took, 0.99)), "most_ms": rounded(percentile(&took, 1.0)),
    }))
}

/// Two nodes of one vault, with a record that all tries play.
struct Pair {
    /// Dropped first: the other keeps the data.
    two: Stage,
    one: Stage,
    record: String,
}

/// A session that the second node serves, under a grant that the first is to take back.
struct Warm<'p> {
    by: &'p Stage,
    grant: String,
    path: String,
    bearer: String,
    connection: Connection,
}

impl Pair {
    fn start(programs: &Path, variables: Vec<(String, String)>) -> Result<Self, String> {
        let one = Stage::start_where(programs, variables)?;
        let two = one.beside()?;
        let record = one.upload(Kind::Voice, &recording(Kind::Voice, 64 << 10)?)?;
        Ok(Self { two, one, record })
    }

    fn warm(&self, turn: usize) -> Result<Warm<'_>, String> {
        let (by, of) = if turn.is_multiple_of(2) { (&self.one, &self.two) } else { (&self.two, &self.one) };
        let (request, grant) = by.approved(&self.record)?;
        let (path, bearer) = (of.open(&request)?, format!("Bearer {}", of.token("analyst")));
        let mut warm = Warm { by, grant, path, bearer, connection: Connection::open(&of.host())? };
        match warm.served()? {
            206 => Ok(warm),
            status => Err(format!("a session is not served before its grant is revoked: {status}")),
        }
    }

    /// Milliseconds of each try.
    fn round(&self, tries: usize) -> Result<Vec<f64>, String> {
        (0..tries).map(|turn| self.warm(turn)?.until_refused()).collect()
    }

    fn round_while_blocked(&self) -> Result<Vec<f64>, String> {
        let warm: Vec<Warm<'_>> = (0..BLOCKED).map(|turn| self.warm(turn)).collect::<Result<_, _>>()?;
        let (place, aside) = (self.one.vault.data.join("objects/log"), self.one.vault.data.join("log-aside"));
        let moved = |error: std::io::Error| format!("{}: {error}", place.display());
        // A file where a directory belongs: every write below it fails, for root too.
        std::fs::rename(&place, &aside).and_then(|()| std::fs::write(&place, b"in the way")).map_err(moved)?;
        let took = warm.into_iter().map(Warm::until_refused).collect();
        std::fs::remove_file(&place).and_then(|()| std::fs::rename(&aside, &place)).map_err(moved)?;
        took
    }
}

impl Warm<'_> {
    fn until_refused(mut self) -> Result<f64, String> {
        self.by.revoke(&self.grant)?;
        let answered = Instant::now();
        while self.served()? == 206 {
            if answered.elapsed() > NEVER {
                return Err("a revoked grant plays on at the other node".to_owned());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(answered.elapsed().as_secs_f64() * 1e3)
    }

    /// The status of a Range of it; what neither serves nor refuses is an error.
    fn served(&mut self) -> Result<u16, String> {
        let headers = [("authorization", self.bearer.as_str()), ("range", "bytes=0-99")];
        self.connection.begin("GET", &self.path, &headers, 0)?;
        let head = self.connection.head()?;
        self.connection.drop_body(&head)?;
        match head.status {
            206 | 403 => Ok(head.status),
            other => Err(format!("a playback was answered with {other}")),
        }
    }
}
