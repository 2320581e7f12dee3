//! A disk as POSIX promises it and no better.
//!
//! What a file holds survives from its last `fsync` or `fdatasync`, what a directory names from the directory's own
//! `fsync`: a synced file whose directory was not synced is gone. What was not synced may survive all the same, wholly,
//! in part or torn, and in any order; [`Disk::image`] lets a seed decide.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::trace::{Call, Moment, Value};
use crate::fixtures::Chance;

/// Writes reach a disk in units of this many bytes; a torn write ends between two of them.
const SECTOR: usize = 512;

type NodeId = usize;

/// Something that was done to a file and is not synced.
#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// Something that was done to a directory and is not synced.
#[derive(Clone)]
enum Entry {
    Name(String, NodeId),
    Unname(String),
    /// One name becomes another, in one step.
    Rename(String, String, NodeId),
}

enum Node {
    File(State<Vec<u8>, Change>),
    Directory(State<BTreeMap<String, NodeId>, Entry>),
}

/// Contents as programs see them, contents as they were synced, and the changes in between.
struct State<T, C> {
    live: T,
    synced: T,
    since: Vec<C>,
    /// How many changes were synced, ever: syncs of several threads may overlap.
    done: usize,
}

impl<T: Default, C> State<T, C> {
    fn new() -> Self {
        Self { live: T::default(), synced: T::default(), since: Vec::new(), done: 0 }
    }

    /// Changes so far, synced or not.
    fn changes(&self) -> usize {
        self.done + self.since.len()
    }

    fn change(&mut self, change: C, apply: fn(&mut T, &C)) {
        apply(&mut self.live, &change);
        self.since.push(change);
    }

    /// The first `covered` changes ever made survive from now on.
    fn sync(&mut self, covered: usize, apply: fn(&mut T, &C)) {
        for change in self.since.drain(..covered.saturating_sub(self.done)) {
            apply(&mut self.synced, &change);
            self.done += 1;
        }
    }
}

struct Open {
    node: NodeId,
    position: usize,
    appends: bool,
}

/// What is left out of an image.
pub enum Kept<'c> {
    /// Everything that was not synced is lost.
    SyncedOnly,
    /// A seed decides, change by change.
    Some(&'c mut Chance),
}

/// Which syncs are taken for not made: a disk that lies, or a program that forgot one.
pub type Forgets = fn(&Path) -> bool;

/// The disk below one directory.
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    open: HashMap<i32, Rc<RefCell<Open>>>,
    /// Syncs under way: the thread, the node, and how many of the changes ever made to it the sync covers.
    syncing: HashMap<u32, (NodeId, usize)>,
    forgets: Option<Forgets>,
    /// Syncs that counted.
    pub synced: u64,
}

