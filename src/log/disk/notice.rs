//! Notices for the operator about the state in which a log was opened.

/// A sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: NoticeLevel,
    /// The sentence.
    pub text: String,
}

/// The level of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Nothing that was promised is affected.
    Note,
    /// The gateway did not end in order.
    Warning,
    /// What somebody may have seen cannot be read any more.
    Error,
}

impl Notice {
    pub(super) fn note(text: String) -> Self {
        Self { level: NoticeLevel::Note, text }
    }

    pub(in crate::log) fn warning(text: String) -> Self {
        Self { level: NoticeLevel::Warning, text }
    }

    pub(in crate::log) fn error(text: String) -> Self {
        Self { level: NoticeLevel::Error, text }
    }
}
