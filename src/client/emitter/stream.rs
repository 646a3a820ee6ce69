//! One stream of events to the gateway, until it ends.

use std::collections::VecDeque;
use std::pin::Pin;

use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, IntoStreamingRequest as _, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::client::{CALL_TIME_MAX, Client, RESPONSE_BYTES_MAX, Refusal, Violation};
use crate::proto::pb;

/// The number of requests that may wait for the connection. The queue of the emitter bounds the
/// rest.
const REQUESTS_WAITING: usize = 4;
/// The path of the RPC.
const EMIT_STREAM: &str = "/auditgate.v1.AuditService/EmitStream";
/// The prefix of reason names in the protocol.
const REASON_PREFIX: &str = "ERROR_REASON_";

/// `EmitStreamRequest` with encoded events; its encoding is the same.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EncodedRequest {
    /// The events.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) events: Vec<Bytes>,
    /// Only validates the events.
    #[prost(bool, tag = "2")]
    pub(super) validate_only: bool,
}

/// An open stream with its unanswered events.
pub(super) struct EventStream {
    /// The number of its gateway.
    server: usize,
    requests: mpsc::Sender<EncodedRequest>,
    answers: ResponseState,
    /// For each unanswered request, the number of events that the stream had carried up to its end.
    ends: VecDeque<u64>,
    /// The number of sent events.
    sent: u64,
    /// The number of answered events.
    answered: u64,
    /// When the gateway last answered, or the stream last had no unanswered events.
    heard: Instant,
}

type Opened = Result<Response<Streaming<pb::EmitStreamResponse>>, Refusal>;

enum ResponseState {
    /// The response has not begun; requests are sent nevertheless.
    Opening(Pin<Box<dyn Future<Output = Opened> + Send>>),
    Open(Box<Streaming<pb::EmitStreamResponse>>),
}

/// The outcome of an event: a receipt without the id, or a refusal.
pub(super) type EventOutcome = Result<pb::Receipt, Refusal>;

impl EventStream {
    /// Begins to open a stream.
    pub(super) fn open(client: &Client) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS_WAITING);
        let (client, server) = (client.clone(), client.servers.current());
        let opening = open(client, server, waiting);
        Self {
            server,
            requests,
            answers: ResponseState::Opening(Box::pin(opening)),
            ends: VecDeque::new(),
            sent: 0,
            answered: 0,
            heard: Instant::now(),
        }
    }

    /// The number of its gateway.
    pub(super) fn server(&self) -> usize {
        self.server
    }

    /// Waits until another request can be sent. It waits for ever if the stream has ended, which
    /// [`EventStream::next`] returns.
    pub(super) fn room(&self) -> impl Future<Output = mpsc::OwnedPermit<EncodedRequest>> + 'static {
        let requests = self.requests.clone();
        async {
            match requests.reserve_owned().await {
                Ok(permit) => permit,
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Sends a request.
    pub(super) fn send(
        &mut self,
        permit: mpsc::OwnedPermit<EncodedRequest>,
        request: EncodedRequest,
    ) {
        if self.sent == self.answered {
            self.heard = Instant::now();
        }
        self.sent += request.events.len() as u64;
        self.ends.push_back(self.sent);
        permit.send(request);
    }

    /// The number of unanswered events.
    pub(super) fn unanswered(&self) -> u64 {
        self.sent - self.answered
    }

    /// The number of events in the first unanswered request.
    pub(super) fn first_unanswered(&self) -> u64 {
        self.ends.front().map_or(0, |end| end - self.answered)
    }

    /// The next outcomes, one for each event, in the order of the events. Cancelling loses
    /// nothing.
    ///
    /// # Errors
    /// Why the stream ended.
    pub(super) async fn next(&mut self) -> Result<Vec<EventOutcome>, Refusal> {
        let timed_out = self.heard + CALL_TIME_MAX;
        let waiting = self.unanswered() > 0;
        let response = tokio::select! {
            response = self.answers.next() => response?,
            () = tokio::time::sleep_until(timed_out), if waiting => {
                return Err(Refusal::timed_out(CALL_TIME_MAX));
            }
        };
        self.heard = Instant::now();
        let outcomes = outcomes(&response, self.answered, self.sent).ok_or_else(|| {
            Refusal::protocol("the responses do not match the events that were sent")
        })?;
        self.answered = response.answered;
        while self.ends.front().is_some_and(|end| *end <= self.answered) {
            self.ends.pop_front();
        }
        Ok(outcomes)
    }

    /// Ends the requests, and waits until the gateway has ended the stream: the gateway counts a
    /// stream that is dropped earlier as cancelled.
    pub(super) async fn finish(self) {
        let Self { requests, mut answers, .. } = self;
        drop(requests);
        let end = async { while answers.next().await.is_ok() {} };
        // All events are settled, however the stream ends.
        let _ = tokio::time::timeout(CALL_TIME_MAX, end).await;
    }
}

/// Calls EmitStream like the generated client, with encoded events.
async fn open(client: Client, server: usize, waiting: mpsc::Receiver<EncodedRequest>) -> Opened {
    client.servers.check(server).await?;
    let transport = client.servers.transport(server);
    let mut grpc = Grpc::new(transport).max_decoding_message_size(RESPONSE_BYTES_MAX);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unknown(format!("service was not ready: {error}")))?;
    let codec = ProstCodec::<EncodedRequest, pb::EmitStreamResponse>::default();
    let path = PathAndQuery::from_static(EMIT_STREAM);
    let requests = ReceiverStream::new(waiting).into_streaming_request();
    Ok(grpc.streaming(requests, path, codec).await?)
}

