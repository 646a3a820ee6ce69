//! Calls whose bodies are bytes: to send what no generated client would, and to
//! see what a generated client would not show.

use auditgate::service::NAME;
use auditgate::wire::{self, WireValue};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::soon;

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, body: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(body.copy_to_bytes(body.remaining())))
    }
}

/// Calls a unary method of the service, or one by its whole path.
pub async fn call(channel: &Channel, method: &str, body: Vec<u8>) -> Result<Bytes, Status> {
    unary(Grpc::new(channel.clone()), method, Request::new(body.into())).await
}

/// Calls a unary method with a compressed body.
pub async fn call_compressed(
    channel: &Channel,
    method: &str,
    body: Vec<u8>,
    encoding: CompressionEncoding,
) -> Result<Bytes, Status> {
    let grpc = Grpc::new(channel.clone()).send_compressed(encoding);
    unary(grpc, method, Request::new(body.into())).await
}

/// Calls a unary method and says that the body, which is sent as it is, were
/// encoded so.
pub async fn call_encoded_as(
    channel: &Channel,
    method: &str,
    body: Vec<u8>,
    encoding: &'static str,
) -> Result<Bytes, Status> {
    let mut request = Request::new(body.into());
    request.metadata_mut().insert("grpc-encoding", encoding.parse().unwrap());
    unary(Grpc::new(channel.clone()), method, request).await
}

async fn unary(
    mut grpc: Grpc<Channel>,
    method: &str,
    request: Request<Bytes>,
) -> Result<Bytes, Status> {
    grpc.ready().await.expect("connected");
    let path = path(method);
    soon(grpc.unary(request, path, Raw)).await.map(Response::into_inner)
}

/// Opens a stream of responses, each at most as large as gRPC clients take.
pub async fn open(
    channel: &Channel,
    method: &str,
    body: Vec<u8>,
) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("connected");
    let path = path(method);
    let request = Request::new(Bytes::from(body));
    soon(grpc.server_streaming(request, path, Raw)).await.map(Response::into_inner)
}

fn path(method: &str) -> PathAndQuery {
    let path =
        if method.starts_with('/') { method.to_owned() } else { format!("/{NAME}/{method}") };
    path.parse().expect("a path")
}

/// The values of a field that holds strings, bytes or messages.
pub fn values(message: &[u8], number: u32) -> Vec<&[u8]> {
    wire::fields(message)
        .map(|field| field.expect("well formed"))
        .filter(|(found, _)| *found == number)
        .map(|(_, value)| value.bytes().expect("length-delimited"))
        .collect()
}

/// The value of a field that holds a number.
pub fn number(message: &[u8], number: u32) -> Option<u64> {
    wire::fields(message)
        .map(|field| field.expect("well formed"))
        .filter(|(found, _)| *found == number)
        .find_map(|(_, value)| match value {
            WireValue::Varint(value) => Some(value),
            _ => None,
        })
}

/// A message of one field that holds strings, bytes or messages.
pub fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes_field(&mut out, number, value);
    out
}

/// A message of one field that holds a number.
pub fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_varint_field(&mut out, number, value);
    out
}
