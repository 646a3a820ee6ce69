//! A stream in memory, with the faults of a real one, drawn from a seed: it loses requests and
//! answers, stores messages twice and late, stalls, is full, and replicas are behind. It can be
//! trimmed and rolled back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    LiveReceiver, LiveSender, Stream, StreamEnds, StreamEntry, StreamError, StreamReport,
    StreamSettings, live_channel,
};
use crate::log::BoxFuture;
use crate::time::Time;

/// How often what goes wrong, in so many of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A message is lost on its way.
    pub lost: u32,
    /// The answer is.
    pub ack_lost: u32,
    /// A message is stored twice.
    pub doubled: u32,
    /// A message is stored much later.
    pub late: u32,
    /// Nothing is stored for a while, from a message on.
    pub stall: u32,
    /// The stream is full for a while, from a message on.
    pub full: u32,
    /// A live message is missed.
    pub missed: u32,
    /// A read fails, or comes from a replica that is behind.
    pub read: u32,
    /// A bit of a message is flipped on its way from a replica; never from the leader.
    pub flipped: u32,
}

impl Faults {
    /// Those that a gateway does not notice, often.
    pub const UNNOTICED: Self = Self {
        lost: 30,
        ack_lost: 30,
        doubled: 50,
        missed: 100,
        read: 200,
        flipped: 30,
        late: 0,
        stall: 0,
        full: 0,
    };
    /// All of them, often.
    pub const MANY: Self = Self {
        lost: 50,
        ack_lost: 50,
        doubled: 50,
        late: 30,
        stall: 3,
        full: 3,
        missed: 50,
        read: 200,
        flipped: 20,
    };
}

/// The stream.
pub struct Simulation {
    rng: Rng,
    pub faults: Faults,
    entries: VecDeque<StreamEntry>,
    /// Messages up to here were removed.
    removed: u64,
    clock: i64,
    stalled_until: Duration,
    full_until: Duration,
}

/// What becomes of a message that is appended.
#[derive(Debug)]
pub struct AppendFate {
    /// After so long, it is stored: not at all, once, or twice.
    pub stored: Vec<Duration>,
    /// After so long, there is an answer: the position, unless an error.
    pub answer: Option<(Duration, Option<StreamError>)>,
}

fn millis(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_micros(rng.u64(range.start * 1_000..range.end * 1_000))
}

