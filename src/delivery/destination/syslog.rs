//! Syslog receivers: RFC 5424 messages in the framing of RFC 5425 and RFC 6587, over TLS or TCP.
//!
//! Syslog has no acknowledgement, so written messages may be lost if the connection breaks. The
//! last messages are kept, and sent again on the next connection.

mod message;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::delivery::batch::Batch;
use crate::delivery::destination::http_client::is_of_tls;
use crate::delivery::destination::tls::DestinationTls;
use crate::delivery::destination::{Destination, OpenError, Reply};
use crate::log::BoxFuture;

pub use message::{FACILITIES, MessageForm};

/// Time limit for the receiver to close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Approximate size of one write, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// A syslog receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address.
    pub address: SyslogAddress,
    /// Certificates.
    pub tls: DestinationTls,
    /// The time limit to connect, and to write a batch.
    pub timeout: Duration,
    /// How many of the last bytes are sent again after a broken connection.
    pub resend_bytes: usize,
    /// The common fields of messages.
    pub form: MessageForm,
}

/// Host, port, and whether the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogAddress {
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "tls" } else { "tcp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Writes batches to a receiver.
pub struct SyslogDestination {
    config: Config,
    connector: Option<(TlsConnector, ServerName<'static>)>,
    link: Mutex<Link>,
}

/// The connection, and the last written frames.
#[derive(Default)]
struct Link {
    stream: Option<Box<dyn SyslogStream>>,
    recent: RecentFrames,
    /// Whether frames of `recent` were written to a connection that broke.
    is_broken: bool,
}

/// A connection, encrypted or not.
trait SyslogStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> SyslogStream for S {}

/// The last written frames, up to a number of bytes.
#[derive(Debug, Default)]
struct RecentFrames {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl RecentFrames {
    fn add(&mut self, frame: Vec<u8>, bytes_max: usize) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.bytes > bytes_max
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }
}

impl SyslogDestination {
    /// Reads certificates.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let connector = if config.address.is_encrypted {
            let name = ServerName::try_from(config.address.host.clone())
                .map_err(|error| OpenError::new("url", error))?;
            Some((TlsConnector::from(Arc::new(config.tls.load()?)), name))
        } else {
            None
        };
        Ok(Self { config: config.clone(), connector, link: Mutex::default() })
    }

    async fn write(&self, batch: &Batch) -> Reply {
        let mut link = self.link.lock().await;
        let frames: Vec<Vec<u8>> = batch.iter().map(|item| self.config.form.frame(&item)).collect();
        let written = timeout(self.config.timeout, async {
            self.connect(&mut link).await?;
            let Link { stream: Some(stream), .. } = &mut *link else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            write_all(stream, &frames).await
        });
        let failed = match written.await {
            Ok(Ok(())) => {
                let bytes_max = self.config.resend_bytes;
                frames.into_iter().for_each(|frame| link.recent.add(frame, bytes_max));
                return Reply::ACCEPTED;
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        link.stream = None;
        link.is_broken = true;
        match is_of_tls(&failed) {
            true => Reply::Blocked(format!("TLS failed: {failed}")),
            false => Reply::unavailable(failed.to_string()),
        }
    }

    /// Connects if necessary, and writes the last messages again if the previous connection broke.
    async fn connect(&self, link: &mut Link) -> io::Result<()> {
        if let Some(stream) = &mut link.stream
            && has_ended(stream)
        {
            link.stream = None;
            link.is_broken = true;
        }
        if link.stream.is_some() {
            return Ok(());
        }
        let SyslogAddress { host, port, .. } = &self.config.address;
        let plain = TcpStream::connect((host.as_str(), *port)).await?;
        plain.set_nodelay(true)?;
        let mut stream: Box<dyn SyslogStream> = match &self.connector {
            None => Box::new(plain),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), plain).await?),
        };
        if link.is_broken {
            let recent = link.recent.frames.make_contiguous();
            write_all(&mut stream, recent).await?;
            link.is_broken = false;
        }
        link.stream = Some(stream);
        Ok(())
    }
}

/// Whether the receiver has closed the connection. Syslog receivers send nothing, so received bytes
/// are dropped.
fn has_ended(stream: &mut Box<dyn SyslogStream>) -> bool {
    let mut thrown_away = [0; 1024];
    match stream.read(&mut thrown_away).now_or_never() {
        None => false,
        Some(Ok(0) | Err(_)) => true,
        Some(Ok(_)) => false,
    }
}

async fn write_all(stream: &mut Box<dyn SyslogStream>, frames: &[Vec<u8>]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(WRITE_BYTES);
    for frame in frames {
        buffer.extend_from_slice(frame);
        if buffer.len() >= WRITE_BYTES {
            stream.write_all(&buffer).await?;
            buffer.clear();
        }
    }
    stream.write_all(&buffer).await?;
    stream.flush().await
}

impl Destination for SyslogDestination {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        Box::pin(self.write(batch))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(mut stream) = self.link.lock().await.stream.take() else { return };
            // Without an orderly end, a receiver may drop bytes that it has not read.
            let closing = async {
                stream.shutdown().await?;
                let mut thrown_away = [0; 1024];
                while stream.read(&mut thrown_away).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frames_are_kept_within_their_bound() {
        let mut recent = RecentFrames::default();
        for letter in b'a'..=b'e' {
            recent.add(vec![letter; 10], 25);
        }
        let kept: Vec<u8> = recent.frames.iter().map(|frame| frame[0]).collect();
        assert_eq!((kept.as_slice(), recent.bytes), (b"de".as_slice(), 20));
        recent.add(vec![b'f'; 30], 25);
        assert!(recent.frames.is_empty(), "a frame larger than the bound is not kept");
        assert_eq!(recent.bytes, 0);
    }
}
