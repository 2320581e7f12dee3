//! What needs a file system of its own to be filled, or made read-only: mounting one takes root, or the right to. Where
//! this process may not, `cargo xtask test` says that these tests were not run; by themselves they are ignored.
//!
//! Each state lasts while every kind of act is asked at once ([`acts`](super::acts)); a state ends without a restart.

use serde_json::json;
use vault_tests::blocked::log_folder;
use vault_tests::fixtures::{Chance, wav};
use vault_tests::vault::Vault;
use vault_tests::{access, cli, database, tus};

use super::acts::{Act, SOON, Stage, State};
use super::place::{Mount, fill};

/// A vault whose `part` of the data directory is a file system in memory.
#[track_caller]
fn vault_with(part: &str, options: &str) -> (Vault, Mount) {
    let mut made = None;
    let vault = Vault::start_where(&[], |room| {
        made = Some(Mount::at(&room.join("data").join(part), &format!("{options},mode=0700")));
        let mut variables = database::of_the_run();
        variables.push((SOON.0.to_owned(), SOON.1.to_owned()));
        variables
    });
    (vault, made.expect("mounted"))
}

/// A vault whose rows and objects lie elsewhere: in the data directory are its keys alone.
#[track_caller]
fn vault_with_keys_apart(options: &str) -> (Vault, Mount) {
    let mut made = None;
    let vault = Vault::start_where(&[], |room| {
        made = Some(Mount::at(&room.join("data"), &format!("{options},mode=0700")));
        let apart = room.join("apart");
        std::fs::create_dir(&apart).expect("a place");
        let path = |name: &str| apart.join(name).display().to_string();
        let mut variables = database::of_the_run();
        if variables.is_empty() {
            variables
                .push(("FEEDBACK_VAULT_DATABASE_URL".to_owned(), format!("sqlite://{}?mode=rwc", path("vault.db"))));
        }
        variables.push((SOON.0.to_owned(), SOON.1.to_owned()));
        variables.push(("FEEDBACK_VAULT_OBJECTS_PATH".to_owned(), path("objects")));
        variables
    });
    (vault, made.expect("mounted"))
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn a_full_disk_is_a_503_that_passes_with_it() {
    let (vault, mount) = vault_with("", "size=24m");
    let stage = Stage::set(vault);
    let filler = mount.0.join("filler");
    fill(&filler);
    let state = State { name: "a full disk", refused: &[Act::Create, Act::Patch, Act::Complete, Act::Open], rounds: 2 };
    state.lasts(stage, || std::fs::remove_file(&filler).expect("room"));
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn a_data_directory_that_became_read_only_is_a_503_that_passes_with_it() {
    let (vault, mount) = vault_with("", "size=24m");
    let stage = Stage::set(vault);
    // A disk that fails is full of errors first: the database has to let go of its files, and opens them as they are.
    let filler = mount.0.join("filler");
    fill(&filler);
    let _full = stage.during("a full disk", &[Act::Patch, Act::Open], &[Act::Patch, Act::Open]);
    let over = Mount::read_only(&mount.0);
    std::fs::remove_file(&filler).expect_err("it may only be read");
    let state =
        State { name: "a directory only to be read", refused: &[Act::Complete, Act::Open, Act::RotateRoot], rounds: 2 };
    state.lasts(stage, || {
        drop(over);
        std::fs::remove_file(&filler).expect("room");
    });
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn objects_on_a_full_disk_are_a_503_and_restrictions_bite() {
    let (vault, mount) = vault_with("objects", "size=24m");
    let stage = Stage::set(vault);
    let filler = mount.0.join("filler");
    fill(&filler);
    let state = State { name: "objects on a full disk", refused: &[Act::Complete, Act::Open], rounds: 1 };
    state.lasts(stage, || std::fs::remove_file(&filler).expect("room"));
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn objects_that_became_read_only_are_a_503_and_restrictions_bite() {
    let (vault, mount) = vault_with("objects", "size=64m");
    let stage = Stage::set(vault);
    mount.again("ro");
    let state = State { name: "objects only to be read", refused: &[Act::Complete, Act::Open], rounds: 1 };
    state.lasts(stage, || mount.again("rw"));
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn a_log_that_may_only_be_read_is_a_503_and_restrictions_bite() {
    let (vault, _mount) = vault_with("objects", "size=64m");
    let stage = Stage::set(vault);
    let over = Mount::read_only(&log_folder(&stage.vault.data().join("objects")).expect("a published log"));
    let state = State { name: "a log only to be read", refused: &[Act::Open], rounds: 1 };
    state.lasts(stage, || drop(over));
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn a_keyring_that_cannot_be_written_costs_the_root_its_rotation_and_nothing_else() {
    let (vault, mount) = vault_with_keys_apart("size=256k");
    let stage = Stage::set(vault);
    let filler = mount.0.join("filler");
    fill(&filler);
    let _full = stage.during("a keyring without room", &[Act::RotateRoot], &[Act::RotateRoot]);
    std::fs::remove_file(&filler).expect("room");
    let over = Mount::read_only(&mount.0);
    let state = State { name: "a keyring only to be read", refused: &[Act::RotateRoot], rounds: 1 };
    let answered = state.lasts(stage, || drop(over));
    let others = answered.iter().filter(|(act, _)| *act != Act::RotateRoot);
    assert!(others.clone().all(|(_, status)| *status < 300), "{:?}", others.collect::<Vec<_>>());
}

#[test]
#[ignore = "needs to mount a file system: cargo xtask test mounts"]
fn p7_a_full_disk_while_the_keyring_is_written_changes_nothing_and_passes_with_it() {
    let (mut vault, mount) = vault_with_keys_apart("size=256k");
    let (keyring, filler) = (mount.0.join("keyring"), mount.0.join("filler"));
    let recording = wav(50_000, &mut Chance::new(0x5eed_0504));
    let record = tus::upload(&vault, "call.wav", "audio/wav", &recording);
    let epochs = |vault: &Vault| {
        let shown = vault.person("key-officer").get("/v1/root").expect(200).json();
        let epochs = shown["epochs"].as_array().expect("epochs").clone();
        epochs.iter().map(|e| e["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    let rotate = |vault: &Vault| vault.person("key-officer").post("/v1/root/rotate", &json!({"reason": "Monthly"}));
    let before = std::fs::read(&keyring).expect("the keyring");

    fill(&filler);
    let refused = super::unavailable("a root rotation", || rotate(&vault));
    assert_eq!(refused.code(), "unavailable", "{refused}");
    assert_eq!(
        (epochs(&vault), std::fs::read(&keyring).expect("it is there") == before),
        (vec!["active".into()], true)
    );
    // What stands goes on, and a start finds the keyring whole.
    assert!(access::play(&vault, &access::granted(&vault, &record)) == recording);
    vault.kill();
    std::fs::remove_file(&filler).expect("room");
    vault.launch();
    assert_eq!(epochs(&vault), ["active"]);
    let _rotated = rotate(&vault).expect(200);
    assert_eq!(epochs(&vault), ["active", "deactivated"]);

    let destroy = "/v1/root/1/destroy";
    let asked = json!({"reason": "Monthly", "known_copies": 0});
    let _asked = vault.person("key-officer").post(destroy, &asked).expect(202);
    fill(&filler);
    let confirmed = vault.person("key-officer-2").post(&format!("{destroy}/confirm"), &json!({}));
    assert!([200, 503].contains(&confirmed.status), "{confirmed}");
    assert_eq!(epochs(&vault), ["active", "deactivated"], "not destroyed in memory alone");
    vault.kill();
    std::fs::remove_file(&filler).expect("room");
    vault.launch();
    // Both agreed: it is done as soon as it can be.
    let started = std::time::Instant::now();
    while epochs(&vault) != ["active", "destroyed"] {
        assert!(started.elapsed() < super::RECOVERY, "{:?}\n{}", epochs(&vault), vault.log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    vault.crash();
    assert!(access::play(&vault, &access::granted(&vault, &record)) == recording);
    let verified = cli::run(&vault, "key-officer", &["keys", "verify"]).expect(0).json();
    assert_eq!(verified["findings"], json!([]));
    let _clean = cli::verify_log(&vault).expect(0);
}
