//! Guards the transport of one connection: it closes a connection whose peer sends no
//! preface, leaves a frame unfinished, reads nothing, or sends too many idle frames.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant, Sleep};

use super::http2_frames::{FrameReader, IdleFrames};
use super::{Connection, ConnectionTimeouts, CutReason};

/// What a frame that carries nothing costs. Answering one takes up to 17 bytes, which
/// count as bytes sent: what is left of its price is a loss. Who is sent data may
/// answer it: clients measure by a PING for each piece how fast it comes.
const IDLE_FRAME_PRICE: f64 = 64.0 + 17.0;
/// How many frames that h2 answers may come at once, and in a second.
const ANSWERED: FrameRate = FrameRate { burst: 1_024.0, per_second: 100.0 };
/// How many others: as many as a client may have streams to reset, and some.
const OTHERS: FrameRate = FrameRate { burst: 8_192.0, per_second: 500.0 };

/// How long nothing may be written before nothing more is read: each call that is read has an answer, if
/// only a refusal, and h2 keeps all that it cannot write.
const READ_PAUSE_AFTER: Duration = Duration::from_millis(100);

/// A guarded transport.
pub struct GuardedIo<IO> {
    io: IO,
    connection: Arc<Connection>,
    limits: ConnectionTimeouts,
    frames: FrameReader,
    /// What frames that carry nothing may still cost.
    answered: TokenBucket,
    others: TokenBucket,
    /// Since when something is unfinished.
    unfinished_since: Option<Instant>,
    /// Since when nothing could be written.
    stalled_since: Option<Instant>,
    /// Wakes the task that reads once something could be written.
    paused: Option<Waker>,
    read_timer: LazyTimer,
    write_timer: LazyTimer,
}

impl<IO> GuardedIo<IO> {
    /// Watches `io`, which was accepted just now.
    pub fn new(io: IO, connection: Arc<Connection>, limits: ConnectionTimeouts) -> Self {
        let now = Instant::now();
        Self {
            io,
            connection,
            limits,
            frames: FrameReader::new(),
            answered: TokenBucket::full(ANSWERED, now),
            others: TokenBucket::full(OTHERS, now),
            unfinished_since: Some(now),
            stalled_since: None,
            paused: None,
            read_timer: LazyTimer::default(),
            write_timer: LazyTimer::default(),
        }
    }

    /// Looks at what was read.
    fn look_at(&mut self, from: usize, buffer: &ReadBuf<'_>) -> io::Result<()> {
        let read = buffer.filled().get(from..).unwrap_or_default();
        let finished = self.frames.finished();
        let idle = self.frames.take(read);
        if idle != IdleFrames::default()
            && !(self.answered.take(idle.answered) && self.others.take(idle.others))
        {
            return Err(self.cut(CutReason::IdleFrames));
        }
        if !self.frames.is_unfinished() {
            self.unfinished_since = None;
        } else if self.unfinished_since.is_none() || self.frames.finished() > finished {
            self.unfinished_since = Some(Instant::now());
        }
        if self.frames.is_established() && !self.connection.is_established() {
            self.connection.establish();
        }
        Ok(())
    }

    fn cut(&self, why: CutReason) -> io::Error {
        self.connection.cut(why);
        io::Error::new(io::ErrorKind::TimedOut, why.sentence())
    }

    /// What came of an attempt to write.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(result) => {
                self.stalled_since = None;
                if let Some(paused) = self.paused.take() {
                    // The time in which nothing was read is not the peer's.
                    self.unfinished_since = self.unfinished_since.map(|_| Instant::now());
                    paused.wake();
                }
                if let Ok(bytes) = result {
                    // What is sent may be answered: by a window update, say.
                    self.answered.refill(bytes as f64);
                    self.others.refill(bytes as f64);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let since = *self.stalled_since.get_or_insert_with(Instant::now);
                if self.write_timer.is_over(since + self.limits.write_stall, cx) {
                    return Poll::Ready(Err(self.cut(CutReason::NotReading)));
                }
                Poll::Pending
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for GuardedIo<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stalled_since.is_some_and(|since| since.elapsed() >= READ_PAUSE_AFTER) {
            this.paused = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.look_at(before, buffer)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let Some(since) = this.unfinished_since else { return Poll::Pending };
                if this.read_timer.is_over(since + this.limits.unfinished, cx) {
                    let established = this.frames.is_established();
                    let why = if established { CutReason::Unfinished } else { CutReason::Silent };
                    return Poll::Ready(Err(this.cut(why)));
                }
                Poll::Pending
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for GuardedIo<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.wrote(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, parts);
        this.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
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

/// A timer that is set seldom: one that waits for an earlier moment than asked
/// for is left as it is, and set again when that has come.
#[derive(Default)]
struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Whether the moment has come; if not, the task is woken by then.
    fn is_over(&mut self, moment: Instant, cx: &mut Context<'_>) -> bool {
        if Instant::now() >= moment {
            return true;
        }
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
        if sleep.deadline() > moment {
            sleep.as_mut().reset(moment);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= moment {
                return true;
            }
            sleep.as_mut().reset(moment.max(Instant::now() + Duration::from_millis(1)));
        }
        false
    }
}
