//! The object store, opened behind the server's back: what somebody can do who administers the disk or the bucket.
//!
//! Names are the vault's own (`media/…`, `log/…`, `journal/…`), whether they are files of a directory or keys of a bucket.
//! `VAULT_TESTS_S3` holds a line for each variable of a bucket when a run is for S3; each vault then has a prefix of its own
//! there, which is emptied when the vault is dropped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Runtime;

use crate::vault::Vault;

/// The variable that says in which bucket the objects are.
pub const URL: &str = "FEEDBACK_VAULT_OBJECTS_URL";
/// Where the bucket is reached.
pub const ENDPOINT: &str = "FEEDBACK_VAULT_OBJECTS_ENDPOINT";
const CREDENTIALS: &str = "FEEDBACK_VAULT_OBJECTS_CREDENTIALS_FILE";

/// The bucket of [`of_the_run_to_be_searched`].
const SEARCHED: &str = "searched";

/// Everything in it at one moment, by name.
pub type Snapshot = BTreeMap<String, Vec<u8>>;

/// The store of one vault.
pub struct Store(Back);

enum Back {
    Folder(PathBuf),
    Bucket { store: Arc<dyn ObjectStore>, runtime: Runtime },
}

impl Store {
    /// This vault's.
    #[must_use]
    pub fn of(vault: &Vault) -> Self {
        Self::at(&vault.data(), vault.variables())
    }

    /// That of a vault with this data directory and these variables, whether it runs or not.
    #[must_use]
    pub fn at(data: &Path, variables: &[(String, String)]) -> Self {
        let of = |wanted: &str| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let Some(url) = of(URL) else { return Self(Back::Folder(data.join("objects"))) };
        let (bucket, prefix) =
            url.strip_prefix("s3://").and_then(|url| url.split_once('/')).expect("bucket and prefix");
        let credentials = std::fs::read_to_string(of(CREDENTIALS).expect("credentials")).expect("their file");
        let secret = |name: &str| {
            let line = credentials.lines().find_map(|line| line.strip_prefix(name)).expect("a line for each");
            line.trim_matches(|c: char| c == '=' || c.is_whitespace() || c == '"' || c == '\'').to_owned()
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(of(ENDPOINT).expect("an endpoint"))
            .with_bucket_name(bucket)
            .with_access_key_id(secret("access_key_id"))
            .with_secret_access_key(secret("secret_access_key"))
            .with_allow_http(true)
            // On loopback there is no certificate to be looked for, and looking takes its time.
            .with_client_options(ClientOptions::new().with_allow_http(true).with_no_system_certificates(true))
            .build()
            .expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self(Back::Bucket { store: Arc::new(PrefixStore::new(store, prefix)), runtime })
    }

    /// The names of what lies below `place`: `media`, `log/tile`; of everything when it is empty.
    #[must_use]
    pub fn names(&self, place: &str) -> Vec<String> {
        let mut names = Vec::new();
        match &self.0 {
            Back::Folder(root) => files(&root.join(place), root, &mut names),
            Back::Bucket { store, runtime } => {
                let below = (!place.is_empty()).then(|| Key::from(place));
                runtime.block_on(async {
                    let mut listed = store.list(below.as_ref());
                    while let Some(found) = listed.next().await {
                        names.push(found.expect("the bucket is listed").location.to_string());
                    }
                });
            }
        }
        names.sort();
        names
    }

    /// What lies under a name, if anything does.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Vec<u8>> {
        match &self.0 {
            Back::Folder(root) => match std::fs::read(root.join(name)) {
                Ok(bytes) => Some(bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => panic!("{name}: {e}"),
            },
            Back::Bucket { store, runtime } => runtime.block_on(async {
                match store.get(&Key::from(name)).await {
                    Ok(found) => Some(found.bytes().await.expect("it is read").into()),
                    Err(Error::NotFound { .. }) => None,
                    Err(e) => panic!("{name}: {e}"),
                }
            }),
        }
    }

    /// What lies under a name.
    #[must_use]
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        self.find(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Puts it there, in the place of what was there before.
    #[track_caller]
    pub fn write(&self, name: &str, bytes: &[u8]) {
        match &self.0 {
            Back::Folder(root) => {
                // With the modes that the vault gives its own.
                let path = root.join(name);
                let folder = path.parent().expect("a folder");
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("made");
                let mut options = std::fs::OpenOptions::new();
                let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
                file.and_then(|mut file| file.write_all(bytes)).expect("written");
            }
            Back::Bucket { store, runtime } => {
                let key = Key::from(name);
                let _done = runtime.block_on(store.put(&key, bytes.to_vec().into())).expect("written");
            }
        }
    }

    /// Takes away what is there.
    #[track_caller]
    pub fn delete(&self, name: &str) {
        match &self.0 {
            Back::Folder(root) => std::fs::remove_file(root.join(name)).expect("removed"),
            Back::Bucket { store, runtime } => runtime.block_on(store.delete(&Key::from(name))).expect("removed"),
        }
    }

    /// Everything as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // What goes away meanwhile is not in it.
        self.names("").into_iter().filter_map(|name| self.find(&name).map(|bytes| (name, bytes))).collect()
    }

    /// Makes everything as it was: what came since is gone, what went is back.
    #[track_caller]
    pub fn roll_back(&self, to: &Snapshot) {
        for name in self.names("").iter().filter(|name| !to.contains_key(*name)) {
            self.delete(name);
        }
        for (name, bytes) in to {
            self.write(name, bytes);
        }
    }

    /// A copy of everything in a folder, to be searched.
    pub fn copy_to(&self, folder: &Path) {
        Self(Back::Folder(folder.to_owned())).roll_back(&self.snapshot());
    }
}

fn files(folder: &Path, root: &Path, found: &mut Vec<String>) {
    // The vault may be at work: what is gone is no file.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, root, found);
        } else {
            found.push(path.strip_prefix(root).expect("below it").to_string_lossy().into_owned());
        }
    }
}

