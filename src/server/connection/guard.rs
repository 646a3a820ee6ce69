//! Guards the transport of one connection: it closes a connection whose peer does not begin to
//! speak HTTP, leaves a frame or a head unfinished, reads nothing, or sends too many idle frames.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use super::http1_watch::Http1Watch;
use super::http2_watch::Http2Watch;
use super::lazy_timer::LazyTimer;
use super::small_frames::SmallFrameLimit;
use super::{Connection, ConnectionTimeouts, CutReason, HttpVersion};

/// How long writing may be blocked before reading stops: each call that is read has an answer, at
/// least a refusal, and h2 buffers answers that it cannot write.
const READ_PAUSE_AFTER: Duration = Duration::from_millis(100);
/// How many calls may begin while writing is blocked, before reading stops.
const CALLS_IN_STALL_MAX: u64 = 128;
/// How many calls may be read in one poll: h2 unpacks their headers first, and only processed calls
/// are charged to their client, or refused and freed.
const CALLS_IN_TURN_MAX: u64 = 64;
/// How many small DATA frames may be read in one poll, before their calls can read them.
const SMALL_FRAMES_IN_TURN_MAX: u64 = 1_024;

/// How many bytes may be read in one poll, which then takes some 0.2 ms: clients may send without a pause.
const BYTES_IN_TURN_MAX: u64 = 512 * 1024;

/// A guarded transport.
pub struct GuardedIo<IO> {
    io: IO,
    connection: Arc<Connection>,
    limits: ConnectionTimeouts,
    watch: Watch,
    /// Since when something is unfinished.
    unfinished_since: Option<Instant>,
    /// Since when writing is blocked.
    stalled_since: Option<Instant>,
    /// How many calls had begun by then.
    calls_at_stall: u64,
    /// The last poll of the connection in which data was read.
    turn: Turn,
    /// The number of bytes that were read.
    read_bytes: u64,
    small_frames: SmallFrameLimit,
    /// Wakes the reading task when writing succeeds.
    paused: Option<Waker>,
    read_timer: LazyTimer,
    write_timer: LazyTimer,
}

/// One poll of a connection, and what had been read before it.
#[derive(Default)]
struct Turn {
    number: u64,
    calls: u64,
    small_frames: u64,
    bytes: u64,
}

/// Follows the data that is read.
enum Watch {
    Http1(Http1Watch),
    Http2(Box<Http2Watch>),
}

impl Watch {
    /// The number of small DATA frames that have begun.
    fn small_frames(&self) -> u64 {
        match self {
            Watch::Http1(_) => 0,
            Watch::Http2(watch) => watch.small_frames(),
        }
    }

    /// The number of calls that have begun; 0 for HTTP/1.1, which has one at a time.
    fn calls(&self) -> u64 {
        match self {
            Watch::Http1(_) => 0,
            Watch::Http2(watch) => watch.calls(),
        }
    }
}

impl<IO> GuardedIo<IO> {
    /// Guards `io`, which was just accepted.
    pub fn new(io: IO, connection: Arc<Connection>, limits: ConnectionTimeouts) -> Self {
        let watch = match connection.transport.version {
            HttpVersion::Http1 => Watch::Http1(Http1Watch::default()),
            HttpVersion::Http2(_) => Watch::Http2(Box::new(Http2Watch::new())),
        };
        Self {
            io,
            connection,
            limits,
            watch,
            unfinished_since: Some(Instant::now()),
            stalled_since: None,
            calls_at_stall: 0,
            turn: Turn::default(),
            read_bytes: 0,
            small_frames: SmallFrameLimit::default(),
            paused: None,
            read_timer: LazyTimer::default(),
            write_timer: LazyTimer::default(),
        }
    }

