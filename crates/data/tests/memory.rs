//! How much memory threads fill that decode at once. A binary of its own, because it counts every allocation.

// clippy.toml exempts test functions; their helpers need the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use vljepa_data::{Crops, Limits, Media, Preprocess, decode_file};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator, with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A PNG of one colour, with little in it: `side * side` pixels of three bytes.
fn flat(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::RgbImage::new(side, side).write_with_encoder(image::codecs::png::PngEncoder::new(&mut bytes)).unwrap();
    bytes
}

/// The most that is allocated beyond what is there before, while twelve threads work.
fn most(work: impl Fn() + Sync) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    std::thread::scope(|scope| {
        (0..12).for_each(|_| {
            scope.spawn(&work);
        });
    });
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn threads_that_decode_share_a_gigabyte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flat.png");
    // 147 MB in RGB, 196 MB in RGBA.
    std::fs::write(&path, flat(7_000)).unwrap();
    let (limits, budget) = (Limits::default(), 1 << 30);
    let decoding = most(|| {
        assert_eq!(
            Media::open(&path).unwrap().numbers(&Preprocess::square(8), Crops::Center, &limits).unwrap().len(),
            192
        )
    });
    assert!((400 << 20..budget + (32 << 20)).contains(&decoding), "{decoding}");
    // What a caller keeps is its own; here nothing is kept, but for a moment.
    let whole = most(|| drop(decode_file(&path, &limits).unwrap()));
    assert!((400 << 20..budget + (400 << 20)).contains(&whole), "{whole}");
    println!("{decoding} bytes at most for numbers, {whole} for pictures");
}
