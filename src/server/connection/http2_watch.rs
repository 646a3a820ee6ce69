//! Follows the frames of a connection over HTTP/2, and limits those that carry nothing.

use tokio::time::Instant;

use super::http2_frames::{FrameReader, IdleFrames};
use crate::service::quota::RateLimiter;

/// The price of a frame that carries nothing, in bytes. Answering it takes up to 17 bytes, which
/// count as sent; the rest is a loss. Sent bytes earn frames, because clients measure the rate of
/// received data by PING frames.
const IDLE_FRAME_PRICE: u64 = 64 + 17;
/// The rate a second and the burst of frames that h2 answers.
const ANSWERED: (u64, u64) = (100, 1_024);
/// The rate and burst of other frames: more than the streams that a client may reset.
const OTHERS: (u64, u64) = (500, 8_192);

/// The frames of a connection.
pub struct Http2Watch {
    frames: FrameReader,
    /// The budget of frames that carry nothing.
    answered: RateLimiter,
    others: RateLimiter,
}

impl Http2Watch {
    /// A watch of a new connection.
    pub fn new() -> Self {
        let begun = Instant::now().into_std();
        let rate = |(per_second, burst)| {
            RateLimiter::with_burst(per_second * IDLE_FRAME_PRICE, burst * IDLE_FRAME_PRICE, begun)
        };
        Self { frames: FrameReader::new(), answered: rate(ANSWERED), others: rate(OTHERS) }
    }

    /// Checks the data that was read. Returns false if too many frames carry nothing.
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

    /// Notes written bytes, which the client may answer, for example by a window update.
    pub fn wrote(&mut self, bytes: usize) {
        self.answered.give_back(bytes as u64);
        self.others.give_back(bytes as u64);
    }

    /// The number of frames with headers that have begun.
    pub fn calls(&self) -> u64 {
        self.frames.calls()
    }

    /// The number of small DATA frames that have begun.
    pub fn small_frames(&self) -> u64 {
        self.frames.small_frames()
    }

    /// The number of complete frames and heads.
    pub fn finished(&self) -> u64 {
        self.frames.finished()
    }

    /// Whether a frame or a head is incomplete.
    pub fn is_unfinished(&self) -> bool {
        self.frames.is_unfinished()
    }

    /// Whether the preface is complete.
    pub fn is_established(&self) -> bool {
        self.frames.is_established()
    }
}
