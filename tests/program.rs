//! The program as a file: what it carries.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

use cellgate::sandbox::embedded::DRIVER;

/// Most that the driver may weigh. It is copied into every container, and its pages count once a
/// machine; today it has 1.4 MiB.
const DRIVER_BYTES: usize = 2 << 20;

/// Numbers of elf(5).
mod elf {
    pub(super) const CLASS_64: u8 = 2;
    pub(super) const LITTLE_ENDIAN: u8 = 1;
    /// Program headers: where they begin, what each takes, how many there are.
    pub(super) const PHOFF: usize = 32;
    pub(super) const PHENTSIZE: usize = 54;
    pub(super) const PHNUM: usize = 56;
    pub(super) const PT_DYNAMIC: u32 = 2;
    pub(super) const PT_INTERP: u32 = 3;
    /// In a program header: the segment's place in the file and its size there.
    pub(super) const P_OFFSET: usize = 8;
    pub(super) const P_FILESZ: usize = 32;
    pub(super) const DT_NEEDED: u64 = 1;
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let digits = bytes[at..at + length].iter().rev();
    digits.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// What an executable wants from the system that starts it: a loader, libraries.
fn wanted(file: &[u8]) -> (usize, usize) {
    assert_eq!(&file[..6], &[0x7f, b'E', b'L', b'F', elf::CLASS_64, elf::LITTLE_ENDIAN]);
    let table = number(file, elf::PHOFF, 8) as usize;
    let size = number(file, elf::PHENTSIZE, 2) as usize;
    let (mut loaders, mut libraries) = (0, 0);
    for header in file[table..].chunks(size).take(number(file, elf::PHNUM, 2) as usize) {
        let begin = number(header, elf::P_OFFSET, 8) as usize;
        let length = number(header, elf::P_FILESZ, 8) as usize;
        match number(header, 0, 4) as u32 {
            elf::PT_INTERP => loaders += 1,
            elf::PT_DYNAMIC => {
                let entries = file[begin..begin + length].chunks(16);
                libraries += entries.filter(|e| number(e, 0, 8) == elf::DT_NEEDED).count();
            }
            _ => {}
        }
    }
    (loaders, libraries)
}

#[test]
fn the_driver_needs_nothing_of_an_image_and_is_small() {
    // The reader of headers can tell: this test itself is linked as programs usually are.
    if cfg!(target_env = "gnu") && !cfg!(target_feature = "crt-static") {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let (loaders, libraries) = wanted(&own);
        assert!(loaders == 1 && libraries > 0, "{loaders} loaders, {libraries} libraries");
    }
    assert_eq!(wanted(DRIVER), (0, 0), "the driver wants (loaders, libraries)");
    assert!(DRIVER.len() <= DRIVER_BYTES, "the driver has {} bytes", DRIVER.len());
}