impl Simulation {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            faults,
            entries: VecDeque::new(),
            removed: 0,
            clock: 1_700_000_000_000_000_000,
            stalled_until: Duration::ZERO,
            full_until: Duration::ZERO,
        }
    }

    fn happens(&mut self, of_thousand: u32) -> bool {
        self.rng.u32(0..1_000) < of_thousand
    }

    /// Decides on a message that is appended now.
    pub fn append(&mut self, now: Duration) -> AppendFate {
        let faults = self.faults;
        if self.happens(faults.stall) {
            self.stalled_until = now + millis(&mut self.rng, 500..15_000);
        }
        if self.happens(faults.full) {
            self.full_until = now + millis(&mut self.rng, 100..3_000);
        }
        let way = millis(&mut self.rng, 0..3);
        if now < self.full_until {
            return AppendFate {
                stored: vec![],
                answer: Some((way, Some(StreamError::Full("full".into())))),
            };
        }
        let no_answer = |after| Some((after, Some(StreamError::Unknown("no answer".into()))));
        if now < self.stalled_until {
            // It is lost, or stored when there is a leader again.
            let stored =
                if self.rng.bool() { vec![] } else { vec![self.stalled_until - now + way] };
            return AppendFate { stored, answer: no_answer(Duration::from_millis(400)) };
        }
        if self.happens(faults.lost) {
            return AppendFate { stored: vec![], answer: no_answer(Duration::from_millis(400)) };
        }
        let mut stored = vec![way];
        if self.happens(faults.doubled) {
            stored.push(way + millis(&mut self.rng, 0..50));
        }
        if self.happens(faults.late) {
            stored = vec![millis(&mut self.rng, 50..2_500)];
        }
        let answered = stored.first().copied().unwrap_or_default() + millis(&mut self.rng, 0..3);
        let answer = if self.happens(faults.ack_lost) {
            let hangs = self.rng.bool();
            if hangs { None } else { no_answer(answered) }
        } else {
            Some((answered, None))
        };
        AppendFate { stored, answer }
    }

    /// Stores a message; returns it with its position.
    pub fn store(&mut self, bytes: Bytes) -> StreamEntry {
        // The clock of another leader may be behind.
        self.clock += self.rng.i64(-2_000_000..5_000_000);
        let entry =
            StreamEntry { position: self.ends().last + 1, timestamp: Time(self.clock), bytes };
        self.entries.push_back(entry.clone());
        entry
    }

    /// After so long, a live message comes; `None` if it is missed.
    pub fn live(&mut self, entry: &mut StreamEntry) -> Option<Duration> {
        let missed = self.faults.missed;
        self.flip(entry);
        if self.happens(missed) { None } else { Some(millis(&mut self.rng, 0..4)) }
    }

    pub fn ends(&self) -> StreamEnds {
        let last = self.removed + self.entries.len() as u64;
        StreamEnds { first: self.removed + 1, last }
    }

    /// What a replica returns.
    pub fn read(&mut self, from: u64, from_leader: bool) -> Result<Vec<StreamEntry>, StreamError> {
        let is_bad = self.faults.read;
        if self.happens(is_bad / 2) {
            return Err(StreamError::Unknown("no answer".into()));
        }
        let mut last = self.ends().last;
        if !from_leader && self.happens(is_bad / 2) {
            last = last.saturating_sub(self.rng.u64(0..20));
        }
        let count = self.rng.usize(1..40);
        let mut entries: Vec<_> = self.at_once(from, last).take(count).collect();
        if !from_leader {
            entries.iter_mut().for_each(|entry| self.flip(entry));
        }
        Ok(entries)
    }

    /// Flips a bit of a message, sometimes.
    fn flip(&mut self, entry: &mut StreamEntry) {
        let flipped = self.faults.flipped;
        if self.happens(flipped) {
            let mut bytes = entry.bytes.to_vec();
            let bit = self.rng.usize(0..bytes.len() * 8);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            entry.bytes = bytes.into();
        }
    }

    /// The messages from a position on, without faults.
    pub fn at_once(&self, from: u64, last: u64) -> impl Iterator<Item = StreamEntry> + '_ {
        let skip = from.saturating_sub(self.removed + 1) as usize;
        self.entries.iter().skip(skip).take_while(move |entry| entry.position <= last).cloned()
    }

    /// Removes the messages before `first`.
    pub fn trim(&mut self, first: u64) {
        while self.removed + 1 < first && self.entries.pop_front().is_some() {
            self.removed += 1;
        }
    }

    /// Loses the messages after `last`.
    pub fn roll_back(&mut self, last: u64) {
        self.entries.truncate((last.saturating_sub(self.removed)) as usize);
    }
}

/// The same, for whole gateways: what it does takes real time.
pub struct SimulatedStream {
    shared: Arc<StreamShared>,
    settings: StreamSettings,
    /// For how long it says that it keeps messages.
    age_max: Mutex<Option<Duration>>,
}

struct StreamShared {
    simulation: Mutex<Simulation>,
    listeners: Mutex<Vec<LiveSender>>,
    begun: Instant,
    /// Nothing is stored or answered.
    is_stalled: AtomicBool,
    /// Nothing more is stored.
    is_full: AtomicBool,
    /// An operator has changed it so that it does not fit.
    is_unfit: AtomicBool,
    /// The next answers name this position; none if it is 0.
    false_position: AtomicU64,
    /// So many answers about the ends are those of a server that lacks all messages.
    stale_answers: AtomicU64,
}

impl SimulatedStream {
    pub fn new(seed: u64, faults: Faults, settings: StreamSettings) -> Arc<Self> {
        let shared = StreamShared {
            simulation: Mutex::new(Simulation::new(seed, faults)),
            listeners: Mutex::default(),
            begun: Instant::now(),
            is_stalled: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            is_unfit: AtomicBool::new(false),
            false_position: AtomicU64::new(0),
            stale_answers: AtomicU64::new(0),
        };
        Arc::new(Self { shared: Arc::new(shared), settings, age_max: Mutex::default() })
    }

