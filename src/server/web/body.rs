//! Sends the content of a file in pieces, so that a client that takes none is noticed. It counts as
//! a call of its connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Extensions;
use http_body::{Frame, SizeHint};

use crate::server::connection::flow::{Flow, PIECE_BYTES_MAX, Reset};
use crate::server::connection::{Connection, RunningCall};

/// The body of a file.
pub struct FileBody {
    rest: Bytes,
    flow: Option<Arc<Flow>>,
    _call: Option<RunningCall>,
}

impl FileBody {
    /// The body of the answer to the request with these extensions.
    pub fn new(bytes: Bytes, request: &mut Extensions) -> Self {
        let reset = request.remove::<Reset>();
        let connection = request.get::<Arc<Connection>>();
        let flow = connection.map(|connection| connection.flows().open(reset));
        Self { rest: bytes, flow, _call: connection.map(Connection::begin) }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES_MAX));
        let piece = match &this.flow {
            Some(flow) => flow.piece(piece, None),
            None => piece,
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        if let Some(flow) = &self.flow {
            flow.end();
        }
    }
}
