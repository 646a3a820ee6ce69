//! Runs a measure and its peer in turn, and compares them round by round: what
//! else the machine does in the meantime meets both alike.

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
        mut ours: impl FnMut() -> Result<f64>,
        mut peer: impl FnMut() -> Result<f64>,
    ) -> Result<Row> {
        let mut our_values = Vec::with_capacity(rounds);
        let mut peer_values = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            let ours = ours().map_err(|error| format!("{}: {error}", self.name))?;
            let peer = peer().map_err(|error| format!("{}, peer: {error}", self.name))?;
            let ratio = self.ratio(ours, peer);
            eprintln!(
                "{} {round}/{rounds}: {ours:.4e} {peer:.4e} {}, {ratio:.3}",
                self.name, self.unit
            );
            our_values.push(ours);
            peer_values.push(peer);
        }
        let ratios: Vec<f64> = our_values
            .iter()
            .zip(&peer_values)
            .map(|(ours, peer)| self.ratio(*ours, *peer))
            .collect();
        Ok(Row {
            name: self.name,
            unit: self.unit,
            ours: median(&our_values),
            peer: Some(Peer {
                name: self.peer,
                value: median(&peer_values),
                ratio: Spread::of(&ratios),
            }),
        })
    }

    fn ratio(&self, ours: f64, peer: f64) -> f64 {
        match self.better {
            Better::More => ours / peer,
            Better::Less => peer / ours,
        }
    }
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
