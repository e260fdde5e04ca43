//! Values of settings: no text ends the reader, and what is read is shown so that it reads as the
//! same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| cellgate_fuzz::config::check(text));
