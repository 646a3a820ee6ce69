//! Runs a measure and its peer in turn, and compares them round by round: what
//! else the machine does in the meantime meets both alike.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The higher one: a rate.
    More,
    /// The lower one: a time or a size.
    Less,
}

/// What a measure found.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name of the measure.
    pub name: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// Our value: the median of the rounds.
    pub ours: f64,
    /// What it was compared with.
    pub peer: Option<Peer>,
}

/// What a measure was compared with.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What it is.
    pub name: &'static str,
    /// Its value: the median of the rounds.
    pub value: f64,
    /// How much better we are: more is better, 1 is equal.
    pub ratio: Spread,
    /// The same by processor time for the same work, in the median, where that
    /// means something. Other load on the machine shows in it the least.
    pub cpu_ratio: Option<f64>,
}

/// What one round found.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// In the unit of the measure.
    pub value: f64,
    /// Processor time of the process for the work of the round: the same work
    /// for both.
    pub cpu: Option<Duration>,
}

/// The sample without processor time, which says nothing where servers have processes of
/// their own.
pub fn wall(sample: Sample) -> Sample {
    Sample { cpu: None, ..sample }
}

/// Measures time on the wall and on the processors.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

/// What a [`Stopwatch`] measured.
#[derive(Debug, Default, Clone, Copy)]
pub struct Took {
    /// On the wall.
    pub wall: Duration,
    /// On all processors, by all threads of the process.
    pub cpu: Duration,
}

/// The ratios of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// In the middle.
    pub median: f64,
    /// The worst.
    pub min: f64,
    /// The best.
    pub max: f64,
}

/// One measure and its peer.
pub struct Duel {
    /// Name of the measure.
    pub name: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// Which value wins.
    pub better: Better,
    /// What the peer is.
    pub peer: &'static str,
}

impl Duel {
    /// Runs both `rounds` times in turn; each call measures one round.
    ///
    /// # Errors
    /// What the first failed round says.
    pub fn run(
        &self,
        rounds: usize,
        mut ours: impl FnMut() -> Result<Sample>,
        mut peer: impl FnMut() -> Result<Sample>,
    ) -> Result<Row> {
        let mut pairs = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            let ours = ours().map_err(|error| format!("{}: {error}", self.name))?;
            let peer = peer().map_err(|error| format!("{}, peer: {error}", self.name))?;
            eprintln!(
                "{} {round}/{rounds}: {:.4e} {:.4e} {}, {:.3}",
                self.name,
                ours.value,
                peer.value,
                self.unit,
                self.ratio(ours, peer)
            );
            pairs.push((ours, peer));
        }
        let all = |of: fn(&(Sample, Sample)) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
        let ratios: Vec<f64> = pairs.iter().map(|(ours, peer)| self.ratio(*ours, *peer)).collect();
        let cpu_ratios: Option<Vec<f64>> = pairs
            .iter()
            .map(|(ours, peer)| Some(peer.cpu?.as_secs_f64() / ours.cpu?.as_secs_f64()))
            .collect();
        let peer = Peer {
            name: self.peer,
            value: median(&all(|(_, peer)| peer.value)),
            ratio: Spread::of(&ratios),
            cpu_ratio: cpu_ratios.as_deref().map(median),
        };
        let ours = median(&all(|(ours, _)| ours.value));
        Ok(Row { name: self.name, unit: self.unit, ours, peer: Some(peer) })
    }

    fn ratio(&self, ours: Sample, peer: Sample) -> f64 {
        match self.better {
            Better::More => ours.value / peer.value,
            Better::Less => peer.value / ours.value,
        }
    }
}

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    /// Reads it.
    pub fn stop(self) -> Took {
        Took { wall: self.wall.elapsed(), cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

impl Took {
    /// So much was done in this time.
    pub fn rate(self, done: f64) -> Sample {
        Sample { value: done / self.wall.as_secs_f64(), cpu: Some(self.cpu) }
    }

    /// It was a number of calls with this typical time.
    pub fn calls(self, typical: f64) -> Sample {
        Sample { value: typical, cpu: Some(self.cpu) }
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

impl Spread {
    fn of(ratios: &[f64]) -> Self {
        Self {
            median: median(ratios),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// The value in the middle; of an even number, the mean of the two there.
///
/// # Panics
/// Without values.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    let at = |place: usize| *sorted.get(place).expect("there are values");
    if sorted.len().is_multiple_of(2) { (at(middle - 1) + at(middle)) / 2.0 } else { at(middle) }
}

/// The value below which `share` of the values lie.
///
/// # Panics
/// Without values.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
    *sorted.get(place).expect("there are values")
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}
