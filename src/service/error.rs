//! Errors of calls.

use std::time::Duration;

use crate::access;
use crate::delivery;
use crate::event;
use crate::filter;
use crate::hub::{SubscribeError, count, path, search, top};
use crate::log;
use crate::log::cursor;
use crate::proof::prover;
use crate::record::Sequence;
use crate::service::quota::{HeldKind, RateKind};

/// Why a call is refused. `status.rs` gives each its code, reason and fields.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be decoded.
    #[error("request is not valid: {0}")]
    Malformed(prost::DecodeError),
    /// The request is too large.
    #[error("request is {}, limit {limit} bytes", bytes.map_or_else(|| "larger than the limit once decompressed".to_owned(), |bytes| format!("{bytes} bytes")))]
    RequestTooLarge {
        /// Its size, if known.
        bytes: Option<usize>,
        /// The limit.
        limit: usize,
    },
    /// The compression of the message is not supported.
    #[error(
        "the request is compressed by {0:?}, which is not accepted: use gzip, zstd or identity"
    )]
    Compression(String),
    /// The call is not framed as gRPC requires, or badly compressed.
    #[error("request is not framed as a gRPC call: {0}")]
    Framing(String),
    /// The client ended the request before it was complete, or violated HTTP/2.
    #[error("the request ended before it was complete: {0}")]
    RequestCutOff(String),
    /// The method does not exist.
    #[error("unknown method {0}: list the methods with grpcurl HOST list {name}", name = crate::service::NAME)]
    MethodUnknown(String),
    /// The method is not one of those that browsers may call.
    #[error("method {0} is not served to browsers, which only read: call it on the gRPC port")]
    MethodNotForBrowsers(String),
    /// A method that takes one message got several.
    #[error("the request has more than one message, and this method takes one")]
    SeveralMessages,
    /// The event of Emit is not valid.
    #[error("{0}")]
    Event(event::Error),
    /// Events of a batch are not valid.
    #[error("{}", batch_sentence(errors, *total))]
    Events {
        /// Position and error of the first of them; never empty.
        errors: Vec<(usize, event::Error)>,
        /// The number of events.
        total: usize,
    },
    /// The batch has no events.
    #[error("events is empty: a batch has at least one event")]
    BatchEmpty,
    /// The batch has too many events.
    #[error("events has {0} events, limit {max}", max = crate::service::BATCH_EVENTS_MAX)]
    BatchTooLarge(usize),
    /// The log refuses an event of Emit, or of a batch.
    #[error("{error}")]
    Append {
        /// The reason.
        error: log::Error,
        /// Whether the request was a batch.
        batch: bool,
    },
    /// The log cannot be read.
    #[error("{}", read_sentence(.0))]
    Read(log::Error),
    /// A subscription cannot start.
    #[error("{}", subscribe_sentence(.0))]
    Subscribe(SubscribeError),
    /// The emitter does not read responses.
    #[error(
        "the client did not read responses for {seconds} s, so the gateway stopped reading events: read the responses, and resend from event {answered}"
    )]
    AnswersNotRead {
        /// How long the gateway waited.
        seconds: u64,
        /// Number of the first event without an answer.
        answered: u64,
    },
    /// The gateway is stopping, and accepts no more events.
    #[error("the gateway is stopping: emit again, with the same id, once it is back")]
    StoppingCall,
    /// The gateway is stopping during a stream of events.
    #[error("the gateway is stopping: send again from event {answered}")]
    StoppingEmit {
        /// Number of the first event without an answer.
        answered: u64,
    },
    /// The request stream failed.
    #[error("{}", .0.message())]
    Broken(tonic::Status),
    /// The filter is not valid.
    #[error("filter.{0}")]
    Filter(filter::Error),
    /// A time of the request is not valid.
    #[error(
        "{field} is not a valid timestamp: seconds must lie within the years 1 to 9999, nanos within 0 to 999999999"
    )]
    TimeInvalid {
        /// The field.
        field: &'static str,
    },
    /// The time range is empty.
    #[error("start_time {start} is not before end_time {end}")]
    TimesContradict {
        /// The start.
        start: String,
        /// The end.
        end: String,
    },
    /// The cursor is not valid.
    #[error("cursor {0}")]
    Cursor(cursor::Malformed),
    /// The page token is not valid.
    #[error("page_token {0}")]
    PageToken(cursor::Malformed),
    /// The search cannot continue.
    #[error("{0}")]
    Search(search::Error),
    /// The page size is negative.
    #[error("page_size is {0}: it must not be negative; 0 means {size}", size = crate::service::PAGE_SIZE)]
    PageSize(i32),
    /// The enum has no such value.
    #[error("{field} is {value}, which is not a value of {name}")]
    EnumValue {
        /// The field.
        field: &'static str,
        /// The number.
        value: i32,
        /// Name of the enum.
        name: &'static str,
    },
    /// The request has no fields, or too many.
    #[error("fields has {0} paths: it must have 1 to {max}", max = top::FIELDS_MAX)]
    FieldCount(usize),
    /// A path does not lead to a single value.
    #[error("fields[{position}]: {error}")]
    Field {
        /// Its position.
        position: usize,
        /// The error.
        error: path::Error,
    },
    /// The limit is negative.
    #[error("limit is {0}: it must not be negative; 0 means {size}", size = top::VALUES)]
    Limit(i32),
    /// The prefix is too long.
    #[error("prefix is {0} bytes, limit {max}", max = top::VALUE_BYTES_MAX)]
    PrefixTooLong(usize),
    /// The bucket is not a positive duration.
    #[error("bucket must be a valid duration of 1 nanosecond to 292 years")]
    Bucket,
    /// The time range has too many buckets.
    #[error("start_time to end_time holds {buckets} buckets, limit {max}: make bucket longer or the time range shorter", max = crate::hub::BUCKETS_MAX)]
    TooManyBuckets {
        /// The number of buckets.
        buckets: u64,
    },
    /// The response would be too large for clients.
    #[error(
        "counts are {bytes} bytes, limit {limit}: make bucket longer, or the filter or the time range narrower"
    )]
    CountsTooLarge {
        /// The size of the response.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The records cannot be counted.
    #[error("{0}")]
    Count(count::Error),
    /// The request has no key.
    #[error("key is missing: set id or sequence")]
    KeyMissing,
    /// There is no record with this id.
    #[error("no record with the id {id:?} is kept")]
    IdNotFound {
        /// The beginning of the id.
        id: String,
    },
    /// There is no record with this sequence.
    #[error("record {sequence} is not kept: {}", kept_range(*first, *last))]
    SequenceNotFound {
        /// The sequence.
        sequence: Sequence,
        /// The oldest record kept.
        first: Sequence,
        /// The newest record.
        last: Sequence,
    },
    /// The principal exceeds a rate limit.
    #[error(
        "{what} exceed the rate limit of {limit} a second: retry in {} ms", wait.as_millis() + 1, what = rate.name()
    )]
    TooFast {
        /// The kind of the rate.
        rate: RateKind,
        /// The limit a second.
        limit: u64,
        /// The time until the next one is accepted.
        wait: Duration,
    },
    /// The caller makes too many distinct reads.
    #[error(
        "reads with different filters, or of different records, come too fast for their records in the log: try again in {} ms", wait.as_millis() + 1
    )]
    ReadsTooFast {
        /// The time until the next one is accepted.
        wait: Duration,
    },
    /// The range of sequences is empty.
    #[error("first_sequence {first} is greater than last_sequence {last}")]
    SequencesContradict {
        /// The first sequence.
        first: u64,
        /// The last sequence.
        last: u64,
    },
    /// The principal, or all principals together, exceed a limit.
    #[error("there are too many {} {}, limit {limit}", what.name(), if *total { "in all" } else { "of yours" })]
    TooMany {
        /// The kind of the limit.
        what: HeldKind,
        /// The limit.
        limit: usize,
        /// Whether it is the limit of all principals together.
        total: bool,
    },
    /// The deadline of the call has passed.
    #[error("the call's deadline of {} ms has passed: the call may have taken effect", asked.as_millis())]
    DeadlineExceeded {
        /// The timeout of the client.
        asked: Duration,
    },
    /// The request arrives too slowly.
    #[error("the gateway received {bytes} bytes of a message in {seconds} s: send at least {rate} bytes a second", rate = crate::service::REQUEST_BYTES_PER_SECOND_MIN)]
    RequestTooSlow {
        /// The received bytes.
        bytes: usize,
        /// The time in which they arrived.
        seconds: u64,
    },
    /// There is no record with this sequence that the reader may read.
    #[error("no record {0} that you may read is kept")]
    SequenceHidden(Sequence),
    /// Authentication or authorization failed.
    #[error("{0}")]
    Access(access::Error),
    /// The reader of an open stream lost its rights.
    #[error("{error}: what was read ends at the cursor {cursor}")]
    AccessEnded {
        /// The error.
        error: access::Error,
        /// The cursor at the end of the stream.
        cursor: cursor::Cursor,
    },
    /// The gateway keeps no tree.
    #[error(
        "this gateway keeps no Merkle tree, so it cannot prove anything: start it with --merkle or --data-dir"
    )]
    ProofOff,
    /// The prover cannot make a proof.
    #[error("{0}")]
    Proof(prover::Error),
    /// The delivery refuses the request.
    #[error("{0}")]
    Delivery(delivery::ControlError),
    /// The action needs a sequence.
    #[error("sequence is missing: say up to which record to skip")]
    SequenceMissing,
    /// The action does not take a sequence.
    #[error("sequence has no meaning with this action: leave it out")]
    SequenceUnexpected,
    /// The gateway stops.
    #[error("the gateway is stopping: resume with the cursor {cursor}")]
    Stopping {
        /// The cursor at the end of the stream.
        cursor: cursor::Cursor,
    },
}

impl Error {
    /// The time after which a retry may succeed, if known.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Error::TooFast { wait, .. } | Error::ReadsTooFast { wait } => Some(*wait),
            _ => None,
        }
    }
}

fn subscribe_sentence(error: &SubscribeError) -> String {
    match error {
        SubscribeError::CursorBeyond { .. } => error.to_string(),
        SubscribeError::Log(error) => read_sentence(error),
    }
}

fn read_sentence(error: &log::Error) -> String {
    match error {
        // The error itself is enough.
        log::Error::Behind { .. } => error.to_string(),
        error => format!("the log cannot be read: {error}"),
    }
}

fn batch_sentence(errors: &[(usize, event::Error)], total: usize) -> String {
    let first = errors.first().map(|(position, error)| format!("events[{position}]: {error}"));
    let first = first.unwrap_or_default();
    match total {
        0 | 1 => first,
        _ => format!("{first} ({total} events of the batch are refused)"),
    }
}

fn kept_range(first: Sequence, last: Sequence) -> String {
    if last < first {
        "no record is".to_owned()
    } else {
        format!("those from {first} to {last} are")
    }
}
