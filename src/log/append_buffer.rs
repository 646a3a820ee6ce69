//! An append-only buffer of fixed capacity. One writer appends, and readers read the
//! published part without a lock.
//!
//! Of the log, this is the only module with `unsafe`. With a safe buffer (bytes behind an `RwLock`)
//! every woken subscriber contends with the emitters for the lock; here a reader needs one
//! atomic load.
//!
//! # Why it is sound
//! - The allocation has a fixed address and capacity from construction to drop.
//! - There is one [`AppendBufferWriter`] for each allocation: it is made with it, is not
//!   `Clone`, and writes through `&mut self` only.
//! - The writer writes at indexes from `published` up to `capacity`. Readers
//!   form slices of indexes below a value of `published` that they loaded, and
//!   `published` only grows. So no index is written after it can be read.
//! - `published` is stored with `Release` after the writes and loaded with
//!   `Acquire` before the reads: whoever sees the length sees the items.
//! - Items are `Copy`, so none needs to be dropped.
//! - An allocation begins anew only by [`AppendBuffer::reuse`], which takes the last
//!   handle: slices borrow from a handle, so there are none, and no writer.
//! - A buffer that is made [`full`] has no writer and is published as a whole.
//! - What the system is told of memory changes nothing of what is in it, but for
//!   pages that a writer gives back: those lie past all that it has written.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The reading side: a cheap handle.
#[derive(Clone)]
pub struct AppendBuffer<T>(Arc<AppendBufferShared<T>>);

/// The writing side. What it has written becomes readable with
/// [`AppendBufferWriter::publish`].
pub struct AppendBufferWriter<T> {
    shared: Arc<AppendBufferShared<T>>,
    written: usize,
}

/// A large page of the system, in bytes.
const LARGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// A page that is not large, in bytes. Where they are larger, the system refuses to
/// take back what does not begin with one.
#[cfg(target_os = "linux")]
const PAGE_BYTES: usize = 4 * 1024;

struct AppendBufferShared<T> {
    start: NonNull<MaybeUninit<T>>,
    capacity: usize,
    /// How the items were allocated.
    layout: Layout,
    published: AtomicUsize,
}

// SAFETY: see the module's proof; items are handed between threads by copy
// (`Send`) and read by several at once (`Sync`).
unsafe impl<T: Copy + Send + Sync> Send for AppendBufferShared<T> {}
// SAFETY: as above.
unsafe impl<T: Copy + Send + Sync> Sync for AppendBufferShared<T> {}

impl<T> Drop for AppendBufferShared<T> {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: `start` was allocated with this layout, and this is the last
            // handle.
            unsafe { std::alloc::dealloc(self.start.as_ptr().cast(), self.layout) };
        }
    }
}

/// An empty buffer for `capacity` items. Memory is touched as it is written.
///
/// # Panics
/// If so much cannot be addressed.
pub fn new<T: Copy>(capacity: usize) -> (AppendBufferWriter<T>, AppendBuffer<T>) {
    let mut layout = Layout::array::<T>(capacity).expect("a buffer can be addressed");
    if layout.size() >= LARGE_PAGE_BYTES {
        // Whole large pages, so that none is shared with anything else.
        let aligned = layout.align_to(LARGE_PAGE_BYTES).expect("a buffer can be addressed");
        layout = aligned.pad_to_align();
    }
    let start = match layout.size() {
        0 => NonNull::dangling(),
        // SAFETY: the size is not 0.
        _ => NonNull::new(unsafe { std::alloc::alloc(layout) }.cast())
            .unwrap_or_else(|| std::alloc::handle_alloc_error(layout)),
    };
    // SAFETY: so many items that need not be initialized were allocated there, or
    // none at a place that will do for that, and nobody else knows of them yet.
    prefer_large_pages(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), capacity) });
    let shared =
        Arc::new(AppendBufferShared { start, capacity, layout, published: AtomicUsize::new(0) });
    (AppendBufferWriter { shared: Arc::clone(&shared), written: 0 }, AppendBuffer(shared))
}