    /// Checks the data that was read.
    fn look_at(&mut self, from: usize, buffer: &ReadBuf<'_>) -> io::Result<()> {
        let read = buffer.filled().get(from..).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        self.read_bytes += read.len() as u64;
        let (progressed, unfinished) = match &mut self.watch {
            Watch::Http1(watch) => {
                (watch.has_begun(&self.connection), !self.connection.has_calls())
            }
            Watch::Http2(watch) => {
                let (finished, small) = (watch.finished(), watch.small_frames());
                let is_allowed = watch.take(read);
                self.connection.unread_frames.add(watch.small_frames() - small);
                if !is_allowed {
                    return Err(self.cut(CutReason::IdleFrames));
                }
                if watch.is_established() && !self.connection.is_established() {
                    self.connection.establish();
                }
                (watch.finished() > finished, watch.is_unfinished())
            }
        };
        if !unfinished {
            self.unfinished_since = None;
        } else if self.unfinished_since.is_none() || progressed {
            self.unfinished_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Called when there is nothing more to read: returns since when a frame or head is unfinished.
    fn unfinished_since(&mut self) -> Option<Instant> {
        if let Watch::Http1(watch) = &mut self.watch
            && watch.has_begun(&self.connection)
        {
            self.unfinished_since = None;
        }
        self.unfinished_since
    }

    /// Whether reading is paused until writing succeeds.
    fn is_paused(&self) -> bool {
        let Some(since) = self.stalled_since else { return false };
        since.elapsed() >= READ_PAUSE_AFTER
            || self.watch.calls() - self.calls_at_stall >= CALLS_IN_STALL_MAX
    }

    /// Whether as much was read in this poll of the connection as may be.
    fn has_read_enough(&mut self) -> bool {
        let now = Turn {
            number: self.connection.turn(),
            calls: self.watch.calls(),
            small_frames: self.watch.small_frames(),
            bytes: self.read_bytes,
        };
        if self.turn.number != now.number {
            self.turn = now;
            return false;
        }
        now.calls - self.turn.calls >= CALLS_IN_TURN_MAX
            || now.small_frames - self.turn.small_frames >= SMALL_FRAMES_IN_TURN_MAX
            || now.bytes - self.turn.bytes >= BYTES_IN_TURN_MAX
    }

    fn cut(&self, why: CutReason) -> io::Error {
        self.connection.cut(why);
        io::Error::new(io::ErrorKind::TimedOut, why.sentence())
    }

    /// Handles the result of a write.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(result) => {
                self.stalled_since = None;
                if let Some(paused) = self.paused.take() {
                    // A pause of reading does not count against the peer.
                    self.unfinished_since = self.unfinished_since.map(|_| Instant::now());
                    paused.wake();
                }
                if let (Ok(bytes), Watch::Http2(watch)) = (&result, &mut self.watch) {
                    watch.wrote(*bytes);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if self.stalled_since.is_none() {
                    self.calls_at_stall = self.watch.calls();
                }
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
        if this.is_paused() {
            this.paused = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if this.has_read_enough() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.small_frames.holds_back(&this.connection, cx) {
            // A pause of reading does not count against the peer.
            this.unfinished_since = this.unfinished_since.map(|_| Instant::now());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let at_most = this.small_frames.read_bytes(&this.connection);
        match poll_read_some(Pin::new(&mut this.io), cx, buffer, at_most) {
            Poll::Ready(Ok(())) => Poll::Ready(this.look_at(before, buffer)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let Some(since) = this.unfinished_since() else { return Poll::Pending };
                if this.read_timer.is_over(since + this.limits.unfinished, cx) {
                    let established = this.connection.is_established();
                    let why = if established { CutReason::Unfinished } else { CutReason::Silent };
                    return Poll::Ready(Err(this.cut(why)));
                }
                Poll::Pending
            }
        }
    }
}

/// Reads at most `at_most` bytes.
fn poll_read_some<IO: AsyncRead>(
    io: Pin<&mut IO>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    at_most: usize,
) -> Poll<io::Result<()>> {
    if at_most >= buffer.remaining() {
        return io.poll_read(cx, buffer);
    }
    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(at_most));
    let polled = io.poll_read(cx, &mut part);
    let read = part.filled().len();
    buffer.advance(read);
    polled
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
