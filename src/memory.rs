//! The gateway's memory: what it may hold for clients and sandboxes, and what the allocator keeps
//! for later, given back to the system.

use bytes::Bytes;
use bytestring::ByteString;

mod budget;

pub use budget::{Account, Budget, Charge, Exhausted, FLOOR_BYTES, Pressure};

/// Bytes with their charge: it ends when the last reference to them does.
struct Charged<T> {
    bytes: T,
    _charge: Charge,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Charged<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// A text that is charged to `account` for as long as anybody holds it or a part of it.
#[allow(unsafe_code)]
pub fn charged_text(text: String, account: &Account) -> ByteString {
    let charge = account.charge(text.len());
    let bytes = charged(text.into_bytes(), charge);
    // SAFETY: these are the bytes of a `String`, which are UTF-8, and nothing can change them.
    unsafe { ByteString::from_bytes_unchecked(bytes) }
}

/// Bytes that keep `charge` for as long as anybody holds them or a part of them.
pub fn charged(bytes: Vec<u8>, charge: Charge) -> Bytes {
    Bytes::from_owner(Charged { bytes, _charge: charge })
}

/// Gives back every free page of the heap. glibc by itself gives back only what is free at the very
/// end of a heap, so that one small block in use keeps what a whole crowd's peak took.
///
/// Takes 2 ms, and 80 ms where it gives back 400 MiB on a busy machine; allocations of other
/// threads may wait meanwhile, and who needs the memory again has to have it from the system. For
/// when many have left, from a thread that may block. Does nothing with other C libraries: they
/// give back by themselves.
#[allow(unsafe_code)]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer, may be called from any thread, and touches free memory
    // only.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Resident set size of this process, in bytes.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.expect("it is told").trim().trim_end_matches(" kB");
        size.parse::<usize>().expect("a number of KiB") << 10
    }

    #[test]
    fn a_text_is_charged_until_its_last_part_is_dropped() {
        let account = Budget::new(1 << 20).account();
        let text = charged_text("x".repeat(1000), &account);
        assert_eq!(account.used(), 1000);
        let part = text.slice_ref(&text[10..20]);
        drop(text);
        assert_eq!((&*part, account.used()), ("xxxxxxxxxx", 1000));
        drop(part);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn free_pages_below_a_block_in_use_are_given_back() {
        // Below the size from which the allocator maps memory for each block alone.
        let mut blocks: Vec<Vec<u8>> = (0..4096).map(|_| vec![1; 64 << 10]).collect();
        let last = blocks.pop();
        drop(blocks);
        let kept = resident();
        give_back();
        let left = resident();
        drop(last);
        assert!(left + (128 << 20) < kept, "{kept} bytes before, {left} after");
    }
}
