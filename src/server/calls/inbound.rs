//! Receives the body of a request: splits it into messages, decompresses them, charges them to the
//! client's account, and gives up on slow ones.
//!
//! The first bytes of a message are charged as they arrive. When its length is known, and all of it
//! or more than [`FIRST_BYTES`] has arrived, room is acquired for the whole message and the work on
//! it; until then nothing more is read. See [`Account`](crate::service::quota::Account).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::decompress::{DecompressedBody, Packed, unpack};
use super::encoding::{COMPRESSED, MessageEncoding, message_len};
use crate::proto::codec::PREFIX_BYTES;
use crate::service::quota::fair::Share;
use crate::service::quota::{MemoryCharge, MemoryKind, Quota, WorkRoom, hold};
use crate::service::{
    Cost, Error, REQUEST_BYTES_PER_SECOND_MIN, REQUEST_GRACE, STREAM_WINDOW_BYTES,
};

/// The most bytes of a message that are received before there is room for all of it.
pub const FIRST_BYTES: usize = 64 * 1024;

/// The rules for the messages of a call.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Their compression, if any.
    pub encoding: Option<MessageEncoding>,
    /// The most bytes of a message, decompressed or not.
    pub limit: usize,
    /// The cost of the work on a message.
    pub cost: Cost,
    /// Whether it is a stream: the client may pause between messages, and its stream may be paused.
    pub streams: bool,
}

/// A body that returns each message decompressed, in its own frame.
pub struct RequestBody {
    inner: Body,
    quota: Arc<Quota>,
    rules: Rules,
    /// Received bytes that are not processed yet.
    rest: Bytes,
    /// The current message, with its prefix.
    message: Vec<u8>,
    /// The room for it and for the work on it, if acquired.
    room: Option<Share>,
    waiting: Option<Pin<Box<dyn Future<Output = Share> + Send>>>,
    /// The charge of the memory that it holds beside the room.
    receiving: MemoryCharge,
    /// The task that decompresses it. It is separate, so that a client cannot prolong its turn.
    unpacking: JoinSet<Result<DecompressedBody, Error>>,
    /// Receives the room for the work.
    work: WorkRoom,
    /// Whether a message was returned.
    is_given: bool,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// The messages of `inner`. The room for the work on each is moved into `work`.
    pub fn new(inner: Body, quota: Arc<Quota>, rules: Rules, work: WorkRoom) -> Self {
        let receiving = quota.account().charge(MemoryKind::Receiving, 0);
        Self {
            inner,
            quota,
            rules,
            rest: Bytes::new(),
            message: Vec::new(),
            room: None,
            waiting: None,
            receiving,
            unpacking: JoinSet::new(),
            work,
            is_given: false,
            pace: Pace::default(),
            pause: None,
        }
    }

