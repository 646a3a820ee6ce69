//! Gives freed memory back to the system.
//!
//! The accounts of clients say what their bytes hold. What was freed is on no account, but the allocator
//! of glibc keeps it: after the first large buffer was freed it no longer maps such buffers by themselves, and
//! small pieces are kept between others. 40,000 calls that had ended left 75 MiB behind.
//!
//! This module has `unsafe` because glibc offers both functions to C only. Neither of them takes or gives a
//! pointer, and neither changes or frees memory that is in use: `malloc_trim` may be called at any time from any
//! thread, and `mallopt` is called once, before there is a second thread. Where another allocator
//! is in use, they have no effect.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::service::quota::Quotas;

/// Buffers of so many bytes are mapped one by one, and given back as they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES_MIN: std::ffi::c_int = 1024 * 1024;
/// What may stay free at the end of a heap, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FREE_BYTES_MAX: std::ffi::c_int = 2 * 1024 * 1024;
/// How often the accounts are looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// By how many bytes the accounts have to fall before freed memory is given back.
const FALL_BYTES_MIN: usize = 8 * 1024 * 1024;
/// Giving back takes at most one part in so many of a processor's time.
const PAUSE_FACTOR: u32 = 50;

/// Has the allocator give back large buffers when they are freed. To be called before there are threads.
pub fn map_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt sets a number. Nothing else sets or reads it at the same time, since there is one thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_BYTES_MAX);
    }
}

/// Gives back the pages that hold nothing that is in use.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes the locks of the allocator, and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives freed memory back once what is on accounts has fallen, until `stopping` is cancelled.
pub async fn watch(quotas: Arc<Quotas>, stopping: CancellationToken) {
    let mut fall = Fall::default();
    let mut pause = INTERVAL;
    while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = INTERVAL;
        if fall.has_fallen(quotas.holding().total()) {
            let started = Instant::now();
            // It takes some milliseconds.
            if tokio::task::spawn_blocking(give_back).await.is_err() {
                return;
            }
            pause = pause.max(started.elapsed() * PAUSE_FACTOR);
        }
    }
}

/// Follows the accounts from their highest point.
#[derive(Debug, Default)]
struct Fall {
    highest: usize,
}

impl Fall {
    /// Whether the accounts have fallen far since their highest point, which then begins anew.
    fn has_fallen(&mut self, bytes: usize) -> bool {
        self.highest = self.highest.max(bytes);
        let far = self.highest - bytes >= FALL_BYTES_MIN;
        if far {
            self.highest = bytes;
        }
        far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn memory_is_given_back_once_for_each_far_fall() {
        let mut fall = Fall::default();
        let seen =
            [0, 60, 64, 57, 56, 55, 40, 47, 41, 39, 39].map(|mib| fall.has_fallen(mib * MIB));
        // From 64 to 56, from 56 to 40, and from 47 to 39.
        assert_eq!(
            seen,
            [false, false, false, false, true, false, true, false, false, true, false]
        );
    }

    /// Freed pieces between others that are in use.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_was_freed_goes_back_to_the_system() {
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
            let pages = pages.split(' ').nth(1).expect("resident pages").parse::<usize>();
            pages.expect("a number") * 4096
        };
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
