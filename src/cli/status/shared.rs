//! Describes the state of a shared log.

use crate::cli::numbers::{counted, grouped};
use crate::proto::pb;

/// The position of the gateway in the stream, and its publications.
pub fn shared(shared: &pb::SharedLogStatus) -> String {
    let server = match shared.server.as_str() {
        "" => "not connected".to_owned(),
        server => format!("connected to {server}"),
    };
    let copies = counted(shared.replicas.max(1).into(), "replica");
    let lag = match shared.lag {
        0 => "nothing behind".to_owned(),
        lag => format!("{} behind", counted(lag, "message")),
    };
    format!(
        "{}, {copies}, {server}: message {}, {lag}, {} in flight, {} waiting",
        shared.stream,
        grouped(shared.position),
        grouped(shared.in_flight),
        grouped(shared.pending),
    )
}

/// The numbers of repeated and refused messages; `None` if there are none.
pub fn again(shared: &pb::SharedLogStatus) -> Option<String> {
    let records = shared.seen + shared.void + shared.stale;
    let parts = [
        (shared.repeats, "message", "published again"),
        (records, "record", "looked up again"),
        (shared.invalid, "message", "not authentic"),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<_> =
        parts.map(|(count, what, how)| format!("{} {how}", counted(count, what))).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A row for each problem.
pub fn problems(shared: &pb::SharedLogStatus) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if shared.disagreements > 0 {
        rows.push(("DISAGREES", shared.disagreement.clone()));
    }
    rows.extend(shared.warnings.iter().map(|warning| ("WARNING", warning.clone())));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_where_the_gateway_is_and_what_is_wrong() {
        let mut status = pb::SharedLogStatus {
            stream: "AUDIT_main".into(),
            server: "n1".into(),
            replicas: 3,
            position: 12_345,
            stream_end: 12_346,
            lag: 1,
            in_flight: 3,
            ..Default::default()
        };
        assert_eq!(
            shared(&status),
            "AUDIT_main, 3 replicas, connected to n1: message 12,345, 1 message behind, 3 in flight, 0 waiting"
        );
        assert_eq!((again(&status), problems(&status)), (None, vec![]));
        status.server.clear();
        (status.repeats, status.stale, status.void, status.invalid) = (2, 1, 1, 1);
        assert!(shared(&status).contains("not connected"));
        assert_eq!(
            again(&status).unwrap(),
            "2 messages published again, 2 records looked up again, 1 message not authentic"
        );
        status.warnings = vec!["too small".into()];
        (status.disagreements, status.disagreement) = (1, "two states".into());
        let rows = [("DISAGREES", "two states".to_owned()), ("WARNING", "too small".to_owned())];
        assert_eq!(problems(&status), rows);
    }
}
