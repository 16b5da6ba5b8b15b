//! Parses files with the `kdl` crate alone, on some threads: what a compiler of the same text is measured
//! beside. Leaves out everything that is done with the trees.
//!
//! `kdl-parse THREADS FILE...`

use std::sync::atomic::{AtomicUsize, Ordering};

// The allocator of the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As much as the program gives to a thread that parses.
const STACK: usize = 64 * 1024 * 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads: usize = arguments.next().and_then(|count| count.parse().ok()).expect("a number of threads");
    let files: Vec<String> = arguments.collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let text = std::fs::read_to_string(file).expect("a file");
            let document = kdl::KdlDocument::parse_v2(&text).expect("a document");
            // The trees are not let go: only parsing counts.
            std::mem::forget(document);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread");
        }
    });
}
