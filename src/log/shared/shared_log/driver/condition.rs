//! The condition of a shared log: why it accepts no events at the moment.

use std::time::{Duration, Instant};

use super::Failure;
use crate::log::State;
use crate::log::shared::stream::StreamEnds;
use crate::log::shared::tail::Tail;

/// A stream that ends before what was applied was rolled back, if it says so for so long,
const ROLLED_BACK_TIME: Duration = Duration::from_secs(10);
/// and so many times, with no other answer in between. Once does not tell: a leader that was
/// suspended answers before it learns that there is another one.
const ROLLED_BACK_ANSWERS: u32 = 4;

/// A stream that does not say where it ends for so long is away, although nobody appends.
/// Elections take less.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(10);

/// A stream was asked where it ends.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// When.
    pub asked: Instant,
    /// The last message that was applied then. More can be when the answer comes, which does not
    /// know of them.
    pub applied: u64,
}

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
    /// The stream ends too early.
    too_short: Suspicion,
    /// The stream is another one, or none.
    refused: Suspicion,
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
            too_short: Suspicion::default(),
            refused: Suspicion::default(),
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

    /// The stream did not say where it ends.
    pub fn is_unanswered(&mut self, why: String, question: Question, now: Instant) {
        let asked = question.asked;
        // Who answered before may not be who leads the stream next.
        (self.too_short, self.refused) = Default::default();
        if self.answered.is_some_and(|answered| asked <= answered) {
            return;
        }
        let since = self.silent.as_ref().map_or(asked, |(since, _)| *since);
        self.is_silent = now >= since + SILENCE_TIME_MAX;
        self.silent = Some((since, why));
    }

    /// The ends of the stream are these.
    pub fn ends(
        &mut self,
        ends: StreamEnds,
        question: Question,
        now: Instant,
    ) -> Result<(), Failure> {
        let applied = question.applied;
        (self.silent, self.is_silent, self.unfit) = (None, false, None);
        self.answered = Some(now);
        if ends.first > self.joined {
            // What this gateway does not know, the stream does not keep either.
            self.joined = 0;
        }
        self.refused = Suspicion::default();
        if ends.last >= applied {
            self.too_short = Suspicion::default();
        } else if self.too_short.is_sure(now) {
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
        if self.refused.is_sure(now) { Err(why) } else { Ok(()) }
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

/// What a server says and another one may deny.
#[derive(Debug, Default)]
struct Suspicion {
    since: Option<Instant>,
    answers: u32,
}

impl Suspicion {
    /// Notes one more answer. Returns whether they are enough.
    fn is_sure(&mut self, now: Instant) -> bool {
        self.answers += 1;
        let is_old = now >= *self.since.get_or_insert(now) + ROLLED_BACK_TIME;
        is_old && self.answers >= ROLLED_BACK_ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(asked: Instant, applied: u64) -> Question {
        Question { asked, applied }
    }

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
        condition.ends(ends(7, 9), question(now, 9), now).unwrap();
        assert!(matches!(condition.state(), State::Away(_)));
        condition.ends(ends(8, 9), question(now, 9), now).unwrap();
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
            condition.is_unanswered("no leader".into(), question(now + after / 2, 0), now + after);
            condition.state()
        };
        assert_eq!(asked(&mut condition, Duration::ZERO), State::Ready);
        assert_eq!(asked(&mut condition, SILENCE_TIME_MAX / 2), State::Ready);
        let away = asked(&mut condition, SILENCE_TIME_MAX);
        assert_eq!(away, State::Away("the stream does not answer: no leader".into()));
        condition.ends(StreamEnds { first: 1, last: 0 }, question(now, 0), now).unwrap();
        assert_eq!(condition.state(), State::Ready);
        condition.is_unanswered(
            "asked before".into(),
            question(now, 0),
            now + SILENCE_TIME_MAX * 2,
        );
        assert_eq!(condition.state(), State::Ready, "it has answered since");
        let anew = now + SILENCE_TIME_MAX * 2;
        condition.is_unanswered("no leader".into(), question(anew, 0), anew + SILENCE_TIME_MAX / 2);
        assert_eq!(condition.state(), State::Ready, "it begins anew");
        condition.is_unanswered("no leader".into(), question(anew, 0), anew + SILENCE_TIME_MAX);
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
        condition.ends(StreamEnds { first: 1, last: 0 }, question(now, 0), now).unwrap();
        assert_eq!(condition.state(), State::Ready);
    }

    /// So many seconds after the beginning, the stream says that it ends here: 9 was applied.
    fn ends_at(
        condition: &mut Condition,
        (begun, second): (Instant, u64),
        last: u64,
    ) -> Result<(), Failure> {
        let now = begun + Duration::from_secs(second);
        condition.ends(StreamEnds { first: 1, last }, question(now, 9), now)
    }

    #[test]
    fn a_stream_that_stays_too_short_was_rolled_back() {
        let begun = Instant::now();
        let mut condition = Condition::new(0);
        for second in [0, 2, 4, 6, 8] {
            ends_at(&mut condition, (begun, second), 8).unwrap();
        }
        let failure = ends_at(&mut condition, (begun, 10), 8).unwrap_err();
        assert!(failure.contains("message 9") && failure.contains("ends at 8"), "{failure}");
    }

    #[test]
    fn a_stream_that_says_something_else_in_between_was_not_rolled_back() {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        let mut condition = Condition::new(0);
        // Few answers are those of servers that do not lead the stream.
        for (second, last) in [(0, 8), (30, 8), (31, 8), (32, 9)] {
            ends_at(&mut condition, (begun, second), last).unwrap();
        }
        for second in [33, 35, 37, 39, 41] {
            ends_at(&mut condition, (begun, second), 8).unwrap();
        }
        condition.is_unanswered("no leader".into(), question(at(42), 9), at(43));
        for second in [44, 45] {
            ends_at(&mut condition, (begun, second), 8).unwrap();
        }
    }

    #[test]
    fn a_stream_that_stays_away_was_deleted() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut condition = Condition::new(0);
        let deleted =
            |condition: &mut Condition, second| condition.is_refused("deleted".into(), at(second));
        for second in [0, 4, 8] {
            deleted(&mut condition, second).unwrap();
        }
        condition.ends(StreamEnds { first: 1, last: 9 }, question(at(9), 9), at(9)).unwrap();
        for second in [10, 14, 18] {
            deleted(&mut condition, second).unwrap();
        }
        assert_eq!(deleted(&mut condition, 20), Err("deleted".into()));
    }
}
