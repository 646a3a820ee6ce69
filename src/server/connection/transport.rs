//! The HTTP transport of a connection, and its limits for a client.

use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::ConnectionTimeouts;
use super::clock::{ConnectionClock, ConnectionTimer};
use super::tasks::Tasks;
use crate::service::STREAM_WINDOW_BYTES;

/// The bounds of a client that emits: h2 gives up on a connection whose small frames, unread, cost more than
/// half of the window, so that many streams of small events need it large.
pub const EMITTER_BOUNDS: Http2Bounds =
    Http2Bounds { streams: 4_096, window_bytes: 64 * 1024 * 1024 };
/// The bounds of a browser: it has a few calls at once, and its requests are small.
pub const BROWSER_BOUNDS: Http2Bounds = Http2Bounds { streams: 128, window_bytes: 1024 * 1024 };
/// The largest frame that a client may send, in bytes. A batch comes in a fraction of
/// the frames of the 16 KiB that are usual, and of the system calls; one that comes
/// as slowly as messages may is still finished in time.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// The most bytes of the headers of one call, and so of the CONTINUATION frames
/// in which they may come.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// How many streams a client may have reset before the gateway has looked at
/// them: 20 is h2's own default, which stops rapid resets.
const PENDING_RESETS_MAX: usize = 20;
/// How many streams the gateway may have to reset for a client's mistakes.
const ERROR_RESETS_MAX: usize = 256;
/// The most bytes that wait on one stream for a client that does not read.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// The most headers of a request over HTTP/1.1; browsers send some twenty.
const HTTP1_HEADERS_MAX: usize = 64;
/// The most bytes that a connection over HTTP/1.1 buffers in either direction.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// What a connection is spoken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The version of HTTP.
    pub version: HttpVersion,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time.
    Http1,
    /// HTTP/2.
    Http2(Http2Bounds),
}

/// What a client may have open at once on a connection over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Bounds {
    /// Streams.
    pub streams: u32,
    /// Bytes that it may send ahead of the gateway.
    pub window_bytes: u32,
}

/// Serves HTTP/1.1. Slow and silent peers are left to the guard, for which hyper has one limit where three are
/// needed.
pub(super) fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HTTP1_HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX as usize)
        .max_buf_size(HTTP1_BUFFER_BYTES)
        // What is copied into one buffer would count as taken by the client.
        .writev(true);
    builder
}

/// Serves HTTP/2.
pub(super) fn http2_builder(
    limits: ConnectionTimeouts,
    bounds: Http2Bounds,
    tasks: Tasks,
    clock: &Arc<ConnectionClock>,
) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(ConnectionTimer(Arc::clone(clock)))
        .max_concurrent_streams(bounds.streams)
        .initial_stream_window_size(STREAM_WINDOW_BYTES as u32)
        .initial_connection_window_size(bounds.window_bytes)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}
