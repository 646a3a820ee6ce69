//! The condition of a shared log: why it accepts no events at the moment.

use std::time::{Duration, Instant};

use super::Failure;
use crate::log::State;
use crate::log::shared::stream::StreamEnds;
use crate::log::shared::tail::Tail;

/// A stream that ends before what was applied for so long was rolled back. A new leader
/// may not know its end for a moment.
const ROLLED_BACK_TIME: Duration = Duration::from_secs(10);

/// A stream that does not say where it ends for so long is away, although nobody appends.
/// Elections take less.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(10);

/// The condition of a shared log.
#[derive(Debug)]
pub struct Condition {
    /// Messages of this gateway are not taken.
    away: Option<String>,
    /// The stream is full.
    full: Option<String>,
    /// The stream was changed so that gateways cannot use it.
    unfit: Option<String>,
    /// The copy has no space.
    no_space: Option<String>,
    /// So many messages are not in the copy yet; more than a few.
    behind: Option<u64>,
    /// Where the gateway joined; 0 if it has all that the stream has.
    joined: u64,
    /// Since when the stream ends too early, or is another one.
    too_short: Option<Instant>,
    /// Since when the stream does not answer, and why.
    silent: Option<(Instant, String)>,
    /// It has not answered for too long.
    is_silent: bool,
    /// The last time that it did.
    answered: Option<Instant>,
}

impl Condition {
    /// Of a gateway that joined at a position, and has not caught up.
    pub fn new(joined: u64) -> Self {
        Self {
            away: None,
            full: None,
            unfit: None,
            no_space: None,
            behind: Some(0),
            joined,
            too_short: None,
            silent: None,
            is_silent: false,
            answered: None,
        }
    }

    /// A message was given up.
    pub fn is_away(&mut self, why: String) {
        self.away = Some(why);
    }

    /// The stream was full.
    pub fn is_full(&mut self, why: String) {
        self.full = Some(why);
    }

    /// The stream was changed so that gateways cannot use it as they agreed.
    pub fn is_unfit(&mut self, why: String) {
        self.unfit = Some(why);
    }

    /// A message of this gateway was applied.
    pub fn is_taken(&mut self) {
        (self.away, self.full) = (None, None);
    }

    /// The copy has no space.
    pub fn lacks_space(&mut self, why: String) {
        self.no_space = Some(why);
    }

    /// The copy has space.
    pub fn has_space(&mut self) {
        self.no_space = None;
    }

    /// Looks whether more than so many messages are missing. A gateway that was behind
    /// has caught up when none is.
    pub fn is_behind(&mut self, tail: &Tail, messages_max: u64) {
        let missing = (tail.seen() + 1).saturating_sub(tail.next());
        let is_behind = if self.behind.is_some() { missing > 0 } else { missing > messages_max };
        self.behind = is_behind.then_some(missing);
    }

    /// The stream did not say where it ends, as it was `asked` to.
    pub fn is_unanswered(&mut self, why: String, asked: Instant, now: Instant) {
        if self.answered.is_some_and(|answered| asked <= answered) {
            return;
        }
        let since = self.silent.as_ref().map_or(asked, |(since, _)| *since);
        self.is_silent = now >= since + SILENCE_TIME_MAX;
        self.silent = Some((since, why));
    }

    /// The ends of the stream are these; `applied` is the last message that was applied.
    pub fn ends(&mut self, ends: StreamEnds, applied: u64, now: Instant) -> Result<(), Failure> {
        (self.silent, self.is_silent, self.unfit) = (None, false, None);
        self.answered = Some(now);
        if ends.first > self.joined {
            // What this gateway does not know, the stream does not keep either.
            self.joined = 0;
        }
        if ends.last >= applied {
            self.too_short = None;
        } else if now >= *self.too_short.get_or_insert(now) + ROLLED_BACK_TIME {
            return Err(format!(
                "this gateway has applied message {applied} of the stream, which ends at {}: it \
                 was rolled back or made anew; nothing is changed until an operator accepts the \
                 loss (auditgate cluster accept-loss)",
                ends.last
            ));
        }
        Ok(())
    }

    /// The stream is another one, or none. A server that has just started may not know it
    /// for a moment.
    pub fn is_refused(&mut self, why: String, now: Instant) -> Result<(), Failure> {
        let is_sure = now >= *self.too_short.get_or_insert(now) + ROLLED_BACK_TIME;
        if is_sure { Err(why) } else { Ok(()) }
    }

    /// Whether a message should show if messages are taken again.
    pub fn wants_probe(&self) -> bool {
        self.away.is_some() || self.full.is_some()
    }

