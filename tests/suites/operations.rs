//! What operators rely on: metrics that are documented, alarms and dashboards that name real ones, traces without
//! secrets, and a backup that comes back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_tests::canary::{Canary, search};
use vault_tests::fixtures::{Chance, wav};
use vault_tests::objects::{self, Snapshot, Store};
use vault_tests::programs::{self, workspace};
use vault_tests::vault::{self, Vault, elsewhere, room};
use vault_tests::{access, cli, copies, database, tus};

const REASON: &str = "Quittengelee was spilled over the xylophone";
const CASE: &str = "CASE-QZ-90871-WOMBAT";
const FILENAME: &str = "Hildegard-Zwetschgenmus-Beschwerde.wav";
const SUBJECT: &str = "customer-77410-zwetschgenmus";

/// A vault after a day's work in small: an upload, a refusal, an approval, a playback, a rotation.
fn work(vault: &Vault, recording: &[u8]) -> String {
    let consent = tus::consent(vault).to_string();
    let pairs =
        [("filename", FILENAME), ("filetype", "audio/wav"), ("subject", SUBJECT), ("consent", consent.as_str())];
    let uploader = vault.person("uploader");
    let created = tus::creation(&uploader, &vault.dev.collection, recording.len() as u64, &pairs).expect(201);
    let upload = tus::Upload { location: created.header("location").expect("a Location").to_owned() };
    let done = upload.patch(vault, 0, recording).expect(204);
    let record = done.header("vault-record-id").expect("a record").to_owned();
    vault.nobody().get("/v1/records").refused(401, "unauthenticated");
    let request = access::request(vault, "analyst", &record, REASON, CASE);
    let _ = vault.person("approver").post(&format!("/v1/access-requests/{request}/approve"), &json!({})).expect(200);
    let session = access::open(vault, "analyst", &request);
    assert!(access::play(vault, &session) == recording);
    access::close(vault, &session);
    let rotate = format!("/v1/collections/{}/keys/rotate", vault.dev.collection);
    let rotated = vault.person("key-officer").post(&rotate, &json!({}));
    assert!((200..300).contains(&rotated.status), "{rotated}");
    record
}

