//! Faults in pairs, act by act: every named transaction fails through a public act that reaches it, as "failed, not
//! persisted" and as "failed, yet persisted", and one of seven statements of every act is lost with its connection.
//!
//! Whoever asked is told 503 with a code, or success, and asks again as a client or a job does. Afterwards what the act is
//! for holds, nothing that was taken away is back, the log convinces its verifier, and it has an entry for each act: no
//! more of them, and no fewer.
//!
//! | file | acts |
//! | --- | --- |
//! | `people`, `collections`, `access`, `uploads` | of a vault that is used |
//! | `keys`, `root` | of key officers, and of the jobs that follow from them |
//! | `sessions` | of two nodes that serve one session |
//! | `starts` | of the console and of a start: making a vault, restoring it, declaring a successor of its log |
//! | `named` | every name in the source is in one of the tables or in a test beside what it names, or cannot fail in pairs |

mod access;
mod collections;
mod keys;
pub(crate) mod named;
mod people;
mod root;
mod sessions;
mod starts;
mod uploads;

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use vault_core::audit::entry::Entry;

use super::{House, Recordings, oracle};
use crate::app::error::Failure;
use crate::objects::faulty::Faulty;
use crate::store::faults::{Fault, Told, losing};

const PAIR: [Fault; 2] = [Fault::NotPersisted, Fault::Persisted];
/// How often somebody asks again. A fault is met once.
const TRIES: usize = 8;
/// No answer takes longer, whatever fails.
const BOUND: Duration = Duration::from_secs(10);
/// More statements than any act makes.
const MANY: u64 = 1_000;
/// One of so many statements of an act is lost: acts begin alike, so that each begins to count at another one.
const EVERY: usize = 7;

type Answer = (StatusCode, Value);

/// Something that is done to a vault, by somebody or by a job.
struct Act {
    name: &'static str,
    /// The transactions that are made to fail in it. Its statements are lost whatever it makes.
    makes: &'static [&'static str],
    /// Makes what it is done to: each fault has its own.
    prepare: for<'s> fn(&'s Stage) -> LocalBoxFuture<'s, Value>,
    /// Does it, or does it again.
    run: for<'s> fn(&'s Stage, &'s Value) -> LocalBoxFuture<'s, Answer>,
    /// What has to be so once it is done.
    holds: for<'s> fn(&'s Stage, &'s Value) -> LocalBoxFuture<'s, ()>,
}

/// A vault over an object store in memory, with an open collection.
struct Stage {
    house: House,
    objects: Arc<Faulty>,
    recordings: Recordings,
    numbered: AtomicU64,
}

impl Stage {
    async fn set(settings: &str) -> Self {
        let objects = Arc::new(Faulty::default());
        let house = House::made(Some(objects.objects()), settings).await;
        let recordings = Recordings::open(&house).await;
        Self { house, objects, recordings, numbered: AtomicU64::new(0) }
    }

    async fn restarted(self) -> Self {
        Self { house: self.house.restarted().await, ..self }
    }

