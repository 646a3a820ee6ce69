//! Frames of HTTP/2, as bytes, for what no client library would send. RFC 9113.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PING: u8 = 0x6;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

pub const END_STREAM: u8 = 0x1;
/// Flag of PING and SETTINGS: the answer to one.
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// Number of the setting for the window of new streams.
const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// Bytes before a frame's payload.
pub const FRAME_HEAD_BYTES: usize = 9;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a client says first.
pub fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &accepted()].concat()
}

/// The answer to the settings of the gateway, which it sends first: they are in force once it comes. Without it,
/// what exceeds the window that HTTP/2 begins with is an error.
fn accepted() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

/// The same of a client that will take no more than `window` bytes of a stream.
pub fn hello_with_window(window: u32) -> Vec<u8> {
    let mut setting = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    setting.extend(window.to_be_bytes());
    [PREFACE, &frame(SETTINGS, 0, 0, &setting), &accepted()].concat()
}

/// A block of headers that calls a method; literals without compression: RFC 7541,
/// section 6.2.2.
pub fn call(path: &str, encoding: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-encoding", encoding),
    ];
    for (name, value) in headers {
        block.extend(header(name, value));
    }
    block
}

pub fn header(name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127, "the length is one byte");
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

/// A message with its prefix.
pub fn message(compressed: bool, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![u8::from(compressed)];
    message.extend((bytes.len() as u32).to_be_bytes());
    message.extend(bytes);
    message
}
