//! Finds where gRPC messages begin and end in a body: a flag, the length in four bytes,
//! and the message.

use crate::proto::codec::PREFIX_BYTES;

/// Tracks the messages of a body.
#[derive(Debug, Default)]
pub struct MessageBoundaries {
    /// What has come of the next prefix.
    prefix: [u8; PREFIX_BYTES],
    /// How many bytes of the message have come, prefix included; 0 between
    /// messages.
    begun: usize,
    /// How many bytes it has in all, once that is known.
    length: Option<usize>,
    /// How many messages have ended.
    ended: usize,
}

impl MessageBoundaries {
    /// Takes the next bytes; says whether a message ended in them.
    pub fn take(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            let until = self.length.unwrap_or(PREFIX_BYTES);
            let taken = bytes.len().min(until.saturating_sub(self.begun));
            let (now, later) = bytes.split_at(taken);
            if self.length.is_none() {
                for (to, from) in self.prefix.iter_mut().skip(self.begun).zip(now) {
                    *to = *from;
                }
            }
            self.begun += taken;
            bytes = later;
            if self.length.is_none() && self.begun == PREFIX_BYTES {
                let [_, a, b, c, d] = self.prefix;
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.length = Some(length.saturating_add(PREFIX_BYTES));
            }
            if self.length == Some(self.begun) {
                (self.begun, self.length) = (0, None);
                self.ended += 1;
                ended = true;
            }
        }
        ended
    }

    /// Whether more than one message has come, or begun.
    pub fn are_several(&self) -> bool {
        self.ended + usize::from(self.begun > 0) > 1
    }

    /// How many bytes have come of a message that has not ended; 0 between
    /// messages.
    pub fn begun(&self) -> usize {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let body = b"\0\0\0\0\x03abc\0\0\0\0\0\x01\0\0\0\x02de";
        for size in 1..=body.len() {
            let mut messages = MessageBoundaries::default();
            let ended = body.chunks(size).filter(|chunk| messages.take(chunk)).count();
            assert!((1..=3).contains(&ended), "in pieces of {size}");
            assert_eq!(messages.begun(), 0);
            assert!(messages.are_several());
        }
        let mut messages = MessageBoundaries::default();
        let ends: Vec<bool> = body.chunks(1).map(|chunk| messages.take(chunk)).collect();
        let ends = ends.iter().enumerate().filter(|(_, end)| **end).map(|(at, _)| at);
        assert_eq!(ends.collect::<Vec<_>>(), [7, 12, 19]);
    }

    #[test]
    fn what_has_begun_is_counted() {
        let mut messages = MessageBoundaries::default();
        assert!(!messages.take(b"\0\0"));
        assert_eq!(messages.begun(), 2);
        assert!(!messages.take(b"\0\0\x03a"));
        assert_eq!(messages.begun(), 6);
        assert!(!messages.are_several());
        assert!(messages.take(b"bc"));
        assert!(!messages.are_several());
        assert!(!messages.take(b"\0"));
        assert!(messages.are_several(), "another one has begun");
        assert_eq!(messages.begun(), 1);
    }
}
