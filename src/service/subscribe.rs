//! Subscribe.

use bytes::Bytes;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Status};

use crate::hub::{Start, Subscriber, Subscription};
use crate::log::Query;
use crate::log::cursor::Cursor;
use crate::proto::codec::Framed;
use crate::proto::pb;
use crate::service::range::{compile, time};
use crate::service::{Error, Service, decode, peer};

impl Service {
    /// Opens a subscription, and returns its responses. Its last item is the
    /// status with which it ends.
    pub(super) async fn open_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<impl Stream<Item = Result<Framed, Status>> + Send + use<>, Error> {
        let peer = peer(&request);
        let request: pb::SubscribeRequest = decode(request.into_inner())?;
        let query = Query::new(compile(request.filter.as_ref()).await?);
        let start = start(request.start)?;
        let subscriber = Subscriber::new(peer, request.filter.unwrap_or_default());
        let subscription =
            self.hub.subscribe(query, start, subscriber).await.map_err(Error::Read)?;
        Ok(stream::unfold(State::Open(subscription), State::step))
    }
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
    Open(Subscription),
    Stopping(Cursor),
    Over,
}

impl State {
    async fn step(self) -> Option<(Result<Framed, Status>, Self)> {
        match self {
            State::Open(mut subscription) => match subscription.next().await {
                Ok(Some(message)) => Some((Ok(message.response), State::Open(subscription))),
                Ok(None) => {
                    let cursor = subscription.cursor();
                    let last =
                        pb::SubscribeResponse { cursor: cursor.to_string(), ..Default::default() };
                    Some((Ok(Framed::of(&last)), State::Stopping(cursor)))
                }
                Err(error) => Some((Err(Error::Read(error).into()), State::Over)),
            },
            State::Stopping(cursor) => Some((Err(Error::Stopping { cursor }.into()), State::Over)),
            State::Over => None,
        }
    }
}
