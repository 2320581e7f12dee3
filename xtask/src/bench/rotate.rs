//! `rotate.*`: a rotation of a million record keys, against a bare program, against OpenBao, and against what else the
//! vault does meanwhile.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Connection;
use super::figure::{Bound, Figure, percentile, rounded};
use super::peers::openbao;
use super::recording::{Kind, recording};
use super::stage::{Stage, in_memory, storage};
use crate::{postgres, run, tools};

/// Record keys of a rotation; fewer by `VAULT_BENCH_RECORDS`, to try a benchmark out.
const RECORDS: u64 = 1_000_000;
const ROUNDS: usize = 5;
/// A rotation that takes longer has stopped.
const NEVER: Duration = Duration::from_secs(600);
/// Wraps in one request to OpenBao, which takes a thousand strings of JSON: two for each wrap, and a few more.
const REQUEST: usize = 480;
/// First bytes in a round of `rotate.playback`, and what they may come later than in an idle vault.
const FIRST_BYTES: usize = 200;
const LATER_MS: f64 = 20.0;
/// The part of its own full rate that a rotation keeps beside playback, and what it is throttled to for that.
const KEPT: f64 = 0.25;
const THROTTLED: f64 = 0.4;
const LIMIT_MIB: f64 = 200.0;

fn records() -> u64 {
    std::env::var_os("VAULT_BENCH_RECORDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(RECORDS)
}

/// Against a bare program on SQLite.
pub fn sqlite(programs: &Path) -> Result<Figure, String> {
    let filled = Filled::on_sqlite(programs)?;
    let peer = filled.stage.folder.path().join("peer.db");
    let copied = std::fs::copy(filled.stage.vault.data.join("vault.db"), &peer);
    copied.map_err(|error| format!("{}: {error}", peer.display()))?;
    against_bare(programs, "rotate.sqlite", filled, &format!("sqlite://{}", peer.display()))
}

/// The same on PostgreSQL.
pub fn postgres(programs: &Path) -> Result<Figure, String> {
    let cluster = postgres::cluster()?;
    let (url, folder) = (cluster.url(), tools::postgres()?);
    let createdb = |arguments: &[&str]| {
        let mut create = run::command(folder.join("createdb"));
        create.args(["--maintenance-db", &url]).args(arguments);
        run::output(create).map(drop)
    };
    createdb(&["ours"])?;
    let server = url.trim_end_matches("/postgres");
    let ours = format!("{server}/ours");
    let variables = vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), ours.clone())];
    let mut stage = Stage::start_where(programs, variables)?;
    stage.vault.pause()?;
    fill(programs, &stage.vault.data, &ours, stage.vault.told("collection"))?;
    createdb(&["--template", "ours", "peer"])?;
    against_bare(programs, "rotate.postgres", Filled { stage }, &format!("{server}/peer"))
}

fn against_bare(programs: &Path, name: &str, mut filled: Filled, database: &str) -> Result<Figure, String> {
    filled.stage.vault.resume()?;
    let (mut ours, mut theirs, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let before = filled.batches()?;
        let mine = filled.rotate(None)?;
        let batch = (records() / (filled.batches()? - before).max(1)).max(1);
        let mut bare = run::command(programs.join("examples/bench_server"));
        bare.args(["rewrite", database, filled.stage.vault.told("collection"), &batch.to_string()]);
        let said: Value = serde_json::from_str(run::output(bare)?.trim()).map_err(|error| error.to_string())?;
        let other = said["records"].as_f64().unwrap_or(0.0) / said["seconds"].as_f64().unwrap_or(f64::NAN);
        // The first round warms both up.
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
            batches.push(batch);
        }
    }
    let about = json!({
        "records": records(), "records_a_batch": batches, "engine": name.trim_start_matches("rotate."),
        "storage": storage(filled.stage.folder.path()),
        "peer": "a program that binds as many bytes, made beforehand, in the same statements and batches, and commits them",
    });
    Ok(Figure {
        name: name.to_owned(),
        unit: "records/s".to_owned(),
        bound: Bound::AtLeast(0.5),
        ours,
        peer: theirs,
        about,
    })
}

/// On SQLite, against OpenBao's batched rewrap, which stores nothing.
pub fn openbao_rewrap(programs: &Path) -> Result<Figure, String> {
    let mut filled = Filled::on_sqlite(programs)?;
    filled.stage.vault.resume()?;
    let bao = openbao(&filled.stage.room("openbao")?)?;
    let transit = Transit { base: format!("http://{}", bao.host) };
    transit.ask("/v1/sys/mounts/transit", &json!({"type": "transit"}))?;
    transit.ask("/v1/transit/keys/bench", &json!({}))?;
    let mut wraps = Vec::new();
    let plaintext = vec![json!({"plaintext": "c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGEga2V5ISE="}); REQUEST];
    for _ in 0..usize::try_from(records()).unwrap_or(usize::MAX).div_ceil(REQUEST) {
        wraps.push(transit.results("/v1/transit/encrypt/bench", &json!({"batch_input": plaintext}))?);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mine = filled.rotate(None)?;
        transit.ask("/v1/transit/keys/bench/rotate", &json!({}))?;
        let started = Instant::now();
        // One after the other, as the vault's batches are.
        transit.rewrap(&mut wraps)?;
        let other = (wraps.len() * REQUEST) as f64 / started.elapsed().as_secs_f64();
        if round > 0 {
            ours.push(mine);
            theirs.push(other);
        }
    }
    let about = json!({
        "records": records(), "engine": "SQLite", "storage": storage(filled.stage.folder.path()), "peer": bao.made,
        "wraps_a_request": REQUEST,
    });
    Ok(Figure {
        name: "rotate.openbao".to_owned(),
        unit: "records/s".to_owned(),
        bound: Bound::AtLeast(1.0),
        ours,
        peer: theirs,
        about,
    })
}

