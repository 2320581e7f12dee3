//! Which process this is, and whether another of this host has ended.
//!
//! It saves waiting: a lease whose holder is known to have ended need not run out. Nothing rests on it.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Identifies this process among all that ever ran on any host: the host's boot, the namespace of process numbers, the
/// number, and when it started. Empty where the system does not tell.
#[must_use]
pub fn identity() -> String {
    let known = || {
        let pid = std::process::id();
        Some(format!("{}/{}/{pid}/{}", boot()?, namespace()?, stat(&pid.to_string())?.1))
    };
    known().unwrap_or_default()
}

/// Whether the process of this identity has surely ended. False when it runs, and when nobody here can tell.
#[must_use]
pub fn has_ended(identity: &str) -> bool {
    let mut parts = identity.split('/');
    let (Some(its_boot), Some(its_namespace), Some(pid), Some(its_start), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let here = boot().as_deref() == Some(its_boot) && namespace().as_deref() == Some(its_namespace);
    let Some(number) = pid.parse().ok().filter(|number| *number > 0).and_then(Pid::from_raw) else { return false };
    match (here, stat(pid)) {
        (false, _) => false,
        (true, Some((state, start))) => start != its_start || matches!(state.as_str(), "Z" | "X"),
        // Gone, or hidden from this user.
        (true, None) => test_kill_process(number) == Err(Errno::SRCH),
    }
}

fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// `pid:[4026531836]`: a number means another process in another container.
fn namespace() -> Option<String> {
    Some(fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned())
}

/// The state of a process and when it started, in ticks since boot. The name in parentheses may hold anything, so
/// fields are counted behind the last of them (proc(5)): the state is the third, the start the twenty-second.
fn stat(pid: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.to_owned(), fields.nth(18)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_only_when_that_is_certain() {
        let me = identity();
        assert_eq!(me.split('/').count(), 4, "{me}");
        assert!(!has_ended(&me));
        for unknown in ["", "a", "a/b/c/d", "a/b/1/d", "a/b/c/d/e"] {
            assert!(!has_ended(unknown), "{unknown}");
        }
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().to_string();
        let its = format!("{}/{}/{pid}/{}", boot().unwrap(), namespace().unwrap(), stat(&pid).unwrap().1);
        assert!(!has_ended(&its));
        child.kill().unwrap();
        // Its parent has not asked yet: what is left of it does no work.
        let ended = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            has_ended(&its)
        });
        assert!(ended);
        child.wait().unwrap();
        assert!(has_ended(&its));
        // The number of a process that runs, of another start.
        assert!(has_ended(&format!("{}/{}/{}/1", boot().unwrap(), namespace().unwrap(), std::process::id())));
    }
}
