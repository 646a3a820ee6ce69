//! The first lines of what a log's key signs besides checkpoints. No key may have one of these
//! names, so that such a text is never taken for a checkpoint of a log with that name.

/// Of a minimum index: which records of a log were removed.
pub const MINIMUM_HEADER: &str = "auditgate-minimum/v1";

/// Of the beginning of an epoch of a shared log.
pub const EPOCH_HEADER: &str = "auditgate-epoch/v1";

/// All of them.
pub const RESERVED_NAMES: [&str; 2] = [MINIMUM_HEADER, EPOCH_HEADER];
