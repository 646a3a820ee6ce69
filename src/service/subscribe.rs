//! Subscribe.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use tonic::{Request, Status};

use crate::hub::{Gap, GapReason, Message, Start, Subscriber, Subscription};
use crate::log::cursor::Cursor;
use crate::log::{Query, Segment};
use crate::proto::codec::{Chunks, Encoded};
use crate::proto::pb;
use crate::service::range::{compile, time};
use crate::service::{Error, Responses, Service, decode, peer};

impl Service {
    pub(super) async fn open_stream(&self, request: Request<Bytes>) -> Result<Responses, Error> {
        let peer = peer(&request);
        let request: pb::SubscribeRequest = decode(request.into_inner())?;
        let query = Query::new(compile(request.filter.as_ref()).await?);
        let start = start(request.start)?;
        let subscriber = Subscriber::new(peer, request.filter.unwrap_or_default());
        let subscription =
            self.hub.subscribe(query, start, subscriber).await.map_err(Error::Read)?;
        Ok(Box::pin(stream::unfold(State::Open(subscription), State::step)))
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
    async fn step(self) -> Option<(Result<Encoded, Status>, Self)> {
        match self {
            State::Open(mut subscription) => match subscription.next().await {
                Ok(Some(message)) => Some((Ok(encode(message)), State::Open(subscription))),
                Ok(None) => {
                    let cursor = subscription.cursor();
                    let last =
                        pb::SubscribeResponse { cursor: cursor.to_string(), ..Default::default() };
                    Some((Ok(Encoded::message(&last)), State::Stopping(cursor)))
                }
                Err(error) => Some((Err(Error::Read(error).into()), State::Over)),
            },
            State::Stopping(cursor) => Some((Err(Error::Stopping { cursor }.into()), State::Over)),
            State::Over => None,
        }
    }
}

fn encode(message: Message) -> Encoded {
    // `records` is field 1 of the response, and frames carry its key: they are
    // sent as they lie in the segment.
    let rest = pb::SubscribeResponse {
        records: Vec::new(),
        gap: message.gap.map(gap),
        caught_up: message.caught_up,
        cursor: message.cursor.to_string(),
    };
    let rest = rest.encode_to_vec();
    match message.records {
        Some((segment, runs)) => Encoded::new(Parts { segment, runs, rest }),
        None => Encoded::new(Bytes::from(rest)),
    }
}

/// A gap, as responses have it.
pub fn gap(gap: Gap) -> pb::Gap {
    let reason = match gap.reason {
        GapReason::Evicted => pb::GapReason::Evicted,
        GapReason::OtherLog => pb::GapReason::OtherLog,
        GapReason::RolledBack => pb::GapReason::RolledBack,
        GapReason::Damaged => pb::GapReason::Damaged,
    };
    pb::Gap { first_sequence: gap.first.0, last_sequence: gap.last.0, reason: reason.into() }
}

/// A response whose records are still in their segment.
struct Parts {
    segment: Arc<Segment>,
    runs: Vec<Range<usize>>,
    rest: Vec<u8>,
}

impl Chunks for Parts {
    fn total_len(&self) -> usize {
        self.runs.iter().map(Range::len).sum::<usize>() + self.rest.len()
    }

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        for run in &self.runs {
            out(self.segment.bytes(run.clone()));
        }
        out(&self.rest);
    }
}