impl ResponseState {
    async fn next(&mut self) -> Result<pb::EmitStreamResponse, Refusal> {
        loop {
            match self {
                ResponseState::Opening(opening) => {
                    *self = ResponseState::Open(Box::new(opening.await?.into_inner()));
                }
                ResponseState::Open(answers) => {
                    return answers.message().await?.ok_or_else(Refusal::ended);
                }
            }
        }
    }
}

/// The outcomes in a response of the events from `first` to the one before `response.answered`;
/// `None` if they are not exactly one for each event.
fn outcomes(response: &pb::EmitStreamResponse, first: u64, sent: u64) -> Option<Vec<EventOutcome>> {
    if response.answered > sent {
        return None;
    }
    let count = usize::try_from(response.answered.checked_sub(first)?).ok()?;
    let mut outcomes: Vec<Option<EventOutcome>> = Vec::new();
    outcomes.resize_with(count, || None);
    let mut tell = |event: u64, outcome| {
        let place = usize::try_from(event.checked_sub(first)?).ok()?;
        outcomes.get_mut(place)?.replace(outcome).is_none().then_some(())
    };
    for range in &response.receipts {
        // Checked first, because a range can claim any length.
        let end = range.first_event.checked_add(range.event_count)?;
        if end > response.answered {
            return None;
        }
        for place in 0..range.event_count {
            let sequence = match range.first_sequence {
                // The event was only validated.
                0 => 0,
                first => first.checked_add(place)?,
            };
            let receipt = pb::Receipt {
                id: String::new(),
                sequence,
                accept_time: range.accept_time,
                duplicate: range.duplicate,
                amendments: Vec::new(),
            };
            tell(range.first_event + place, Ok(receipt))?;
        }
    }
    for refusal in &response.refusals {
        tell(refusal.event, Err(refusal_of(refusal)))?;
    }
    outcomes.into_iter().collect()
}

fn refusal_of(refusal: &pb::Refusal) -> Refusal {
    let reason = refusal.reason().as_str_name();
    let blamed = !refusal.field.is_empty();
    let violation =
        || Violation { field: refusal.field.clone(), description: refusal.message.clone() };
    Refusal {
        code: Code::from(refusal.code),
        message: refusal.message.clone(),
        reason: Some(reason.strip_prefix(REASON_PREFIX).unwrap_or(reason).to_owned()),
        violations: blamed.then(violation).into_iter().collect(),
        place: None,
        retry_after: None,
        transient: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(ranges: &[(u64, u64, u64)], refused: &[u64]) -> pb::EmitStreamResponse {
        let range =
            |(first_event, event_count, first_sequence): &(u64, u64, u64)| pb::ReceiptRange {
                first_event: *first_event,
                event_count: *event_count,
                first_sequence: *first_sequence,
                ..Default::default()
            };
        let refusal = |event: &u64| pb::Refusal {
            event: *event,
            code: Code::InvalidArgument as i32,
            message: "no".into(),
            reason: pb::ErrorReason::IdTooLong.into(),
            field: "event.id".into(),
        };
        pb::EmitStreamResponse {
            receipts: ranges.iter().map(range).collect(),
            refusals: refused.iter().map(refusal).collect(),
            answered: 10,
            ..Default::default()
        }
    }

    #[test]
    fn each_event_gets_its_answer() {
        let told = outcomes(&response(&[(4, 2, 70), (7, 3, 0)], &[6]), 4, 12).expect("complete");
        let told: Vec<_> = told
            .into_iter()
            .map(|outcome| match outcome {
                Ok(receipt) => (receipt.sequence, None),
                Err(refusal) => (0, Some((refusal.code, refusal.reason.expect("there is one")))),
            })
            .collect();
        let refused = Some((Code::InvalidArgument, "ID_TOO_LONG".to_owned()));
        assert_eq!(told, [(70, None), (71, None), (0, refused), (0, None), (0, None), (0, None)]);
    }

    #[test]
    fn answers_that_do_not_fit_are_noticed() {
        let wrong = [
            response(&[(4, 5, 70)], &[]),
            response(&[(4, 6, 70)], &[4]),
            response(&[(4, 7, 70)], &[]),
            response(&[(3, 7, 70)], &[]),
            response(&[(4, u64::MAX, 70)], &[]),
            response(&[(4, 6, u64::MAX)], &[]),
            response(&[(4, 6, 70)], &[11]),
        ];
        for response in wrong {
            assert!(outcomes(&response, 4, 12).is_none(), "{response:?}");
        }
        assert!(outcomes(&response(&[(4, 6, 70)], &[]), 4, 9).is_none(), "not so many were sent");
        assert!(outcomes(&response(&[], &[]), 11, 12).is_none(), "fewer than before");
    }
}
