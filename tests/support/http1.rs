//! HTTP/1.1 byte by byte, and calls in the form of gRPC-Web over it: what a browser sends, and what it would not.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::soon;

/// The content type of calls.
pub const CALL_TYPE: &str = "application/grpc-web+proto";

/// An answer to a request after which the connection is closed.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header that is there once, or not at all.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// What a call came to: its messages, and the status that ended it.
    pub fn call(&self) -> (Vec<Bytes>, Status) {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some(CALL_TYPE));
        let mut map = http::HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            let name: http::HeaderName = name.trim().parse().unwrap();
            map.append(name, value.trim().parse().unwrap());
        };
        self.headers.iter().for_each(|(name, value)| add(name, value));
        let (messages, trailers) = frames(&self.body);
        for line in trailers.lines() {
            let (name, value) = line.split_once(':').unwrap();
            add(name, value);
        }
        let status = Status::from_header_map(&map).expect("a status");
        (messages, status)
    }
}

/// The messages of a body, and its trailers.
pub fn frames(mut body: &[u8]) -> (Vec<Bytes>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while !body.is_empty() {
        let (flag, length) = (body.get_u8(), body.get_u32() as usize);
        let (payload, rest) = body.split_at(length);
        body = rest;
        match flag {
            0 => messages.push(Bytes::copy_from_slice(payload)),
            0x80 => trailers.push_str(std::str::from_utf8(payload).unwrap()),
            other => panic!("a frame with the flag {other}"),
        }
    }
    (messages, trailers)
}

/// A message in its frame.
pub fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

/// A request with these headers, which name no host by themselves.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// The request of a call.
pub fn call(method: &str, host: &str, headers: &[(&str, &str)], message: &impl Message) -> Vec<u8> {
    let path = format!("/auditgate.v1.AuditService/{method}");
    let own = [("host", host), ("content-type", CALL_TYPE)];
    request("POST", &path, &[&own, headers].concat(), &framed(message))
}

/// Sends a request and reads its answer.
pub async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    exchange(TcpStream::connect(address).await.unwrap(), request).await
}

/// Sends a request on a connection and reads its answer.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Answer {
    stream.write_all(request).await.unwrap();
    let mut all = Vec::new();
    // A connection by TLS may end without saying so.
    let _ = soon(stream.read_to_end(&mut all)).await;
    answer(&all)
}

/// Calls a unary method by HTTP/1.1.
pub async fn unary<T: Message + Default>(
    address: SocketAddr,
    method: &str,
    headers: &[(&str, &str)],
    message: &impl Message,
) -> Result<T, Status> {
    let answer = ask(address, &call(method, &address.to_string(), headers, message)).await;
    let (messages, status) = answer.call();
    match (messages.as_slice(), status.code()) {
        ([only], Code::Ok) => Ok(T::decode(only.clone()).unwrap()),
        (_, Code::Ok) => panic!("{} messages", messages.len()),
        _ => Err(status),
    }
}

/// The only answer in what came.
fn answer(all: &[u8]) -> Answer {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(all)));
    let head = std::str::from_utf8(&all[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = all[end + 4..].to_vec();
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunked(&body);
    }
    Answer { status, headers, body }
}

/// The content of chunks, as far as they have come.
pub fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        out.extend_from_slice(chunk);
        rest = rest.get(end + size + 4..).unwrap_or_default();
    }
    out
}