impl Disk {
    /// An empty disk that the directory `root` lies on. The directory itself is there for good.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let top = Node::Directory(State::new());
        let (open, syncing) = (HashMap::new(), HashMap::new());
        Self { root: root.to_owned(), nodes: vec![top], open, syncing, forgets: None, synced: 0 }
    }

    /// From now on syncs of what lies at such paths do not count.
    pub fn forget(&mut self, forgets: Forgets) {
        self.forgets = Some(forgets);
    }

    /// A call of the recorded program.
    pub fn happens(&mut self, thread: u32, moment: Moment, call: &Call) {
        match (call.name.as_str(), moment) {
            ("fsync" | "fdatasync", Moment::Begins) => self.sync_begins(thread, call),
            ("fsync" | "fdatasync", Moment::Ends) => self.sync_ends(thread),
            // A number is free again as soon as its closing begins.
            ("close", Moment::Begins) => {
                if let Value::File(Some(number), _) = &call.arguments[0] {
                    self.open.remove(number);
                }
            }
            (_, Moment::Begins) | ("close", Moment::Ends) => {}
            ("open" | "openat" | "creat", Moment::Ends) => self.opens(call),
            (
                "read" | "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "lseek" | "ftruncate" | "fallocate",
                _,
            ) => {
                self.moves_bytes(call);
            }
            ("dup" | "dup2" | "dup3" | "fcntl", _) => self.duplicates(call),
            ("rename" | "renameat" | "renameat2", _) => self.renames(call),
            ("link" | "linkat", _) => {
                let [from, to] = &paths(call)[..] else { panic!("two paths: {call:?}") };
                if let (Some(from), Some((directory, name))) = (self.find(from), self.place(to)) {
                    self.enter(directory, Entry::Name(name, from));
                }
            }
            ("unlink" | "unlinkat" | "rmdir", _) => {
                if let Some((directory, name)) = self.place(&paths(call)[0]) {
                    self.enter(directory, Entry::Unname(name));
                }
            }
            ("mkdir" | "mkdirat", _) => {
                if let Some((directory, name)) = self.place(&paths(call)[0]) {
                    let node = self.add(Node::Directory(State::new()));
                    self.enter(directory, Entry::Name(name, node));
                }
            }
            ("mmap", _) => {
                // SQLite's index of its log is shared memory between processes, made anew after a crash.
                let shared =
                    call.arguments[3].text().contains("MAP_SHARED") && call.arguments[2].text().contains("PROT_WRITE");
                if let (true, Value::File(_, path)) = (shared, &call.arguments[4]) {
                    let ours = Path::new(path).starts_with(&self.root);
                    assert!(!ours || path.ends_with("-shm"), "a file is written through memory: {path}");
                }
            }
            // Answers to clients; what goes into files with these would have to be modelled.
            ("sendto" | "sendmsg", _) => {}
            _ => {
                let ours = |value: &Value| match value {
                    Value::File(Some(number), _) => self.open.contains_key(number),
                    Value::Bytes(path) => Path::new(&*String::from_utf8_lossy(path)).starts_with(&self.root),
                    _ => false,
                };
                let told = call.name == "io_uring_setup" || call.name == "sync" || call.arguments.iter().any(ours);
                assert!(!told, "a call that this model does not know: {}", call.name);
            }
        }
    }

    /// Writes an image into an empty directory: what a machine would find after the power came back.
    pub fn image(&self, target: &Path, mut kept: Kept<'_>) {
        let mut made = HashMap::new();
        self.write(0, target, &mut kept, &mut made);
    }

    fn write(&self, node: NodeId, target: &Path, kept: &mut Kept<'_>, made: &mut HashMap<NodeId, PathBuf>) {
        match &self.nodes[node] {
            Node::Directory(State { synced, since, .. }) => {
                if node != 0 {
                    std::fs::DirBuilder::new().mode(0o700).create(target).expect("a directory");
                }
                let mut entries = synced.clone();
                if let Kept::Some(chance) = kept {
                    for entry in since.iter().filter(|_| chance.below(2) == 0) {
                        apply(&mut entries, entry);
                    }
                }
                for (name, node) in entries {
                    self.write(node, &target.join(name), kept, made);
                }
            }
            Node::File(State { synced, since, .. }) => {
                if let Some(first) = made.get(&node) {
                    std::fs::hard_link(first, target).expect("a second name");
                    return;
                }
                let mut bytes = synced.clone();
                if let Kept::Some(chance) = kept {
                    for change in since {
                        match chance.below(3) {
                            0 => change_file(&mut bytes, change),
                            1 => change_file(&mut bytes, &torn(change, chance)),
                            _ => {}
                        }
                    }
                }
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(target).expect("a file");
                file.write_all(&bytes).expect("written");
                made.insert(node, target.to_owned());
            }
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The directory that a path lies in, and its name there; none when it is not on this disk.
    fn place(&self, path: &Path) -> Option<(NodeId, String)> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((self.find(path.parent()?)?, name))
    }

    fn find(&self, path: &Path) -> Option<NodeId> {
        let mut node = 0;
        for element in path.strip_prefix(&self.root).ok()? {
            let Node::Directory(state) = &self.nodes[node] else { return None };
            node = *state.live.get(&*element.to_string_lossy())?;
        }
        Some(node)
    }

    fn enter(&mut self, directory: NodeId, entry: Entry) {
        let Node::Directory(state) = &mut self.nodes[directory] else { panic!("not a directory") };
        state.change(entry, apply);
    }

    fn opens(&mut self, call: &Call) {
        let path = paths(call).remove(0);
        let flags = call.arguments.iter().map(Value::text).find(|text| text.starts_with("O_")).unwrap_or_default();
        let creates = flags.contains("O_CREAT") || call.name == "creat";
        let node = match (self.find(&path), self.place(&path)) {
            (Some(node), _) => node,
            (None, Some((directory, name))) if creates => {
                let node = self.add(Node::File(State::new()));
                self.enter(directory, Entry::Name(name, node));
                node
            }
            // Not on this disk, or there before the recording began: neither is touched by the program.
            _ => return,
        };
        if flags.contains("O_TRUNC") || call.name == "creat" {
            self.change(node, Change::Length(0));
        }
        let number = i32::try_from(call.result.unwrap_or(-1)).expect("a file number");
        let open = Open { node, position: 0, appends: flags.contains("O_APPEND") };
        self.open.insert(number, Rc::new(RefCell::new(open)));
    }

    fn change(&mut self, node: NodeId, change: Change) {
        let Node::File(state) = &mut self.nodes[node] else { panic!("bytes of a directory") };
        state.change(change, change_file);
    }

    fn file(&self, call: &Call) -> Option<Rc<RefCell<Open>>> {
        let Value::File(Some(number), path) = &call.arguments[0] else { return None };
        let open = self.open.get(number).cloned();
        // What is inherited was opened by whoever started the program, for its log.
        let ours = Path::new(path).starts_with(&self.root) && *number > 2;
        assert!(open.is_some() == ours, "file {number} is {path}, and its opening was not seen: {}", call.name);
        open
    }

    fn moves_bytes(&mut self, call: &Call) {
        let Some(open) = self.file(call) else { return };
        let mut open = open.borrow_mut();
        let count = usize::try_from(call.result.unwrap_or(0)).expect("not negative");
        let buffer = || match &call.arguments[1] {
            Value::Bytes(bytes) => bytes[..count].to_vec(),
            Value::Vector(buffers) => buffers.concat()[..count].to_vec(),
            other => panic!("not a buffer: {other:?}"),
        };
        let at = |number: usize| usize::try_from(call.arguments[number].number()).expect("an offset");
        match call.name.as_str() {
            "read" => open.position += count,
            "lseek" => open.position = count,
            "ftruncate" => self.change(open.node, Change::Length(at(1))),
            "pwrite64" | "pwritev" | "pwritev2" => self.change(open.node, Change::Write(at(3), buffer())),
            "fallocate" => panic!("a call that this model does not know: fallocate"),
            _ => {
                if open.appends {
                    let Node::File(state) = &self.nodes[open.node] else { panic!("bytes of a directory") };
                    open.position = state.live.len();
                }
                self.change(open.node, Change::Write(open.position, buffer()));
                open.position += count;
            }
        }
    }

    fn duplicates(&mut self, call: &Call) {
        let copies = call.name != "fcntl" || call.arguments[1].text().starts_with("F_DUPFD");
        if let (true, Some(open)) = (copies, self.file(call)) {
            let number = i32::try_from(call.result.unwrap_or(-1)).expect("a file number");
            self.open.insert(number, open);
        }
    }

    fn renames(&mut self, call: &Call) {
        let [from, to] = &paths(call)[..] else { panic!("two paths: {call:?}") };
        let (Some(node), Some((directory, old)), Some((target, new))) =
            (self.find(from), self.place(from), self.place(to))
        else {
            assert!(!from.starts_with(&self.root), "renamed and never made: {}", from.display());
            return;
        };
        if directory == target {
            self.enter(directory, Entry::Rename(old, new, node));
        } else {
            self.enter(target, Entry::Name(new, node));
            self.enter(directory, Entry::Unname(old));
        }
    }

    fn sync_begins(&mut self, thread: u32, call: &Call) {
        let Some(open) = self.file(call) else { return };
        let node = open.borrow().node;
        if let (Some(forgets), Value::File(_, path)) = (self.forgets, &call.arguments[0])
            && forgets(Path::new(path))
        {
            return;
        }
        let covered = match &self.nodes[node] {
            Node::File(state) => state.changes(),
            Node::Directory(state) => state.changes(),
        };
        self.syncing.insert(thread, (node, covered));
    }

    fn sync_ends(&mut self, thread: u32) {
        let Some((node, covered)) = self.syncing.remove(&thread) else { return };
        self.synced += 1;
        match &mut self.nodes[node] {
            Node::File(state) => state.sync(covered, change_file),
            Node::Directory(state) => state.sync(covered, apply),
        }
    }
}

