//! The flight window: batches in flight, and their acknowledged prefix.

use std::collections::VecDeque;

use crate::record::Sequence;

/// The batches of a delivery that are in flight, in the order of the log. Acknowledgements
/// come in any order; the cursor follows the acknowledged prefix.
///
/// ```text
///   covered        acknowledged out of order
///      |   sent    |   sent
///  ====|=========|=====|=======|
///      ^ cursor
/// ```
#[derive(Debug)]
pub struct FlightWindow {
    open: VecDeque<Flight>,
    next: u64,
    covered: Sequence,
}

/// Number of a batch in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightId(u64);

#[derive(Debug)]
struct Flight {
    id: FlightId,
    /// The newest record that it covers, excluded records included.
    through: Sequence,
    is_acknowledged: bool,
}

impl FlightWindow {
    /// A window without batches, which covers everything up to `covered`.
    pub fn new(covered: Sequence) -> Self {
        Self { open: VecDeque::new(), next: 0, covered }
    }

    /// The number of batches that the cursor does not cover. It bounds what is sent again after a
    /// crash.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no batch is in flight.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds a batch that covers everything up to `through`.
    pub fn depart(&mut self, through: Sequence) -> FlightId {
        let id = FlightId(self.next);
        self.next += 1;
        self.open.push_back(Flight { id, through, is_acknowledged: false });
        id
    }

    /// Notes that the records after the newest batch up to `through` do not match the filter.
    /// Returns whether the acknowledged prefix grew.
    pub fn skip(&mut self, through: Sequence) -> bool {
        match self.open.back_mut() {
            Some(newest) => {
                newest.through = newest.through.max(through);
                false
            }
            None => {
                let grows = through > self.covered;
                self.covered = self.covered.max(through);
                grows
            }
        }
    }

    /// Notes that a batch is acknowledged. Returns whether the acknowledged prefix grew.
    pub fn acknowledge(&mut self, id: FlightId) -> bool {
        if let Some(flight) = self.open.iter_mut().find(|flight| flight.id == id) {
            flight.is_acknowledged = true;
        }
        let before = self.covered;
        while let Some(oldest) = self.open.front().filter(|flight| flight.is_acknowledged) {
            self.covered = self.covered.max(oldest.through);
            self.open.pop_front();
        }
        self.covered > before
    }

    /// The newest record of the acknowledged prefix.
    pub fn covered(&self) -> Sequence {
        self.covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_follows_the_contiguous_prefix() {
        let mut window = FlightWindow::new(Sequence(10));
        let [first, second, third] = [20, 30, 40].map(|through| window.depart(Sequence(through)));
        assert!(!window.acknowledge(second), "the first one is still on its way");
        assert_eq!((window.covered(), window.len()), (Sequence(10), 3));
        assert!(window.acknowledge(first));
        assert_eq!((window.covered(), window.len()), (Sequence(30), 1));
        assert!(!window.skip(Sequence(45)), "what follows a batch waits for it");
        assert!(window.acknowledge(third));
        assert_eq!((window.covered(), window.len()), (Sequence(45), 0));
        assert!(!window.acknowledge(third), "twice is once");
        assert!(window.skip(Sequence(50)));
        assert!(!window.skip(Sequence(50)));
        assert_eq!(window.covered(), Sequence(50));
    }
}