/// The names that `/metrics` states, as a query has to spell them.
fn exposed(text: &str) -> BTreeSet<String> {
    let named = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    named
        .map(|line| match line.split_once(' ').expect("a name and a kind") {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

/// Every word with the prefix of our metrics, without the endings that histograms add.
fn mentioned(text: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let base = |word: &str| {
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|ending| word.strip_suffix(ending));
        bare.filter(|bare| known.contains(*bare)).unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("feedback_vault_")).map(base).collect()
}

/// The labels that each metric of `/metrics` carries, buckets' limits included.
fn labels(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let keys = rest.split('"').step_by(2).filter_map(|between| between.strip_suffix('='));
        found.entry(name.to_owned()).or_default().extend(keys.map(|key| key.trim_start_matches(',').to_owned()));
    }
    found
}

/// Every metric that queries name with labels: `feedback_vault_check{check="log"}`, quotes of JSON taken off.
fn selected(text: &str) -> Vec<(String, Vec<String>)> {
    let text = text.replace("\\\"", "\"");
    let parts = text.split("feedback_vault_").skip(1);
    parts
        .filter_map(|part| {
            let (name, rest) = part.split_once('{')?;
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(())?;
            let keys = rest.split_once('}')?.0.split('"').step_by(2);
            let keys =
                keys.map(|key| key.trim_matches([',', ' ', '=', '~', '!']).to_owned()).filter(|key| !key.is_empty());
            Some((format!("feedback_vault_{name}"), keys.collect()))
        })
        .collect()
}

/// Labels that a query groups by: `sum by (instance, le)`.
fn grouped(text: &str) -> BTreeSet<String> {
    let groups = text.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    groups.flat_map(|(names, _)| names.split(',')).map(|name| name.trim().to_owned()).collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_metric_is_documented_and_nothing_else_is_watched() {
    let vault = Vault::start();
    let _record = work(&vault, &wav(200_000, &mut Chance::new(0x5eed_0101)));
    let text = String::from_utf8(vault.admin().get("/metrics").expect(200).body).expect("text");
    let known = exposed(&text);
    assert!(known.len() > 20, "{known:?}");

    let rows: BTreeSet<String> = file("docs/operations/metrics.md")
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `feedback_vault_")?.split('`').next().map(|n| format!("feedback_vault_{n}"))
        })
        .collect();
    assert_eq!(
        rows, known,
        "docs/operations/metrics.md (left) has a row for each metric of /metrics (right), and no other"
    );
    for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/feedback-vault.json", "docs/operations/metrics.md"] {
        let named = mentioned(&file(path), &known);
        assert!(named.len() > 5, "{path} names {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} names metrics that there are not: {unknown:?}");
    }
    // A label that no metric carries makes a query that is always empty, and an alarm that never comes.
    let carried = labels(&text);
    let of_any: BTreeSet<&str> = carried.values().flatten().map(String::as_str).chain(["instance", "le"]).collect();
    let mut checked = 0;
    for path in
        ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml", "deploy/grafana/feedback-vault.json"]
    {
        let queries = file(path);
        for (name, keys) in selected(&queries) {
            let has = carried.get(&name).cloned().unwrap_or_default();
            for key in keys.iter().filter(|key| !["instance", "job"].contains(&key.as_str())) {
                assert!(has.contains(key), "{path} asks for {name} by {key}; it has {has:?}");
                checked += 1;
            }
        }
        let strange: Vec<_> = grouped(&queries).into_iter().filter(|key| !of_any.contains(key.as_str())).collect();
        assert!(strange.is_empty(), "{path} groups by {strange:?}, which no metric carries");
    }
    assert!(checked > 10, "{checked}");
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/feedback-vault.json")).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 5));

    // What the work left behind can be read in them.
    let sample = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{text}"));
        line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_else(|| panic!("no number: {line}"))
    };
    assert!(sample("feedback_vault_uploaded_bytes_total ") >= 200_000.0);
    assert!(sample("feedback_vault_played_bytes_total ") >= 200_000.0);
    assert!(sample("feedback_vault_refusals_total{code=\"unauthenticated\"}") >= 1.0);
    assert!(sample("feedback_vault_audit_append_seconds_count{outcome=\"recorded\"}") >= 1.0);
    assert!(sample("feedback_vault_keys{state=\"deactivated\"}") >= 1.0, "the rotation");
    for state in ["custody", "log", "database", "restrictions", "running"] {
        assert!(sample(&format!("feedback_vault_check{{check=\"{state}\"}}")) > 0.5, "{state}");
    }
    assert!(sample("feedback_vault_figures_fresh ") > 0.5);
    assert!(sample("feedback_vault_restrictions_age_seconds ") < 60.0);
    assert!(sample("feedback_vault_object_call_seconds_count{operation=\"put\",outcome=\"ok\"}") >= 1.0);
}

/// Takes what is sent to it, and answers as a collector does.
struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&taken);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(request) = take(stream) {
                    into.lock().expect("not poisoned").push(request);
                }
            }
        });
        Self { address, taken }
    }

    /// Everything so far: heads and bodies.
    fn everything(&self) -> Vec<u8> {
        self.taken.lock().expect("not poisoned").concat()
    }

    fn spans(&self) -> Vec<Value> {
        let taken = self.taken.lock().expect("not poisoned");
        let bodies = taken.iter().filter_map(|request| {
            let at = request.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
            serde_json::from_slice::<Value>(&request[at..]).ok()
        });
        bodies
            .flat_map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default())
            .collect()
    }
}

fn take(mut stream: TcpStream) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut request = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let head = request.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length: usize = text.split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
            if request.len() >= head + length {
                break;
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            n => request.extend_from_slice(&piece[..n]),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").ok()?;
    Some(request)
}