/// The paths that a call names, absolute.
fn paths(call: &Call) -> Vec<PathBuf> {
    let (mut folder, mut paths) = (PathBuf::new(), Vec::new());
    for value in &call.arguments {
        match value {
            Value::File(_, path) => folder = path.into(),
            Value::Bytes(path) => {
                let path = PathBuf::from(&*String::from_utf8_lossy(path));
                assert!(path.is_absolute() || folder.is_absolute(), "a path from nowhere: {call:?}");
                paths.push(folder.join(path));
            }
            _ => {}
        }
    }
    paths
}

fn apply(entries: &mut BTreeMap<String, NodeId>, entry: &Entry) {
    match entry {
        Entry::Name(name, node) => {
            entries.insert(name.clone(), *node);
        }
        Entry::Unname(name) => {
            entries.remove(name);
        }
        Entry::Rename(from, to, node) => {
            entries.remove(from);
            entries.insert(to.clone(), *node);
        }
    }
}

fn change_file(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Write(at, written) => {
            bytes.resize(bytes.len().max(at + written.len()), 0);
            bytes[*at..at + written.len()].copy_from_slice(written);
        }
    }
}

/// As much of a write as lies before some boundary between two sectors.
fn torn(change: &Change, chance: &mut Chance) -> Change {
    let Change::Write(at, written) = change else { return change.clone() };
    let boundaries = (at + written.len()) / SECTOR - at / SECTOR;
    let kept = match boundaries as u64 {
        0 => 0,
        n => ((at / SECTOR + usize::try_from(chance.between(1, n)).expect("small")) * SECTOR).saturating_sub(*at),
    };
    Change::Write(*at, written[..kept.min(written.len())].to_vec())
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