    /// Looks at the simulation, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut Simulation) -> T) -> T {
        look(&mut self.shared.simulation.lock())
    }

    pub fn keep_for(&self, age_max: Duration) {
        *self.age_max.lock() = Some(age_max);
    }

    pub fn stall(&self, is_stalled: bool) {
        self.shared.is_stalled.store(is_stalled, Relaxed);
    }

    pub fn fill(&self, is_full: bool) {
        self.shared.is_full.store(is_full, Relaxed);
    }

    pub fn unfit(&self, is_unfit: bool) {
        self.shared.is_unfit.store(is_unfit, Relaxed);
    }

    /// Answers to what is appended name this position from now on; the right one if it is 0.
    pub fn answer_falsely(&self, position: u64) {
        self.shared.false_position.store(position, Relaxed);
    }

    /// So many answers about the ends come from such a server.
    pub fn forget(&self, answers: u64) {
        self.shared.stale_answers.store(answers, Relaxed);
    }

    /// Stores a message that no gateway has sent.
    pub fn inject(&self, bytes: Bytes) {
        self.shared.store(bytes);
    }

    fn check(&self) -> Result<(), StreamError> {
        if self.shared.is_stalled.load(Relaxed) {
            return Err(StreamError::Unknown("there is no leader".into()));
        }
        Ok(())
    }
}

impl StreamShared {
    fn store(&self, bytes: Bytes) -> u64 {
        let mut simulation = self.simulation.lock();
        let entry = simulation.store(bytes);
        let position = entry.position;
        self.listeners.lock().retain(|listener| {
            let mut entry = entry.clone();
            let is_missed = simulation.live(&mut entry).is_none();
            is_missed || listener.send(entry)
        });
        position
    }
}

impl Stream for SimulatedStream {
    fn settings(&self) -> StreamSettings {
        self.settings
    }

    fn report(&self) -> StreamReport {
        StreamReport { age_max: *self.age_max.lock(), ..StreamReport::default() }
    }

    fn append(&self, message: Bytes) -> BoxFuture<'_, Result<u64, StreamError>> {
        Box::pin(async move {
            self.check()?;
            if self.shared.is_full.load(Relaxed) {
                return Err(StreamError::Full("the stream is full".into()));
            }
            let now = self.shared.begun.elapsed();
            let fate = self.shared.simulation.lock().append(now);
            let (sender, mut position) = watch::channel(0);
            for after in fate.stored {
                let (shared, message, sender) =
                    (Arc::clone(&self.shared), message.clone(), sender.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    sender.send_replace(shared.store(message));
                });
            }
            let Some((after, error)) = fate.answer else { return std::future::pending().await };
            tokio::time::sleep(after).await;
            match error {
                Some(error) => Err(error),
                None => {
                    let right = *position.wait_for(|position| *position > 0).await.expect("stored");
                    match self.shared.false_position.load(Relaxed) {
                        0 => Ok(right),
                        position => Ok(position),
                    }
                }
            }
        })
    }

    fn live(&self) -> BoxFuture<'_, Result<LiveReceiver, StreamError>> {
        Box::pin(async move {
            self.check()?;
            let (sender, receiver) = live_channel();
            self.shared.listeners.lock().push(sender);
            Ok(receiver)
        })
    }

    fn read(
        &self,
        from: u64,
        from_leader: bool,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StreamError>> {
        Box::pin(async move {
            self.check()?;
            tokio::task::yield_now().await;
            self.shared.simulation.lock().read(from, from_leader)
        })
    }

    fn ends(&self) -> BoxFuture<'_, Result<StreamEnds, StreamError>> {
        Box::pin(async move {
            self.check()?;
            if self.shared.is_unfit.load(Relaxed) {
                return Err(StreamError::Unfit("the stream has another format".into()));
            }
            let stale = &self.shared.stale_answers;
            let stale = stale.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            let StreamEnds { first, last } = self.shared.simulation.lock().ends();
            Ok(StreamEnds { first, last: if stale { 0 } else { last } })
        })
    }
}