#[test]
fn p1_traces_carry_no_secret_and_nothing_of_a_data_subject() {
    let collector = Collector::start();
    let endpoint = ("FEEDBACK_VAULT_TELEMETRY_OTLP_ENDPOINT".to_owned(), collector.address.clone());
    let mut vault = Vault::start_where(&[], |_| [elsewhere(), vec![endpoint]].concat());
    let recording = wav(200_000, &mut Chance::new(0x5eed_0102));
    let record = work(&vault, &recording);

    let request = |spans: &[Value], route: &str| {
        spans.iter().any(|span| {
            let texts = span["attributes"].as_array().into_iter().flatten();
            span["name"] == "request"
                && texts.clone().any(|a| a["key"] == "route" && a["value"]["stringValue"] == route)
        })
    };
    let start = Instant::now();
    while !request(&collector.spans(), "/v1/collections/{collection}/keys/rotate") {
        assert!(start.elapsed() < Duration::from_secs(60), "no span of the last request came");
        std::thread::sleep(Duration::from_millis(50));
    }
    let spans = collector.spans();
    for name in ["request", "transaction", "object", "append_to_log"] {
        assert!(spans.iter().any(|span| span["name"] == name), "no span of {name}");
    }
    let known = ["method", "route", "status", "transaction", "operation", "outcome"];
    for attribute in spans.iter().flat_map(|span| span["attributes"].as_array().cloned().unwrap_or_default()) {
        assert!(known.contains(&attribute["key"].as_str().unwrap_or_default()), "{attribute}");
    }
    // What a request did hangs below it.
    let ids: BTreeSet<&str> =
        spans.iter().filter(|s| s["name"] == "request").filter_map(|s| s["spanId"].as_str()).collect();
    let below =
        spans.iter().filter(|s| s["name"] == "transaction" && ids.contains(s["parentSpanId"].as_str().unwrap_or("")));
    assert!(below.count() > 0, "no transaction hangs below a request");

    let mut canaries: Vec<Canary> =
        [("reason", REASON), ("case", CASE), ("filename", FILENAME), ("subject", SUBJECT), ("record", record.as_str())]
            .map(|(name, text)| Canary::new(name, text.as_bytes()))
            .into();
    canaries.push(Canary::new("the recording", &recording[1000..1032]));
    for (person, token) in &vault.dev.tokens {
        canaries.push(Canary::new(format!("the token of {person}"), token.trim_start_matches("fv_").as_bytes()));
    }
    let folder = room();
    std::fs::write(folder.path().join("sent"), collector.everything()).expect("written");
    let found = search(&canaries, &[folder.path()], &[]);
    assert!(found.is_empty(), "{found:#?}");
    let planted: Vec<u8> = canaries.iter().enumerate().flat_map(|(at, canary)| canary.planted(at)).collect();
    std::fs::write(folder.path().join("planted"), planted).expect("planted");
    assert_eq!(search(&canaries, &[folder.path()], &[]).len(), canaries.len(), "the search is blind");

    // A collector that is gone holds nothing up.
    drop(collector);
    let _ready = vault.nobody().get("/readyz").expect(200);
    assert!(vault.stop().success());
}

/// `cp -a`, for the few kinds of things that there are.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(to).expect("a directory");
        for entry in std::fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).expect("copied");
    }
}

/// docs/operations/backup-and-restore.md, step by step; the keyring comes from its own copy.
#[test]
fn p6_p9_a_backup_taken_with_the_server_stopped_comes_back_whole() {
    let mut vault = Vault::start();
    let recording = wav(300_000, &mut Chance::new(0x5eed_0103));
    let record = work(&vault, &recording);
    // Revoked after the backup: what must not come back with the restore.
    let request = access::request(&vault, "analyst", &record, REASON, CASE);
    let approve = format!("/v1/access-requests/{request}/approve");
    let grant = vault.person("approver").post(&approve, &json!({})).expect(200).text("grant_id");
    let unfinished = tus::create(&vault, FILENAME, "audio/wav", recording.len());
    let _ = unfinished.patch(&vault, 0, &recording[..100_000]).expect(204);
    let checkpoint = vault.person("auditor").get("/v1/audit/log/checkpoint").expect(200).body;

    assert!(vault.stop().success());
    let (backup, keys) = (room(), room());
    let objects = Store::of(&vault).snapshot();
    let rows = backup.path().join("rows");
    copies::take(&vault.database_url(), &rows);
    copy(&vault.data().join("dev.json"), &backup.path().join("dev.json"));
    for name in ["keyring", "passphrase"] {
        copy(&vault.data().join(name), &keys.path().join(name));
    }
    vault.launch();
    let revoked = vault.person("approver").send("DELETE", &format!("/v1/grants/{grant}"), &[], &[]);
    assert!((200..300).contains(&revoked.status), "{revoked}");
    assert!(vault.stop().success());
    let restored = |objects: &Snapshot| {
        let folder = room();
        let data = folder.path().join("data");
        std::fs::DirBuilder::new().mode(0o700).create(&data).expect("a directory");
        copy(&backup.path().join("dev.json"), &data.join("dev.json"));
        let variables = [database::of_the_run(), objects::of_the_run()].concat();
        copies::put_back(&vault::url_of(&variables, &data), &rows);
        Store::at(&data, &variables).roll_back(objects);
        for name in ["keyring", "passphrase"] {
            copy(&keys.path().join(name), &data.join(name));
        }
        Vault::on_where(folder, "data", variables).expect("a vault from its backup")
    };
    let plays = |vault: &Vault| {
        let request = access::request(vault, "analyst", &record, REASON, CASE);
        let _grant = access::approve(vault, "approver", &request);
        let session = access::open(vault, "analyst", &request);
        assert!(access::play(vault, &session) == recording);
    };

    // Both of the same moment, with the keyring from where it is kept: everything is there and the log verifies.
    let whole = restored(&objects);
    plays(&whole);
    // Without its resume key an upload that was under way is lost, as it should be.
    let lost = unfinished.patch(&whole, 100_000, &recording[100_000..]);
    assert!(lost.status >= 400, "an upload went on without its resume key: {lost}");
    let _sound = cli::verify_log(&whole).expect(0);
    let seen = whole.room().join("seen");
    std::fs::write(&seen, checkpoint).expect("written");
    let seen = seen.display().to_string();
    let key = whole.dev.log_public_key.clone();
    let verify = ["audit", "verify", "--public-key", &key, "--known-checkpoint", &seen];
    let _extends_what_was_seen = cli::run(&whole, "auditor", &verify).expect(0);

    // An older database beside the objects as they are: what was revoked after the backup stays revoked.
    let older = restored(&Store::of(&vault).snapshot());
    plays(&older);
    let body = json!({"representation": "original"});
    let refused = access::try_open(&older.person("analyst"), &request, &body);
    assert!(refused.status >= 400, "a revoked grant came back with the backup: {refused}");
}

