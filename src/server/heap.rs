//! Gives freed memory back to the system.
//!
//! The accounts of clients say what their bytes hold. What was freed is on no account, but the allocator
//! of glibc keeps it: after the first large buffer was freed it no longer maps such buffers by themselves, and
//! small pieces are kept between others. 40,000 calls that had ended left 75 MiB behind.
//!
//! So the resident memory beside the accounts is compared with the least that was seen of it. Where it has grown,
//! free pages are given back, soon enough that a client cannot make the gateway hold much more than its account
//! says. The thresholds of the allocator stay as they are: with lower ones `append` takes a tenth more of a processor.
//!
//! This module has `unsafe` because glibc offers these functions to C only. Neither of them takes or gives a
//! pointer, and neither changes or frees memory that is in use: `malloc_trim` may be called at any time from any
//! thread. Where another allocator is in use, it has no effect.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::quota::Quotas;

/// How often memory is looked at while clients hold little, ...
const INTERVAL: Duration = Duration::from_millis(100);
/// ... and while they hold much, which may be freed at any time. A look takes some microseconds.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);
/// So many bytes on accounts are much.
const BUSY_BYTES_MIN: usize = 4 * 1024 * 1024;
/// By how many bytes memory beside the accounts has to grow before freed memory is given back.
const GROWTH_BYTES_MIN: usize = 16 * 1024 * 1024;
/// Giving back takes at most one part in so many of a processor's time.
const PAUSE_FACTOR: u32 = 20;

/// Gives back the pages that hold nothing that is in use. Returns the time that it took of a processor: on a busy
/// machine it waits for one for longer.
fn give_back() -> Duration {
    let before = thread_time();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes the locks of the allocator, and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
    thread_time().saturating_sub(before)
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Gives freed memory back until `stopping` is cancelled.
pub async fn watch(quotas: Arc<Quotas>, stopping: CancellationToken) {
    let Some(resident) = ResidentMemory::open() else { return };
    let mut rest = MemoryRest::default();
    let mut pause = INTERVAL;
    let mut was_busy = false;
    while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let accounts = quotas.holding().total();
        // Once more after the accounts have fallen.
        let is_busy = accounts >= BUSY_BYTES_MIN;
        pause = if is_busy || was_busy { BUSY_INTERVAL } else { INTERVAL };
        was_busy = is_busy;
        let Some(bytes) = resident.bytes() else { return };
        if rest.has_grown(bytes.saturating_sub(accounts)) {
            // It takes some milliseconds.
            let Ok(took) = tokio::task::spawn_blocking(give_back).await else { return };
            pause = pause.max(took * PAUSE_FACTOR);
            let accounts = quotas.holding().total();
            rest.least = resident.bytes().map_or(0, |bytes| bytes.saturating_sub(accounts));
        }
    }
}

/// What the system says of the memory of this process.
struct ResidentMemory {
    file: File,
    page_bytes: usize,
}

impl ResidentMemory {
    /// There is none where the allocator cannot give anything back.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn open() -> Option<Self> {
        // SAFETY: sysconf reads a number.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let file = File::open("/proc/self/statm").ok()?;
        Some(Self { file, page_bytes: usize::try_from(page_bytes).ok()? })
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn open() -> Option<Self> {
        None
    }

    /// See proc_pid_statm(5): pages, the resident ones second.
    fn bytes(&self) -> Option<usize> {
        let mut line = [0; 128];
        let len = self.file.read_at(&mut line, 0).ok()?;
        let line = str::from_utf8(line.get(..len)?).ok()?;
        let pages: usize = line.split(' ').nth(1)?.parse().ok()?;
        Some(pages * self.page_bytes)
    }
}

/// Follows what is resident beside the accounts.
#[derive(Debug, Default)]
struct MemoryRest {
    /// The least since something was given back: 0 before the first look.
    least: usize,
}

impl MemoryRest {
    /// Whether it has grown far since.
    fn has_grown(&mut self, bytes: usize) -> bool {
        if self.least == 0 || bytes < self.least {
            self.least = bytes;
        }
        bytes - self.least >= GROWTH_BYTES_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn memory_is_given_back_once_it_has_grown_beside_the_accounts() {
        let mut rest = MemoryRest::default();
        let seen = [30, 45, 33, 20, 35, 36, 60, 21].map(|mib| rest.has_grown(mib * MIB));
        // By 16 MiB over the least, which is 30 at first, and then 20.
        assert_eq!(seen, [false, false, false, false, false, true, true, false]);
    }

    /// Freed pieces between others that are in use.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_was_freed_goes_back_to_the_system() {
        let memory = ResidentMemory::open().expect("Linux");
        let resident = || memory.bytes().expect("a number");
        assert!(resident() > MIB);
        let mut pieces: Vec<Option<Vec<u8>>> =
            (0..64_000).map(|number| Some(vec![number as u8; 1_000])).collect();
        let full = resident();
        for (number, piece) in pieces.iter_mut().enumerate() {
            if number % 64 != 0 {
                *piece = None;
            }
        }
        give_back();
        let left = resident();
        assert!(left + 16 * MIB < full, "{full} bytes before, {left} bytes after");
        assert_eq!(pieces.iter().flatten().count(), 1_000);
    }
}
