//! What a directory remembers when its gateway was stopped anywhere.

use bytes::Bytes;
use fastrand::Rng;
use uuid::Uuid;

use super::*;
use crate::log::disk::storage::SystemStorage;
use crate::log::shared::machine::WindowLimits;
use crate::log::shared::message::group::{EncodedUnit, MessageGroup};
use crate::log::shared::message::{Basis, EpochChange, MessageContent, SharedMessage};
use crate::time::Time;

const LIMITS: WindowLimits = WindowLimits { messages: 12, keys: 60 };
const LOG_ID: Uuid = Uuid::from_u128(0x77);

fn mark(machine: &Machine) -> FollowerMark {
    FollowerMark { state: machine.state(), ..FollowerMark::new(LOG_ID) }
}

/// Applies a message with some records.
fn apply(machine: &mut Machine, rng: &mut Rng) {
    let mut unit = EncodedUnit::with_capacity(false, 0);
    for _ in 0..rng.u8(0..12) {
        assert!(unit.add(EventKey([rng.u8(..); 16]), false, b"", b""));
    }
    let content = MessageContent::Group(MessageGroup::of(&[unit]));
    let basis = machine.state();
    let message = SharedMessage { sender: 1, counter: 1, basis, content };
    machine.apply(basis.position + 1, Time(0), &message, |_| 0).expect("it follows");
}

fn write(file: &mut WindowFile, machine: &Machine, path: &Path) -> bool {
    let part = file.next(machine, &mark(machine));
    let is_whole = part.header.is_some();
    file.wrote(part.write(&SystemStorage, path).expect("written"));
    is_whole
}

#[test]
fn a_window_is_read_as_it_was_whatever_was_added() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join(WINDOW);
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let begun = Basis { position: rng.u64(0..3) * 50, ..Basis::default() };
        let mut machine = Machine::resume(LIMITS, begun, begun.position + 1);
        let mut file = WindowFile::default();
        let mut before: Option<(FollowerMark, KeyWindow)> = None;
        for round in 0..40 {
            for _ in 0..rng.u8(0..6) {
                apply(&mut machine, &mut rng);
            }
            // It is started anew, and replaces the file.
            if rng.u8(0..4) == 0 {
                file = WindowFile::default();
            }
            let is_whole = write(&mut file, &machine, &path);
            assert!(is_whole || round > 0);
            let bytes = storage::read(&path).expect("a file");
            let now = mark(&machine);
            let window = decode(&bytes, &now).expect("a window");
            let restored = Machine::restore(LIMITS, now.state, window).expect("a state");
            assert_eq!(restored.key_window(), machine.key_window());
            // The gateway was killed before it wrote the mark: it knows no less than it says.
            if let Some((mark, known)) = before
                && let Some(window) = decode(&bytes, &mark)
            {
                let restored = Machine::restore(LIMITS, mark.state, window).expect("a state");
                let window = restored.key_window();
                assert!(known.messages.ends_with(&window.messages));
                assert!(window.floor == known.floor || window.is_floor_of_start);
            }
            before = Some((now, machine.key_window()));
        }
    }
}

#[test]
fn a_file_is_replaced_when_it_is_twice_as_long_or_something_is_forgotten() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join(WINDOW);
    let limits = WindowLimits { messages: 50, keys: 100_000 };
    let mut machine = Machine::new(limits);
    let mut file = WindowFile::default();
    let (mut whole, mut longest) = (0, 0);
    let message = {
        let mut unit = EncodedUnit::with_capacity(false, 0);
        for number in 0..1_000_u32 {
            let key = [number.to_le_bytes(); 4].concat();
            assert!(unit.add(EventKey(key.try_into().unwrap()), false, b"", b""));
        }
        MessageContent::Group(MessageGroup::of(&[unit]))
    };
    for position in 1..=500 {
        let (basis, content) = (machine.state(), message.clone());
        let message = SharedMessage { sender: 1, counter: 1, basis, content };
        machine.apply(position, Time(0), &message, |_| 0).expect("it follows");
        whole += u32::from(write(&mut file, &machine, &path));
        longest = longest.max(std::fs::metadata(&path).expect("a file").len());
    }
    assert!((4..=9).contains(&whole), "{whole} times");
    // 50 messages of 1,000 keys are 800 kB.
    assert!(longest < 2_700_000, "{longest} bytes");
    for position in 501..=560 {
        machine.skip(position).expect("it follows");
    }
    assert!(write(&mut file, &machine, &path), "more was forgotten than the file has");
    assert!(!write(&mut file, &machine, &path), "nothing is new");
    // It is not known what a write that failed has left.
    drop(file.next(&machine, &mark(&machine)));
    assert!(write(&mut file, &machine, &path));
}

#[test]
fn a_damaged_file_or_one_of_another_time_is_not_used() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join(WINDOW);
    let (mut machine, mut file, mut rng) =
        (Machine::new(LIMITS), WindowFile::default(), Rng::with_seed(3));
    for _ in 0..3 {
        for _ in 0..3 {
            apply(&mut machine, &mut rng);
        }
        write(&mut file, &machine, &path);
    }
    let (mark, bytes) = (mark(&machine), storage::read(&path).expect("a file"));
    let window = decode(&bytes, &mark).expect("a window");
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << rng.u8(0..8);
        assert_eq!(decode(&damaged, &mark), None, "byte {place}");
        assert_eq!(decode(&bytes[..place], &mark), None, "{place} bytes");
    }
    // What was added when the machine stopped is not read.
    assert_eq!(decode(&[&bytes, &b"half a part"[..]].concat(), &mark), Some(window));
    let later = Basis { position: mark.state.position + 1, ..mark.state };
    assert_eq!(decode(&bytes, &FollowerMark { state: later, ..mark }), None);
    let epoch = Basis { epoch: 2, ..mark.state };
    assert_eq!(decode(&bytes, &FollowerMark { state: epoch, ..mark }), None);
    assert_eq!(decode(&bytes, &FollowerMark { log_id: Uuid::nil(), ..mark }), None);
    // An epoch begins: what was sent before is stale, and the file says so.
    let change = EpochChange {
        number: 2,
        position: later.position,
        count: 0,
        time: Time(0),
        digest: 0,
        checkpoint: String::new(),
        signature: Vec::new(),
    };
    let machine = Machine::of_epoch(LIMITS, &change);
    assert!(write(&mut file, &machine, &path));
    let bytes = Bytes::from(storage::read(&path).expect("a file"));
    let begun = FollowerMark { state: machine.state(), ..FollowerMark::new(LOG_ID) };
    let window = decode(&bytes, &begun).expect("a window");
    assert_eq!(window, machine.key_window());
    assert!(!window.is_floor_of_start && window.floor == change.position);
}
