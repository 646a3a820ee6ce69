//! When it is noted how far the copy is: never further than what is on stable storage.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::log::disk::storage::Storage;
use crate::log::shared::machine::Machine;
use crate::log::shared::mark::{FOLLOWER, FollowerMark};
use crate::log::shared::shared_log::write_mark;
use crate::log::shared::window_file::{WINDOW, WindowFile, WindowPart, WrittenPart};

/// After so long, what the copy has on stable storage is noted.
const INTERVAL: Duration = Duration::from_secs(1);

/// When what is noted.
#[derive(Debug)]
pub struct MarkSchedule {
    due: Instant,
    /// What the copy had, to be noted when it is on stable storage.
    waiting: Option<Marking>,
    is_writing: bool,
    window: WindowFile,
}

/// What the copy has, and what the gateway needs to go on from there.
#[derive(Debug)]
pub struct Marking {
    mark: FollowerMark,
    window: Option<WindowPart>,
}

impl MarkSchedule {
    pub fn new(now: Instant) -> Self {
        let window = WindowFile::default();
        Self { due: now + INTERVAL, waiting: None, is_writing: false, window }
    }

    /// When there is something to do.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// What is to be written now, if the copy has so many records on stable storage. It then
    /// counts as being written.
    pub fn take_due(
        &mut self,
        now: Instant,
        synced: u64,
        mark: &FollowerMark,
        machine: &Machine,
    ) -> Option<Marking> {
        self.due = now + INTERVAL;
        let next = self.waiting.take_if(|waiting| waiting.mark.state.count <= synced);
        if self.waiting.is_none() && next.is_none() && !self.is_writing {
            self.waiting = Some(self.marking(mark, machine));
        }
        self.is_writing |= next.is_some();
        next
    }

    /// What is to be written at the end.
    pub fn last(&mut self, synced: u64, mark: &FollowerMark, machine: &Machine) -> Option<Marking> {
        (mark.state.count <= synced).then(|| self.marking(mark, machine))
    }

    /// It was written; `None` if the keys could not be.
    pub fn wrote(&mut self, part: Option<WrittenPart>) {
        self.is_writing = false;
        if let Some(part) = part {
            self.window.wrote(part);
        }
    }

    fn marking(&mut self, mark: &FollowerMark, machine: &Machine) -> Marking {
        // A message that the copy could not store is not in its mark.
        let is_of_mark = machine.state().position == mark.state.position;
        let window = is_of_mark.then(|| self.window.next(machine, mark));
        Marking { mark: *mark, window }
    }
}

impl Marking {
    /// Writes it to the copy's directory. Until it is written, and if it cannot be, what was
    /// noted before is still right; without the keys, they are taken from the stream.
    pub fn write(self, storage: &dyn Storage, directory: &Path) -> Option<WrittenPart> {
        let written = self.window.map(|part| part.write(storage, &directory.join(WINDOW)));
        let _ = write_mark(&directory.join(FOLLOWER), &self.mark);
        written.and_then(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::log::shared::machine::WindowLimits;
    use crate::log::shared::message::Basis;

    /// A mark after so many records, and the machine.
    fn at(position: u64, count: u64) -> (FollowerMark, Machine) {
        let state = Basis { position, count, ..Basis::default() };
        let machine = Machine::resume(WindowLimits::default(), state, position + 1);
        (FollowerMark { state, ..FollowerMark::new(Uuid::nil()) }, machine)
    }

    #[test]
    fn a_mark_is_written_when_the_records_are_on_stable_storage() {
        let begun = Instant::now();
        let mut marks = MarkSchedule::new(begun);
        let ((first, machine), (second, later)) = (at(3, 20), at(9, 70));
        let mut due = |synced, mark, machine| {
            let now = marks.due();
            let taken = marks.take_due(now, synced, mark, machine);
            assert_eq!(marks.due(), now + INTERVAL);
            if taken.is_some() {
                marks.wrote(None);
            }
            taken.map(|marking| (marking.mark, marking.window.is_some()))
        };
        for synced in [0, 5, 19] {
            assert_eq!(due(synced, &first, &machine), None, "{synced} of 20 records");
        }
        // Meanwhile the copy has got more, which is not on stable storage.
        assert_eq!(due(20, &second, &later), Some((first, true)));
        assert_eq!(due(69, &second, &later), None);
        assert_eq!(due(69, &second, &later), None);
        assert_eq!(due(70, &second, &later), Some((second, true)));
    }

    #[test]
    fn one_mark_is_written_at_a_time() {
        let mut marks = MarkSchedule::new(Instant::now());
        let (mark, machine) = at(3, 20);
        let take = |marks: &mut MarkSchedule| {
            let now = marks.due();
            marks.take_due(now, 20, &mark, &machine).is_some()
        };
        assert!(!take(&mut marks) && take(&mut marks));
        assert!(!take(&mut marks) && !take(&mut marks), "the disk is slow");
        marks.wrote(None);
        assert!(!take(&mut marks) && take(&mut marks));
    }

    #[test]
    fn at_the_end_a_mark_is_written_if_all_its_records_are_on_stable_storage() {
        let mut marks = MarkSchedule::new(Instant::now());
        let (mark, machine) = at(3, 20);
        assert!(marks.last(19, &mark, &machine).is_none(), "the disk has failed");
        assert_eq!(marks.last(20, &mark, &machine).map(|last| last.mark), Some(mark));
        // It was applied, and the copy had no space.
        let (_, ahead) = at(4, 21);
        let last = marks.last(20, &mark, &ahead).expect("the records before are there");
        assert!(last.mark == mark && last.window.is_none());
    }
}
