//! A socket that sends large writes together.
//!
//! h2 writes and flushes each DATA frame by itself, and most clients accept only frames of 16 KiB.
//! Each frame would pass through the network stack and wake the client, which costs more than
//! copying its content. So large writes have the flag `MSG_MORE`: the system sends full segments,
//! and keeps the rest until the next write or until [`SocketFlusher::flush`], which is called when
//! h2 has nothing more to write. Small writes, such as answers of unary calls, are sent at once,
//! together with the kept rest. On systems without this flag, all writes are.
//!
//! For 40 subscribers that accept frames of 16 KiB, gateway and clients together take 1.20 times the
//! processor time without this (`h2load`, median of eight rounds in turn). With frames of 256 KiB, as
//! the Rust client accepts them, `fanout_100` is the same with it and without it. Delete it when h2
//! writes the frames that are ready together, or when that figure is below 1.05.
//!
//! The system would buffer megabytes for each slow client. `TCP_NOTSENT_LOWAT` limits the unsent
//! bytes, so that the rest waits in the gateway, where clients with the same messages share it, and
//! where it is counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, sendmsg, shutdown};
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A smaller write is usually the last one.
const LARGE_BYTES_MIN: usize = 8 * 1024;

/// The most unsent bytes that the system buffers, up to one segment more: about a message, so that
/// there is always data to send.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// The flag that more data follows, if the system has one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE: SendFlags = SendFlags::MORE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MORE: SendFlags = SendFlags::empty();

/// The socket.
pub struct CorkedSocket {
    read: OwnedReadHalf,
    write: Arc<SocketWriter>,
}

/// Flushes the buffered rest of a [`CorkedSocket`].
#[derive(Clone)]
pub struct SocketFlusher(Arc<SocketWriter>);

struct SocketWriter {
    socket: OwnedWriteHalf,
    /// Whether the flusher is used.
    gathers: AtomicBool,
    /// Whether bytes may be buffered.
    keeps: AtomicBool,
}

/// Sends the large writes of a socket together, after the first [`SocketFlusher::flush`]; before
/// it, nobody would flush. Nagle's algorithm must be off.
pub fn cork(stream: TcpStream) -> (CorkedSocket, SocketFlusher) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // Without it, the system buffers more.
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    let (read, socket) = stream.into_split();
    let (gathers, keeps) = (AtomicBool::new(false), AtomicBool::new(false));
    let write = Arc::new(SocketWriter { socket, gathers, keeps });
    (CorkedSocket { read, write: Arc::clone(&write) }, SocketFlusher(write))
}

impl SocketFlusher {
    /// Sends the buffered bytes. The caller must call it whenever the writer pauses.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn flush(&self) -> io::Result<()> {
        self.0.gathers.store(true, Relaxed);
        match self.0.keeps.swap(false, Relaxed) {
            // On a socket without Nagle's algorithm this has no other effect.
            true => self.0.stream().set_nodelay(true),
            false => Ok(()),
        }
    }

    /// After the socket is shut down, waits until the client has closed its side, for `at_most`,
    /// and drops the data that the client still sends. Closing a socket with unread data would
    /// reset it, and lose data in flight.
    pub async fn linger(&self, at_most: Duration) {
        let stream = self.0.stream();
        let closed = async {
            while stream.readable().await.is_ok() {
                let mut unread = [0; 4096];
                match stream.try_read(&mut unread) {
                    Ok(0) => return,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                    _ => {}
                }
            }
        };
        // A client that does not close may lose unread data.
        let _ = tokio::time::timeout(at_most, closed).await;
    }
}

impl SocketWriter {
    fn stream(&self) -> &TcpStream {
        self.socket.as_ref()
    }

    fn poll(&self, parts: &[IoSlice<'_>], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let keep = !MORE.is_empty() && bytes >= LARGE_BYTES_MIN && self.gathers.load(Relaxed);
        let flags = if keep { MORE } else { SendFlags::empty() };
        let send = || {
            let mut none = SendAncillaryBuffer::default();
            Ok(sendmsg(self.stream(), parts, &mut none, flags | SendFlags::NOSIGNAL)?)
        };
        loop {
            ready!(self.stream().poll_write_ready(cx))?;
            match self.stream().try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => {
                    self.keeps.store(keep, Relaxed);
                    return Poll::Ready(sent);
                }
            }
        }
    }
}

impl AsyncRead for CorkedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CorkedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write.poll(&[IoSlice::new(bytes)], cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write.poll(parts, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: see [`SocketFlusher::flush`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.write.stream(), Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        near.set_nodelay(true).unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_large_write_waits_for_the_tail_and_a_small_one_does_not() {
        let (near, _far) = pair().await;
        let (mut near, flusher) = cork(near);
        let keeps = |flusher: &SocketFlusher| flusher.0.keeps.load(Relaxed);
        let large = vec![1; LARGE_BYTES_MIN];
        near.write_all(&large).await.unwrap();
        assert!(!keeps(&flusher), "nobody sends the tail yet");
        flusher.flush().unwrap();
        near.write_all(&large).await.unwrap();
        assert_eq!(keeps(&flusher), !MORE.is_empty());
        flusher.flush().unwrap();
        assert!(!keeps(&flusher));
        near.write_all(&large).await.unwrap();
        near.write_all(b"small").await.unwrap();
        assert!(!keeps(&flusher), "what follows took it along");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_holds_little_for_a_client_that_does_not_read() {
        let (near, _far) = pair().await;
        let (mut near, _tail) = cork(near);
        let block = vec![1; 16 * 1024];
        let mut held = 0;
        while let Some(written) = near.write(&block).now_or_never() {
            held += written.unwrap();
        }
        assert!(held < 1024 * 1024, "{held} bytes");
    }

    /// A reader that is slow, and has sent what nobody reads.
    #[tokio::test]
    async fn what_was_sent_arrives_though_something_is_unread() {
        let (near, mut far) = pair().await;
        let (mut near, flusher) = cork(near);
        far.write_all(b"unread").await.unwrap();
        flusher.0.stream().readable().await.unwrap();
        let sent = vec![7; 300_000];
        let expected = sent.len();
        let writing = tokio::spawn(async move {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            drop(near);
            flusher.linger(Duration::from_secs(60)).await;
        });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), expected);
        drop(far);
        writing.await.unwrap();
    }

    /// More than the socket takes at once, in pieces of all sizes.
    #[tokio::test]
    async fn all_that_is_written_arrives_in_its_order() {
        let (near, mut far) = pair().await;
        let (mut near, flusher) = cork(near);
        flusher.flush().unwrap();
        let sizes = [1, 16_393, 9, LARGE_BYTES_MIN, 40_000, 0, LARGE_BYTES_MIN - 1, 100_000];
        let sizes: Vec<usize> = sizes.into_iter().cycle().take(400).collect();
        let expected: Vec<u8> = (0..sizes.iter().sum()).map(|at: usize| (at % 251) as u8).collect();
        let sent = expected.clone();
        let writing = tokio::spawn(async move {
            let mut rest = sent.as_slice();
            for size in sizes {
                let (now, later) = rest.split_at(size);
                near.write_all(now).await.unwrap();
                near.flush().await.unwrap();
                rest = later;
            }
            flusher.flush().unwrap();
            near.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        writing.await.unwrap();
        assert!(read == expected, "{} of {} bytes", read.len(), expected.len());
    }
}
