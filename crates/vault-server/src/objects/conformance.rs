//! What the design relies on, run against every back end.

use object_store::{ObjectStore, local::LocalFileSystem};

use super::*;
use crate::config::Config;

async fn everything(objects: &Objects) {
    reads_back(objects).await;
    ranges(objects).await;
    streams(objects).await;
    deletes(objects).await;
    together(objects).await;
    objects.check(false).await.unwrap();
}

async fn reads_back(objects: &Objects) {
    let name = Name::fresh_part();
    assert!(matches!(objects.get(&name).await, Err(ObjectError::Missing)));
    assert!(!objects.exists(&name).await.unwrap());
    objects.put(&name, b"first".to_vec()).await.unwrap();
    assert_eq!(objects.get(&name).await.unwrap(), "first");
    assert_eq!(objects.length(&name).await.unwrap(), 5);
    objects.put(&name, b"second".to_vec()).await.unwrap();
    assert_eq!(objects.get(&name).await.unwrap(), "second");
}

async fn ranges(objects: &Objects) {
    let name = Name::fresh_part();
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    objects.put(&name, bytes.clone()).await.unwrap();
    for range in [0..1, 0..100_000, 99_999..100_000, 12_345..67_890, 5..5] {
        let (start, end) = (range.start as usize, range.end as usize);
        assert_eq!(objects.get_range(&name, range).await.unwrap(), bytes[start..end]);
    }
    for beyond in [0..100_001, 99_999..100_001, 100_000..100_001, 200_000..200_010] {
        assert!(matches!(objects.get_range(&name, beyond.clone()).await, Err(ObjectError::Short)), "{beyond:?}");
    }
    assert!(matches!(objects.get_range(&Name::fresh_part(), 0..1).await, Err(ObjectError::Missing)));
}

async fn streams(objects: &Objects) {
    let name = Name::fresh_part();
    let mut writer = objects.begin(&name).await.unwrap();
    let mut whole = Vec::new();
    for i in 0..40u8 {
        let piece = vec![i; 1000 + usize::from(i)];
        whole.extend_from_slice(&piece);
        writer.write(piece).await.unwrap();
        assert_eq!(writer.written(), whole.len() as u64);
        assert!(!objects.exists(&name).await.unwrap(), "nothing is readable before finish");
    }
    assert_eq!(writer.finish().await.unwrap(), whole.len() as u64);
    assert_eq!(objects.get(&name).await.unwrap(), whole);

    let dropped = Name::fresh_part();
    let mut writer = objects.begin(&dropped).await.unwrap();
    writer.write(vec![1; 10]).await.unwrap();
    writer.abort().await;
    assert!(!objects.exists(&dropped).await.unwrap());
}

async fn deletes(objects: &Objects) {
    let name = Name::fresh_part();
    objects.delete(&name).await.unwrap();
    objects.put(&name, b"x".to_vec()).await.unwrap();
    objects.delete(&name).await.unwrap();
    objects.delete(&name).await.unwrap();
    assert!(matches!(objects.get(&name).await, Err(ObjectError::Missing)));
}

/// More at once than there are files opened at once, in folders that are not there yet; and the last one replaced.
async fn together(objects: &Objects) {
    let name = |of: &str| Name::log(&format!("conformance/{of}")).unwrap();
    let last = name("last");
    for round in 0..2 {
        let first: Vec<(Name, Bytes)> =
            (0..70).map(|n| (name(&format!("{round}/{}/{n}", n % 3)), Bytes::from(vec![n; 300]))).collect();
        let bytes = Bytes::from(format!("after round {round}"));
        objects.put_before(first.clone(), (last.clone(), bytes.clone())).await.unwrap();
        for (name, bytes) in first {
            assert_eq!(objects.get(&name).await.unwrap(), bytes, "{name}");
        }
        assert_eq!(objects.get(&last).await.unwrap(), bytes);
    }
    objects.put_before(Vec::new(), (last.clone(), Bytes::from_static(b"alone"))).await.unwrap();
    assert_eq!(objects.get(&last).await.unwrap(), "alone");
}

#[tokio::test]
async fn memory_conforms() {
    everything(&Objects::memory()).await;
}

#[tokio::test]
async fn local_conforms() {
    let dir = tempfile::tempdir().unwrap();
    everything(&Objects::local(&dir.path().join("objects")).unwrap()).await;
}

#[tokio::test]
async fn what_comes_last_is_not_there_while_one_before_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let objects = Objects::local(dir.path()).unwrap().metered(&metrics);
    let name = |of: &str| Name::log(of).unwrap();
    let put = async |first: [&str; 3], last: &'static str| {
        let first = first.map(|of| (name(of), Bytes::from_static(b"first")));
        objects.put_before(first.into(), (name("last"), Bytes::from_static(last.as_bytes()))).await
    };
    put(["a/1", "a/2", "b/1"], "one").await.unwrap();
    // A folder stands where an object is to be.
    std::fs::create_dir_all(dir.path().join("log/b/2/in/the/way")).unwrap();
    put(["a/3", "a/4", "b/2"], "two").await.unwrap_err();
    assert_eq!(objects.get(&name("last")).await.unwrap(), "one");
    // Nor does anything half-written stay, or what another left get into the way.
    let folders = ["log", "log/a", "log/b"].map(|folder| std::fs::read_dir(dir.path().join(folder)).unwrap());
    let staged =
        folders.into_iter().flatten().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains('#'));
    assert_eq!(staged.count(), 0);
    std::fs::remove_dir_all(dir.path().join("log/b/2")).unwrap();
    std::fs::write(dir.path().join("log/last#1"), "of a crash").unwrap();
    put(["a/3", "a/4", "b/2"], "two").await.unwrap();
    assert_eq!(objects.get(&name("last")).await.unwrap(), "two");
    let text = metrics.encode();
    let counted = |outcome: &str| {
        text.lines().any(|line| {
            line.contains("_count{")
                && line.contains("\"put\"")
                && line.contains(outcome)
                && line.ends_with(if outcome == "ok" { " 8" } else { " 4" })
        })
    };
    assert!(counted("ok") && counted("failed"), "{text}");
}