    /// The next message in its frame; `None` after the last one.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        // While the body is being read, the data that h2 may hold is not charged.
        self.receiving.set(self.held());
        loop {
            if !self.unpacking.is_empty() {
                let Poll::Ready(unpacked) = self.unpacking.poll_join_next(cx) else {
                    return self.idle();
                };
                if let Some(unpacked) = unpacked {
                    // The task is aborted only with the runtime.
                    let DecompressedBody { frame, room } =
                        unpacked.unwrap_or(Err(Error::StoppingCall))?;
                    return Poll::Ready(Ok(Some(self.finish(frame, room))));
                }
            }
            if let Some(waiting) = &mut self.waiting {
                let Poll::Ready(room) = waiting.as_mut().poll(cx) else { return self.idle() };
                self.waiting = None;
                self.room = Some(room);
                self.receiving.set(self.rest.len());
            }
            let more = !self.rest.is_empty() || !self.message.is_empty();
            if self.is_given && !self.rules.streams && more {
                return Poll::Ready(Err(Error::SeveralMessages.into()));
            }
            let whole = self.whole_len()?;
            if whole == Some(self.message.len()) {
                if self.is_compressed() {
                    self.begin_to_unpack()?;
                } else if let Some(room) = self.room.take() {
                    let message = std::mem::take(&mut self.message);
                    return Poll::Ready(Ok(Some(self.finish(message, room))));
                } else {
                    self.wait_for_room();
                }
                continue;
            }
            if whole.is_some() && self.room.is_none() && self.message.len() >= FIRST_BYTES {
                self.wait_for_room();
                continue;
            }
            if !self.rest.is_empty() {
                self.take(whole)?;
                continue;
            }
            if self.poll_pause(cx).is_pending() {
                return self.idle();
            }
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    // Trailers of requests mean nothing.
                    if let Ok(bytes) = frame.map_err(cut_off)?.into_data() {
                        self.pace.moved();
                        self.quota.bytes(bytes.len());
                        self.rest = bytes;
                    }
                }
                Poll::Ready(None) if self.message.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Ready(None) => {
                    let cut = Error::Framing("it ends within a message".to_owned());
                    return Poll::Ready(Err(cut.into()));
                }
                Poll::Pending => {
                    let begun = self.message.len();
                    if self.rules.streams && begun == 0 {
                        self.pace.rest();
                        return Poll::Pending;
                    }
                    return self.pace.poll_too_slow(begun, cx).map(|error| Err(error.into()));
                }
            }
        }
    }

    /// Pauses reading: the unread data that h2 may hold is charged to the client.
    fn idle<T>(&mut self) -> Poll<Result<T, Status>> {
        self.pace.rest();
        let unread = if self.inner.is_end_stream() { 0 } else { STREAM_WINDOW_BYTES };
        match self.receiving.try_set(self.held() + unread) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Memory of the body that is held beside the room, in bytes.
    fn held(&self) -> usize {
        let message = if self.room.is_some() { 0 } else { self.message.capacity() };
        message + self.rest.len()
    }

    /// The length of the current message with its prefix, if the prefix is complete.
    fn whole_len(&self) -> Result<Option<usize>, Error> {
        let Some(bytes) = message_len(&self.message) else { return Ok(None) };
        if bytes > self.rules.limit {
            return Err(Error::RequestTooLarge { bytes: Some(bytes), limit: self.rules.limit });
        }
        match (self.message.first(), self.rules.encoding) {
            (Some(0), _) | (Some(&COMPRESSED), Some(_)) => Ok(Some(PREFIX_BYTES + bytes)),
            (Some(&COMPRESSED), None) => {
                let without = "a message is flagged as compressed, but the header grpc-encoding is \
                               missing";
                Err(Error::Framing(without.to_owned()))
            }
            (flag, _) => {
                let flag = flag.copied().unwrap_or_default();
                Err(Error::Framing(format!(
                    "a message has the compression flag {flag}: it must be 0 or 1"
                )))
            }
        }
    }

    fn is_compressed(&self) -> bool {
        self.message.first() == Some(&COMPRESSED)
    }

    /// Moves received bytes to the message, whose length may be known.
    fn take(&mut self, whole: Option<usize>) -> Result<(), Error> {
        let end = match (whole, &self.room) {
            (None, _) => PREFIX_BYTES,
            (Some(whole), None) => whole.min(FIRST_BYTES),
            (Some(whole), Some(_)) => whole,
        };
        let missing = end.saturating_sub(self.message.len());
        // Most often the whole message is there, and is copied once.
        let ahead = message_len(&self.rest).filter(|_| self.message.is_empty());
        let ahead = ahead.map_or(0, |bytes| bytes.saturating_add(PREFIX_BYTES).min(FIRST_BYTES));
        self.message.reserve_exact(missing.max(ahead));
        if self.room.is_none() && whole.is_some() {
            self.receiving.try_set(self.message.capacity() + self.rest.len())?;
        }
        let now = self.rest.split_to(missing.min(self.rest.len()));
        self.message.extend_from_slice(&now);
        Ok(())
    }

    fn wait_for_room(&mut self) {
        let bytes = message_len(&self.message).unwrap_or_default() + PREFIX_BYTES;
        let units = if self.is_compressed() {
            bytes + self.rules.limit + self.rules.cost.of_request(self.rules.limit)
        } else {
            bytes + self.rules.cost.of_request(bytes)
        };
        let quota = Arc::clone(&self.quota);
        // Most often there is room, and nobody waits.
        if let Some(room) = quota.account().room().try_acquire(quota.room_units(units)) {
            self.receiving.set(self.rest.len());
            self.room = Some(room);
            return;
        }
        self.waiting =
            Some(Box::pin(
                async move { quota.account().room().acquire(quota.room_units(units)).await },
            ));
    }

    fn begin_to_unpack(&mut self) -> Result<(), Error> {
        let Some(encoding) = self.rules.encoding else { return Ok(()) };
        let message = std::mem::take(&mut self.message);
        let mut held = self.quota.account().charge(MemoryKind::Receiving, 0);
        if self.room.is_none() {
            held.try_set(message.capacity())?;
        }
        self.receiving.set(self.rest.len());
        let mut message = Bytes::from(message);
        message.advance(PREFIX_BYTES);
        let packed = Packed { encoding, message, held, room: self.room.take() };
        let Rules { limit, cost, .. } = self.rules;
        self.unpacking.spawn(unpack(packed, limit, cost, Arc::clone(&self.quota)));
        Ok(())
    }

    /// Returns a message with its part of the room.
    fn finish(&mut self, message: Vec<u8>, mut room: Share) -> Bytes {
        self.pace = Pace::default();
        self.is_given = true;
        self.receiving.set(self.rest.len());
        let work = self.rules.cost.of_request(message.len() - PREFIX_BYTES);
        room.resize(message.capacity() + work);
        self.work.put(room.split(work));
        hold(message, room)
    }

    /// Waits until the stream may continue.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.rules.streams {
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

/// The error of a request that the transport ended: the client reset the stream, disconnected, or
/// violated HTTP/2.
fn cut_off(status: Status) -> Error {
    Error::RequestCutOff(status.message().to_owned())
}

/// Measures how long a message has been waited for.
#[derive(Default)]
struct Pace {
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Notes that data arrived.
    fn moved(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Notes that the gateway does not wait for the client.
    fn rest(&mut self) {
        self.moved();
    }

    /// Checks a message of which `bytes` bytes arrived. Ready when it is too slow.
    fn poll_too_slow(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Error> {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let earned = bytes as f64 / REQUEST_BYTES_PER_SECOND_MIN as f64;
        let allowed = REQUEST_GRACE + Duration::from_secs_f64(earned);
        let moment = since + allowed.saturating_sub(self.waited);
        if now >= moment {
            let seconds = (self.waited + (now - since)).as_secs();
            return Poll::Ready(Error::RequestTooSlow { bytes, seconds });
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(moment)));
        timer.as_mut().reset(moment);
        // This is polled again when the timer fires.
        let seconds = allowed.as_secs();
        timer.as_mut().poll(cx).map(|()| Error::RequestTooSlow { bytes, seconds })
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.get_mut().poll_message(cx).map(|next| Some(next.transpose()?.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.unpacking.is_empty()
            && self.message.is_empty()
            && self.rest.is_empty()
            && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests;