/// A session opened and the first byte of its recording read, beside a rotation, against an idle vault and 20 ms.
pub fn playback(programs: &Path) -> Result<Figure, String> {
    let mut filled = Filled::on_sqlite(programs)?;
    filled.stage.vault.resume()?;
    let full = filled.rotate(None)?;
    let record = filled.stage.upload(Kind::Voice, &recording(Kind::Voice, 1 << 20)?)?;
    let request = filled.stage.granted(&record)?;
    let first_bytes =
        || -> Result<Vec<f64>, String> { (0..FIRST_BYTES).map(|_| first_byte(&filled.stage, &request)).collect() };
    first_bytes()?;
    let (mut ours, mut theirs, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let throttle = (full * THROTTLED).max(1.0) as u32;
    for _ in 0..ROUNDS {
        theirs.push(percentile(&first_bytes()?, 0.99) + LATER_MS);
        filled.begin(Some(throttle))?;
        let (before, started) = (filled.moved()?.0, Instant::now());
        let read = first_bytes()?;
        let (after, over) = filled.moved()?;
        let rate = (after - before) as f64 / started.elapsed().as_secs_f64();
        if over || rate < full * KEPT {
            return Err(format!("the rotation was not kept up: {rate:.0} records/s of {full:.0}, over: {over}"));
        }
        ours.push(percentile(&read, 0.99));
        rates.push(rounded(rate));
        filled.end(None)?;
    }
    let about = json!({
        "records": records(), "first_bytes_a_round": FIRST_BYTES, "reading": "99th percentile of a round, milliseconds",
        "records_a_second_alone": rounded(full), "records_a_second_beside": rates, "engine": "SQLite",
        "storage": storage(filled.stage.folder.path()), "peer": "the same in an idle vault, and 20 ms",
    });
    Ok(Figure {
        name: "rotate.playback".to_owned(),
        unit: "ms".to_owned(),
        bound: Bound::AtMost(1.0),
        ours,
        peer: theirs,
        about,
    })
}

/// From asking for a session to the first byte of its recording.
fn first_byte(stage: &Stage, request: &str) -> Result<f64, String> {
    let bearer = format!("Bearer {}", stage.token("analyst"));
    let mut connection = Connection::open(&stage.host())?;
    let started = Instant::now();
    let path = stage.open(request)?;
    connection.begin("GET", &path, &[("authorization", &bearer), ("range", "bytes=0-65535")], 0)?;
    let head = connection.head()?;
    connection.some(1)?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    if head.status != 206 {
        return Err(format!("a playback was answered with {}", head.status));
    }
    stage.vault.request("DELETE", &path, Some("analyst"), &[], None)?;
    Ok(took)
}

/// What is resident of the server while it rotates.
pub fn memory(programs: &Path) -> Result<Figure, String> {
    let mut filled = Filled::on_sqlite(programs)?;
    filled.stage.vault.resume()?;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let idle = mebibytes(filled.stage.resident("VmRSS")?);
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        filled.begin(None)?;
        let mut most = 0.0_f64;
        filled.end(Some(&mut |stage: &Stage| {
            most = most.max(mebibytes(stage.resident("VmRSS")?));
            Ok(())
        }))?;
        ours.push(most);
    }
    let about = json!({
        "records": records(), "resident_idle_mib": rounded(idle), "reading": "the most that was resident in a rotation",
        "peak_mib": rounded(mebibytes(filled.stage.resident("VmHWM")?)), "engine": "SQLite",
        "storage": storage(filled.stage.folder.path()), "peer": "the limit",
    });
    Ok(Figure {
        name: "rotate.memory".to_owned(),
        unit: "MiB".to_owned(),
        bound: Bound::AtMost(1.0),
        ours,
        peer: vec![LIMIT_MIB],
        about,
    })
}

/// What is called while a rotation runs.
type Look<'l> = &'l mut dyn FnMut(&Stage) -> Result<(), String>;

/// A vault with its records, stopped at first.
struct Filled {
    stage: Stage,
}

fn fill(programs: &Path, data: &Path, database: &str, collection: &str) -> Result<(), String> {
    let mut fill = run::command(programs.join("examples/bench_server"));
    fill.arg("wrapped").arg(data).args([database, collection, &records().to_string()]);
    run::output(fill).map(drop)
}

