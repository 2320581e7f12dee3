//! A PostgreSQL whose disk is full, and one that is gone: where a file system can be mounted and PostgreSQL is installed,
//! `cargo xtask test full-cluster`.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use vault_tests::cluster::Cluster;
use vault_tests::vault::Vault;

use super::acts::{ALL, Act, SOON, Stage};
use super::place::{Mount, fill};
use super::wait_until_ready;

#[test]
#[ignore = "needs PostgreSQL and to mount a file system: cargo xtask test full-cluster"]
fn a_database_server_without_room_or_gone_is_a_503_that_passes_with_it() {
    let mut made = None;
    let mut cluster = Cluster::start_where(|folder| {
        let owner = std::fs::metadata(folder).expect("a folder").uid();
        made = Some(Mount::at(&folder.join("data"), &format!("size=160m,mode=0700,uid={owner}")));
    });
    let mount = made.expect("mounted");
    let url = cluster.database("vault");
    let vault = Vault::start_where(&[], |_| {
        vec![("FEEDBACK_VAULT_DATABASE_URL".to_owned(), url), (SOON.0.to_owned(), SOON.1.to_owned())]
    });
    let stage = Stage::set(vault);

    let (full, gone) = ("a database without room", "a database that is gone");
    let filler = mount.0.join("filler");
    fill(&filler);
    let answered = stage.during(full, &ALL, &[Act::Patch]);
    stage.bites(full, &answered);
    std::fs::remove_file(&filler).expect("room");
    wait_until_ready(&stage.vault);

    cluster.stop();
    // A node that cannot learn of restrictions serves for 750 ms.
    std::thread::sleep(Duration::from_secs(1));
    let left: Vec<Act> = ALL
        .into_iter()
        .filter(|act| answered.contains(&(*act, 503)) || [Act::Create, Act::Play].contains(act))
        .collect();
    assert!(left.len() > 2, "{answered:?}");
    let refused = stage.during(gone, &left, &left);
    let mut all: Vec<(Act, u16)> = answered.into_iter().filter(|(act, _)| !left.contains(act)).collect();
    all.extend(refused);
    stage.bites(gone, &all);
    cluster.resume();
    stage.recovers(gone, &all);
}