/// A buffer that holds `items` and never changes.
pub fn full<T: Copy>(items: Vec<T>) -> AppendBuffer<T> {
    let items = Box::leak(items.into_boxed_slice());
    let (capacity, layout) = (items.len(), Layout::for_value(items));
    let start = NonNull::from(items).cast();
    AppendBuffer(Arc::new(AppendBufferShared {
        start,
        capacity,
        layout,
        published: AtomicUsize::new(capacity),
    }))
}

/// Asks the system to back memory that is not touched yet by large pages: to touch
/// it then costs a page fault for every 2 MiB instead of every 4 KiB, and to read
/// here and there in it misses the processor's table of pages less often. Where the
/// system has none, nothing is lost.
pub fn prefer_large_pages<T>(memory: &mut [T]) {
    let end = size_of_val(memory);
    let start: NonNull<u8> = NonNull::from(memory).cast();
    let skipped = start.align_offset(LARGE_PAGE_BYTES);
    let whole = end.saturating_sub(skipped) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    #[cfg(target_os = "linux")]
    if whole > 0 {
        use rustix::mm::{Advice, madvise};
        // SAFETY: whole pages of one allocation, whose content this leaves alone.
        let _ =
            unsafe { madvise(start.add(skipped).as_ptr().cast(), whole, Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, whole);
}

impl<T> AppendBufferWriter<T> {
    /// Of the large page that was begun last, gives back what is not needed: for when
    /// nothing more is to be written, though it may be.
    pub fn give_back(&mut self) {
        #[cfg(target_os = "linux")]
        if self.shared.layout.align() == LARGE_PAGE_BYTES {
            use rustix::mm::{Advice, madvise};
            let written = self.written * size_of::<T>();
            let from = written.next_multiple_of(PAGE_BYTES);
            let bytes = written.next_multiple_of(LARGE_PAGE_BYTES) - from;
            let start: NonNull<u8> = self.shared.start.cast();
            // SAFETY: pages of the allocation, which is whole large pages, that lie
            // past what was written, by its only writer, which is `self`.
            let _ =
                unsafe { madvise(start.add(from).as_ptr().cast(), bytes, Advice::LinuxDontNeed) };
        }
    }
}

impl<T> Drop for AppendBufferWriter<T> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<T: Copy> AppendBuffer<T> {
    /// The same memory as an empty buffer; `None` if somebody else has a handle,
    /// the writer or a reader.
    pub fn reuse(self) -> Option<(AppendBufferWriter<T>, AppendBuffer<T>)> {
        let mut shared = Arc::into_inner(self.0)?;
        *shared.published.get_mut() = 0;
        let shared = Arc::new(shared);
        Some((AppendBufferWriter { shared: Arc::clone(&shared), written: 0 }, AppendBuffer(shared)))
    }

    /// How many items it has room for.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// The items published so far.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        let published = self.0.published.load(Ordering::Acquire);
        // SAFETY: the first `published` items were written before the store
        // that this load saw, and are never written again.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr().cast::<T>(), published) }
    }
}

impl<T: Copy> AppendBufferWriter<T> {
    /// How many more items fit.
    pub fn room(&self) -> usize {
        self.shared.capacity - self.written
    }

    /// How many items were written, published or not.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends items, not yet readable.
    ///
    /// # Panics
    /// If there is no room for them.
    #[inline]
    pub fn extend(&mut self, items: &[T]) {
        assert!(items.len() <= self.room(), "the caller makes sure that there is room");
        // SAFETY: the target lies within the allocation by the assertion, and
        // beyond what readers may look at; `items` cannot overlap it, since no
        // reference to unpublished items exists.
        unsafe {
            let target = self.shared.start.as_ptr().cast::<T>().add(self.written);
            std::ptr::copy_nonoverlapping(items.as_ptr(), target, items.len());
        }
        self.written += items.len();
    }

    /// Makes readable all that was written.
    #[inline]
    pub fn publish(&mut self) {
        self.shared.published.store(self.written, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_reader_keeps_the_items_after_the_writer_is_gone() {
        let (mut writer, prefix) = new::<u8>(8);
        writer.extend(b"kept");
        writer.publish();
        drop(writer);
        assert_eq!(prefix.as_slice(), b"kept");
    }
}
