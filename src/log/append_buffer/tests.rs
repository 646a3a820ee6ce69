use super::*;

#[test]
fn what_is_written_is_readable_once_published() {
    let (mut writer, prefix) = new::<u32>(4);
    writer.extend(&[1, 2]);
    assert!(prefix.as_slice().is_empty());
    writer.publish();
    let before = prefix.as_slice();
    writer.extend(&[3, 4]);
    writer.publish();
    assert_eq!(before, [1, 2]);
    assert_eq!(prefix.as_slice(), [1, 2, 3, 4]);
    assert_eq!(writer.room(), 0);
}

#[test]
fn a_full_buffer_is_readable_at_once() {
    assert_eq!(full(vec![1_u32, 2, 3]).as_slice(), [1, 2, 3]);
    assert!(full(Vec::<u64>::new()).clone().as_slice().is_empty());
}

#[test]
#[should_panic(expected = "there is room")]
fn writing_past_the_capacity_panics() {
    let (mut writer, _prefix) = new::<u8>(3);
    writer.extend(b"four");
}

#[test]
fn readers_on_other_threads_see_whole_items() {
    const COUNT: u64 = 100_000;
    let (mut writer, prefix) = new::<[u64; 2]>(COUNT as usize);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < COUNT as usize {
                    let slice = prefix.as_slice();
                    for (position, item) in slice.iter().enumerate().skip(seen) {
                        assert_eq!(*item, [position as u64, !(position as u64)]);
                    }
                    seen = slice.len();
                    std::hint::spin_loop();
                }
            });
        }
        for number in 0..COUNT {
            writer.extend(&[[number, !number]]);
            if number % 7 == 0 || number + 1 == COUNT {
                writer.publish();
            }
        }
    });
}

#[test]
fn memory_is_used_again_only_when_nobody_reads_it() {
    let (mut writer, prefix) = new::<u8>(8);
    writer.extend(b"first");
    writer.publish();
    assert!(prefix.clone().reuse().is_none(), "there is a writer");
    drop(writer);
    let reader = prefix.clone();
    assert!(prefix.reuse().is_none(), "there is a reader");
    let start = reader.as_slice().as_ptr();
    let (mut writer, prefix) = reader.reuse().expect("this is the last handle");
    assert_eq!((prefix.as_slice(), writer.room()), (&[] as &[u8], 8));
    writer.extend(b"second");
    writer.publish();
    assert_eq!(prefix.as_slice(), b"second");
    assert_eq!(prefix.as_slice().as_ptr(), start);
}

#[test]
fn what_was_written_stays_when_the_rest_of_a_large_page_is_given_back() {
    const COUNT: usize = 700_000;
    let numbers: Vec<u64> = (1..=COUNT as u64).collect();
    let (mut writer, mut prefix) = new(COUNT);
    // Up to a page's end, a little behind one, amid one, and all.
    for written in [262_144, 262_145, 300_001, COUNT] {
        writer.extend(&numbers[..written]);
        writer.publish();
        drop(writer);
        assert!(prefix.as_slice() == &numbers[..written], "{written} items");
        (writer, prefix) = prefix.reuse().expect("this is the last handle");
    }
}

