//! When units become a message. It costs the servers 1.1 to 1.8 ms of processor time, and each
//! gateway some wake-ups, however many records it has: so many records should share it.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::in_flight::GroupSize;
use crate::log::disk::GroupCommit;
use crate::log::shared::message::group::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX};

/// So many messages are on their way at most. With more, groups get small.
pub const IN_FLIGHT_MAX: usize = 2;
/// While another message is on its way, units wait until they are so many at least,
const SECOND_MESSAGE_MIN: GroupSize = GroupSize { records: 256, bytes: 96 * 1024 };
/// but not for more than so many times as long as messages take of late,
const GATHER_TRIPS: u32 = 2;
/// within these bounds.
pub const GATHER_TIMES: RangeInclusive<Duration> =
    Duration::from_millis(2)..=Duration::from_millis(20);

/// What waits, and what is on its way.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many units wait.
    pub calls: usize,
    /// How large they are.
    pub pending: GroupSize,
    /// How many messages are on their way.
    pub messages: usize,
    /// How large they are.
    pub in_flight: GroupSize,
}

/// Decides how long units wait for more.
#[derive(Debug, Default)]
pub struct Gathering {
    until: Option<Instant>,
    /// The calls that the next message waits for, if none is on its way.
    group_commit: GroupCommit,
}

impl Gathering {
    /// A message was applied, which answers so many calls.
    pub fn after(&mut self, records: usize, answered: usize, waiting: usize, now: Instant) {
        let group_commit = GroupCommit::after(records as u64, answered, waiting, now);
        *self = Self { until: None, group_commit };
    }

    /// Whether what waits is published at once. One message is not followed by a few units that
    /// happen to come first: it waits until they are many, and a fair share of what is under way,
    /// which soon makes messages equal. Where there are fewer, all go together, as in a group
    /// commit: it waits for the calls that the last message has answered, which soon call again.
    pub fn is_worth_a_message(&self, load: Load) -> bool {
        if load.messages == 0 {
            return load.calls >= self.group_commit.calls;
        }
        let GroupSize { records, bytes } = load.pending;
        let all = load.pending.with(load.in_flight);
        let is_share = records >= all.records.div_ceil(IN_FLIGHT_MAX).min(GROUP_RECORDS_MAX);
        let is_many = records >= SECOND_MESSAGE_MIN.records || bytes >= SECOND_MESSAGE_MIN.bytes;
        is_share && is_many || bytes >= GROUP_BYTES_MAX
    }

    /// Whether units are gathered until they are worth a message, or have waited long enough;
    /// messages take so long of late.
    pub fn waits(&mut self, load: Load, trip: Option<Duration>, now: Instant) -> bool {
        self.until = if load.calls == 0 {
            None
        } else if load.messages == 0 {
            let left = self.group_commit.time_left(load.calls, load.pending.records as u64, now);
            left.map(|left| now + left)
        } else if self.is_worth_a_message(load) {
            None
        } else {
            let (least, most) = GATHER_TIMES.into_inner();
            let time = trip.map_or(least, |trip| (GATHER_TRIPS * trip).clamp(least, most));
            self.until.or(Some(now + time)).filter(|until| now < *until)
        };
        self.until.is_some()
    }

    /// Until when units wait, if nothing happens before.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}
