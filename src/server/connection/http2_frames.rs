//! Reads the headers of HTTP/2 frames as they arrive.
//!
//! h2 bounds the memory of a connection, but not the number of frames that only cost work: a peer
//! may send PING, SETTINGS or RST_STREAM for ever. This module counts such frames, and finds
//! unfinished ones. Format: RFC 9113, sections 3.4 and 4.1.
//!
//! The promise behind it: a peer cannot keep a processor busy with frames that carry nothing.
//! Delete it when h2 bounds them itself; the floods in `tests/hostile` show whether it does.

use super::small_frames::is_small;

/// The connection preface of a client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the header of a frame.
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const CONTINUATION: u8 = 0x9;
/// Flag of DATA and HEADERS: the stream ends.
const END_STREAM: u8 = 0x1;
/// Flag of HEADERS and CONTINUATION: the block of headers ends.
const END_HEADERS: u8 = 0x4;

/// The number of frames that carry neither a call nor its data.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct IdleFrames {
    /// Those that h2 answers: SETTINGS and PING.
    pub answered: u32,
    /// The others.
    pub others: u32,
}

/// Tracks the frames of a client.
#[derive(Debug)]
pub struct FrameReader {
    state: FrameState,
    /// Whether a block of headers needs a CONTINUATION.
    block_is_open: bool,
    preface_is_done: bool,
    /// The number of finished frames, except those within a block of headers.
    finished: u64,
    /// The number of frames with headers, which begin calls or end them with trailers.
    calls: u64,
    /// The number of small DATA frames.
    small_frames: u64,
}

#[derive(Debug)]
enum FrameState {
    /// Within the preface, after this many of its bytes.
    Preface(usize),
    /// Within the header of a frame, after this many of its bytes.
    Header([u8; HEADER_BYTES], usize),
    /// Within the payload of a frame, with this many bytes left.
    Payload(usize),
}

impl FrameReader {
    /// A reader for a new connection.
    pub fn new() -> Self {
        Self {
            state: FrameState::Preface(0),
            block_is_open: false,
            preface_is_done: false,
            finished: 0,
            calls: 0,
            small_frames: 0,
        }
    }

    /// Processes the next bytes. Returns the number of frames in them that carry neither a call nor
    /// its data. Bytes that are not HTTP/2 are left to h2.
    pub fn take(&mut self, mut bytes: &[u8]) -> IdleFrames {
        let mut idle = IdleFrames::default();
        while !bytes.is_empty() {
            let (state, taken) = match &mut self.state {
                FrameState::Preface(have) => {
                    let taken = bytes.len().min(PREFACE.len() - *have);
                    let have = *have + taken;
                    self.preface_is_done = have == PREFACE.len();
                    let next =
                        if self.preface_is_done { between() } else { FrameState::Preface(have) };
                    (next, taken)
                }
                FrameState::Header(header, have) => {
                    let (known, rest) = header.split_at_mut(*have);
                    let taken = bytes.len().min(rest.len());
                    for (to, from) in rest.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    let have = known.len() + taken;
                    if have == HEADER_BYTES {
                        let header = *header;
                        let length = self.begin(header, &mut idle);
                        (self.payload(length), taken)
                    } else {
                        (FrameState::Header(*header, have), taken)
                    }
                }
                FrameState::Payload(left) => {
                    let taken = bytes.len().min(*left);
                    let left = *left - taken;
                    (self.payload(left), taken)
                }
            };
            self.state = state;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        idle
    }

    /// Whether the preface is complete.
    pub fn is_established(&self) -> bool {
        self.preface_is_done
    }

    /// Whether the preface, a frame or a block of headers is unfinished. A connection without a
    /// preface is unfinished.
    pub fn is_unfinished(&self) -> bool {
        self.block_is_open || !matches!(self.state, FrameState::Header(_, 0))
    }

    /// A count that changes whenever a frame ends, so that a later unfinished frame began later.
    pub fn finished(&self) -> u64 {
        self.finished
    }

    /// The number of frames with headers that have begun.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The number of small DATA frames that have begun.
    pub fn small_frames(&self) -> u64 {
        self.small_frames
    }

    /// The state with this many bytes of a payload left.
    fn payload(&mut self, left: usize) -> FrameState {
        if left > 0 {
            return FrameState::Payload(left);
        }
        self.finished += u64::from(!self.block_is_open);
        between()
    }

    /// The length of a frame that begins.
    fn begin(&mut self, header: [u8; HEADER_BYTES], idle: &mut IdleFrames) -> usize {
        let [high, middle, low, kind, flags, ..] = header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            HEADERS => self.calls += 1,
            DATA if length > 0 || flags & END_STREAM != 0 => {
                self.small_frames += u64::from(is_small(length));
            }
            SETTINGS | PING => idle.answered += 1,
            _ => idle.others += 1,
        }
        if matches!(kind, HEADERS | CONTINUATION) {
            self.block_is_open = flags & END_HEADERS == 0;
        }
        length
    }
}

fn between() -> FrameState {
    FrameState::Header([0; HEADER_BYTES], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(vec![0; length as usize]);
        frame
    }

    fn session(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE.to_vec(), frames.concat()].concat()
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let bytes = session(&[
            frame(HEADERS, END_HEADERS, 20),
            frame(DATA, 0, 300),
            frame(DATA, 0, 255),
            frame(PING, 0, 8),
            frame(DATA, 0, 0),
            frame(DATA, END_STREAM, 0),
            frame(0x77, 0, 70_000),
        ]);
        for size in [1, 2, 7, 9, 100, bytes.len()] {
            let mut frames = FrameReader::new();
            let idle = bytes.chunks(size).map(|chunk| frames.take(chunk));
            let idle = idle.fold((0, 0), |sum, idle| (sum.0 + idle.answered, sum.1 + idle.others));
            assert_eq!(idle, (1, 2), "in pieces of {size}");
            assert_eq!(frames.calls(), 1, "in pieces of {size}");
            assert_eq!(frames.small_frames(), 1, "in pieces of {size}");
            assert!(!frames.is_unfinished());
        }
    }

    #[test]
    fn what_has_begun_is_unfinished_until_it_ends() {
        let mut frames = FrameReader::new();
        assert!(frames.is_unfinished() && !frames.is_established());
        frames.take(&PREFACE[..10]);
        assert!(frames.is_unfinished() && !frames.is_established());
        frames.take(&PREFACE[10..]);
        assert!(!frames.is_unfinished() && frames.is_established());
        let data = frame(DATA, 0, 5);
        for cut in [3, 9, 13] {
            frames.take(&data[..cut]);
            assert!(frames.is_unfinished(), "after {cut}");
            frames.take(&data[cut..]);
            assert!(!frames.is_unfinished());
        }
        let finished = frames.finished();
        assert_eq!(finished, 3);
        frames.take(&frame(HEADERS, 0, 5));
        assert!(frames.is_unfinished(), "headers go on");
        frames.take(&frame(CONTINUATION, 0, 5));
        assert!(frames.is_unfinished(), "headers go on");
        assert_eq!(frames.finished(), finished);
        frames.take(&frame(CONTINUATION, END_HEADERS, 5));
        assert!(!frames.is_unfinished());
        assert_eq!(frames.finished(), finished + 1);
    }
}
