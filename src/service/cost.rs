//! Estimates the memory that the work on a request takes beside the request itself.

use crate::access::Method;
use crate::event::EVENT_BYTES_MAX;
use crate::service::BATCH_EVENTS_MAX;

/// Memory of an event that is being appended beside its bytes, with its receipt.
pub const EVENT_WORK_BYTES: usize = 512;
/// The most bytes of an answer: the default limit of gRPC clients.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most bytes of an answer about the catalog or the tree.
const SMALL_ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The most bytes of a record, with what the gateway adds to the event.
const RECORD_BYTES_MAX: usize = EVENT_BYTES_MAX + 64 * 1024;
/// The size of a decoded and compiled filter, as a multiple of its encoded size: a value of two
/// bytes becomes a string of 24.
const FILTER_FACTOR: usize = 16;

/// How the memory for the work on a request depends on its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The most events of a request.
    events_max: usize,
    /// How many copies of the request the work makes at most.
    copies: usize,
    /// The most bytes of the answer.
    answer: usize,
}

impl Cost {
    /// The cost of a request of another service, which the charge of a call covers.
    pub const NONE: Self = Self { events_max: 0, copies: 0, answer: 0 };

    /// The cost of a method of the service.
    pub fn of(method: Method) -> Self {
        let answers = |answer| Self { events_max: 0, copies: 1, answer };
        match method {
            // Redaction copies events.
            Method::Emit => Self { events_max: 1, copies: 1, answer: 0 },
            Method::EmitBatch | Method::EmitStream => {
                Self { events_max: BATCH_EVENTS_MAX, copies: 1, answer: 0 }
            }
            Method::Subscribe => Self { copies: FILTER_FACTOR, ..answers(0) },
            Method::GetRecord => answers(2 * RECORD_BYTES_MAX),
            Method::GetInclusionProof => answers(4 * RECORD_BYTES_MAX),
            Method::CheckFilter => {
                Self { copies: FILTER_FACTOR, ..answers(SMALL_ANSWER_BYTES_MAX) }
            }
            Method::ListEventTypes | Method::GetCheckpoint | Method::GetConsistencyProof => {
                answers(SMALL_ANSWER_BYTES_MAX)
            }
            Method::Search
            | Method::CountRecords
            | Method::TopValues
            | Method::GetStatus
            | Method::ListDeliveries
            | Method::ControlDelivery
            | Method::GetCaller => Self { copies: FILTER_FACTOR, ..answers(ANSWER_BYTES_MAX) },
        }
    }

    /// The most memory that the work on a request of this size takes.
    pub fn of_request(self, bytes: usize) -> usize {
        // An event in a request has at least two bytes.
        let events = self.events_max.min(bytes / 2 + 1);
        self.copies * bytes + events * EVENT_WORK_BYTES + self.answer
    }

    /// The memory for a request with this number of bytes and events.
    pub fn of_events(bytes: usize, events: usize) -> usize {
        bytes + events * EVENT_WORK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_no_more_than_its_bytes_can_hold() {
        let batch = Cost::of(Method::EmitBatch);
        assert_eq!(batch.of_request(10), 10 + 6 * EVENT_WORK_BYTES);
        let largest = 4 * 1024 * 1024;
        assert_eq!(batch.of_request(largest), largest + BATCH_EVENTS_MAX * EVENT_WORK_BYTES);
        assert_eq!(Cost::of(Method::Emit).of_request(300), 300 + EVENT_WORK_BYTES);
        assert_eq!(Cost::of(Method::Search).of_request(100), 1_600 + ANSWER_BYTES_MAX);
        assert_eq!(Cost::NONE.of_request(100), 0);
    }
}
