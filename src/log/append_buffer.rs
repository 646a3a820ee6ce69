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
//!   handle: slices borrow from a handle, so there are none, and no writer. The thread
//!   that populates holds the allocation alone, and looks at nothing in it.
//! - A buffer that is made [`full`] has no writer and is published as a whole.
//! - What the system is told of memory changes nothing of what is in it, but for
//!   pages that a writer gives back: those lie within the allocation, past all that it has written. To populate
//!   pages writes nothing, so another thread may do so while the writer writes.
//!
//! # Page faults
//! The first write to a large page waits until the system has found and zeroed 2 MiB, which
//! takes 0.2 ms, or some milliseconds where a hypervisor has to find them, too; every emitter
//! waits meanwhile, since the writer is behind the log's mutex. So a thread of its own
//! populates each page before the writer comes to it.
#![allow(unsafe_code)]

mod populate;

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
    /// Once so many items are written, the next page is to be populated.
    populate_at: usize,
}

/// A large page of the system, in bytes.
const LARGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// A page that is not large, in bytes. Where they are larger, the system refuses to
/// take back what does not begin with one.
#[cfg(target_os = "linux")]
const PAGE_BYTES: usize = 4 * 1024;
/// How much of a large page is left when the next one is populated, in bytes: at a million
/// records a second, more than a millisecond's worth.
const POPULATE_AHEAD_BYTES: usize = LARGE_PAGE_BYTES / 4;

struct AppendBufferShared<T> {
    /// Where the memory begins.
    start: NonNull<MaybeUninit<T>>,
    capacity: usize,
    memory: Arc<Memory>,
    published: AtomicUsize,
}

/// The allocation of a buffer. A thread that populates it holds it, too.
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    /// Pages up to here are wanted, in bytes: written to, or about to be.
    wanted: AtomicUsize,
}

// SAFETY: see the module's proof; items are handed between threads by copy
// (`Send`) and read by several at once (`Sync`).
unsafe impl<T: Copy + Send + Sync> Send for AppendBufferShared<T> {}
// SAFETY: as above.
unsafe impl<T: Copy + Send + Sync> Sync for AppendBufferShared<T> {}
// SAFETY: it neither reads nor writes what is in the memory, and frees it with the last handle.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: `start` was allocated with this layout, and this is the last
            // handle.
            unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) };
        }
    }
}

impl<T> AppendBufferShared<T> {
    fn new(start: NonNull<MaybeUninit<T>>, capacity: usize, layout: Layout) -> Self {
        let memory = Memory { start: start.cast(), layout, wanted: AtomicUsize::new(0) };
        let (memory, published) = (Arc::new(memory), AtomicUsize::new(0));
        Self { start, capacity, memory, published }
    }
}

impl Memory {
    /// The pages behind this place that hold nothing but the allocation, whose ends are within pages, in bytes.
    #[cfg(target_os = "linux")]
    fn whole_pages(&self, from: usize) -> std::ops::Range<usize> {
        // Of the system: a page that began within would be given back with what follows it.
        let page = rustix::param::page_size();
        let start = self.start.as_ptr().addr();
        let end = (start + self.layout.size()) / page * page;
        let from = (start + from).next_multiple_of(page);
        if from < end { from - start..end - start } else { 0..0 }
    }

    /// Whether it is whole large pages.
    fn has_large_pages(&self) -> bool {
        self.layout.align() == LARGE_PAGE_BYTES
    }

    /// Populates the large page that begins `from` bytes behind the start, unless it is not
    /// wanted any more.
    fn populate(&self, from: usize) {
        if self.has_large_pages() && from < self.wanted.load(Ordering::Relaxed) {
            #[cfg(target_os = "linux")]
            {
                use rustix::mm::{Advice, madvise};
                // SAFETY: a whole page of the allocation, since less than the layout's size is
                // wanted; its content stays as it is.
                let _ = unsafe {
                    let page = self.start.add(from).as_ptr().cast();
                    madvise(page, LARGE_PAGE_BYTES, Advice::LinuxPopulateWrite)
                };
            }
        }
    }
}

/// An empty buffer for `capacity` items. Memory is touched as it is written.
///
/// # Panics
/// If so much cannot be addressed.
pub fn new<T: Copy + Send + Sync + 'static>(
    capacity: usize,
) -> (AppendBufferWriter<T>, AppendBuffer<T>) {
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
    begin(AppendBufferShared::new(start, capacity, layout))
}

/// The two sides of a buffer that nobody else knows of, which begins empty.
fn begin<T: Copy + Send + Sync + 'static>(
    mut shared: AppendBufferShared<T>,
) -> (AppendBufferWriter<T>, AppendBuffer<T>) {
    *shared.published.get_mut() = 0;
    shared.memory.wanted.store(0, Ordering::Relaxed);
    let shared = Arc::new(shared);
    let mut writer =
        AppendBufferWriter { shared: Arc::clone(&shared), written: 0, populate_at: usize::MAX };
    if shared.memory.has_large_pages() {
        writer.populate_next();
    }
    (writer, AppendBuffer(shared))
}

