//! Messages without records: signed checkpoints, and gateways' reports of themselves.

use std::time::Instant;

use super::{Core, Driver};
use crate::log::PublishedCheckpoint;
use crate::log::shared::machine::Applied;
use crate::log::shared::members::{ClusterMember, MEMBER_INTERVAL};
use crate::log::shared::message::{MessageContent, SharedMessage};
use crate::log::shared::publisher::{IN_FLIGHT_MAX, Publication};
use crate::log::shared::stream::StreamEntry;

impl Driver {
    /// The announcements that are due; none while the stream does not accept messages.
    pub(super) fn announcements(&mut self, core: &mut Core, now: Instant) -> Vec<Publication> {
        let mut publications = Vec::new();
        if self.condition.wants_probe() || core.publisher.in_flight() >= IN_FLIGHT_MAX {
            return publications;
        }
        let basis = *self.inner.applied.borrow();
        if let Some(text) = core.proposal.take() {
            publications.push(core.publisher.announce(
                MessageContent::Checkpoint(text),
                basis,
                now,
            ));
        }
        let is_due = self.told_at.is_none_or(|told| now >= told + MEMBER_INTERVAL);
        if (is_due || core.is_profile_new)
            && let Some(report) = core.profile.clone()
        {
            (self.told_at, core.is_profile_new) = (Some(now), false);
            publications.push(core.publisher.announce(MessageContent::Member(report), basis, now));
        }
        publications
    }

    /// Applies an announcement of another gateway, or of this one.
    pub(super) fn take_announcement(
        &mut self,
        entry: &StreamEntry,
        message: SharedMessage,
        applied: &Applied,
    ) {
        let inner = &self.inner;
        let machine = inner.machine.lock();
        let mut core = inner.lock();
        if applied.disagreement.is_some() {
            inner.checkpoints.wake();
        }
        core.members.at(entry.timestamp);
        let SharedMessage { sender, counter, basis, content } = message;
        // What was recorded once, and is sent again, is no news.
        if !machine.is_fresh(entry.position, basis.position) {
            return;
        }
        match content {
            MessageContent::Checkpoint(text) => {
                let records = machine.state().count;
                drop((core, machine));
                inner.checkpoints.push(PublishedCheckpoint { text, records });
            }
            MessageContent::Member(report) => {
                let (position, time) = (entry.position, entry.timestamp);
                core.members.note(ClusterMember { sender, counter, report, basis, position, time });
                let own = core.profile.clone().unwrap_or_default();
                let differences = core.members.differences(&own, core.publisher.sender());
                if core.differences != differences {
                    for difference in &differences {
                        if !core.differences.contains(difference) {
                            tracing::warn!("{difference}");
                        }
                    }
                    core.differences = differences;
                }
            }
            MessageContent::Group(_) | MessageContent::Epoch(_) => {}
        }
    }
}
