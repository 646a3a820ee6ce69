//! The gateways of a shared log, as each reports itself in the stream.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::{Basis, MemberReport};
use crate::time::Time;

/// How often a gateway publishes a report of itself.
pub const MEMBER_INTERVAL: Duration = Duration::from_secs(30);
/// A gateway without a report for this long is not listed any more.
const SILENCE_MAX: Duration = Duration::from_secs(100);
/// One that misses its next report is not listed beside another process of its name, which came
/// later: it was restarted.
const REPORT_LATE: Duration = Duration::from_secs(MEMBER_INTERVAL.as_secs() + 5);
/// The most gateways that are kept: those with the newest reports.
const MEMBERS_MAX: usize = 256;

/// A gateway of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    /// The random number of its process.
    pub sender: u64,
    /// The number of its message with the report.
    pub counter: u64,
    /// The report.
    pub report: MemberReport,
    /// The state that it had applied then.
    pub basis: Basis,
    /// The position of the report in the stream.
    pub position: u64,
    /// When the stream stored the report, by its own clock.
    pub time: Time,
}

/// The gateways with a recent report.
#[derive(Debug, Default, Clone)]
pub struct Members {
    by_sender: BTreeMap<u64, ClusterMember>,
    /// The newest time of the stream.
    time: Option<Time>,
}

impl Members {
    /// Notes the time of a message of the stream.
    pub fn at(&mut self, time: Time) {
        self.time = self.time.max(Some(time));
    }

    /// Whether the report of a member is no older than this.
    fn is_within(newest: Option<Time>, member: &ClusterMember, silence: Duration) -> bool {
        let silence = silence.as_nanos() as i64;
        newest.is_none_or(|newest| newest.0.saturating_sub(member.time.0) <= silence)
    }

    /// Whether a later process of the same gateway has taken the place of a member.
    fn is_replaced(&self, member: &ClusterMember) -> bool {
        let is_later = |other: &ClusterMember| {
            other.report.name == member.report.name && other.position > member.position
        };
        !Self::is_within(self.time, member, REPORT_LATE) && self.by_sender.values().any(is_later)
    }

    /// Notes a gateway's report, unless it is older than the last one of the gateway: messages
    /// may arrive again.
    pub fn note(&mut self, member: ClusterMember) {
        self.at(member.time);
        let newest = self.time;
        self.by_sender.retain(|_, member| Self::is_within(newest, member, SILENCE_MAX));
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

    /// All gateways with a recent report, by name.
    pub fn all(&self) -> Vec<ClusterMember> {
        let is_listed = |member: &&ClusterMember| {
            Self::is_within(self.time, member, SILENCE_MAX) && !self.is_replaced(member)
        };
        let mut all: Vec<_> = self.by_sender.values().filter(is_listed).cloned().collect();
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

    /// A gateway was restarted with other settings.
    #[test]
    fn a_process_that_another_one_replaced_is_soon_not_listed() {
        let mut members = Members::default();
        let at = |sender, position| {
            let mut of = member(sender, position, sender as u8);
            of.report.name = "gateway".into();
            of
        };
        let senders = |members: &Members| {
            members.all().iter().map(|member| member.sender).collect::<Vec<_>>()
        };
        let own = member(9, 1, 2);
        members.note(own.clone());
        members.note(at(1, 10));
        members.note(at(2, 20));
        members.at(Time(45 * 1_000_000_000));
        assert_eq!(senders(&members), [1, 2, 9], "both may run");
        assert_eq!(members.differences(&own.report, 9).len(), 1);
        members.at(Time(46 * 1_000_000_000));
        assert_eq!(senders(&members), [2, 9]);
        assert!(members.differences(&own.report, 9).is_empty());
        // Two gateways with one name are both listed as long as both report.
        for (sender, position) in [(1, 47), (2, 50), (1, 77), (2, 80)] {
            members.note(at(sender, position));
        }
        members.at(Time(110 * 1_000_000_000));
        assert_eq!(senders(&members), [1, 2]);
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
