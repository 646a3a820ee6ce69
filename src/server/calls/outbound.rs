//! Sends the body of a response: in pieces, charged to the client's account until the client has
//! read them, up to the deadline of the call. Its end decides the outcome of the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use super::call_record::CallRecord;
use crate::server::connection::flow::{Flow, PIECE_BYTES_MAX};
use crate::service::Error;
use crate::service::quota::Quota;
use crate::service::quota::fair::Share;

/// The body of a response.
pub struct ResponseBody {
    inner: Option<Body>,
    deadline: Option<CallDeadline>,
    flow: Option<Arc<Flow>>,
    /// Charges the response, if it is not charged already.
    charged: Option<Arc<Quota>>,
    /// Waits until the client has read enough of the charged data.
    gate: Option<Pin<Box<dyn Future<Output = Share> + Send>>>,
    /// The rest of a message that is being sent.
    rest: Bytes,
    /// Its share of the client's room.
    share: Option<Share>,
    record: CallRecord,
}

/// When a call must have ended.
pub struct CallDeadline {
    /// How long the client was willing to wait.
    pub asked: Duration,
    /// Ends then.
    pub sleep: Pin<Box<Sleep>>,
}

impl ResponseBody {
    /// Wraps the body of a response. Its bytes are charged to `charged`, if set.
    pub fn new(
        inner: Body,
        deadline: Option<CallDeadline>,
        flow: Option<Arc<Flow>>,
        charged: Option<Arc<Quota>>,
        record: CallRecord,
    ) -> Self {
        let (gate, rest, share) = (None, Bytes::new(), None);
        Self { inner: Some(inner), deadline, flow, charged, gate, rest, share, record }
    }

    /// Ends the stream with a status.
    fn end(&mut self, error: Error) -> Frame<Bytes> {
        self.inner = None;
        let status = Status::from(error);
        let mut trailers = HeaderMap::new();
        // The status is made of text and base64, which headers can carry.
        let _ = status.add_header(&mut trailers);
        self.record.finish(&status);
        Frame::trailers(trailers)
    }

    /// The next piece of the current message; `None` between messages.
    fn piece(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(flow) = &self.flow else { return Some(std::mem::take(&mut self.rest)) };
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES_MAX));
        let share = match &mut self.share {
            Some(share) if !self.rest.is_empty() => Some(share.split(piece.len())),
            _ => self.share.take(),
        };
        Some(flow.piece(piece, share))
    }

    /// Waits while the client has more unread data than it has room for.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(quota) = &self.charged else { return Poll::Ready(()) };
        let room = quota.account().room();
        if self.gate.is_none() && room.is_over() {
            let room = room.clone();
            self.gate = Some(Box::pin(async move { room.acquire(1).await }));
        }
        if let Some(gate) = &mut self.gate {
            drop(ready!(gate.as_mut().poll(cx)));
            self.gate = None;
        }
        Poll::Ready(())
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        ready!(self.poll_gate(cx));
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        Pin::new(inner).poll_frame(cx)
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Some(piece) = this.piece() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if this.inner.is_none() {
            return Poll::Ready(None);
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.sleep.as_mut().poll(cx).is_ready()
        {
            let asked = deadline.asked;
            return Poll::Ready(Some(Ok(this.end(Error::DeadlineExceeded { asked }))));
        }
        let Poll::Ready(next) = this.poll_inner(cx) else {
            if let Some(flow) = &this.flow {
                flow.idle();
            }
            return Poll::Pending;
        };
        let frame = match next {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        if let Some(trailers) = frame.trailers_ref() {
            this.record.trailers(trailers);
        }
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(bytes) => {
                let room = this.charged.as_ref().map(|quota| quota.account().room());
                this.share = room.map(|room| room.force(bytes.len()));
                this.rest = bytes;
                Frame::data(this.piece().unwrap_or_default())
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(flow) = &self.flow {
            flow.end();
            self.record.was_reset = flow.was_reset();
        }
    }
}
