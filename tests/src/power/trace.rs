//! Reads the output of `strace -f -y -xx`: calls of all threads in the order in which they happened.
//!
//! A call that others overtook stands in two lines; it is told twice, when it began and when it ended, because what a
//! sync covers is what was written before it began, and it covers that only once it has ended.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::BufRead;
use std::path::Path;

/// Everything that changes files or directories or moves a position in one, and what answers clients. Calls that the
/// model does not know are recorded, too: [`super::disk`] fails on them rather than overlook what they do.
const CALLS: &str = "trace=openat,open,creat,close,read,write,pwrite64,writev,pwritev,pwritev2,lseek,fsync,fdatasync,\
sync_file_range,sync,syncfs,ftruncate,truncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
unlink,unlinkat,mkdir,mkdirat,rmdir,mmap,dup,dup2,dup3,fcntl,copy_file_range,sendfile,splice,sendto,sendmsg,\
io_uring_setup";

/// The command line that a server is recorded under.
#[must_use]
pub fn recorder(output: &Path) -> Vec<OsString> {
    // -s: every byte of every buffer; the largest is one segment or one page of a client's body.
    let mut command: Vec<OsString> =
        ["strace", "-f", "-y", "-xx", "-s", "67108864", "-e", CALLS, "-o"].map(OsString::from).to_vec();
    command.push(output.into());
    command
}

/// A system call, as far as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
    /// What it returned; `None` while that is not known.
    pub result: Option<i64>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A buffer or a path.
    Bytes(Vec<u8>),
    /// An open file: its number (`None` for the current directory) and what it is.
    File(Option<i32>, String),
    /// Buffers of a vectored call.
    Vector(Vec<Vec<u8>>),
    /// Flags, numbers, structures.
    Other(String),
}

impl Value {
    /// Text of a path or of flags.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::File(_, text) | Self::Other(text) => text.clone(),
            Self::Vector(_) => String::new(),
        }
    }

    /// A number.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("not a number: {self:?}"))
    }
}

/// Moments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It begins.
    Begins,
    /// It has ended.
    Ends,
}

/// Tells each call of a recording: its thread, the moment, the call. Failed calls are left out at their end.
pub fn read(input: impl BufRead, mut tell: impl FnMut(u32, Moment, &Call)) {
    let mut under_way: HashMap<u32, String> = HashMap::new();
    for line in input.lines() {
        let line = line.expect("the recording can be read");
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let thread: u32 = thread.parse().unwrap_or_else(|_| panic!("a line without a thread: {line:.200}"));
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            tell(thread, Moment::Begins, &call(begun));
            under_way.insert(thread, begun.to_owned());
            continue;
        }
        let call = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let Some(begun) = under_way.remove(&thread) else { panic!("ended and never begun: {rest:.200}") };
                let end = resumed.split_once("resumed>").map_or("", |(_, end)| end);
                call(&(begun + end))
            }
            None => {
                let call = call(rest);
                tell(thread, Moment::Begins, &call);
                call
            }
        };
        if call.result.is_some_and(|result| result >= 0) {
            tell(thread, Moment::Ends, &call);
        }
    }
}

fn call(text: &str) -> Call {
    let (name, rest) = text.split_once('(').unwrap_or_else(|| panic!("not a call: {text:.200}"));
    let (arguments, result) = match rest.rsplit_once(") = ").or_else(|| {
        // Short lines are padded before the equals sign.
        let at = rest.rfind(" = ")?;
        Some((rest[..at].trim_end().strip_suffix(')')?, &rest[at + 3..]))
    }) {
        Some((arguments, result)) => (arguments, Some(result)),
        None => (rest, None),
    };
    let number = |text: &str| {
        let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
        // Addresses (mmap) and `?` (interrupted by the end) are no numbers that matter.
        digits.parse::<i64>().ok()
    };
    Call {
        name: name.to_owned(),
        arguments: split(arguments).into_iter().map(value).collect(),
        result: result.and_then(number),
    }
}