/// A buffer that holds `items` and never changes.
pub fn full<T: Copy>(items: Vec<T>) -> AppendBuffer<T> {
    let items = Box::leak(items.into_boxed_slice());
    let (capacity, layout) = (items.len(), Layout::for_value(items));
    let start = NonNull::from(items).cast();
    let mut shared = AppendBufferShared::new(start, capacity, layout);
    *shared.published.get_mut() = capacity;
    AppendBuffer(Arc::new(shared))
}

/// Asks the system for the memory behind `items` at once, in large pages if it can: for what
/// is written to here and there.
pub fn populate<T>(items: &mut [T]) {
    prefer_large_pages(items);
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, madvise};
        let end = size_of_val(items);
        let start: NonNull<u8> = NonNull::from(items).cast();
        let skipped = start.align_offset(PAGE_BYTES);
        let whole = end.saturating_sub(skipped) / PAGE_BYTES * PAGE_BYTES;
        if whole > 0 {
            // SAFETY: whole pages of one allocation, whose content this leaves alone.
            let _ = unsafe {
                madvise(start.add(skipped).as_ptr().cast(), whole, Advice::LinuxPopulateWrite)
            };
        }
    }
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
    /// Gives back the pages that hold nothing: for when nothing more is to be written, though it may be.
    ///
    /// Large pages were begun or populated. Of smaller buffers, the allocator may have handed out pages that were written to
    /// before, and it does not give back what it has handed out: of a segment of large records, most of the columns
    /// are never written.
    pub fn give_back(&mut self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::mm::{Advice, madvise};
            let memory = &self.shared.memory;
            let written = self.written * size_of::<T>();
            let unused = if memory.has_large_pages() {
                let from = written.next_multiple_of(PAGE_BYTES);
                let begun = written.next_multiple_of(LARGE_PAGE_BYTES);
                from..begun.max(memory.wanted.swap(0, Ordering::Relaxed))
            } else {
                memory.whole_pages(written)
            };
            self.populate_at = usize::MAX;
            if unused.is_empty() {
                return;
            }
            // SAFETY: pages that lie within the allocation, past what was written, by its only
            // writer, which is `self`.
            let _ = unsafe {
                let start = memory.start.add(unused.start).as_ptr().cast();
                madvise(start, unused.len(), Advice::LinuxDontNeed)
            };
        }
    }
}

impl<T: Copy + Send + Sync + 'static> AppendBufferWriter<T> {
    /// Has the next large page populated, if there is one, and notes when it is the turn of
    /// the one behind it.
    #[cold]
    fn populate_next(&mut self) {
        let memory = &self.shared.memory;
        let from = memory.wanted.load(Ordering::Relaxed);
        let until = from + LARGE_PAGE_BYTES;
        if until > memory.layout.size() {
            self.populate_at = usize::MAX;
            return;
        }
        self.populate_at = (until - POPULATE_AHEAD_BYTES) / size_of::<T>();
        memory.wanted.store(until, Ordering::Relaxed);
        // Not kept for this alone: it may be gone by then.
        let memory = Arc::downgrade(memory);
        populate::run(move || {
            if let Some(memory) = memory.upgrade() {
                memory.populate(from);
            }
        });
    }
}

impl<T> Drop for AppendBufferWriter<T> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<T: Copy + Send + Sync + 'static> AppendBuffer<T> {
    /// The same memory as an empty buffer; `None` if somebody else has a handle,
    /// the writer or a reader.
    pub fn reuse(self) -> Option<(AppendBufferWriter<T>, AppendBuffer<T>)> {
        Some(begin(Arc::into_inner(self.0)?))
    }
}

impl<T: Copy> AppendBuffer<T> {
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

impl<T: Copy + Send + Sync + 'static> AppendBufferWriter<T> {
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
        if self.written >= self.populate_at {
            self.populate_next();
        }
    }

    /// Makes readable all that was written.
    #[inline]
    pub fn publish(&mut self) {
        self.shared.published.store(self.written, Ordering::Release);
    }
}

#[cfg(test)]
impl Memory {
    /// Writes to all of it, as somebody did who had it before.
    fn fill(&self, byte: u8) {
        // SAFETY: the allocation, of which nothing is published and no slice was made yet.
        unsafe { self.start.as_ptr().write_bytes(byte, self.layout.size()) };
    }

    /// All of it, once it was filled: nothing writes to it meanwhile.
    fn content(&self) -> &[u8] {
        // SAFETY: all of the allocation was written to, and the system gives zeros for what it took back.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

#[cfg(test)]
mod tests;