/// A stopped vault's data, filled once for every figure of a run.
fn template(programs: &Path) -> Result<PathBuf, String> {
    static TEMPLATE: OnceLock<Result<tempfile::TempDir, String>> = OnceLock::new();
    let made = TEMPLATE.get_or_init(|| {
        let mut stage = Stage::start(programs)?;
        stage.vault.pause()?;
        let database = format!("sqlite://{}", stage.vault.data.join("vault.db").display());
        fill(programs, &stage.vault.data, &database, stage.vault.told("collection"))?;
        Ok(stage.folder)
    });
    made.as_ref().map(|folder| folder.path().join("data")).map_err(Clone::clone)
}

impl Filled {
    fn on_sqlite(programs: &Path) -> Result<Self, String> {
        let (template, folder) = (template(programs)?, in_memory()?);
        let mut copy = run::command("cp");
        copy.arg("-a").arg(template).arg(folder.path());
        run::output(copy)?;
        let mut stage = Stage::start_in(programs, folder)?;
        stage.vault.pause()?;
        Ok(Self { stage })
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/collections/{}/keys{rest}", self.stage.vault.told("collection"))
    }

    fn ask(&self, method: &str, rest: &str, body: Option<&Value>) -> Result<Value, String> {
        let answer = self.stage.vault.request(method, &self.path(rest), Some("key-officer"), &[], body)?;
        if answer.status < 300 { answer.json() } else { Err(format!("{method} {rest}: {}", answer.spelled())) }
    }

    fn begin(&self, throttle: Option<u32>) -> Result<(), String> {
        self.ask("POST", "/rotate", Some(&json!({"reason": "Measured", "throttle": throttle}))).map(drop)
    }

    /// Record keys moved by the rotation under way or the last one, and whether it is over.
    fn moved(&self) -> Result<(u64, bool), String> {
        let status = self.ask("GET", "/rotation", None)?;
        let rotation = &status["rotation"];
        Ok((rotation["moved"].as_u64().unwrap_or(0), rotation["state"] == "done"))
    }

    /// Waits for the end of a rotation, as fast as it goes; `look` is called now and then.
    fn end(&self, mut look: Option<Look<'_>>) -> Result<u64, String> {
        let started = Instant::now();
        let mut unbound = look.is_some();
        loop {
            let (moved, over) = self.moved()?;
            if over {
                return Ok(moved);
            }
            if !unbound {
                self.ask("POST", "/rotation/throttle", Some(&json!({})))?;
                unbound = true;
            }
            if let Some(look) = &mut look {
                look(&self.stage)?;
            }
            if started.elapsed() > NEVER {
                return Err(format!("a rotation does not end: {moved} moved"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A whole rotation; record keys a second, from the request to the end.
    fn rotate(&self, throttle: Option<u32>) -> Result<f64, String> {
        let started = Instant::now();
        self.begin(throttle)?;
        let moved = self.end(Some(&mut |_| Ok(())))?;
        if moved < records() {
            return Err(format!("{moved} of {} record keys were moved", records()));
        }
        Ok(moved as f64 / started.elapsed().as_secs_f64())
    }

    /// Batches that the server has written since it started.
    fn batches(&self) -> Result<u64, String> {
        let admin = self.stage.vault.told("admin_url");
        let text = crate::demo::http::request(admin, "GET", "/metrics", None, &[], None)?;
        let text = String::from_utf8_lossy(&text.body).into_owned();
        let lines = text.lines().filter(|line| line.contains("_count{") && line.contains("\"rewrap_record_keys\""));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
    }
}

/// OpenBao's transit engine.
struct Transit {
    base: String,
}

impl Transit {
    fn ask(&self, path: &str, body: &Value) -> Result<Value, String> {
        let token = super::peers::OPENBAO_TOKEN;
        let answer = crate::demo::http::request(&self.base, "POST", path, Some(token), &[], Some(body))?;
        match answer.status {
            200 => answer.json(),
            204 => Ok(Value::Null),
            status => Err(format!("{path}: {status} {}", String::from_utf8_lossy(&answer.body))),
        }
    }

    fn results(&self, path: &str, body: &Value) -> Result<Vec<Value>, String> {
        let mut answer = self.ask(path, body)?;
        let Value::Array(results) = answer["data"]["batch_results"].take() else {
            return Err(format!("{path} answered no results"));
        };
        let wraps =
            results.into_iter().map(|mut one| json!({"ciphertext": one["ciphertext"].take()})).collect::<Vec<_>>();
        if wraps.len() == REQUEST { Ok(wraps) } else { Err(format!("{path} answered {} results", wraps.len())) }
    }

    fn rewrap(&self, batches: &mut [Vec<Value>]) -> Result<(), String> {
        for batch in batches {
            let input = json!({"batch_input": std::mem::take(batch)});
            *batch = self.results("/v1/transit/rewrap/bench", &input)?;
        }
        Ok(())
    }
}
