//! Subscribe.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Status};

use crate::access::{self, Caller, Ended, Rule, Session};
use crate::audit::{Auditor, Denial, Read};
use crate::filter::Filter;
use crate::hub::{Message, Start, Subscriber, Subscription};
use crate::log::cursor::Cursor;
use crate::log::{self, Query};
use crate::proto::codec::Framed;
use crate::proto::pb;
use crate::service::range::{compile, time};
use crate::service::{Error, Service, decode, peer, status};

/// Path of the call.
const RPC: &str = "/auditgate.v1.AuditService/Subscribe";

impl Service {
    /// Opens a subscription, and returns its responses. Its last item is the
    /// status with which it ends.
    pub(super) async fn open_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<impl Stream<Item = Result<Framed, Status>> + Send + use<>, Error> {
        let caller = self.caller(&request)?;
        let peer = peer(&request);
        let request: pb::SubscribeRequest = decode(request.into_inner())?;
        let asked = request.filter.unwrap_or_default();
        let filter = compile(Some(&asked), caller.grants().read()).await?;
        let start = start(request.start)?;
        let read = Read {
            principal: caller.principal(),
            peer: &peer,
            rpc: RPC,
            asked: &asked,
            start_time: None,
            end_time: None,
        };
        // Before the stream begins: it is not the first that comes.
        self.auditor.read(&filter, read).await;
        let peer_of_stream = peer.clone();
        let subscriber = Subscriber::new(peer, asked.clone()).named(caller.principal());
        let query = Query::new(Arc::clone(&filter));
        let subscription =
            self.hub.subscribe(query, start, subscriber).await.map_err(Error::Read)?;
        let session = Session::new(&self.access, caller);
        let auditor = self.auditor.clone();
        let open = Open { subscription, session, asked, filter, auditor, peer: peer_of_stream };
        Ok(stream::unfold(State::Open(Box::new(open)), State::step))
    }
}

/// A stream that goes on.
struct Open {
    subscription: Subscription,
    session: Session,
    /// What was asked for.
    asked: pb::Filter,
    /// What of it may be read.
    filter: Arc<Filter>,
    auditor: Auditor,
    peer: String,
}

impl Open {
    /// The next message. An error of access is for the reader to be told, with a
    /// cursor.
    async fn next(&mut self) -> Result<Option<Message>, Refused> {
        loop {
            let ended = match self.session.check() {
                Some(ended) => ended,
                // Both may be dropped and begun again without a loss. Where there is
                // a message, nobody waits for the other.
                None => tokio::select! {
                    biased;
                    message = self.subscription.next() => return message.map_err(Refused::Log),
                    ended = self.session.changed() => ended,
                },
            };
            match ended {
                Ended::Refused(error) => return Err(Refused::Access(error)),
                Ended::Changed(caller) => self.go_on(&caller).await.map_err(Refused::Access)?,
            }
        }
    }

    /// Goes on as the roles are now: with more, but not with less.
    async fn go_on(&mut self, caller: &Caller) -> Result<(), access::Error> {
        caller.grants().permit(Rule::Read)?;
        if !self.filter.is_within(caller.grants().read()) {
            return Err(access::Error::TypesForbidden);
        }
        let filter = compile(Some(&self.asked), caller.grants().read()).await;
        // What was acceptable before, and is within what may be read, is acceptable.
        if let Ok(filter) = filter {
            self.filter = Arc::clone(&filter);
            self.subscription.set_query(Query::new(filter));
        }
        Ok(())
    }
}

/// Why a stream has no next message.
enum Refused {
    Access(access::Error),
    Log(log::Error),
}

fn start(start: Option<pb::subscribe_request::Start>) -> Result<Start, Error> {
    use pb::subscribe_request::Start as Requested;
    Ok(match start {
        None => Start::Latest,
        Some(Requested::Position(number)) => match pb::Position::try_from(number) {
            Ok(pb::Position::Unspecified | pb::Position::Latest) => Start::Latest,
            Ok(pb::Position::Earliest) => Start::Earliest,
            Err(_) => {
                return Err(Error::EnumValue {
                    field: "position",
                    value: number,
                    name: "Position",
                });
            }
        },
        Some(Requested::Since(since)) => Start::Since(time("since", &since)?),
        Some(Requested::Cursor(cursor)) => {
            Start::Cursor(Cursor::parse(&cursor).map_err(Error::Cursor)?)
        }
    })
}

/// How a stream ends: with a last cursor, then with a status.
enum State {
    Open(Box<Open>),
    /// The last cursor is sent; then comes this.
    Ending(Error),
    Over,
}

impl State {
    async fn step(self) -> Option<(Result<Framed, Status>, Self)> {
        match self {
            State::Open(mut open) => {
                let next = open.next().await;
                let cursor = open.subscription.cursor();
                match next {
                    Ok(Some(message)) => Some((Ok(message.response), State::Open(open))),
                    Ok(None) => Some(Self::end(cursor, Error::Stopping { cursor })),
                    Err(Refused::Access(error)) => {
                        let error = Error::AccessEnded { error, cursor };
                        open.auditor.denied(|| Denial {
                            principal: open.session.caller().principal().to_owned(),
                            peer: open.peer.clone(),
                            rpc: RPC.to_owned(),
                            reason: status::reason(&error).to_owned(),
                            message: error.to_string(),
                        });
                        Some(Self::end(cursor, error))
                    }
                    Err(Refused::Log(error)) => Some((Err(Error::Read(error).into()), State::Over)),
                }
            }
            State::Ending(error) => Some((Err(error.into()), State::Over)),
            State::Over => None,
        }
    }

    fn end(cursor: Cursor, error: Error) -> (Result<Framed, Status>, Self) {
        let last = pb::SubscribeResponse { cursor: cursor.to_string(), ..Default::default() };
        (Ok(Framed::of(&last)), State::Ending(error))
    }
}
