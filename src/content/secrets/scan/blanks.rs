//! White space, comments and the ends of lines.

use super::{Comment, Expect, How, SecretScan};

/// Whether white space, a comment or its end may begin with this byte.
#[inline]
pub(super) fn may_begin_with(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | b'\\' | b'*' | b'/' | b'-' | b'#' | 0xc2 | 0xe1..=0xe3 | 0xef)
}

impl SecretScan<'_> {
    /// Passes white space and the beginnings and ends of comments.
    pub(super) fn blank(&mut self) -> bool {
        let byte = self.text.byte(self.at);
        let space = self.text.space_len(self.at);
        if space > 0 {
            if byte == b'\n' {
                self.line_end();
            } else if let Expect::Value(how) = &mut self.expect {
                how.spaced = true;
            }
            self.at += space;
            return true;
        }
        match byte {
            // White space as escaped in a text of JSON or of a language.
            b'\\' if matches!(self.text.byte(self.at + 1), b'n' | b'r' | b't') => {
                if self.text.byte(self.at + 1) != b't' {
                    self.end_line_comment();
                }
                self.at += 2;
                true
            }
            b'\\' if matches!(self.text.byte(self.at + 1), b'\n' | b'\r') => {
                self.at += 2;
                true
            }
            b'*' if self.text.byte(self.at + 1) == b'/' => {
                if let Some(comment) = self.comment.take_if(|comment| comment.block) {
                    self.resume(comment);
                }
                self.at += 2;
                true
            }
            b'/' if self.text.byte(self.at + 1) == b'*' && self.comment.is_none() => {
                self.begin_comment(true, 2);
                true
            }
            b'-' if self.comment.is_none()
                && self.text.byte(self.at + 1) == b'-'
                && self.text.space_len(self.at + 2) > 0 =>
            {
                self.begin_comment(false, 2);
                true
            }
            b'#' if self.comment.is_none()
                && self.expect != Expect::Nothing
                && self.text.space_len(self.at + 1) > 0 =>
            {
                self.begin_comment(false, 1);
                true
            }
            _ => false,
        }
    }

    pub(super) fn begin_comment(&mut self, block: bool, len: usize) {
        self.comment = Some(Comment { block, expect: self.expect, quotes: self.quotes });
        self.expect = Expect::Nothing;
        self.at += len;
    }

    /// Goes on where the comment began.
    pub(super) fn resume(&mut self, comment: Comment) {
        self.expect = comment.expect;
        if self.quotes != comment.quotes {
            self.quotes = comment.quotes;
            self.userless = 0;
        }
    }

    pub(super) fn end_line_comment(&mut self) {
        if let Some(comment) = self.comment.take_if(|comment| !comment.block) {
            self.resume(comment);
        }
    }

    pub(super) fn line_end(&mut self) {
        self.end_line_comment();
        let next = self.text.byte(self.at + 1);
        let goes_on = match self.expect {
            Expect::Value(How { flag: true, .. }) | Expect::Pair(_) => false,
            Expect::Value(how) => {
                how.sql
                    || self.sql.is_any()
                    || matches!(next, b' ' | b'\t')
                    || self.text.open(self.at + 1).is_some()
            }
            Expect::Separator(name) => !name.flag,
            Expect::Nothing => true,
        };
        if !goes_on {
            self.expect = Expect::Nothing;
        }
        self.shell.line_end(self.quotes.depth());
    }
}
