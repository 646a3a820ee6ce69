//! The method Subscribe.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Status};

use crate::access::{self, Caller, Method, MethodRule, StreamAuth, StreamAuthEnd};
use crate::audit::{Auditor, Denial};
use crate::filter::Filter;
use crate::hub::{LogPosition, SubscribeMessage, SubscriberState, Subscription, SubscriptionStart};
use crate::log::cursor::Cursor;
use crate::log::{self, ScanQuery};
use crate::proto::codec::FramedMessage;
use crate::proto::pb;
use crate::service::quota::MemoryCharge;
use crate::service::reader::Reader;
use crate::service::request_query::{compile, time};
use crate::service::{Error, Service, decode, status};

impl Service {
    /// Opens a subscription, and returns its responses. Its last item is the
    /// status with which it ends. `held` covers the request, and then the subscription for as long as it is open.
    pub(super) async fn open_stream(
        &self,
        request: Request<Bytes>,
        mut held: Option<MemoryCharge>,
    ) -> Result<impl Stream<Item = Result<FramedMessage, Status>> + Send + use<>, Error> {
        let reader = self.reader(&request)?;
        let request: pb::SubscribeRequest = decode(request.into_inner())?;
        let asked = request.filter.unwrap_or_default();
        let filter = compile(Some(&asked), &reader).await?;
        let start = start(request.start)?;
        let query = ScanQuery::new(Arc::clone(&filter));
        // Recorded before the stream begins, so that the record is not part of it.
        self.record_query(&reader, Method::Subscribe, &query, &asked, (None, None)).await?;
        let subscriber =
            SubscriberState::new(reader.peer.clone(), &asked).named(reader.caller.principal());
        let opened = self.hub.subscribe(query, start, subscriber);
        let opened = match start {
            SubscriptionStart::Cursor(Cursor { log_id, epoch, sequence })
                if log_id == self.hub.identity().id =>
            {
                let position = LogPosition { epoch: Some(epoch), sequence };
                self.waiting(&reader, position, opened).await
            }
            _ => opened.await,
        };
        let Reader { caller, peer, .. } = reader;
        let subscription = opened.map_err(Error::Subscribe)?;
        if let Some(held) = &mut held {
            held.try_set(subscription.held_bytes())?;
        }
        let session = StreamAuth::new(&self.access, caller);
        let auditor = self.auditor.clone();
        let open = OpenStream { subscription, session, filter, auditor, peer, held };
        Ok(stream::unfold(StreamPhase::Open(Box::new(open)), StreamPhase::step))
    }
}

/// An open stream.
struct OpenStream {
    subscription: Subscription,
    session: StreamAuth,
    /// The request, and the types that may be read.
    filter: Arc<Filter>,
    auditor: Auditor,
    peer: String,
    /// The charge of the subscription's memory.
    held: Option<MemoryCharge>,
}

impl OpenStream {
    /// The next message. The reader gets an access error with a cursor.
    async fn next(&mut self) -> Result<Option<SubscribeMessage>, StreamRefused> {
        loop {
            let ended = match self.session.check() {
                Some(ended) => ended,
                // Both futures may be dropped and begun again without loss. If there is a message,
                // the other is not waited for.
                None => tokio::select! {
                    biased;
                    message = self.subscription.next() => return message.map_err(StreamRefused::Log),
                    ended = self.session.changed() => ended,
                },
            };
            match ended {
                StreamAuthEnd::Refused(error) => return Err(StreamRefused::Access(error)),
                StreamAuthEnd::Changed(caller) => {
                    self.go_on(&caller).await.map_err(StreamRefused::Access)?
                }
            }
        }
    }

    /// Continues with the current roles: with more rights, but not with fewer.
    async fn go_on(&mut self, caller: &Caller) -> Result<(), access::Error> {
        caller.grants().permit(MethodRule::Read)?;
        if !self.filter.is_within(caller.grants().read()) {
            return Err(access::Error::TypesForbidden);
        }
        // A filter that was accepted before, and matches only readable types, is accepted.
        if let Ok(filter) = self.filter.for_reader(caller.grants().read()) {
            self.filter = Arc::new(filter);
            self.subscription.set_query(ScanQuery::new(Arc::clone(&self.filter)));
            if let Some(held) = &mut self.held {
                held.set(self.subscription.held_bytes());
            }
        }
        Ok(())
    }
}

/// Why a stream has no next message.
enum StreamRefused {
    Access(access::Error),
    Log(log::Error),
}

fn start(start: Option<pb::subscribe_request::Start>) -> Result<SubscriptionStart, Error> {
    use pb::subscribe_request::Start as Requested;
    Ok(match start {
        None => SubscriptionStart::Latest,
        Some(Requested::Position(number)) => match pb::Position::try_from(number) {
            Ok(pb::Position::Unspecified | pb::Position::Latest) => SubscriptionStart::Latest,
            Ok(pb::Position::Earliest) => SubscriptionStart::Earliest,
            Err(_) => {
                return Err(Error::EnumValue {
                    field: "position",
                    value: number,
                    name: "Position",
                });
            }
        },
        Some(Requested::Since(since)) => SubscriptionStart::Since(time("since", &since)?),
        Some(Requested::Cursor(cursor)) => {
            SubscriptionStart::Cursor(Cursor::parse(&cursor).map_err(Error::Cursor)?)
        }
    })
}

/// The phases of a stream: at the end it sends a last cursor, then a status.
enum StreamPhase {
    Open(Box<OpenStream>),
    /// The last cursor is sent; this status follows.
    Ending(Error),
    Over,
}

impl StreamPhase {
    async fn step(self) -> Option<(Result<FramedMessage, Status>, Self)> {
        match self {
            StreamPhase::Open(mut open) => {
                let next = open.next().await;
                let cursor = open.subscription.cursor();
                match next {
                    Ok(Some(message)) => Some((Ok(message.response), StreamPhase::Open(open))),
                    Ok(None) => Some(Self::end(cursor, Error::Stopping { cursor })),
                    Err(StreamRefused::Access(error)) => {
                        let error = Error::AccessEnded { error, cursor };
                        let principal = open.session.caller().principal();
                        open.auditor.denied(principal, || Denial {
                            principal: principal.to_owned(),
                            peer: open.peer.clone(),
                            rpc: Method::Subscribe.path().to_owned(),
                            reason: status::reason(&error).to_owned(),
                            message: error.to_string(),
                        });
                        Some(Self::end(cursor, error))
                    }
                    Err(StreamRefused::Log(error)) => {
                        Some((Err(Error::Read(error).into()), StreamPhase::Over))
                    }
                }
            }
            StreamPhase::Ending(error) => Some((Err(error.into()), StreamPhase::Over)),
            StreamPhase::Over => None,
        }
    }

    fn end(cursor: Cursor, error: Error) -> (Result<FramedMessage, Status>, Self) {
        let last = pb::SubscribeResponse { cursor: cursor.to_string(), ..Default::default() };
        (Ok(FramedMessage::of(&last)), StreamPhase::Ending(error))
    }
}
