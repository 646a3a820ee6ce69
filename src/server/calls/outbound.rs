//! The body of a response: it ends at the deadline of its call, and records how the call
//! ended.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use super::call_record::CallRecord;
use super::unsent_bytes::UnsentBytes;
use crate::service::Error;

/// A body that is watched.
pub struct ResponseBody {
    inner: Option<Body>,
    deadline: Option<CallDeadline>,
    waiting: Option<UnsentBytes>,
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
    /// Watches the body of a response.
    pub fn new(
        inner: Body,
        deadline: Option<CallDeadline>,
        waiting: Option<UnsentBytes>,
        record: CallRecord,
    ) -> Self {
        Self { inner: Some(inner), deadline, waiting, record }
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
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Some(deadline) = &mut this.deadline
            && deadline.sleep.as_mut().poll(cx).is_ready()
        {
            let asked = deadline.asked;
            return Poll::Ready(Some(Ok(this.end(Error::DeadlineExceeded { asked }))));
        }
        let polled = Pin::new(inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            this.record.trailers(trailers);
        }
        let Some(waiting) = &this.waiting else { return polled };
        polled.map_ok(|frame| frame.map_data(|bytes| waiting.count(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
