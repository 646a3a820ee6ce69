//! The gateways of a log, as each tells the others of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::{Basis, MemberReport};
use crate::time::Time;

/// A gateway tells of itself after so long, whatever else it publishes.
pub const MEMBER_INTERVAL: Duration = Duration::from_secs(30);
/// A gateway of which nothing came for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(100);
/// More gateways than these are not remembered: those that told of themselves last are.
const MEMBERS_MAX: usize = 256;

/// A gateway of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    /// The random number of its process.
    pub sender: u64,
    /// Which of its messages told it.
    pub counter: u64,
    /// What it told.
    pub report: MemberReport,
    /// What it had applied then.
    pub basis: Basis,
    /// Where in the stream it told so.
    pub position: u64,
    /// When, by the clock of the stream.
    pub time: Time,
}

/// The gateways that have told of themselves of late.
#[derive(Debug, Default, Clone)]
pub struct Members {
    by_sender: BTreeMap<u64, ClusterMember>,
    /// The newest time of the stream.
    time: Option<Time>,
}

impl Members {
    /// A message of the stream came at this time.
    pub fn at(&mut self, time: Time) {
        self.time = self.time.max(Some(time));
    }

    /// Whether a member has told of itself of late.
    fn is_present(newest: Option<Time>, member: &ClusterMember) -> bool {
        let silence = SILENCE_MAX.as_nanos() as i64;
        newest.is_none_or(|newest| newest.0.saturating_sub(member.time.0) <= silence)
    }

    /// A gateway has told of itself. A message that came before, and is sent again, says
    /// nothing.
    pub fn note(&mut self, member: ClusterMember) {
        self.at(member.time);
        let newest = self.time;
        self.by_sender.retain(|_, member| Self::is_present(newest, member));
        if self.by_sender.get(&member.sender).is_some_and(|of| of.counter >= member.counter) {
            return;
        }
        self.by_sender.insert(member.sender, member);
        if self.by_sender.len() > MEMBERS_MAX {
            let oldest = self.by_sender.values().min_by_key(|member| member.position);
            if let Some(sender) = oldest.map(|member| member.sender) {
                self.by_sender.remove(&sender);
            }
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<ClusterMember> {
        let present = self.by_sender.values().filter(|member| Self::is_present(self.time, member));
        let mut all: Vec<_> = present.cloned().collect();
        all.sort_by(|a, b| (&a.report.name, a.sender).cmp(&(&b.report.name, b.sender)));
        all
    }

    /// The settings in which another gateway differs from this one, in sentences; none
    /// where all have the same.
    pub fn differences(&self, own: &MemberReport, sender: u64) -> Vec<String> {
        let mut differences = Vec::new();
        for other in self.all().iter().filter(|member| member.sender != sender) {
            let name = &other.report.name;
            let parts = own.differences(&other.report);
            differences
                .extend(parts.map(|part| {
                    format!("gateway {name} has other settings than this one: {part}")
                }));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::shared::message::SettingsDigest;

    fn member(sender: u64, position: u64, digest: u8) -> ClusterMember {
        let digests = vec![SettingsDigest { name: "roles".into(), digest: [digest; 8] }];
        let report =
            MemberReport { name: format!("gateway-{sender}"), digests, ..MemberReport::default() };
        let time = Time(position as i64 * 1_000_000_000);
        ClusterMember { sender, counter: position, report, basis: Basis::default(), position, time }
    }

    #[test]
    fn gateways_that_differ_are_named_until_they_are_gone_or_alike() {
        let mut members = Members::default();
        let own = member(1, 1, 5);
        members.note(own.clone());
        members.note(member(2, 2, 5));
        assert_eq!(members.differences(&own.report, 1), Vec::<String>::new());
        members.note(member(2, 3, 6));
        let named = ["gateway gateway-2 has other settings than this one: roles"];
        assert_eq!(members.differences(&own.report, 1), named);
        members.note(member(2, 4, 5));
        members.note(ClusterMember { position: 5, ..member(2, 3, 6) });
        assert!(members.differences(&own.report, 1).is_empty());
        members.note(member(3, 5, 9));
        assert_eq!(members.differences(&own.report, 1).len(), 1);
        members.at(Time(105 * 1_000_000_000));
        assert_eq!(members.all().len(), 1, "what came at 5 s is just not too old");
        // A leader whose clock is behind takes nobody away.
        members.at(Time(0));
        members.at(Time(106 * 1_000_000_000));
        assert!(members.all().is_empty());
    }

    #[test]
    fn so_many_are_remembered() {
        let mut members = Members::default();
        (0..1_000).for_each(|sender| {
            members.note(ClusterMember { time: Time(0), ..member(sender, sender + 1, 1) });
        });
        assert_eq!(members.all().len(), MEMBERS_MAX);
        assert!(members.all().iter().all(|member| member.sender >= 1_000 - MEMBERS_MAX as u64));
    }
}
