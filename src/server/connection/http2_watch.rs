//! Follows the frames of a connection over HTTP/2, and what those that carry nothing may still cost.

use tokio::time::Instant;

use super::http2_frames::{FrameReader, IdleFrames};
use crate::service::quota::RateLimiter;

/// What a frame that carries nothing costs. Answering one takes up to 17 bytes, which
/// count as bytes sent: what is left of its price is a loss. Who is sent data may
/// answer it: clients measure by a PING for each piece how fast it comes.
const IDLE_FRAME_PRICE: u64 = 64 + 17;
/// How many frames that h2 answers may come in a second, and at once.
const ANSWERED: (u64, u64) = (100, 1_024);
/// How many others: as many as a client may have streams to reset, and some.
const OTHERS: (u64, u64) = (500, 8_192);

/// The frames of a connection.
pub struct Http2Watch {
    frames: FrameReader,
    /// What frames that carry nothing may still cost.
    answered: RateLimiter,
    others: RateLimiter,
}

impl Http2Watch {
    /// Nothing has come yet.
    pub fn new() -> Self {
        let begun = Instant::now().into_std();
        let rate = |(per_second, burst)| {
            RateLimiter::with_burst(per_second * IDLE_FRAME_PRICE, burst * IDLE_FRAME_PRICE, begun)
        };
        Self { frames: FrameReader::new(), answered: rate(ANSWERED), others: rate(OTHERS) }
    }

    /// Looks at what was read; false if too many frames carry nothing.
    pub fn take(&mut self, read: &[u8]) -> bool {
        let idle = self.frames.take(read);
        if idle == IdleFrames::default() {
            return true;
        }
        let now = Instant::now().into_std();
        let charge =
            |rate: &RateLimiter, frames| rate.charge(u64::from(frames) * IDLE_FRAME_PRICE, now);
        charge(&self.answered, idle.answered) && charge(&self.others, idle.others)
    }

    /// So much was written, which may be answered: by a window update, say.
    pub fn wrote(&mut self, bytes: usize) {
        self.answered.give_back(bytes as u64);
        self.others.give_back(bytes as u64);
    }

    /// How many frames with headers have begun.
    pub fn calls(&self) -> u64 {
        self.frames.calls()
    }

    /// How many small DATA frames have begun.
    pub fn small_frames(&self) -> u64 {
        self.frames.small_frames()
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