#[tokio::test]
async fn a_store_in_between_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let inner: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap());
    everything(&Objects::over(inner)).await;
}

#[tokio::test]
async fn a_store_that_is_written_to_in_one_put_conforms() {
    everything(&Objects::memory().collecting(LONGEST_PUT)).await;
}

/// With `VAULT_TESTS_S3` (the environment's lines for `[objects]`, see `xtask/src/s3.rs`).
#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test s3"]
async fn s3_conforms() {
    everything(&bucket("conformance")).await;
    everything(&bucket("")).await;
}

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test s3"]
async fn s3_takes_the_largest_part_and_reads_it_back() {
    let objects = bucket("large");
    let longest = usize::try_from(objects.longest().unwrap()).unwrap();
    let name = Name::fresh_part();
    let mut writer = objects.begin(&name).await.unwrap();
    let piece: Vec<u8> = (0..262_176u32).map(|i| (i % 253) as u8).collect();
    let mut whole = Vec::new();
    while whole.len() + piece.len() <= longest {
        whole.extend_from_slice(&piece);
        writer.write(piece.clone()).await.unwrap();
    }
    writer.finish().await.unwrap();
    assert_eq!(objects.length(&name).await.unwrap(), whole.len() as u64);
    assert!(objects.get(&name).await.unwrap() == whole);
    let (start, end) = (3_000_001, 3_400_000);
    assert!(objects.get_range(&name, start as u64..end as u64).await.unwrap() == whole[start..end]);
    objects.delete(&name).await.unwrap();
    assert!(!objects.exists(&name).await.unwrap());
}

#[tokio::test]
#[ignore = "needs an S3 server: cargo xtask test s3"]
async fn s3_that_is_not_as_it_must_be_is_refused_with_its_reason() {
    let with = |name: &str, value: &str| {
        let mut variables = variables();
        variables.retain(|(n, _)| n != name);
        variables.push((name.to_owned(), value.to_owned()));
        open(variables)
    };
    let refused = async |objects: Objects| objects.check(false).await.unwrap_err();
    assert!(matches!(refused(with("FEEDBACK_VAULT_OBJECTS_URL", "s3://no-such-bucket")).await, Unfit::NoBucket(_)));
    let versioned = with("FEEDBACK_VAULT_OBJECTS_URL", "s3://versioned");
    assert!(matches!(refused(versioned.clone()).await, Unfit::Versioned));
    versioned.check(true).await.unwrap();
    // SeaweedFS does not name the version of what it stores there, so this one cannot be recognised; a store that says
    // `null` is refused (tests/suites/object_store.rs).
    with("FEEDBACK_VAULT_OBJECTS_URL", "s3://suspended").check(false).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (key, secret) in [("nobody", "x"), ("reader", "secret-of-reader")] {
        let path = folder.path().join(key);
        std::fs::write(&path, format!("access_key_id = '{key}'\nsecret_access_key = '{secret}'")).unwrap();
        let error = refused(with("FEEDBACK_VAULT_OBJECTS_CREDENTIALS_FILE", &path.display().to_string())).await;
        match key {
            "nobody" => assert!(matches!(error, Unfit::Credentials(_)), "{error:?}"),
            _ => assert!(matches!(error, Unfit::Denied("write", _)), "{error:?}"),
        }
        assert!(!format!("{error:?}").contains("secret-of-reader"));
    }
}

fn variables() -> Vec<(String, String)> {
    let text = std::env::var_os("VAULT_TESTS_S3").expect("VAULT_TESTS_S3 says where the server is");
    let text = text.into_string().unwrap();
    text.lines().filter_map(|l| l.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn open(variables: Vec<(String, String)>) -> Objects {
    let text = "data_dir = '/nonexistent'\nlog_name = 'x'\n";
    let config = Config::from_text(text, variables.into_iter()).unwrap();
    Objects::open(&config, |path, _| Ok(std::fs::read(path)?.into())).unwrap()
}

fn bucket(prefix: &str) -> Objects {
    let mut variables = variables();
    for (name, value) in &mut variables {
        if name == "FEEDBACK_VAULT_OBJECTS_URL" {
            value.push('/');
            value.push_str(prefix);
        }
    }
    open(variables)
}

#[tokio::test]
async fn a_crash_in_a_put_leaves_nothing_once_its_name_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::local(dir.path()).unwrap();
    let name = Name::fresh_part();
    let mut writer = objects.begin(&name).await.unwrap();
    writer.write(vec![7; 100]).await.unwrap();
    // As after a crash: neither finished nor aborted.
    std::mem::forget(writer);
    let folder = dir.path().join(name.to_string()).parent().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    objects.delete(&name).await.unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn the_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("objects");
    Objects::local(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}
