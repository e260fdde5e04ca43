//! Frames of a hostile editor: the document stays whole, whatever they are, and takes no more memory than
//! their length warrants.

#![no_main]

use cellgate_fuzz::document::Document;
use cellgate_fuzz::memory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut document = Document::new();
    let mut rest = data;
    // Each frame behind its length.
    let (_, peak) = memory::peak(|| {
        while let Some((&length, more)) = rest.split_first() {
            let (frame, more) = more.split_at(usize::from(length).min(more.len()));
            document.take(frame);
            rest = more;
        }
        document.is_whole();
    });
    assert!(peak < 4096 * (data.len() + 64), "{peak} bytes for {} of frames", data.len());
});
