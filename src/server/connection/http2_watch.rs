//! Follows the frames of a connection over HTTP/2, and what those that carry nothing may still cost.

use tokio::time::Instant;

use super::http2_frames::{FrameReader, IdleFrames};

/// What a frame that carries nothing costs. Answering one takes up to 17 bytes, which
/// count as bytes sent: what is left of its price is a loss. Who is sent data may
/// answer it: clients measure by a PING for each piece how fast it comes.
const IDLE_FRAME_PRICE: f64 = 64.0 + 17.0;
/// How many frames that h2 answers may come at once, and in a second.
const ANSWERED: FrameRate = FrameRate { burst: 1_024.0, per_second: 100.0 };
/// How many others: as many as a client may have streams to reset, and some.
const OTHERS: FrameRate = FrameRate { burst: 8_192.0, per_second: 500.0 };

/// The frames of a connection.
pub struct Http2Watch {
    frames: FrameReader,
    /// What frames that carry nothing may still cost.
    answered: TokenBucket,
    others: TokenBucket,
}

impl Http2Watch {
    /// Nothing has come yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            frames: FrameReader::new(),
            answered: TokenBucket::full(ANSWERED, now),
            others: TokenBucket::full(OTHERS, now),
        }
    }

    /// Looks at what was read; false if too many frames carry nothing.
    pub fn take(&mut self, read: &[u8]) -> bool {
        let idle = self.frames.take(read);
        idle == IdleFrames::default()
            || (self.answered.take(idle.answered) && self.others.take(idle.others))
    }

    /// So much was written, which may be answered: by a window update, say.
    pub fn wrote(&mut self, bytes: usize) {
        self.answered.refill(bytes as f64);
        self.others.refill(bytes as f64);
    }

    /// How many frames with headers have begun.
    pub fn calls(&self) -> u64 {
        self.frames.calls()
    }

    /// How many frames and heads have come whole.
    pub fn finished(&self) -> u64 {
        self.frames.finished()
    }

    /// Whether a frame or a head has come in part.
    pub fn is_unfinished(&self) -> bool {
        self.frames.is_unfinished()
    }

    /// Whether the preface has come.
    pub fn is_established(&self) -> bool {
        self.frames.is_established()
    }
}

#[derive(Debug, Clone, Copy)]
struct FrameRate {
    burst: f64,
    per_second: f64,
}

/// The allowance of frames of one kind.
#[derive(Debug)]
struct TokenBucket {
    rate: FrameRate,
    left: f64,
    at: Instant,
}

impl TokenBucket {
    fn full(rate: FrameRate, now: Instant) -> Self {
        Self { rate, left: rate.burst * IDLE_FRAME_PRICE, at: now }
    }

    /// Takes the price of so many frames, if it is there.
    fn take(&mut self, frames: u32) -> bool {
        if frames > 0 {
            let now = Instant::now();
            let earned = (now - self.at).as_secs_f64() * self.rate.per_second;
            self.at = now;
            self.refill(earned * IDLE_FRAME_PRICE);
            self.left -= f64::from(frames) * IDLE_FRAME_PRICE;
        }
        self.left >= 0.0
    }

    fn refill(&mut self, amount: f64) {
        self.left = (self.left + amount).min(self.rate.burst * IDLE_FRAME_PRICE);
    }
}
