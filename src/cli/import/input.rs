//! Opens the inputs of an import, files and standard input, and decompresses them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use tokio::io::AsyncBufRead;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

/// The size of a read, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// How many reads may be ahead of the import.
const READS_AHEAD: usize = 4;
/// The first bytes of a gzip file: RFC 1952.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
/// The first bytes of a zstd frame: RFC 8878.
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The largest window of a zstd frame, as a power of two: the default limit of `zstd -d`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// The size to which any file may expand, in bytes.
const EXPANDED_BYTES_FREE: u64 = 64 * 1024 * 1024;
/// How many more bytes are allowed for each compressed byte. Logs expand 10 to 100 times.
const EXPANSION_MAX: u64 = 1_000;
/// The byte order mark at the beginning of a UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads standard input to its end, on a thread of its own.
pub fn standard() -> impl AsyncBufRead + Unpin {
    read(io::stdin())
}

/// Reads a file to its end, on a thread of its own.
///
/// # Errors
/// If it cannot be opened.
pub fn file(path: &str) -> io::Result<impl AsyncBufRead + Unpin + use<>> {
    Ok(read(File::open(path)?))
}

/// Whether a file of this name is likely to be compressed.
pub fn is_packed(name: &str) -> bool {
    [".gz", ".zst"].iter().any(|end| name.ends_with(end))
}

fn read(input: impl Read + Send + 'static) -> impl AsyncBufRead + Unpin {
    let (sender, receiver) = mpsc::channel(READS_AHEAD);
    std::thread::spawn(move || {
        if let Err(error) = read_all(input, &sender) {
            // The reader is gone.
            let _ = sender.blocking_send(Err(error));
        }
    });
    StreamReader::new(ReceiverStream::new(receiver))
}

/// Sends the whole input, without a byte order mark.
fn read_all(input: impl Read, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut unpacked = unpack(input)?;
    let mut is_begin = true;
    loop {
        let mut part = vec![0; READ_BYTES];
        let mut used = 0;
        // The mark may come in pieces.
        while used < part.len() && (used == 0 || is_begin && used < BYTE_ORDER_MARK.len()) {
            match unpacked.read(part.get_mut(used..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => used += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        part.truncate(used);
        let mut part = Bytes::from(part);
        if used == 0 {
            return Ok(());
        }
        if std::mem::take(&mut is_begin) && part.starts_with(BYTE_ORDER_MARK) {
            part = part.slice(BYTE_ORDER_MARK.len()..);
        }
        if !part.is_empty() && sender.blocking_send(Ok(part)).is_err() {
            return Ok(());
        }
    }
}

/// Decompresses input whose first bytes show a known format.
fn unpack<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut first = Vec::new();
    input.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut first)?;
    let (is_gzip, is_zstd) = (first.starts_with(GZIP_MAGIC), first == ZSTD_MAGIC);
    let whole = io::Cursor::new(first).chain(input);
    if !is_gzip && !is_zstd {
        return Ok(Box::new(whole));
    }
    let packed = Arc::new(AtomicU64::new(0));
    let counted = CountedRead { input: whole, bytes: Arc::clone(&packed) };
    let counted = BufReader::with_capacity(READ_BYTES, counted);
    if is_gzip {
        return Ok(Box::new(BoundedRead::new(MultiGzDecoder::new(counted), packed)));
    }
    let mut decoder = zstd::Decoder::with_buffer(counted)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(Box::new(BoundedRead::new(decoder, packed)))
}

/// Counts the bytes that were read.
struct CountedRead<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for CountedRead<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Bounds the output of a decoder in proportion to its input.
struct BoundedRead<R> {
    decoder: R,
    /// The bytes of input so far.
    packed: Arc<AtomicU64>,
    /// The bytes of output so far.
    expanded: u64,
}

impl<R> BoundedRead<R> {
    fn new(decoder: R, packed: Arc<AtomicU64>) -> Self {
        Self { decoder, packed, expanded: 0 }
    }
}

impl<R: Read> Read for BoundedRead<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(out)?;
        self.expanded += read as u64;
        let packed = self.packed.load(Ordering::Relaxed);
        if self.expanded > EXPANDED_BYTES_FREE + packed.saturating_mul(EXPANSION_MAX) {
            return Err(io::Error::other(format!(
                "it expands to more than {EXPANSION_MAX} times its size: if that is right, \
                 unpack it and import the result"
            )));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn read_back(content: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        read(io::Cursor::new(content)).read_to_end(&mut out).await?;
        Ok(out)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_of(content: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked_whatever_its_name_is() {
        let text = "{\"event\":\"exec\"}\n".repeat(100_000).into_bytes();
        let (head, tail) = text.split_at(text.len() / 2);
        let marked = [BYTE_ORDER_MARK, &text].concat();
        for content in [
            text.clone(),
            gzip(&text),
            zstd_of(&text),
            // Files that were appended to.
            [gzip(head), gzip(tail)].concat(),
            [zstd_of(head), zstd_of(tail)].concat(),
            marked.clone(),
            gzip(&marked),
            zstd_of(&marked),
        ] {
            assert!(read_back(content).await.unwrap() == text);
        }
        for short in [&b""[..], b"{", b"\x1f", b"\xef\xbb", b"\x28\xb5\x2f"] {
            assert_eq!(read_back(short.to_vec()).await.unwrap(), short);
        }
        assert_eq!(read_back(BYTE_ORDER_MARK.to_vec()).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn what_is_cut_off_or_broken_is_an_error() {
        let text = (0..10_000).map(|number| format!("{number}\n")).collect::<String>();
        for packed in [gzip(text.as_bytes()), zstd_of(text.as_bytes())] {
            let cut_off = read_back(packed[..packed.len() / 2].to_vec()).await.unwrap_err();
            assert_eq!(cut_off.kind(), io::ErrorKind::UnexpectedEof);
            let mut broken = packed.clone();
            let middle = broken.len() / 2;
            broken[middle..middle + 20].fill(0x55);
            let broken = read_back(broken).await.unwrap_err().kind();
            let is_corrupt = matches!(
                broken,
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other
            );
            assert!(is_corrupt, "{broken:?}");
        }
    }

    #[tokio::test]
    async fn a_bomb_ends_the_import_at_a_bound() {
        let zeros = vec![0; 1 << 20];
        let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
        for _ in 0..200 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
        let mut unpacked = read(io::Cursor::new(bomb));
        let (mut out, mut expanded) = (vec![0; 1 << 20], 0);
        let error = loop {
            match unpacked.read(&mut out).await {
                Ok(0) => panic!("all of it was unpacked"),
                Ok(read) => expanded += read as u64,
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("expands to more than 1000 times its size"), "{error}");
        assert!(expanded < 2 * EXPANDED_BYTES_FREE, "{expanded}");
    }

    #[tokio::test]
    async fn a_window_that_takes_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(ZSTD_WINDOW_LOG_MAX + 1).unwrap();
        encoder.write_all(b"text").unwrap();
        let refused = read_back(encoder.finish().unwrap()).await.unwrap_err().to_string();
        assert!(refused.contains("memory"), "{refused}");
    }
}