    /// What it comes to.
    pub fn state(&self) -> State {
        if let Some(why) = self.no_space.as_ref().or(self.full.as_ref()) {
            return State::Full(why.clone());
        }
        if let Some(why) = self.unfit.as_ref().or(self.away.as_ref()) {
            return State::Away(why.clone());
        }
        if let Some((_, why)) = self.silent.as_ref().filter(|_| self.is_silent) {
            return State::Away(format!("the stream does not answer: {why}"));
        }
        if let Some(missing) = self.behind {
            return State::Away(format!(
                "the copy catches up with the stream, {missing} messages are missing"
            ));
        }
        if self.joined > 0 {
            return State::Away(
                "this gateway joined late and lacks records that the stream still holds: it is \
                 read-only until the stream has removed them, or until its data directory is \
                 seeded with a copy of another gateway's"
                    .to_owned(),
            );
        }
        State::Ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_is_worst_and_recovers() {
        let now = Instant::now();
        let mut condition = Condition::new(7);
        let mut tail = Tail::new(5, now);
        tail.told(9, now);
        condition.is_behind(&tail, 100);
        assert!(matches!(condition.state(), State::Away(why) if why.contains("5 messages")));
        condition.is_behind(&Tail::new(5, now), 100);
        assert!(matches!(condition.state(), State::Away(why) if why.contains("joined late")));
        let ends = |first, last| StreamEnds { first, last };
        condition.ends(ends(7, 9), 9, now).unwrap();
        assert!(matches!(condition.state(), State::Away(_)));
        condition.ends(ends(8, 9), 9, now).unwrap();
        assert_eq!((condition.state(), condition.wants_probe()), (State::Ready, false));
        tail.told(104, now);
        condition.is_behind(&tail, 100);
        assert_eq!(condition.state(), State::Ready, "100 messages are few");
        condition.is_away("silence".into());
        assert_eq!(condition.state(), State::Away("silence".into()));
        condition.is_full("full".into());
        assert_eq!(
            (condition.state(), condition.wants_probe()),
            (State::Full("full".into()), true)
        );
        condition.is_taken();
        condition.lacks_space("no space".into());
        assert_eq!(condition.state(), State::Full("no space".into()));
        condition.has_space();
        assert_eq!(condition.state(), State::Ready);
    }

    #[test]
    fn a_stream_that_does_not_answer_is_away_after_a_while() {
        let now = Instant::now();
        let mut condition = Condition::new(0);
        condition.is_behind(&Tail::new(1, now), 100);
        let asked = |condition: &mut Condition, after| {
            condition.is_unanswered("no leader".into(), now + after / 2, now + after);
            condition.state()
        };
        assert_eq!(asked(&mut condition, Duration::ZERO), State::Ready);
        assert_eq!(asked(&mut condition, SILENCE_TIME_MAX / 2), State::Ready);
        let away = asked(&mut condition, SILENCE_TIME_MAX);
        assert_eq!(away, State::Away("the stream does not answer: no leader".into()));
        condition.ends(StreamEnds { first: 1, last: 0 }, 0, now).unwrap();
        assert_eq!(condition.state(), State::Ready);
        condition.is_unanswered("asked before".into(), now, now + SILENCE_TIME_MAX * 2);
        assert_eq!(condition.state(), State::Ready, "it has answered since");
        let anew = now + SILENCE_TIME_MAX * 2;
        condition.is_unanswered("no leader".into(), anew, anew + SILENCE_TIME_MAX / 2);
        assert_eq!(condition.state(), State::Ready, "it begins anew");
        condition.is_unanswered("no leader".into(), anew, anew + SILENCE_TIME_MAX);
        assert!(matches!(condition.state(), State::Away(_)), "since it was asked");
    }

    #[test]
    fn a_stream_that_was_changed_is_away_until_it_is_changed_back() {
        let now = Instant::now();
        let mut condition = Condition::new(0);
        condition.is_behind(&Tail::new(1, now), 100);
        condition.is_away("silence".into());
        condition.is_unfit("another format".into());
        condition.is_taken();
        assert_eq!(condition.state(), State::Away("another format".into()));
        assert!(!condition.wants_probe());
        condition.ends(StreamEnds { first: 1, last: 0 }, 0, now).unwrap();
        assert_eq!(condition.state(), State::Ready);
    }

    #[test]
    fn a_stream_that_stays_too_short_was_rolled_back() {
        let now = Instant::now();
        let mut condition = Condition::new(0);
        let ends = |last| StreamEnds { first: 1, last };
        condition.ends(ends(8), 9, now).unwrap();
        condition.ends(ends(9), 9, now + ROLLED_BACK_TIME).unwrap();
        condition.ends(ends(8), 9, now + ROLLED_BACK_TIME).unwrap();
        condition.ends(ends(8), 9, now + ROLLED_BACK_TIME * 2 - Duration::from_secs(1)).unwrap();
        condition
            .is_refused("deleted".into(), now + ROLLED_BACK_TIME + ROLLED_BACK_TIME / 2)
            .unwrap();
        let gone = condition.is_refused("deleted".into(), now + ROLLED_BACK_TIME * 2);
        assert_eq!(gone, Err("deleted".into()));
        let failure = condition.ends(ends(8), 9, now + ROLLED_BACK_TIME * 2).unwrap_err();
        assert!(failure.contains("message 9") && failure.contains("ends at 8"), "{failure}");
    }
}