    /// A name that nothing has yet.
    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.numbered.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks, and again where a busy machine kept the polls from coming: then nothing was done.
    async fn asked(&self, ask: impl AsyncFn() -> Answer) -> Answer {
        for _ in 0..TRIES {
            let (status, said) = ask().await;
            if said["code"] != "restrictions_stale" {
                return (status, said);
            }
            let _the_next_one_may = self.house.vault.restrictions.poll().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ask().await
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> Answer {
        self.ask_with(self.house.token(who), method, path, body).await
    }

    async fn ask_with(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.asked(async || self.house.ask_with(Some(token), method, path, body.clone()).await).await
    }

    /// Asks for what has to succeed: no fault is about.
    async fn must(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, said) = self.ask(who, method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {said}");
        said
    }

    /// Begins an upload into the open collection.
    async fn begin(&self, length: Option<usize>) -> Answer {
        self.asked(async || self.recordings.begin(&self.house, length).await).await
    }

    async fn send(&self, location: &str, from: usize, bytes: &[u8]) -> Answer {
        self.asked(async || self.recordings.send(&self.house, location, from, bytes.to_vec()).await).await
    }

    /// Rows that are so.
    async fn count(&self, rows: String) -> i64 {
        self.house.vault.store.number(format!("SELECT COUNT(*) FROM {rows}").leak()).await
    }

    /// Whoever held a lease by a commit without an answer would be waited for: it is said to have ended.
    async fn release(&self) {
        self.house.vault.store.by_hand("UPDATE leases SET until = 0 WHERE name NOT LIKE 'log%'").await;
    }

    /// Nothing waits for the log any more.
    async fn quiet(&self) {
        self.until("the log is behind", async || self.count("log_outbox".to_owned()).await == 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// All that was done is in the log, and published: whoever waits for an entry waits for those before.
    async fn settled(&self) {
        self.quiet().await;
        let witness = json!({"name": self.fresh("Witness"), "kind": "human"});
        self.must("administrator", "POST", "/v1/people", witness).await;
    }

    /// Waits for what a poll or a job brings about.
    async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        for _ in 0..300 {
            if is().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}");
    }

    /// Goes through a table: all faults of each act.
    async fn all(&self, acts: &[Act]) {
        let mut trouble = Vec::new();
        for act in acts {
            let began = std::time::Instant::now();
            let both = AssertUnwindSafe(async { (self.pairs(act).await, self.statements(act).await) });
            // One that ends badly keeps no other from being tried.
            match both.catch_unwind().await {
                Ok((commits, statements)) => {
                    println!("{}: {commits} commits, {statements} statements, {:?}", act.name, began.elapsed());
                }
                Err(_) => trouble.push(act.name),
            }
            self.house.vault.store.faults.clear();
        }
        assert!(trouble.is_empty(), "{trouble:?}");
    }

    /// One attempt, some time after the one before: nothing is remembered of who asks.
    async fn attempt(&self, act: &Act, target: &Value, nth: Option<u64>) -> Told<Answer> {
        self.house.clock.advance(Duration::from_secs(2));
        self.release().await;
        let attempt = losing(nth, (act.run)(self, target));
        tokio::time::timeout(BOUND, attempt).await.unwrap_or_else(|_| panic!("{}: no answer", act.name))
    }

    /// Each transaction fails at each of its commits, in both ways. Answers how many faults were met.
    async fn pairs(&self, act: &Act) -> usize {
        let faults = &self.house.vault.store.faults;
        let target = (act.prepare)(self).await;
        faults.made();
        self.insist(act, &target, false).await;
        let made = faults.made();
        (act.holds)(self, &target).await;
        let mut met = 0;
        for name in act.makes {
            let times = made.get(name).copied().unwrap_or(0);
            assert!(times > 0, "{}: {name} is not made, but {made:?}", act.name);
            for before in 0..times {
                for fault in PAIR {
                    let target = (act.prepare)(self).await;
                    faults.add_after(name, before, fault);
                    self.insist(act, &target, fault == Fault::Persisted).await;
                    self.until(&format!("{}: {name} {before} is not met", act.name), async || !faults.waits()).await;
                    (act.holds)(self, &target).await;
                    met += 1;
                }
            }
        }
        met
    }

    /// Asks until it is done. `lost`: whether it may have been done by an attempt whose answer says that nobody knows.
    async fn insist(&self, act: &Act, target: &Value, lost: bool) {
        let mut failed = false;
        for _ in 0..TRIES {
            let (status, said) = self.attempt(act, target, None).await.answer;
            match status.as_u16() {
                200..=299 => return,
                503 => assert!(said["code"].is_string(), "{}: {said}", act.name),
                // Told that it is done.
                404 | 409 | 410 if failed && lost => return,
                _ => panic!("{}: {status} {said}", act.name),
            }
            failed = true;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} is refused for good", act.name);
    }

    /// One of [`EVERY`] statements is lost, in the order in which the act makes them. Answers how many were.
    async fn statements(&self, act: &Act) -> u64 {
        let mut target = (act.prepare)(self).await;
        let (mut nth, mut lost, mut begun, mut passing) = ((act.name.len() % EVERY) as u64, 0, false, 0);
        while nth < MANY {
            let told = self.attempt(act, &target, Some(nth)).await;
            let (status, said) = told.answer;
            match status.as_u16() {
                200..=299 => {}
                // SQLite's log is emptied only when nobody reads.
                503 if !told.lost && passing < 5 => passing += 1,
                503 if told.lost => assert!(said["code"].is_string(), "{}, statement {nth}: {said}", act.name),
                404 | 409 | 410 if begun => {}
                // What cannot be read is neither absent nor forbidden.
                _ => panic!("{}, statement {nth}: {status} {said}", act.name),
            }
            if told.lost {
                (nth, lost) = (nth + EVERY as u64, lost + 1);
            }
            let failed = status == StatusCode::SERVICE_UNAVAILABLE;
            if !failed {
                (act.holds)(self, &target).await;
                if !told.lost && !begun {
                    return lost;
                }
            }
            begun |= act.makes.iter().any(|name| told.committed.contains(name));
            if !failed {
                // Done before all of its statements were lost: the others are lost in doing it to something else.
                (target, begun) = ((act.prepare)(self).await, false);
            }
        }
        panic!("{} does not end", act.name);
    }

    /// What the log says must be what the rows say, and be sound.
    async fn balanced(&self, known: &[String]) -> String {
        self.settled().await;
        let (note, _) = oracle::sound(&self.house.vault, known).await;
        let told = told(self).await;
        let said = |kind: &str| told.get(kind).copied().unwrap_or(0);
        for (rows, kind) in [
            ("persons", "person.added"),
            ("persons WHERE disabled_at IS NOT NULL", "person.disabled"),
            ("tokens", "token.issued"),
            ("tokens WHERE confirmed_by IS NOT NULL", "token.confirmed"),
            ("role_bindings WHERE active_at IS NOT NULL", "role.granted"),
            ("collections", "collection.created"),
            ("access_requests", "access.requested"),
            ("access_requests WHERE state = 'denied'", "access.denied"),
            ("grants", "access.approved"),
            ("records", "upload.completed"),
            ("erasures", "record.erased"),
            ("keks WHERE state = 'compromised'", "key.operation mark-compromised"),
            ("destructions", "key.operation destroy-requested"),
            ("destructions WHERE confirmed_by IS NOT NULL", "key.operation destroy-confirmed"),
            ("destructions WHERE state = 'cancelled'", "key.operation destroy-cancelled"),
            ("cycles", "root.operation cycle-requested"),
            ("cycles WHERE confirmed_by IS NOT NULL", "root.operation cycle-confirmed"),
            ("cycles WHERE state = 'cancelled'", "root.operation cycle-cancelled"),
        ] {
            assert_eq!(self.count(rows.to_owned()).await, said(kind), "{rows}");
        }
        note
    }
}

/// How many entries of each type the log has, and of each operation of those about keys.
async fn told(stage: &Stage) -> BTreeMap<String, i64> {
    let ledger = stage.house.vault.ledger().unwrap();
    let (mut told, mut from) = (BTreeMap::new(), 0);
    loop {
        let page = ledger.page(from, 500, None, |_| true, |_| true).await.unwrap();
        for view in page.views {
            let entry = Entry::parse(&view.entry).unwrap();
            let kind = entry.kind().as_str();
            if let Some(operation) = entry.data("operation").and_then(|value| value.as_str()) {
                *told.entry(format!("{kind} {operation}")).or_default() += 1;
            }
            *told.entry(kind.to_owned()).or_default() += 1;
        }
        match page.next {
            Some(next) => from = next,
            None => return told,
        }
    }
}

/// What a job says, as a server would.
fn answered<T>(outcome: Result<T, Failure>) -> Answer {
    match outcome {
        Ok(_) => (StatusCode::OK, Value::Null),
        Err(failure) => {
            let code = failure.code();
            (StatusCode::from_u16(code.status()).unwrap(), json!({"code": code.as_str(), "causes": failure.causes()}))
        }
    }
}

/// Nothing is to be made.
fn nothing(_: &Stage) -> LocalBoxFuture<'_, Value> {
    Box::pin(async { Value::Null })
}

/// An answer is all there is to it.
fn answers<'s>(_: &'s Stage, _: &'s Value) -> LocalBoxFuture<'s, ()> {
    Box::pin(async {})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn sweep<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn p3_p6_every_act_of_a_vault_in_use_fails_in_both_ways_and_ends_as_it_should() {
    sweep(async {
        let mut stage = Stage::set("").await;
        let mut known = Vec::new();
        for acts in [people::ACTS, collections::ACTS] {
            stage.all(acts).await;
            known.push(stage.balanced(&known).await);
            // What is in memory alone counts for nothing.
            stage = stage.restarted().await;
            known.push(stage.balanced(&known).await);
        }
        stage.all(access::ACTS).await;
        stage.settled().await;
        oracle::sound(&stage.house.vault, &known).await;
    });
}

#[test]
fn p3_p7_every_act_upon_uploads_and_keys_fails_in_both_ways_and_ends_as_it_should() {
    sweep(async {
        let mut stage = Stage::set("[limits]\ncollection_bytes_per_day = 1000000000\n").await;
        let mut known = Vec::new();
        for acts in [uploads::ACTS, keys::ACTS, root::ACTS] {
            stage.all(acts).await;
            known.push(stage.balanced(&known).await);
            stage = stage.restarted().await;
            known.push(stage.balanced(&known).await);
        }
        keys::nothing_is_destroyed(&stage).await;
        stage.balanced(&known).await;
    });
}
