//! What a server's process holds in memory, as the kernel counts it.

use crate::vault::Vault;

/// Sets the peak of resident memory back to what is resident now, and answers that.
#[must_use]
pub fn reset_peak(vault: &Vault) -> u64 {
    // 5 resets the peak (proc(5)); the process is our child.
    std::fs::write(format!("/proc/{}/clear_refs", vault.process_id()), "5").expect("the peak is reset");
    status(vault, "VmRSS:")
}

/// The most that was resident at once since.
#[must_use]
pub fn peak(vault: &Vault) -> u64 {
    status(vault, "VmHWM:")
}

fn status(vault: &Vault, member: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", vault.process_id())).expect("Linux tells");
    let line = text.lines().find_map(|line| line.strip_prefix(member)).expect("the member");
    let kilobytes: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
    kilobytes * 1024
}
