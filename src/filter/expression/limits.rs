//! Limits of expressions.

/// Longest expression, in bytes.
pub const BYTES_MAX: usize = 4_096;
/// How deep operators, calls and selections may be nested. Brackets alone may
/// be nested half as deep.
pub const DEPTH_MAX: usize = 64;
/// How deep a macro that visits elements may stand in another.
pub const NESTING_MAX: usize = 1;
/// Most calls of `matches`.
pub const PATTERNS_MAX: usize = 16;
/// Most steps that an expression may cost by the model above.
pub const COST_MAX: u64 = 100_000;
/// Elements that a list is taken to have whose length is not known.
pub const LENGTH_ASSUMED: u64 = 100;
/// Most steps that evaluation takes on one record. A step is a node, 10 fields passed, an entry of a map,
/// 40 bytes of a text searched, or a few bytes of one in which a pattern is sought: by
/// measure some 20 ns, so all of them take 2 ms.
pub const STEPS_MAX: u64 = 100_000;
