//! Power loss, without pulling a plug: the system calls of a server are recorded, and disks rebuilt from them that hold
//! only what the server had synced at some moment.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`trace`] | reads what `strace` wrote: one call after the other, with all its bytes |
//! | [`disk`] | a disk as POSIX promises it and no better: file contents and directory entries each survive only once they were synced |

pub mod disk;
pub mod trace;
