//! The log on disk.

pub mod format;
pub mod identity;
