//! Writes new records to standard output as they arrive, for `tail` and `search --follow`.

use std::time::Duration;

use prost_types::Timestamp as Stamp;
use tokio::time::Instant;

use super::output::RecordPrinter;
use super::{Error, ExitKind, say};
use crate::client::{Item, Refusal, Subscriber};
use crate::proto::pb;

/// When following ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StopCondition {
    Never,
    /// After the newest record.
    CaughtUp,
    /// After the newest record, or at a record accepted at this time or later.
    CaughtUpOrAccepted(Stamp),
    /// At a record accepted at this time or later, or when this time has come.
    At(Stamp, Instant),
}

impl StopCondition {
    fn is_past(self, record: &pb::Record) -> bool {
        let (StopCondition::CaughtUpOrAccepted(until) | StopCondition::At(until, _)) = self else {
            return false;
        };
        let accepted = record.accept_time.unwrap_or_default();
        (accepted.seconds, accepted.nanos) >= (until.seconds, until.nanos)
    }

    async fn come(self) {
        match self {
            StopCondition::At(_, instant) => tokio::time::sleep_until(instant).await,
            _ => std::future::pending().await,
        }
    }
}

/// Writes the items of a subscriber. Calls `keep` with each cursor after the records that it
/// covers were written.
pub async fn follow(
    mut subscriber: Subscriber,
    printer: &mut RecordPrinter,
    keep: impl Fn(&str) -> Result<(), Error>,
    end: StopCondition,
) -> Result<ExitKind, Error> {
    let mut trouble = ConnectionNotice::default();
    let mut caught_up = false;
    printer.live();
    loop {
        let item = tokio::select! {
            item = subscriber.next() => item?,
            () = end.come() => return Ok(ExitKind::All),
        };
        match item {
            Item::Record(record) if end.is_past(&record) => return Ok(ExitKind::All),
            Item::Record(record) => printer.record(&record)?,
            Item::Gap(gap) => printer.gap(&gap)?,
            Item::CaughtUp => caught_up = true,
            Item::Checkpoint(cursor) => {
                printer.flush()?;
                keep(&cursor)?;
                if caught_up
                    && matches!(end, StopCondition::CaughtUp | StopCondition::CaughtUpOrAccepted(_))
                {
                    return Ok(ExitKind::All);
                }
            }
            // The client's notice reports that another gateway is used.
            Item::Lost { next: Some(_), .. } => {}
            Item::Lost { reason, retry_in, next: None } => trouble.tell(&reason, retry_in),
            Item::Regained => trouble.over(),
        }
    }
}

/// Reports a lost connection once, however many attempts follow.
#[derive(Debug, Default)]
struct ConnectionNotice {
    told: Option<String>,
}

impl ConnectionNotice {
    fn tell(&mut self, reason: &Refusal, retry_in: Duration) {
        let reason = reason.to_string();
        if self.told.as_ref() != Some(&reason) {
            say(&format!(
                "connection lost: {reason}; retrying in {:.1} s and until it is back",
                retry_in.as_secs_f64()
            ));
            self.told = Some(reason);
        }
    }

    fn over(&mut self) {
        if self.told.take().is_some() {
            say("connected again");
        }
    }
}
