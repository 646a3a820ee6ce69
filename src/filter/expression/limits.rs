//! Limits of expressions.

/// Longest expression, in bytes.
pub const BYTES_MAX: usize = 4_096;
/// How deep operators, calls and selections may be nested. Brackets alone may
/// be nested half as deep.
pub const DEPTH_MAX: usize = 64;
/// How deep macros that visit elements may be nested in another one.
pub const NESTING_MAX: usize = 1;
/// Most calls of `matches`.
pub const PATTERNS_MAX: usize = 16;
/// The most steps that an expression may cost, by the model of `expression`.
pub const COST_MAX: u64 = 100_000;
/// The assumed number of elements of a list of unknown length.
pub const LENGTH_ASSUMED: u64 = 100;
/// The most steps of an evaluation on one record. A step is a node, 10 skipped fields, an entry of
/// a map, 40 bytes of a searched text, or a few bytes of a text that is matched with a pattern:
/// measured as some 20 ns, so that all steps take 2 ms.
pub const STEPS_MAX: u64 = 100_000;