/// The allocator hands out pages that were written to before.
#[test]
#[cfg(target_os = "linux")]
fn what_was_never_written_of_smaller_buffers_is_given_back() {
    const BYTES: usize = 1024 * 1024;
    let page = rustix::param::page_size();
    let numbers: Vec<u16> = (0..BYTES / 2).map(|at| at as u16).collect();
    // Up to a page's end or amid one, and all.
    for written in [0, 1, 2_048, 100_001, BYTES / 2] {
        let (mut writer, buffer) = new::<u16>(BYTES / 2);
        let memory = Arc::clone(&buffer.0.memory);
        memory.fill(7);
        writer.extend(&numbers[..written]);
        writer.publish();
        let unused = memory.whole_pages(2 * written);
        drop(writer);
        assert!(buffer.as_slice() == &numbers[..written], "{written} items");
        assert!(unused.len() + 2 * page >= BYTES - 2 * written, "{written} items: {unused:?}");
        // Nothing of a page that goes on behind the allocation.
        let end = memory.start.as_ptr().addr() + unused.end;
        assert!(unused.is_empty() || end.is_multiple_of(page), "{unused:?}");
        let behind = memory.content();
        assert!(behind[unused.clone()].iter().all(|byte| *byte == 0), "{written} items");
        let kept = behind[2 * written..unused.start.max(2 * written)].iter();
        assert!(kept.chain(&behind[unused.end.max(2 * written)..]).all(|byte| *byte == 7));
    }
}

#[test]
fn a_reader_keeps_the_items_after_the_writer_is_gone() {
    let (mut writer, prefix) = new::<u8>(8);
    writer.extend(b"kept");
    writer.publish();
    drop(writer);
    assert_eq!(prefix.as_slice(), b"kept");
}

/// Resident bytes of the mapping that holds this place, as Linux reports them.
#[cfg(target_os = "linux")]
fn resident_bytes(place: *const u8) -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
    let mut is_it = false;
    for line in maps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        let range = first.split_once('-').and_then(|(from, to)| {
            Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
        });
        match range {
            Some(range) => is_it = range.contains(&(place as usize)),
            None if is_it && first == "Rss:" => {
                let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok());
                return kib.expect("a number") * 1024;
            }
            None => {}
        }
    }
    0
}

#[test]
#[cfg(target_os = "linux")]
fn pages_are_populated_before_the_writer_comes_to_them() {
    /// The system may lack large pages, but not pages.
    fn wait_for(buffer: &AppendBuffer<u8>, pages: std::ops::RangeInclusive<usize>) {
        let resident = || resident_bytes(buffer.0.start.as_ptr().cast()) / LARGE_PAGE_BYTES;
        let begun = std::time::Instant::now();
        while !pages.contains(&resident()) {
            assert!(begun.elapsed().as_secs() < 60, "{} pages, not {pages:?}", resident());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    // Large enough to be a mapping of its own.
    let (mut writer, buffer) = new::<u8>(64 * LARGE_PAGE_BYTES);
    wait_for(&buffer, 1..=1);
    let bytes = vec![7; LARGE_PAGE_BYTES];
    writer.extend(&bytes[..LARGE_PAGE_BYTES - POPULATE_AHEAD_BYTES - 1]);
    assert_eq!(buffer.0.memory.wanted.load(Ordering::Relaxed), LARGE_PAGE_BYTES);
    writer.extend(&bytes[..1]);
    wait_for(&buffer, 2..=2);
    writer.extend(&bytes);
    wait_for(&buffer, 3..=3);
    writer.publish();
    drop(writer);
    wait_for(&buffer, 1..=1);
    assert!(buffer.as_slice().iter().all(|byte| *byte == 7));
    let (mut writer, buffer) = buffer.reuse().expect("this is the last handle");
    writer.extend(&bytes[..LARGE_PAGE_BYTES - POPULATE_AHEAD_BYTES]);
    wait_for(&buffer, 2..=2);
}

#[test]
fn a_buffer_is_populated_up_to_its_end_and_no_further() {
    let (mut writer, buffer) = new::<u64>(LARGE_PAGE_BYTES / 8 + 1);
    let numbers = vec![7; LARGE_PAGE_BYTES / 8];
    writer.extend(&numbers);
    assert_eq!(buffer.0.memory.wanted.load(Ordering::Relaxed), 2 * LARGE_PAGE_BYTES);
    writer.extend(&[7]);
    assert_eq!(writer.room(), 0);
    assert_eq!(buffer.0.memory.wanted.load(Ordering::Relaxed), buffer.0.memory.layout.size());
}
