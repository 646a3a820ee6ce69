//! The HTTP transport of a connection, and its limits for a client.

use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::ConnectionTimeouts;
use super::clock::{ConnectionClock, ConnectionTimer};
use super::tasks::Tasks;
use crate::service::STREAM_WINDOW_BYTES;

/// The bounds of a gRPC client. h2 closes a connection whose unread small frames cost more than
/// half of the window, so many streams of small events need a large window.
pub const EMITTER_BOUNDS: Http2Bounds =
    Http2Bounds { streams: 4_096, window_bytes: 64 * 1024 * 1024 };
/// The bounds of a browser, which has few calls at once and small requests.
pub const BROWSER_BOUNDS: Http2Bounds = Http2Bounds { streams: 128, window_bytes: 1024 * 1024 };
/// The largest frame that a client may send, in bytes. A batch needs fewer frames than with the
/// usual 16 KiB, and fewer system calls. A frame at the slowest allowed rate is still complete in
/// time.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// The most bytes of the headers of one call, and so of the CONTINUATION frames
/// in which they may come.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// The most streams that a client may reset before the gateway has processed them: 20 is h2's
/// default, which stops rapid resets.
const PENDING_RESETS_MAX: usize = 20;
/// The most streams that the gateway resets because of a client's errors.
const ERROR_RESETS_MAX: usize = 256;
/// The most bytes that h2 buffers on one stream for a client that does not read.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// The most headers of a request over HTTP/1.1; browsers send some twenty.
const HTTP1_HEADERS_MAX: usize = 64;
/// The most bytes that a connection over HTTP/1.1 buffers in either direction.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// The transport of a connection.
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

/// The bounds of a client's connection over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Bounds {
    /// The most open streams.
    pub streams: u32,
    /// The flow-control window of the connection, in bytes.
    pub window_bytes: u32,
}

/// The builder of HTTP/1.1 connections. The guard handles slow and silent peers, because hyper has
/// one limit for three cases.
pub(super) fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HTTP1_HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX as usize)
        .max_buf_size(HTTP1_BUFFER_BYTES)
        // Data that is copied into a buffer would count as taken by the client.
        .writev(true);
    builder
}

/// The builder of HTTP/2 connections.
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