/// At commas outside of quotes and brackets. Buffers are written in hexadecimal, so that no quote or bracket is one of
/// theirs, and are passed over in one step: they are most of a recording.
fn split(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut depth, mut parts, mut from, mut at) = (0_i32, Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += 1 + text[at + 1..].find('"').unwrap_or(text.len() - at - 1),
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if !text[from..].trim().is_empty() {
        parts.push(text[from..].trim());
    }
    parts
}

fn value(text: &str) -> Value {
    if let Some(rest) = text.strip_prefix('"') {
        let inner = rest.split('"').next().unwrap_or_default();
        assert!(!text.ends_with("..."), "a buffer was cut short: {text:.80}");
        return Value::Bytes(unescape(inner));
    }
    if text.starts_with("[{iov_base=") || text.starts_with("{msg_name=") {
        let buffers = text.split("iov_base=\"").skip(1);
        return Value::Vector(buffers.map(|b| unescape(b.split('"').next().unwrap_or_default())).collect());
    }
    let text = text.strip_suffix("(deleted)").unwrap_or(text);
    if let Some((number, path)) = text.split_once('<')
        && let Some(path) = path.strip_suffix('>')
        && (number == "AT_FDCWD" || number.parse::<i32>().is_ok())
    {
        let path = String::from_utf8_lossy(&unescape(path)).into_owned();
        return Value::File(number.parse().ok(), path);
    }
    Value::Other(text.to_owned())
}

/// `\x68\x69` becomes `hi`; what is not escaped stays.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4);
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\x") {
            let digit = |c: u8| (c as char).to_digit(16).unwrap_or_else(|| panic!("not hexadecimal: {text:.80}")) as u8;
            out.push(digit(bytes[at + 2]) << 4 | digit(bytes[at + 3]));
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_one_line_and_in_two_are_told_alike() {
        let text = concat!(
            "7 openat(AT_FDCWD</r>, \"\\x2f\\x72\\x2f\\x61\", O_RDWR|O_CREAT, 0600) = 3</r/a>\n",
            "7 pwrite64(3</r/a>, \"\\x68\\x69\", 2, 40 <unfinished ...>\n",
            "8 fsync(3</r/a>)              = 0\n",
            "8 --- SIGTERM {si_signo=SIGTERM} ---\n",
            "7 <... pwrite64 resumed>)           = 2\n",
            "7 unlink(\"\\x2f\\x72\\x2f\\x62\") = -1 ENOENT (No such file or directory)\n",
            "7 close(3</r/a>(deleted))        = 0\n",
            "7 writev(9<socket:[5]>, [{iov_base=\"\\x48\", iov_len=1}, {iov_base=\"\\x54\\x54\", iov_len=2}], 2) = 3\n",
        );
        let mut told = Vec::new();
        read(text.as_bytes(), |thread, moment, call| told.push((thread, moment, call.clone())));
        let names: Vec<_> = told.iter().map(|(_, moment, call)| (call.name.as_str(), *moment)).collect();
        use Moment::{Begins, Ends};
        let expected = [
            ("openat", Begins),
            ("openat", Ends),
            ("pwrite64", Begins),
            ("fsync", Begins),
            ("fsync", Ends),
            ("pwrite64", Ends),
            // A failed call ends in nothing.
            ("unlink", Begins),
            ("close", Begins),
            ("close", Ends),
            ("writev", Begins),
            ("writev", Ends),
        ];
        assert_eq!(names, expected);
        assert_eq!(told[1].2.arguments[1], Value::Bytes(b"/r/a".to_vec()));
        assert_eq!(told[1].2.result, Some(3));
        let write = &told[5].2;
        assert_eq!(write.arguments[..2], [Value::File(Some(3), "/r/a".to_owned()), Value::Bytes(b"hi".to_vec())]);
        assert_eq!((write.arguments[3].number(), write.result), (40, Some(2)));
        assert_eq!(told[8].2.arguments[0], Value::File(Some(3), "/r/a".to_owned()));
        assert_eq!(told[10].2.arguments[1], Value::Vector(vec![b"H".to_vec(), b"TT".to_vec()]));
    }
}