/// Every command of ours that a text gives as code, with the options that it takes: behind a backtick or a slash, or at the
/// start of a line.
fn commands(text: &str) -> BTreeSet<(&'static str, Vec<String>, Vec<String>)> {
    let text = text.replace("\\\n", " ");
    let mut found = BTreeSet::new();
    for program in ["vault-server", "vault-cli"] {
        for (at, _) in text.match_indices(program) {
            let before = text[..at].rsplit('\n').next().unwrap_or_default();
            if !(before.trim().is_empty() || before.ends_with(['`', '/'])) {
                continue;
            }
            let Some(rest) = text[at + program.len()..].strip_prefix(' ') else { continue };
            let rest = rest.split(['\n', '`', '"', '|', ';', '&', '#', '<', '>', '(', ')']).next().unwrap_or_default();
            let lower =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            let words: Vec<String> = rest.split_whitespace().take_while(lower).map(str::to_owned).collect();
            let options = rest.split_whitespace().filter(|word| word.starts_with("--"));
            let options = options.map(|word| {
                word.split('=').next().unwrap_or_default().trim_end_matches(['.', ',', ':', '`']).to_owned()
            });
            // `help` itself has none.
            if words.first().is_some_and(|first| first != "help") {
                found.insert((program, words, options.collect()));
            }
        }
    }
    found
}

fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    for item in std::fs::read_dir(folder).expect("a folder") {
        let path = item.expect("an item").path();
        if path.is_dir() {
            texts(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_command_that_deploy_and_docs_give_is_one() {
    let given = commands(
        "x\n`vault-cli keys list demo --json`, /usr/bin/vault-server serve \\\n  --config=a\nof vault-cli things",
    );
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let expected = [
        ("vault-cli", words(&["keys", "list", "demo"]), words(&["--json"])),
        ("vault-server", words(&["serve"]), words(&["--config"])),
    ];
    assert_eq!(given, BTreeSet::from(expected));

    let mut paths = vec![workspace().join("README.md")];
    texts(&workspace().join("docs"), &mut paths);
    texts(&workspace().join("deploy"), &mut paths);
    let mut helps: BTreeMap<(&str, Vec<String>), Option<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in paths {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (program, words, options) in commands(&text) {
            let help = helps.entry((program, words.clone())).or_insert_with(|| {
                let mut command = Command::new(programs::program(program));
                let done = command.args(&words).arg("--help").output().expect("the program starts");
                done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
            });
            let called = format!("{}: {program} {}", path.display(), words.join(" "));
            match help {
                None => wrong.push(called),
                Some(help) => {
                    let known = |option: &String| {
                        help.split(|c: char| c.is_whitespace() || ",=[]".contains(c)).any(|word| word == option)
                    };
                    wrong.extend(
                        options.iter().filter(|option| !known(option)).map(|option| format!("{called} {option}")),
                    );
                }
            }
        }
    }
    assert!(helps.len() > 40, "{}", helps.len());
    assert!(wrong.is_empty(), "no such command or option:\n{}", wrong.join("\n"));
}
