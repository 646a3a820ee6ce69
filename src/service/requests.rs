//! Reads the requests of a call from the listener, which returns each message in its own frame.

use bytes::{Buf as _, Bytes};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;

use crate::proto::codec::PREFIX_BYTES;
use crate::service::Error;

/// The requests of a call, in order.
pub struct Requests {
    body: Body,
}

impl Requests {
    /// The requests in this body: one in each frame, with its prefix, decompressed.
    pub fn new(body: Body) -> Self {
        Self { body }
    }

    /// The next request; `None` after the last one. Cancelling this loses nothing.
    ///
    /// # Errors
    /// If it could not be received; then no more follow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        while let Some(frame) = self.body.frame().await {
            let Ok(mut message) = frame?.into_data() else { continue };
            if message.len() < PREFIX_BYTES {
                return Err(Error::Framing("a message has no prefix".to_owned()).into());
            }
            message.advance(PREFIX_BYTES);
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// The only request, when the client has ended its side.
    ///
    /// # Errors
    /// If there is no request, or more than one.
    pub async fn only(&mut self) -> Result<Bytes, Status> {
        let Some(request) = self.next().await? else {
            return Err(Error::Framing("the request message is missing".to_owned()).into());
        };
        if !self.body.is_end_stream() && self.next().await?.is_some() {
            return Err(Error::SeveralMessages.into());
        }
        Ok(request)
    }
}