/// Where a run of the suites puts the objects of one more vault: a fresh prefix of its bucket, when it is for S3.
#[must_use]
pub fn of_the_run() -> Vec<(String, String)> {
    let text = std::env::var_os("VAULT_TESTS_S3").unwrap_or_default().into_string().expect("text");
    let mut variables: Vec<(String, String)> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    for (name, value) in &mut variables {
        if name == URL {
            value.push_str(&format!("/{}", hex::encode(vault_core::random::array::<8>())));
        }
    }
    variables
}

/// The same in a bucket whose files on the server's own disk hold nothing of other vaults, so that they can be searched
/// ([`files_to_be_searched`]).
#[must_use]
pub fn of_the_run_to_be_searched() -> Vec<(String, String)> {
    let mut variables = of_the_run();
    for (name, value) in &mut variables {
        if name == URL {
            *value = value.replacen("s3://vault/", &format!("s3://{SEARCHED}/"), 1);
        }
    }
    variables
}

/// What the S3 server of the run has written, to its log too, but for the volumes of other buckets. `VAULT_TESTS_S3_FOLDER` says
/// where; a run without a bucket has none.
#[must_use]
pub fn files_to_be_searched() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("VAULT_TESTS_S3_FOLDER").map(PathBuf::from) else { return Vec::new() };
    let mut names = Vec::new();
    files(&folder, &folder, &mut names);
    // SeaweedFS calls a volume's files after the bucket: `vault_7.dat`.
    let of_another = |name: &String| {
        let volume =
            name.strip_prefix("data/").filter(|name| !name.contains('/')).and_then(|name| name.split_once('_'));
        volume.is_some_and(|(bucket, _)| bucket != SEARCHED)
    };
    names.retain(|name| !of_another(name));
    assert!(names.iter().any(|name| name.starts_with(&format!("data/{SEARCHED}_"))), "no volume is its own: {names:?}");
    names.iter().map(|name| folder.join(name)).collect()
}

/// Empties the prefix of a vault that is gone: a server in memory holds few.
pub fn remove_of_the_run(variables: &[(String, String)]) {
    let run = std::env::var_os("VAULT_TESTS_S3").and_then(|text| text.into_string().ok()).unwrap_or_default();
    let of_the_run = |(name, value): &(String, String)| run.lines().any(|line| line == format!("{name}={value}"));
    if !variables.iter().any(|variable| variable.0 == CREDENTIALS && of_the_run(variable)) {
        return;
    }
    if let Back::Bucket { store, runtime } = Store::at(Path::new(""), variables).0 {
        let listed = store.list(None).map_ok(|found| found.location).boxed();
        // What is left is gone with the server.
        runtime.block_on(store.delete_stream(listed).for_each(|_| core::future::ready(())));
    }
}
