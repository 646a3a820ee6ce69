//! The body of a request: counts its bytes, and fails if it arrives too slowly.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::message_boundaries::MessageBoundaries;
use crate::service::quota::Quota;
use crate::service::{Error, REQUEST_BYTES_PER_SECOND_MIN, REQUEST_GRACE};

/// A body that is watched.
pub struct RequestBody {
    inner: Body,
    quota: Arc<Quota>,
    messages: MessageBoundaries,
    /// The client may pause between messages, and its stream may be paused.
    streams: bool,
    /// How long the message that has begun was waited for.
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes that the quota has on the account of the client: those of the message that
    /// has begun, ...
    held: usize,
    /// ... or all that have come since [`RequestBody::settle`].
    keeps: bool,
}

impl RequestBody {
    /// Watches the body of a call, which is a stream of messages, or holds one.
    pub fn new(inner: Body, quota: Arc<Quota>, streams: bool) -> Self {
        Self {
            inner,
            quota,
            messages: MessageBoundaries::default(),
            streams,
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
            pause: None,
            held: 0,
            keeps: false,
        }
    }

    /// The same, for one who gives messages on later: what has come stays on the account
    /// of the client until [`RequestBody::settle`].
    pub fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// All that has come is given on, but for so many bytes.
    pub fn settle(&mut self, kept: usize) {
        let done = self.held.saturating_sub(kept);
        if done > 0 {
            self.held = kept;
            self.quota.received(done);
        }
    }

    fn arrived(&mut self, bytes: &Bytes) -> Result<(), Error> {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.quota.bytes(bytes.len());
        if self.messages.take(bytes) {
            // A message ended in this: what follows has a time of its own.
            self.waited = Duration::ZERO;
            if !self.keeps {
                self.settle(0);
            }
        }
        if !self.streams && self.messages.are_several() {
            return Err(Error::SeveralMessages);
        }
        let holds = if self.keeps { self.held + bytes.len() } else { self.messages.begun() };
        let more = holds.saturating_sub(self.held);
        if more > 0 {
            self.held = holds;
            self.quota.receive(more)?;
        }
        Ok(())
    }

    /// Nothing came. Says when that lasts too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let begun = self.messages.begun();
        if self.streams && begun == 0 {
            self.waiting_since = None;
            return Poll::Pending;
        }
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let earned = begun as f64 / REQUEST_BYTES_PER_SECOND_MIN as f64;
        let allowed = REQUEST_GRACE + Duration::from_secs_f64(earned);
        let moment = since + allowed.saturating_sub(self.waited);
        if now >= moment {
            let seconds = (self.waited + (now - since)).as_secs();
            return Poll::Ready(Error::RequestTooSlow { bytes: begun, seconds });
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
        timer.as_mut().reset(moment);
        // Once it is over, this is asked again.
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Error::RequestTooSlow { bytes: begun, seconds: allowed.as_secs() })
    }

    /// Waits until the stream may go on.
    fn paused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.streams {
            return Poll::Ready(());
        }
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.quota.pause() {
                Some(time) => self.pause = Some(Box::pin(tokio::time::sleep(time))),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        ready!(this.paused(cx));
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = frame.data_ref().map_or(Ok(()), |bytes| this.arrived(bytes));
                Poll::Ready(Some(match taken {
                    Ok(()) => Ok(frame),
                    Err(error) => Err(error.into()),
                }))
            }
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending => this.wait(cx).map(|error| Some(Err(error.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.settle(0);
    }
}
