//! What the operator should know of how a log was found.

/// A sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub gravity: Gravity,
    /// The sentence.
    pub text: String,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// Nothing that was promised is affected.
    Note,
    /// The gateway did not end in order.
    Warning,
    /// What somebody may have seen cannot be read any more.
    Error,
}

impl Notice {
    pub(super) fn note(text: String) -> Self {
        Self { gravity: Gravity::Note, text }
    }

    pub(super) fn warning(text: String) -> Self {
        Self { gravity: Gravity::Warning, text }
    }

    pub(super) fn error(text: String) -> Self {
        Self { gravity: Gravity::Error, text }
    }
}
