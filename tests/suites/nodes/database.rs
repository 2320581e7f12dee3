//! A node that loses the database while the other keeps it. The database is a server's, reached over a wire that is cut,
//! or falls silent.

use std::time::Duration;

use vault_tests::cluster::Cluster;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::http::Answer;
use vault_tests::stream::{self, Stream};
use vault_tests::vault::Vault;
use vault_tests::wire::Wire;
use vault_tests::{access, tus};

use super::Pair;

/// Without a successful poll for this long a node serves nothing (promise 6).
const STALE: Duration = Duration::from_millis(750);
/// From the loss of the database until a node must serve nothing, with room for a poll that was just being answered.
const SURELY_STALE: Duration = Duration::from_secs(1);
const _: () = assert!(STALE.as_millis() < SURELY_STALE.as_millis());

/// How often somebody comes back who was told to.
const TRIES: usize = 400;

/// How the second node loses its database.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Connections end, and new ones are refused.
    Cut,
    /// Connections stay, and nobody answers.
    Silence,
}

/// Two nodes, the second of which reaches the database over a wire.
struct Wired {
    // In the order in which they are to be dropped.
    pair: Pair,
    wire: Wire,
    cluster: Cluster,
}

impl Wired {
    fn start() -> Self {
        let cluster = Cluster::start();
        let set = |url: String| vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), url)];
        let one = Vault::first_where(|_| set(cluster.database("vault")));
        let wire = Wire::to(cluster.port());
        let two = one.beside_where(set(wire.url("vault")));
        Self { pair: Pair { two, one }, wire, cluster }
    }

    fn lose(&self, loss: Loss) {
        match loss {
            Loss::Cut => self.wire.sever(),
            Loss::Silence => self.wire.silence(true),
        }
        std::thread::sleep(SURELY_STALE);
    }

    /// Gives the database back, and waits until the node has found that by itself.
    fn find_again(&self) {
        self.wire.silence(false);
        self.wire.lay_to(self.cluster.port());
        self.pair.two.wait_until_ready();
    }
}

/// The first answer that is not "come back": on a busy machine a poll may be late once more.
#[track_caller]
fn settled(ask: impl Fn() -> Answer) -> Answer {
    for _ in 0..TRIES {
        let answer = ask();
        if answer.status != 503 {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("503 for ever")
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test postgres"]
fn p6_a_node_that_loses_the_database_serves_nothing_and_comes_back() {
    let wired = Wired::start();
    let (one, two) = (&wired.pair.one, &wired.pair.two);
    let recording = wav(50_000, &mut Chance::new(0x0604));
    let record = tus::upload(two, "call.wav", "audio/wav", &recording);
    for loss in [Loss::Cut, Loss::Silence, Loss::Cut, Loss::Silence] {
        let session = access::granted(two, &record);
        let range = [("range", "bytes=0-999")];
        let (here, there) = (two.person("analyst"), one.person("analyst"));
        let _warm = here.send("GET", &session.playback_url, &range, &[]).expect(206);
        wired.lose(loss);
        for _ in 0..20 {
            let answer = here.send("GET", &session.playback_url, &range, &[]);
            assert_eq!(answer.status, 503, "{loss:?}: {answer}");
            assert!(answer.header("retry-after").is_some(), "{loss:?}: {answer}");
        }
        assert_eq!(two.nobody().get("/readyz").status, 503, "{loss:?}");
        // The other one serves the same session, and goes on.
        let _served = there.send("GET", &session.playback_url, &range, &[]).expect(206);
        let another = access::granted(one, &record);
        assert!(access::play(one, &another) == recording);
        wired.find_again();
        let served = settled(|| here.send("GET", &session.playback_url, &range, &[]));
        assert_eq!(served.status, 206, "{loss:?}: {served}");
        assert!(tus::upload(two, "call.wav", "audio/wav", &recording) != record);
    }
    wired.pair.verify();
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test postgres"]
fn p6_playback_under_way_stops_when_its_node_loses_the_database() {
    let wired = Wired::start();
    let (one, two) = (&wired.pair.one, &wired.pair.two);
    let recording = wav(stream::LENGTH, &mut Chance::new(0x0605));
    let record = tus::upload(one, "call.wav", "audio/wav", &recording);
    for loss in [Loss::Cut, Loss::Silence] {
        let request = access::request(one, "analyst", &record, "Hear what was said", "C-6");
        let approved = access::approve(one, "approver", &request);
        let session = access::open(two, "analyst", &request);
        let stream = Stream::begin(two, &session);
        wired.lose(loss);
        // What is in the sockets by now was sent in time; nothing follows it.
        let received = stream.rest();
        assert!(received < recording.len() / 2, "{loss:?}: {received} bytes of {} came", recording.len());
        // What is taken away meanwhile stays away when the database is back: not one answer comes from before.
        let revoked = one.person("approver").delete(&format!("/v1/grants/{}", approved.grant_id));
        assert!([200, 202].contains(&revoked.status), "{revoked}");
        wired.find_again();
        let refused = settled(|| two.person("analyst").get(&session.playback_url));
        assert_eq!(refused.status, 403, "{loss:?}: {refused}");
        let again = access::granted(two, &record);
        assert!(access::play(two, &again) == recording, "{loss:?}");
    }
    wired.pair.verify();
}
